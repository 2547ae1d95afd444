"""Every page of the walk: no accessibility finding, nothing wider than a phone, nothing kept in the browser."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import expect

from tests.journeys import steps

GUEST = "locum@northfield.example"
CHART = (
    "", "timeline/", "results/", "vitals/", "medicines/", "problems/", "allergies/", "immunisations/", "procedures/",
    "encounters/", "documents/", "care/", "access/", "print/", "report/", "all/appointments/", "all/supplies/",
    "results/tests/", "vitals/tests/",
)  # fmt: skip
FULLEST = """SELECT patient_id FROM records_resource WHERE patient_id = ANY (%s::uuid[]) AND classes = '{}'
GROUP BY patient_id ORDER BY count(DISTINCT type) + 9 * count(DISTINCT type) FILTER (
    WHERE type IN ('AllergyIntolerance', 'MedicationRequest') AND raw LIKE '%%"active"%%') DESC, count(*) DESC
LIMIT 1"""
"""Of the patients on the first page whoever has most to show, current medicines and allergies first."""
WIDTHS = (1280, 320)
PHONE = (320,)
"""For pages of our staff: what is wrong at the desk is nearly always wrong here, too."""


def check(one, path: str, widths=WIDTHS) -> list[str]:
    """What is wrong with the page at `path`, in words."""
    page = one.goes_to(path)
    page.wait_for_load_state("networkidle")
    return look(page, path, widths)


CUT_OFF = """[...document.querySelectorAll(".cp-table--phone .cp-table__fill")]
    .filter(table => table.scrollWidth > table.clientWidth).map(table => table.innerText.slice(0, 60))"""
"""Tables that became lines on a phone and are wider than it all the same."""


def look(page, path: str, widths=WIDTHS) -> list[str]:
    """What is wrong with the page that is open."""
    found = []
    steps.picture(page, path.split("?")[0], widths)
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        for violation in Axe().run(page).response["violations"]:
            targets = [node["target"] for node in violation["nodes"]][:3]
            found.append(f"{path} at {width}: {violation['id']} {targets}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"{path} at {width}: scrolls sideways to {wide}")
        for cut in page.evaluate(CUT_OFF) if width == min(widths) else ():
            found.append(f"{path} at {width}: cut off: {cut}")
    if kept := page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))"):
        found.append(f"{path}: keeps {kept} in the browser")
    if page.locator(".nhsuk-error-summary").count() and not page.locator(".nhsuk-error-message").count():
        found.append(f"{path}: a summary of errors without an error")
    if page.locator("h1").count() != 1:
        found.append(f"{path}: {page.locator('h1').count()} h1")
    return found


def a_trend(page, record: str) -> str:
    """The query that draws the first test of the page of results which is open."""
    href = page.locator("th a[href*='trend=']").first.get_attribute("href") or ""
    return href.removeprefix(f"{record}results/")


def what_leads_on(guest, record: str) -> list[str]:
    """A trend, and each document of the record, as paths below it."""
    trend = a_trend(guest.goes_to(f"{record}results/"), record)
    documents = (
        guest.goes_to(f"{record}documents/")
        .locator("main table a")
        .evaluate_all("links => links.map(a => a.getAttribute('href'))")
    )
    entries = [path for page in ("results", "problems") for path in an_entry(guest, f"{record}{page}/")]
    return [f"results/{trend}", *(path.removeprefix(record) for path in (*documents[:3], *entries))]


def an_entry(guest, page: str) -> list[str]:
    """The first of what stands beside the main list of a page, if the record has any."""
    links = guest.goes_to(page).locator("main a[href*='/entry/']")
    return [links.first.get_attribute("href")] if links.count() else []


def without_script(guest, record: str) -> list[str]:
    """What a reader whose browser runs no script cannot reach or read in `record`."""
    context = guest.context.browser.new_context(
        java_script_enabled=False, storage_state=guest.context.storage_state(), viewport={"width": 320, "height": 900}
    )
    page = context.new_page()
    found = []
    for section in CHART:
        answer = page.goto(guest.portal.url + record + section)
        if answer is None or answer.status != 200:
            found.append(f"{section} without script: {answer and answer.status}")
        if not page.locator("main h1").is_visible() or not page.locator("main").inner_text().strip():
            found.append(f"{section} without script: shows nothing")
        if page.locator("dialog:visible").count():
            found.append(f"{section} without script: is covered")
    # The menu opens, a filter is sent by its button, a trend has its table, by the browser alone.
    page.goto(guest.portal.url + record)
    page.locator(".cp-menu-phone summary").click()
    page.locator(".cp-menu-phone").get_by_role("link", name="Results").click()
    page.get_by_label("From").select_option("5y")
    page.get_by_role("button", name="Show", exact=True).click()
    if "from=5y" not in page.url or page.get_by_label("From").input_value() != "5y":
        found.append("results without script: the filter does nothing")
    page.goto(f"{guest.portal.url}{record}results/{a_trend(page, record)}")
    if not page.locator(".cp-trend svg:visible").count() or not page.locator(".cp-trend table tbody tr").count():
        found.append("a trend without script: no drawing or no table")
    context.close()
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
    steps.ask(sponsor, GUEST, "Locum", "Doctor", every_section=True)
    request = steps.value(portal, "SELECT id FROM partners_accessrequest WHERE address = %s", GUEST)
    found += check(sponsor, f"/requests/{request}/")
    approver.signs_in()
    decision = ["/approvals/", f"/approvals/{request}/", "/organisations/"]
    found += [finding for path in decision for finding in check(approver, path)]
    steps.approve(approver, "Locum Doctor")
    found += check(approver, f"/approvals/{request}/rights/")
    link = steps.link_for(portal, GUEST)
    found += check(guest, link)
    steps.redeem(guest, link)
    found += check(guest, "/terms/")
    steps.accept_terms(guest)
    found += check(guest, "/patients/")
    records = guest.page.locator("main a[href*='/patients/']").evaluate_all(
        "links => links.map(a => a.getAttribute('href')).filter(h => /^.patients.[0-9a-f-]{36}.$/.test(h))"
    )
    record = f"/patients/{steps.value(portal, FULLEST, [path.split('/')[2] for path in records])}/"
    sections = (*CHART, *what_leads_on(guest, record))
    paths = [f"{record}{section}" for section in sections] + [
        "/account/",
        "/look-up/",  # without the right: whom to ask. The rest of it is walked in test_look_up.py
        "/patients/00000000-0000-4000-8000-000000000000/",
    ]
    found += [finding for path in paths for finding in check(guest, path)]
    found += without_script(guest, record)
    officer, operator = person("privacy@hospital.example"), person("operator@hospital.example")
    officer.signs_in()
    found += [finding for path in OF_PRIVACY for finding in check(officer, path, PHONE)]
    found += answered_and_entered(officer, operator, record)
    found += check(approver, "/by-hand/list/", PHONE)
    found += feeds_pages(operator, officer)
    found += check(operator, f"/feeds/moved/{steps.value(portal, MOVED, record.split('/')[2])}/", PHONE)
    reviewer = person("reviewer@hospital.example")
    reviewer.signs_in()
    found += check(reviewer, "/reviews/", PHONE)
    assert found == []


OF_PRIVACY = (
    "/privacy/",
    "/privacy/alerts/",
    "/reports/",
    "/why/",
    "/by-hand/",
    "/by-hand/opt_out/",
    "/by-hand/label/",
    "/by-hand/link/",
)


def answered_and_entered(officer, operator, record: str) -> list[str]:
    """The pages that a question and a change by hand lead to, by the worker of this portal."""
    patient = record.split("/")[2]
    page = officer.goes_to("/why/")
    page.get_by_label("Who", exact=True).fill(GUEST)
    page.get_by_label("Patient id").fill(patient)
    page.get_by_role("button", name="Ask why").click()
    expect(page.get_by_role("heading", name="For Northfield Practice: yes")).to_be_visible()
    found = look(page, "/why/…/", PHONE)
    page = officer.goes_to("/by-hand/label/")
    page.get_by_role("button", name="Enter it").click()
    expect(page.get_by_role("heading", name="There is a problem")).to_be_visible()
    found += look(page, "/by-hand/label/ refused", PHONE)
    page.get_by_label("Patient id").fill(patient)
    page.get_by_label("What to hold back").select_option("procedures")
    page.get_by_label("Evidence").fill("Form of today, folder 12")
    page.get_by_role("button", name="Enter it").click()
    expect(page.get_by_role("heading", name="The change")).to_be_visible()
    found += look(page, "/by-hand/…/", PHONE)
    page.get_by_label("Why").fill("Entered for a look at this page")
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_text("Taken back. It ends in a moment.")).to_be_visible()
    operator.signs_in()
    return found + check(operator, "/by-hand/", PHONE)


def feeds_pages(operator, officer) -> list[str]:
    """A feed is stopped and resumed, each page as it stands on the way. Nothing is hidden: nothing came since."""
    found = check(operator, "/feeds/", PHONE)
    feed = operator.page.locator("main table a").first.get_attribute("href")
    found += (
        check(operator, "/feeds/moved/", PHONE) + check(operator, feed, PHONE) + check(operator, f"{feed}stop/", PHONE)
    )
    page = operator.page
    page.get_by_role("button", name="Stop it now").click()
    expect(page.get_by_role("heading", name="There is a problem")).to_be_visible()
    found += look(page, f"{feed}stop/ refused", PHONE)
    now = timezone.localtime()
    page.get_by_label("Hide what came since").fill(f"{now:%Y-%m-%d}")
    page.get_by_label("Time").fill(f"{now:%H:%M}")
    page.get_by_label("What is wrong").fill("Nothing, this is a look at the page")
    page.get_by_role("button", name="Stop it now").click()
    expect(page.get_by_role("heading", name="Stopped")).to_be_visible()
    found += (
        look(page, f"{feed} stopped", PHONE)
        + check(operator, f"{feed}seen/", PHONE)
        + check(operator, f"{feed}resume/", PHONE)
    )
    page.get_by_label("Why it is right again").fill("Nothing was wrong")
    page.get_by_role("button", name="Ask a second person").click()
    found += check(officer, feed, PHONE)
    officer.page.get_by_role("button", name="Resume the feed").click()
    expect(officer.page.get_by_text("Resumed.")).to_be_visible()
    return found


MOVED = """
    INSERT INTO records_move (source_id, resource_id, type, section, from_patient, shown_from, note)
    SELECT id, gen_random_uuid(), 'Observation', 'results', %s, now() - interval '1 hour', '' FROM records_source
    LIMIT 1
    RETURNING id
"""
