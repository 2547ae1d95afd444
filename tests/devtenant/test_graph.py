"""Microsoft Graph as the portal's job meets it: entra.md §1, §2, §3, §4, §10."""

from __future__ import annotations

import uuid
from urllib.parse import quote

import msal
import pytest
import requests

from .conftest import GRAPH_CLIENT, GRAPH_SECRET, GROUP, TENANT

NURSE, SPONSOR = "nurse@northfield.example", "sponsor@northfield.example"
LOOK_UP = (
    "userPrincipalName eq '{0}' or mail eq '{0}' or proxyAddresses/any(x:x eq 'SMTP:{0}') "
    "or otherMails/any(x:x eq '{0}')"
)


def known_id(address):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"devtenant:{address}"))


def look_up(tenant, address):
    answer = tenant.graph("GET", "/users", params={"$filter": LOOK_UP.format(address), "$select": "id"})
    assert answer.status_code == 200, answer.text
    return [user["id"] for user in answer.json()["value"]]


def error(answer):
    return answer.status_code, answer.json()["error"]["code"]


# -- tokens -----------------------------------------------------------------------------------------------------


def msal_client(tenant, secret=GRAPH_SECRET):
    session = requests.Session()
    session.verify, session.trust_env = str(tenant.data / "ca.pem"), False
    return msal.ConfidentialClientApplication(
        GRAPH_CLIENT,
        client_credential=secret,
        authority=f"{tenant.https}/{TENANT}",
        instance_discovery=False,
        http_client=session,
    ), session


@pytest.mark.parametrize("own_name", [False, True])
def test_msal_gets_a_token_that_graph_accepts(tenant, own_name):
    client, session = msal_client(tenant)
    resource = tenant.https if own_name else "https://graph.microsoft.com"
    token = client.acquire_token_for_client([f"{resource}/.default"])["access_token"]
    answer = session.get(f"{tenant.https}/v1.0/users", headers={"Authorization": f"Bearer {token}"}, timeout=5)
    assert answer.status_code == 200


def test_msal_is_told_of_a_wrong_secret(tenant):
    client, _ = msal_client(tenant, "wrong")
    refused = client.acquire_token_for_client(["https://graph.microsoft.com/.default"])
    assert (refused["error"], refused["error_codes"]) == ("invalid_client", [7000215])


@pytest.mark.parametrize(
    ("scope", "error_name"),
    [
        ("https://graph.microsoft.com/User.Read.All", "invalid_scope"),
        ("https://x.example/.default", "invalid_resource"),
    ],
)
def test_a_scope_that_is_not_graph_is_refused(tenant, scope, error_name):
    form = {
        "grant_type": "client_credentials",
        "client_id": GRAPH_CLIENT,
        "client_secret": GRAPH_SECRET,
        "scope": scope,
    }
    answer = requests.post(f"{tenant.base}/{TENANT}/oauth2/v2.0/token", data=form, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (400, error_name)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}])
def test_graph_without_a_token_of_ours_is_401_in_the_envelope(tenant, header):
    answer = requests.get(f"{tenant.base}/v1.0/users", headers=header, timeout=5)
    assert error(answer) == (401, "InvalidAuthenticationToken")


def test_the_token_of_a_person_does_not_open_graph(browser, tenant):
    browser.start().press(SPONSOR).press("verify")
    token = browser.redeem_code().json()["access_token"]
    answer = requests.get(f"{tenant.base}/v1.0/users", headers={"Authorization": f"Bearer {token}"}, timeout=5)
    assert error(answer) == (403, "Authorization_RequestDenied")


def test_too_little_permission_is_403(tenant):
    tenant.do("permissions", permissions=["User.Read.All"])
    refused = tenant.invite(NURSE)
    assert error(refused) == (403, "Forbidden")
    assert refused.json()["error"]["message"] == "Generic authorization exception."
    assert error(tenant.add_to_group(known_id(SPONSOR))) == (403, "Authorization_RequestDenied")
    assert tenant.graph("GET", "/users").status_code == 200


