"""The approver's queue, one decision, and the register."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from clinicportal.models import StaffRole
from partners import dates, decisions, queue, working_hours
from partners.models import Gate, Sponsor, Step
from records.models import Grant
from tests import factories as make
from tests.factories import client_for
from tests.partners.conftest import make_approver, make_partner, make_sponsor
from tests.partners.pages import heading, text

NURSE = "nurse@northfield.example"


def test_the_queue_has_three_piles(office, ask, approver, directory):
    ask(first_name="To", last_name="Decide")
    asking = ask(email="doctor@northfield.example", first_name="To", last_name="Answer")
    decisions.ask_question(asking, by=approver, question="Which site?")
    decisions.approve(ask(email="locum@northfield.example", first_name="In", last_name="Work"), by=approver)
    answer = office.get(reverse("partners:approvals"))
    page = text(answer)
    assert heading(answer) == "To decide"
    for words in ("Yours to decide (1)", "To Decide", "Waiting for the partner (1)", "Which site?", "Being set up (1)",
                  "In Work", "1 to decide.", "Routine", "1 patient, Shared care, Main site"):  # fmt: skip
        assert words in page, words


def test_the_queue_ticks_only_what_is_done(office, asked, approver):
    decisions.approve(asked, by=approver)
    step = Step.objects.get(job__request=asked, state=Step.State.WAITING)
    assert 'class="cp-check cp-check--doing"' in office.get(reverse("partners:approvals")).content.decode()
    Gate.objects.create(
        name=queue.BEHIND[step.kind][0], code="suspicious_activity", shut_at=Now(), failures=0, probes=0
    )
    answer = office.get(reverse("partners:approvals"))
    assert 'class="cp-check cp-check--look"' in answer.content.decode()
    assert "Waits: Microsoft holds back all invitations" in text(answer)


def test_what_is_a_colleagues_turn_is_passed_on_with_the_reason(office, asked, approver):
    Sponsor.objects.create(organisation=asked.organisation, user=approver)
    page = text(office.get(reverse("partners:approvals")))
    assert "Yours to decide (0)" in page
    assert "1 more is for a colleague: You are or were a sponsor of Partner B" in page
    decision = office.get(reverse("partners:decision", args=[asked.pk]))
    assert "so a colleague has to decide this one" in text(decision)
    assert "Your decision" not in text(decision)
    assert office.post(reverse("partners:approve", args=[asked.pk])).status_code == 403
    assert not Grant.objects.exists()


def test_the_decision_shows_effect_checks_and_request(office, asked):
    answer = office.get(reverse("partners:decision", args=[asked.pk]))
    page = text(answer)
    assert heading(answer) == "Practice Nurse, Partner B"
    for words in (
        "If you approve", "will be able to read problems, medicines, allergies and results of 1 patient in",
        "Not: vitals, immunisations, procedures, encounters, documents, care plans", "any sensitive class",
        "Checks: all 5 passed", "The address belongs to Partner B", "“New in the team”", "working hours left of 16",
        "Approve", "Ask a question", "Decline",
    ):  # fmt: skip
        assert words in page, words


def test_approving_from_the_page(office, asked):
    answer = office.post(reverse("partners:approve", args=[asked.pk]), {"note_for_colleagues": "fine"}, follow=True)
    assert "We are setting it up" in text(answer)
    assert "End access" in text(answer)
    assert Grant.objects.get().ends_at == asked.ends_at


def test_longer_than_usual_offers_the_usual_end(office, ask, partner):
    partner.usual_months = 3
    partner.save()
    request = ask()
    page = text(office.get(reverse("partners:decision", args=[request.pk])))
    usual = dates.months_after(dates.today(), 3)
    assert f"Approve until {dates.words_for(usual)}" in page
    assert "Longer than usual: 6 months; 3 is usual for Partner B" in page
    office.post(reverse("partners:approve", args=[request.pk]), {"shorter": "1"})
    assert dates.last_day(Grant.objects.get().ends_at) == usual


def test_documents_and_more_than_usual_are_pointed_out(office, ask):
    documents = ask(sections=["problems", "documents"])
    more = ask(email="doctor@northfield.example", sections=["problems", "vitals"])
    assert "Asks for documents: letters may contain anything" in text(office.get(reverse("partners:approvals")))
    assert "Asks for documents" in text(office.get(reverse("partners:decision", args=[documents.pk])))
    assert "More than usual: vitals" in text(office.get(reverse("partners:decision", args=[more.pk])))


def test_staff_see_when_two_organisations_ask_for_one_person(office, asked, ask, facility):
    other = make_partner(make.make_organisation("Partner C"))
    make.make_agreement(other.organisation, facility)
    caseload = make.make_caseload(other.organisation, facility, name="Other")
    ask(organisation=other, by=make_sponsor(other, "Other Deputy"), caseloads=[caseload])
    page = text(office.get(reverse("partners:decision", args=[asked.pk])))
    assert "Partner C has asked for this person too" in page
    assert "serves several organisations, so the address proves less" in page


def test_declining_needs_a_reason_and_sends_a_ready_sentence(office, asked):
    url = reverse("partners:decline", args=[asked.pk])
    assert "Choose a reason" in text(office.post(url, {}))
    office.post(url, {"reason": "not_needed", "note_to_sponsor": ""})
    asked.refresh_from_db()
    assert asked.status == "declined"
    assert "could not see why" in asked.decisions.get().note_to_sponsor


def test_asking_a_question_from_the_page(office, asked):
    url = reverse("partners:question", args=[asked.pk])
    assert "Enter your question" in text(office.post(url, {"question": " "}))
    answer = office.post(url, {"question": "Which site?"}, follow=True)
    assert "We asked the sponsor" in text(answer) or "Which site?" in text(answer)


def test_ending_access_asks_first_and_says_why(office, sent):
    url = reverse("partners:end", args=[sent.request_id])
    assert "will see nothing more from this moment on" in text(office.get(url))
    assert "Enter why the access ends" in text(office.post(url, {"reason": ""}))
    assert Grant.objects.get().ended_at is None
    answer = office.post(url, {"reason": "Has left"}, follow=True)
    assert "Access has ended" in text(answer)
    assert Grant.objects.get().ended_because == "Has left"


def test_the_second_of_two_approvers_reads_how_it_stands(office, asked):
    second = make_approver("Second Approver", email="second@hospital.example")
    decisions.decline(asked, by=second, reason="other")
    answer = office.post(reverse("partners:approve", args=[asked.pk]), follow=True)
    assert "This changed while you were looking at it" in text(answer)
    assert not Grant.objects.exists()


@pytest.mark.parametrize(("start", "end", "hours"), [
    ("2026-06-01T10:14", "2026-06-01T11:14", 1), ("2026-06-01T16:00", "2026-06-02T10:00", 2),
    ("2026-06-05T16:00", "2026-06-08T10:00", 2), ("2026-06-06T10:00", "2026-06-07T10:00", 0),
    ("2026-06-01T08:00", "2026-06-01T20:00", 8), ("2026-06-01T12:00", "2026-06-01T11:00", 0),
])  # fmt: skip
def test_working_hours(start, end, hours):
    zone = timezone.get_default_timezone()
    moments = [dt.datetime.fromisoformat(moment).replace(tzinfo=zone) for moment in (start, end)]
    assert working_hours.between(*moments) == hours


def test_the_register_shows_what_an_organisation_may_be_given(office, asked, sponsor):
    assert "northfield.example" in text(office.get(reverse("partners:organisations")))
    page = text(office.get(reverse("partners:organisation", args=[asked.organisation_id])))
    for words in ("Partner B", "northfield.example", "https://sts.windows.net/aaaaaaaa", "Northfield Sponsor",
                  "Shared care, Main site", "1 patient", "In force", "Main site", "Practice Nurse"):  # fmt: skip
        assert words in page, words


def test_the_register_names_days_where_the_portal_is_and_classes_in_words(office, agreement, partner):
    agreement.starts_at = dt.datetime(2026, 6, 1, tzinfo=timezone.get_default_timezone())  # 31 May in UTC
    agreement.classes = ["hiv", "mental_health"]
    agreement.save(using="worker")
    page = text(office.get(reverse("partners:organisation", args=[partner.pk])))
    assert "1 June 2026 to" in page
    assert "mental health and HIV" in page


@pytest.mark.parametrize(("role", "links"), [(StaffRole.APPROVER, True), (StaffRole.OPERATOR, False)])
def test_the_register_leads_to_people_only_who_decide_on_them(asked, role, links):
    client = client_for(make_approver(email="x@hospital.example", staff_roles=[role]))
    page = client.get(reverse("partners:organisation", args=[asked.organisation_id])).content.decode()
    assert (reverse("partners:decision", args=[asked.pk]) in page) is links
