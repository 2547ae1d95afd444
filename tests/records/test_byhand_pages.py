"""The pages of what our staff change by hand: named by number and birth date, confirmed from the evidence, no names."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from records import byhand, links
from records.models import ByHand, Membership, OptOut
from records.models.byhand import Status
from tests import factories as make
from tests.factories import WORKER, client_for
from tests.records.feeds import Feed
from tests.records.feeds import patient as fhir_patient
from tests.records.test_byhand import staff
from tests.records.test_chart import counted
from tests.records.test_feed_pages import text

SECRET = "Geheimnis"


def numbered(id: str, number: str, born: str = "1990-05-17"):
    return fhir_patient(
        id, birthDate=born, identifier=[{"system": "urn:test:mrn", "value": number}], name=[{"family": SECRET}]
    )


@pytest.fixture
def approver(db):
    return client_for(staff("Approver", "approver"))


@pytest.fixture
def operator(db):
    return client_for(staff("Operator", "operator"))


@pytest.fixture
def officer(db):
    return client_for(staff("Privacy Officer", "privacy"))


def until(days: int = 30) -> str:
    return (timezone.localdate() + timedelta(days=days)).isoformat()


def refused(response) -> str:
    assert response.status_code == 422
    return " ".join(response.content.decode().split())


def test_the_form_of_the_second_person_opens_once_they_have_confirmed_that_it_is_them(feed, caseload, approver):
    """What is typed there names a patient: it is not kept while somebody confirms elsewhere."""
    feed.send(numbered("p1", "A1"))
    entered = byhand.enter(
        ByHand.Kind.LIST, by=staff("Operator", "operator"), patient_id=feed.patient("p1").pk, caseload=caseload,
        evidence="Letter",
    )  # fmt: skip
    page, typed = f"/by-hand/{entered.pk}/", {"act": "confirm", "number": "A1", "born": "1990-05-17"}
    open_session = client_for(staff("Other Approver", "approver", proved=False))
    found = text(open_session.get(page))
    assert "So confirm first that it is you" in found
    assert "Record number" not in found
    for act in ({"act": "prove"}, typed):  # the tenant is not there in this test: nothing is done, and it says so
        assert open_session.post(page, act)["Location"] == page
        assert "We cannot check just now that it is you" in text(open_session.get(page))
        assert "A1" not in str(dict(open_session.session)), "the session keeps no number"
    assert ByHand.objects.get().status == Status.ENTERED
    assert "Record number" in text(approver.get(page))
    assert approver.post(page, {"act": "prove"})["Location"] == page
    assert approver.post(page, typed).status_code == 302
    assert ByHand.objects.get().status == Status.CONFIRMED


def test_a_patient_is_added_by_one_and_confirmed_by_another_who_names_them_again(feed, caseload, approver, operator):
    feed.send(numbered("p1", "RN-4711-0815"), numbered("p2", "B2"))
    typed = {
        "caseload": str(caseload.pk),
        "number": "RN-4711-0815",
        "born": "17-May-1990",
        "until": until(),
        "evidence": "Letter",
    }
    response = approver.post("/by-hand/list/", typed)
    assert response.status_code == 302, refused(response)
    page = response["Location"]
    assert "Somebody else has to confirm it" in text(approver.get(page))
    assert approver.post(page, {"act": "confirm", "number": "RN-4711-0815", "born": "17-May-1990"}).status_code == 403
    found = text(operator.get(page))
    assert "Take the evidence and enter whom it names" in found
    assert "RN-4711-0815" not in found, "the second person reads it in the evidence, not here"
    wrong = refused(operator.post(page, {"act": "confirm", "number": "B2", "born": "17-May-1990"}))
    assert "This is not whom the first person entered" in wrong
    assert "No patient at Main site" in refused(
        operator.post(page, {"act": "confirm", "number": "RN-4711-0815", "born": "18-5-1990"})
    )
    assert ByHand.objects.get().status == Status.ENTERED
    assert operator.post(page, {"act": "confirm", "number": "rn 4711 0815", "born": "1990-05-17"}).status_code == 302
    byhand.work(using=WORKER)
    made = Membership.objects.using(WORKER).get(basis="by_hand")
    assert made.patient == feed.patient("p1")
    assert timezone.localdate(made.ends_at - timedelta(seconds=1)).isoformat() == until()
    listed = text(operator.get("/by-hand/"))
    assert "In force (1)" in listed
    assert SECRET not in listed + found
    assert refused(operator.post(page, {"act": "withdraw", "reason": ""}))
    assert operator.post(page, {"act": "withdraw", "reason": "Moved away"}).status_code == 302
    byhand.work(using=WORKER)
    assert not Membership.objects.using(WORKER).in_force().filter(basis="by_hand").exists()


def test_what_is_wrong_is_said_beside_the_field_and_keeps_what_was_typed(feed, caseload, approver):
    feed.send(numbered("p1", "A1"))
    typed = {
        "caseload": str(caseload.pk),
        "number": "A1",
        "born": "17-May-1990",
        "until": until(),
        "evidence": "Letter",
    }
    for wrong, said in (
        ({"number": "A2"}, "No patient at Main site has this number and this birth date"),
        ({"born": "1990"}, "Enter the birth date as day, month and year"),
        ({"until": until(-1)}, "Enter a day from today on"),
        ({"until": until(400)}, "at most a year from now"),
        ({"evidence": ""}, "Say what it rests on"),
        ({"caseload": str(byhand.UUID(int=7))}, "Select a valid choice"),
    ):
        page = refused(approver.post("/by-hand/list/", {**typed, **wrong}))
        assert said in page
        assert 'value="17-May-1990"' in page or "born" in wrong
    assert approver.post("/by-hand/list/", typed).status_code == 302
    assert "by hand already" in refused(approver.post("/by-hand/list/", typed))
    assert ByHand.objects.count() == 1


def test_an_officer_enters_an_opt_out_and_takes_it_back(officer, patient, organisation):
    typed = {"patient": str(patient.pk), "organisation": str(organisation.pk), "evidence": "Form of 1 June"}
    response = officer.post("/by-hand/opt_out/", typed)
    assert response.status_code == 302, refused(response)
    assert OptOut.objects.using(WORKER).get().organisation == organisation
    page = text(officer.get(response["Location"]))
    assert "Not shared with Partner B" in page
    assert patient.family not in page
    byhand.work(using=WORKER)
    assert officer.post(response["Location"], {"act": "withdraw", "reason": "The patient says so"}).status_code == 302
    byhand.work(using=WORKER)
    assert OptOut.objects.using(WORKER).get().ends_at
    nobody = {**typed, "patient": "00000000-0000-4000-8000-000000000000"}
    assert "We hold no patient with this id" in refused(officer.post("/by-hand/opt_out/", nobody))


def test_an_officer_holds_a_section_or_one_entry_back(officer, patient):
    entry = make.make_resource(patient, "documents", "DocumentReference")
    typed = {"patient": str(patient.pk), "sensitive_class": "other", "evidence": "Form"}
    both = {**typed, "section": "documents", "entry": str(entry.pk)}
    assert "Choose a section or one entry, not both" in refused(officer.post("/by-hand/label/", both))
    assert officer.post("/by-hand/label/", {**typed, "entry": str(entry.pk)}).status_code == 302
    byhand.work(using=WORKER)
    entry.refresh_from_db(using=WORKER)
    assert entry.classes == ["other"]
    assert "Select a valid choice" in refused(officer.post("/by-hand/label/", {**typed, "sensitive_class": "unknown"}))


def test_two_records_are_joined_by_two_and_their_caseloads_reviewed(
    feed, facility, caseload, organisation, approver, operator, officer
):  # fmt: skip
    north = Feed(feed.folder.parent / "north", make.make_source(make.make_facility("North site"), "north"))
    there = make.make_caseload(organisation, north.source.facility)
    feed.send(numbered("p1", "A1"))
    north.send(numbered("p1", "N1"))
    make.make_membership(caseload, feed.patient())
    pair = {"facility": str(facility.pk), "number": "A1", "born": "17-May-1990"}
    pair |= {"other_facility": str(north.source.facility.pk), "other_number": "N1", "other_born": "17-May-1990"}
    same = {**pair, "other_facility": str(facility.pk), "other_number": "A1"}
    assert "These are the same record" in refused(operator.post("/by-hand/link/", {**same, "evidence": "Passport"}))
    page = operator.post("/by-hand/link/", {**pair, "evidence": "Passport"})["Location"]
    assert officer.post(page, {"act": "confirm", **pair}).status_code == 302
    byhand.work(using=WORKER)
    assert links.one_person(feed.patient().pk, using=WORKER) == {feed.patient().pk, north.patient().pk}
    proposed = ByHand.objects.get(kind="review")
    review = reverse("by-hand:entry", args=[proposed.pk])
    assert operator.get(review).status_code == 404
    assert "To confirm or review (1)" in text(approver.get("/by-hand/"))
    assert "Add them to it" in text(approver.get(review))
    assert approver.post(review, {"act": "confirm"}).status_code == 302
    byhand.work(using=WORKER)
    assert Membership.objects.using(WORKER).in_force().filter(caseload=there, patient=north.patient()).exists()


def test_each_sees_and_does_what_is_theirs(guest, grant, patient, approver, operator, officer):
    officer.post("/by-hand/opt_out/", {"patient": str(patient.pk), "evidence": "Form"})
    page = reverse("by-hand:entry", args=[ByHand.objects.get().pk])
    for other in (approver, operator):
        assert other.get(page).status_code == 404
        assert other.post(page, {"act": "withdraw", "reason": "x"}).status_code == 404
        assert other.get("/by-hand/opt_out/").status_code == 403
        assert "Opt-out" not in text(other.get("/by-hand/"))
    assert officer.get("/by-hand/list/").status_code == 403
    assert client_for(guest).get("/by-hand/").status_code == 403
    assert client_for(guest).get(page).status_code == 404
    assert client_for(staff("Reviewer", "reviewer")).get("/by-hand/").status_code == 403
    assert officer.get("/by-hand/review/").status_code == 404
    assert officer.post(page, {"act": "confirm"}).status_code == 404


def test_who_comes_second_reads_that_somebody_was_quicker(feed, caseload, approver, operator, monkeypatch):
    feed.send(numbered("p1", "A1"))
    typed = {
        "caseload": str(caseload.pk),
        "number": "A1",
        "born": "17-May-1990",
        "until": until(),
        "evidence": "Letter",
    }
    page = approver.post("/by-hand/list/", typed)["Location"]

    def too_late(*_, **__):
        raise byhand.IllegalTransition

    monkeypatch.setattr(byhand, "decline", too_late)
    response = operator.post(page, {"act": "decline", "reason": "no"}, follow=True)
    assert "Somebody else was quicker" in text(response)


def test_these_pages_take_at_most_twelve_queries(feed, caseload, approver, officer, patient):
    feed.send(numbered("p1", "A1"))
    typed = {
        "caseload": str(caseload.pk),
        "number": "A1",
        "born": "17-May-1990",
        "until": until(),
        "evidence": "Letter",
    }
    page = approver.post("/by-hand/list/", typed)["Location"]
    officer.post("/by-hand/opt_out/", {"patient": str(patient.pk), "evidence": "Form"})
    for seat, path in ((approver, "/by-hand/"), (approver, page), (officer, "/by-hand/label/"), (officer, "/why/")):
        with counted() as seen:
            assert seat.get(path).status_code == 200
        assert sum(seen.values()) <= 12, (path, seen)
