"""The ways out: a wrong account starts again, a changed address is confirmed, and every page of it is accessible."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.journeys import steps
from tests.journeys.conftest import eventually
from tests.journeys.test_every_page import check

PHARMACIST, STRANGER = "pharmacist@northfield.example", "bystander@elsewhere.example"


@pytest.mark.timeout(300)
def test_a_forwarded_link_starts_again_and_the_invited_person_comes_in(person, portal):
    sponsor, approver = person("sponsor@northfield.example"), person("approver@hospital.example")
    sponsor.signs_in()
    steps.ask(sponsor, PHARMACIST, "Practice", "Pharmacist")
    approver.signs_in()
    steps.approve(approver, "Practice Pharmacist")
    link = steps.link_for(portal, PHARMACIST)

    # A stranger redeems the forwarded link, sees nothing, and can only have a new link sent to the right person.
    portal.control("accounts", address=STRANGER, name="Elsewhere Bystander")  # who was nobody else's guest before
    stranger = person(STRANGER)
    steps.redeem(stranger, link)
    stranger.reads("You signed in with another account")
    found = check_here(stranger)
    stranger.page.get_by_role("button", name="Start again with the right account").click()
    stranger.reads("A new link is on its way")
    expect(stranger.page.get_by_text(PHARMACIST)).to_have_count(0)
    found += check_here(stranger)
    eventually(lambda: len(invitations(portal)) == 2, seconds=30)
    eventually(lambda: portal.mails("sponsor@northfield.example"), seconds=30)

    # The invited person comes in by the new one; the old one says so.
    guest = person(PHARMACIST)
    found += check(guest, link)
    newest = re.search(r"http://portal\.localhost:\d+/welcome/\S+", invitations(portal)[0]["text"])
    assert newest
    assert newest.group() != link
    steps.redeem(guest, newest.group())
    steps.accept_terms(guest)
    found += [
        one for path in ("/sign-in/help/", "/sign-in/new-phone/", "/account/address/") for one in check(guest, path)
    ]

    guest.page.goto("/sign-in/help/")
    guest.page.get_by_label("Which number does Microsoft show?").fill("AADSTS500212")
    guest.page.get_by_role("button", name="What does it mean?").click()
    guest.reads("Your organisation's sign-in did not let you through")
    found += check_here(guest)

    # The sponsor reports a new address; our team makes sure of the person, and until then nothing is shown.
    request = steps.value(portal, "SELECT id FROM partners_accessrequest WHERE address = %s", PHARMACIST)
    for path in (f"/requests/{request}/ways-in/", f"/requests/{request}/address/"):
        found += check(sponsor, path)
    sponsor.page.get_by_label("New work email address").fill("p.pharmacist@northfield.example")
    sponsor.page.get_by_role("button", name="Change the address").click()
    sponsor.reads("Access for Practice Pharmacist")
    expect(sponsor.page.get_by_text("We make sure that it is the same person")).to_be_visible()
    guest.goes_to("/patients/")
    guest.reads("Sign in")
    found += check(approver, f"/approvals/{request}/not-confirmed/")
    found += check(approver, f"/approvals/{request}/")
    expect(approver.page.get_by_role("button", name="Confirm it is the same person")).to_be_visible()
    assert found == []


def invitations(portal) -> list:
    """Mails with a link to the pharmacist, the newest first."""
    return [mail for mail in portal.mails(PHARMACIST) if "/welcome/" in mail["text"]]


def check_here(one) -> list[str]:
    """The checks of every page, for one that cannot be opened by its address."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for width in (1280, 320):
        one.page.set_viewport_size({"width": width, "height": 900})
        found += [f"{one.page.url} at {width}: {v['id']}" for v in Axe().run(one.page).response["violations"]]
        if (wide := one.page.evaluate("document.documentElement.scrollWidth")) > width:
            found.append(f"{one.page.url} at {width}: scrolls sideways to {wide}")
    one.page.set_viewport_size({"width": 1280, "height": 900})
    return found
