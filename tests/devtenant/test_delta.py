"""GET /users/delta and /groups/delta (entra.md §11): what changed, and when a token is worth nothing any more."""

from __future__ import annotations

import pytest

from .conftest import GROUP
from .test_graph import NURSE, SPONSOR, error, known_id

WEEK = 7 * 24 * 3600


class Reader:
    """Follows links verbatim, as a client must."""

    def __init__(self, tenant, path="/users/delta?$select=displayName,accountEnabled", **headers):
        self.tenant, self.headers = tenant, headers
        self.link, self.pages = f"{tenant.https}/v1.0{path}", 0

    def get(self):
        return self.tenant.graph("GET", self.link.removeprefix(f"{self.tenant.https}/v1.0"), headers=self.headers)

    def round(self):
        """All entries up to the next deltaLink."""
        found = []
        while True:
            body = self.get().json()
            self.pages += 1
            found += body["value"]
            self.link = body.get("@odata.nextLink") or body["@odata.deltaLink"]
            if "@odata.deltaLink" in body:
                return found


@pytest.fixture(autouse=True)
def powers(tenant):
    names = ["User.Invite.All", "User.ReadWrite.All", "GroupMember.ReadWrite.All", "User.DeleteRestore.All"]
    tenant.do("permissions", permissions=names)


def test_the_first_round_is_everybody_and_the_next_is_empty(tenant):
    reader = Reader(tenant)
    first = reader.round()
    assert len(first) == 11
    assert all(set(entry) == {"id", "displayName", "accountEnabled"} for entry in first)
    assert reader.round() == []


def test_pages_are_cut_and_each_user_comes_once(tenant):
    tenant.do("settings", delta_page=4)
    reader = Reader(tenant)
    found = [entry["id"] for entry in reader.round()]
    assert (len(found), len(set(found)), reader.pages) == (11, 11, 3)


def test_what_changes_between_two_pages_comes_with_the_next_round(tenant):
    tenant.do("settings", delta_page=4)
    reader = Reader(tenant)
    body = reader.get().json()
    reader.link = body["@odata.nextLink"]
    tenant.do("enable-user", user=body["value"][0]["id"], enabled=False)
    rest = reader.round()
    assert [(e["id"], e["accountEnabled"]) for e in reader.round()] == [(body["value"][0]["id"], False)]
    assert len(rest) == 7


def test_a_new_a_changed_and_a_deleted_user_show(tenant):
    reader = Reader(tenant)
    reader.round()
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    tenant.do("enable-user", user=SPONSOR, enabled=False)
    shown = {entry["id"]: entry for entry in reader.round()}
    assert shown.keys() == {guest, known_id(SPONSOR)}
    assert shown[known_id(SPONSOR)]["accountEnabled"] is False
    assert tenant.graph("DELETE", f"/users/{guest}").status_code == 204
    assert reader.round() == [{"id": guest, "@removed": {"reason": "changed"}}]
    assert tenant.graph("POST", f"/directory/deletedItems/{guest}/restore").status_code == 200
    assert [entry["id"] for entry in reader.round()] == [guest]
    tenant.graph("DELETE", f"/users/{guest}")
    tenant.graph("DELETE", f"/directory/deletedItems/{guest}")
    assert reader.round() == [{"id": guest, "@removed": {"reason": "deleted"}}]
    assert reader.round() == []


def test_a_first_round_holds_nobody_who_is_gone(tenant):
    tenant.do("delete-user", user=SPONSOR)
    assert known_id(SPONSOR) not in {entry["id"] for entry in Reader(tenant).round()}


def test_what_nobody_may_see_is_no_change(tenant, browser):
    """Neither sponsors nor what is ours alone touches the delta of users."""
    reader = Reader(tenant)
    reader.round()
    link = {"@odata.id": f"https://graph.microsoft.com/v1.0/users/{known_id('deputy@northfield.example')}"}
    assert tenant.graph("POST", f"/users/{known_id(SPONSOR)}/sponsors/$ref", link).status_code == 204
    assert tenant.add_to_group(tenant.invite(NURSE).json()["invitedUser"]["id"]).status_code == 204
    assert len(reader.round()) == 1  # the new guest


def test_a_guest_shows_when_reads_do(tenant):
    tenant.do("settings", lag=60)
    reader = Reader(tenant)
    reader.round()
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    assert reader.round() == []
    tenant.do("advance", seconds=61)
    assert [entry["id"] for entry in reader.round()] == [guest]
    assert reader.round() == []


