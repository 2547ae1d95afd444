"""Allergies and vaccinations."""

from __future__ import annotations

from datetime import date, timedelta

from .chart import Chart
from .fhir import CVX, Json, concept, hl7, moment, ref, snomed

CONFIRMED = hl7("allergyintolerance-verification", "confirmed", "Confirmed")
ACTIVE = hl7("allergyintolerance-clinical", "active", "Active")
HIVES = snomed("247472004", "Hives")
VOMITING = snomed("422400008", "Vomiting")
ANAPHYLAXIS = snomed("39579001", "Anaphylaxis")
ALLERGIES = (
    (snomed("91936005", "Allergy to penicillin"), "medication", "high", ANAPHYLAXIS, "severe"),
    (snomed("91935009", "Allergy to peanuts"), "food", "high", ANAPHYLAXIS, "severe"),
    (snomed("300913006", "Shellfish allergy"), "food", "low", HIVES, "moderate"),
    (snomed("300916003", "Latex allergy"), "environment", "low", HIVES, "mild"),
    (snomed("91930004", "Allergy to eggs"), "food", "low", VOMITING, "mild"),
    (snomed("418689008", "Allergy to grass pollen"), "environment", "unable-to-assess", None, ""),
)
NO_KNOWN_ALLERGY = snomed("716186003", "No known allergy")


def cvx(code: str, display: str) -> Json:
    return concept(CVX, code, display)


FLU = cvx("140", "Influenza, seasonal, injectable, preservative free")
# Vaccine and the ages, in years, at which it is given.
SCHEDULE = (
    (cvx("08", "Hepatitis B, adolescent or pediatric"), (0, 0.1, 0.5)),
    (cvx("119", "Rotavirus, monovalent"), (0.17, 0.33)),
    (cvx("20", "DTaP"), (0.17, 0.33, 0.5, 1.25, 4.2)),
    (cvx("49", "Hib (PRP-OMP)"), (0.17, 0.33, 1.1)),
    (cvx("133", "Pneumococcal conjugate PCV 13"), (0.17, 0.33, 0.5, 1.1)),
    (cvx("10", "Inactivated poliovirus"), (0.17, 0.33, 0.5, 4.2)),
    (cvx("03", "Measles, mumps and rubella"), (1.1, 4.2)),
    (cvx("21", "Varicella"), (1.1, 4.2)),
    (cvx("115", "Tdap"), (11.2,)),
    (cvx("114", "Meningococcal MCV4P"), (11.2, 16.2)),
    (cvx("113", "Td (adult), preservative free"), (25, 35, 45, 55, 65, 75, 85)),
    (cvx("33", "Pneumococcal polysaccharide, 23 valent"), (66,)),
    (cvx("121", "Zoster"), (61,)),
)
YEARS_KEPT = 12  # older vaccinations are on paper


def add_allergies(chart: Chart) -> None:
    """Four in ten have allergies, three in ten have none and were asked, the rest were never asked."""
    if not chart.visits or chart.has("newborn"):
        return
    day = chart.visits[0].day
    harmful = ALLERGIES[1:] if {"ear", "sinus"} & chart.ills.keys() else ALLERGIES  # those were given amoxicillin
    draw = chart.rng.random()
    if chart.has("nka") or 0.4 < draw < 0.7:
        allergy(chart, NO_KNOWN_ALLERGY, day)
    elif draw <= 0.4:
        for code, kind, criticality, reaction, severity in chart.rng.sample(harmful, chart.rng.choice((1, 1, 2, 3))):
            reactions = [{"manifestation": [reaction], "severity": severity}] if reaction else None
            allergy(chart, code, day, type="allergy", category=[kind], criticality=criticality, reaction=reactions)
    if chart.has("med-oddities"):
        allergy(chart, {"text": "Some antibiotic as a child, name forgotten"}, day)
        allergy(
            chart, ALLERGIES[0][0], day, verificationStatus=hl7("allergyintolerance-verification", "refuted", "Refuted")
        )
        wrong = allergy(chart, ALLERGIES[3][0], day)
        struck = hl7("allergyintolerance-verification", "entered-in-error", "Entered in Error")
        chart.revise(wrong, chart.at(day + timedelta(days=2)), verificationStatus=struck)
        del wrong["clinicalStatus"]  # FHIR's rule ait-2: a mistake has no clinical status


def allergy(chart: Chart, code: Json, day: date, **more: object) -> Json:
    fields: Json = {
        "clinicalStatus": ACTIVE,
        "verificationStatus": CONFIRMED,
        "code": code,
        "patient": chart.subject,
        "recordedDate": day.isoformat(),
        "recorder": chart.doctor(),
    }
    return chart.add("AllergyIntolerance", chart.at(day), **(fields | more))


def add_immunizations(chart: Chart) -> None:
    """What is due by age, as far back as it is on file, and flu vaccinations of the last autumns."""
    if chart.has("no-visits") or chart.has("no-name"):
        return
    oldest = chart.last_day - timedelta(days=YEARS_KEPT * 365)
    for vaccine, ages in SCHEDULE:
        for number, age in enumerate(ages, 1):
            due = chart.person.born + timedelta(days=round(age * 365.25) + chart.rng.randrange(14))
            if max(oldest, chart.person.born) <= due <= chart.last_day and chart.chance(0.92):
                immunize(chart, vaccine, due, dose=number if len(ages) > 1 else None)
    for year in range(chart.last_day.year - 3, chart.last_day.year + 1):
        day = date(year, 10, chart.rng.randint(1, 28))
        if chart.person.born + timedelta(days=200) < day <= chart.last_day and chart.chance(0.5):
            immunize(chart, FLU, day)
    if chart.has("asthma") or chart.chance(0.06):
        refused = hl7("v3-ActReason", "PATOBJ", "patient objection")
        immunize(
            chart, FLU, chart.last_day, status="not-done", statusReason=refused, lotNumber=None, primarySource=None
        )


def immunize(chart: Chart, vaccine: Json, day: date, *, dose: int | None = None, **more: object) -> None:
    at = chart.at(day)
    fields: Json = {
        "status": "completed",
        "vaccineCode": vaccine,
        "patient": chart.subject,
        "occurrenceDateTime": moment(at),
        "primarySource": True,
        "lotNumber": f"LOT{chart.rng.randrange(10_000):04d}",
        "location": ref(chart.places.rooms["outpatients"]),
        "protocolApplied": [{"doseNumberPositiveInt": dose}] if dose else None,
    }
    chart.add("Immunization", at, **(fields | more))
