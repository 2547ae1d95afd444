"""Names behind references: a medicine's under the rule of what refers to it, others from directories."""

from __future__ import annotations

import pytest
from django.test import Client

from clinicportal.viewing import NoViewer, viewing
from records.chart import names
from records.importing import running
from records.models import Agreement, Grant, ReferredName, Resource, Section
from tests import factories as make
from tests.factories import WORKER
from tests.records.feeds import Feed, Json, about, labelled, ndjson, patient, ref
from tests.records.test_chart import counted, everything, seat, text_of
from tests.records.test_wall import every_way, seen_by

__all__ = ["everything", "seat"]

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
HIV_DRUG = {"coding": [{"system": RXNORM, "code": "1433873", "display": "Zaltoprin"}]}
KINDS = ("MedicationAdministration", "MedicationDispense", "MedicationRequest", "MedicationStatement")


def medication(called: str = "Zaltoprin", **fields) -> Json:
    strength = {"numerator": {"value": 5, "unit": "mg"}, "denominator": {"value": 1, "unit": "tablet"}}
    return {
        "resourceType": "Medication", "id": "m1", "code": {"text": called}, "form": {"text": "Coated tablet"},
        "ingredient": [{"itemCodeableConcept": {"text": "zaltoprin"}, "strength": strength}], **fields,
    }  # fmt: skip


def prescribed(kind: str = "MedicationRequest", **fields) -> Json:
    return about(kind, "r1", status="active", intent="order", medicationReference=ref("Medication/m1"), **fields)


@pytest.fixture
def open_to_all(feed: Feed, guest, organisation, seat) -> Client:
    """A patient of the feed, named in a grant of all sections and no class."""
    feed.send(patient())
    make.make_grant(guest, patient=feed.patient(), organisation=organisation, sections=Section.values)
    return seat


def shown(seat: Client, feed: Feed, path: str = "medicines/") -> str:
    answer = seat.get(f"/patients/{feed.patient().pk}/{path}")
    assert answer.status_code == 200
    return text_of(answer)


# ------------------------------------------------------------------------------------------------- medicines


@pytest.mark.parametrize("order", ["before", "after", "together", "later"])
def test_a_medicine_is_named_by_its_medication_whenever_that_comes(open_to_all, feed, order):
    """Name, strength and form, not what the reference calls it."""
    held = [medication(), prescribed()]
    for sent in {"before": held, "after": held[::-1]}.get(order, []):
        feed.send(sent)
    if order == "together":
        feed.send(*held[::-1])
    if order == "later":
        feed.send(prescribed())
        assert "Medicine not named" in shown(open_to_all, feed)
        feed.send(medication())
    for path in ("", "medicines/"):
        assert "Zaltoprin — 5 mg — coated tablet" in shown(open_to_all, feed, path)
    assert feed.resource("MedicationRequest/r1").label == "Zaltoprin"


def test_a_changed_medication_is_followed(open_to_all, feed):
    feed.send(medication(), prescribed())
    feed.send(medication("Zaltoprin retard"))
    assert "Zaltoprin retard — 5 mg" in shown(open_to_all, feed)
    assert feed.resource("MedicationRequest/r1").label == "Zaltoprin retard"
    feed.send(prescribed(note=[{"text": "Changed"}]))
    assert "Zaltoprin retard — 5 mg" in shown(open_to_all, feed)


