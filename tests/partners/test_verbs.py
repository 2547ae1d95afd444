"""Asking and deciding: what each verb leaves behind, and that nothing stays when the audit cannot be written."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.db import DatabaseError, connections

from clinicportal import audit
from clinicportal.models import Session, User
from clinicportal.rules import Denied, IllegalTransition
from partners import access_requests, addresses, dates, decisions, invitations, provisioning, redemption
from partners.models import (
    AccessRequest,
    Decision,
    Guest,
    Invitation,
    ProvisioningJob,
    RequestGrant,
    Step,
)
from records.models import Caseload, Grant
from tests import factories as make
from tests.partners.conftest import HOME, as_worker, make_approver, make_partner, make_sponsor

Status = AccessRequest.Status
TABLES = [
    "partners_accessrequest", "partners_accessrequest_caseloads", "partners_decision", "partners_guest",
    "partners_requestgrant", "partners_provisioningjob", "partners_step", "partners_invitation", "records_grant",
    "clinicportal_user", "clinicportal_session", "clinicportal_auditevent",
]  # fmt: skip


def digest() -> dict[str, Any]:
    """All that the process writes, table by table: equal digests mean that nothing changed."""
    with connections["owner"].cursor() as cursor:
        found = {}
        for table in TABLES:
            cursor.execute(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM \"{table}\" t")
            found[table] = cursor.fetchone()
        return found


def events() -> list[str]:
    return [event.type for event in audit.trail()]


# ---------------------------------------------------------------- asking


def test_asking_keeps_who_what_why_and_until_when(asked: AccessRequest, sponsor: User, caseload: Caseload):
    assert asked.status == Status.IN_REVIEW
    assert (asked.email, asked.address) == ("Nurse@Northfield.example", "nurse@northfield.example")
    assert asked.sponsor.user == sponsor
    assert list(asked.caseloads.all()) == [caseload]
    assert asked.sections == ["demographics", "problems", "medicines", "allergies", "results"]
    [event] = audit.trail()
    assert (event.type, event.reason, event.user_id) == (audit.Type.ACCESS_ASKED, "New in the team", sponsor.pk)
    assert event.organisation_id == asked.organisation_id


@pytest.mark.parametrize("email", ["nurse@northfield.example", "NURSE@northfield.example", " nurse@northfield.example"])
def test_nobody_is_asked_for_twice(asked: AccessRequest, ask, email):
    with pytest.raises(access_requests.AlreadyAsked) as refusal:
        ask(email=email)
    assert refusal.value.request == asked
    assert AccessRequest.objects.count() == 1


def test_two_sponsors_who_ask_at_once_make_one_request(asked: AccessRequest, ask, partner):
    with pytest.raises(access_requests.AlreadyAsked):
        ask(by=make_sponsor(partner, "Northfield Deputy"))


@pytest.mark.parametrize("end", [Status.DECLINED, Status.WITHDRAWN, Status.LAPSED, Status.ENDED])
def test_a_closed_request_never_blocks_a_new_one(asked: AccessRequest, ask, end):
    AccessRequest.objects.filter(pk=asked.pk).update(status=end)
    assert ask().pk != asked.pk


def test_another_organisation_may_ask_for_the_same_address(asked: AccessRequest, ask, facility):
    """Allowed, and nothing in the answer tells that somebody else asked."""
    other = make_partner(make.make_organisation("Partner C"))
    make.make_agreement(other.organisation, facility)
    caseload = make.make_caseload(other.organisation, facility, name="Other")
    second = ask(organisation=other, by=make_sponsor(other, "Other Deputy"), caseloads=[caseload])
    assert second.status == Status.IN_REVIEW


def test_another_organisations_patients_cannot_be_asked_for(ask, facility):
    other = make.make_organisation("Partner C")
    with pytest.raises(Denied):
        ask(caseloads=[make.make_caseload(other, facility, name="Other")])
    with pytest.raises(Denied):
        ask(caseloads=[])


def test_an_address_is_checked_again_when_asking(ask):
    with pytest.raises(addresses.Unusable):
        ask(email="nurse@gmail.com")


def test_a_question_stops_our_clock_and_the_answer_starts_it(asked, approver, sponsor):
    decisions.ask_question(asked, by=approver, question="At North site too?")
    assert (asked.status, asked.question) == (Status.NEEDS_INFO, "At North site too?")
    access_requests.answer(asked, by=sponsor, text="Yes")
    assert (asked.status, asked.answer) == (Status.IN_REVIEW, "Yes")
    assert Decision.objects.get().kind == Decision.Kind.QUESTION


@pytest.mark.parametrize("status", [Status.IN_REVIEW, Status.NEEDS_INFO])
def test_a_sponsor_withdraws_before_the_decision(asked, sponsor, status):
    asked.move_to(status) if status != asked.status else None
    access_requests.withdraw(asked, by=sponsor, reason="Changed their mind")
    assert asked.status == Status.WITHDRAWN


def test_after_the_decision_it_is_too_late_to_withdraw(approved, sponsor):
    with pytest.raises(IllegalTransition):
        access_requests.withdraw(approved, by=sponsor)


def test_time_lapses_what_is_undecided_and_ends_what_was_given(ask, approver):
    undecided, given = ask(), ask(email="doctor@northfield.example")
    decisions.approve(given, by=approver)
    for column in ("ends_at", "granted_until"):
        AccessRequest.objects.update(**{column: make.days(-1)})
    with as_worker():  # the sweep does it
        assert access_requests.close_overdue() == 2
    undecided.refresh_from_db()
    given.refresh_from_db()
    assert (undecided.status, given.status) == (Status.LAPSED, Status.ENDED)
    assert given.invitation.status == Invitation.Status.REVOKED
    assert ask().pk  # free again


# ---------------------------------------------------------------- deciding


def test_approving_gives_grants_that_wait_and_work_to_do(asked, approver, caseload):
    decisions.approve(asked, by=approver, note_for_colleagues="seen")
    guest = Guest.objects.get(address="nurse@northfield.example")
    assert (guest.user.tenant_id, guest.user.object_id) == (None, None)
    grant = Grant.objects.get()
    assert (grant.guest, grant.caseload, grant.ends_at) == (guest.user, caseload, asked.ends_at)
    assert set(grant.sections) == {"demographics", "problems", "medicines", "allergies", "results"}
    assert grant.given_by == f"{approver.tenant_id}:{approver.object_id} Access Approver"
    assert RequestGrant.objects.get().request == asked
    assert Invitation.objects.get().status == Invitation.Status.NOT_SENT
    steps = list(Step.objects.all())
    assert [step.kind for step in steps] == provisioning.KINDS
    assert [step.state for step in steps] == ["waiting"] + ["later"] * 3
    assert events()[0] == audit.Type.ACCESS_APPROVED


def test_one_grant_for_each_caseload(ask, approver, organisation, facility, caseload):
    second = make.make_caseload(organisation, facility, name="Diabetes clinic")
    decisions.approve(ask(caseloads=[caseload, second]), by=approver)
    assert set(Grant.objects.values_list("caseload__name", flat=True)) == {caseload.name, "Diabetes clinic"}


def test_an_approval_may_shorten_and_never_lengthen(asked, approver):
    with pytest.raises(ValueError, match="never lengthen"):
        decisions.approve(asked, by=approver, until=asked.ends_at + dt.timedelta(seconds=1))
    earlier = dates.end_of(dates.months_after(dates.today(), 3))
    decisions.approve(asked, by=approver, until=earlier)
    assert Grant.objects.get().ends_at == asked.granted_until == earlier
    assert asked.until == earlier


def test_no_grant_outlives_the_agreement(ask, approver, agreement):
    request = ask(ends_at=agreement.ends_at + dt.timedelta(days=30))
    decisions.approve(request, by=approver)
    assert Grant.objects.get().ends_at == agreement.ends_at


def test_a_second_request_for_a_person_uses_the_same_account(ask, approver, facility):
    decisions.approve(ask(), by=approver)
    other = make_partner(make.make_organisation("Partner C"))
    make.make_agreement(other.organisation, facility)
    caseload = make.make_caseload(other.organisation, facility, name="Other")
    second = ask(organisation=other, by=make_sponsor(other, "Other Deputy"), caseloads=[caseload])
    decisions.approve(second, by=approver)
    assert Guest.objects.filter(address="nurse@northfield.example").count() == 1
    assert Grant.objects.values("guest").distinct().count() == 1


def test_the_second_of_two_decisions_loses_politely(asked, approver):
    again = AccessRequest.objects.get(pk=asked.pk)
    decisions.approve(asked, by=approver)
    with pytest.raises(IllegalTransition):
        decisions.decline(again, by=make_approver("Second Approver", email="second@hospital.example"), reason="other")
    with pytest.raises(IllegalTransition):
        decisions.approve(again, by=approver)
    assert (Grant.objects.count(), ProvisioningJob.objects.count(), Decision.objects.count()) == (1, 1, 1)


def test_a_refusal_carries_its_reason_and_a_sentence(asked, approver):
    decisions.decline(asked, by=approver, reason="too_much")
    decision = Decision.objects.get()
    assert (asked.status, decision.reason) == (Status.DECLINED, "too_much")
    assert "more than people in this job usually see" in decision.note_to_sponsor
    assert not Grant.objects.exists()


def test_what_is_over_cannot_be_approved(asked, approver):
    AccessRequest.objects.update(ends_at=make.days(-1))
    asked.refresh_from_db()
    with pytest.raises(Denied, match="is over"):
        decisions.approve(asked, by=approver)


def test_ending_access_ends_all_of_it_now(approved, approver):
    guest = Guest.objects.get(address=approved.address)
    store = Session.get_session_store_class()()
    store["_auth_user_id"] = str(guest.pk)
    store.save()
    decisions.end_access(approved, by=approver, reason="Has left")
    grant = Grant.objects.get()
    assert grant.ended_at is not None
    assert grant.ended_because == "Has left"
    assert not Session.objects.filter(user=guest.user).exists()
    assert Invitation.objects.get().status == Invitation.Status.REVOKED
    assert ProvisioningJob.objects.get().status == ProvisioningJob.Status.CANCELLED
    assert not Step.objects.due().exists()
    assert (approved.status, approved.closed_because) == (Status.ENDED, "Has left")


def test_ending_one_access_leaves_the_persons_other_one(ask, approver, facility):
    first = ask()
    decisions.approve(first, by=approver)
    other = make_partner(make.make_organisation("Partner C"))
    make.make_agreement(other.organisation, facility)
    caseload = make.make_caseload(other.organisation, facility, name="Other")
    second = ask(organisation=other, by=make_sponsor(other, "Other Deputy"), caseloads=[caseload])
    decisions.approve(second, by=approver)
    decisions.end_access(first, by=approver, reason="Has left")
    assert Grant.objects.get(ended_at=None).organisation == other.organisation


# ---------------------------------------------------------------- no audit, no act


VERBS = {
    "ask": lambda t: t["ask"](email="doctor@northfield.example"),
    "answer": lambda t: access_requests.answer(t["question"], by=t["sponsor"], text="Yes"),
    "withdraw": lambda t: access_requests.withdraw(t["asked"], by=t["sponsor"]),
    "approve": lambda t: decisions.approve(t["asked"], by=t["approver"]),
    "decline": lambda t: decisions.decline(t["asked"], by=t["approver"], reason="other"),
    "ask a question": lambda t: decisions.ask_question(t["asked"], by=t["approver"], question="Why?"),
    "end access": lambda t: decisions.end_access(t["given"], by=t["approver"], reason="Left"),
    "resume": lambda t: provisioning.resume(t["parked"].job, by=t["approver"]),
    "open the link": lambda t: invitations.opened(t["sent"].invitation),
    "decline the invitation": lambda t: invitations.decline(t["sent"].invitation, reason="not_needed"),
    "send again": lambda t: invitations.send_again(t["sent"].invitation, by=None),
    "complete": lambda t: invitations.complete(t["sent"].invitation.guest, identity_provider=HOME),
    "wrong account": lambda t: invitations.wrong_account(t["sent"].invitation.guest, identity_provider="live.com"),
    "start anew": lambda t: redemption.start_anew(t["sent"].invitation, by=t["sponsor"], because="new_account"),
    "time": lambda t: access_requests.close_overdue(),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_failed_audit_write_undoes_the_verb(verb, ask, sponsor, approver, monkeypatch):
    things = {"ask": ask, "sponsor": sponsor, "approver": approver}
    for name in ("asked", "question", "given", "parked", "sent", "overdue"):
        things[name] = ask(email=f"{name}@northfield.example")
    decisions.ask_question(things["question"], by=approver, question="Why?")
    for name in ("given", "parked", "sent"):
        decisions.approve(things[name], by=approver)
    ProvisioningJob.objects.filter(request=things["parked"]).update(status="needs_help")
    ProvisioningJob.objects.filter(request=things["sent"]).update(status="done")
    Invitation.objects.filter(request=things["sent"]).update(status="sent", sent_at=make.days(-1))
    User.objects.filter(guest__address=things["sent"].address).update(object_id=uuid.uuid4())
    AccessRequest.objects.filter(pk=things["overdue"].pk).update(ends_at=make.days(-1))
    known = User.objects.filter(guest__jobs__request=things["sent"])  # who is in the directory
    known.update(tenant_id=uuid.uuid4(), object_id=uuid.uuid4())
    before = digest()

    def fresh() -> dict[str, Any]:
        """The same rows, read anew, as another request would."""
        again = {name: AccessRequest.objects.get(pk=row.pk) for name, row in things.items() if hasattr(row, "address")}
        return {**things, **again}

    def fails(*args: Any, **facts: Any) -> None:
        raise DatabaseError("the trail cannot be written")

    monkeypatch.setattr(audit, "record", fails)
    with pytest.raises(DatabaseError):
        verb(fresh())
    assert digest() == before
    monkeypatch.undo()
    verb(fresh())
    assert digest() != before  # the same act with its audit does happen: the test can fail
