"""Asking why somebody sees a patient: the page, the worker's answer, and what neither may tell.

That the reasons are those of the rule is asked of every case in test_wall.py.
"""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.urls import reverse
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import AuditSubject
from records import why, why_words
from records.models import Agreement, Grant, Membership, OptOut, Patient, Question, Suspension
from records.models.grants import VIEWER, to_count
from records.models.resources import Resource
from records.patient_forms import patient_numbered
from tests import factories as make
from tests.factories import WORKER, client_for, days
from tests.records.feeds import patient as fhir_patient

SECRET = "Geheimnis"


def staff(name: str, *roles: str):
    user = make.make_user(name, staff_roles=list(roles), roles_checked_at=timezone.now(), accepts_terms=False)
    return make.signed_in(user, None)


@pytest.fixture
def officer(db):
    return staff("Privacy Officer", "privacy")


@pytest.fixture
def seat(officer):
    return client_for(officer)


def text(response, status: int = 200) -> str:
    assert response.status_code == status, response.status_code
    return " ".join(response.content.decode().split())


def ask(client, guest, patient, **fields) -> str:
    """Ask on the page, let the worker answer, and read the page."""
    sent = {"guest": str(guest.object_id), "patient": str(patient.pk), **fields}
    response = client.post(reverse("why"), sent)
    assert response.status_code == 302, text(response, 422)
    assert "We are finding out" in text(client.get(response["Location"]))
    assert why.answer_open(using=WORKER) == 1
    return text(client.get(response["Location"]))


def test_yes_names_the_grant_and_the_membership(seat, guest, grant, patient):
    found = ask(seat, guest, patient)
    assert "For Partner B: yes" in found
    assert "By the grant for Shared care, Main site" in found
    assert "approved by an approver" in found
    assert "Registration since" in found
    assert "<dt>Not: documents</dt><dd>not granted</dd>" in found
    assert "<dt>Includes</dt><dd>demographics, problems, results</dd>" in found
    assert patient.family not in found


def test_no_says_what_ended_and_what_to_do(seat, guest, grant, patient):
    Membership.objects.using(WORKER).update(ends_at=days(-1))
    found = ask(seat, guest, patient)
    assert "For Partner B: no" in found
    assert "The patient is not in the caseload Shared care, Main site now. Registration ended on" in found
    assert "our feed has to say so, or two of us add the patient by hand" in found
    Grant.objects.using(WORKER).update(ends_at=days(-0.5))
    assert "The grant ended on" in ask(seat, guest, patient)


def end_grant(c) -> None:
    Grant.objects.using(WORKER).update(ended_at=days(0), ended_because="Has left the organisation")


def paused(reason: str, **target):
    return lambda c: Suspension.objects.using(WORKER).create(
        reason=reason, **{name: getattr(c, field) for name, field in target.items()}
    )


def replace(c) -> None:
    Patient.objects.using(WORKER).filter(pk=c.patient.pk).update(replaced_by=make.make_patient(c.source, "Other"))


def look_up(c) -> None:
    Membership.objects.using(WORKER).update(ends_at=days(-1))
    Agreement.objects.using(WORKER).update(may_look_up=True)
    Grant.objects.using(WORKER).update(may_look_up=True)
    make.make_grant(c.guest, organisation=c.organisation, patient=c.patient, under=c.grant, ends_at=days(1))


@pytest.mark.parametrize(
    ("change", "said", "do"),
    [
        (end_grant, "Somebody ended the grant on", "Their sponsor can ask for it again"),
        (end_grant, ": Has left the organisation.", "Who ended it is in the audit trail"),
        (paused("drift", grant="grant"), "The grant is paused: changed in the directory.", "on the page of the person"),
        (paused("security", user="guest"), "The person is paused: security.", "Else an approver finds it"),
        (paused("identity", user="guest"), "The person is paused: has to sign in anew.", "sign in anew, ask them to"),
        (paused("person", user="guest"), "The person is paused.", "Else an approver finds it"),
        (
            paused("organisation", organisation="organisation"),
            "The organisation is paused.",
            "reads under Organisations",
        ),
        (replace, "My patients and searches leave it out", "Ask the same about the record that replaced it"),
        (look_up, "They looked the patient up themselves on", "open to them alone, until"),
        (lambda c: OptOut.objects.using(WORKER).create(patient=c.patient), "refuses to be shared", "under By hand"),
    ],
)
def test_the_answer_gives_the_reason_and_what_to_do(
    seat, guest, grant, patient, source, organisation, change, said, do
):  # fmt: skip
    change(SimpleNamespace(guest=guest, grant=grant, patient=patient, source=source, organisation=organisation))
    found = ask(seat, guest, patient)
    assert said in found
    assert do in found
    assert "{" not in found.partition('id="answer"')[2].partition("</main>")[0]


def test_what_the_agreement_lacks_is_told_apart_from_what_the_grant_lacks(seat, guest, grant, agreement, patient):
    Grant.objects.using(WORKER).update(sections=["demographics", "results", "documents"], classes=["hiv"])
    Agreement.objects.filter(pk=agreement.pk).update(sections=["demographics", "results"])
    found = ask(seat, guest, patient)
    assert "<dt>Not: documents</dt><dd>not in the agreement</dd>" in found
    assert "<dt>Not: medicines</dt><dd>not granted, not in the agreement</dd>" in found
    assert "<dt>Not: HIV</dt><dd>not in the agreement</dd>" in found


