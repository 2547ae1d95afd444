"""What a record's pages do beyond showing: what is new, print, take away, report, files, one patient at a time."""

from __future__ import annotations

import base64
import html
import json
import re
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from clinicportal.models import AuditEvent, StaffRole
from clinicportal.proofs import Unproved
from clinicportal.viewing import viewing
from records import policies
from records.chart import access as access_pages
from records.chart import summary
from records.models import Agreement, Look, RecordReport, Resource, SavedFilter, Section
from tests import factories as make
from tests.records.feeds import labelled
from tests.records.test_chart import coded, counted, everything, observation, seat, text_of

__all__ = ["everything", "seat"]
WORKER = "worker"


def events(type: str):
    return list(AuditEvent.objects.using("auditor").filter(type=type))


def looked_before(guest, patient, *, days: float = 2) -> None:
    """The guest opened this record some days ago; all that is there now was there then."""
    Look.objects.using(WORKER).create(user=guest, patient=patient, at=make.days(-days))
    Resource.objects.using(WORKER).update(received_at=make.days(-days - 1))


# ----------------------------------------------------------------------------------------- since you last looked


def test_the_first_visit_has_no_panel_and_the_next_says_what_came(seat, guest, patient):
    limits = [{"low": {"value": 3.5}, "high": {"value": 5.3}}]
    observation(patient, "Potassium", 4.8, days=20, code="2823-3", referenceRange=limits)
    assert "Since you last looked" not in text_of(seat.get(f"/patients/{patient.pk}/"))
    Look.objects.using(WORKER).update(at=make.days(-2), since=None)
    Resource.objects.using(WORKER).update(received_at=make.days(-3))
    assert "Nothing new in this view." in text_of(seat.get(f"/patients/{patient.pk}/"))
    observation(patient, "Potassium", 5.9, days=1, code="2823-3", referenceRange=limits)
    seen = text_of(seat.get(f"/patients/{patient.pk}/"))
    assert "New result Potassium 5.9 mmol/L High, computed was 4.8 on" in seen
    assert "Results 1 new" in seen
    results = text_of(seat.get(f"/patients/{patient.pk}/results/"))
    assert results.count(" New ") == 1, "the earlier result is not new"
    # The same visit goes on: what was new at its beginning stays so on each page.
    assert "Results 1 new" in text_of(seat.get(f"/patients/{patient.pk}/medicines/"))


def test_a_correction_is_shown_as_was_and_now(seat, guest, patient):
    now = observation(patient, "Haemoglobin", 120, code="718-7", status="corrected")
    looked_before(guest, patient)
    Resource.objects.using(WORKER).filter(pk=now.pk).update(number=2, received_at=make.days(0))
    make.make_version(now, raw=now.raw.replace("120", "102"))
    assert "Corrected Haemoglobin : was 102 mmol/L , now 120 mmol/L" in text_of(seat.get(f"/patients/{patient.pk}/"))


def test_an_earlier_version_with_more_labels_is_not_told(seat, guest, patient):
    now = observation(patient, "Haemoglobin", 120, code="718-7", status="corrected")
    looked_before(guest, patient)
    Resource.objects.using(WORKER).filter(pk=now.pk).update(number=2, received_at=make.days(0))
    make.make_version(now, raw=now.raw.replace("120", "102"), classes=["hiv"])
    assert "102" not in text_of(seat.get(f"/patients/{patient.pk}/"))


def test_a_stopped_medicine_and_a_new_allergy_come_before_new_results(seat, guest, patient):
    looked_before(guest, patient)
    observation(patient, "Sodium", 138, code="2951-2")
    drug = {"status": "stopped", "medicationCodeableConcept": coded("spironolactone")}
    make.make_resource(patient, Section.MEDICINES, "MedicationRequest", status="stopped", body=drug)
    make.make_resource(patient, Section.ALLERGIES, "AllergyIntolerance", body={"code": coded("Latex")})
    seen = text_of(seat.get(f"/patients/{patient.pk}/"))
    assert seen.index("New allergy Latex") < seen.index("Stopped spironolactone") < seen.index("New result Sodium")