def test_request_ids_are_echoed(tenant):
    mine = str(uuid.uuid4())
    answer = tenant.graph("GET", "/users/nobody", headers={"client-request-id": mine})
    inner = answer.json()["error"]["innerError"]
    assert answer.headers["client-request-id"] == inner["client-request-id"] == mine
    assert answer.headers["request-id"] == inner["request-id"] != mine
    assert len(inner["date"]) == len("2026-01-31T10:00:00")


# -- invitations ------------------------------------------------------------------------------------------------


def test_an_invitation_makes_a_pending_guest(tenant):
    answer = tenant.invite(NURSE, invitedUserDisplayName="Northfield Nurse")
    assert answer.status_code == 201
    body = answer.json()
    assert body["status"] == "PendingAcceptance"
    assert body["id"] != body["invitedUser"]["id"]
    assert body["inviteRedeemUrl"].startswith(f"http://login.localhost:{tenant.port}/redeem?rd=http")
    wanted = "userPrincipalName,userType,externalUserState,creationType,mail,otherMails,proxyAddresses,accountEnabled"
    guest = tenant.graph("GET", f"/users/{body['invitedUser']['id']}?$select={wanted}").json()
    assert guest["userPrincipalName"] == "nurse_northfield.example#EXT#@hospital.example"
    assert (guest["userType"], guest["externalUserState"], guest["creationType"]) == (
        "Guest",
        "PendingAcceptance",
        "Invitation",
    )
    assert (guest["mail"], guest["otherMails"], guest["proxyAddresses"]) == (NURSE, [NURSE], [f"SMTP:{NURSE}"])
    assert guest["accountEnabled"] is True


def test_inviting_a_pending_guest_again_gives_a_new_link_to_the_same_guest(tenant):
    first, second = tenant.invite(NURSE).json(), tenant.invite(NURSE.upper()).json()
    assert first["invitedUser"] == second["invitedUser"]
    assert first["inviteRedeemUrl"] != second["inviteRedeemUrl"]
    assert first["id"] != second["id"]
    assert look_up(tenant, NURSE) == [first["invitedUser"]["id"]]


def test_inviting_an_accepted_guest_says_completed(tenant):
    answer = tenant.invite(SPONSOR)
    assert (answer.status_code, answer.json()["status"]) == (201, "Completed")
    assert answer.json()["invitedUser"]["id"] == known_id(SPONSOR)


def test_the_redirect_address_gets_its_slash(tenant):
    body = tenant.invite(NURSE, inviteRedirectUrl="http://portal.localhost:8000").json()
    assert body["inviteRedirectUrl"] == "http://portal.localhost:8000/"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("nurse+ward@northfield.example", "The Primary SMTP Address is an invalid value"),
        (".nurse@northfield.example", "The Primary SMTP Address is an invalid value"),
        ("nurse-@northfield.example", "The Primary SMTP Address is an invalid value"),
        ("o'neill@northfield.example", "The Primary SMTP Address is an invalid value"),
        ("nurse", "The Primary SMTP Address is an invalid value"),
        ("someone@hospital.example", "is a verified domain of this directory."),
        ("approver@hospital.example", "already exists in the directory as object ID"),
    ],
)
def test_addresses_that_cannot_be_invited(tenant, address, text):
    answer = tenant.invite(address)
    assert error(answer) == (400, "BadRequest")
    assert text in answer.json()["error"]["message"]


def test_an_underscore_is_fine_anywhere(tenant):
    assert tenant.invite("_night_nurse_@northfield.example").status_code == 201


@pytest.mark.parametrize("missing", ["invitedUserEmailAddress", "inviteRedirectUrl"])
def test_what_is_required_is_required(tenant, missing):
    assert error(tenant.invite(NURSE, odd=True, **{missing: None})) == (400, "BadRequest")


@pytest.mark.parametrize("status", [400, 412])
def test_a_blocked_guest_cannot_be_invited(tenant, status):
    tenant.do("settings", blocked_user_status=status)
    tenant.do("enable-user", user=SPONSOR, enabled=False)
    answer = tenant.invite(SPONSOR)
    assert answer.status_code == status
    assert "blocked from signing in" in answer.json()["error"]["message"]