@pytest.mark.parametrize("sensitive", ["code", "ingredient", "ingredient elsewhere", "label"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_refers_to_a_sensitive_medication_is_as_sensitive_in_every_way_of_asking(
    feed, guest, organisation, agreement, kind, sensitive
):
    spoilt = {
        "code": {"code": HIV_DRUG},
        "ingredient": {"ingredient": [{"itemCodeableConcept": HIV_DRUG}]},
        "ingredient elsewhere": {"ingredient": [{"itemReference": ref("Medication/m2")}]},
        "label": {"meta": labelled("R", "HIV")},
    }[sensitive]
    feed.send(patient(), medication(), medication(code=HIV_DRUG, id="m2"), prescribed(kind))
    sections = [Section.DEMOGRAPHICS, Section.MEDICINES]
    grant = make.make_grant(guest, patient=feed.patient(), organisation=organisation, sections=sections)
    Agreement.objects.using(WORKER).filter(pk=agreement.pk).update(sections=Section.values, classes=["hiv"])
    assert seen_by(guest, feed.resource(f"{kind}/r1")) == every_way((True, True))
    feed.send(medication(**spoilt))
    assert feed.classes(f"{kind}/r1") == {"hiv"}
    assert seen_by(guest, feed.resource(f"{kind}/r1")) == every_way((True, False))
    Grant.objects.using(WORKER).filter(pk=grant.pk).update(classes=["hiv"])
    assert seen_by(guest, feed.resource(f"{kind}/r1")) == every_way((True, True))
    Grant.objects.using(WORKER).filter(pk=grant.pk).update(classes=[])
    feed.send(medication("Harmless"))
    assert seen_by(guest, feed.resource(f"{kind}/r1")) == every_way((True, True))
    assert "Harmless" in feed.resource(f"{kind}/r1").medication


@pytest.mark.parametrize("kind", ["MedicationRequest", "MedicationDispense", "MedicationAdministration"])
def test_a_medication_that_its_source_deleted_or_took_back_is_not_shown_as_if_it_stood(open_to_all, feed, kind):
    """A medicine without a name would be worse than one with the last name it had, and a word that it is in doubt."""
    wrong, gone = "Named by an entry made in error", "Named by an entry deleted at its source"
    given = {"status": "completed"} if kind != "MedicationRequest" else {}
    feed.send(medication(), {**prescribed(kind), **given})
    seen = shown(open_to_all, feed)
    assert "Zaltoprin — 5 mg — coated tablet" in seen
    assert wrong not in seen
    assert gone not in seen
    feed.send(medication(status="entered-in-error"))
    for path in PATHS[kind]:
        assert wrong in shown(open_to_all, feed, path)
    feed.send(DELETE_OF_MEDICATION)
    for path in PATHS[kind]:
        seen = shown(open_to_all, feed, path)
        assert "Zaltoprin" in seen
        assert wrong in seen  # it was that before it went
    feed.send(medication())
    feed.send(DELETE_OF_MEDICATION)
    assert gone in shown(open_to_all, feed)
    feed.send({**prescribed(kind), **given, "note": [{"text": "Changed"}]})
    running.relabel(feed.source, everything=True, using=WORKER)
    assert gone in shown(open_to_all, feed)
    feed.send(medication())
    seen = shown(open_to_all, feed)
    assert wrong not in seen
    assert gone not in seen


PATHS = {
    "MedicationRequest": ("", "medicines/", "timeline/", "print/"),
    "MedicationDispense": ("medicines/", "timeline/"),
    "MedicationAdministration": ("medicines/",),
}
DELETE_OF_MEDICATION: Json = {
    "resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "DELETE", "url": "Medication/m1"}}]
}  # fmt: skip


def test_a_deleted_medication_without_a_word_says_that_it_is_deleted(open_to_all, feed):
    feed.send({"resourceType": "Medication", "id": "m1"}, prescribed())
    feed.send(DELETE_OF_MEDICATION)
    assert "Named by an entry deleted at its source" in shown(open_to_all, feed)


def test_a_medication_by_itself_is_seen_by_nobody(open_to_all, feed, guest):
    feed.send(medication(subject=ref("Patient/p1")), prescribed())
    assert {sees for _patient, sees in seen_by(guest, feed.resource("Medication/m1")).values()} == {False}


def test_a_withheld_medicine_leaves_no_trace_and_is_not_on_paper(open_to_all, feed):
    feed.send(medication("Zaltoprin", meta=labelled("R", "HIV")), prescribed())
    for path in ("", "medicines/", "timeline/", "print/"):
        assert "altoprin" not in shown(open_to_all, feed, path)
    feed.send(medication("Zaltoprin", meta=labelled("NOPAT")))
    assert "Zaltoprin" in shown(open_to_all, feed)
    assert "Zaltoprin" not in shown(open_to_all, feed, "print/")


def test_only_what_a_medication_is_stands_beside_its_request(feed):
    secret = "Alpha Stranger"
    feed.send(
        patient(),
        medication(
            text={"status": "generated", "div": f"<div>{secret}</div>"}, batch={"lotNumber": secret},
            manufacturer={"display": secret},
            contained=[{"resourceType": "Patient", "id": "x", "name": [{"text": secret}]}],
        ),
        prescribed(),
    )  # fmt: skip
    held = feed.resource("MedicationRequest/r1")
    assert "zaltoprin" in held.medication
    assert secret not in held.medication


# ---------------------------------------------------------------------------------------------- directories


DIRECTORY = (
    {
        "resourceType": "Practitioner", "id": "d1",
        "name": [{"use": "old", "family": "Former"}, {"family": "Bone", "given": ["Ronald"], "prefix": ["Dr."]}],
    },
    {"resourceType": "Organization", "id": "o1", "name": "Northfield Clinic"},
    {"resourceType": "PractitionerRole", "id": "pr1", "practitioner": ref("Practitioner/d1")},
    {"resourceType": "Location", "id": "l1", "name": "Ward 7"},
)  # fmt: skip
VISIT = about(
    "Encounter", "e1", status="finished", period={"start": "2026-01-02", "end": "2026-01-02"},
    participant=[{"individual": ref("PractitionerRole/pr1")}], location=[{"location": ref("Location/l1")}],
)  # fmt: skip
DONE = about(
    "Procedure", "x1", status="completed", code={"text": "Suture"}, performedDateTime="2026-01-02",
    performer=[{"actor": ref("Practitioner/d1")}], location=ref("Organization/o1"),
)  # fmt: skip


@pytest.mark.parametrize("directory_first", [True, False])
def test_people_and_places_are_named_by_their_directory(open_to_all, feed, directory_first):
    for sent in [DIRECTORY, (VISIT, DONE)][:: 1 if directory_first else -1]:
        feed.send(*sent)
    assert "Ward 7 Dr. Ronald Bone" in shown(open_to_all, feed, "encounters/")
    assert "Northfield Clinic Dr. Ronald Bone" in shown(open_to_all, feed, "procedures/")
    feed.send({**DIRECTORY[0], "name": [{"family": "Bone-Carter", "given": ["Ronald"]}]})
    assert "Ronald Bone-Carter" in shown(open_to_all, feed, "encounters/")


def test_who_is_no_longer_in_the_directory_still_signed_and_that_is_said(open_to_all, feed):
    """By a snapshot without them, or a DELETE; until they are back."""
    gone = "Ronald Bone (no longer in the directory)"
    delete = {"type": "batch", "entry": [{"request": {"method": "DELETE", "url": "Practitioner/d1"}}]}
    feed.send(*DIRECTORY, VISIT, DONE)
    assert "no longer" not in shown(open_to_all, feed, "procedures/")
    feed.send({"resourceType": "Bundle", **delete})
    assert f"Northfield Clinic Dr. {gone}" in shown(open_to_all, feed, "procedures/")
    assert gone in shown(open_to_all, feed, "encounters/")  # by way of a role
    running.relabel(feed.source, everything=True, using=WORKER)
    assert gone in shown(open_to_all, feed, "procedures/")
    feed.send(DIRECTORY[0])
    assert "no longer" not in shown(open_to_all, feed, "procedures/")
    feed.write("feed.ndjson", ndjson(patient(), VISIT, DONE, *DIRECTORY[1:]))
    running.import_files(feed.source, [feed.folder], snapshot=True, may_lack=1, using=WORKER)
    assert gone in shown(open_to_all, feed, "procedures/")


def test_a_name_that_a_correction_takes_away_is_not_shown_any_more(open_to_all, feed):
    feed.send(*DIRECTORY, DONE)
    feed.send({**DIRECTORY[0], "name": []}, {"resourceType": "Organization", "id": "o1"})
    seen = shown(open_to_all, feed, "procedures/")
    assert "Ronald" not in seen
    assert "Northfield" not in seen


def test_contained_people_are_named_and_unknown_ones_are_not_made_up(open_to_all, feed):
    inside = {"resourceType": "Practitioner", "id": "c", "name": [{"text": "Nurse Ratched"}]}
    feed.send({**DONE, "contained": [inside], "performer": [{"actor": ref("#c")}]})
    seen = shown(open_to_all, feed, "procedures/")
    assert "Nurse Ratched" in seen
    assert "Name not sent" in seen  # where


def test_a_name_is_of_the_source_that_refers_to_it(open_to_all, feed, facility):
    other = Feed(feed.folder.parent / "other", make.make_source(facility, "other"))
    other.send(*DIRECTORY)
    feed.send(VISIT)
    assert "Ronald" not in shown(open_to_all, feed, "encounters/")


def test_a_labelled_entry_of_a_directory_names_nobody_any_more(open_to_all, feed):
    feed.send(*DIRECTORY, DONE)
    feed.send({**DIRECTORY[0], "meta": labelled("R")})
    assert "Ronald" not in shown(open_to_all, feed, "procedures/")
    assert ReferredName.objects.using(WORKER).count() == 3


def test_names_cost_one_statement_and_none_where_all_are_sent(open_to_all, feed):
    sent = {**VISIT, "participant": [], "location": [{"location": {"reference": "Location/l1", "display": "Ward 7"}}]}
    feed.send(*DIRECTORY, *({**VISIT, "id": f"e{n}"} for n in range(30)))
    with counted() as many:
        shown(open_to_all, feed, "encounters/")
    feed.send(*({**sent, "id": f"e{n}"} for n in range(30)))
    with counted() as few:
        shown(open_to_all, feed, "encounters/")
    assert many.total() == few.total() + 1
    assert many.total() <= 12


def test_names_are_read_for_a_viewer_only(guest, feed):
    feed.send(*DIRECTORY)
    with pytest.raises(NoViewer):
        ReferredName.objects.count()
    with viewing(guest):
        assert ReferredName.objects.count() == 4
    body = {"performer": ref("Practitioner/d1")}
    with pytest.raises(NoViewer):
        names.put([body], feed.source.pk, by=guest)
    stranger = make.make_user("nobody@elsewhere.example")
    with viewing(stranger):
        assert ReferredName.objects.count() == 0


def test_us_cores_examples_name_their_medicines_and_people(shared, feed, guest, organisation, seat):
    feed.run(shared / "hl7-examples/us-core")
    held = feed.resource("MedicationRequest/medicationrequest-referenced-oral-axid")
    make.make_grant(guest, patient=held.patient, organisation=organisation, sections=Section.values)
    assert "Axid" in held.label
    assert "Axid" in held.medication
    assert ReferredName.objects.using(WORKER).filter(name__contains="Bone").exists()
    assert "Medicine not named" not in text_of(seat.get(f"/patients/{held.patient_id}/medicines/"))


def test_reading_the_stored_texts_again_brings_names_to_what_was_here_before(open_to_all, feed):
    feed.send(medication(), prescribed(), *DIRECTORY, DONE)
    ReferredName.objects.using(WORKER).all().delete()
    Resource.objects.using(WORKER).update(medication="", rules=1)
    assert "Zaltoprin" not in shown(open_to_all, feed)
    running.relabel(feed.source, using=WORKER)
    assert "Zaltoprin — 5 mg — coated tablet" in shown(open_to_all, feed)
    assert "Dr. Ronald Bone" in shown(open_to_all, feed, "procedures/")
