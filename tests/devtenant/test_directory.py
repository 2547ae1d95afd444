"""Queries, groups, lag of single objects, the bin, sessions: entra.md §1, §2, §3."""

from __future__ import annotations

import json
import time

import pytest
import requests

from .conftest import GROUP
from .test_graph import NURSE, SPONSOR, error, known_id, look_up

EVENTUAL = {"ConsistencyLevel": "eventual"}
DAY = 24 * 3600
ALL = [
    *("User.Invite.All", "User.ReadWrite.All", "GroupMember.ReadWrite.All", "User.DeleteRestore.All"),
    *("Directory.Read.All", "AppRoleAssignment.ReadWrite.All", "Application.Read.All"),
]


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["value"]]


# -- queries ----------------------------------------------------------------------------------------------------


def test_counting_needs_the_header(tenant):
    assert error(tenant.graph("GET", "/users/$count")) == (400, "Request_BadRequest")
    assert tenant.graph("GET", "/users/$count").json()["error"]["message"] == "$count is not currently supported."
    counted = tenant.graph("GET", "/users/$count?$filter=userType ne 'Guest'", headers=EVENTUAL)
    assert (counted.status_code, counted.text) == (200, "5")
    assert tenant.graph("GET", "/groups/$count", headers=EVENTUAL).text == "1"


def test_count_in_a_list_is_ignored_without_the_header(tenant):
    assert "@odata.count" not in tenant.graph("GET", "/users?$count=true").json()
    assert tenant.graph("GET", "/users?$count=true", headers=EVENTUAL).json()["@odata.count"] == 11


@pytest.mark.parametrize(
    ("query", "alone", "advanced"),
    [
        ('$search="displayName:Sponsor"', "Request_UnsupportedQuery", 6),
        ("$filter=userType ne 'Guest'", "Request_UnsupportedQuery", 5),
        ("$filter=not startswith(mail,'sponsor')", "Request_UnsupportedQuery", 8),
        ("$filter=endsWith(mail,'northfield.example')", "Request_UnsupportedQuery", 2),
        ("$filter=userType eq 'Guest'&$orderby=displayName", "Request_UnsupportedQuery", 6),
        ("$orderby=createdDateTime", "Request_UnsupportedQuery", 11),
    ],
)
def test_advanced_queries_need_header_and_count(tenant, query, alone, advanced):
    assert error(tenant.graph("GET", f"/users?{query}")) == (400, alone)
    assert len(ids(tenant.graph("GET", f"/users?{query}&$count=true", headers=EVENTUAL))) == advanced


def test_sorting_by_name_is_no_advanced_query(tenant):
    names = [u["displayName"] for u in tenant.graph("GET", "/users?$orderby=displayName desc").json()["value"]]
    assert names == sorted(names, key=str.lower, reverse=True)


def test_expand_does_not_go_with_advanced_queries(tenant):
    query = "/users?$expand=memberOf&$count=true"
    assert error(tenant.graph("GET", query, headers=EVENTUAL)) == (400, "Request_UnsupportedQuery")
    assert error(tenant.graph("GET", "/users?$expand=memberOf")) == (501, "notImplemented")


def test_advanced_queries_are_answered_from_an_older_index(tenant):
    tenant.do("settings", index_lag=60)
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    query = "/users?$filter=endsWith(mail,'northfield.example')&$count=true"
    assert look_up(tenant, NURSE) == [guest]
    assert guest not in ids(tenant.graph("GET", query, headers=EVENTUAL))
    tenant.do("advance", seconds=61)
    assert guest in ids(tenant.graph("GET", query, headers=EVENTUAL))


def test_users_are_found_by_ids(tenant):
    wanted = [known_id(SPONSOR), known_id("approver@hospital.example")]
    listed = ", ".join(f"'{key}'" for key in wanted)
    assert sorted(ids(tenant.graph("GET", f"/users?$filter=id in ({listed})"))) == sorted(wanted)
    assert ids(tenant.graph("GET", f"/users?$filter=id eq '{wanted[0]}' and userType eq 'Member'")) == []


@pytest.mark.parametrize(
    "text",
    [
        f"mail eq '{SPONSOR}' or userType eq 'Member'",
        f"not (mail eq '{SPONSOR}')",
        f"mail eq null or mail eq '{SPONSOR}'",
        f"userType eq 'Guest' and (mail eq '{SPONSOR}' or otherMails/any(x:x eq 'deputy@northfield.example'))",
        f"proxyAddresses/any(x:x eq 'smtp:{SPONSOR}')",
    ],
)
def test_the_index_changes_no_answer(tenant, text):
    """What an index may shorten must find the same as looking at everybody, which `startswith` makes it do."""
    query = {"$filter": text, "$count": "true"}
    everybody = {"$filter": f"({text}) or (startswith(mail,'x') and startswith(mail,'y'))", "$count": "true"}
    found = ids(tenant.graph("GET", "/users", params=query, headers=EVENTUAL))
    assert sorted(found) == sorted(ids(tenant.graph("GET", "/users", params=everybody, headers=EVENTUAL)))
    assert found


