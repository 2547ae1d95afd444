"""A file that a feed leaves in its folder is imported by the running worker and stands in the chart."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime

from playwright.sync_api import expect

from tests.journeys import steps
from tests.journeys.conftest import eventually

GUEST = "radiographer@northfield.example"
IMPORTED = """
    SELECT count(*) FROM records_import WHERE finished_at IS NOT NULL AND started_at > now() - interval '5 minutes'
    AND files = 1 AND created = 1
"""
OF_PATIENT = "SELECT s.name || ' ' || p.fhir_id FROM records_patient p JOIN records_source s ON s.id = p.source_id"


def test_a_file_in_a_feeds_folder_is_imported_and_shown(person, portal):
    sponsor, approver, guest = (
        person("sponsor@northfield.example"),
        person("approver@hospital.example"),
        person(GUEST),
    )
    portal.control("accounts", address=GUEST, name="Northfield Radiographer")
    sponsor.signs_in()
    steps.ask(sponsor, GUEST, "Practice", "Radiographer")
    approver.signs_in()
    steps.approve(approver, "Practice Radiographer")
    steps.redeem(guest, steps.link_for(portal, GUEST))
    steps.accept_terms(guest)
    page = guest.goes_to("/patients/")
    record = page.locator("main table a[href*='/patients/']").first.get_attribute("href")
    found = steps.value(portal, f"{OF_PATIENT} WHERE p.id = %s", record.split("/")[2])
    source, patient = found.split(" ")
    observation = {
        "resourceType": "Observation",
        "id": "left-in-the-folder",
        "status": "final",
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": {"text": "Left in the folder", "coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": datetime.now(UTC).isoformat(timespec="seconds"),
        "valueQuantity": {"value": 131, "unit": "g/L"},
    }
    folder = portal.data / "feeds" / source
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / ".arrives.ndjson"
    draft.write_text(json.dumps(observation) + "\n")
    os.utime(draft, (time.time() - 60, time.time() - 60))  # as if nothing had touched it for a while
    draft.rename(folder / "arrives.ndjson")
    eventually(lambda: steps.value(portal, IMPORTED), seconds=60)
    assert not (folder / "arrives.ndjson").exists()
    page = guest.goes_to(f"{record}results/")
    expect(page.get_by_text("Left in the folder").first).to_be_visible()
    expect(page.get_by_text("131").first).to_be_visible()
