"""Filters of the results look through the whole record, say how much they show, and keep what was tested out of
addresses; every test is listed; several are drawn on one time axis."""

from __future__ import annotations

import gzip
import html
import re
import uuid

import pytest
from django.utils import timezone

from records.display import fhir, results
from records.importing.outside import may_be_flagged
from records.models import Resource, ResourceVersion, Section
from tests import factories as make
from tests.records.feeds import observation as sent
from tests.records.test_chart import coded, counted, everything, observation, seat, text_of
from tests.records.test_record_pages import events

__all__ = ["everything", "seat"]
WORKER = "worker"
LIMITS = [{"low": {"value": 3.5}, "high": {"value": 5.3}}]


@pytest.fixture(autouse=True)
def short_pages(monkeypatch):
    """A page reads five results, so that a record of a dozen is a long one."""
    monkeypatch.setattr("records.chart.rows.MOST_RESULTS", 5)


@pytest.fixture
def long_record(patient) -> dict[str, Resource]:
    """Six sodium results of this week in front of what a reader looks for."""
    for day in range(6):
        observation(patient, "Sodium", 138, days=day, code="2951-2")
    held = {
        "old": observation(patient, "Potassium", 6.1, days=300, code="2823-3", referenceRange=LIMITS),
        "older": observation(patient, "Potassium", 4.0, days=900, code="2823-3", referenceRange=LIMITS),
        "calcium": observation(patient, "Calcium", 2.2, days=950, code="17861-6"),
    }
    without = Resource.objects.using(WORKER).exclude(pk__in=[held["old"].pk, held["older"].pk])
    without.update(may_be_flagged=False)
    return held


def at(seat, patient, query: str = "", page: str = "results"):
    return seat.get(f"/patients/{patient.pk}/{page}/{query}")


def test_a_test_is_found_however_far_back_it_lies(seat, patient, long_record):
    assert "Potassium" not in text_of(at(seat, patient))
    seen = text_of(at(seat, patient, f"?test={long_record['older'].pk}"))
    assert "6.1" in seen
    assert "4.0" in seen
    assert "138" not in seen
    assert "All that fits, of the whole record: 2 values." in seen


def test_a_group_is_found_however_far_back_its_tests_lie(seat, patient, long_record):
    seen = text_of(at(seat, patient, f"?group={long_record['old'].pk}&from=5y"))
    assert "Showing" in seen or "All that fits" in seen
    assert "138" in seen  # sodium is of the same group
    body = at(seat, patient, f"?group={long_record['old'].pk}").content.decode()
    address = html.unescape(re.search(r'href="[^"]*(\?[^"]*before=[^"]*)" rel="next"', body)[1])
    assert f"group={long_record['old'].pk}" in address
    rest = text_of(at(seat, patient, address))
    assert "6.1" in rest
    assert "4.0" in rest
    assert "Calcium" not in rest.partition("Kidney function")[2].partition("Other results")[0].partition("Taken")[2]


def test_the_group_of_a_report_holds_what_its_reports_list(seat, patient, long_record):
    report = make.make_resource(
        patient,
        Section.RESULTS,
        "DiagnosticReport",
        code="http://loinc.org|panel",
        time=make.days(-950),
        holds=[long_record["calcium"].pk],
        body={"code": coded("Bone panel", "panel"), "status": "final"},
    )
    observation(patient, "Calcium", 2.4, days=1200, code="17861-6")
    seen = text_of(at(seat, patient, f"?group={report.pk}"))
    assert "Bone panel" in seen
    assert "2.2" in seen
    assert "2.4" in seen
    assert "138" not in seen


def test_what_is_flagged_is_found_however_far_back_it_lies(seat, patient, long_record):
    seen = text_of(at(seat, patient, "?flagged=1"))
    assert "1 flagged result in the whole record" in seen
    assert "6.1" in seen
    assert "4.0" not in seen
    seen = text_of(at(seat, patient, "?flagged=1&from=6m"))
    assert "Nothing fits this filter." in seen
    assert "The whole record was looked through." in seen


def test_a_filter_that_is_longer_than_a_page_says_so_and_goes_on(seat, patient):
    for day in range(8):
        observation(patient, "Potassium", 6 + day / 10, days=day, code="2823-3", referenceRange=LIMITS)
    first = at(seat, patient, "?flagged=1")
    assert "5 flagged results, the newest first; there are earlier ones." in text_of(first)
    address = html.unescape(re.search(r'href="[^"]*(\?[^"]*before=[^"]*)" rel="next"', first.content.decode())[1])
    assert "flagged=1" in address
    assert "3 flagged results, the last of them." in text_of(at(seat, patient, address))


