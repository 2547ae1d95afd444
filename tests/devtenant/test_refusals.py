"""Each refusal that Graph is known for (entra.md §1, known refusals), and what a token's roles open."""

from __future__ import annotations

import jwt
import pytest

from .test_graph import NURSE, SPONSOR, error, known_id, look_up

DOCTOR = "doctor@riverside.example"
TABLE = {
    "switched off": (
        {"allow_invites_from": "none"},
        403,
        "Forbidden",
        "Guest invitations not allowed for your company. Contact your company administrator for more details.",
    ),
    "on the list of blocked": ({"blocked_domains": ["northfield.example"]}, 400, "BadRequest", "blocked domains"),
    "not on the list of allowed": ({"allowed_domains": ["riverside.example"]}, 400, "BadRequest", "blocked domains"),
    "suspicious": ({"suspicious": True}, 403, "Forbidden", "suspicious activity"),
    "no target": (
        {"unfindable_addresses": [NURSE]},
        500,
        "InternalServerError",
        "Unable to find target address",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_tenant_may_refuse_an_invitation(tenant, case):
    changes, status, code, text = TABLE[case]
    tenant.do("settings", **changes)
    refused = tenant.invite(NURSE)
    assert error(refused) == (status, code)
    assert text in refused.json()["error"]["message"]
    assert tenant.read("invitations") == []
    assert look_up(tenant, NURSE) == []


@pytest.mark.parametrize("case", ["on the list of blocked", "not on the list of allowed", "no target"])
def test_the_refusal_of_one_is_not_that_of_others(tenant, case):
    tenant.do("settings", **TABLE[case][0])
    assert tenant.invite(DOCTOR).status_code == 201


def test_a_tenant_keeps_one_kind_of_list(tenant):
    tenant.do("settings", blocked_domains=["northfield.example"])
    with pytest.raises(AssertionError, match="not both"):
        tenant.do("settings", allowed_domains=["riverside.example"])
    tenant.do("settings", blocked_domains=[], allowed_domains=["riverside.example"])


def test_the_list_is_asked_again_at_redemption(tenant, browser):
    link = tenant.invite(NURSE).json()["inviteRedeemUrl"]
    tenant.do("settings", allowed_domains=["riverside.example"])
    browser.open(link).press(NURSE)
    assert browser.heading == "This invitation cannot be used"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("new@hospital.example", "is a verified domain of this directory."),
        ("approver@hospital.onmicrosoft.example", "Invitee is in inviter tenant"),
        ("nurse+ward@northfield.example", "The Primary SMTP Address is an invalid value"),
    ],
)
def test_addresses_that_nobody_may_invite(tenant, address, text):
    refused = tenant.invite(address)
    assert error(refused) == (400, "BadRequest")
    assert text in refused.json()["error"]["message"]


def test_a_member_is_named_by_object_id(tenant):
    text = tenant.invite("approver@hospital.example").json()["error"]["message"]
    assert text == (
        f"The invited user already exists in the directory as object ID: {known_id('approver@hospital.example')}. "
        "They can use that account to sign in to shared apps and resources."
    )


@pytest.mark.parametrize("status", [400, 412])
def test_a_blocked_member_or_guest_is_refused_with_either_status(tenant, status):
    tenant.do("settings", blocked_user_status=status)
    for address in (SPONSOR, "approver@hospital.example"):
        tenant.do("enable-user", user=address, enabled=False)
        refused = tenant.invite(address)
        assert refused.status_code == status
        assert "but the account is blocked from signing in." in refused.json()["error"]["message"]


@pytest.mark.parametrize("owner", ["group", SPONSOR, "approver@hospital.example"])
def test_an_address_that_others_have_as_proxy_is_a_conflict(tenant, owner):
    tenant.do("proxy-address", address=NURSE, owner=owner)
    refused = tenant.invite(NURSE)
    assert error(refused) == (400, "Request_BadRequest")
    assert {d["code"] for d in refused.json()["error"]["details"]} == {"ObjectConflict", "ConflictingObjects"}
    assert tenant.read("invitations") == []


def test_an_address_that_a_contact_has_is_left_in_other_mails_only(tenant):
    tenant.do("proxy-address", address=NURSE, owner="contact")
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    found = tenant.graph("GET", f"/users/{guest}?$select=mail,proxyAddresses,otherMails").json()
    assert (found["mail"], found["proxyAddresses"], found["otherMails"]) == (None, [], [NURSE])
    assert look_up(tenant, NURSE) == [guest]
    assert tenant.invite(NURSE).json()["invitedUser"]["id"] == guest