def test_a_tenant_may_forbid_invitations_to_apps(tenant):
    tenant.do("settings", allow_invites_from="adminsAndGuestInviters")
    answer = tenant.invite(NURSE)
    assert answer.status_code == 403
    assert "Guest invitations not allowed" in answer.json()["error"]["message"]
    tenant.do("permissions", permissions=["Policy.Read.All"])
    policy = tenant.graph("GET", "/policies/authorizationPolicy").json()
    assert policy["allowInvitesFrom"] == "adminsAndGuestInviters"


def test_a_domain_may_be_blocked(tenant):
    tenant.do("settings", blocked_domains=["northfield.example"])
    assert error(tenant.invite(NURSE)) == (400, "BadRequest")


def test_a_reset_makes_the_same_guest_pending_again(tenant):
    guest = known_id(SPONSOR)
    refused = tenant.invite("other@northfield.example", resetRedemption=True, invitedUser={"id": guest})
    assert "doesn't match any emails" in refused.json()["error"]["message"]
    body = tenant.invite(SPONSOR, resetRedemption=True, invitedUser={"id": guest}).json()
    assert (body["status"], body["invitedUser"]["id"]) == ("PendingAcceptance", guest)


def test_sponsors_can_be_named_with_the_invitation(tenant):
    links = [f"https://graph.microsoft.com/v1.0/users/{known_id(SPONSOR)}"]
    guest = tenant.invite(NURSE, **{"invitedUserSponsors@odata.bind": links}).json()["invitedUser"]["id"]
    found = tenant.graph("GET", f"/users/{guest}/sponsors").json()["value"]
    assert [s["id"] for s in found] == [known_id(SPONSOR)]
    assert found[0]["@odata.type"] == "#microsoft.graph.user"


def test_sponsors_are_five_at_most_and_each_once(tenant):
    tenant.do("permissions", permissions=["User.Invite.All", "User.ReadWrite.All"])
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    domains = ("northfield", "riverside", "willowcourt")
    people = [known_id(f"{who}@{d}.example") for d in domains for who in ("sponsor", "deputy")]
    path = f"/users/{guest}/sponsors/$ref"
    links = [{"@odata.id": f"https://graph.microsoft.com/v1.0/users/{person}"} for person in people]
    assert [tenant.graph("POST", path, link).status_code for link in links] == [204] * 5 + [400]
    assert tenant.graph("POST", path, links[0]).status_code == 400
    gone = f"/users/{guest}/sponsors/{people[0]}/$ref"
    assert [tenant.graph("DELETE", gone).status_code for _ in range(2)] == [204, 404]


# -- replication ------------------------------------------------------------------------------------------------


def test_a_new_guest_is_not_there_yet(tenant):
    tenant.do("settings", lag=60)
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    assert look_up(tenant, NURSE) == []
    assert error(tenant.graph("GET", f"/users/{guest}")) == (404, "Request_ResourceNotFound")
    assert error(tenant.add_to_group(guest)) == (404, "Request_ResourceNotFound")
    assert tenant.invite(NURSE).json()["invitedUser"]["id"] == guest
    tenant.do("advance", seconds=61)
    assert look_up(tenant, NURSE) == [guest]
    assert tenant.add_to_group(guest).status_code == 204


def test_reads_may_answer_before_writes_do(tenant):
    tenant.do("settings", lag=0, write_lag=60)
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    assert look_up(tenant, NURSE) == [guest]
    assert error(tenant.add_to_group(guest)) == (404, "Request_ResourceNotFound")
    tenant.do("advance", seconds=61)
    assert tenant.add_to_group(guest).status_code == 204


def test_the_lag_is_two_seconds_unless_set(tenant):
    tenant.do("reset")
    assert tenant.read()["settings"]["lag"] == 2.0
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    assert tenant.graph("GET", f"/users/{guest}").status_code == 404