def test_a_next_link_is_followed_as_it_is_or_not_at_all(tenant):
    link = tenant.graph("GET", "/users?$top=4").json()["@odata.nextLink"].removeprefix(f"{tenant.https}/v1.0")
    assert tenant.graph("GET", link).status_code == 200
    assert error(tenant.graph("GET", link.replace("top=4", "top=5"))) == (400, "Request_BadRequest")
    assert error(tenant.graph("GET", "/users?$skiptoken=4")) == (400, "Request_BadRequest")
    assert error(tenant.graph("GET", "/users?$top=0")) == (400, "Request_UnsupportedQuery")


def test_objects_are_had_by_ids(tenant):
    asked = {"ids": [known_id(SPONSOR), GROUP, "00000000-0000-0000-0000-000000000000"]}
    assert ids(tenant.graph("POST", "/directoryObjects/getByIds", asked)) == [known_id(SPONSOR), GROUP]
    assert ids(tenant.graph("POST", "/directoryObjects/getByIds", {**asked, "types": ["group"]})) == [GROUP]
    assert tenant.graph("GET", f"/directoryObjects/{GROUP}").json()["@odata.type"] == "#microsoft.graph.group"
    assert tenant.graph("GET", "/directoryObjects/nobody").status_code == 404


# -- groups -----------------------------------------------------------------------------------------------------


@pytest.fixture
def outer(tenant):
    """A group that holds the access group."""
    tenant.do("permissions", permissions=ALL)
    group = tenant.do("groups", name="All guests")["id"]
    link = {"@odata.id": f"https://graph.microsoft.com/v1.0/groups/{GROUP}"}
    assert tenant.graph("POST", f"/groups/{group}/members/$ref", link).status_code == 204
    return group


def test_members_of_a_group_in_a_group(tenant, outer):
    guest = known_id(SPONSOR)
    assert ids(tenant.graph("GET", f"/users/{guest}/memberOf")) == [GROUP]
    assert ids(tenant.graph("GET", f"/users/{guest}/transitiveMemberOf")) == [GROUP, outer]
    asked = {"securityEnabledOnly": True}
    assert tenant.graph("POST", f"/users/{guest}/getMemberGroups", asked).json()["value"] == [GROUP, outer]
    check = tenant.graph("POST", f"/users/{guest}/checkMemberGroups", {"groupIds": [outer]})
    assert check.json()["value"] == [outer]
    assert ids(tenant.graph("GET", f"/groups/{outer}/members")) == [GROUP]
    assert len(ids(tenant.graph("GET", f"/groups/{outer}/transitiveMembers"))) == 7


def test_a_cast_on_a_transitive_list_is_an_advanced_query(tenant, outer):
    for path in (
        f"/groups/{outer}/transitiveMembers/microsoft.graph.user",
        f"/users/{known_id(SPONSOR)}/transitiveMemberOf/microsoft.graph.group",
    ):
        assert error(tenant.graph("GET", path)) == (400, "Request_UnsupportedQuery")
        assert tenant.graph("GET", f"{path}?$count=true", headers=EVENTUAL).status_code == 200


def test_many_members_are_added_all_or_none(tenant):
    new = [tenant.invite(f"person{n}@northfield.example").json()["invitedUser"]["id"] for n in range(2)]

    def add(*members):
        links = [f"https://graph.microsoft.com/v1.0/directoryObjects/{member}" for member in members]
        return tenant.graph("PATCH", f"/groups/{GROUP}", {"members@odata.bind": links}, odd=len(links) > 20)

    assert error(add(*new, known_id(SPONSOR))) == (400, "Request_BadRequest")
    assert error(add(*new, "00000000-0000-0000-0000-000000000000")) == (404, "Request_ResourceNotFound")
    assert not {*new} & {*ids(tenant.graph("GET", f"/groups/{GROUP}/members"))}
    assert add(*new).status_code == 204
    assert {*new} <= {*ids(tenant.graph("GET", f"/groups/{GROUP}/members"))}
    assert add(*[known_id(SPONSOR)] * 21).status_code == 400


def test_another_member_costs_the_same_however_many_there_are(tenant):
    journal = tenant.data / "journal.jsonl"
    grown = []
    for number in range(60):
        guest = tenant.invite(f"person{number}@northfield.example").json()["invitedUser"]["id"]
        before = journal.stat().st_size
        assert tenant.add_to_group(guest).status_code == 204
        grown.append(journal.stat().st_size - before)
    assert max(grown) < 400


