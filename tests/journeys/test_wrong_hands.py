"""A link in the wrong hands shows nothing to anyone."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.journeys import steps

DOCTOR = "doctor@northfield.example"
STRANGER = "stranger@elsewhere.example"


def test_a_stranger_who_redeems_a_forwarded_link_sees_nothing(person, portal):
    sponsor, approver = person("sponsor@northfield.example"), person("approver@hospital.example")
    sponsor.signs_in()
    steps.ask(sponsor, DOCTOR, "Family", "Doctor")
    approver.signs_in()
    steps.approve(approver, "Family Doctor")
    link = steps.link_for(portal, DOCTOR)

    stranger = person(STRANGER)
    steps.redeem(stranger, link)
    stranger.reads("You signed in with another account")
    expect(stranger.page.get_by_text("No records were opened.")).to_be_visible()
    for path in ("/patients/", "/account/", "/people/", "/approvals/"):
        stranger.goes_to(path)
        stranger.reads("Sign in")

    trail = portal.trail()
    assert any(event["type"] == "wrong-account" for event in trail)
    assert [event["reason"] for event in trail if event["type"] == "sign-in-refused"][-1] == "wrong-account"
    assert not any(event["type"] == "record-opened" and event["who"] == "Family Doctor" for event in trail)
    assert len(portal.mails(DOCTOR)) == 1

    # The sponsor reads what happened, in words.
    request = steps.value(portal, "SELECT id FROM partners_accessrequest WHERE address = %s", DOCTOR)
    sponsor.goes_to(f"/requests/{request}/")
    expect(sponsor.page.get_by_text(re.compile("another account", re.IGNORECASE)).first).to_be_visible()


def test_somebody_whom_nobody_invited_is_told_what_to_do(person):
    uninvited = person("pharmacist@riverside.example")
    page = uninvited.goes_to("/sign-in/")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**login.localhost**")
    page.locator("button[value='pharmacist@riverside.example']").first.click()
    # The tenant itself knows nobody of this name: its page says so, and nothing comes back to the portal.
    expect(page.get_by_text(re.compile("50020|does not exist|not exist|invited", re.IGNORECASE)).first).to_be_visible()
    uninvited.goes_to("/patients/")
    uninvited.reads("Sign in")
