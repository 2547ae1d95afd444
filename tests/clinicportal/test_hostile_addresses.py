"""Whatever stands in an address or a form: an answer of the portal, never a fault."""

from __future__ import annotations

import pytest

from tests.clinicportal.test_who_may import WHO, addresses, path_of, world
from tests.factories import client_for

__all__ = ["world"]
HARMFUL = ("\x00", "9" * 5000, "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59")
"""What once was a fault on some page: asked of each."""
HOSTILE = (*HARMFUL, "-1", "²", "\u202e//evil.example")
NAMES = (
    "after", "before", "page", "show", "caseload", "facility", "age", "gender", "group", "test", "from", "flagged",
    "trend", "over", "past", "take", "next", "again", "find", "name", "attempt", "search", "reason", "born", "number",
    "kind", "text", "outcome", "note", "answer", "organisation", "state", "error_description", "sid", "iss", "until",
    "email", "first_name", "last_name", "why", "q", "status", "since", "who", "patient", "person", "user", "section",
)  # fmt: skip
"""Of everything that some page reads from its address or its form."""


@pytest.mark.parametrize("verb", ["get", "post"])
def test_nothing_in_an_address_or_a_form_is_a_fault(world, verb):
    wrong = []
    browsers = {who: client_for(person) for who, person in world["people"].items()}
    for name, route in addresses():
        path = path_of(name, route, world["things"])
        browser = browsers[min(WHO.get(name, {"guest"}))]
        browser.raise_request_exception = False
        for value in HARMFUL:
            status = getattr(browser, verb)(path, dict.fromkeys(NAMES, value)).status_code
            if status == 405:
                break
            if status >= 500:
                wrong.append(f"{verb} {path} {value[:30]!r} {status}")
    assert wrong == []


@pytest.mark.parametrize("drop", HOSTILE)
def test_a_filter_to_drop_that_there_is_not_is_no_fault(world, drop):
    assert client_for(world["people"]["guest"]).post("/patients/filters/", {"drop": drop}).status_code == 302


def test_a_filter_is_kept_by_whoever_has_patients_and_under_a_name_that_can_be_read(world):
    guest, approver = client_for(world["people"]["guest"]), client_for(world["people"]["approver"])
    assert approver.post("/patients/filters/", {"name": "Mine"}).status_code == 403
    assert guest.post("/patients/filters/", {"name": "\x00"}).status_code == 403
    assert guest.post("/patients/filters/", {"name": "Old\x00 \u202epeople"}).status_code == 302
    assert "Old people" in guest.get("/patients/").content.decode()
