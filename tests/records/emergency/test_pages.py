"""The pages of an emergency access: before it, during it, and its end."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from clinicportal.models import (
    AuditSubject,
)
from records.models import (
    EmergencyAccess,
)
from tests import factories as make
from tests.records.emergency.acts import Status, events
from tests.records.people import make_person
from tests.records.test_lookup_pages import text
from tests.records.test_wall import save

# ---------------------------------------------------------------- the pages before it


@pytest.fixture
def form(facility) -> dict[str, Any]:
    return {
        "name": "Alpha Testpatient", "born": "2 February 1958", "facility": str(facility.pk), "kind": "record",
        "number": "900 0001", "reason": "Came to our walk-in clinic today", "attempt": str(uuid.uuid4()),
    }  # fmt: skip


def hidden_fields(page: Any) -> dict[str, str]:
    """Of the form that leads to emergency access."""
    form = r'<form method="post" action="/emergency-access/">(.*?)</form>'
    [found] = re.findall(form, page.content.decode(), re.DOTALL)
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', found))


def test_the_button_stands_on_both_answers_and_leads_to_one_page(desk, form, hidden, source):
    make_person(source, mrn="9000009")
    pages = []
    for number in ("900 0001", "1234567", "900 0009"):
        answer = desk.post("/look-up/", {**form, "number": number, "attempt": str(uuid.uuid4())})
        led = desk.post("/emergency-access/", hidden_fields(answer))
        assert led.status_code == 302
        assert re.fullmatch(r"/emergency-access/[0-9a-f-]{36}/", led["Location"])
        page = desk.get(led["Location"]).content.decode()
        pages.append(re.sub(r'(value|nonce|content|datetime)="[^"]*"|\d\d:\d\d', "", page))
    assert "<h1>Emergency access</h1>" in pages[0]
    assert pages[0] == pages[1] == pages[2], "found, withheld and nobody look the same"
    kept = list(EmergencyAccess.objects.order_by("asked_at").values_list("patient_id", flat=True))
    assert kept[0] == hidden.pk
    assert kept[1] is None
    assert kept[2] is not None


def test_without_the_right_there_is_no_button_and_no_page(desk, form, right, hidden):
    save(right, may_use_emergency_access=False)
    answer = desk.post("/look-up/", form)
    assert "/emergency-access/" not in answer.content.decode()
    assert desk.post("/emergency-access/", form).status_code == 403
    assert not EmergencyAccess.objects.exists()


def test_who_has_used_up_the_searches_of_a_day_is_let_through(desk, form, hidden, settings):
    settings.LOOK_UP_TRIES_PER_DAY = 1
    desk.post("/look-up/", form)
    full = desk.post("/look-up/", {**form, "attempt": str(uuid.uuid4())})
    assert full.status_code == 429
    assert desk.post("/emergency-access/", hidden_fields(full)).status_code == 302


@pytest.mark.parametrize("reason", ["", "help", "asdf asdf asdf asdf asdf", "aaaaaaaaaaaaaaaaaaaaaaaaaaa"])
def test_the_reason_has_to_say_something(desk, guest, hidden, reason):
    asked = make.make_emergency(
        guest, hidden, status=Status.ASKED, started_at=None, ends_at=None, proof="", reason="", facilities=[]
    )
    page = desk.post(f"/emergency-access/{asked.pk}/", {"reason": reason})
    assert page.status_code == 422
    assert "what the emergency is" in text(page)


def test_a_search_that_is_not_filled_in_goes_back(desk, form):
    answer = desk.post("/emergency-access/", {**form, "number": ""})
    assert (answer.status_code, answer["Location"]) == (302, "/look-up/")


# ---------------------------------------------------------------- during, and its end


def test_each_page_goes_to_the_account_of_the_emergency(desk, guest, hidden):
    begun = make.make_emergency(guest, hidden)
    page = desk.get(f"/patients/{hidden.pk}/problems/")
    said = text(page)
    assert "Known only in an emergency" in said
    assert "A psychotherapy note" not in said
    assert begun.reason in said
    assert "End it now" in said
    [event] = events("record-opened")
    assert (event.section, event.basis, event.reason) == ("problems", "Emergency access", begun.reason)
    assert (event.object_type, event.object_id) == ("records.emergencyaccess", str(begun.pk))
    subject = AuditSubject.objects.using("auditor").get(event_id=event.id)
    assert (subject.patient_id, subject.grant_id, subject.basis) == (hidden.pk, None, "Emergency access")


def test_my_patients_shows_it_on_top_and_the_button_ends_it(desk, guest, hidden):
    begun = make.make_emergency(guest, hidden)
    said = text(desk.get("/patients/"))
    assert "Emergency access until" in said
    assert desk.get(f"/patients/{hidden.pk}/").status_code == 200
    ended = desk.post(f"/emergency-access/{begun.pk}/end/")
    assert (ended.status_code, ended["Location"]) == (302, "/patients/")
    said = text(desk.get("/patients/"))
    assert "The emergency access has ended" in said
    assert "Emergency access until" not in said
    assert desk.get(f"/patients/{hidden.pk}/").status_code == 404
    assert len(events("emergency-ended")) == 1
    desk.post(f"/emergency-access/{begun.pk}/end/")
    assert len(events("emergency-ended")) == 1, "once"


def test_nobody_ends_or_reads_anothers(desk, outsider, hidden):
    begun = make.make_emergency(outsider, hidden)
    assert desk.get(f"/emergency-access/{begun.pk}/").status_code == 404
    assert desk.post(f"/emergency-access/{begun.pk}/end/").status_code == 404
    assert EmergencyAccess.objects.get(pk=begun.pk).ended_at is None


def test_taking_away_needs_the_right_of_the_agreement(desk, guest, hidden):
    make.make_emergency(guest, hidden)
    assert desk.get(f"/patients/{hidden.pk}/print/").status_code == 200
    refused = desk.post(f"/patients/{hidden.pk}/take/")
    assert refused.status_code == 403
    assert "does not include taking records away" in text(refused)
