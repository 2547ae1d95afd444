"""Invitation links and who comes with them: entra.md §1, §8, §9; design.md §5."""

from __future__ import annotations

import uuid
from urllib.parse import parse_qs, urlsplit

import pytest

from .conftest import Person

NURSE, STRANGER = "nurse@northfield.example", "stranger@elsewhere.example"
ELSEWHERE = "aaaaaaaa-0000-4000-8000-000000000009"
NORTHFIELD = "aaaaaaaa-0000-4000-8000-000000000001"
WELCOME = "http://portal.localhost:8000/welcome/x/"


@pytest.fixture
def invited(tenant):
    """An invitation of the nurse, who is in the access group already."""
    body = tenant.invite(NURSE).json()
    assert tenant.add_to_group(body["invitedUser"]["id"]).status_code == 204
    return body


def state_of(tenant, guest):
    return tenant.graph("GET", f"/users/{guest}?$select=externalUserState,identities,mail").json()


def test_the_invited_person_accepts_and_lands_at_the_portal(tenant, browser, invited):
    guest = invited["invitedUser"]["id"]
    browser.open(invited["inviteRedeemUrl"])
    assert browser.heading == "Pick an account"
    assert NURSE in browser.page.text
    browser.press(NURSE)
    assert browser.heading == "Review permissions"
    assert state_of(tenant, guest)["externalUserState"] == "PendingAcceptance"
    assert browser.press("accept").left_to == WELCOME
    state = state_of(tenant, guest)
    assert state["externalUserState"] == "Accepted"
    assert state["identities"][0]["issuer"] == "ExternalAzureAD"
    claims = browser.sign_in(NURSE)
    assert (claims["oid"], claims["idp"]) == (guest, f"https://sts.windows.net/{NORTHFIELD}/")


def test_after_redeeming_the_sign_in_asks_only_for_the_second_factor(browser, invited):
    browser.open(invited["inviteRedeemUrl"]).press(NURSE).press("accept")
    assert browser.start().heading == "Verify your identity"


def test_the_inner_link_alone_works_too(browser, invited):
    inner = parse_qs(urlsplit(invited["inviteRedeemUrl"]).query)["rd"][0]
    assert browser.open(inner).heading == "Pick an account"


def test_a_stranger_with_a_forwarded_link_gets_the_expected_oid_and_another_idp(browser, invited):
    browser.open(invited["inviteRedeemUrl"]).press(STRANGER)
    assert f"The invitation was sent to {NURSE}" in browser.page.text
    browser.press("accept")
    claims = browser.sign_in(STRANGER)
    assert claims["oid"] == invited["invitedUser"]["id"]
    assert claims["idp"] == f"https://sts.windows.net/{ELSEWHERE}/"
    assert claims["preferred_username"] == STRANGER
    assert claims["email"] == NURSE  # the guest object's: it proves nothing


def test_the_invited_person_is_locked_out_once_a_stranger_took_the_link(tenant, browser, another_browser, invited):
    browser.open(invited["inviteRedeemUrl"]).press(STRANGER).press("accept")
    nurse = another_browser().open(invited["inviteRedeemUrl"])
    assert nurse.heading == "Already accepted"
    assert "AADSTS50020" in nurse.start().press(NURSE).page.text
    reset = tenant.invite(NURSE, resetRedemption=True, invitedUser=invited["invitedUser"]).json()
    nurse.open(reset["inviteRedeemUrl"]).press(NURSE).press("accept")
    assert nurse.sign_in(NURSE)["oid"] == invited["invitedUser"]["id"]


def test_a_link_works_once(browser, another_browser, invited):
    browser.open(invited["inviteRedeemUrl"]).press(NURSE).press("accept")
    again = another_browser().open(invited["inviteRedeemUrl"])
    assert (again.page.status_code, again.heading) == (410, "Already accepted")
    assert WELCOME in again.page.text


def test_two_open_pages_of_one_link_make_one_guest(browser, another_browser, invited):
    other = another_browser()
    browser.open(invited["inviteRedeemUrl"]).press(NURSE)
    other.open(invited["inviteRedeemUrl"]).press(STRANGER)
    browser.press("accept")
    assert other.press("accept").heading == "This sign-in is over"
    assert browser.sign_in(NURSE)["idp"] == f"https://sts.windows.net/{NORTHFIELD}/"


def test_declining_changes_nothing(tenant, browser, invited):
    browser.open(invited["inviteRedeemUrl"]).press(NURSE).press("cancel")
    assert browser.heading == "You did not accept"
    assert state_of(tenant, invited["invitedUser"]["id"])["externalUserState"] == "PendingAcceptance"
    assert browser.open(invited["inviteRedeemUrl"]).heading == "Pick an account"


@pytest.mark.parametrize("link", ["/redeem", "/redeem?rd=x", "/redeem?rd=http%3A%2F%2Fx%2F%3Fuser%3D1%26ticket%3D2"])
def test_an_unknown_link_is_explained(tenant, browser, link):
    browser.open(f"http://login.localhost:{tenant.port}{link}")
    assert (browser.page.status_code, browser.heading) == (404, "This invitation cannot be used")


def test_a_guessed_ticket_is_no_ticket(browser, invited):
    ticket = parse_qs(urlsplit(parse_qs(urlsplit(invited["inviteRedeemUrl"]).query)["rd"][0]).query)["ticket"][0]
    assert browser.open(invited["inviteRedeemUrl"].replace(ticket, "0" * len(ticket))).page.status_code == 404


def test_someone_who_is_a_guest_or_member_already_cannot_take_it_as_well(browser, invited):
    for address in ("sponsor@northfield.example", "approver@hospital.example"):
        browser.open(invited["inviteRedeemUrl"]).press(address)
        assert browser.heading == "This invitation is for someone else"


def test_a_disabled_guest_cannot_redeem(tenant, browser, invited):
    tenant.do("enable-user", user=invited["invitedUser"]["id"], enabled=False)
    assert "AADSTS50057" in browser.open(invited["inviteRedeemUrl"]).press(NURSE).page.text


def test_a_domain_blocked_after_the_invitation_cannot_redeem(tenant, browser, invited):
    tenant.do("settings", blocked_domains=["northfield.example"])
    assert browser.open(invited["inviteRedeemUrl"]).press(NURSE).page.status_code == 403


def test_the_link_of_a_deleted_guest_is_dead(tenant, browser, invited):
    tenant.do("delete-user", user=invited["invitedUser"]["id"])
    assert browser.open(invited["inviteRedeemUrl"]).page.status_code == 404


def test_the_links_of_all_invitations_of_one_guest_end_together(tenant, browser, another_browser, invited):
    second = tenant.invite(NURSE).json()["inviteRedeemUrl"]
    browser.open(invited["inviteRedeemUrl"]).press(NURSE).press("accept")
    assert another_browser().open(second).heading == "Already accepted"


def test_the_control_shows_invitations_without_their_tickets(tenant, invited):
    shown = tenant.read("invitations")
    assert [i["user"] for i in shown] == [invited["invitedUser"]["id"]]
    assert "ticket" not in shown[0]
    assert uuid.UUID(shown[0]["id"])


def test_the_pages_hold_against_a_hostile_name(tenant):
    address = "nurse@northfield.example"
    tenant.do("accounts", address="mallory@elsewhere.example", name="<script>alert(1)</script>")
    page = Person(tenant).open(tenant.invite(address).json()["inviteRedeemUrl"]).page
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
