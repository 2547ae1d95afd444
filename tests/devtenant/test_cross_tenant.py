"""Cross-tenant access settings: entra.md §7, §13."""

from __future__ import annotations

import pytest

from .conftest import SIGNIN_CLIENT
from .test_guests import NURSE, refusal_of
from .test_signin import NORTHFIELD, SPONSOR, claims_for

BASE = "/policies/crossTenantAccessPolicy"
BLOCKED = {
    "usersAndGroups": {"accessType": "blocked", "targets": [{"target": "AllUsers", "targetType": "user"}]},
    "applications": {"accessType": "blocked", "targets": [{"target": "AllApplications", "targetType": "application"}]},
}
ALLOWED = {
    "usersAndGroups": {"accessType": "allowed", "targets": [{"target": "AllUsers", "targetType": "user"}]},
    "applications": {"accessType": "allowed", "targets": [{"target": "AllApplications", "targetType": "application"}]},
}


@pytest.fixture
def admin(tenant):
    """An app that may write the settings, and invite."""
    tenant.do("permissions", permissions=["Policy.ReadWrite.CrossTenantAccess", "User.Invite.All"])
    return tenant


def test_the_factory_lets_everybody_in_and_trusts_nothing(admin):
    default = admin.graph("GET", f"{BASE}/default").json()
    assert default["isServiceDefault"] is True
    assert default["b2bCollaborationInbound"]["usersAndGroups"]["accessType"] == "allowed"
    assert default["b2bDirectConnectInbound"]["usersAndGroups"]["accessType"] == "blocked"
    assert default["inboundTrust"]["isMfaAccepted"] is False
    assert default["automaticUserConsentSettings"] == {"inboundAllowed": False, "outboundAllowed": False}


def test_reading_and_writing_need_their_permissions(tenant):
    tenant.do("permissions", permissions=["Policy.Read.All"])
    assert tenant.graph("GET", f"{BASE}/default").status_code == 200
    assert tenant.graph("PATCH", f"{BASE}/default", {"inboundTrust": {"isMfaAccepted": True}}).status_code == 403


def test_a_changed_default_can_be_reset(admin):
    assert admin.graph("PATCH", f"{BASE}/default", {"inboundTrust": {"isMfaAccepted": True}}).status_code == 204
    changed = admin.graph("GET", f"{BASE}/default").json()
    assert changed["inboundTrust"] == {
        "isMfaAccepted": True,
        "isCompliantDeviceAccepted": False,
        "isHybridAzureADJoinedDeviceAccepted": False,
    }
    assert changed["isServiceDefault"] is False
    assert admin.graph("POST", f"{BASE}/default/resetToSystemDefault").status_code == 204
    assert admin.graph("GET", f"{BASE}/default").json()["inboundTrust"]["isMfaAccepted"] is False


def test_a_partner_lives_from_post_to_delete_and_null_inherits(admin):
    made = admin.graph("POST", f"{BASE}/partners", {"tenantId": NORTHFIELD, "inboundTrust": {"isMfaAccepted": True}})
    assert made.status_code == 201
    assert made.json()["b2bCollaborationInbound"] is None
    assert "id" not in made.json()
    assert admin.graph("POST", f"{BASE}/partners", {"tenantId": NORTHFIELD}).status_code == 400
    assert [p["tenantId"] for p in admin.graph("GET", f"{BASE}/partners").json()["value"]] == [NORTHFIELD]
    admin.graph("PATCH", f"{BASE}/default", {"b2bCollaborationInbound": BLOCKED})
    assert admin.invite(NURSE).status_code == 400
    partner = f"{BASE}/partners/{NORTHFIELD}"
    assert admin.graph("PATCH", partner, {"b2bCollaborationInbound": ALLOWED}).status_code == 204
    assert admin.invite(NURSE).status_code == 201
    assert admin.graph("DELETE", partner).status_code == 204
    assert admin.graph("GET", partner).status_code == 404
    assert admin.invite(NURSE).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"b2bCollaborationInbound": {"usersAndGroups": {"accessType": "perhaps", "targets": []}}},
        {"inboundTrust": True},
        {"colour": {}},
        {"inboundTrust": None},
    ],
)
def test_broken_settings_are_refused(admin, body):
    assert admin.graph("PATCH", f"{BASE}/default", body, odd=True).status_code == 400


# -- what they do -----------------------------------------------------------------------------------------------------


def test_inbound_blocked_refuses_invitation_and_sign_in(tenant, browser):
    tenant.do("cross-tenant", partner="northfield.example", inbound="blocked")
    refused = tenant.invite(NURSE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "BadRequest")
    assert "blocked by cross-tenant access settings" in refused.json()["error"]["message"]
    assert tenant.read("invitations") == []
    assert tenant.invite("nurse@riverside.example").status_code == 201
    assert tenant.invite("agency@post.example").status_code == 201
    assert refusal_of(browser.start().press(SPONSOR)) == (403, "500213")
    tenant.do("cross-tenant", partner="northfield.example", inbound=None)
    assert browser.press("again").press(SPONSOR).heading == "Verify your identity"