def test_what_is_withheld_is_no_news(seat, guest, patient):
    looked_before(guest, patient)
    make.make_resource(patient, Section.PROBLEMS, body={"code": coded("Secret")}, classes=["hiv"])
    seen = text_of(seat.get(f"/patients/{patient.pk}/"))
    assert "Nothing new in this view." in seen
    assert "1 new" not in seen
    assert "Nothing new" in text_of(seat.get("/patients/"))


def test_a_look_is_of_one_guest(seat, guest, patient, caseload):
    looked_before(guest, patient)
    other = make.signed_in(make.make_user("Second nurse"), caseload.organisation)
    make.make_grant(other, caseload)
    assert "Since you last looked" not in text_of(make.client_for(other).get(f"/patients/{patient.pk}/"))


# ---------------------------------------------------------------------------------------------------- my patients


def test_the_list_says_what_is_new_and_when_a_record_was_opened(seat, guest, patient):
    assert "Not opened by you yet" in text_of(seat.get("/patients/"))
    looked_before(guest, patient)
    assert "Nothing new" in text_of(seat.get("/patients/"))
    high = {"interpretation": [{"coding": [{"code": "HH"}]}]}
    for n in range(3):
        observation(patient, "Potassium", 7 + n, days=n, code="2823-3", **high)
    observation(patient, "Haemoglobin", 120, code="718-7", status="corrected")
    seen = text_of(seat.get("/patients/"))
    assert "3 new results Critically high 1 corrected" in seen


def test_filters_find_what_is_new_and_what_was_opened_last(seat, guest, patient, source, caseload):
    quiet, never = (make.make_patient(source, given=given) for given in ("Quiet", "Never"))
    for other in (quiet, never):
        make.make_membership(caseload, other)
        observation(other, "Sodium", 138)
    looked_before(guest, patient, days=5)
    looked_before(guest, quiet)
    observation(patient, "Potassium", 5)
    new, recent = (text_of(seat.get(f"/patients/?show={show}")) for show in ("new", "recent"))
    assert ("Alpha" in new, "Quiet" in new, "Never" in new) == (True, False, False)
    assert recent.index("TESTPATIENT, Quiet") < recent.index("TESTPATIENT, Alpha")
    assert "Never" not in recent


def test_a_filter_is_kept_under_a_name_and_forgotten(seat, guest, patient, caseload):
    kept = seat.post("/patients/filters/", {"name": " My  new ones ", "show": "new", "caseload": str(caseload.pk)})
    assert kept.status_code == 302
    page = seat.get(kept["Location"])
    assert "Kept: My new ones" in text_of(page)
    held = SavedFilter.objects.get()
    assert (held.user, held.name, held.caseload) == (guest, "My new ones", caseload)
    seat.post("/patients/filters/", {"drop": held.pk})
    assert not SavedFilter.objects.exists()


def test_age_gender_and_facility_narrow_the_list_and_are_kept(seat, guest, source, caseload, patient):
    today = timezone.localdate()

    def born(years: int, days: int = 0) -> str:
        return (today.replace(year=today.year - years, day=min(today.day, 28)) + timedelta(days=days)).isoformat()

    people = {"Baby": (born(0, -1), "male"), "Teen": (born(18, 3), "female"), "Grown": (born(18, -3), "female")}
    people |= {"Old": (str(today.year - 70), "male"), "Unknown": ("", "unknown")}
    for given, (birth_date, gender) in people.items():
        made = make.make_patient(source, family="Aged", given=given, birth_date=birth_date, gender=gender)
        make.make_membership(caseload, made)

    def shown(query: str) -> set[str]:
        seen = text_of(seat.get(f"/patients/?{query}"))
        return {given for given in people if f"AGED, {given}" in seen}

    assert shown("age=child") == {"Baby", "Teen"}
    assert shown("age=adult") == {"Grown"}
    assert shown("age=older") == {"Old"}
    assert shown("age=oldest") == set()
    assert shown("gender=female") == {"Teen", "Grown"}
    assert shown("gender=female&age=child") == {"Teen"}
    assert shown(f"facility={source.facility_id}") == set(people)
    assert shown(f"facility={make.make_facility('Elsewhere').pk}") == set()
    assert shown("age=junk&gender=junk&facility=junk") == set(people)
    assert "Nobody of your patients fits this filter." in text_of(seat.get("/patients/?age=oldest"))
    kept = seat.post("/patients/filters/", {"name": "girls", "age": "child", "gender": "female"})
    assert kept["Location"] == "/patients/?age=child&gender=female"
    page = seat.get(kept["Location"])
    assert 'href="/patients/?age=child&amp;gender=female" aria-current="true">girls' in page.content.decode()
    assert "Forget girls" in text_of(page)


