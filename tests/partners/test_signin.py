"""Who comes in, by a truth table; the protocol itself is tests/partners/test_idtoken.py and the journeys."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from clinicportal.models import StaffRole, User
from partners import signin
from partners.models import AccessRequest, Guest, IdentityProvider, Invitation, PartnerOrganisation, Sponsor
from partners.signin import Identity, TurnedAway, admit
from records.models import Suspension
from tests import factories as make

TENANT = uuid.uuid4()
HOME = "https://sts.windows.net/aaaaaaaa-0000-4000-8000-000000000001/"
FOREIGN = "https://sts.windows.net/aaaaaaaa-0000-4000-8000-000000000009/"
NURSE = "nurse@partner-b.example"


pytestmark = pytest.mark.usefixtures("assured")


@pytest.fixture
def partner(organisation) -> PartnerOrganisation:
    partner = PartnerOrganisation.objects.create(organisation=organisation, kind="practice")
    IdentityProvider.objects.create(organisation=partner, issuer=HOME)
    return partner


@pytest.fixture
def invited(guest, grant, partner) -> Guest:
    User.objects.filter(pk=guest.pk).update(tenant_id=TENANT)
    guest.refresh_from_db()
    return Guest.objects.create(user=guest, address=NURSE)


@pytest.fixture
def nurse(invited) -> Identity:
    """The token of the invited person, with the account that was invited."""
    return Identity(TENANT, invited.user.object_id, HOME, "Practice Nurse", NURSE, frozenset(), frozenset({"c1"}))


def turned_away(identity: Identity) -> str:
    with pytest.raises(TurnedAway) as away:
        admit(identity)
    return away.value.code


def test_the_invited_person_comes_in(nurse, invited):
    assert admit(nurse) == invited.user


def test_without_the_second_factor_nobody_comes_in(nurse):
    assert turned_away(replace(nurse, contexts=frozenset())) == "no-second-factor"
    assert turned_away(replace(nurse, contexts=frozenset({"c2"}))) == "no-second-factor"


def test_an_unexpected_identity_is_turned_away(nurse):
    assert turned_away(replace(nurse, object_id=uuid.uuid4())) == "not-expected"
    assert turned_away(replace(nurse, tenant_id=uuid.uuid4())) == "not-expected"


def test_the_same_address_from_another_object_is_nobody(nurse):
    """An attacker's tenant can put any address into a token (nOAuth)."""
    assert turned_away(replace(nurse, object_id=uuid.uuid4(), address=NURSE)) == "not-expected"


def test_a_stranger_who_redeemed_a_forwarded_link_is_recognised(nurse):
    assert (
        turned_away(replace(nurse, identity_provider=FOREIGN, address="stranger@elsewhere.example")) == "wrong-account"
    )


def test_a_stranger_with_the_expected_address_is_still_a_stranger(nurse):
    assert turned_away(replace(nurse, identity_provider=FOREIGN)) == "wrong-account"


def test_a_colleague_cannot_redeem_a_forwarded_link(nurse):
    assert turned_away(replace(nurse, address="doctor@partner-b.example")) == "wrong-account"


def test_after_redemption_an_address_may_change_and_a_provider_may_not(nurse, invited):
    Guest.objects.filter(pk=invited.pk).update(redeemed_at=make.days(-1), identity_provider=HOME)
    assert admit(replace(nurse, address="new.name@partner-b.example")) == invited.user
    assert turned_away(replace(nurse, identity_provider=FOREIGN)) == "wrong-account"


def test_an_address_that_no_invitation_could_have_is_nobody(nurse):
    assert turned_away(replace(nurse, address="nurse+x@partner-b.example")) == "wrong-account"
    assert turned_away(replace(nurse, address="")) == "wrong-account"


@pytest.fixture
def invitation(invited, partner, caseload) -> Invitation:
    sponsor = Sponsor.objects.create(organisation=partner, user=make.make_user("Sponsor"), kind="sponsor")
    request = AccessRequest.objects.create(
        organisation=partner, sponsor=sponsor, email=NURSE, address=NURSE, first_name="Practice", last_name="Nurse",
        why="New", ends_at=make.days(90), status="fulfilled",
    )  # fmt: skip
    return Invitation.objects.create(request=request, guest=invited, status="sent", expires_at=make.days(1))


