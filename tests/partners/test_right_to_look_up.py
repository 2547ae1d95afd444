"""The right to look up patients: offered where the agreement has it, given by a tick and never without one."""

from __future__ import annotations

import pytest

from clinicportal.models import AuditEvent
from clinicportal.rules import Denied
from partners import decisions
from partners.models import AccessRequest
from partners.signin import capacities_of
from records.models import Agreement, Grant
from tests import factories as make
from tests.factories import client_for
from tests.partners.pages import text

LABEL = "They may also look up patients"


@pytest.fixture
def agreed(agreement: Agreement) -> Agreement:
    Agreement.objects.using("worker").filter(pk=agreement.pk).update(may_look_up=True)
    return agreement


def press_approve(approver, asked: AccessRequest, **data: str):
    return client_for(approver).post(f"/approvals/{asked.pk}/approve/", data, follow=True)


def test_it_is_offered_only_where_the_agreement_has_it(approver, asked, agreement):
    office = client_for(approver)
    assert LABEL not in text(office.get(f"/approvals/{asked.pk}/"))
    Agreement.objects.using("worker").filter(pk=agreement.pk).update(may_look_up=True)
    page = text(office.get(f"/approvals/{asked.pk}/"))
    assert LABEL in page
    assert "looking up other patients unless you tick it" in page


def test_without_a_tick_nobody_gets_it(approver, asked, agreed):
    press_approve(approver, asked)
    assert Grant.objects.get().may_look_up is False


def test_a_tick_gives_it_and_everybody_concerned_reads_it(approver, asked, agreed, sponsor):
    page = text(press_approve(approver, asked, may_look_up="on"))
    grant = Grant.objects.get()
    assert grant.may_look_up is True
    assert "They may also look up other patients, each for 24 hours" in page
    assert "Not: emergency access, export" in page
    desk = client_for(sponsor, capacities=["sponsor"])
    assert "Looking up other patients, each for 24 hours" in text(desk.get(f"/requests/{asked.pk}/"))
    guest = make.signed_in(grant.guest, asked.organisation.organisation)
    account = text(client_for(guest).get("/account/"))
    assert "look up a patient who is not in it" in account
    assert "Given by Access Approver" in account
    assert str(approver.object_id) not in account
    event = AuditEvent.objects.using("auditor").get(type="access-approved")
    assert event.detail["may_look_up"] is True
    assert "look_up" in capacities_of(guest)


def test_a_tick_that_the_agreement_does_not_allow_gives_nothing(approver, asked, agreement):
    with pytest.raises(Denied, match="does not include looking up"):
        decisions.approve(asked, by=approver, may_look_up=True)
    assert not Grant.objects.exists()
    press_approve(approver, asked, may_look_up="on")  # a forged form: the field is not there, so it is not read
    assert Grant.objects.get().may_look_up is False


def test_the_menu_forgets_it_when_the_agreement_no_longer_has_it(approver, asked, agreed):
    decisions.approve(asked, by=approver, may_look_up=True)
    guest = Grant.objects.get().guest
    assert "look_up" in capacities_of(guest)
    Agreement.objects.using("worker").filter(pk=agreed.pk).update(may_look_up=False)
    assert "look_up" not in capacities_of(guest)


EMERGENCY = "They may also use emergency access"


def test_emergency_access_is_offered_where_the_agreement_has_both(approver, asked, agreed):
    office = client_for(approver)
    assert EMERGENCY not in text(office.get(f"/approvals/{asked.pk}/"))
    Agreement.objects.using("worker").update(may_use_emergency_access=True)
    assert EMERGENCY in text(office.get(f"/approvals/{asked.pk}/"))
    press_approve(approver, asked, may_look_up="on")
    assert Grant.objects.get().may_use_emergency_access is False


def test_emergency_access_needs_a_tick_of_its_own_and_looking_up(approver, asked, agreed, sponsor):
    with pytest.raises(Denied, match="needs an agreement that has it"):
        decisions.approve(asked, by=approver, may_look_up=True, may_use_emergency_access=True)
    Agreement.objects.using("worker").update(may_use_emergency_access=True)
    assert "Tick this as well" in text(press_approve(approver, asked, may_use_emergency_access="on"))
    assert not Grant.objects.exists()
    page = text(press_approve(approver, asked, may_look_up="on", may_use_emergency_access="on"))
    grant = Grant.objects.get()
    assert (grant.may_look_up, grant.may_use_emergency_access) == (True, True)
    assert "one patient for one hour, always reviewed" in page
    assert "One patient for one hour" in text(client_for(sponsor, capacities=["sponsor"]).get(f"/requests/{asked.pk}/"))
    guest = make.signed_in(grant.guest, asked.organisation.organisation)
    assert "open the record of one patient for one hour" in text(client_for(guest).get("/account/"))