def test_a_filter_goes_on_where_the_page_ended(seat, source, caseload, monkeypatch):
    monkeypatch.setattr("records.chart.patients.PAGE", 2)
    for number in range(5):
        made = make.make_patient(source, family=f"Row{number}", gender="male" if number % 2 else "female")
        make.make_membership(caseload, made)
    body = seat.get("/patients/?gender=female").content.decode()
    following = html.unescape(re.search(r'href="([^"]*after=[^"]*)" rel="next"', body)[1])
    assert "gender=female" in following
    seen = text_of(seat.get(following))
    assert "ROW4" in seen
    assert "ROW3" not in seen
    assert "Showing 3 to 3 of 3" in seen


def test_a_filter_of_somebody_elses_caseload_is_kept_without_it(seat, guest, facility):
    foreign = make.make_caseload(make.make_organisation("Partner C"), facility)
    seat.post("/patients/filters/", {"name": "x", "show": "", "caseload": str(foreign.pk)})
    assert SavedFilter.objects.get().caseload is None


# -------------------------------------------------------------------------------------------- print and take away


def test_printing_is_written_down_and_the_stamp_leads_back_to_it(seat, patient, guest):
    seen = text_of(seat.get(f"/patients/{patient.pk}/print/"))
    [printed] = events("record-printed")
    assert f"Stamp {str(printed.id)[:8]} Printed by {guest.display_name}" in seen
    assert "This view may be incomplete." in seen
    assert printed.user_id == guest.pk


LABELS = [
    ("ADOL", {}, "other"),
    ("TBOO", {}, "other"),
    ("PRS", {}, "other"),
    ("NOPAT", {}, None),
    ("HIV", {"labelled_by": ["request 1: hiv"]}, "hiv"),
]


@pytest.mark.parametrize(("code", "fields", "sensitive"), LABELS)
def test_what_is_not_for_the_patient_or_the_family_is_on_the_screen_and_not_on_paper(
    seat, guest, patient, agreement, code, fields, sensitive
):
    classes = [sensitive] if sensitive else []
    Agreement.objects.using(WORKER).update(classes=classes)
    guest.grants.using(WORKER).update(classes=classes)
    paper = text_of(seat.get(f"/patients/{patient.pk}/print/")).partition("Summary")[2]
    body = {"code": coded("Secret"), "clinicalStatus": coded("active", code="active"), "meta": labelled(code)}
    make.make_resource(patient, Section.PROBLEMS, body=body, classes=classes, own_classes=classes, **fields)
    assert "Secret" in text_of(seat.get(f"/patients/{patient.pk}/"))
    printed = text_of(seat.get(f"/patients/{patient.pk}/print/"))
    assert "Secret" not in printed
    assert "Paper never has what is marked as not for the patient" in printed
    assert "Paper never has" in paper, "said for every patient alike"


def test_other_classes_that_were_granted_are_on_paper(seat, guest, patient, agreement):
    Agreement.objects.using(WORKER).update(classes=["hiv"])
    guest.grants.using(WORKER).update(classes=["hiv"])
    body = {"code": coded("Seen"), "clinicalStatus": coded("active", code="active"), "meta": labelled("HIV")}
    make.make_resource(patient, Section.PROBLEMS, body=body, classes=["hiv"], labelled_by=["text: hiv"])
    assert "Seen" in text_of(seat.get(f"/patients/{patient.pk}/print/"))


