"""Real resources with one element spoilt, through the importer and onto each page: never an error, never live markup.

Each element of each type that pages draw (HL7's and Synthea's examples) is spoilt once, by a value drawn at random, the
same in each run. `CLINICPORTAL_FUZZ=50` draws fifty times, `CLINICPORTAL_FUZZ_SEED=7` begins elsewhere.
"""

from __future__ import annotations

import html
import os
import re
from urllib.parse import urljoin

import pytest
from django.db.models import Count
from django.test import Client
from django.utils import timezone

from records.display.news import COUNTED
from records.models import Agreement, Look, OptOut, Patient, Resource, Section
from tests import factories as make
from tests.factories import WORKER
from tests.records import mutations
from tests.records.feeds import Feed, Json, about, counts, line, observation, patient, ref
from tests.records.samples import SAMPLES
from tests.records.test_chart import PATHS, everything, seat

__all__ = ["everything", "seat"]

FIRST = int(os.environ.get("CLINICPORTAL_FUZZ_SEED", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("CLINICPORTAL_FUZZ", "1")))
LIVE = re.compile(
    r"""<script>alert|[\u202a-\u202e\u2066-\u2069\x00]|<[^>]*\s(?:href|src|action|formaction)="\s*(?:javascript|data):""",
    re.I,
)
"""What would run, or reorder what is printed around it."""


def of_p1(resource: Json) -> Json:
    """`resource` as one of the patient p1, whichever way its type says so."""
    return {key: ref("Patient/p1") if key in ("subject", "patient") else held for key, held in resource.items()}


def spoilt_ones(types: list[str], seed: int) -> list[Json]:
    """Spoilt resources of one patient, each with an id of its own."""
    made: list[Json] = []
    for type, real in mutations.real_resources(*types).items():
        held = [of_p1(each) for each in real]
        for one in (*mutations.spoilt_once(held, seed), *mutations.hostile(held[:3])):
            made.append({**one, "resourceType": type, "id": f"m{len(made)}", "meta": {"versionId": str(seed)}})
    return made


def open_page(seat: Client, address: str) -> str:
    answer = seat.get(address)
    assert answer.status_code == 200, address
    body = answer.content.decode()
    assert not LIVE.search(body), address
    return body


TRENDS = 1 if len(SEEDS) == 1 else 20
LEADS_ON = re.compile(r"\?before=[^&]*$|/(documents|results|[a-z]+/entry)/[0-9a-f-]{36}/$|/all/[a-z]+/$")
TREND = re.compile(r"\?trend=[^&]*$")


def open_all(seat: Client, key: object) -> set[str]:
    """Every page of one record and what each leads to; of a page's trends some."""
    base = f"/patients/{key}/"
    waiting = {base + path for path in (*PATHS, "medicines/?past=1", "print/", "report/")}
    opened: set[str] = set()
    while waiting:
        address = waiting.pop()
        opened.add(address)
        links = [
            urljoin(address, html.unescape(link)) for link in re.findall(r'href="([^"#]+)', open_page(seat, address))
        ]
        followed = [link for link in links if link.startswith(base) and LEADS_ON.search(link)]
        trends = [link for link in links if TREND.search(link) and not TREND.search(address)]
        waiting |= {*followed, *trends[:TRENDS]} - opened
    return opened


