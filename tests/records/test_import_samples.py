"""Real feeds that nobody in this project wrote: Synthea in three generations, and the official HL7 examples."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from records.models import Patient, Rejection, Resource, ResourceVersion
from tests import factories as make
from tests.factories import WORKER
from tests.records.feeds import Feed, counts

BUNDLES = {
    "a-synthea-2022-Chanell45_Ratke343": 909,
    "b-synthea-2022-Dino214_Parisian75": 164,
    "c-synthea-2.4.0-Fletcher_Hyatt": 1111,
    "d-synthea-2.4.0-Maida": 178,
    "e-synthea-2021-overlaps-ndjson-Emery884_Johnston597": 347,
}


def bundle_file(shared: Path, start: str) -> Path:
    (found,) = (shared / "synthea/bundles").glob(f"{start}*.json.gz")
    return found


@pytest.mark.parametrize(("name", "entries"), BUNDLES.items())
def test_a_patients_bundle_gives_one_patient_and_everything_about_them(feed, shared, name, entries):
    result = feed.run(bundle_file(shared, name))
    assert counts(result) == (entries, 0, 0, 0, 0)
    (patient,) = Patient.objects.using(WORKER).all()
    shown = Resource.objects.using(WORKER).exclude(section=None)
    assert not shown.exclude(patient=patient).exists()
    assert not shown.filter(classes__contains=["unknown"]).exists()
    assert not Resource.objects.using(WORKER).filter(raw__contains='"urn:uuid:').filter(type="Encounter").exists()
    again = feed.run(bundle_file(shared, name))
    assert counts(again) == (0, 0, entries, 0, 0)


def test_the_text_of_every_entry_is_the_same_json(feed, shared):
    path = bundle_file(shared, "d-")
    feed.run(path)
    sent = json.loads(gzip.decompress(path.read_bytes()), parse_float=str, parse_int=str)
    by_url = {one["fullUrl"]: f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in sent["entry"]}
    for entry in sent["entry"]:
        text = json.dumps(entry["resource"])
        for url, target in by_url.items():
            text = text.replace(f'"reference": "{url}"', f'"reference": "{target}"')
        kept = feed.resource(by_url[entry["fullUrl"]]).raw
        assert json.loads(kept, parse_float=str, parse_int=str) == json.loads(text)


def test_a_bundle_of_twenty_megabytes(feed, shared):
    result = feed.run(bundle_file(shared, "z-"))
    assert counts(result) == (8335, 0, 0, 0, 0)
    assert Patient.objects.using(WORKER).count() == 25


def test_a_bundle_that_overlaps_a_bulk_export_gives_one_patient_and_no_doubles(feed, shared):
    """The folder's files alone, then the hospitals and practitioners, then the bundle with conditional references."""
    files = sorted((shared / "synthea").glob("*.ndjson.gz"))
    export = feed.run(*files)
    assert counts(export) == (64_828, 0, 0, 0, 0)
    assert export.awaiting == 0
    assert Patient.objects.using(WORKER).count() == 185
    feed.run(bundle_file(shared, "e-prerequisite-hospital"), bundle_file(shared, "e-prerequisite-practitioner"))
    versions = set(ResourceVersion.objects.using(WORKER).values_list("resource__type", flat=True))
    assert versions <= {"Organization", "Practitioner", "Location", "PractitionerRole"}
    result = feed.run(bundle_file(shared, "e-synthea"))
    assert counts(result) == (0, 0, 347, 0, 0)
    assert result.awaiting == 0
    assert Patient.objects.using(WORKER).count() == 185
    shown = Resource.objects.using(WORKER).exclude(section=None)
    assert not shown.filter(patient=None).exists()
    assert not shown.filter(classes__contains=["unknown"]).exists()


INVALID = {"r4": "Questionnaire-qs1.json", "us-core": "diagnosticreport-cbc.json"}
"""An item without linkId, and a narrative without a text: by FHIR's own rules not valid."""


def test_the_official_examples_import_but_the_two_that_are_invalid(feed, facility, shared):
    other = Feed(feed.folder.parent / "us-core", make.make_source(facility, "us-core"))
    results = {"r4": feed.run(shared / "hl7-examples/r4"), "us-core": other.run(shared / "hl7-examples/us-core")}
    assert [(result.files, result.others) for result in results.values()] == [(390, []), (228, [])]
    rejected = Rejection.objects.using(WORKER).exclude(reason="unsupported")  # a conditional DELETE in a transaction
    assert {one.imported.source_id: one.file for one in rejected} == {
        feed.source.pk: INVALID["r4"],
        other.source.pk: INVALID["us-core"],
    }
    assert Rejection.objects.using(WORKER).count() == 3
    types = Counter(Resource.objects.using(WORKER).values_list("type", flat=True))
    assert types["Observation"] > 300
    assert types["Patient"] == Patient.objects.using(WORKER).count()
    taboo = Resource.objects.using(WORKER).filter(own_classes=["other"]).values_list("type", flat=True)
    assert list(taboo) == ["Condition"]
    # What is shown is about somebody whom we know, with labels that are complete.
    assert not Resource.objects.using(WORKER).filter(settled=False).exists()
    again = feed.run(shared / "hl7-examples/r4")
    assert again.run.created == 0
    assert types["Patient"] == Patient.objects.using(WORKER).count()


def test_every_official_example_alone(feed: Feed, shared):
    """One file after the other, as an operator might send them: nothing stops, nothing is lost."""
    paths = sorted((shared / "hl7-examples/us-core").glob("*.json"))
    taken = rejected = 0
    for path in paths[:60]:
        run = feed.run(path).run
        taken, rejected = taken + run.created + run.unchanged + run.changed, rejected + run.rejected
    assert (taken >= 60, rejected) == (True, 0)