def test_the_outsider_can_neither_print_nor_take_nor_report(outsider, patient, grant):
    other = make.client_for(outsider)
    assert other.get(f"/patients/{patient.pk}/print/").status_code == 404
    assert other.post(f"/patients/{patient.pk}/report/", {"kind": "other", "text": "x"}).status_code == 404
    assert other.post(f"/patients/{patient.pk}/take/").status_code == 404
    assert not RecordReport.objects.exists()
    assert [events(f"record-{what}") for what in ("printed", "taken", "reported")] == [[], [], []]


@pytest.fixture
def may_export(agreement):
    Agreement.objects.using(WORKER).filter(pk=agreement.pk).update(may_export=True)


@pytest.fixture
def proved(guest, everything) -> Client:
    """The guest's browser, in which they have just confirmed that it is them."""
    guest.proofs = {"c2": timezone.now()}
    return make.client_for(guest)


def test_without_a_fresh_proof_nothing_is_taken(guest, patient, grant, may_export):
    with viewing(guest), pytest.raises(Unproved):
        policies.check_can_take_away(guest, patient.source.facility_id)
    with pytest.raises(Unproved):
        summary.take(patient.pk, by=guest)
    assert not events("record-taken")


def test_the_summary_is_taken_as_a_fhir_document_with_only_what_may_be_seen(proved, guest, patient, may_export):
    make.make_resource(patient, Section.DEMOGRAPHICS, "Patient", body={"id": "p1", "name": [{"family": "T"}]})
    shown = make.make_resource(
        patient,
        body={
            "code": coded("Asthma"),
            "subject": {"reference": "Patient/p1"},
            "encounter": {"reference": "Encounter/9"},
        },
    )
    make.make_resource(patient, body={"code": coded("Secret")}, classes=["hiv"])
    weight = observation(patient, "Weight", 6)
    Resource.objects.using(WORKER).filter(pk=weight.pk).update(raw=weight.raw.replace('"value": 6', '"value": 6.00'))
    answer = proved.post(f"/patients/{patient.pk}/take/")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("application/fhir+json")
    text = answer.content.decode()
    assert "Secret" not in text
    assert '"value":6.00' in text, "precision was lost"
    bundle = json.loads(text)
    assert (bundle["type"], bundle["entry"][0]["resource"]["resourceType"]) == ("document", "Composition")
    held = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    problem = held[f"urn:uuid:{shown.pk}"]
    assert problem["subject"]["reference"] in held
    assert problem["encounter"] == {"type": "Encounter"}, "an id of something that is not here left with the document"
    sections = {section["code"]["coding"][0]["code"]: section for section in held_composition(bundle)["section"]}
    assert list(sections)[:3] == ["11450-4", "48765-2", "10160-0"]
    assert sections["48765-2"]["emptyReason"]["coding"][0]["code"] == "unavailable"
    assert "This view may be incomplete." in sections["11450-4"]["text"]["div"]
    for section in sections.values():
        assert all(entry["reference"] in held for entry in section.get("entry", []))
    [taken] = events("record-taken")
    assert (taken.user_id, taken.detail) == (guest.pk, {"form": "IPS document"})


def held_composition(bundle):
    return bundle["entry"][0]["resource"]


def test_the_document_is_the_same_whether_something_is_withheld_or_not(proved, patient, may_export):
    def bare() -> str:
        text = proved.post(f"/patients/{patient.pk}/take/").content.decode()
        bundle = json.loads(text)
        return json.dumps([entry["resource"].get("section", entry["resource"]) for entry in bundle["entry"][2:]])

    make.make_resource(patient, Section.DEMOGRAPHICS, "Patient")
    before = bare()
    make.make_resource(
        patient, Section.ALLERGIES, "AllergyIntolerance", body={"code": coded("Secret")}, classes=["hiv"]
    )
    assert bare() == before


def test_without_the_right_in_the_agreement_nothing_is_taken(seat, patient):
    answer = seat.post(f"/patients/{patient.pk}/take/")
    assert answer.status_code == 403
    assert "does not include taking records away" in text_of(answer)
    assert not events("record-taken")