def test_answers_with_a_body_leave_at_once(tenant):
    """Nagle's algorithm would hold each one back for 40 ms."""
    token = {"Authorization": f"Bearer {tenant.app_token()}"}
    with requests.Session() as session:
        times = []
        for _ in range(21):
            began = time.perf_counter()
            session.get(
                f"{tenant.https}/v1.0/groups/{GROUP}", headers=token, verify=str(tenant.data / "ca.pem"), timeout=5
            )
            times.append(time.perf_counter() - began)
    assert sorted(times)[5] < 0.035


# -- one object's lag -------------------------------------------------------------------------------------------


def test_one_object_may_be_away_while_others_are_there(tenant):
    tenant.do("lag", user=NURSE, read=5, write=60)  # before there is such a user
    nurse = tenant.invite(NURSE).json()["invitedUser"]["id"]
    other = tenant.invite("doctor@northfield.example").json()["invitedUser"]["id"]
    assert tenant.graph("GET", f"/users/{other}").status_code == 200
    assert tenant.graph("GET", f"/users/{nurse}").status_code == 404
    tenant.do("advance", seconds=6)
    assert tenant.graph("GET", f"/users/{nurse}").status_code == 200
    assert error(tenant.add_to_group(nurse)) == (404, "Request_ResourceNotFound")
    tenant.do("advance", seconds=60)
    assert tenant.add_to_group(nurse).status_code == 204
    tenant.do("lag", user=nurse, read=10)
    assert tenant.graph("GET", f"/users/{nurse}").status_code == 404


@pytest.mark.parametrize("code", ["Request_ResourceNotFound", "Directory_ObjectNotFound"])
def test_a_write_that_does_not_see_the_guest_yet_says_so_in_either_code(tenant, code):
    tenant.do("permissions", permissions=ALL)
    tenant.do("settings", write_lag=60, not_there_code=code)
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    assert tenant.graph("GET", f"/users/{guest}").status_code == 200
    assert error(tenant.add_to_group(guest)) == (404, code)
    link = {"@odata.id": f"https://graph.microsoft.com/v1.0/users/{known_id(SPONSOR)}"}
    assert error(tenant.graph("POST", f"/users/{guest}/sponsors/$ref", link)) == (404, code)
    assert error(tenant.graph("PATCH", f"/users/{guest}", {"displayName": "x"})) == (404, code)
    assert tenant.read("calls")[-1]["verdict"] == "Not there yet"
    assert tenant.read("calls")[-1]["operation"] == "PATCH /users/{id}"


def test_an_assignment_does_not_see_the_guest_yet_in_its_own_words(tenant):
    tenant.do("permissions", permissions=ALL)
    tenant.do("settings", write_lag=60)
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    app = "/servicePrincipals(appId='22222222-2222-4222-8222-222222222222')"
    principal = tenant.graph("GET", app).json()
    role = next(r["id"] for r in principal["appRoles"] if r["value"] == "Portal.Reviewer")
    body = {"principalId": guest, "resourceId": principal["id"], "appRoleId": role}
    refused = tenant.graph("POST", f"{app}/appRoleAssignedTo", body)
    assert error(refused) == (400, "Request_BadRequest")
    assert "Not a valid reference update" in refused.json()["error"]["message"]
    tenant.do("advance", seconds=61)
    made = tenant.graph("POST", f"{app}/appRoleAssignedTo", body)
    assert (made.status_code, made.json()["principalType"]) == (201, "User")
    assert error(tenant.graph("POST", f"{app}/appRoleAssignedTo", body)) == (400, "Request_BadRequest")
    gone = f"{app}/appRoleAssignedTo/{made.json()['id']}"
    assert [tenant.graph("DELETE", gone).status_code for _ in range(2)] == [204, 404]


def test_jitter_differs_from_guest_to_guest_and_not_from_run_to_run(tenant):
    def arrivals():
        tenant.do("reset")
        tenant.do("settings", lag=10, lag_jitter=20, lag_seed=7)
        began = time.time()
        for number in range(5):
            tenant.invite(f"person{number}@northfield.example")
        users = [user for user in tenant.read("users") if user["displayName"].startswith("person")]
        return [user["_readable_at"] - began for user in users]

    first, second = arrivals(), arrivals()
    assert all(10 <= lag < 32 for lag in first)
    assert max(first) - min(first) > 3
    assert second == pytest.approx(first, abs=1.5)


# -- the bin, disabling, sessions -------------------------------------------------------------------------------