def test_inbound_blocked_after_the_invitation_stops_the_link(tenant, browser):
    link = tenant.invite(NURSE).json()["inviteRedeemUrl"]
    tenant.do("cross-tenant", partner=NORTHFIELD, inbound="blocked")
    assert refusal_of(browser.open(link).press(NURSE)) == (403, "500213")


def test_one_app_can_be_closed_to_a_partner(admin, browser):
    one = {"accessType": "blocked", "targets": [{"target": SIGNIN_CLIENT, "targetType": "application"}]}
    body = {"tenantId": NORTHFIELD, "b2bCollaborationInbound": {**ALLOWED, "applications": one}}
    assert admin.graph("POST", f"{BASE}/partners", body).status_code == 201
    assert admin.invite(NURSE).status_code == 201
    assert refusal_of(browser.start().press(SPONSOR)) == (403, "500213")


def test_the_partners_own_outbound_settings_stop_their_people_not_our_invitation(tenant, browser):
    tenant.do("cross-tenant", partner="northfield.example", their_outbound="blocked")
    invited = tenant.invite(NURSE)
    assert invited.status_code == 201
    assert refusal_of(browser.open(invited.json()["inviteRedeemUrl"]).press(NURSE)) == (403, "500212")
    assert refusal_of(browser.start().press(SPONSOR)) == (403, "500212")
    assert browser.start().press("sponsor@riverside.example").heading == "Verify your identity"


def test_members_and_guests_without_a_tenant_are_no_matter_of_these_settings(tenant, browser, another_browser):
    tenant.do("cross-tenant", inbound="blocked")
    tenant.admit("agency@post.example")
    assert browser.sign_in("agency@post.example")["idp"] == "mail"
    assert "idp" not in another_browser().sign_in("approver@hospital.example")


def test_a_trusted_second_factor_of_the_home_tenant_counts(tenant, browser, another_browser):
    tenant.do("accounts", address=SPONSOR, mfa_at_home=True)
    assert browser.start().press(SPONSOR).heading == "Verify your identity"  # twice, without trust
    tenant.do("cross-tenant", partner="northfield.example", trust_mfa=True)
    claims = another_browser().start().press(SPONSOR).claims()
    assert claims["acrs"] == ["c1"]


def test_with_trust_the_second_factor_is_asked_for_at_home(tenant, browser):
    tenant.do("cross-tenant", trust_mfa=True)
    assert browser.start().press(SPONSOR).heading == "Verify your identity"
    assert "Northfield Practice asks" in browser.page.text
    assert browser.press("verify").claims()["acrs"] == ["c1"]


def test_a_trusted_factor_grows_old_too(tenant, browser):
    tenant.do("cross-tenant", trust_mfa=True)
    tenant.do("accounts", address=SPONSOR, mfa_at_home=True)
    browser.start().press(SPONSOR)
    assert browser.start(claims=claims_for("c2")).left_to
    tenant.do("advance", seconds=301)
    assert browser.start(claims=claims_for("c2")).heading == "Verify your identity"


@pytest.mark.parametrize(
    ("ours", "theirs", "silent"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_redemption_is_automatic_only_when_both_sides_say_so(tenant, browser, ours, theirs, silent):
    tenant.do("cross-tenant", partner="northfield.example", automatic_consent=ours, their_automatic_consent=theirs)
    guest = tenant.admit(NURSE)
    heading = browser.start().press(NURSE).heading
    assert heading == ("Verify your identity" if silent else "Review permissions")
    state = tenant.graph("GET", f"/users/{guest}?$select=externalUserState").json()["externalUserState"]
    assert state == ("Accepted" if silent else "PendingAcceptance")


def test_automatic_redemption_of_a_link_goes_straight_on(tenant, browser):
    tenant.do("cross-tenant", partner="northfield.example", automatic_consent=True, their_automatic_consent=True)
    assert browser.open(tenant.invite(NURSE).json()["inviteRedeemUrl"]).press(NURSE).left_to


def test_a_domain_can_be_asked_which_tenant_it_is(tenant):
    tenant.do("permissions", permissions=["CrossTenantInformation.ReadBasic.All"])
    ask = "/tenantRelationships/findTenantInformationBy"
    found = tenant.graph("GET", f"{ask}DomainName(domainName='northfield.example')").json()
    assert (found["tenantId"], found["displayName"]) == (NORTHFIELD, "Northfield Practice")
    assert tenant.graph("GET", f"{ask}TenantId(tenantId='{NORTHFIELD}')").json()["tenantId"] == NORTHFIELD
    assert tenant.graph("GET", f"{ask}DomainName(domainName='post.example')").status_code == 404