def test_an_invitation_that_ran_out_admits_nobody(nurse, invited, invitation):
    assert admit(nurse) == invited.user
    Invitation.objects.update(expires_at=make.days(-0.1))
    assert turned_away(nurse) == "invitation-expired"
    Invitation.objects.update(status="expired", expires_at=make.days(1))
    assert turned_away(nurse) == "invitation-expired"
    Guest.objects.update(redeemed_at=make.days(-5))
    assert admit(nurse) == invited.user, "who came once does not need the link again"


def test_a_passcode_guest_needs_the_invited_address_each_time(nurse, invited, partner):
    IdentityProvider.objects.create(organisation=partner, issuer=signin.PASSCODE)
    Guest.objects.filter(pk=invited.pk).update(redeemed_at=make.days(-1))
    assert admit(replace(nurse, identity_provider=signin.PASSCODE)) == invited.user
    other = replace(nurse, identity_provider=signin.PASSCODE, address="other@partner-b.example")
    assert turned_away(other) == "wrong-account"


def test_the_organisation_must_allow_the_identity_provider(nurse, partner):
    partner.identity_providers.all().delete()
    assert turned_away(nurse) == "wrong-account"


def test_an_inactive_person_does_not_come_in(nurse, invited):
    User.objects.filter(pk=invited.pk).update(is_active=False)
    assert turned_away(nurse) == "inactive"


def test_a_suspended_person_does_not_come_in(nurse, invited):
    Suspension.objects.create(user=invited.user, reason=Suspension.Reason.SECURITY)
    assert turned_away(nurse) == "suspended"


def test_a_person_whose_access_is_over_does_not_come_in(nurse, grant):
    type(grant).objects.filter(pk=grant.pk).update(ended_at=make.days(0))
    assert turned_away(nurse) == "no-access"


def test_a_sponsor_comes_in_without_a_grant(nurse, invited, partner, grant):
    type(grant).objects.filter(pk=grant.pk).update(ended_at=make.days(0))
    Sponsor.objects.create(organisation=partner, user=invited.user, kind="sponsor")
    assert admit(nurse) == invited.user


@pytest.fixture
def approver(db) -> Identity:
    roles = frozenset({StaffRole.APPROVER})
    return Identity(TENANT, uuid.uuid4(), "", "Access Approver", "approver@hospital.example", roles, frozenset({"c1"}))


def test_staff_are_made_at_first_sign_in_with_the_roles_of_the_tenant(approver):
    user = admit(approver)
    assert (user.staff_roles, user.tenant_id, user.object_id) == (["approver"], TENANT, approver.object_id)
    again = admit(replace(approver, roles=frozenset({StaffRole.PRIVACY, StaffRole.OPERATOR})))
    assert (again.pk, again.staff_roles) == (user.pk, ["operator", "privacy"])


def test_a_member_without_a_role_is_turned_away(approver):
    assert turned_away(replace(approver, roles=frozenset())) == "not-expected"


def test_a_role_that_was_taken_away_is_gone_at_the_next_sign_in(approver):
    user = admit(approver)
    assert turned_away(replace(approver, roles=frozenset())) == "not-expected"
    assert User.objects.get(pk=user.pk).staff_roles == ["approver"], "a refusal changes nothing"


def test_a_guest_never_becomes_staff_whatever_roles_the_token_says(nurse, invited):
    user = admit(replace(nurse, roles=frozenset({StaffRole.APPROVER})))
    assert user.staff_roles == []


def test_claims_become_an_identity():
    oid = str(uuid.uuid4())
    claims = {"tid": str(TENANT), "oid": oid, "iss": "https://us/v2.0", "idp": "https://us/v2.0", "acrs": "c1"}
    member = Identity.of({**claims, "roles": ["Portal.Approver", "Unknown.Role"], "preferred_username": "a@b"})
    assert (member.identity_provider, member.roles, member.contexts, member.address) == (
        "",
        {StaffRole.APPROVER},
        {"c1"},
        "a@b",
    )
    assert Identity.of({**claims, "idp": HOME, "acrs": ["c1", "c2"]}).identity_provider == HOME