def test_without_a_filter_the_page_says_that_the_record_has_more(seat, patient, long_record):
    assert "Showing 5 of the 5 values read; the record has more." in text_of(at(seat, patient))


def test_all_dates_of_a_group_are_a_link_away(seat, patient, monkeypatch):
    monkeypatch.setattr("records.chart.rows.MOST_RESULTS", 40)
    for day in range(14):
        observation(patient, "Sodium", 120 + day, days=day, code="2951-2")
    body = at(seat, patient).content.decode()
    assert "<bdi>133</bdi>" not in body
    link = html.unescape(re.search(r'href="[^"]*(\?group=[^"]*)"', body)[1])
    assert "<bdi>133</bdi>" in at(seat, patient, link).content.decode()


def test_addresses_hold_our_ids_and_nothing_that_was_tested(seat, patient, long_record):
    for page, query in (("results", ""), ("results", f"?test={long_record['old'].pk}"), ("results/tests", "")):
        body = at(seat, patient, query, page).content.decode()
        values = re.findall(r"(?:group|test|trend)=([^&\"#]+)", body)
        values += re.findall(r'<option value="([^"]+)"', body.replace('value="6m"', "").replace('value="1y"', ""))
        assert values
        for value in values:
            assert value == "5y" or uuid.UUID(value)


def test_every_test_of_the_record_is_listed_with_its_newest_result(seat, patient, long_record):
    seen = text_of(at(seat, patient, page="results/tests"))
    assert "3 tests in the whole record" in seen
    assert "Potassium 6.1" in seen
    assert "Calcium 2.2" in seen
    assert seen.count("Sodium 138") == 1


def test_tests_and_filters_show_nothing_that_is_withheld_or_somebody_elses(seat, patient, stranger, outsider):
    hidden = observation(patient, "Viral load", 3, code="20447-9")
    Resource.objects.using(WORKER).filter(pk=hidden.pk).update(classes=["hiv"])
    theirs = observation(stranger, "Ferritin", 3, code="2276-4")
    mine = observation(patient, "Sodium", 138, code="2951-2")
    for page in ("results/tests", "results"):
        assert "Viral load" not in text_of(at(seat, patient, page=page))
    for row in (hidden, theirs, uuid.uuid4()):
        for query in (f"?test={row if isinstance(row, uuid.UUID) else row.pk}", f"?trend={getattr(row, 'pk', row)}"):
            seen = text_of(at(seat, patient, query))
            assert "Viral load" not in seen
            assert "Ferritin" not in seen
    together = text_of(at(seat, patient, f"?trend={mine.pk}&trend={hidden.pk}&trend={theirs.pk}"))
    assert "Sodium: trend" in together
    assert "Viral load" not in together
    for page in ("results/tests", "vitals/tests"):
        assert make.client_for(outsider).get(f"/patients/{patient.pk}/{page}/").status_code == 404


def test_a_look_at_the_tests_is_written_down(seat, patient, guest):
    at(seat, patient, page="results/tests")
    assert [(event.section, event.user_id) for event in events("record-opened")] == [("results", guest.pk)]


def test_several_tests_stand_on_one_time_axis_with_one_table(seat, patient):
    potassium = observation(patient, "Potassium", 5.9, days=1, code="2823-3", referenceRange=LIMITS)
    observation(patient, "Potassium", 4.8, days=20, code="2823-3", referenceRange=LIMITS)
    sodium = observation(patient, "Sodium", 138, days=20, code="2951-2")
    drawn = at(seat, patient, f"?trend={potassium.pk}&trend={sodium.pk}&trend={sodium.pk}")
    seen, body = text_of(drawn), drawn.content.decode()
    assert "Potassium, Sodium" in seen
    assert "The same values" in seen
    assert seen.partition("The same values")[2].partition("Kidney function")[0].count("138") == 1
    assert re.search(
        r'<svg[^>]*role="img" aria-label="Potassium, Sodium\. Potassium: 2 values[^"]*Sodium: 1 value', body
    )
    assert f"?trend={potassium.pk}&amp;trend={sodium.pk}&amp;over=5y#trend" in body


