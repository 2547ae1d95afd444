"""The pages of the record, as a guest's browser gets them: what they show, what they hide, what they cost."""

from __future__ import annotations

import base64
import html
import re
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from clinicportal.models import AuditEvent, AuditSubject
from records.models import Patient, Resource, Section
from tests import factories as make
from tests.records.people import make_person
from tests.records.test_wall import row_security

WORKER = "worker"
PATHS = (
    "", "timeline/", "results/", "vitals/", "care/", "medicines/", "problems/", "allergies/", "immunisations/",
    "procedures/", "encounters/", "documents/", "access/", "results/tests/", "vitals/tests/",
)  # fmt: skip


@pytest.fixture
def everything(grant):
    """The guest's grant with all sections."""
    type(grant).objects.using(WORKER).filter(pk=grant.pk).update(sections=Section.values)
    return grant


@pytest.fixture
def seat(guest, everything) -> Client:
    return make.client_for(guest)


def text_of(response) -> str:
    """What a reader sees, with single spaces."""
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", response.content.decode(), flags=re.S)
    # What only a screen reader says would double each date.
    body = re.sub(r'<span class="nhsuk-u-visually-hidden">.*?</span>', "", body, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ").split())


def coded(text: str, code: str = "", system: str = "http://loinc.org") -> dict:
    return {"text": text, **({"coding": [{"system": system, "code": code}]} if code else {})}


def observation(patient: Patient, name: str, value: object, *, days: float = 5, code: str = "", **body) -> Resource:
    time = timezone.now() - timedelta(days=days)
    return make.make_resource(
        patient,
        Section.RESULTS,
        "Observation",
        time=time,
        code=f"http://loinc.org|{code}",
        label=name,
        status=body.get("status", "final"),
        body={
            "status": "final",
            "code": coded(name, code),
            "effectiveDateTime": time.isoformat(),
            **({"valueQuantity": {"value": value, "unit": "mmol/L"}} if value is not None else {}),
            **body,
        },
    )


@contextmanager
def counted():
    """How many statements reach the database, session and audit included."""
    seen: Counter[str] = Counter()

    def count(execute, sql, params, many, context):
        seen[sql] += 1
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        yield seen


# --------------------------------------------------------------------------------------------- who sees what


def test_an_outsider_gets_404_for_every_page(outsider, patient, grant):
    seat = make.client_for(outsider)
    assert {seat.get(f"/patients/{patient.pk}/{path}").status_code for path in PATHS} == {404}


def without_chance(response) -> str:
    """A page without what differs each time: ids, tokens, seconds left."""
    tokens = r'(csrf-token" content|csrfmiddlewaretoken" value|session-expires-in" content)="[^"]*"'
    return re.sub(
        rf"[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}|reference: [0-9a-f]{{8}}|{tokens}",
        "",
        response.content.decode(),
    )


def test_a_patient_of_nobodys_and_no_patient_get_the_same_answer(seat, stranger):
    for path in PATHS:
        hidden = seat.get(f"/patients/{stranger.pk}/{path}")
        absent = seat.get(f"/patients/00000000-0000-4000-8000-000000000000/{path}")
        assert hidden.status_code == absent.status_code == 404
        assert without_chance(hidden) == without_chance(absent)


def test_a_record_that_was_replaced_says_so_on_every_page_and_stands_in_no_list(seat, source, patient):
    replaced = "This record is no longer kept."
    assert replaced not in text_of(seat.get(f"/patients/{patient.pk}/"))
    other = make.make_patient(source, family="Elsewhere")
    Patient.objects.using(WORKER).filter(pk=patient.pk).update(replaced_by=other)
    for path in (*PATHS, "print/"):
        seen = text_of(seat.get(f"/patients/{patient.pk}/{path}"))
        assert replaced in seen
        assert "ELSEWHERE" not in seen
    assert str(patient.pk) not in seat.get("/patients/").content.decode()


def test_every_page_names_the_patient_and_says_that_it_may_be_incomplete(seat, patient):
    for path in PATHS:
        response = seat.get(f"/patients/{patient.pk}/{path}")
        assert response.status_code == 200
        seen = text_of(response)
        assert "TESTPATIENT, Alpha" in seen
        assert "This view may be incomplete. Check with the patient or the source before you prescribe." in seen
        assert "There is a problem" not in seen  # with a form: no page of a record has one
        assert "<title>Error" not in response.content.decode()


def test_opening_a_page_is_written_down_with_its_section_and_basis(seat, patient, guest):
    for path in PATHS:
        seat.get(f"/patients/{patient.pk}/{path}")
    events = AuditEvent.objects.using("auditor").filter(type="record-opened")
    assert [event.section for event in events.order_by("recorded")] == [
        path.partition("/")[0] or "summary" for path in PATHS
    ]
    assert {(event.user_id, event.basis) for event in events} == {(guest.pk, "Registration")}
    subjects = AuditSubject.objects.using("auditor").filter(event_id__in=[event.id for event in events])
    assert {subject.patient_id for subject in subjects} == {patient.pk}


def test_what_the_access_leaves_out_is_said_and_not_in_the_menu(guest, grant, patient):
    make.make_resource(patient, Section.MEDICINES, "MedicationRequest", body={"status": "active"})
    seat = make.client_for(guest)  # demographics, problems, results
    seen = text_of(seat.get(f"/patients/{patient.pk}/"))
    assert (
        "Your access does not include medicines, allergies, vitals, immunisations, procedures, encounters, documents"
        " and care plans." in seen
    )
    assert "Allergies unavailable" in seen
    assert "Current medicines" not in seen
    response = seat.get(f"/patients/{patient.pk}/medicines/")
    assert "Not in your access." in text_of(response)
    assert f"/patients/{patient.pk}/medicines/" not in response.content.decode().replace("/accounts", "")


def test_what_is_withheld_within_the_access_leaves_no_trace(seat, patient, agreement):
    """The page with a hidden entry is, byte for byte, the page without it."""

    def page(path):
        found = without_chance(seat.get(f"/patients/{patient.pk}/{path}"))
        return found.partition('aria-labelledby="opened"')[0]  # who opened what, this reader a moment ago among them

    before = {path: page(path) for path in PATHS}
    make.make_resource(patient, Section.PROBLEMS, body={"code": coded("Secret")}, classes=["hiv"])
    make.make_resource(patient, Section.DOCUMENTS, "DocumentReference", body={"description": "Secret"}, classes=["hiv"])
    observation(patient, "Secret", 5)
    Resource.objects.using(WORKER).filter(type="Observation").update(classes=["hiv"])
    assert {path: page(path) for path in PATHS} == before


def test_a_page_takes_at_most_twelve_queries_however_long_the_record(seat, patient):
    for n in range(60):
        observation(patient, "Potassium", n, days=n, code="2823-3")
        make.make_resource(patient, Section.PROBLEMS, body={"code": coded(f"Problem {n}")})
    newest = Resource.objects.using(WORKER).filter(type="Observation").latest("time")
    for path in (*PATHS, f"results/?trend={newest.pk}&before={newest.pk}"):
        with counted() as seen:
            assert seat.get(f"/patients/{patient.pk}/{path}").status_code == 200
        assert sum(seen.values()) <= 12, "\n".join(seen)


def test_the_list_takes_at_most_twelve_queries(seat, source, caseload):
    for n in range(60):
        make.make_membership(caseload, make.make_patient(source, given=f"P{n:02}"))
    with counted() as seen:
        assert seat.get("/patients/").status_code == 200
    assert sum(seen.values()) <= 12, "\n".join(seen)


def test_a_cut_or_foreign_address_is_answered(seat, patient):
    nobody = "00000000-0000-4000-8000-000000000000"
    for path in PATHS:
        for query in ("before=junk", "trend=junk&over=junk", f"before={nobody}&trend={nobody}", "group=x&from=x"):
            assert seat.get(f"/patients/{patient.pk}/{path}?{query}").status_code == 200


# -------------------------------------------------------------------------------------------------- hostility


HOSTILE = """"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}\u202e"""


def test_hostile_texts_are_shown_and_not_run(seat, patient):
    name = {"code": coded(HOSTILE), "note": [{"text": HOSTILE}], "resourceType": "x"}
    everywhere = {
        **name, "status": HOSTILE, "description": HOSTILE, "vaccineCode": coded(HOSTILE), "type": [coded(HOSTILE)],
        "medicationCodeableConcept": coded(HOSTILE), "dosageInstruction": [{"text": HOSTILE}],
        "valueString": HOSTILE, "clinicalStatus": HOSTILE, "onsetString": HOSTILE, "title": HOSTILE,
        "content": [{"attachment": {"contentType": "text/html", "data": HOSTILE}}],
    }  # fmt: skip
    for section, kind in [
        (Section.DEMOGRAPHICS, "Patient"), (Section.PROBLEMS, "Condition"), (Section.RESULTS, "Observation"),
        (Section.RESULTS, "DiagnosticReport"), (Section.MEDICINES, "MedicationRequest"),
        (Section.ALLERGIES, "AllergyIntolerance"), (Section.IMMUNISATIONS, "Immunization"),
        (Section.PROCEDURES, "Procedure"), (Section.ENCOUNTERS, "Encounter"), (Section.DOCUMENTS, "DocumentReference"),
    ]:  # fmt: skip
        make.make_resource(
            patient,
            section,
            kind,
            label=HOSTILE,
            body={**everywhere, "resourceType": kind, "name": [{"family": HOSTILE}]},
        )
    for path in PATHS:
        response = seat.get(f"/patients/{patient.pk}/{path}")
        assert response.status_code == 200
        body = response.content.decode()
        assert "<script>alert" not in body
        assert "<img src=x" not in body
        assert "\u202e" not in body
        assert ">49<" not in re.sub(r"\s", "", body), "a value was read as a template"


def test_a_resource_that_is_no_json_breaks_no_page(seat, patient):
    for section in Section.values:
        resource = make.make_resource(patient, section, "Condition")
        Resource.objects.using(WORKER).filter(pk=resource.pk).update(raw="{not json")
    assert {seat.get(f"/patients/{patient.pk}/{path}").status_code for path in PATHS} == {200}


# ------------------------------------------------------------------------------------------------------ pages


def test_the_results_page_shows_a_flowsheet_and_the_trend_that_was_asked_for(seat, patient):
    limits = [{"low": {"value": 3.5}, "high": {"value": 5.3}}]
    newest = observation(patient, "Potassium", 5.9, days=1, code="2823-3", referenceRange=limits)
    observation(patient, "Potassium", 4.8, days=20, code="2823-3", referenceRange=limits)
    observation(patient, "Sodium", 138, days=1, code="2951-2")
    observation(patient, "Urine culture", None, valueString="No growth")
    seen = text_of(seat.get(f"/patients/{patient.pk}/results/"))
    assert "Kidney function" in seen
    assert "High, computed" in seen
    assert "Urine culture No growth" in seen
    assert "Opening a result here does not acknowledge it." in seen
    drawn = seat.get(f"/patients/{patient.pk}/results/?trend={newest.pk}")
    assert "Potassium: trend" in text_of(drawn)
    assert drawn.content.decode().count("<polyline") == 2


def test_a_corrected_result_keeps_the_earlier_value_struck_through(seat, patient):
    now = observation(patient, "Haemoglobin", 120, code="718-7", status="corrected")
    Resource.objects.using(WORKER).filter(pk=now.pk).update(number=2)
    make.make_version(now, raw=now.raw.replace("120", "102"))
    body = seat.get(f"/patients/{patient.pk}/results/").content.decode()
    assert "<del>102</del>" in body
    assert "Corrected" in body


def test_a_report_names_the_group_of_the_results_it_lists(seat, patient):
    one = observation(patient, "Rare test", 3, code="xyz")
    report = {"status": "final", "code": coded("Rare panel"), "result": [{"reference": f"Observation/{one.fhir_id}"}]}
    make.make_resource(patient, Section.RESULTS, "DiagnosticReport", body=report)
    assert "Rare panel" in text_of(seat.get(f"/patients/{patient.pk}/results/"))


def test_results_go_on_where_the_page_ended(seat, patient, monkeypatch):
    monkeypatch.setattr("records.chart.rows.MOST_RESULTS", 3)
    for n in range(7):
        observation(patient, "Potassium", 100 + n, days=n, code="2823-3")
    address, pages_seen = f"/patients/{patient.pk}/results/", []
    while address:
        body = seat.get(address).content.decode()
        pages_seen.append(sorted(set(re.findall(r"<bdi>(10\d)</bdi>", body))))
        found = re.search(r'href="([^"]*\?before=[^"]*)" rel="next"', body)
        address = found and found[1]
    assert pages_seen == [["100", "101", "102"], ["103", "104", "105"], ["106"]]


def test_lists_go_on_where_the_page_ended_and_undated_entries_come_last(seat, patient, monkeypatch):
    monkeypatch.setattr("records.chart.rows.PAGE", 2)
    for n in range(3):
        make.make_resource(
            patient, Section.PROCEDURES, "Procedure", time=make.days(-n), body={"code": coded(f"dated {n}")}
        )
    for _ in range(2):
        make.make_resource(patient, Section.PROCEDURES, "Procedure", time=None, body={"code": coded("undated")})
    for path in ("procedures", "timeline"):
        address, found = f"/patients/{patient.pk}/{path}/", []
        while address:
            body = seat.get(address).content.decode()
            found += re.findall(r"<bdi>(dated \d|undated)</bdi>", body)
            following = re.search(r'href="([^"]*\?before=[^"]*)" rel="next"', body)
            address = following and following[1]
        assert sorted(found) == ["dated 0", "dated 1", "dated 2", "undated", "undated"], path


def test_current_and_past_medicines_are_separate_views(seat, patient):
    for name, status in (("furosemide", "active"), ("spironolactone", "stopped")):
        make.make_resource(
            patient,
            Section.MEDICINES,
            "MedicationRequest",
            last_updated=make.days(-3),
            body={"status": status, "medicationCodeableConcept": coded(name)},
        )
    current = text_of(seat.get(f"/patients/{patient.pk}/medicines/"))
    assert "Stopped spironolactone on" in current
    assert "furosemide — Dose not recorded" in current
    past = text_of(seat.get(f"/patients/{patient.pk}/medicines/?past=1"))
    assert "spironolactone — Dose not recorded" in past
    assert "furosemide" not in past


def test_a_document_is_read_on_a_page_of_its_own(seat, patient):
    data = base64.b64encode(b"Dear colleague,\n  thank you <b>").decode()
    letter = make.make_resource(
        patient,
        Section.DOCUMENTS,
        "DocumentReference",
        body={
            "status": "superseded",
            "description": "Letter",
            "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
        },
    )
    assert "Letter Superseded" in text_of(seat.get(f"/patients/{patient.pk}/documents/"))
    response = seat.get(f"/patients/{patient.pk}/documents/{letter.pk}/")
    assert "Dear colleague,\n  thank you &lt;b&gt;" in response.content.decode()
    assert "Superseded. The source has a newer document" in text_of(response)


def test_a_document_of_another_patient_or_section_is_404(seat, patient, stranger, caseload, source):
    other = make.make_patient(source, family="Other")
    make.make_membership(caseload, other)
    for wrong in (
        make.make_resource(stranger, Section.DOCUMENTS, "DocumentReference"),
        make.make_resource(other, Section.DOCUMENTS, "DocumentReference"),
        make.make_resource(patient, Section.PROBLEMS, "Condition"),
    ):
        assert seat.get(f"/patients/{patient.pk}/documents/{wrong.pk}/").status_code == 404
    refused = AuditEvent.objects.using("auditor").filter(type="record-refused", section="documents")
    assert refused.count() == 3
    # Nothing was shown, so nothing is written down as opened.
    assert not AuditEvent.objects.using("auditor").filter(type="record-opened").exists()


def test_the_banner_names_allergies_of_the_record(seat, patient):
    make.make_resource(
        patient,
        Section.ALLERGIES,
        "AllergyIntolerance",
        body={"code": coded("Latex"), "clinicalStatus": {"coding": [{"code": "active"}]}, "recordedDate": "2026-05-29"},
    )
    assert "Known allergies: Latex updated 29-May-2026" in text_of(seat.get(f"/patients/{patient.pk}/problems/"))


def test_the_timeline_counts_single_results_by_day(seat, patient):
    make.make_resource(
        patient, Section.PROCEDURES, "Procedure", body={"code": coded("Appendectomy"), "performedDateTime": "2026"}
    )
    observation(patient, "Potassium", 5)
    observation(patient, "Sodium", 138)
    seen = text_of(seat.get(f"/patients/{patient.pk}/timeline/"))
    assert "2 results" in seen
    assert "Appendectomy" in seen


def test_the_access_page_says_why_by_whose_leave_and_until_when(seat, patient):
    seen = text_of(seat.get(f"/patients/{patient.pk}/access/"))
    assert "Registration, to" in seen
    assert "Approved by an approver" in seen
    assert "Shared care, Main site" in seen


# ------------------------------------------------------------------------------------------------ my patients


def test_my_patients_lists_the_caseload_and_nobody_else(seat, patient, stranger, guest):
    response = seat.get("/patients/")
    seen = text_of(response)
    assert "TESTPATIENT, Alpha" in seen
    assert "ELSEWHERE" not in seen
    assert "1 patient whose records you can open for Partner B: Shared care, Main site." in seen
    assert "Registration, to" in seen
    event = AuditEvent.objects.using("auditor").get(type="patients-listed")
    assert list(
        AuditSubject.objects.using("auditor").filter(event_id=event.id).values_list("patient_id", flat=True)
    ) == [patient.pk]


def test_the_list_goes_on_where_the_page_ended(seat, source, caseload, patient, monkeypatch):
    monkeypatch.setattr("records.chart.patients.PAGE", 2)
    names = ["Alpha", *(f"B{n}" for n in range(4))]
    for name in names[1:]:
        make.make_membership(caseload, make.make_patient(source, given=name))
    address, found = "/patients/", []
    while address:
        body = seat.get(address).content.decode()
        found += re.findall(r"<bdi>TESTPATIENT, (\w+)</bdi>", body)
        following = re.search(r'href="([^"]*\?after=[^"]*)" rel="next"', body)
        address = following and following[1]
    assert found == names


SIMILAR = "Similar name among your patients"


def test_similar_names_are_pointed_out_wherever_in_the_list_they_stand(seat, source, caseload, monkeypatch):
    """Not only those of one page: the other one may be on the next, or outside of what was searched for."""
    twins = [make.make_patient(source, family="Müller", given="Bravo", sort_name="a", mrn="4711")]
    twins.append(make.make_patient(source, family="MULER", given="bravo Ann", sort_name="z"))
    others = [make.make_patient(source, family="Muller", given=given) for given in ("Charlie", "Delta")]
    for patient in (*twins, *others):
        make.make_membership(caseload, patient)
    assert text_of(seat.get("/patients/")).count(SIMILAR) == 2
    monkeypatch.setattr("records.chart.patients.PAGE", 1)
    assert SIMILAR in text_of(seat.get("/patients/"))
    monkeypatch.setattr("records.chart.patients.PAGE", 50)
    Patient.objects.using(WORKER).filter(pk=twins[0].pk).update(found_by=" 4711")
    found = text_of(seat.post("/patients/", {"find": "4711"}))
    assert "1 patient found" in found
    assert SIMILAR in found
    for patient, warned in ((twins[0], True), (twins[1], True), (others[0], False)):
        assert (SIMILAR in text_of(seat.get(f"/patients/{patient.pk}/results/"))) is warned


def test_nobody_whom_the_reader_may_not_see_is_hinted_at_by_a_similar_name(seat, source, caseload, patient):
    twin = make.make_patient(source, family=patient.family, given=patient.given)
    for name in ("", ""):
        make.make_membership(caseload, make.make_patient(source, family=name, given=name))
    hidden = make.make_membership(caseload, twin, ends_at=make.days(-1))
    pages = ("/patients/", f"/patients/{patient.pk}/")
    assert not any(SIMILAR in text_of(seat.get(page)) for page in pages)
    type(hidden).objects.using(WORKER).filter(pk=hidden.pk).update(ends_at=None)
    assert all(SIMILAR in text_of(seat.get(page)) for page in pages)
    Patient.objects.using(WORKER).filter(pk=twin.pk).update(classes=["hiv"])
    assert not any(SIMILAR in text_of(seat.get(page)) for page in pages)


def test_the_dead_are_hatched_in_the_list_and_the_banner(seat, patient):
    Patient.objects.using(WORKER).filter(pk=patient.pk).update(deceased=True)
    assert "cp-hatched" in seat.get("/patients/").content.decode()
    response = seat.get(f"/patients/{patient.pk}/")
    assert "cp-banner--deceased" in response.content.decode()
    assert "Died Date not known Age at death Not known" in text_of(response)


def test_without_a_grant_the_list_is_empty_and_says_so(outsider, patient):
    seen = text_of(make.client_for(outsider).get("/patients/"))
    assert "Nobody is in your caseloads right now." in seen
    assert "TESTPATIENT" not in seen


def test_a_patient_of_the_list_is_found_by_name_birth_date_or_number(seat, source, caseload):
    bravo = make_person(source, "O'Neill", "Bravo", born="1958-02-02", mrn="0000000002", national="9000000122")
    charlie = make_person(source, "O'Neill", "Charlie Neil", born="1990-12-30", mrn="0000000004")
    for patient in (bravo, charlie):
        make.make_membership(caseload, patient)
    make_person(source, "O'Neill", "Hidden", born="1958-02-02", mrn="0000000009")
    expected = {
        "oneill": ["Bravo", "Charlie Neil"], "O’Ne bra": ["Bravo"], "neil": ["Charlie Neil"], "eill": [],
        "02-Feb-1958": ["Bravo"], "1958": ["Bravo"], "000 000 0004": ["Charlie Neil"], "900 000 0122": ["Bravo"],
        "Hidden": [], "Nobody": [], "%": [], "https": [], "nhs": [],
    }  # fmt: skip
    found = {}
    for typed in expected:
        response = seat.post("/patients/", {"find": typed})
        assert response.status_code == 200
        found[typed] = re.findall(r"<bdi>O&#39;NEILL, ([\w ]+)</bdi>", response.content.decode())
    assert found == expected
    events = AuditEvent.objects.using("auditor").filter(type="patients-listed")
    assert {str(event.detail) for event in events} == {"{'searched': True}"}


def test_nothing_found_says_what_to_do_and_keeps_what_was_typed(seat, patient):
    response = seat.post("/patients/", {"find": "Nobody<b>"})
    assert "No patient found. Check the spelling" in text_of(response)
    assert 'value="Nobody&lt;b&gt;"' in response.content.decode()


def test_an_empty_search_shows_the_list(seat, patient):
    assert "TESTPATIENT, Alpha" in text_of(seat.post("/patients/", {"find": "  "}))


def test_with_the_wall_down_the_querysets_still_hide_what_is_withheld(seat, outsider, patient, stranger):
    """Each page stands on `visible_to` by itself; the wall is for the day when one forgets it."""
    make.make_resource(patient, Section.PROBLEMS, body={"code": coded("Secret")}, classes=["hiv"])
    hidden = observation(patient, "Secret", 5, code="secret")
    Resource.objects.using(WORKER).filter(pk=hidden.pk).update(classes=["hiv"])
    for section, kind in ((Section.DOCUMENTS, "DocumentReference"), (Section.PROCEDURES, "Procedure")):
        make.make_resource(patient, section, kind, label="Secret", body={"description": "Secret"}, classes=["hiv"])
    row_security("DISABLE")
    try:
        of_hidden = (f"results/?{name}={hidden.pk}" for name in ("trend", "test", "group"))
        for path in (*PATHS, *of_hidden, "results/?flagged=1"):
            assert "Secret" not in text_of(seat.get(f"/patients/{patient.pk}/{path}"))
        assert "ELSEWHERE" not in text_of(seat.get("/patients/"))
        assert "ELSEWHERE" not in text_of(seat.post("/patients/", {"find": "Elsewhere"}))
        assert seat.get(f"/patients/{stranger.pk}/").status_code == 404
        assert make.client_for(outsider).get(f"/patients/{patient.pk}/").status_code == 404
    finally:
        row_security("ENABLE")
