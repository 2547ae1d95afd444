"""Steps of the walk that several journeys take."""

from __future__ import annotations

import os
import re
from typing import Any

import psycopg
from playwright.sync_api import expect

from tests.journeys.conftest import Person, Portal, eventually


def ask(sponsor: Person, address: str, first: str, last: str, *, every_section: bool = False) -> None:
    """Ask for a colleague's access to the first caseload, as a sponsor who is signed in: to what is usual, or all."""
    page = sponsor.goes_to("/people/add/")
    page.get_by_label("Work email address").fill(address)
    page.get_by_label("First name").fill(first)
    page.get_by_label("Last name").fill(last)
    page.get_by_role("group", name="Which patients?").get_by_role("checkbox").first.check()
    if every_section:
        page.get_by_label("Let me choose").check()
        for box in page.get_by_role("group", name="Sections").get_by_role("checkbox").all():
            box.check()
    page.get_by_label("Why").fill("New in the heart failure team")
    page.get_by_role("checkbox", name=re.compile("I confirm")).check()
    page.get_by_role("button", name="Ask for access").click()
    sponsor.reads(f"Access for {first} {last}")


def approve(approver: Person, name: str) -> None:
    page = approver.goes_to("/approvals/")
    page.get_by_role("link", name=name).first.click()
    page.get_by_role("button", name="Approve", exact=True).click()
    approver.confirms()
    expect(page.get_by_text("Approved. We are setting it up now.")).to_be_visible()


def let_in(person: Any, portal: Portal, address: str, name: str, *rights: str) -> Person:
    """A guest of the practice for whom the approver ticked `rights`, signed in and with the terms accepted."""
    sponsor, approver = person("deputy@northfield.example"), person("second.approver@hospital.example")
    portal.control("accounts", address=address, name=name)
    first, last = name.split(" ")
    sponsor.signs_in()
    ask(sponsor, address, first, last)
    approver.signs_in()
    desk = approver.goes_to("/approvals/")
    desk.get_by_role("link", name=name).first.click()
    for right in rights:
        desk.get_by_label(right).check()
    picture(desk, "decision")
    desk.get_by_role("button", name="Approve", exact=True).click()
    approver.confirms()
    if rights:
        expect(desk.get_by_text("They may also").first).to_be_visible()
    guest: Person = person(address)
    redeem(guest, link_for(portal, address))
    accept_terms(guest)
    return guest


def link_for(portal: Portal, address: str) -> str:
    """The link of the newest mail to `address`, once it is there."""
    mails = eventually(lambda: portal.mails(address), seconds=30)
    found = re.search(r"http://portal\.localhost:\d+/welcome/\S+", mails[-1]["text"])
    assert found, mails[-1]["text"]
    return found.group()


def redeem(guest: Person, link: str) -> None:
    """Open the link, redeem with the guest's own account, and go on to our sign-in."""
    guest.goes_to(link)
    guest.page.get_by_role("button", name="Continue to sign in").click()
    guest.passes_the_tenant()
    guest.page.get_by_role("button", name="Continue to sign in").click()
    guest.page.wait_for_load_state()
    guest.page.wait_for_url(re.compile(r"login\.localhost|/terms/|/callback/"))
    if "login.localhost" in guest.page.url:
        guest.passes_the_tenant()


def accept_terms(guest: Person) -> None:
    guest.reads("Terms of use")
    guest.page.get_by_role("checkbox", name=re.compile("I have read")).check()
    guest.page.get_by_role("button", name="Accept and continue").click()
    guest.reads("You are in")


def value(portal: Portal, query: str, *parameters: object):
    """The first column of the first row of `query`, as the worker's role."""
    with psycopg.connect(portal.addresses()["database_worker_url"]) as worker:
        row = worker.execute(query, parameters).fetchone()
        assert row is not None, query
        return row[0]


def change(portal: Portal, statement: str, *parameters: object) -> None:
    """Change rows as the worker's role, for what no page can bring about."""
    with psycopg.connect(portal.addresses()["database_worker_url"]) as worker:
        worker.execute(statement, parameters)


def picture(page: Any, name: str, widths: tuple[int, ...] = (1280, 320)) -> None:
    """Keep the page as it looks, for eyes, where JOURNEY_PICTURES names a folder."""
    plain = re.sub(r"https?://[^/]+|[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/welcome/).+", "", name.lower())
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "home"
    if folder := os.environ.get("JOURNEY_PICTURES"):
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=f"{folder}/{slug}-{width}.png", full_page=True)