def test_the_tests_of_a_table_are_drawn_by_one_link(seat, patient):
    observation(patient, "Potassium", 5.9, days=1, code="2823-3")
    observation(patient, "Sodium", 138, days=1, code="2951-2")
    body = at(seat, patient).content.decode()
    link = html.unescape(re.search(r'href="[^"]*(\?trend=[^"&]*&amp;trend=[^"]*)#trend"', body)[1])
    assert "Sodium, Potassium" in text_of(at(seat, patient, link))


def test_filters_and_drawings_take_at_most_twelve_queries(seat, patient, long_record):
    corrected = observation(patient, "Sodium", 140, days=0.1, code="2951-2", status="corrected")
    Resource.objects.using(WORKER).filter(pk=corrected.pk).update(number=2)
    ResourceVersion.objects.using(WORKER).create(
        resource=corrected, number=1, received_at=timezone.now(), raw=corrected.raw.replace("140", "104")
    )
    old, calcium = long_record["old"].pk, long_record["calcium"].pk
    at(seat, patient)
    for page, query in (
        ("results", f"?test={corrected.pk}&from=5y&flagged=1"),
        ("results", f"?group={old}&before={corrected.pk}"),
        ("results", f"?trend={old}&trend={calcium}&trend={corrected.pk}"),
        ("results/tests", ""),
    ):
        at(seat, patient, query, page)
        with counted() as seen:
            assert at(seat, patient, query, page).status_code == 200
        assert sum(seen.values()) <= 12, (page, query, seen)


# ------------------------------------------------------------------------------------------ judged by the importer


def flagged_by_a_page(observation: dict) -> bool:
    return results.of(observation).flag.outside


def with_range(value: object, **more: object) -> dict:
    return {"valueQuantity": {"value": value, "unit": "mmol/L"}, "referenceRange": LIMITS, **more}


@pytest.mark.parametrize(
    ("body", "judged"),
    [
        ({}, False),
        (with_range(4), False),
        (with_range(6), True),
        (with_range(3.5, valueQuantity={"value": 3.5, "comparator": "<"}), True),
        (with_range("high"), True),  # in no shape that is known: a page looks at it
        ({"interpretation": [coded("", "H", "urn:x")]}, True),
        ({"interpretation": [coded("", "N", "urn:x")], **with_range(9)}, False),
        ({"interpretation": [coded("", "N", "urn:x"), coded("", "LL", "urn:x")]}, True),
        ({"component": [{"code": coded("a"), **with_range(4)}, {"code": coded("b"), **with_range(9)}]}, True),
        ({"component": [{"code": coded("a"), **with_range(4)}]}, False),
        ({"valueQuantity": {"value": 9}, "referenceRange": [{"text": "below 5"}]}, False),
        ({"interpretation": "H"}, True),
    ],
)
def test_the_importer_judges_whether_a_page_may_flag_it(body, judged):
    observation = {"resourceType": "Observation", "status": "final", "code": coded("A test"), **body}
    assert may_be_flagged(observation) is judged
    assert judged or not flagged_by_a_page(observation)


def test_what_is_flagged_on_a_page_was_judged_so_by_the_importer(shared):
    """All that HL7 and Synthea send: else a filter would leave a flagged result out."""
    flagged = 0
    for path in sorted((shared / "hl7-examples").rglob("Observation*.json")):
        observation = fhir.load(path.read_bytes())
        if flagged_by_a_page(observation):
            flagged += 1
            assert may_be_flagged(observation), path.name
    for path in sorted((shared / "synthea").glob("Observation*.gz")):
        with gzip.open(path) as lines:
            for line in list(lines)[::20]:
                assert may_be_flagged(fhir.load(line)) or not flagged_by_a_page(fhir.load(line))
    assert flagged >= 3


def test_the_import_keeps_what_it_judged(feed):
    feed.send(sent("normal", **with_range(4)), sent("high", **with_range(9)))
    assert dict(Resource.objects.using(WORKER).filter(type="Observation").values_list("fhir_id", "may_be_flagged")) == {
        "normal": False,
        "high": True,
    }
    feed.send(sent("normal", **with_range(8), meta={"versionId": "2", "lastUpdated": "2030-01-01T00:00:00Z"}))
    assert Resource.objects.using(WORKER).get(fhir_id="normal").may_be_flagged