def test_a_link_takes_nothing(seat, patient, may_export):
    assert seat.get(f"/patients/{patient.pk}/take/").status_code == 405


# --------------------------------------------------------------------------------------------------------- files

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def document(patient, *attachments: tuple[str, bytes], **fields) -> Resource:
    content = [
        {"attachment": {"contentType": kind, "data": base64.b64encode(data).decode()}} for kind, data in attachments
    ]
    return make.make_resource(
        patient, Section.DOCUMENTS, "DocumentReference", body={"status": "current", "content": content}, **fields
    )


def test_a_picture_stands_in_the_page_and_its_address_runs_nothing(seat, patient):
    held = document(patient, ("image/png", PNG))
    page = seat.get(f"/patients/{patient.pk}/documents/{held.pk}/").content.decode()
    address = f"/patients/{patient.pk}/documents/{held.pk}/file/0/"
    assert f'src="{address}"' in page
    answer = seat.get(address)
    assert (answer.content, answer["Content-Type"]) == (PNG, "image/png")
    assert answer["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store"


def test_a_pdf_is_shown_in_a_sandbox_and_taking_it_is_written_down(seat, patient):
    held = document(patient, ("application/pdf", b"%PDF-1.7 ..."))
    address = f"/patients/{patient.pk}/documents/{held.pk}/"
    page = seat.get(address)
    assert f'src="{address}file/0/"' in page.content.decode()
    assert "frame-src 'self'" in page["Content-Security-Policy"]
    shown = seat.get(f"{address}file/0/")
    assert shown["Content-Disposition"].startswith("inline")
    assert shown["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert shown["X-Frame-Options"] == "SAMEORIGIN"
    assert events("record-taken") == []
    taken = seat.get(f"{address}file/0/?take=1")
    assert taken["Content-Disposition"].startswith("attachment")
    [event] = events("record-taken")
    assert event.object_id == str(held.pk)


def test_html_of_a_source_stands_in_a_frame_in_which_nothing_runs(seat, patient):
    held = document(
        patient, ("text/html", b"<h1>Letter</h1><p onclick='x()'>Dear <b>colleague</b><script>x()</script>")
    )
    page = seat.get(f"/patients/{patient.pk}/documents/{held.pk}/").content.decode()
    [(rights, framed)] = re.findall(r'<iframe[^>]* sandbox="([^"]*)"[^>]* srcdoc="([^"]*)"', page)
    assert rights == "allow-same-origin", "no script, no form, no window of its own"
    assert "<h4>Letter</h4><p>Dear <b>colleague</b></p>" in html.unescape(framed)
    assert "Dear" not in page.replace(framed, ""), "the text stands beside the frame as well"


def test_a_report_among_the_results_keeps_its_conclusion_and_its_file(seat, patient):
    report = {
        "status": "final",
        "code": coded("X-ray of wrist"),
        "conclusion": "No fracture.",
        "result": [{"reference": "Observation/x"}],
        "presentedForm": [{"contentType": "application/pdf", "data": base64.b64encode(b"%PDF-1.7").decode()}],
    }
    held = make.make_resource(patient, Section.RESULTS, "DiagnosticReport", body=report)
    quiet = make.make_resource(
        patient, Section.RESULTS, "DiagnosticReport", body={**report, "conclusion": "", "presentedForm": []}
    )
    listed = seat.get(f"/patients/{patient.pk}/results/").content.decode()
    address = f"/patients/{patient.pk}/results/{held.pk}/"
    assert "No fracture." in listed
    assert f'href="{address}"' in listed
    assert str(quiet.pk) not in listed, "its results say all of it"
    assert f'href="{address}"' in seat.get(f"/patients/{patient.pk}/timeline/").content.decode()
    page = seat.get(address)
    assert "Conclusion No fracture." in text_of(page)
    assert f'src="{address}file/0/"' in page.content.decode()
    assert seat.get(f"{address}file/0/").content == b"%PDF-1.7"
    assert seat.get(f"/patients/{patient.pk}/documents/{held.pk}/").status_code == 404
    assert {event.section for event in events("record-opened")} == {"results", "timeline"}


def test_a_report_of_another_section_or_patient_is_404(seat, patient, stranger):
    for held in (
        make.make_resource(stranger, Section.RESULTS, "DiagnosticReport"),
        make.make_resource(patient, Section.RESULTS, "DiagnosticReport", classes=["hiv"]),
        make.make_resource(patient, Section.DOCUMENTS, "DiagnosticReport"),
        make.make_resource(patient, Section.RESULTS, "Observation"),
    ):
        assert seat.get(f"/patients/{patient.pk}/results/{held.pk}/").status_code == 404
        assert seat.get(f"/patients/{patient.pk}/results/{held.pk}/file/0/").status_code == 404


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image/svg+xml", b"<svg onload='alert(1)'/>"),
        ("image/png", b"<script>alert(1)</script>"),
        ("application/pdf", b"<html>"),
        ("text/html", b"<b>x</b>"),
        ("application/octet-stream", b"MZ"),
    ],
)
def test_what_only_says_that_it_is_a_file_is_not_handed_on(seat, patient, kind, data):
    held = document(patient, (kind, data))
    assert seat.get(f"/patients/{patient.pk}/documents/{held.pk}/file/0/").status_code == 404
    page = seat.get(f"/patients/{patient.pk}/documents/{held.pk}/")
    assert page.status_code == 200
    assert "/file/" not in page.content.decode()