def test_resetting_with_an_unknown_mail_is_refused_and_with_a_new_one_that_was_added_is_not(tenant):
    tenant.do("permissions", permissions=["User.Invite.All", "User.ReadWrite.All"])
    guest, new = known_id(SPONSOR), "sponsor@willowcourt.example"
    tenant.do("delete-user", user=new)  # or the address would be another guest's
    again = {"resetRedemption": True, "invitedUser": {"id": guest}}
    refused = tenant.invite(new, **again)
    assert error(refused) == (400, "BadRequest")
    assert refused.json()["error"]["message"] == (
        "The email you're using to invite this user doesn't match any emails on the user object. "
        "Please add this email to the user object and try again."
    )
    tenant.graph("PATCH", f"/users/{guest}", {"otherMails": [SPONSOR, new]})
    body = tenant.invite(new, **again).json()
    assert (body["status"], body["invitedUser"]["id"]) == ("PendingAcceptance", guest)


def test_an_app_cannot_touch_somebody_with_a_directory_role(tenant):
    tenant.do("permissions", permissions=["User.Invite.All", "User.ReadWrite.All"])
    tenant.do("directory-role", user=SPONSOR, role="Global Reader")
    guest = known_id(SPONSOR)
    assert tenant.invite(SPONSOR, resetRedemption=True, invitedUser={"id": guest}).status_code == 403
    assert tenant.graph("PATCH", f"/users/{guest}", {"accountEnabled": False}).status_code == 403
    assert tenant.graph("DELETE", f"/users/{guest}").status_code == 403
    assert tenant.invite(SPONSOR).status_code == 201


def test_a_day_of_too_many_invitations_blocks_all_until_it_is_lifted(tenant):
    tenant.do("settings", invitations_per_day=3)
    answers = [tenant.invite(f"person{n}@northfield.example").status_code for n in range(4)]
    assert answers == [201, 201, 201, 403]
    tenant.do("advance", seconds=3 * 24 * 3600)  # waiting does not help
    assert tenant.invite(NURSE).status_code == 403
    assert tenant.read()["settings"]["suspicious"] is True
    tenant.do("settings", suspicious=False)
    assert [tenant.invite(NURSE).status_code for _ in range(4)] == [201, 201, 201, 403]


def test_invitations_of_other_days_are_not_counted(tenant):
    tenant.do("settings", invitations_per_day=2)
    for _ in range(4):
        assert tenant.invite(NURSE).status_code == 201
        tenant.do("advance", seconds=13 * 3600)


def test_entras_own_mail_leaves_out_the_message_of_an_app(tenant):
    message = {"customizedMessageBody": "Words of ours", "ccRecipients": [{"emailAddress": {"address": SPONSOR}}]}
    assert tenant.invite(NURSE, sendInvitationMessage=True, invitedUserMessageInfo=message).status_code == 201
    [mail] = tenant.read("mails", to=NURSE)
    assert "Words of ours" not in str(mail)
    assert tenant.read("mails", to=SPONSOR)
    message["ccRecipients"] *= 2
    assert error(tenant.invite(NURSE, invitedUserMessageInfo=message)) == (400, "BadRequest")


# -- permissions ------------------------------------------------------------------------------------------------


def test_permissions_are_those_of_the_token_until_the_next_one(tenant):
    old = tenant.app_token()
    tenant.do("permissions", permissions=["User.Read.All"])
    new = tenant.app_token()
    assert jwt.decode(new, options={"verify_signature": False})["roles"] == ["User.Read.All"]
    tenant._token = old  # a grant that was taken away lives on in the token
    assert tenant.invite(NURSE).status_code == 201
    tenant._token = new
    refused = tenant.invite(NURSE)
    assert error(refused) == (403, "Forbidden")
    assert refused.json()["error"]["message"] == "Generic authorization exception."
    assert error(tenant.add_to_group(known_id(SPONSOR))) == (403, "Authorization_RequestDenied")


def test_a_token_without_roles_opens_nothing(tenant):
    tenant.do("permissions", permissions=[])
    assert error(tenant.graph("GET", "/users")) == (403, "Authorization_RequestDenied")


@pytest.mark.parametrize(
    ("held", "used"),
    [
        (["User.Read.All"], "User.Read.All"),
        (["Directory.Read.All"], "Directory.Read.All"),
        (["Directory.ReadWrite.All", "User.Read.All"], "User.Read.All"),
        (["User.Invite.All"], None),
    ],
)
def test_each_call_names_the_permission_that_opened_it(tenant, held, used):
    tenant.do("permissions", permissions=held)
    tenant.graph("GET", "/users")
    call = tenant.read("calls", operation="GET /users")[-1]
    assert call["permission"] == used
    assert call["verdict"] == ("Answered" if used else "Refused: the token has no permission for it")


@pytest.mark.parametrize(
    ("order", "verdict"),
    [
        ({"mode": "answer", "status": 503}, "As a test ordered: answer"),
        ({"mode": "answer_after", "status": 504}, "As a test ordered: answer_after"),
        ({"mode": "delay", "seconds": 0.0}, "As a test ordered: delay"),
    ],
)
def test_an_ordered_fault_is_listed_as_one(tenant, order, verdict):
    tenant.do("fail-next", operation="GET /users", **order)
    tenant.graph("GET", "/users")
    assert tenant.read("calls", operation="GET /users")[-1]["verdict"] == verdict
