"""Confirming that it is you, as a person meets it: with a keyboard, without script, and with a change of mind."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.journeys import steps
from tests.journeys.conftest import Person, Portal
from tests.journeys.test_every_page import check, look

APPROVER = "second.approver@hospital.example"


def request_for(person, portal: Portal, address: str, first: str, last: str) -> int:
    sponsor = person("sponsor@riverside.example")
    sponsor.signs_in()
    steps.ask(sponsor, address, first, last)
    return steps.value(portal, "SELECT id FROM partners_accessrequest WHERE address = %s", address)


def press_approve(approver: Person, portal: Portal, request: int) -> None:
    """With the keyboard alone, once the tenant has reason to ask for the second factor again."""
    portal.control("advance", seconds=400)
    page = approver.goes_to(f"/approvals/{request}/")
    page.get_by_label("Note for colleagues").fill("Called the ward.")
    page.get_by_role("button", name="Approve", exact=True).focus()
    page.keyboard.press("Enter")


def test_without_script_an_approver_changes_their_mind_and_then_confirms(person, portal):
    request = request_for(person, portal, "nurse@riverside.example", "Ward", "Nurse")
    approver = person(APPROVER, java_script_enabled=False)
    approver.signs_in()
    press_approve(approver, portal, request)
    page = approver.page
    page.wait_for_url(re.compile("login\\.localhost"))
    approver.reads("Verify your identity")
    # The change of mind: nothing was approved, the page is as it was.
    page.goto(f"/approvals/{request}/")
    approver.reads("Ward Nurse, Riverside Hospital")
    expect(page.get_by_role("button", name="Approve", exact=True)).to_be_visible()
    press_approve(approver, portal, request)
    page.wait_for_url(re.compile("login\\.localhost"))
    page.get_by_role("button", name="Verify").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/approvals/{request}/$"))
    expect(page.get_by_text("Approved. We are setting it up now.")).to_be_visible()
    assert steps.value(portal, "SELECT status FROM partners_accessrequest WHERE id = %s", request) in (
        "approved", "fulfilled",
    )  # fmt: skip


def test_the_operators_page_of_sign_in_safety(person, portal):
    operator = person("operator@hospital.example")
    operator.signs_in()
    found = check(operator, "/incidents/") + check(operator, "/sign-in-safety/")
    assert found == []
    expect(operator.page.get_by_text("Checked", exact=True)).to_have_count(2)
    operator.page.get_by_role("button", name="Ask the tenant now").click()
    expect(operator.page.get_by_text("We are asking the tenant.")).to_be_visible()


def test_the_page_on_the_way_to_confirming(person, portal):
    request = request_for(person, portal, "doctor@riverside.example", "Ward", "Doctor")
    approver = person(APPROVER)
    approver.signs_in()
    page = approver.goes_to(f"/approvals/{request}/")
    page.route("**://login.localhost:*/**", lambda route: route.abort("aborted"))  # stay and look
    page.get_by_role("button", name="Approve", exact=True).click()
    approver.reads("Confirm that it is you")
    assert look(page, "confirm") == []


def test_when_no_policy_stands_behind_the_sign_in(person, portal):
    statement = "UPDATE partners_contextcheck SET bound = %s, due_at = now() + interval '1 hour' WHERE context = 'c1'"
    guest = person("nurse@northfield.example")
    steps.change(portal, statement, False)
    try:
        page = guest.goes_to("/sign-in/")
        page.get_by_role("button", name="Sign in", exact=True).click()
        guest.reads("We cannot let anyone in just now")
        assert look(page, "cannot let in") == []
    finally:
        steps.change(portal, statement, True)