def test_a_membership_may_take_time_to_show(tenant):
    tenant.do("settings", membership_lag=60)
    guest = tenant.admit(NURSE)
    assert error(tenant.add_to_group(guest)) == (400, "Request_BadRequest")
    check = f"/users/{guest}/checkMemberGroups"
    assert tenant.graph("POST", check, {"groupIds": [GROUP]}).json()["value"] == []
    tenant.do("advance", seconds=61)
    assert tenant.graph("POST", check, {"groupIds": [GROUP]}).json()["value"] == [GROUP]


# -- users ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mail eq 'SPONSOR@northfield.example'", 1),
        ("userPrincipalName eq 'sponsor_northfield.example#EXT#@hospital.example'", 1),
        ("proxyAddresses/any(x:x eq 'SMTP:sponsor@northfield.example')", 1),
        ("otherMails/any(m:m eq 'sponsor@northfield.example')", 1),
        ("externalUserState eq 'Accepted'", 6),
        ("externalUserState eq 'Accepted' and startswith(mail,'dep')", 3),
        ("userType eq 'Member'", 5),
        ("(userType eq 'Member') or mail in ('sponsor@northfield.example', 'x@y.example')", 6),
        ("accountEnabled eq false", 0),
        ("mail eq 'o''neill@northfield.example'", 0),
    ],
)
def test_filters_that_are_answered(tenant, text, found):
    answer = tenant.graph("GET", "/users", params={"$filter": text})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["value"]) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail",
        "mail eq",
        "mail eq 'a' or",
        "mail eq 'open",
        "shoeSize eq '1'",
        "mail gt 'a'",
        "(mail eq 'a'",
        "mail eq 'a')",
        "mail ne 'a'",
        "not mail eq 'a'",
        "endsWith(mail,'x')",
        "externalUserState eq null",
        "otherMails/any(x:y eq 'a')",
    ],
)
def test_filters_that_are_refused(tenant, text):
    assert tenant.graph("GET", "/users", params={"$filter": text}).status_code == 400


def test_advanced_filters_need_header_and_count(tenant):
    query = {"$filter": "endsWith(mail,'northfield.example')", "$count": "true"}
    answer = tenant.graph("GET", "/users", params=query, headers={"ConsistencyLevel": "eventual"}).json()
    assert answer["@odata.count"] == len(answer["value"]) == 2