@pytest.fixture
def may_take(agreement, guest) -> None:
    Agreement.objects.using(WORKER).filter(pk=agreement.pk).update(may_export=True)
    guest.proofs = {"c2": timezone.now()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_spoilt_resource_breaks_the_import_or_a_page(shared, feed: Feed, may_take, seat, caseload, seed):
    """First as they come; then each is replaced by another one, and what tells of changes is opened again."""
    types = [type for type in mutations.DRAWN if type != "Patient"]
    feed.send(patient())
    key = feed.patient().pk
    make.make_membership(caseload, feed.patient())
    sent = spoilt_ones(types, seed)
    run = feed.send(*sent).run
    assert run.created + run.rejected == len(sent)
    assert run.created > len(sent) / 2
    opened = open_all(seat, key)
    assert len(opened) > len(PATHS) + 50
    assert seat.post(f"/patients/{key}/take/").status_code == 200
    Resource.objects.using(WORKER).update(received_at=make.days(-3))
    Look.objects.using(WORKER).update(at=make.days(-2))
    for version in (seed + 10_000, seed + 20_000):  # the second has an earlier version for all of them
        feed.send(*spoilt_ones(["Observation", "MedicationRequest", "AllergyIntolerance", "Condition"], version))
    feed.send(*spoilt_ones([type for type in SAMPLES if type in COUNTED], seed + 30_000))
    for path in ("", "results/", "vitals/"):
        assert path or "Since you last looked" in open_page(seat, f"/patients/{key}/{path}")


@pytest.mark.parametrize("seed", SEEDS)
def test_no_spoilt_patient_breaks_the_list_or_a_page(shared, feed: Feed, may_take, seat, caseload, seed):
    run = feed.send(*spoilt_ones(["Patient"], seed)).run
    assert run.created > run.rejected
    spoilt = list(Patient.objects.using(WORKER).filter(source=feed.source, memberships=None))
    for held in spoilt:
        make.make_membership(caseload, held)
    address = "/patients/"
    while address:
        following = re.search(r'href="([^"]*\?after=[^"]*)" rel="next"', open_page(seat, address))
        address = following[1] if following else ""
    for held in spoilt:
        open_page(seat, f"/patients/{held.pk}/")
    assert seat.post(f"/patients/{spoilt[0].pk}/take/").status_code == 200


@pytest.mark.timeout(300)
def test_every_page_opens_for_every_patient_of_the_official_examples(
    shared, feed: Feed, facility, may_take, seat, guest, organisation
):
    """HL7's examples for R4 and for US Core as two sources; what is drawn there is what their authors thought of."""
    other = Feed(feed.folder.parent / "us-core", make.make_source(facility, "us-core"))
    feed.run(shared / "hl7-examples/r4")
    other.run(shared / "hl7-examples/us-core")
    patients = list(Patient.objects.using(WORKER).filter(replaced_by=None).annotate(held=Count("resources")))
    assert len(patients) > 40
    for held in patients:
        make.make_grant(guest, patient=held, organisation=organisation, sections=Section.values)
    refusing = set(OptOut.objects.using(WORKER).values_list("patient", flat=True))
    for held in patients:
        assert seat.get(f"/patients/{held.pk}/").status_code == (404 if held.pk in refusing else 200)
    OptOut.objects.using(WORKER).all().delete()  # two of them refuse, and have the most to draw
    for held in patients:
        if held.held > 4:
            open_all(seat, held.pk)
            assert seat.post(f"/patients/{held.pk}/take/").status_code == 200


NINES = b"9" * 20_000
EDGES: dict[str, list[Json | bytes]] = {
    "the first and the last day there are": [
        observation("a", effectiveDateTime="9999-12-31T23:59:59-14:00", valueString="1"),
        observation("b", effectiveDateTime="0001-01-01T00:00:00+14:00", valueString="1"),
        observation("c", effectivePeriod={"start": "9999-12-31", "end": "0001-01-01"}),
        about("Encounter", "e", status="finished", period={"start": "0001-01-01", "end": "9999-12-31"}),
    ],
    "numbers of many digits, ratios to nothing, ranges upside down": [
        line(observation("a", valueQuantity={"value": 77, "unit": "g"})).replace(b"77", b"9" * 300),
        line(observation("b", valueQuantity={"value": 77, "unit": "g"})).replace(b"77", b"0." + NINES),
        observation("c", valueRatio={"numerator": {"value": 1}, "denominator": {"value": 0}}),
        observation("d", valueRange={"low": {"value": 9}, "high": {"value": -9}}),
    ],
    "instructions for ever": [
        about(
            "MedicationRequest", "m", status="active", intent="order", medicationCodeableConcept={"text": "X"},
            dosageInstruction=[{
                "timing": {
                    "repeat": {"count": 10**30, "duration": 1e308, "durationUnit": "a", "frequency": -1, "period": 0,
                               "periodUnit": "s", "timeOfDay": ["99:99:99"] * 500, "dayOfWeek": ["x"] * 500},
                    "event": ["9999-12-31T23:59:59+14:00"] * 500,
                },
                "doseAndRate": [{"doseQuantity": {"value": 1e300, "unit": "mg"}}],
            }],
        )
    ],
    "lines of headers in types and names of attachments": [
        about(
            "DocumentReference", "d", status="current",
            content=[{"attachment": {"contentType": "text/html\r\nX-Evil: 1", "data": "!!!!", "size": -1,
                                     "title": 'a\r\nSet-Cookie: x=1; "q"/../../x'}}],
        ),
        about("DocumentReference", "f", status="current",
              content=[{"attachment": {"contentType": "text/plain; charset=no-such", "data": "/////w=="}}]),
    ],
    "what is part of itself": [
        about("Encounter", "e", status="finished", partOf=ref("Encounter/e"), period={"start": "2026-01-01"}),
        observation("a", hasMember=[ref("Observation/a")], derivedFrom=[ref("Observation/a")]),
        about("DiagnosticReport", "d", status="final", code={"text": "r"}, result=[ref("DiagnosticReport/d")]),
        {"resourceType": "PractitionerRole", "id": "r", "practitioner": ref("PractitionerRole/r")},
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", EDGES)
def test_what_stands_at_an_edge_is_imported_and_shown(feed: Feed, may_take, seat, caseload, kind):
    """Whole, to the last resource: and again it is no change."""
    sent = [patient(), *EDGES[kind]]
    assert counts(feed.send(*sent)) == (len(sent), 0, 0, 0, 0)
    assert counts(feed.run()) == (0, 0, len(sent), 0, 0)
    make.make_membership(caseload, feed.patient())
    open_all(seat, feed.patient().pk)
    assert seat.post(f"/patients/{feed.patient().pk}/take/").status_code == 200


@pytest.mark.parametrize(
    "subject",
    ["patient/p1", " Patient/p1 ", "Patient/p1?x=y", "Patient/p1#x", "Patient%2Fp1", "Patient/p1/../p2",
     "https://evil.example/fhir/Patient/p1", "Patient?identifier=a|b&identifier=c|d", "Patient/P1"],
)  # fmt: skip
def test_what_only_looks_like_a_patients_reference_is_of_nobody(feed: Feed, subject):
    """Whom a resource is about is never guessed: it is shown to no one."""
    feed.send(patient(), patient("p2"), observation(subject=subject))
    assert feed.resource("Observation/o1").patient is None