def test_a_file_of_a_document_that_is_withheld_or_elsewhere_is_404(seat, patient, stranger, outsider):
    hidden = document(patient, ("image/png", PNG), classes=["hiv"])
    foreign = document(stranger, ("image/png", PNG))
    shown = document(patient, ("image/png", PNG))
    for held in (hidden, foreign):
        assert seat.get(f"/patients/{patient.pk}/documents/{held.pk}/file/0/").status_code == 404
    address = f"/patients/{patient.pk}/documents/{shown.pk}/file"
    assert seat.get(f"{address}/1/").status_code == 404
    assert make.client_for(outsider).get(f"{address}/0/").status_code == 404


# ------------------------------------------------------------------------------------------- one patient at a time


def test_an_answer_names_its_patient_and_a_part_of_another_record_is_refused(seat, patient, source, caseload):
    other = make.make_patient(source, given="Bravo")
    make.make_membership(caseload, other)
    address = f"/patients/{patient.pk}/results/"
    part = seat.get(address, headers={"HX-Request": "true", "X-Patient": str(patient.pk)})
    assert part.headers["X-Patient"] == str(patient.pk)
    assert f'data-of="{patient.pk}"' in part.content.decode()
    assert "<!DOCTYPE" not in part.content.decode()
    refused = seat.get(address, headers={"HX-Request": "true", "X-Patient": str(other.pk)})
    assert (refused.status_code, refused.content) == (409, b"")
    assert len(events("record-opened")) == 1


# -------------------------------------------------------------------------------------------------------- reports


def test_a_report_goes_to_the_privacy_officers_and_is_closed_with_what_was_done(seat, guest, patient, organisation):
    asked = seat.post(f"/patients/{patient.pk}/report/?page=results", {"kind": "wrong-patient"})
    assert asked.status_code == 422
    assert "Say what is wrong, so that we can find it" in text_of(asked)
    sent = seat.post(f"/patients/{patient.pk}/report/?page=results", {"kind": "wrong-patient", "text": "Not hers <b>"})
    assert sent.status_code == 302
    report = RecordReport.objects.get()
    assert (report.patient_id, report.section, report.reported_by) == (patient.pk, "results", guest)
    [reported] = events("record-reported")
    assert (reported.object_id, reported.detail) == (str(report.pk), {"kind": "wrong-patient"})
    officer = make.client_for(privacy_officer())
    page = officer.get("/reports/")
    assert "Not hers <b>" in text_of(page)
    assert "Testpatient" not in page.content.decode()
    assert officer.post(f"/reports/{report.pk}/", {"outcome": ""}).status_code == 422
    assert officer.post(f"/reports/{report.pk}/", {"outcome": "Moved"}).status_code == 302
    report.refresh_from_db()
    assert (report.outcome, report.closed_at is not None) == ("Moved", True)
    assert len(events("report-closed")) == 1
    assert officer.get(f"/reports/{report.pk}/").status_code == 404