def test_an_approver_does_not_read_what_the_patient_refused_or_is_protected(seat, guest, grant, patient):
    Patient.objects.using(WORKER).filter(pk=patient.pk).update(classes=["hiv"])
    OptOut.objects.using(WORKER).create(patient=patient)
    told = ask(seat, guest, patient)
    assert "The patient refuses to be shared with them" in told
    assert "protected by a sensitive class" in told
    kept = ask(client_for(staff("Approver", "approver")), guest, patient)
    assert "only a privacy officer may read" in kept
    assert "refuses" not in kept
    assert "protected" not in kept
    (one,) = Question.objects.order_by("-asked_at")[0].answer["organisations"]
    named = {*one["reasons"], *one["missing"], *one["pairs"][0]["missing"]}
    assert named == {why.ASK_PRIVACY}, "the row itself does not hold what they may not read"


def test_one_entry_is_asked_about_without_naming_its_class(seat, guest, grant, patient):
    entry = make.make_resource(patient, "results", classes=["hiv"], label=SECRET)
    found = ask(seat, guest, patient, entry=str(entry.pk))
    assert "For Partner B: no" in found
    assert "protected by a sensitive class that the grant does not name" in found
    assert SECRET not in found
    other = make.make_patient(patient.source, family="Elsewhere")
    assert "There is nothing to explain" in ask(seat, guest, other, entry=str(entry.pk))


def test_nobody_and_no_grant_are_answers(seat, guest, outsider, grant, patient):
    assert "They hold no grant" in ask(seat, outsider, patient)
    nobody = Patient(pk=why.UUID(int=7))
    assert "There is nothing to explain" in ask(seat, guest, nobody)


def test_a_patient_is_named_by_record_number_and_birth_date(seat, feed, guest, grant):
    number = {"type": {"coding": [{"code": "MR"}]}, "system": "urn:test:mrn", "value": "A 12-34"}
    feed.send(fhir_patient(birthDate="1990-05-17", identifier=[number, {"system": "urn:other", "value": "777"}]))
    facility = feed.source.facility
    assert feed.patient().mrn == "A 12-34"
    assert patient_numbered(facility, "a1234", "1990-05-17") == feed.patient().pk
    for number, born in [("a1234", "1990-05-18"), ("777", "1990-05-17"), ("", "1990-05-17"), ("a1234", "1990-05")]:
        assert patient_numbered(facility, number, born) is None
    assert patient_numbered(make.make_facility("North site"), "a1234", "1990-05-17") is None
    sent = {"guest": str(guest.object_id), "facility": str(facility.pk), "number": "A1234", "born": "17-May-1990"}
    assert seat.post(reverse("why"), sent).status_code == 302
    wrong = text(seat.post(reverse("why"), {**sent, "born": "18-May-1990"}), 422)
    assert "No patient at Main site has this number and this birth date" in wrong
    assert 'value="A1234"' in wrong


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"guest": ""}, "Enter whose access you ask about"),
        ({"guest": "nobody@example.org"}, "Nobody here has this address or id"),
        ({"patient": "x"}, "Enter the id as it stands in the address"),
        ({"patient": "", "born": "May"}, "Enter the birth date as day, month and year"),
        ({"patient": "", "number": ""}, "Enter the record number"),
        ({"guest": "same@example.org"}, "Several accounts have this address"),
    ],
)
def test_what_is_missing_is_said_beside_the_field(seat, guest, patient, sent, said):
    for _ in range(2):
        make.make_user("Same", email="same@example.org")
    response = seat.post(reverse("why"), {"guest": str(guest.object_id), "patient": str(patient.pk), **sent})
    assert said in text(response, 422)
    assert not Question.objects.exists()


def test_only_approvers_and_privacy_officers_ask_and_only_who_asked_reads(seat, guest, grant, patient):
    ask(seat, guest, patient)
    address = reverse("why-answer", args=[Question.objects.get().pk])
    assert client_for(staff("Second", "privacy")).get(address).status_code == 404
    for user in (guest, staff("Operator", "operator"), staff("Reviewer", "reviewer")):
        assert client_for(user).get(reverse("why")).status_code == 403
        assert client_for(user).get(address).status_code == 403


def test_a_question_is_written_down_with_its_patient(seat, guest, grant, patient, officer, monkeypatch):
    ask(seat, guest, patient)
    event = audit.trail().filter(type="why-asked").get()
    assert event.user_id == officer.pk
    assert event.detail == {"guest": str(guest.pk)}
    subjects = AuditSubject.objects.using("auditor").filter(event_id=event.id)
    assert [one.patient_id for one in subjects] == [patient.pk]

    def fails(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(audit, "record", fails)
    with pytest.raises(RuntimeError):
        seat.post(reverse("why"), {"guest": str(guest.object_id), "patient": str(patient.pk)})
    assert Question.objects.count() == 1


def test_an_answer_is_forgotten_after_a_day(seat, guest, grant, patient):
    ask(seat, guest, patient)
    Question.objects.update(asked_at=timezone.now() - timedelta(days=1, minutes=1))
    assert why.answer_open(using=WORKER) == 0
    assert not Question.objects.exists()


def test_every_reason_has_its_sentence(patient):
    for rows in (Patient.objects, Resource.objects):
        names = {
            *VIEWER,
            *to_count(),
            *rows.all().coverage(),
            *rows.all().unrefused(make.make_user()),
            *rows.all().held(),
        }
        assert names <= set(why_words.REASONS)
    others = {why.NO_GRANT, why.NO_AGREEMENT, why.ANOTHER_WAY, why.ASK_PRIVACY, why.NO_SECTION, why.NO_KNOWN_LABEL}
    assert others <= set(why_words.REASONS)
