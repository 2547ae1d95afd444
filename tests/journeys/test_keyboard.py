"""With the keyboard alone from sign-in to sign-out, through a record and its results: with script, without it, on a
phone, in colours of the reader's own."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.journeys import steps
from tests.journeys.keyboard import enter, faults, stop, tab_to, walk

GUEST = "keyboard@northfield.example"


def skips_to_main(page: Page, where: str) -> list[str]:
    """The first stop of a page leads past header and menu."""
    page.keyboard.press("Tab")
    at = stop(page)
    if not at or at["href"] != "#maincontent":
        return [f"{where}: the first stop is {at and at['name']!r}, not the skip link"]
    found = faults(at, where)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    if not page.evaluate("() => Boolean(document.activeElement.closest('main'))"):
        found.append(f"{where}: the skip link leads to {(stop(page) or {}).get('name')!r}")
    return found


def opens_a_record(page: Page) -> str:
    """Find a patient by the first word of their name and open the record; returns its address."""
    page.goto("/patients/")
    name = page.locator("main tbody th a").first.inner_text()
    tab_to(page, id="find")
    page.keyboard.type(re.split(r"[ ,]", name)[0])
    enter(page)
    expect(page.get_by_text("found", exact=False).first).to_be_visible()
    tab_to(page, href="/patients/", name=name)
    enter(page)
    expect(page.get_by_role("heading", level=1, name="Summary")).to_be_visible()
    return page.url


def reads_results(page: Page, record: str) -> None:
    """From the summary to the results, and from a column to its trend: the focus goes where the drawing is."""
    page.goto(record)
    results = tab_to(page, name="Record: Summary") if page.viewport_size["width"] < 769 else None
    if results:
        page.keyboard.press("Enter")  # opens the menu of a phone
    tab_to(page, name="Results", href="/results/")
    enter(page)
    expect(page.get_by_role("heading", level=1, name="Results")).to_be_visible()


def exchanges_a_part(page: Page) -> list[str]:
    """A filter exchanges the table; the focus stays on the filter, and what came is said."""
    tab_to(page, id="from")
    with page.expect_response(re.compile(r"/results/\?")):
        page.keyboard.press("ArrowDown")
    expect(page.locator("#from")).to_have_value("6m")
    page.wait_for_timeout(150)
    found = []
    if page.evaluate("() => document.activeElement.id") != "from":
        found.append("results: the focus is lost when a filter exchanges the table")
    if page.locator("[id=sheets]").count() != 1:
        found.append("results: the part stands in the page twice")
    if not page.locator("#sheets [role=status]").inner_text():
        found.append("results: what the filter found is not said")
    with page.expect_response(re.compile(r"/results/\?")):
        page.keyboard.press("ArrowUp")
    page.wait_for_timeout(150)
    return found


def draws_a_trend(page: Page) -> list[str]:
    tab_to(page, href="?trend=")
    enter(page)
    expect(page.locator("#trend")).to_be_in_viewport()
    page.keyboard.press("Tab")
    inside = page.evaluate("() => Boolean(document.activeElement.closest('section')?.querySelector('#trend'))")
    return [] if inside else [f"trend: the first stop behind it is {(stop(page) or {}).get('name')!r}"]


def is_refused(page: Page, record: str) -> list[str]:
    """A form that was not filled in: the focus goes to what is wrong, and from there to the field."""
    page.goto(f"{record}report/")
    tab_to(page, name="Send")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    summary = page.locator(".nhsuk-error-summary")
    expect(summary).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    at = stop(page)
    return [] if at and at["tag"] in ("input", "textarea") else [f"report: the error leads to {at and at['name']!r}"]


def is_asked(page: Page, record: str) -> list[str]:
    """A dialog takes the focus, keeps it, and gives it back."""
    page.goto(record)
    tab_to(page, name="Print")
    before = stop(page)
    page.evaluate(
        """() => {
          document.getElementById('record-dialog').dataset.away = 0;
          for (const state of ['hidden', 'visible']) {
            Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
          }
        }"""
    )
    inside = "() => document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))"
    found: list[str] = []
    for _ in range(5):
        at = stop(page)
        found += faults(at, "dialog") if at else []
        if not page.evaluate(inside):
            found.append(f"dialog: {at and at['name']!r} behind it has the focus")
        page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.locator("#record-dialog")).to_be_visible()
    tab_to(page, name="Yes, go on", most=4)
    page.keyboard.press("Enter")
    after = stop(page)
    if not after or not before or after["place"] != before["place"]:
        found.append(f"dialog: gives the focus to {after and after['name']!r}")
    return found


def signs_out(page: Page) -> None:
    page.goto("/patients/")
    tab_to(page, name="Sign out")
    enter(page)
    expect(page.get_by_role("heading", level=1, name="You are signed out")).to_be_visible()


def too_wide(page: Page, where: str) -> list[str]:
    wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    return [f"{where}: scrolls sideways by {wide}"] if wide > 0 else []


def moves(page: Page, where: str) -> list[str]:
    running = page.evaluate("() => document.getAnimations().filter(a => a.playState === 'running').length")
    return [f"{where}: {running} things move"] if running else []


@pytest.mark.timeout(120)
def test_the_keyboard_alone_leads_through_a_record(person, portal):
    guest = steps.let_in(person, portal, GUEST, "Keyboard Reader")
    page, found = guest.page, []
    page.goto("/")
    found += walk(page, "home")
    page.goto("/patients/")
    found += skips_to_main(page, "my patients") + walk(page, "my patients")
    record = opens_a_record(page)
    found += skips_to_main(page, "summary") + walk(page, "summary")
    reads_results(page, record)
    found += walk(page, "results") + exchanges_a_part(page) + draws_a_trend(page) + walk(page, "trend")
    page.go_back()
    expect(page.get_by_role("heading", level=1, name="Results")).to_be_visible()
    page.goto(record)
    tab_to(page, name="Print")
    enter(page)
    found += walk(page, "print")
    page.goto(f"{record}results/tests/")
    found += walk(page, "all tests")
    page.goto(record)
    found += is_refused(page, record) + is_asked(page, record)
    found += in_other_ways(guest, record)
    signs_out(page)
    assert found == []


def in_other_ways(guest, record: str) -> list[str]:
    """The same at 320 pixels without script, and with script in the reader's own colours and without movement."""
    found: list[str] = []
    for how, options in (
        ("without script", {"java_script_enabled": False}),
        ("own colours", {"forced_colors": "active", "reduced_motion": "reduce"}),
    ):
        context = guest.context.browser.new_context(
            base_url=guest.portal.url,
            storage_state=guest.context.storage_state(),
            viewport={"width": 320, "height": 640},
            **options,
        )
        page = context.new_page()
        found += [f"{how}, {fault}" for fault in (*through_a_phone(page, record),)]
        context.close()
    return found


def through_a_phone(page: Page, record: str) -> list[str]:
    found: list[str] = []
    page.goto("/patients/")
    found += too_wide(page, "my patients") + walk(page, "my patients")
    opens_a_record(page)
    found += too_wide(page, "summary") + moves(page, "summary")
    reads_results(page, record)
    found += walk(page, "results") + too_wide(page, "results")
    found += draws_a_trend(page) + too_wide(page, "trend") + moves(page, "trend")
    page.goto(f"{record}print/")
    return found + too_wide(page, "print") + walk(page, "print")
