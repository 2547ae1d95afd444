"""Results as they also come: without a number, without a value, rejected, provisional, put right, taken back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from . import labs
from .chart import Chart, Visit
from .fhir import Json, hl7, loinc, moment, quantity, ref, snomed

NEGATIVE = snomed("260385009", "Negative")


def add_oddities(chart: Chart) -> None:
    if not chart.visits:
        return
    if chart.has("lab-oddities"):
        visits = [visit for visit in chart.visits if visit.kind != "VR"]
        kinds_of_value(chart, visits[0])
        without_value(chart, visits[1])
        put_right(chart, visits[2])
    if chart.has("critical"):
        critical(chart, chart.visits[-1])
    if chart.has("preliminary"):
        provisional(chart, chart.visits[-1])


def kinds_of_value(chart: Chart, visit: Visit) -> None:
    """Text, code, whole number, ratio, range, yes or no, a time, a waveform, comparators, no range, no flag."""
    taken = visit.start + timedelta(minutes=20)

    def observe(code: Json, **value: Any) -> Json:
        return labs.observe(chart, visit, code, taken, **value)

    made = [
        observe(loinc("630-4", "Bacteria in urine by culture"), valueString="No growth after 48 hours"),
        observe(
            loinc("600-7", "Bacteria in blood by culture"),
            valueCodeableConcept=snomed("3092008", "Staphylococcus aureus"),
            interpretation=labs.FLAGS["A"],
        ),
        observe(loinc("20454-5", "Protein in urine by test strip"), valueCodeableConcept=NEGATIVE),
        observe({"text": "Colonies counted"}, valueInteger=12),
        observe(
            {"text": "Antinuclear antibody titre"},
            valueRatio={"numerator": {"value": 1}, "denominator": {"value": 160}},
            interpretation=labs.FLAGS["A"],
        ),
        observe(
            {"text": "Leucocytes in urine, per field of view"},
            valueRange={"low": quantity(5, "/field", "/[HPF]"), "high": quantity(10, "/field", "/[HPF]")},
        ),
        observe({"text": "Sample was taken fasting"}, valueBoolean=True),
        observe({"text": "Last dose taken before the sample"}, valueDateTime=moment(visit.start - timedelta(hours=12))),
        observe(
            {"text": "Pulse wave"},
            valueSampledData={"origin": {"value": 0}, "period": 40, "dimensions": 1, "data": "0 12 44 81 63 40 22 9 1"},
        ),
        labs.result(chart, visit, labs.TSH, 0.001, taken, interpretation=labs.FLAGS["L"]),
        labs.result(chart, visit, labs.FILTRATION, 104, taken),
        observe(loinc("1988-5", "C reactive protein"), valueQuantity=quantity(1, "mg/L", comparator="<")),
        labs.result(chart, visit, labs.PLATELETS, 141, taken, interpretation=None),
        labs.result(chart, visit, labs.ALT, 30, taken, referenceRange=None, interpretation=None),
        observe(
            {"text": "Comment of the laboratory"}, valueString="Slight haemolysis. <script>alert('result')</script>"
        ),
    ]
    labs.group(
        chart, visit, {"text": "Various tests"}, made, taken, conclusion="One positive culture. See the single results."
    )


def without_value(chart: Chart, visit: Visit) -> None:
    """A test that was not done, and a specimen that the laboratory refused."""
    taken = visit.start + timedelta(minutes=20)
    labs.observe(
        chart,
        visit,
        labs.HBA1C.code,
        taken,
        dataAbsentReason=hl7("data-absent-reason", "not-performed", "Not Performed"),
    )
    specimen = chart.add(
        "Specimen",
        taken,
        status="unsatisfactory",
        type=snomed("119364003", "Serum sample"),
        subject=chart.subject,
        collection={"collectedDateTime": moment(taken)},
        condition=[hl7("v2-0493", "HEM", "Hemolyzed")],
        note=[{"text": "Rejected: haemolysed. Please send a new sample."}],
    )
    refused = labs.observe(
        chart,
        visit,
        labs.POTASSIUM.code,
        taken,
        status="cancelled",
        specimen=ref(specimen),
        dataAbsentReason=hl7("data-absent-reason", "error", "Error"),
        note=[{"text": "Specimen rejected: haemolysed"}],
    )
    labs.group(chart, visit, {"text": "Potassium"}, [refused], taken, status="cancelled", specimen=[ref(specimen)])


def put_right(chart: Chart, visit: Visit) -> None:
    """A result corrected a day later, an amended one, and one that belonged to someone else."""
    taken = visit.start + timedelta(minutes=20)
    corrected = labs.result(chart, visit, labs.SODIUM, 118, taken)
    chart.revise(
        corrected,
        taken + timedelta(days=1),
        status="corrected",
        valueQuantity=quantity(138, "mmol/L"),
        interpretation=labs.FLAGS["N"],
        note=[{"text": "Corrected: the first value was read from the wrong tube"}],
    )
    report = labs.group(chart, visit, {"text": "Sodium"}, [corrected], taken)
    chart.revise(report, taken + timedelta(days=1), status="corrected")
    amended = labs.result(chart, visit, labs.HAEMOGLOBIN, 11.9, taken)
    chart.revise(amended, taken + timedelta(hours=30), status="amended", note=[{"text": "Method added"}])
    mistaken = labs.result(chart, visit, labs.GLUCOSE, 460, taken)
    chart.revise(mistaken, taken + timedelta(hours=5), status="entered-in-error")


def critical(chart: Chart, visit: Visit) -> None:
    """Values that somebody telephones about."""
    taken = visit.start + timedelta(minutes=15)
    made = [
        labs.result(chart, visit, test, value, taken)
        for test, value in ((labs.POTASSIUM, 6.8), (labs.HAEMOGLOBIN, 6.1), (labs.GLUCOSE, 38), (labs.SODIUM, 162))
    ]
    labs.group(
        chart, visit, {"text": "Urgent bloods"}, made, taken, conclusion="Critical values telephoned to the ward."
    )


def provisional(chart: Chart, visit: Visit) -> None:
    """Results of this morning that nobody has signed yet."""
    taken = visit.start + timedelta(minutes=30)
    made = [
        labs.result(chart, visit, test, value, taken, status="preliminary")
        for test, value in ((labs.POTASSIUM, 5.6), (labs.WHITE_CELLS, 14.2))
    ]
    labs.group(chart, visit, {"text": "Bloods on admission"}, made, taken, status="preliminary")
