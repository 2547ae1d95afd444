"""A guest breaks the glass for a patient who opted out, with a fresh stronger sign-in, and a reviewer looks at it."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.journeys import steps
from tests.journeys.conftest import eventually
from tests.journeys.test_every_page import look
from tests.journeys.test_look_up import fill

GUEST = "nightdoctor@northfield.example"
LOOK_UP = "They may also look up patients"
REASON = "Brought in unconscious after a fall, medicines and allergies not known"


def somebody_who_opted_out(portal) -> dict[str, str]:
    """A patient of the main site with two problems that no grant opens: one sensitive, one a psychotherapy note."""
    query = """SELECT array[p.given, p.family, p.birth_date, p.mrn, p.id::text, f.name] FROM records_patient p
        JOIN records_source s ON s.id = p.source_id JOIN records_facility f ON f.id = s.facility_id
        WHERE s.name = 'main' AND p.replaced_by_id IS NULL AND p.classes = '{}' AND length(p.birth_date) = 10
          AND p.given ~ '^[A-Za-z]+$' AND p.family ~ '^[A-Za-z]+$'
          AND (SELECT count(DISTINCT r.label) FROM records_resource r WHERE r.patient_id = p.id AND r.type = 'Condition'
               AND r.classes = '{}' AND r.tombstoned_at IS NULL) >= 2
        ORDER BY p.mrn DESC LIMIT 1"""
    keys = ("given", "family", "born", "mrn", "id", "site")
    who: dict[str, str] = dict(zip(keys, steps.value(portal, query), strict=True))
    steps.change(portal, "INSERT INTO records_optout (patient_id, evidence) VALUES (%s, 'a form')", who["id"])
    problems = """SELECT array_agg(label ORDER BY label) FROM (SELECT DISTINCT label FROM records_resource
        WHERE patient_id = %s AND type = 'Condition' AND classes = '{}' AND tombstoned_at IS NULL LIMIT 2) t"""
    who["sensitive"], who["withheld"] = steps.value(portal, problems, who["id"])
    for name, held in (("sensitive", "mental_health"), ("withheld", "psychotherapy")):
        label = "UPDATE records_resource SET classes = array[%s, 'hiv'] WHERE patient_id = %s AND label = %s"
        steps.change(portal, label, held, who["id"], who[name])
    return who


def arrives_at(guest, heading: str) -> None:
    """Answer what the tenant asks until the page that was meant is there."""
    page = guest.page
    for _ in range(8):
        page.wait_for_url(lambda url: "/callback/" not in url)
        page.wait_for_load_state()
        if "login.localhost" in page.url:
            guest.answers_the_tenant()
        elif page.get_by_role("heading", level=1, name=heading).count():
            return
    guest.reads(heading)


def test_an_emergency_from_the_search_to_the_review(person, portal):
    guest = steps.let_in(person, portal, GUEST, "Night Doctor", LOOK_UP, "They may also use emergency access")
    who = somebody_who_opted_out(portal)
    seat = guest.goes_to(f"/patients/{who['id']}/")
    guest.reads("This page is not available to you")
    guest.goes_to("/look-up/")
    fill(seat, who, who["mrn"])
    expect(seat.get_by_text("We found nobody.")).to_be_visible()
    found = look(seat, "nobody, with emergency access")
    seat.get_by_role("button", name="Emergency access").click()
    guest.reads("Emergency access")
    assert who["mrn"] not in seat.url + seat.content()
    found += look(seat, "emergency access")
    seat.get_by_role("button", name="Open the record for one hour").click()
    expect(seat.get_by_text("Say what the emergency is").first).to_be_visible()

    portal.control("advance", seconds=400)  # the second factor at sign-in is too old
    seat.get_by_label("What is the emergency").fill(REASON)
    seat.get_by_role("button", name="Open the record for one hour").click()
    seat.wait_for_url("**://login.localhost:*/**")
    guest.reads("Verify your identity")
    arrives_at(guest, "Summary")
    expect(seat.get_by_text(REASON)).to_be_visible()
    found += look(seat, "summary in an emergency")
    guest.goes_to(f"/patients/{who['id']}/problems/")
    expect(seat.get_by_text(who["sensitive"], exact=True).first).to_be_visible()
    expect(seat.get_by_text(who["withheld"], exact=True)).to_have_count(0)
    guest.goes_to("/patients/")
    expect(seat.get_by_role("region", name="Emergency access")).to_contain_text(who["family"].upper())
    found += look(seat, "my patients in an emergency")
    seat.get_by_role("button", name="End it now").click()
    expect(seat.get_by_text("The emergency access has ended.")).to_be_visible()
    guest.goes_to(f"/patients/{who['id']}/")
    guest.reads("This page is not available to you")

    reviewer = person("reviewer@hospital.example")
    reviewer.signs_in()
    reviewer.reads("To review")
    desk = reviewer.page
    expect(desk.get_by_text(REASON)).to_be_visible()
    found += look(desk, "reviews")
    desk.get_by_role("row").filter(has_text=REASON).get_by_role("link").click()
    reviewer.reads("Review an emergency access")
    expect(desk.get_by_role("row").filter(has_text="problems")).to_be_visible()
    found += look(desk, "review")
    review = desk.url
    reviewer.goes_to("/terms/")
    desk.get_by_role("checkbox", name="I have read").check()
    desk.get_by_role("button", name="Accept and continue").click()
    desk.goto(review)
    desk.get_by_role("button", name="Open the record").click()
    reviewer.reads("Summary")
    found += look(desk, "record for a review")
    desk.get_by_role("link", name="Back to the review").click()
    desk.get_by_label("Justified", exact=True).check()
    desk.get_by_label("Your note").fill("The ambulance report matches.")
    desk.get_by_role("button", name="Keep it").click()
    expect(desk.get_by_text("Kept with your note.")).to_be_visible()
    assert found == []

    mails = eventually(lambda: portal.mails("reviewer@hospital.example") or portal.mails("operator@hospital.example"))
    assert any("Emergency access has begun" in mail["subject"] for mail in mails)
    trail = [event["type"] for event in portal.trail()]
    for kind in ("emergency-asked", "emergency-begun", "emergency-ended", "review-opened", "emergency-reviewed"):
        assert kind in trail
