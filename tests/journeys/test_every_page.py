"""Every page of the walk: no accessibility finding, nothing wider than a phone, nothing kept in the browser."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.journeys import steps

GUEST = "locum@northfield.example"
CHART = (
    "", "timeline/", "results/", "vitals/", "medicines/", "problems/", "allergies/", "immunisations/", "documents/",
    "care/", "access/", "print/", "report/",
)  # fmt: skip
WIDTHS = (1280, 320)


def check(one, path: str) -> list[str]:
    """What is wrong with the page at `path`, in words."""
    page = one.goes_to(path)
    page.wait_for_load_state("networkidle")
    return look(page, path)


def look(page, path: str) -> list[str]:
    """What is wrong with the page that is open."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for violation in Axe().run(page).response["violations"]:
            targets = [node["target"] for node in violation["nodes"]][:3]
            found.append(f"{path} at {width}: {violation['id']} {targets}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"{path} at {width}: scrolls sideways to {wide}")
    if kept := page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))"):
        found.append(f"{path}: keeps {kept} in the browser")
    if page.locator("h1").count() != 1:
        found.append(f"{path}: {page.locator('h1').count()} h1")
    return found


@pytest.mark.timeout(300)
def test_every_page_of_the_walk_is_accessible_and_fits_a_phone(person, portal):
    found: list[str] = []
    sponsor, approver, guest = (
        person("deputy@northfield.example"),
        person("second.approver@hospital.example"),
        person(GUEST),
    )
    found += check(guest, "/sign-in/")
    sponsor.signs_in()
    found += [finding for path in ("/people/", "/people/add/", "/requests/") for finding in check(sponsor, path)]
    steps.ask(sponsor, GUEST, "Locum", "Doctor")
    request = steps.value(portal, "SELECT id FROM partners_accessrequest WHERE address = %s", GUEST)
    found += check(sponsor, f"/requests/{request}/")
    approver.signs_in()
    decision = ["/approvals/", f"/approvals/{request}/", "/organisations/"]
    found += [finding for path in decision for finding in check(approver, path)]
    steps.approve(approver, "Locum Doctor")
    link = steps.link_for(portal, GUEST)
    found += check(guest, link)
    steps.redeem(guest, link)
    found += check(guest, "/terms/")
    steps.accept_terms(guest)
    found += check(guest, "/patients/")
    record = guest.page.locator("main a[href*='/patients/']").evaluate_all(
        "links => links.map(a => a.getAttribute('href')).find(h => /[0-9a-f]{8}-/.test(h))"
    )
    paths = [f"{record}{section}" for section in CHART] + [
        "/account/",
        "/look-up/",  # without the right: whom to ask. The rest of it is walked in test_look_up.py
        "/patients/00000000-0000-4000-8000-000000000000/",
    ]
    found += [finding for path in paths for finding in check(guest, path)]
    officer = person("privacy@hospital.example")
    officer.signs_in()
    found += check(officer, "/privacy/")
    found += check(officer, "/privacy/alerts/")
    found += check(officer, "/reports/")
    reviewer = person("reviewer@hospital.example")
    reviewer.signs_in()
    found += check(reviewer, "/reviews/")
    assert found == []