def test_a_deleted_guest_is_in_the_bin_for_thirty_days(tenant):
    tenant.do("permissions", permissions=ALL)
    guest = known_id(SPONSOR)
    assert tenant.graph("DELETE", f"/users/{guest}").status_code == 204
    assert look_up(tenant, SPONSOR) == []
    path = "/directory/deletedItems"
    assert ids(tenant.graph("GET", f"{path}/microsoft.graph.user")) == [guest]
    assert tenant.graph("GET", f"{path}/{guest}").json()["deletedDateTime"]
    tenant.do("advance", seconds=30 * DAY - 60)
    assert tenant.graph("GET", f"{path}/{guest}").status_code == 200
    tenant.do("advance", seconds=120)
    assert tenant.graph("GET", f"{path}/{guest}").status_code == 404
    assert error(tenant.graph("POST", f"{path}/{guest}/restore")) == (404, "Request_ResourceNotFound")


def test_restoring_brings_back_id_group_and_sign_in(tenant, browser):
    tenant.do("permissions", permissions=ALL)
    guest = known_id(SPONSOR)
    tenant.graph("DELETE", f"/users/{guest}")
    browser.start().press(SPONSOR)
    assert browser.left_to is None
    assert tenant.graph("POST", f"/directory/deletedItems/{guest}/restore").json()["id"] == guest
    assert ids(tenant.graph("GET", f"/users/{guest}/memberOf")) == [GROUP]
    assert browser.sign_in(SPONSOR)["oid"] == guest


def test_deleting_for_good_is_final_and_the_next_invitation_makes_somebody_new(tenant):
    tenant.do("permissions", permissions=ALL)
    guest = known_id(SPONSOR)
    tenant.graph("DELETE", f"/users/{guest}")
    assert tenant.graph("DELETE", f"/directory/deletedItems/{guest}").status_code == 204
    assert tenant.graph("GET", f"/directory/deletedItems/{guest}").status_code == 404
    again = tenant.invite(SPONSOR).json()["invitedUser"]["id"]
    assert again != guest
    assert ids(tenant.graph("GET", f"/users/{again}/memberOf")) == []


def test_the_bin_can_be_used_by_control(tenant):
    tenant.do("delete-user", user=SPONSOR)
    tenant.do("restore-user", user=known_id(SPONSOR))
    assert look_up(tenant, SPONSOR) == [known_id(SPONSOR)]
    tenant.do("delete-user", user=SPONSOR)
    tenant.do("delete-for-good", user=known_id(SPONSOR))
    assert tenant.read()["counts"]["deleted"] == 0


@pytest.mark.parametrize("by", ["Graph", "control"])
def test_revoked_sessions_ask_for_the_account_again(tenant, browser, by):
    tenant.do("permissions", permissions=ALL)
    browser.sign_in(SPONSOR)
    browser.start()
    assert browser.left_to  # single sign-on
    time.sleep(0.01)
    if by == "Graph":
        answer = tenant.graph("POST", f"/users/{known_id(SPONSOR)}/revokeSignInSessions")
        assert (answer.status_code, answer.json()["value"]) == (200, True)
    else:
        tenant.do("revoke-sessions", user=SPONSOR)
    browser.start()
    assert browser.left_to is None
    path = f"/users/{known_id(SPONSOR)}?$select=signInSessionsValidFromDateTime"
    assert tenant.graph("GET", path).json()["signInSessionsValidFromDateTime"]


def test_a_disabled_guest_is_turned_away_and_let_in_again(tenant, browser):
    tenant.do("permissions", permissions=ALL)
    path = f"/users/{known_id(SPONSOR)}"
    assert tenant.graph("PATCH", path, {"accountEnabled": False}).status_code == 204
    browser.start().press(SPONSOR)
    assert browser.left_to is None
    assert tenant.graph("PATCH", path, {"accountEnabled": True}).status_code == 204
    assert browser.sign_in(SPONSOR)["oid"] == known_id(SPONSOR)


def test_a_journal_of_before_is_taken_over(own_tenant):
    """Groups used to hold their members, and there were fewer settings."""
    tenant = own_tenant
    assert tenant.stop() == 0
    journal = tenant.data / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    older = [line for line in lines if line["c"] != "members"]
    for line in older:
        if line["c"] == "groups":
            line["v"] |= {"_members": [known_id(SPONSOR)], "_arrivals": {}}
        if line["c"] == "settings":
            line["v"] = {"lag": 0, "write_lag": None, "membership_lag": 0, "clock_offset": 0.0}
    journal.write_text("".join(json.dumps(line) + "\n" for line in older))
    tenant.start()
    assert ids(tenant.graph("GET", f"/groups/{GROUP}/members")) == [known_id(SPONSOR)]
    assert tenant.read()["settings"]["throttling"] is True
