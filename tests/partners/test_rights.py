"""The rights of an access that is there: given and taken by an approver who confirms, told to those concerned."""

from __future__ import annotations

import pytest
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import AuditEvent
from clinicportal.proofs import Unproved
from clinicportal.rules import Denied, IllegalTransition
from clinicportal.viewing import viewing
from partners import decisions, rights
from partners.models import Domain, Invitation, Notice
from records.models import Agreement, Grant, Patient
from tests import factories as make
from tests.factories import client_for
from tests.partners.pages import text

NEITHER = {"may_look_up": False, "may_use_emergency_access": False}
LOOK_UP, BOTH = {**NEITHER, "may_look_up": True}, dict.fromkeys(NEITHER, True)
WHY = "Covers the walk-in clinic now."


@pytest.fixture
def agreed(agreement: Agreement) -> Agreement:
    Agreement.objects.using("worker").filter(pk=agreement.pk).update(**BOTH)
    return agreement


@pytest.fixture
def running(approved, agreed):
    """Approved, and the guest has come in."""
    Invitation.objects.using("worker").filter(request=approved).update(
        status=Invitation.Status.COMPLETED, completed_at=timezone.now()
    )
    approved.refresh_from_db()
    return approved


def change(request, wanted, by, seen=None):
    return rights.change(request, wanted, seen=seen or rights.held(request), by=by, reason=WHY)


def of_grants() -> set[tuple[bool, bool]]:
    return set(Grant.objects.filter(under=None).values_list(*rights.NAMES))


@pytest.mark.parametrize(
    ("first", "wanted", "words"),
    [
        (NEITHER, LOOK_UP, "Looking up other patients is now part of it"),
        (NEITHER, BOTH, "Emergency access is now part of it"),
        (BOTH, LOOK_UP, "Emergency access is no longer part of it."),
        (BOTH, NEITHER, "Looking up other patients is no longer part of it; what was looked up is closed."),
    ],
)
def test_rights_are_given_and_taken_and_those_concerned_are_told(running, approver, first, wanted, words):
    Grant.objects.update(**first)
    assert change(running, wanted, approver) is True
    assert of_grants() == {tuple(wanted.values())}
    event = AuditEvent.objects.using("auditor").get(type=audit.Type.ACCESS_CHANGED)
    assert (event.reason, event.detail) == (WHY, {"was": first, **wanted})
    told = {notice.to: notice for notice in Notice.objects.all()}
    to_sponsor, to_guest = told[running.sponsor.user.email], told[running.address]
    assert len(told) == 2
    assert words in to_sponsor.body
    assert WHY in to_sponsor.body
    assert words in to_guest.body
    assert WHY not in to_guest.body
    assert "/account/" in to_guest.body
    assert running.person_name not in to_guest.subject + to_guest.body


def test_who_has_not_come_in_yet_gets_no_mail_before_the_invitation(approved, agreed, approver):
    change(approved, LOOK_UP, approver)
    assert [notice.to for notice in Notice.objects.all()] == [approved.sponsor.user.email]


def test_what_changes_nothing_is_no_change(running, approver):
    assert change(running, NEITHER, approver) is False
    assert not Notice.objects.exists()
    assert not AuditEvent.objects.using("auditor").filter(type=audit.Type.ACCESS_CHANGED).exists()


def test_the_agreement_says_what_can_be_given(running, approver, agreed):
    for missing in NEITHER:
        Agreement.objects.using("worker").filter(pk=agreed.pk).update(**{**BOTH, missing: False})
        with pytest.raises(Denied, match="does not include"):
            change(running, BOTH, approver)
    assert of_grants() == {(False, False)}
    Agreement.objects.using("worker").filter(pk=agreed.pk).update(**BOTH)
    with pytest.raises(Denied, match="begins with looking the patient up"):
        change(running, {**NEITHER, "may_use_emergency_access": True}, approver)


def test_it_takes_a_fresh_proof_and_who_is_tied_only_takes_away(running, approver, sponsor):
    for by, refusal in ((sponsor, "Only an approver"), (make.make_user("Guest"), "Only an approver")):
        with pytest.raises(Denied, match=refusal):
            change(running, LOOK_UP, by)
    proofs, approver.proofs = approver.proofs, {}
    with pytest.raises(Unproved):
        change(running, LOOK_UP, approver)
    approver.proofs = proofs
    Domain.objects.using("worker").create(organisation=running.organisation, name="hospital.example")
    with pytest.raises(Denied, match="a colleague has to decide"):
        change(running, LOOK_UP, approver)
    Grant.objects.update(**BOTH)
    assert change(running, NEITHER, approver) is True


def test_what_was_looked_at_is_what_is_changed(running, approver):
    with pytest.raises(IllegalTransition):
        change(running, BOTH, approver, seen=LOOK_UP)
    decisions.end_access(running, by=approver, reason="Has left")
    with pytest.raises(IllegalTransition):
        change(running, LOOK_UP, approver)
    assert of_grants() == {(False, False)}


def test_a_failed_audit_write_changes_nothing(running, approver, monkeypatch):
    monkeypatch.setattr(audit, "record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        change(running, LOOK_UP, approver)
    assert of_grants() == {(False, False)}
    assert not Notice.objects.exists()


def test_what_was_looked_up_closes_with_the_right(running, approver, stranger, caseload):
    change(running, LOOK_UP, approver)
    right = Grant.objects.get()
    guest = make.signed_in(right.guest, right.organisation)
    make.TermsAcceptance.objects.create(user=guest, terms=make.Terms.objects.get(version=1))
    make.make_grant(guest, organisation=right.organisation, patient=stranger, under=right)

    def sees() -> bool:
        with viewing(guest):
            return Patient.objects.visible_to(guest).filter(pk=stranger.pk).exists()

    assert sees()
    change(running, NEITHER, approver)
    assert not sees()


def test_an_approver_changes_them_on_a_page_of_the_access(running, approver, outsider, agreed):
    office, page = client_for(approver), f"/approvals/{running.pk}/rights/"
    assert page in office.get(f"/approvals/{running.pk}/").content.decode()
    assert "Tick this as well" in text(office.post(page, {"may_use_emergency_access": "on", "reason": WHY}))
    assert "Enter why the rights change" in text(office.post(page, {"may_look_up": "on"}))
    done = office.post(page, {"may_look_up": "on", "may_use_emergency_access": "on", "reason": WHY}, follow=True)
    assert "It holds from now on" in text(done)
    assert "They may also use emergency access" in text(done)
    assert of_grants() == {(True, True)}
    Agreement.objects.using("worker").filter(pk=agreed.pk).update(**NEITHER)
    assert office.get(page).content.decode().count(" checked") == 2, "what is held can be taken away"
    office.post(page, {"reason": WHY})
    assert of_grants() == {(False, False)}
    assert office.get(page).status_code == 302, "there is nothing to give and nothing to take"
    assert client_for(outsider).get(page).status_code == 404


def test_what_was_typed_is_there_again_when_confirming_failed(running):
    from tests.partners.conftest import make_approver

    other = make_approver("Other", email="other@hospital.example")
    other.proofs = {}
    office, page = client_for(other), f"/approvals/{running.pk}/rights/"
    back = office.post(page, {"may_look_up": "on", "reason": WHY}, follow=True)  # no tenant in this test
    assert back.redirect_chain == [(page, 302)]
    assert "We cannot check just now" in text(back)
    assert WHY in back.content.decode()
    assert of_grants() == {(False, False)}
