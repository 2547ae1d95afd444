"""Laboratory results: panels that follow the patient's problems and treatment, flagged as a laboratory flags them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .chart import Chart, Visit
from .fhir import Json, hl7, loinc, moment, quantity, ref

CATEGORY = [hl7("observation-category", "laboratory", "Laboratory")]
REPORT_CATEGORY = [hl7("v2-0074", "LAB", "Laboratory")]
FLAG_WORDS = {"N": "Normal", "L": "Low", "H": "High", "LL": "Critical low", "HH": "Critical high", "A": "Abnormal"}
FLAGS = {code: [hl7("v3-ObservationInterpretation", code, words)] for code, words in FLAG_WORDS.items()}
NORMAL_RANGE = hl7("referencerange-meaning", "normal", "Normal Range")


@dataclass(frozen=True)
class Test:
    """One measurement: where healthy people lie (`middle`, `spread`), the printed range, and what is an emergency.

    `problems` shift the middle of those who have them; `treated` says by how much of that shift years of treatment
    bring it back.
    """

    code: Json
    unit: str
    ucum: str
    digits: int
    middle: float
    spread: float
    low: float | None
    high: float | None
    critical_low: float | None = None
    critical_high: float | None = None
    problems: tuple[tuple[str, float], ...] = ()
    treated: float = 0
    ceiling: float | None = None  # reported as "more than" from here on
    floor: float | None = None  # reported as "less than" below here


GLUCOSE = Test(loinc("2345-7", "Glucose"), "mg/dL", "mg/dL", 0, 92, 7, 70, 99, 45, 400, (("diabetes", 75),), 0.6)
CREATININE = Test(loinc("2160-0", "Creatinine"), "mg/dL", "mg/dL", 2, 0.85, 0.1, 0.6, 1.2, None, 6, (("ckd", 0.9),))
FILTRATION = Test(
    loinc("33914-3", "Estimated glomerular filtration rate"), "mL/min/1.73 m²", "mL/min/{1.73_m2}", 0, 92, 9,
    60, None, 10, None, (("ckd", -48),), ceiling=90,
)  # fmt: skip
SODIUM = Test(loinc("2951-2", "Sodium"), "mmol/L", "mmol/L", 0, 140, 2, 135, 145, 120, 160, (("heart failure", -4),))
POTASSIUM = Test(loinc("2823-3", "Potassium"), "mmol/L", "mmol/L", 1, 4.2, 0.25, 3.5, 5.1, 2.5, 6.2, (("ckd", 0.6),))
ALT = Test(
    loinc("1742-6", "Alanine aminotransferase"), "U/L", "U/L", 0, 24, 8, 7, 55, None, 1000, (("alcohol", 60),), floor=6
)
HAEMOGLOBIN = Test(
    loinc("718-7", "Haemoglobin"), "g/dL", "g/dL", 1, 14.0, 0.7, 12, 16, 7, 20, (("anaemia", -4), ("ckd", -1.5)), 0.7
)
WHITE_CELLS = Test(
    loinc("6690-2", "White blood cells"), "10*3/uL", "10*3/uL", 1, 6.8, 1.2, 4.5, 11, 1.5, 40, (("bronchitis", 4),), 1
)
PLATELETS = Test(loinc("777-3", "Platelets"), "10*3/uL", "10*3/uL", 0, 255, 40, 150, 400, 30, 1000)
CHOLESTEROL = Test(
    loinc("2093-3", "Total cholesterol"),
    "mg/dL",
    "mg/dL",
    0,
    180,
    16,
    None,
    200,
    problems=(("lipids", 62),),
    treated=0.7,
)
LDL = Test(
    loinc("13457-7", "LDL cholesterol (calculated)"),
    "mg/dL",
    "mg/dL",
    0,
    102,
    14,
    None,
    130,
    problems=(("lipids", 58),),
    treated=0.75,
)
HDL = Test(loinc("2085-9", "HDL cholesterol"), "mg/dL", "mg/dL", 0, 54, 8, 40, None, problems=(("lipids", -8),))
TRIGLYCERIDES = Test(
    loinc("2571-8", "Triglycerides"), "mg/dL", "mg/dL", 0, 115, 22, None, 150, problems=(("lipids", 80),), treated=0.4
)
HBA1C = Test(loinc("4548-4", "Haemoglobin A1c"), "%", "%", 1, 5.3, 0.25, 4, 5.6, None, 14, (("diabetes", 3.4),), 0.55)
TSH = Test(
    loinc("3016-3", "Thyroid stimulating hormone"), "mIU/L", "m[IU]/L", 2, 1.9, 0.6, 0.4, 4.0, None, None,
    (("thyroid", 8),), 1, floor=0.01,
)  # fmt: skip

METABOLIC = (
    loinc("24323-8", "Comprehensive metabolic panel"),
    (GLUCOSE, CREATININE, FILTRATION, SODIUM, POTASSIUM, ALT),
)
BLOOD_COUNT = (loinc("58410-2", "Complete blood count"), (HAEMOGLOBIN, WHITE_CELLS, PLATELETS))
LIPIDS = (loinc("24331-1", "Lipid panel"), (CHOLESTEROL, LDL, HDL, TRIGLYCERIDES))
SUGAR = (HBA1C.code, (HBA1C,))
THYROID = (TSH.code, (TSH,))
Panel = tuple[Json, tuple[Test, ...]]


def add_labs(chart: Chart) -> None:
    """Blood tests at some of the visits in person."""
    for number, visit in enumerate(chart.visits):
        if visit.kind != "VR" and chart.age_on(visit.day) >= 1:
            for panel in panels(chart, visit, number):
                report(chart, visit, panel)


def panels(chart: Chart, visit: Visit, number: int) -> list[Panel]:
    """What is taken: everything in hospital, otherwise by problem and turn."""
    rng = chart.rng
    chosen: list[Panel] = []
    acute = visit.kind in ("EMER", "IMP")
    adult = chart.age_on(visit.day) >= 18
    if acute or (adult and number % 2 == 0):
        chosen.append(METABOLIC)
    if acute or rng.random() < (0.3 if adult else 0.1):
        chosen.append(BLOOD_COUNT)
    if ("lipids" in chart.ills and rng.random() < 0.45) or (adult and rng.random() < 0.08):
        chosen.append(LIPIDS)
    if ("diabetes" in chart.ills and rng.random() < 0.75) or (adult and rng.random() < 0.05):
        chosen.append(SUGAR)
    if ("thyroid" in chart.ills and rng.random() < 0.5) or (adult and rng.random() < 0.04):
        chosen.append(THYROID)
    return chosen


def report(chart: Chart, visit: Visit, panel: Panel) -> Json:
    """One panel: a result for each test, and the report that groups them."""
    code, tests = panel
    if chart.age_on(visit.day) < 18:
        tests = tuple(test for test in tests if test is not FILTRATION)  # its formula is for adults
    taken = visit.start + timedelta(minutes=10)
    results = [result(chart, visit, test, level(chart, visit, test), taken) for test in tests]
    return group(chart, visit, code, results, taken)


def group(
    chart: Chart,
    visit: Visit,
    code: Json,
    results: list[Json],
    taken: datetime,
    security: list[Json] | None = None,
    **more: object,
) -> Json:
    fields: Json = {
        "status": "final",
        "category": REPORT_CATEGORY,
        "code": code,
        "subject": chart.subject,
        "encounter": visit.reference,
        "effectiveDateTime": moment(taken),
        "issued": moment(issued(chart, taken)),
        "performer": [ref(chart.places.facility, chart.source.title)],
        "result": [ref(result, result["code"]["text"]) for result in results] or None,
    }
    return chart.add("DiagnosticReport", issued(chart, taken), security, **(fields | more))


def issued(chart: Chart, taken: datetime) -> datetime:
    """Three hours later, but never after the end of what is known."""
    return taken + timedelta(hours=3)


def level(chart: Chart, visit: Visit, test: Test) -> float:
    """The true value: one's own middle, moved by problems, moved back by treatment, with the day's noise."""
    value = test.middle + chart.rng.gauss(0, test.spread)
    if test is HAEMOGLOBIN and chart.person.gender == "male":
        value += 1.2
    for problem, shift in test.problems:
        since = chart.ills.get(problem)
        if since is None and problem not in chart.person.topics:
            continue
        value += shift * (course(visit.day, since, test.treated) if since else 1)
    return max(value, test.spread / 10)


def course(day: date, since: date, treated: float) -> float:
    """How much of a problem shows: it builds up over two years before anyone names it, treatment takes a share back."""
    years = (day - since).days / 365
    return max(0.0, 1 + years / 2) if years < 0 else 1 - treated * min(1.0, years / 1.5)


def flag(test: Test, value: float) -> str:
    if test.critical_low is not None and value <= test.critical_low:
        return "LL"
    if test.critical_high is not None and value >= test.critical_high:
        return "HH"
    if test.low is not None and value < test.low:
        return "L"
    return "H" if test.high is not None and value > test.high else "N"


def reference_range(chart: Chart, test: Test) -> list[Json]:
    """The printed range with the people it is for; haemoglobin depends on sex."""
    low, high, group = test.low, test.high, "Adults"
    if test is HAEMOGLOBIN and chart.person.gender == "male":
        low, high, group = 13.5, 17.5, "Adult men"
    elif test is HAEMOGLOBIN and chart.person.gender == "female":
        group = "Adult women"
    made: Json = {"type": NORMAL_RANGE, "text": group}
    if low is not None:
        made["low"] = quantity(low, test.unit, test.ucum)
    if high is not None:
        made["high"] = quantity(high, test.unit, test.ucum)
    return [made]


def result(chart: Chart, visit: Visit, test: Test, value: float, taken: datetime, **more: object) -> Json:
    """One result; a value beyond what the instrument measures is reported with a comparator."""
    value = round(value, test.digits) if test.digits else round(value)
    comparator = None
    if test.ceiling is not None and value > test.ceiling:
        value, comparator = test.ceiling, ">"
    if test.floor is not None and value < test.floor:
        value, comparator = test.floor, "<"
    fields: Json = {"valueQuantity": quantity(value, test.unit, test.ucum, comparator)}
    if chart.age_on(visit.day) >= 16:  # the printed ranges are for adults
        fields |= {"interpretation": FLAGS[flag(test, value)], "referenceRange": reference_range(chart, test)}
    return observe(chart, visit, test.code, taken, **(fields | more))


def observe(
    chart: Chart, visit: Visit, code: Json, taken: datetime, security: list[Json] | None = None, **value: object
) -> Json:
    """A laboratory result with whatever kind of value."""
    fields: Json = {
        "status": "final",
        "category": CATEGORY,
        "code": code,
        "subject": chart.subject,
        "encounter": visit.reference,
        "effectiveDateTime": moment(taken),
        "issued": moment(issued(chart, taken)),
        "performer": [ref(chart.places.facility, chart.source.title)],
    }
    return chart.add("Observation", issued(chart, taken), security, **(fields | value))
