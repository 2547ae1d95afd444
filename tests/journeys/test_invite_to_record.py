"""The main job, end to end: asked for, approved, provisioned, redeemed, read, written down, ended."""

from __future__ import annotations

import re
import uuid

from playwright.sync_api import expect

from tests.journeys import steps

NURSE = "nurse@northfield.example"
CAST = ("Practice Nurse", "Northfield Sponsor", "Access Approver")


def test_a_colleague_is_asked_for_and_reads_the_records_of_the_caseload(person, portal):
    # 1. A sponsor asks for a colleague's access.
    sponsor = person("sponsor@northfield.example")
    page = sponsor.signs_in()
    page.goto("/people/")
    sponsor.reads("Your people")
    page.get_by_role("button", name="Add a colleague").click()
    sponsor.reads("Add a colleague")
    steps.ask(sponsor, NURSE, "Practice", "Nurse")

    # 2. An approver sees what it means, and approves.
    approver = person("approver@hospital.example")
    desk = approver.signs_in()
    desk.goto("/approvals/")
    approver.reads("To decide")
    desk.get_by_role("link", name="Practice Nurse").first.click()
    effect = desk.get_by_role("heading", name="If you approve").locator("..")
    expect(effect).to_contain_text(re.compile(r"\d+ patients"))
    expect(effect).to_contain_text("until")
    desk.get_by_role("button", name="Approve", exact=True).click()
    approver.confirms()
    expect(desk.get_by_text("Approved. We are setting it up now.")).to_be_visible()

    # 3. The job provisions: the mail goes out last.
    link = steps.link_for(portal, NURSE)
    assert len(portal.mails(NURSE)) == 1
    expect(page.get_by_text(re.compile("Practice Nurse signs in")).first).to_be_visible()

    # 4. The guest opens the mail, redeems with their own account, accepts the terms.
    guest = person(NURSE)
    seat = guest.goes_to(f"http://login.localhost:{portal.tenant_port}/mailbox/?to={NURSE}")
    seat.get_by_role("link", name=re.compile("access")).first.click()
    expect(seat.get_by_text(link).first).to_be_visible()
    before = digest(portal)
    seat.goto(link)
    expect(seat.get_by_role("heading", level=1)).to_contain_text("Welcome, Practice Nurse")
    assert digest(portal) == before, "reading the landing page changed something"
    steps.redeem(guest, link)
    steps.accept_terms(guest)
    seat.get_by_role("button", name="Go to my patients").click()
    guest.reads("My patients")

    # 5. The chart, of the caseload only.
    links = seat.locator("main a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
    records = [href.rstrip("/") for href in links if re.fullmatch(r"/patients/[0-9a-f-]{36}/", href)]
    shown = {href.split("/")[2] for href in records}
    assert shown == caseload_of(portal, NURSE)
    record = records[0]
    seat.goto(record)
    guest.reads("Summary")
    for section in ("Results", "Medicines", "Problems", "Allergies", "Immunisations"):
        seat.goto(f"{record}/{section.lower()}")
        guest.reads(section)
        expect(seat.get_by_text("This view may be incomplete.")).to_be_visible()
    outside = seat.goto(f"/patients/{somebody_else(portal, shown)}/")
    outside_text = without_request_id(seat.content())
    assert outside.status == 404
    unknown = seat.goto(f"/patients/{uuid.uuid4()}/")
    assert unknown.status == 404
    assert without_request_id(seat.content()) == outside_text

    # 6. All of it is in the audit.
    trail = [event for event in portal.trail() if event["who"] in ("", *CAST)]
    types = {event["type"] for event in trail}
    assert {
        "signed-in", "access-asked", "access-approved", "provisioned", "invitation-sent", "invitation-redeemed",
        "terms-accepted", "patients-listed", "record-opened", "record-refused",
    } <= types  # fmt: skip
    patient = record.split("/")[2]
    opened = {event["section"] for event in trail if event["type"] == "record-opened" and patient in event["patients"]}
    assert {"results", "medicines", "problems", "allergies", "immunisations"} <= opened
    refused = [event for event in trail if event["type"] == "record-refused" and event["who"] == "Practice Nurse"]
    assert len(refused) == 2

    # 7. The approver ends the access: the next request is turned away.
    end_access(desk, portal)
    seat.goto(record)
    expect(seat.get_by_role("heading", level=1, name="Summary")).to_have_count(0)
    guest.reads("Sign in")


def end_access(desk, portal) -> None:
    request_id = steps.value(portal, "SELECT id FROM partners_accessrequest WHERE address = %s", NURSE)
    desk.goto(f"/approvals/{request_id}/")
    desk.get_by_role("link", name="End access").or_(desk.get_by_role("button", name="End access")).first.click()
    desk.get_by_label("Why").fill("Has left the organisation")
    desk.get_by_role("button", name="End access").click()
    expect(desk.get_by_text(re.compile("ended", re.IGNORECASE)).first).to_be_visible()


def caseload_of(portal, address: str) -> set[str]:
    """The patients whom the request of `address` was about, as the database has them."""
    query = """SELECT array_agg(DISTINCT m.patient_id::text) FROM partners_accessrequest r
        JOIN partners_accessrequest_caseloads c ON c.accessrequest_id = r.id
        JOIN records_membership m ON m.caseload_id = c.caseload_id
        JOIN records_patient p ON p.id = m.patient_id AND p.classes = '{}'
        WHERE r.address = %s AND m.starts_at <= now() AND (m.ends_at IS NULL OR m.ends_at > now())
          AND NOT EXISTS (SELECT 1 FROM records_optout o WHERE o.patient_id = m.patient_id
                          AND (o.ends_at IS NULL OR o.ends_at > now()))"""
    return set(steps.value(portal, query, address))


def digest(portal) -> str:
    """One hash over every row that the landing page could have touched."""
    tables = ["partners_invitation", "partners_accessrequest", "partners_guest", "records_grant", "clinicportal_user"]
    parts = " || ".join(
        f"(SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {t} t)" for t in tables
    )
    return steps.value(portal, f"SELECT {parts}")


def somebody_else(portal, shown: set[str]) -> str:
    """A patient of the demo whom the guest's list doesn't show."""
    return steps.value(portal, "SELECT id::text FROM records_patient WHERE NOT id::text = ANY(%s) LIMIT 1", list(shown))


def without_request_id(html: str) -> str:
    html = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID", html)
    html = re.sub(r"(reference: )[0-9a-f]{8}", r"\1ID", html, flags=re.IGNORECASE)
    html = re.sub(r'(name="csrf-token" content|name="csrfmiddlewaretoken" value)="[^"]*"', r"\1", html)
    return re.sub(r'session-expires-in" content="\d+"', "", html)
