"""A guest with the right looks up a patient whom no feed ties to their practice, and a privacy officer looks at it."""

from __future__ import annotations

from datetime import date

from playwright.sync_api import expect

from tests.journeys import steps
from tests.journeys.test_every_page import look

GUEST = "walkin@northfield.example"
REASON = "Seen in our walk-in clinic this morning"


def somebody_in_no_caseload(portal) -> dict[str, str]:
    """Name, birth date, record number and id of a patient of the demo's main site whom nobody looks after."""
    query = """SELECT array[p.given, p.family, p.birth_date, p.mrn, p.id::text, f.name] FROM records_patient p
        JOIN records_source s ON s.id = p.source_id JOIN records_facility f ON f.id = s.facility_id
        WHERE s.name = 'main' AND p.family = 'Ferreira' AND p.classes = '{}'
          AND NOT EXISTS (SELECT 1 FROM records_membership m WHERE m.patient_id = p.id)"""
    return dict(zip(("given", "family", "born", "mrn", "id", "site"), steps.value(portal, query), strict=True))


def fill(page, who: dict[str, str], number: str) -> None:
    page.get_by_label("Name").fill(f"{who['given']} {who['family']}")
    page.get_by_label("Birth date").fill(date.fromisoformat(who["born"]).strftime("%d/%m/%Y"))
    page.get_by_label("Where are they a patient?").select_option(who["site"])
    page.get_by_label("The record number of that site").check()
    page.get_by_label("Number", exact=True).fill(number)
    page.get_by_label("Why do you need this record?").fill(REASON)
    page.get_by_role("button", name="Look up", exact=True).click()


def test_a_patient_is_looked_up_opened_and_looked_at_by_a_privacy_officer(person, portal):
    guest = steps.let_in(person, portal, GUEST, "Walk-in Doctor", "They may also look up patients")
    before = len(portal.trail())
    who, seat = somebody_in_no_caseload(portal), guest.goes_to("/patients/")
    listed = seat.locator(f"a[href='/patients/{who['id']}/']")  # a namesake at another site is among theirs
    expect(listed).to_have_count(0)
    seat.goto(f"/patients/{who['id']}/")
    seat.get_by_role("link", name="Look up a patient").last.click()
    guest.reads("Look up a patient")
    found = look(seat, "look up")

    fill(seat, who, "12345")
    expect(seat.get_by_text("We found nobody.")).to_be_visible()
    found += look(seat, "nobody")
    fill(seat, who, who["mrn"])
    expect(seat.get_by_role("heading", name="Is this the person you treat?")).to_be_visible()
    assert who["id"] not in seat.content()
    found += look(seat, "found")
    seat.get_by_role("button", name="Open the record").dblclick()
    guest.reads("Summary")
    assert seat.url.endswith(f"/patients/{who['id']}/")
    expect(seat.get_by_text("Looked up by Walk-in Doctor").first).to_be_visible()
    found += look(guest.goes_to("/account/"), "my access")
    seat.goto("/patients/")
    expect(listed).to_be_visible()

    officer = person("privacy@hospital.example")
    desk = officer.signs_in()
    desk.get_by_role("link", name="Alerts").click()
    officer.reads("Alerts")
    found += look(desk, "alerts")
    row = desk.get_by_role("row").filter(has_text=who["id"])
    expect(row).to_contain_text(REASON)
    row.get_by_role("link").click()
    officer.reads("Look at an alert")
    found += look(desk, "one alert")
    desk.get_by_label("What did you find?").fill("In their appointment book")
    desk.get_by_role("button", name="Looked at").click()
    expect(desk.get_by_role("row").filter(has_text="In their appointment book")).to_be_visible()
    assert found == []
    types = [event["type"] for event in portal.trail()[before:] if event["reason"] == REASON]
    assert types == ["looked-up", "looked-up", "look-up-opened"]
