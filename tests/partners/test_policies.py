"""Who may ask and decide: truth tables."""

from __future__ import annotations

import pytest
from django.utils import timezone

from clinicportal.models import StaffRole, User
from clinicportal.rules import Denied, permits
from partners import policies
from partners.models import AccessRequest, Domain, Guest, PartnerOrganisation, Sponsor
from records.models import Agreement, Suspension
from tests import factories as make
from tests.partners.conftest import make_partner, make_sponsor


def ended(sponsor: User, days_ago: float) -> None:
    Sponsor.objects.filter(user=sponsor).update(ended_at=make.days(-days_ago))


ASKING = {
    "an active sponsor": (lambda s, p: None, True),
    "a sponsor whose time is over": (lambda s, p: ended(s, 0), False),
    "somebody without a sponsorship": (lambda s, p: Sponsor.objects.all().update(user=make.make_user()), False),
    "a sponsor whose account is closed": (lambda s, p: setattr(s, "is_active", False), False),
    "a paused sponsor": (lambda s, p: Suspension.objects.create(user=s, reason="person"), False),
    "a paused organisation": (
        lambda s, p: Suspension.objects.create(organisation_id=p.pk, reason="organisation"),
        False,
    ),
    "a pause that was lifted": (
        lambda s, p: Suspension.objects.create(organisation_id=p.pk, reason="organisation", lifted_at=timezone.now()),
        True,
    ),
    "no agreement in force": (lambda s, p: Agreement.objects.update(ends_at=make.days(-1)), False),
    "a member of our staff": (lambda s, p: setattr(s, "staff_roles", [StaffRole.APPROVER]), False),
}


@pytest.mark.parametrize(("change", "may"), ASKING.values(), ids=ASKING)
def test_who_may_ask(sponsor: User, partner: PartnerOrganisation, change, may):
    change(sponsor, partner)
    assert permits(policies.check_can_ask, sponsor, partner) is may


def test_a_sponsor_asks_for_their_own_organisation_only(sponsor: User, facility):
    other = make_partner(make.make_organisation("Partner C"), domain="riverside.example")
    make.make_agreement(other.organisation, facility)
    assert not permits(policies.check_can_ask, sponsor, other)


def test_nobody_asks_for_themselves(sponsor: User):
    with pytest.raises(Denied, match="another sponsor"):
        policies.check_can_ask_for(sponsor, "sponsor@northfield.example")
    policies.check_can_ask_for(sponsor, "nurse@northfield.example")


DECIDING = {
    "an approver": (lambda a, r: None, True),
    "another member of staff": (lambda a, r: setattr(a, "staff_roles", [StaffRole.PRIVACY, StaffRole.OPERATOR]), False),
    "an approver whose account is closed": (lambda a, r: setattr(a, "is_active", False), False),
    "the person asked for": (lambda a, r: setattr(a, "email", "NURSE@Northfield.example"), False),
    "the person asked for, by an earlier invitation": (
        lambda a, r: Guest.objects.create(user=a, address=r.address),
        False,
    ),
    "somebody with an address at the organisation": (
        lambda a, r: setattr(a, "email", "other@northfield.example"),
        False,
    ),
    "a sponsor of the organisation": (lambda a, r: Sponsor.objects.create(organisation=r.organisation, user=a), False),
    "a sponsor until last month": (
        lambda a, r: Sponsor.objects.create(organisation=r.organisation, user=a, ended_at=make.days(-30)),
        False,
    ),
    "a sponsor until last year": (
        lambda a, r: Sponsor.objects.create(organisation=r.organisation, user=a, ended_at=make.days(-200)),
        True,
    ),
    "a paused organisation": (
        lambda a, r: Suspension.objects.create(organisation_id=r.organisation_id, reason="organisation"),
        False,
    ),
}


@pytest.mark.parametrize(("change", "may"), DECIDING.values(), ids=DECIDING)
def test_who_may_decide(approver: User, asked: AccessRequest, change, may):
    change(approver, asked)
    assert permits(policies.check_can_decide, approver, asked) is may


def test_a_tie_to_one_organisation_does_not_matter_for_another(approver: User, asked: AccessRequest):
    other = make_partner(make.make_organisation("Partner C"), domain="riverside.example")
    Sponsor.objects.create(organisation=other, user=approver)
    Domain.objects.create(organisation=other, name="hospital.example")
    policies.check_can_decide(approver, asked)


@pytest.mark.parametrize(
    ("role", "ends", "registers"),
    [
        (StaffRole.APPROVER, True, True),
        (StaffRole.OPERATOR, False, True),
        (StaffRole.PRIVACY, False, False),
        (StaffRole.REVIEWER, False, False),
        (None, False, False),
    ],
)
def test_who_may_end_and_see_the_register(asked: AccessRequest, role, ends, registers):
    user = make.make_user(staff_roles=[role] if role else [])
    assert permits(policies.check_can_end, user, asked) is ends
    assert permits(policies.check_can_see_register, user) is registers


def test_ending_is_open_to_an_approver_with_a_tie(approver: User, asked: AccessRequest):
    Sponsor.objects.create(organisation=asked.organisation, user=approver)
    policies.check_can_end(approver, asked)


def test_requests_are_visible_to_their_sponsors_and_to_approvers(asked: AccessRequest, sponsor, approver, guest):
    other = make_partner(make.make_organisation("Partner C"), domain="riverside.example")
    seen = {
        "its sponsor": sponsor,
        "another sponsor there": make_sponsor(asked.organisation, "Northfield Deputy"),
        "an approver": approver,
        "a sponsor elsewhere": make_sponsor(other, "Riverside Sponsor"),
        "a guest": guest,
        "an operator": make.make_user(staff_roles=[StaffRole.OPERATOR]),
    }
    visible = {name for name, user in seen.items() if AccessRequest.objects.visible_to(user).exists()}
    assert visible == {"its sponsor", "another sponsor there", "an approver"}
    ended(sponsor, 0)
    assert not AccessRequest.objects.visible_to(sponsor).exists()
