"""Two records in two tabs never mix: each page, request and part names its patient."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.journeys import steps

GUEST = "registrar@northfield.example"


def comes_back(page) -> None:
    """As after another window: Playwright has no way to hide a page."""
    for state in ("hidden", "visible"):
        page.evaluate(
            "state => { Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});"
            " document.dispatchEvent(new Event('visibilitychange')) }",
            state,
        )


def test_two_records_in_two_tabs_stay_apart(person, portal):
    sponsor, approver, guest = (
        person("sponsor@northfield.example"),
        person("approver@hospital.example"),
        person(GUEST),
    )
    sponsor.signs_in()
    steps.ask(sponsor, GUEST, "Practice", "Registrar")
    approver.signs_in()
    steps.approve(approver, "Practice Registrar")
    steps.redeem(guest, steps.link_for(portal, GUEST))
    steps.accept_terms(guest)
    one = guest.goes_to("/patients/")
    links = one.locator("main table a[href*='/patients/']").evaluate_all(
        "links => links.map(a => [a.getAttribute('href'), a.textContent.trim()])"
    )
    (first, first_name), (second, second_name) = links[:2]
    one.goto(first)
    expect(one.get_by_text("Two records are open in this browser.")).to_be_hidden()

    other = guest.context.new_page()
    other.goto(f"{second}results/")
    for page, name in ((one, first_name), (other, second_name)):
        expect(page.get_by_text("Two records are open in this browser.")).to_be_visible()
        expect(page.locator(".cp-banner__name")).to_have_text(name)

    patterns = {page.locator("[data-patient]").get_attribute("class") for page in (one, other)}
    assert len(patterns) == 2, "the two look the same"

    # A part of the page names its patient, and what names another is not put in.
    asked = []
    other.on("request", lambda request: asked.append(request.headers.get("x-patient")))
    with other.expect_response(re.compile(r"/results/\?")) as answer:
        other.get_by_label("From").select_option("1y")
    assert answer.value.status == 200
    assert second.split("/")[2] in asked
    refused = other.evaluate(
        "([path, patient]) => fetch(path, {headers: {'HX-Request': 'true', 'X-Patient': patient}}).then(a => a.status)",
        [f"{first}results/", second.split("/")[2]],
    )
    assert refused == 409
    foreign = other.evaluate("() => document.querySelector('#sheets').dataset.of")
    assert foreign == second.split("/")[2]

    # Who comes back to a record after a while is asked whether it is the patient they mean.
    asks = other.get_by_role("dialog", name="Is this the patient you mean?")
    comes_back(other)
    expect(asks).to_be_hidden()  # away for a moment only
    other.evaluate("() => { document.getElementById('record-dialog').dataset.away = 0 }")
    comes_back(other)
    expect(asks).to_contain_text(second_name)
    other.keyboard.press("Escape")
    expect(asks).to_be_visible()
    asks.get_by_role("button", name="Yes, go on").click()
    expect(asks).to_be_hidden()

    other.close()
    expect(one.get_by_text("Two records are open in this browser.")).to_be_hidden()
    one.reload()
    expect(one.locator(".cp-banner__name")).to_have_text(first_name)