def privacy_officer():
    officer = make.make_user("Privacy", staff_roles=[StaffRole.PRIVACY], roles_checked_at=make.days(0))
    return make.signed_in(officer, None)


def test_a_guest_does_not_read_reports(seat, patient):
    assert seat.get("/reports/").status_code == 403
    assert seat.get(f"/reports/{uuid.uuid4()}/").status_code == 403


def test_when_a_report_cannot_be_written_down_there_is_none(seat, patient, monkeypatch):
    def fails(*_args, **_facts):
        raise RuntimeError("no audit")

    monkeypatch.setattr("records.access.write_down", fails)
    with pytest.raises(RuntimeError):
        seat.post(f"/patients/{patient.pk}/report/", {"kind": "other", "text": "x"})
    assert not RecordReport.objects.exists()


# ---------------------------------------------------------------------------------------------------------- queries


def test_these_pages_too_take_at_most_twelve_queries(seat, guest, patient, source, caseload):
    for n in range(55):
        make.make_membership(caseload, make.make_patient(source, given=f"P{n:02}"))
    looked_before(guest, patient)
    observation(patient, "Potassium", 5, code="2823-3")
    last = seat.get("/patients/").content.decode().partition("?after=")[2][:36]
    for path in ("", "print/", "report/", "vitals/", "care/"):
        with counted() as seen:
            assert seat.get(f"/patients/{patient.pk}/{path}").status_code == 200
        assert sum(seen.values()) <= 12, "\n".join(seen)
    for query in ("", "?show=new", "?show=recent", f"?caseload={caseload.pk}", f"?after={last}"):
        with counted() as seen:
            assert seat.get(f"/patients/{query}").status_code == 200
        assert sum(seen.values()) <= 12, query + "\n".join(seen)


def test_a_browser_without_a_session_is_sent_to_sign_in(patient):
    assert Client(headers={"host": "portal.localhost"}).get(f"/patients/{patient.pk}/print/").status_code == 302


def test_a_feed_that_is_later_than_it_should_be_says_so(seat, patient, source):
    fresh = text_of(seat.get(f"/patients/{patient.pk}/"))
    type(source).objects.using(WORKER).update(expected_within=timedelta(hours=1), imported_up_to=make.days(-1))
    late = text_of(seat.get(f"/patients/{patient.pk}/"))
    assert ("later than it should be" in fresh, "later than it should be" in late) == (False, True)


def test_what_is_new_goes_newest_first_and_a_pair_is_said_once(seat, guest, patient):
    looked_before(guest, patient)
    for days, systolic in ((1, 182), (90, 150)):  # the newest comes first, the oldest arrives last
        parts = [
            {"code": coded("Systolic blood pressure", "8480-6"), "valueQuantity": {"value": systolic, "unit": "mmHg"}},
            {"code": coded("Diastolic blood pressure", "8462-4"), "valueQuantity": {"value": 90, "unit": "mmHg"}},
        ]
        observation(patient, "Blood pressure", None, days=days, code="85354-9", component=parts)
    seen = text_of(seat.get(f"/patients/{patient.pk}/"))
    panel = seen[: seen.index("Problems Not recorded")] if "Problems Not recorded" in seen else seen
    assert panel.index("182/90") < panel.index("150/90")
    assert "Systolic" not in panel


def test_each_printed_sheet_says_whose_it_is(seat, patient):
    page = seat.get(f"/patients/{patient.pk}/print/").content.decode()
    [printed] = events("record-printed")
    [head] = re.findall(r'<table class="cp-sheets".*?<thead[^>]*>(.*?)</thead>', page, flags=re.S)
    assert "TESTPATIENT, Alpha" in head
    assert f"Stamp {str(printed.id)[:8]}" in head


def test_a_number_is_copied_as_people_type_it_and_stays_on_one_line(seat, source, caseload):
    held = make.make_patient(source, mrn="9434765919")
    make.make_membership(caseload, held)
    for address in (f"/patients/{held.pk}/", "/patients/"):
        assert '<span class="cp-nowrap">943 476 5919</span>' in seat.get(address).content.decode()