def test_latest_starts_now_without_anybody(tenant):
    reader = Reader(tenant, "/users/delta?$deltatoken=latest")
    assert reader.round() == []
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    assert [entry["id"] for entry in reader.round()] == [guest]


def test_minimal_answers_hold_what_changed_only(tenant):
    reader = Reader(tenant, Prefer="return=minimal")
    assert reader.get().headers["Preference-Applied"] == "return=minimal"
    reader.round()
    tenant.graph("PATCH", f"/users/{known_id(SPONSOR)}", {"displayName": "Other"})
    tenant.invite(NURSE, invitedUserDisplayName="New")
    changed, new = reader.round()
    assert changed == {"id": known_id(SPONSOR), "displayName": "Other"}
    assert set(new) == {"id", "displayName", "accountEnabled"}


def test_a_filter_names_fifty_ids_at_most_and_the_link_remembers_it(tenant):
    ids = [known_id(SPONSOR), known_id("deputy@northfield.example")]
    text = " or ".join(f"id eq '{key}'" for key in ids)
    reader = Reader(tenant, f"/users/delta?$filter={text}")
    assert {entry["id"] for entry in reader.round()} == set(ids)
    tenant.invite(NURSE)
    tenant.do("enable-user", user=SPONSOR, enabled=False)
    assert [entry["id"] for entry in reader.round()] == [known_id(SPONSOR)]
    many = " or ".join(f"id eq '{number}'" for number in range(51))
    assert error(tenant.graph("GET", f"/users/delta?$filter={many}")) == (400, "Request_UnsupportedQuery")
    assert error(tenant.graph("GET", "/users/delta?$filter=mail eq 'a'")) == (400, "Request_UnsupportedQuery")
    assert error(tenant.graph("GET", "/users/delta?$top=5", odd=True)) == (400, "Request_BadRequest")


def test_replays_can_be_ordered(tenant):
    tenant.do("settings", delta_replays=True)
    found = [entry["id"] for entry in Reader(tenant).round()]
    assert len(found) == len(set(found)) + 1


@pytest.mark.parametrize("how", ["a week", "a control"])
def test_a_token_that_is_too_old_is_gone_with_the_way_to_start_again(tenant, how):
    reader = Reader(tenant)
    reader.round()
    tenant.do("advance", seconds=WEEK - 60)
    assert reader.get().status_code == 200
    if how == "a week":
        tenant.do("advance", seconds=120)
    else:
        tenant.do("expire-delta")
    gone = reader.get()
    assert error(gone) == (410, "syncStateNotFound")
    reader.link = gone.headers["Location"]
    assert len(reader.round()) == 11
    assert reader.round() == []


@pytest.mark.parametrize("token", ["nonsense", "e30", "W10"])
def test_a_token_that_is_none_is_refused(tenant, token):
    assert error(tenant.graph("GET", f"/users/delta?$deltatoken={token}")) == (400, "Request_BadRequest")


def test_a_token_of_users_is_none_of_groups(tenant):
    reader = Reader(tenant)
    reader.round()
    moved = reader.link.replace("/users/", "/groups/").removeprefix(f"{tenant.https}/v1.0")
    assert error(tenant.graph("GET", moved)) == (400, "Request_BadRequest")


def test_the_delta_of_groups_tells_who_came_and_who_left(tenant):
    reader = Reader(tenant, "/groups/delta")
    [first] = reader.round()
    assert len(first["members@delta"]) == 6
    assert first["displayName"] == "Clinic portal guests"
    guest = tenant.admit(NURSE)
    [came] = reader.round()
    assert came["members@delta"] == [{"@odata.type": "#microsoft.graph.user", "id": guest}]
    tenant.graph("DELETE", f"/groups/{GROUP}/members/{guest}/$ref")
    [left] = reader.round()
    assert [(m["id"], m["@removed"]["reason"]) for m in left["members@delta"]] == [(guest, "deleted")]
    assert reader.round() == []


def test_without_members_in_select_members_are_left_out(tenant):
    [group] = Reader(tenant, "/groups/delta?$select=displayName").round()
    assert group == {"id": GROUP, "displayName": "Clinic portal guests"}


def test_the_delta_needs_its_permission(tenant):
    tenant.do("permissions", permissions=["User.Invite.All"])
    assert tenant.graph("GET", "/users/delta").status_code == 403
    assert tenant.graph("GET", "/groups/delta").status_code == 403
