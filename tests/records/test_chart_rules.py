"""Rules that only a whole page can show (docs/chart-rules.md)."""

from __future__ import annotations

import re

from records.models import Patient
from tests import factories as make
from tests.records.test_chart import PATHS, WORKER, everything, observation, seat, text_of

__all__ = ["everything", "seat"]


def test_the_banner_goes_name_born_gender_number(seat, patient):
    Patient.objects.using(WORKER).filter(pk=patient.pk).update(
        title="Ms", birth_date="1945-07-14", gender="female", mrn="0000000001"
    )
    seen = text_of(seat.get(f"/patients/{patient.pk}/"))
    found = re.search(
        r"TESTPATIENT, Alpha \(Ms\) Born 14-Jul-1945 \(\d+y\) Gender Female MRN, Main site 000 000 0001", seen
    )
    assert found, seen[:400]


def test_a_page_of_several_patients_has_no_banner(seat, patient):
    assert "cp-banner" not in seat.get("/patients/").content.decode()


def test_no_page_of_a_record_shows_a_photograph(seat, patient):
    photo = {"photo": [{"contentType": "image/png", "data": "iVBORw0KGgo="}]}
    make.make_resource(patient, "demographics", "Patient", body=photo)
    for path in PATHS:
        assert "<img" not in seat.get(f"/patients/{patient.pk}/{path}").content.decode()


def test_a_date_is_said_in_full_to_a_screen_reader(seat, patient):
    Patient.objects.using(WORKER).filter(pk=patient.pk).update(birth_date="1945-07-14")
    body = seat.get(f"/patients/{patient.pk}/").content.decode()
    assert re.search(
        r'<span aria-hidden="true">14-Jul-1945</span><span class="nhsuk-u-visually-hidden">14 July 1945</span>', body
    )


def test_the_flowsheet_says_that_times_are_24_hour(seat, patient):
    observation(patient, "Potassium", 5, code="2823-3")
    assert "Taken 24-hour time" in text_of(seat.get(f"/patients/{patient.pk}/results/"))


def test_a_critical_value_is_said_by_word_shape_and_weight(seat, patient):
    critical = {"interpretation": [{"coding": [{"code": "HH"}]}]}
    observation(patient, "Potassium", 7.1, code="2823-3", **critical)
    body = seat.get(f"/patients/{patient.pk}/results/").content.decode()
    assert re.search(r"<strong>.*?7\.1.*?</strong>", body, re.S)
    assert re.search(r'cp-flag--critical"><svg.*?</svg><span>Critically high</span>', body, re.S)


def test_each_patient_of_the_list_is_one_row_with_name_and_number(seat, source, caseload, patient):
    make.make_membership(caseload, make.make_patient(source, given="Bravo", mrn="0000000002"))
    body = seat.get("/patients/").content.decode()
    rows = re.findall(r'<tr role="row".*?</tr>', body.partition("<tbody")[2], re.S)
    assert ["Alpha" in rows[0], "Bravo" in rows[1], "000 000 0002" in rows[1].replace("\u00a0", " ")] == [True] * 3
    assert len(rows) == 2