def test_select_answers_exactly_what_was_asked(tenant):
    path = f"/users/{known_id(SPONSOR)}"
    assert set(tenant.graph("GET", f"{path}?$select=id,externalUserState").json()) == {
        "@odata.context",
        "id",
        "externalUserState",
    }
    assert "externalUserState" not in tenant.graph("GET", path).json()
    assert error(tenant.graph("GET", f"{path}?$select=shoeSize")) == (400, "BadRequest")
    refused = tenant.graph("GET", f"{path}?$select=signInActivity")
    assert error(refused) == (403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant")


def test_a_guest_is_found_by_principal_name_with_its_hash_escaped(tenant):
    name = quote("sponsor_northfield.example#EXT#@hospital.example", safe="")
    assert tenant.graph("GET", f"/users/{name}").json()["id"] == known_id(SPONSOR)


def test_pages_follow_the_next_link(tenant):
    url, seen = f"{tenant.https}/v1.0/users?$top=4&$select=id", []
    while url:
        answer = tenant.graph("GET", url.removeprefix(f"{tenant.https}/v1.0")).json()
        seen += [user["id"] for user in answer["value"]]
        url = answer.get("@odata.nextLink")
    assert len(seen) == len(set(seen)) == 11
    assert tenant.graph("GET", "/users?$skip=1", odd=True).status_code == 400
    assert tenant.graph("GET", "/users?$top=1000").status_code == 400


def test_disabling_needs_little_permission_and_other_changes_more(tenant):
    path = f"/users/{known_id(SPONSOR)}"
    assert tenant.graph("PATCH", path, {"accountEnabled": False}).status_code == 403
    tenant.do("permissions", permissions=["User.EnableDisableAccount.All", "User.Read.All"])
    assert tenant.graph("PATCH", path, {"accountEnabled": False}).status_code == 204
    assert tenant.graph("PATCH", path, {"displayName": "x"}).status_code == 403
    assert tenant.graph("GET", f"{path}?$select=accountEnabled").json()["accountEnabled"] is False
    assert tenant.graph("PATCH", path, {"accountEnabled": "no"}, odd=True).status_code == 400


def test_a_deleted_guest_can_be_restored_with_id_and_group(tenant):
    everything = ["User.Read.All", "User.DeleteRestore.All", "GroupMember.ReadWrite.All", "User.Invite.All"]
    tenant.do("permissions", permissions=everything)
    guest = known_id(SPONSOR)
    assert tenant.graph("DELETE", f"/users/{guest}").status_code == 204
    assert tenant.graph("GET", f"/users/{guest}").status_code == 404
    assert tenant.graph("GET", f"/directory/deletedItems/{guest}").json()["id"] == guest
    members = tenant.graph("GET", f"/groups/{GROUP}/members").json()["value"]
    assert guest not in {m["id"] for m in members}
    assert tenant.graph("POST", f"/directory/deletedItems/{guest}/restore").json()["id"] == guest
    assert tenant.graph("POST", f"/users/{guest}/checkMemberGroups", {"groupIds": [GROUP]}).json()["value"] == [GROUP]


def test_a_deleted_guest_who_is_invited_again_is_someone_new(tenant):
    tenant.do("delete-user", user=SPONSOR)
    assert tenant.invite(SPONSOR).json()["invitedUser"]["id"] != known_id(SPONSOR)


# -- groups -----------------------------------------------------------------------------------------------------


def test_adding_twice_is_refused_with_the_text_that_clients_know(tenant):
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    assert tenant.add_to_group(guest).status_code == 204
    again = tenant.add_to_group(guest)
    assert error(again) == (400, "Request_BadRequest")
    assert again.json()["error"]["message"] == (
        "One or more added object references already exist for the following modified properties: 'members'."
    )


def test_unknown_members_and_groups_are_404(tenant):
    assert error(tenant.add_to_group(str(uuid.uuid4()))) == (404, "Request_ResourceNotFound")
    link = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{known_id(SPONSOR)}"}
    assert tenant.graph("POST", f"/groups/{uuid.uuid4()}/members/$ref", link).status_code == 404
    assert tenant.graph("POST", f"/groups/{GROUP}/members/$ref", {}, odd=True).status_code == 400


def test_a_member_leaves_once(tenant):
    path = f"/groups/{GROUP}/members/{known_id(SPONSOR)}/$ref"
    assert [tenant.graph("DELETE", path).status_code for _ in range(2)] == [204, 404]


def test_without_ref_the_user_itself_is_deleted(tenant):
    path = f"/groups/{GROUP}/members/{known_id(SPONSOR)}"
    assert tenant.graph("DELETE", path, odd=True).status_code == 403
    tenant.do("permissions", permissions=["User.ReadWrite.All"])
    assert tenant.graph("DELETE", path, odd=True).status_code == 204
    assert tenant.graph("GET", f"/users/{known_id(SPONSOR)}").status_code == 404


def test_the_context_policy_can_be_read(tenant):
    tenant.do("permissions", permissions=["Policy.Read.All"])
    tenant.do("mfa", context="c2", required=False)
    policies = tenant.graph("GET", "/identity/conditionalAccess/policies").json()["value"]
    bound = [p["conditions"]["applications"]["includeAuthenticationContextClassReferences"] for p in policies]
    assert bound == [["c1"]]


def test_the_group_is_assigned_to_the_sign_in_app(tenant):
    tenant.do("permissions", permissions=["Application.Read.All"])
    app = "/servicePrincipals(appId='22222222-2222-4222-8222-222222222222')"
    assert tenant.graph("GET", app).json()["appRoleAssignmentRequired"] is True
    assigned = tenant.graph("GET", f"{app}/appRoleAssignedTo").json()["value"]
    assert GROUP in {a["principalId"] for a in assigned if a["principalType"] == "Group"}


def test_what_is_not_modelled_says_so(tenant):
    assert error(tenant.graph("GET", "/subscriptions")) == (501, "notImplemented")
    assert error(tenant.graph("POST", "/$batch", {"requests": []}, odd=True)) == (501, "notImplemented")
