"""Whatever a line of megabytes is made of, reading it takes a few times its size, and nothing of it stays."""

from __future__ import annotations

import json
import tracemalloc
from collections import deque

import pytest

from records import caseloads, tokens
from records.importing import extraction, parsing, running
from records.importing.parsing import Reason, parts_of
from records.importing.references import Directory, keys_of
from records.models import Rejection
from tests.factories import WORKER
from tests.records.feeds import about, bundle, counts, ndjson, observation, patient

MEGABYTE = 2**20
LONG = "Q" * MEGABYTE


def in_text(resource) -> bytes:
    return json.dumps(resource).encode()


LINES = {
    "reference": lambda n: observation(f"o{n}", subject=f"Patient/{n}{LONG}"),
    "reference by identifier": lambda n: observation(f"o{n}", subject=f"Patient?identifier=urn:x|{n}{LONG}"),
    "reference with escapes": lambda n: observation(f"o{n}", subject=f'Patient/{n}{LONG[: MEGABYTE // 2]}"\\"'),
    "time": lambda n: about("Observation", f"o{n}", effectiveDateTime=f"2026-01-01T{n}{LONG}"),
    "identifier of a directory": lambda n: {
        "resourceType": "Organization", "id": f"o{n}", "identifier": [{"system": "urn:x", "value": f"{n}{LONG}"}],
    },
    "identifier": lambda n: patient(f"p{n}", identifier=[{"system": "urn:x", "value": f"{n}{LONG}"}]),
    "name": lambda n: patient(f"p{n}", name=[{"family": f"{n}{LONG}", "given": [LONG[:9]]}]),
    "name of many words": lambda n: patient(f"p{n}", name=[{"text": " ".join(f"w{n}x{i}" for i in range(100_000))}]),
    "many names": lambda n: patient(f"p{n}", name=[{"text": f"w{n}x{i}"} for i in range(50_000)]),
    "many small objects": lambda n: about("Basic", f"b{n}", extension=[{}] * 120_000),
    "long identifier": lambda n: observation(f"o{n}", subject=f"Patient?identifier=urn:x|{n}" + "%C3" * 99_000),
    "many small texts": lambda n: about("Basic", f"b{n}", note=[f"{i:05}" for i in range(120_000)]),
    "addresses in a Bundle": lambda n: {
        "resourceType": "Bundle", "type": "collection",
        "entry": [{"fullUrl": f"https://{n}.example/{LONG}", "resource": observation(f"o{n}")}],
    },
    "ids in a Bundle": lambda n: bundle(observation(f"{n}{LONG}")),
}  # fmt: skip


@pytest.mark.parametrize("kind", LINES)
def test_a_large_line_takes_a_few_times_its_size_and_nothing_stays(feed, monkeypatch, kind):
    monkeypatch.setattr(running, "BYTES", MEGABYTE)
    lines = [in_text(LINES[kind](n)) for n in range(6)]
    feed.write("a.ndjson", ndjson(*lines))
    files, _ = running.find_files([feed.folder])
    reading = running.Reading(feed.source, files, Directory())
    tracemalloc.start()
    try:
        deque(reading.batches(), maxlen=0)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < MEGABYTE
    assert most < 60 * MEGABYTE


def test_of_a_directory_one_large_text_is_in_memory_at_a_time(feed):
    feed.send(*(LINES["identifier of a directory"](n) for n in range(24)))
    tracemalloc.start()
    try:
        assert caseloads.partners_in(feed.source, using=WORKER) is not None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20 * MEGABYTE


def test_a_resource_can_be_named_by_its_first_thousand_identifiers_only():
    many = {"resourceType": "Organization", "identifier": [{"value": str(n)} for n in range(1_500)]}
    assert len(keys_of(many)) == 1_000


def test_more_parts_than_a_resource_has_are_refused_before_they_are_parsed(feed, monkeypatch):
    monkeypatch.setattr(parsing, "MOST_PARTS", 1_000)
    many = about("Basic", "many", extension=[{"url": "a"}] * 600)
    few = about("Basic", "few", extension=[{"url": "a"}] * 400)
    words = about("Basic", "words", text={"status": "generated", "div": "<div>" + "[{a, b}], " * 1_000 + "</div>"})
    assert counts(feed.send(many, few, words)) == (2, 0, 0, 0, 1)
    rejection = Rejection.objects.using(WORKER).get()
    assert (rejection.reason, rejection.detail) == (Reason.TOO_LARGE, "more than 1,000 objects, lists and values")
    assert b'"many"' in bytes(rejection.raw)


def test_a_resource_that_holds_tens_of_thousands_is_refused(feed, monkeypatch):
    monkeypatch.setattr(extraction, "MOST_HELD", 3)
    provenance = about("Provenance", "pv", target=[{"reference": f"Observation/o{n}"} for n in range(4)])
    assert counts(feed.send(patient(), provenance)) == (1, 0, 0, 0, 1)
    assert Rejection.objects.using(WORKER).get().detail == "refers to more than 3 resources that it may repeat"


@pytest.mark.parametrize(
    "resource",
    [
        observation(focus=[{"reference": f"Patient/p{n}"} for n in range(40)]),
        observation(focus=[{"reference": f"Patient?identifier=urn:x|{n}"} for n in range(40)]),
        observation(focus=[{"type": "Patient", "identifier": {"value": str(n)}} for n in range(40)]),
        patient("p2", link=[{"other": {"reference": f"Patient/p{n}"}, "type": "seealso"} for n in range(40)]),
    ],
    ids=["others", "waiting", "logical", "links"],
)
def test_a_resource_that_names_thousands_of_patients_is_refused(feed, monkeypatch, resource):
    monkeypatch.setattr(extraction, "MOST_NAMED", 30)
    assert counts(feed.send(patient(), resource)) == (1, 0, 0, 0, 1)
    assert Rejection.objects.using(WORKER).get().detail == "names more than 30 patients besides its own"
    monkeypatch.setattr(extraction, "MOST_NAMED", 40)
    assert counts(feed.send(resource)) == (1, 0, 0, 0, 0)


def test_a_bundle_of_more_parts_is_read_entry_by_entry(feed, monkeypatch):
    monkeypatch.setattr(parsing, "MOST_PARTS", 100)
    assert counts(feed.send(bundle(patient(), *(observation(f"o{n}") for n in range(50))))) == (51, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "parts"), [(b'{"a":[1,2,3]}', 4), (b'{"a":"[1,2,3]\\",{"}', 1), (b'"a,b', 0), (b"[[],{}]", 4)]
)
def test_parts_are_counted_outside_of_strings(monkeypatch, text, parts):
    monkeypatch.setattr(parsing, "MOST_PARTS", 0)
    assert parts_of(text) == parts


def test_an_entry_under_an_address_that_is_too_long_is_refused_and_the_rest_goes_on(feed):
    held = bundle(patient(), observation())
    held["entry"][1]["fullUrl"] = "https://a.example/" + "x" * 200
    assert counts(feed.send(held)) == (1, 0, 0, 0, 1)
    assert Rejection.objects.using(WORKER).get().detail == "fullUrl: an address may have 200 bytes"


def test_a_patient_of_many_names_is_found_by_number_and_by_the_first_names():
    found = tokens.of_patient(
        patient(name=[{"family": f"Family{n}"} for n in range(5_000)], identifier=[{"system": "urn:x", "value": "77"}])
    )
    assert {"77", "urn:x|77", "family0", "family500"} <= found
    assert len(found) <= tokens.MOST
