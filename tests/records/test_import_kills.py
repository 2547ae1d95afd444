"""An import that was killed anywhere, and given again, leaves what an undisturbed one leaves, row by row.

A few moments each time; `CLINICPORTAL_KILLED_IMPORTS=400` tries as many statements of each import.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from records.importing import rejections, running
from records.models import Import, Membership, Rejection, Source
from tests import factories as make
from tests.factories import WORKER
from tests.records import killed
from tests.records.feeds import Feed, Json, about, labelled, ndjson, observation, organization, patient, ref, refs
from tests.records.killed import STEPS, at_statement, within

MORE = int(os.environ.get("CLINICPORTAL_KILLED_IMPORTS", "2"))
PEOPLE = range(1, 13)
WHOLE = {"snapshot": True, "may_lack": 0.9}


def of(number: int) -> str:
    return f"Patient/p{number}"


def person(number: int, **fields: Any) -> Json:
    registered = {"generalPractitioner": [ref("Organization/n")]} if number % 2 else {}
    system = {"identifier": [{"system": "urn:mrn", "value": f"{number}"}]}
    return patient(f"p{number}", birthDate=f"19{number + 50}-03-01", **{**registered, **system, **fields})


def care_of(number: int) -> list[Json]:
    """What ties a patient to a partner, what holds labels of others, and what says them by each style of reference."""
    who, doctor = of(number), ref(f"Practitioner?identifier=urn:gmc|{number % 3}")
    return [
        about("Encounter", f"e{number}", who, status="finished", period={"start": "2026-11-01", "end": "2026-11-02"},
              serviceProvider=ref("Organization?identifier=urn:clinicportal:partner|northfield"),
              participant=[{"individual": doctor}], identifier=[{"system": "urn:visit", "value": f"{number}"}]),
        about("CareTeam", f"t{number}", who, status="active", period={"start": "2026-01-01"},
              participant=[{"member": ref("Organization/ward")}]),
        about("ServiceRequest", f"s{number}", who, status="active", intent="order", authoredOn="2026-10-01",
              requester=ref("PractitionerRole/r1"), reasonReference=refs(f"Condition/c{number}")),
        about("Condition", f"c{number}", f"Patient?identifier=urn:mrn|{number}",
              **({"meta": labelled("R", "HIV")} if number % 4 == 0 else {})),
        observation(f"o{number}", who, performer=[doctor], valueString=f"{number}",
                    encounter=ref(f"Encounter?identifier=urn:visit|{number}")),
        observation(f"l{number}", who, **({"meta": labelled("R", "PSY")} if number % 3 == 0 else {})),
        about("DiagnosticReport", f"d{number}", who, result=refs(f"Observation/o{number}", f"Observation/l{number}")),
        about("MedicationRequest", f"m{number}", who, medicationReference=ref(f"Medication/m{number % 2}")),
        about("DocumentReference", f"f{number}", who, content=[{"attachment": {"url": f"Binary/b{number}"}}]),
        {"resourceType": "Binary", "id": f"b{number}", "contentType": "text/plain", "data": "QQ=="},
        {"resourceType": "Provenance", "id": f"v{number}", "recorded": "2026-01-01T00:00:00Z",
         "target": refs(f"Observation/o{number}"), "agent": [{"who": doctor}]},
    ]  # fmt: skip


def directory(name: str = "Bone") -> list[Json]:
    return [
        organization("n", "northfield", name="Northfield"),
        {"resourceType": "Organization", "id": "ward", "partOf": ref("Organization/n"), "name": "Ward"},
        {"resourceType": "PractitionerRole", "id": "r1", "organization": ref("Organization/n"),
         "practitioner": ref("Practitioner/g1")},
        *[
            {"resourceType": "Practitioner", "id": f"g{number}", "name": [{"family": f"{name} {number}"}],
             "identifier": [{"system": "urn:gmc", "value": f"{number}"}]}
            for number in range(3)
        ],
    ]  # fmt: skip


def medicines(called: str) -> list[Json]:
    return [{"resourceType": "Medication", "id": f"m{number}", "code": {"text": f"{called} {number}"}}
            for number in range(2)]  # fmt: skip


def refusal(number: int, **fields: Any) -> Json:
    return {"resourceType": "Consent", "id": f"k{number}", "status": "active", "patient": ref(of(number)),
            "provision": {"type": "deny"}, **fields}  # fmt: skip


def listed(*numbers: int) -> Json:
    members = [{"entity": ref(of(number)), "period": {"start": "2026-01-01"}} for number in numbers]
    return {"resourceType": "Group", "id": "g", "type": "person", "actual": True, "member": members,
            "managingEntity": ref("Organization/n")}  # fmt: skip


BROKEN = [b'{"resourceType":"Observation","id":"w1",', b'{"resourceType":"Observation","id":"w2","id":"w2"}', b"[1]"]


def first(feed: Feed) -> None:
    """Who awaits somebody, two in one resource, three linked, refusals, and lines that cannot be taken."""
    people = [person(number) for number in PEOPLE]
    people[1]["link"] = [{"type": "replaced-by", "other": ref(of(1))}]
    people[2]["link"] = [{"type": "seealso", "other": ref(of(4))}]
    care = [one for number in PEOPLE for one in care_of(number)]
    both = observation("both", of(5), focus=refs(of(6)))
    feed.write("1.ndjson", ndjson(*care[: len(care) // 2], *BROKEN, both, refusal(3), refusal(7), listed(8, 10)))
    feed.write("2.ndjson", ndjson(*care[len(care) // 2 :], *people, *directory(), *medicines("Zaltoprin")))
    feed.write("3.ndjson", ndjson(observation("nobody", of(99)), observation("later", of(13)), BROKEN[0]))


def second(feed: Feed) -> None:
    """Everything changes: it moves, goes, comes, is renamed, joined, parted, refused, mended, labelled."""
    people = [person(number) for number in (*PEOPLE[:-1], 13)]
    people[0]["generalPractitioner"] = []
    people[1]["generalPractitioner"] = [ref("Organization/n")]
    people[3]["meta"] = labelled("R", "SDV")
    people[6]["link"] = [{"type": "replaced-by", "other": ref(of(8))}]
    care = [one for number in PEOPLE[:-1] for one in care_of(number)]
    moved = observation("o1", of(2), valueString="1")
    care = [moved if one["id"] == "o1" else one for one in care if one["id"] not in ("e4", "t5", "l6", "m3", "b2")]
    kept = Rejection.objects.using(WORKER).filter(imported__source=feed.source, file="1.ndjson")
    mended = b"".join(rejections.pack(kept)).replace(
        b'\\"id\\":\\"w1\\",', b'\\"id\\":\\"w1\\",\\"status\\":\\"final\\"}'
    )
    for old in feed.folder.iterdir():
        old.unlink()
    feed.write("0.ndjson", b"".join(line for line in mended.splitlines(True) if b"w1" in line))
    feed.write("1.ndjson", ndjson(refusal(3, status="inactive"), refusal(5), listed(8, 9), *care))
    feed.write(
        "2.ndjson",
        ndjson(
            *people,
            *directory("Marrow")[:-1],
            *medicines("Other"),
            observation("later", of(13)),
            observation("both", of(5), focus=refs(of(13))),
        ),
    )


@pytest.fixture
def feeds(tmp_path: Path, facility, organisation, monkeypatch) -> Callable[[], Feed]:
    """Feeds of the same patients, each a source of its own, read in batches of twenty."""
    monkeypatch.setattr(running, "ROWS", 20)
    type(organisation).objects.using(WORKER).filter(pk=organisation.pk).update(key="northfield")
    make.make_caseload(organisation, facility)
    numbers = count()

    def another() -> Feed:
        name = f"feed-{next(numbers)}"
        return Feed(tmp_path / name, Source.objects.using(WORKER).create(name=name, facility=facility))

    return another


class Undisturbed:
    """What one feed left that nobody killed, and how many statements that took."""

    def __init__(self, feed: Feed) -> None:
        self.since, self.texts = timezone.now(), set[str]()
        self.rows, self.statements = [], []
        for write, how in IMPORTS:
            write(feed)
            self.texts |= {path.read_text() for path in feed.folder.iterdir()}
            self.statements.append(killed.count_statements(feed, **how))
            self.rows.append(self.left_by(feed))

    def left_by(self, feed: Feed) -> dict[str, list[str]]:
        return killed.written(feed.source, self.since, self.texts)

    def differs_from(self, feed: Feed, rows: dict[str, list[str]]) -> list[str]:
        return killed.differences(self.left_by(feed), rows)


IMPORTS: tuple[tuple[Callable[[Feed], None], dict[str, Any]], ...] = ((first, {}), (second, WHOLE))


def test_the_feeds_fill_every_table_and_change_it(feeds):
    """Else the comparisons below would compare little."""
    undisturbed = Undisturbed(feeds())
    before, after = undisturbed.rows
    assert [table for table, rows in after.items() if not rows] == []
    assert [table for table, rows in before.items() if rows == after[table]] == []
    ties = Membership.objects.using(WORKER)
    assert set(ties.values_list("basis", flat=True)) == {"registration", "encounter", "care_team", "referral", "list"}
    other = feeds()
    for (write, how), rows in zip(IMPORTS, undisturbed.rows, strict=True):
        write(other)
        killed.import_when_free(other, **how)
        assert undisturbed.differs_from(other, rows) == []


def moments(undisturbed: Undisturbed) -> list[tuple[Callable[[], None], Callable[[], None]]]:
    """When to kill the first import of a feed, and when the second."""
    steps = [(within(step, done=False), within(step, done=True)) for step in STEPS if step != "tombstones"]
    steps.append((within("look again", done=False, time=2), within("tombstones", done=False)))  # first: at the start
    steps.append((within("caseloads", done=False), within("tombstones", done=True)))
    lots = [random.sample(range(1, said + 1), min(MORE, said)) for said in undisturbed.statements]
    return [*steps, *[(at_statement(one), at_statement(other)) for one, other in zip(*lots, strict=False)]]


def test_an_import_that_was_killed_anywhere_leaves_what_an_undisturbed_one_leaves(feeds):
    undisturbed = Undisturbed(feeds())
    for when in moments(undisturbed):
        feed = feeds()
        for (write, how), prepare, rows in zip(IMPORTS, when, undisturbed.rows, strict=True):
            write(feed)
            assert killed.ended(killed.started(feed, prepare, **how)) == -signal.SIGKILL
            killed.import_when_free(feed, **how)
            assert undisturbed.differs_from(feed, rows) == []


@pytest.mark.parametrize("when", [within("look again", done=False, time=2), within("caseloads", done=False)])
def test_reading_the_texts_anew_after_a_killed_import_brings_what_that_one_left(feeds, when):
    """The next import does not follow a killed one any more, and may be of somebody else."""
    undisturbed = Undisturbed(feeds())
    feed = feeds()
    first(feed)
    assert killed.ended(killed.started(feed, when)) == -signal.SIGKILL
    killed.wait_until_free(feed.source)
    running.relabel(feed.source, using=WORKER)
    assert undisturbed.differs_from(feed, undisturbed.rows[0]) == []


def test_two_killed_imports_at_once_leave_what_undisturbed_ones_leave(feeds):
    """Of two sources at one facility, whose patients the same partner looks after."""
    undisturbed = Undisturbed(feeds())
    pair = [feeds(), feeds()]
    for number, (write, how) in enumerate(IMPORTS):
        ends = [at_statement(undisturbed.statements[number] // part) for part in (2, 3)]
        for feed in pair:
            write(feed)
        dying = [killed.started(feed, end, **how) for feed, end in zip(pair, ends, strict=True)]
        assert [killed.ended(child) for child in dying] == [-signal.SIGKILL] * 2
        for feed in pair:
            killed.wait_until_free(feed.source)
        assert [killed.ended(child) for child in [killed.started(feed, **how) for feed in pair]] == [0, 0]
        for feed in pair:
            assert undisturbed.differs_from(feed, undisturbed.rows[number]) == []
    assert Import.objects.using(WORKER).filter(source=pair[0].source, finished_at=None).count() == 2
