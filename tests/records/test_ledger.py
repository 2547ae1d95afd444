"""The ledger of records: each answer that shows something of a patient has its row, exactly one, with the grant."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from clinicportal.models import AuditEvent, AuditSubject
from records.chart import patients
from records.filters import Filter
from records.models import Section
from records.urls import urlpatterns
from tests import factories as make
from tests.records.test_chart import coded, everything, observation, seat
from tests.records.test_record_pages import document
from tests.records.test_wall import wall_down

__all__ = ["everything", "seat"]

PAGES = {
    "summary": "summary", "timeline": "timeline", "results": "results", "vitals": "vitals", "results-tests": "results",
    "vitals-tests": "vitals", "care": "care", "medicines": "medicines", "problems": "problems", "report": "report",
    "allergies": "allergies", "immunisations": "immunisations", "procedures": "procedures", "encounters": "encounters",
    "documents": "documents", "document": "documents", "file": "documents", "result-report": "results",
    "result-file": "results", "further": "medicines", "entry": "procedures", "print": "print", "access": "access",
}  # fmt: skip
"""Every page of a record, and the section under which it is written down."""
BESIDE = {"print": ["record-printed"], "access": ["audit-read"]}
NO_PAGE = {"patients", "filters", "take"}


def test_every_page_of_a_record_is_in_the_table():
    assert {one.name for one in urlpatterns} == PAGES.keys() | NO_PAGE


@pytest.fixture
def further(patient) -> dict[str, dict[str, object]]:
    """What the addresses of some pages name beside the patient."""
    pdf = ("application/pdf", b"%PDF-1.7")
    letter = document(patient, pdf)
    report = make.make_resource(
        patient, Section.RESULTS, "DiagnosticReport", body={"conclusion": "Fine", "presentedForm": attached(letter)}
    )
    device = make.make_resource(patient, Section.PROCEDURES, "Device", body={"type": coded("Pacemaker")})
    observation(patient, "Sodium", 140, code="1")
    return {
        "document": {"document": letter.pk},
        "file": {"document": letter.pk, "place": 0},
        "result-report": {"document": report.pk},
        "result-file": {"document": report.pk, "place": 0},
        "further": {"name": "supplies"},
        "entry": {"here": "procedures", "entry": device.pk},
    }


def attached(letter) -> list[dict[str, object]]:
    return [content["attachment"] for content in json.loads(letter.raw)["content"]]


@pytest.mark.parametrize("how", ["get", "head"])
def test_each_page_has_one_row_with_its_section_patient_and_grant(seat, guest, patient, everything, further, how):
    # As a whole page, and as a part of one of which not even the body is asked for.
    headers = {"HX-Request": "true", "X-Patient": str(patient.pk)} if how == "head" else {}
    for name, section in PAGES.items():
        before = set(AuditEvent.objects.using("auditor").values_list("id", flat=True))
        address = reverse(f"records:{name}", kwargs={"pk": patient.pk, **further.get(name, {})})
        ask = seat.head if how == "head" else seat.get
        assert ask(address, headers=headers).status_code == 200, name
        new = list(AuditEvent.objects.using("auditor").exclude(id__in=before).order_by("recorded"))
        assert [one.type for one in new] == ["record-opened", *BESIDE.get(name, [])], name
        opened = new[0]
        assert (opened.section, opened.user_id, opened.outcome) == (section, guest.pk, "success"), name
        [why] = AuditSubject.objects.using("auditor").filter(event_id=opened.id)
        assert (why.patient_id, why.grant_id, why.basis) == (patient.pk, everything.pk, "Registration"), name


@pytest.mark.parametrize("query", ["", "?show=recent", "?show=new", "search"])
def test_a_list_has_one_row_with_whom_it_shows_and_nobody_else(seat, source, patient, stranger, everything, query):
    make.make_membership(everything.caseload, second := make.make_patient(source, family="Second", found_by=" second"))
    seat.get(f"/patients/{patient.pk}/")
    before = set(AuditEvent.objects.using("auditor").values_list("id", flat=True))
    search = query == "search"
    page = seat.post("/patients/", {"find": "second"}) if search else seat.get(f"/patients/{query}")
    body = page.content.decode()
    shown = {one.pk for one in (patient, second, stranger) if f"/patients/{one.pk}/" in body}
    [event] = AuditEvent.objects.using("auditor").exclude(id__in=before)
    subjects = AuditSubject.objects.using("auditor").filter(event_id=event.id)
    assert (event.type, event.detail) == ("patients-listed", {"searched": search})
    assert set(subjects.values_list("patient_id", flat=True)) == shown
    assert len(subjects) == len(shown)
    assert stranger.pk not in shown
    assert shown or query == "?show=new"


def test_a_list_is_narrowed_by_ones_own_caseloads_alone(guest, grant, patient, organisation, facility):
    """By both walls: whoever is in another caseload, of another clinic perhaps, is not told by a filter."""
    theirs = make.make_caseload(make.make_organisation("Partner C"), facility, patient, name="The other clinic")
    colleagues = make.make_caseload(organisation, facility, patient, name="A colleague's")
    for caseload, total in ((grant.caseload, 1), (theirs, 0), (colleagues, 0)):
        assert patients.list_page(by=guest, asked=Filter(caseload=caseload.pk)).total == total
        with wall_down():
            assert patients.list_page(by=guest, asked=Filter(caseload=caseload.pk)).total == total
