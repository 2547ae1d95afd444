"""Vital signs at each visit: a level of one's own, a trend, and growth in children."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from .chart import Chart, Visit
from .fhir import Json, hl7, loinc, moment, quantity
from .labs import course

CATEGORY = [hl7("observation-category", "vital-signs", "Vital Signs")]
PRESSURE = loinc("85354-9", "Blood pressure")
SYSTOLIC = loinc("8480-6", "Systolic blood pressure")
DIASTOLIC = loinc("8462-4", "Diastolic blood pressure")
PULSE = loinc("8867-4", "Heart rate")
BREATHS = loinc("9279-1", "Respiratory rate")
TEMPERATURE = loinc("8310-5", "Body temperature")
SATURATION = loinc("2708-6", "Oxygen saturation")
WEIGHT = loinc("29463-7", "Body weight")
HEIGHT = loinc("8302-2", "Body height")
MASS_INDEX = loinc("39156-5", "Body mass index")
HEAD = loinc("9843-4", "Head circumference")

# Middle of the growth charts, rounded: age in years, height cm, weight kg. Shapes, not a clinical reference.
GROWTH = {
    "male": (
        (0, 50, 3.5), (0.25, 61, 6.3), (0.5, 67.5, 7.9), (1, 76, 9.7), (2, 87, 12.4), (3, 96, 14.4), (4, 103, 16.4),
        (5, 110, 18.5), (7, 122, 23), (10, 138, 32), (12, 149, 41), (14, 163, 51), (16, 173, 61), (18, 176, 67),
    ),
    "female": (
        (0, 49, 3.3), (0.25, 60, 5.8), (0.5, 66, 7.3), (1, 74, 9), (2, 86, 11.9), (3, 95, 14), (4, 102, 16),
        (5, 109, 18.2), (7, 121, 22.8), (10, 138, 33), (12, 151, 42), (14, 160, 50), (16, 162.5, 54), (18, 163, 57),
    ),
}  # fmt: skip
SKULL = ((0, 35), (0.25, 40.5), (0.5, 43.3), (1, 46), (2, 48.3), (3, 49.5))


def between(table: tuple[tuple[float, ...], ...], age: float, column: int = 1) -> float:
    """The value at `age`, on the straight line between the two nearest rows."""
    place = bisect_right([row[0] for row in table], age)
    if place == len(table):
        return table[-1][column]
    low, high = table[place - 1], table[place]
    return low[column] + (high[column] - low[column]) * (age - low[0]) / (high[0] - low[0])


def add_vitals(chart: Chart) -> None:
    """A set for each visit in person; the trend runs from each patient's own starting point."""
    body = Body(chart)
    for visit in chart.visits:
        if visit.kind != "VR":
            measure(chart, visit, body)


class Body:
    """What stays the same about a person between visits."""

    def __init__(self, chart: Chart) -> None:
        rng = chart.rng
        self.sex = chart.person.gender if chart.person.gender in GROWTH else rng.choice(("female", "male"))
        self.stature = rng.gauss(0, 0.04)  # share above or below the middle
        self.build = rng.gauss(0.1, 0.14)
        self.drift = rng.gauss(0.004, 0.012)  # share of weight gained in a year
        self.pressure = rng.gauss(122, 8)
        self.pulse = rng.gauss(72, 7) + (14 if "af" in chart.ills else 0)
        self.saturation = 93 if "copd" in chart.ills else 98
        self.hypertension = chart.ills.get("hypertension")

    def height(self, age: float) -> float:
        return between(GROWTH[self.sex], age) * (1 + self.stature) - max(0, age - 60) * 0.12

    def weight(self, age: float, years_ago: float) -> float:
        build = self.build if age >= 5 else self.build / 2
        usual = between(GROWTH[self.sex], age, 2) * (1 + 2 * self.stature) * (1 + build)
        return usual * (1.18 if age >= 25 else 1) * (1 - self.drift * years_ago)


def measure(chart: Chart, visit: Visit, body: Body) -> None:
    rng = chart.rng
    age = chart.age_on(visit.day)
    ill = visit.kind in ("EMER", "IMP")
    at = moment(visit.start)

    def observe(code: Json, value: Json | None, **more: Any) -> Json:
        return chart.add(
            "Observation", visit.start, status="final", category=CATEGORY, code=code, subject=chart.subject,
            encounter=visit.reference, effectiveDateTime=at, valueQuantity=value, **more,
        )  # fmt: skip

    if age >= 3:
        observe(PRESSURE, None, component=pressure(chart, visit, body, age))
    per_minute = (140 - 6 * age if age < 11 else body.pulse) + rng.gauss(0, 4) + (12 if ill else 0)
    observe(PULSE, quantity(round(per_minute), "beats/minute", "/min"))
    if ill or rng.random() < 0.35:
        breaths = (40 - 2.2 * age if age < 10 else 15) + rng.gauss(0, 1.5) + (5 if ill else 0)
        observe(BREATHS, quantity(round(breaths), "breaths/minute", "/min"))
        observe(TEMPERATURE, quantity(round(36.7 + rng.gauss(0, 0.25) + (0.8 if ill else 0), 1), "°C", "Cel"))
        saturation = min(100, round(body.saturation + rng.gauss(0, 0.8) - (2 if ill else 0)))
        observe(SATURATION, quantity(saturation, "%"))
    weight = round(body.weight(age, (chart.last_day - visit.day).days / 365.25) * (1 + rng.gauss(0, 0.006)), 1)
    observe(WEIGHT, quantity(weight, "kg"))
    if age < 18 or visit is chart.visits[0] or rng.random() < 0.25:
        height = round(body.height(age), 1)
        observe(HEIGHT, quantity(height, "cm"))
        if age >= 2:
            observe(MASS_INDEX, quantity(round(weight / (height / 100) ** 2, 1), "kg/m2"))
    if age < 3:
        observe(HEAD, quantity(round(between(SKULL, age) * (1 + body.stature / 3), 1), "cm"))


def pressure(chart: Chart, visit: Visit, body: Body, age: float) -> list[Json]:
    """Both components; one reading of the patient with the odd results is missing its lower half."""
    rng = chart.rng
    high = 88 + age * 2 if age < 16 else body.pressure
    if body.hypertension:
        high += 26 * course(visit.day, body.hypertension, 0.75)
    high += rng.gauss(0, 5)
    low = high * 0.62 + rng.gauss(0, 3)
    lower: Json = {"code": DIASTOLIC, "valueQuantity": quantity(round(low), "mmHg", "mm[Hg]")}
    if chart.has("lab-oddities") and visit is chart.visits[-1]:
        lower = {"code": DIASTOLIC, "dataAbsentReason": hl7("data-absent-reason", "error", "Error")}
    return [{"code": SYSTOLIC, "valueQuantity": quantity(round(high), "mmHg", "mm[Hg]")}, lower]