def test_what_stays_in_view_on_a_phone_is_who_and_nothing_clinical(seat, patient):
    """The part of the banner that is sticky there: name, birth date, gender and number. The rest scrolls away."""
    make.make_resource(patient, Section.ALLERGIES, "AllergyIntolerance", body={"code": coded("Latex")})
    page = seat.get(f"/patients/{patient.pk}/results/").content.decode()
    stays, rest = re.findall(
        r'<div class="cp-banner__(?:stick|rest)">(.*?)(?=<div class="cp-banner__rest|</section>)', page, re.S
    )
    assert "TESTPATIENT, Alpha" in stays
    assert "Born" in stays
    assert "Latex" not in stays
    assert "Latex" in rest


@pytest.mark.parametrize("born", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_birth_at_either_end_of_the_calendar_breaks_no_page(seat, patient, born):
    name = [{"family": "Edge"}]
    make.make_resource(patient, Section.DEMOGRAPHICS, "Patient", body={"birthDate": born, "name": name})
    seen = text_of(seat.get(f"/patients/{patient.pk}/"))
    assert f"Born {'01-Jan-0001' if born < '1' else '31-Dec-9999'}" in seen


# ------------------------------------------------------------------------------------------------ who opened it


def test_the_history_names_the_people_of_the_readers_organisation_and_nobody_else(seat, guest, patient, agreement):
    colleague = make.signed_in(make.make_user("Colleague"), guest_organisation := agreement.organisation)
    make.make_grant(colleague, guest_organisation.caseloads.get())
    other = make.make_organisation("Clinic for addiction")
    make.make_agreement(other, patient.source.facility)
    stranger = make.signed_in(make.make_user("Stranger"), other)
    make.make_grant(stranger, make.make_caseload(other, patient.source.facility, patient, name="Elsewhere"))
    make.client_for(colleague).get(f"/patients/{patient.pk}/results/")
    make.client_for(colleague).get(f"/patients/{patient.pk}/problems/")
    make.client_for(stranger).get(f"/patients/{patient.pk}/")
    seen = text_of(seat.get(f"/patients/{patient.pk}/access/"))
    assert re.search(r"Colleague Results, Problems Registration", seen), seen
    assert "Stranger" not in seen
    assert "addiction" not in seen
    assert "Partner B" in seen
    read = events("audit-read")[-1]
    assert (read.user_id, read.detail) == (guest.pk, {"shown": 2, "section": "access"})
    elsewhere = text_of(make.client_for(stranger).get(f"/patients/{patient.pk}/access/"))
    assert "Colleague" not in elsewhere


def test_the_history_of_another_patient_is_not_told(seat, guest, patient, stranger, outsider):
    make.make_membership(guest.grants.get().caseload, stranger)
    seat.get(f"/patients/{stranger.pk}/results/")
    assert "Results" not in text_of(seat.get(f"/patients/{patient.pk}/access/")).partition("Who opened")[2]
    assert make.client_for(outsider).get(f"/patients/{patient.pk}/access/").status_code == 404
    assert not [one for one in events("audit-read") if one.user_id == outsider.pk]


def test_a_long_history_goes_on_where_the_page_ended(seat, patient, monkeypatch):
    monkeypatch.setattr(access_pages, "OPENINGS", 2)
    for section in ("results", "problems", "timeline"):
        seat.get(f"/patients/{patient.pk}/{section}/")
    page = seat.get(f"/patients/{patient.pk}/access/")
    assert "Problems, Timeline" in text_of(page)
    assert "Results" not in text_of(page).partition("Who opened")[2]
    earlier = re.search(r'href="(\?before=[^"]+)"', page.content.decode())[1].replace("&amp;", "&")
    assert "Results" in text_of(seat.get(f"/patients/{patient.pk}/access/{earlier}")).partition("Who opened")[2]
    assert seat.get(f"/patients/{patient.pk}/access/?before=yesterday").status_code == 200
