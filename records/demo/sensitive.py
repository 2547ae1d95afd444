"""Records that need a grant of their own: labelled on everything that would give the matter away.

A problem, its visits, results, medicines and notes carry the same labels. The control patient has the
same codes without labels: what a rule of the portal must find by itself, a label cannot tell it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

from . import labs, medicines
from .chart import Chart, Visit
from .conditions import add_condition
from .documents import CONSULT, add_note
from .fhir import ACT_CODE, CONFIDENTIALITY, Json, coding, hl7, labels, loinc, quantity, ref, rxnorm, snomed
from .medicines import Drug
from .visits import visit

SURVEY = [hl7("observation-category", "survey", "Survey")]
NEGATIVE = snomed("260385009", "Negative")
POSITIVE = {"valueCodeableConcept": snomed("10828004", "Positive"), "interpretation": labs.FLAGS["A"]}


@dataclass(frozen=True)
class Topic:
    """One matter: how it is labelled, and what is recorded about it.

    `tests` come back at each visit: code, unit, UCUM code, first and last value; without a unit it is a score.
    `findings` come once.
    """

    label: list[Json]
    problem: Json | None
    clinic: str
    note: tuple[str, str]  # title, text
    visits: tuple[int, int]
    tests: tuple[tuple[Json, str, str, float, float], ...] = ()
    findings: tuple[Json, ...] = ()
    drugs: tuple[Drug, ...] = ()
    note_code: Json = field(default_factory=lambda: CONSULT)


PSYCHIATRY_NOTE = loinc("75443-2", "Mental health outpatient note")

TOPICS = {
    "hiv": Topic(
        labels("R", "HIV"),
        snomed("86406008", "Human immunodeficiency virus infection"),
        "HIV clinic",
        ("HIV clinic letter", "Takes the tablets every day. The viral load stays suppressed. Partner knows."),
        (7, 12),
        tests=(
            (loinc("20447-9", "HIV 1 RNA (viral load)"), "copies/mL", "{copies}/mL", 48000, 12),
            (loinc("24467-3", "CD3+CD4+ cells"), "cells/uL", "/uL", 240, 720),
        ),
        drugs=(Drug(rxnorm("1433873", "Dolutegravir 50 MG Oral Tablet"), 50, "mg", "50 mg once a day"),),
    ),
    "opioids": Topic(
        labels("R", "SUD"),
        snomed("75544000", "Opioid dependence"),
        "Substance use service",
        ("Keyworker's note", "Attends as agreed. No use on top in the last month. Dose unchanged."),
        (9, 14),
        findings=({"code": loinc("3879-4", "Opiates in urine"), **POSITIVE},),
        drugs=(Drug(rxnorm("864706", "Methadone hydrochloride 10 MG Oral Tablet"), 30, "mg", "30 mg once a day"),),
    ),
    "alcohol": Topic(
        labels("R", "ETH"),
        snomed("66590003", "Alcohol dependence"),
        "Alcohol service",
        ("Alcohol service letter", "Has cut down since the last visit and wants to stop altogether."),
        (7, 12),
        tests=(
            (loinc("75626-2", "AUDIT-C total score"), "", "", 11, 4),
            (loinc("2324-2", "Gamma glutamyl transferase"), "U/L", "U/L", 210, 70),
        ),
        drugs=(Drug(rxnorm("1483744", "Naltrexone hydrochloride 50 MG Oral Tablet"), 50, "mg", "50 mg once a day"),),
    ),
    "depression": Topic(
        labels("R", "PSY"),
        snomed("35489007", "Depressive disorder"),
        "Mental health clinic",
        ("Psychiatry letter", "Sleep and appetite are better. No thoughts of self-harm. Continue the same dose."),
        (8, 13),
        tests=((loinc("44261-6", "PHQ-9 total score"), "", "", 19, 6),),
        drugs=(Drug(rxnorm("312941", "Sertraline 50 MG Oral Tablet"), 50, "mg", "50 mg every morning", when="MORN"),),
        note_code=PSYCHIATRY_NOTE,
    ),
    "psychotherapy": Topic(
        labels("V", "PSYTHPN"),
        None,
        "Psychotherapy",
        ("Session note", "Spoke about childhood and about a recurring dream. Next session in two weeks."),
        (9, 15),
        note_code=PSYCHIATRY_NOTE,
    ),
    "sex": Topic(
        labels("R", "SEX"),
        None,
        "Sexual health clinic",
        ("Contraception visit", "Came alone and asked that nobody at home is told. Took the tablet here."),
        (7, 10),
        findings=({"code": loinc("2106-3", "Pregnancy test"), "valueCodeableConcept": NEGATIVE},),
        drugs=(
            Drug(rxnorm("483325", "Levonorgestrel 1.5 MG Oral Tablet"), 1.5, "mg", "1.5 mg once", days=1),
        ),
    ),
    "sti": Topic(
        labels("R", "STD"),
        snomed("105629000", "Chlamydial infection"),
        "Sexual health clinic",
        ("Sexual health visit", "Treated today. Partners will be told by the clinic without a name."),
        (5, 8),
        findings=({"code": loinc("21613-5", "Chlamydia trachomatis DNA"), **POSITIVE},),
        drugs=(Drug(rxnorm("308460", "Azithromycin 250 MG Oral Tablet"), 1000, "mg", "1,000 mg once", days=1),),
    ),
    "violence": Topic(
        labels("V", "SDV"),
        snomed("706893006", "Victim of intimate partner abuse"),
        "Safeguarding",
        ("Safeguarding note", "Injuries do not fit the account. Talked alone: afraid to go home."),
        (7, 10),
        findings=({"code": {"text": "Danger assessment"}, "valueString": "Extreme danger"},),
    ),
    "genetic": Topic(
        labels("R", "GDIS"),
        snomed("58756001", "Huntington's chorea"),
        "Clinical genetics",
        ("Genetics letter", "The test confirmed the expansion. Children have not been told yet. Support offered."),
        (7, 10),
        findings=(
            {
                "code": loinc("51967-8", "Genetic disease assessed"),
                "valueCodeableConcept": snomed("58756001", "Huntington's chorea"),
                "interpretation": labs.FLAGS["A"],
            },
        ),
    ),
}  # fmt: skip


def add_sensitive(chart: Chart) -> None:
    for key in chart.person.topics:
        follow(chart, TOPICS[key], labelled=not chart.has("unlabelled"))
    if chart.has("odd-labels"):
        odd_labels(chart)
    if chart.has("mixed-containers"):
        mixed_containers(chart)


def follow(chart: Chart, topic: Topic, *, labelled: bool) -> None:
    """The whole course of one matter, from its beginning to the last visit about it."""
    security = topic.label if labelled else None
    count = chart.rng.randint(*topic.visits)
    oldest = min(4 * 365, (chart.last_day - chart.person.born).days - 30)
    days = sorted(chart.last_day - timedelta(days=offset) for offset in chart.rng.sample(range(2, oldest), count))
    problem = add_condition(chart, topic.problem, days[0], security=security) if topic.problem else None
    if problem and topic.label[-1]["code"] == "GDIS":
        family(chart, days[0], security)
    for number, day in enumerate(days):
        seen = visit(chart, day, "VR" if number % 4 == 3 else "AMB", reason=topic.clinic, security=security or [])
        measure(chart, topic, seen, number / max(1, count - 1), security, first=number == 0)
        add_note(chart, seen, *topic.note, code=topic.note_code, security=security)
    for drug in topic.drugs:
        medicines.prescribe(chart, drug, days[0], reason=problem, security=security)


def measure(chart: Chart, topic: Topic, seen: Visit, share: float, security: list[Json] | None, *, first: bool) -> None:
    """The tests of one visit, `share` of the way from the first value to the last."""
    made = []
    for code, unit, ucum, start, end in topic.tests:
        value = max(1, round(start * (end / start) ** share * chart.rng.uniform(0.9, 1.1)))
        if not unit:
            labs.observe(chart, seen, code, seen.start, security, category=SURVEY, valueInteger=value)
        elif ucum == "{copies}/mL" and value < 20:
            made.append(
                labs.observe(chart, seen, code, seen.start, security, valueQuantity=quantity(20, unit, ucum, "<"))
            )
        else:
            made.append(
                labs.observe(chart, seen, code, seen.start, security, valueQuantity=quantity(value, unit, ucum))
            )
    if first:
        made += [
            labs.observe(chart, seen, finding["code"], seen.start, security, **values(finding))
            for finding in topic.findings
        ]
    if made:
        labs.group(chart, seen, {"text": f"Tests, {topic.clinic}"}, made, seen.start, security)


def values(finding: Json) -> Json:
    return {name: value for name, value in finding.items() if name != "code"}


def family(chart: Chart, day: date, security: list[Json] | None) -> None:
    chart.add(
        "FamilyMemberHistory",
        chart.at(day),
        security,
        status="completed",
        patient=chart.subject,
        date=day.isoformat(),
        relationship=hl7("v3-RoleCode", "FTH", "father"),
        condition=[{"code": snomed("58756001", "Huntington's chorea"), "contributedToDeath": True}],
    )


def odd_labels(chart: Chart) -> None:
    """Labels that the portal cannot place: unknown code, unknown system, bare R, bare V; and N, which means nothing."""
    visit = chart.visits[-1]
    restricted = labels("R")[0]
    for text, security in (
        ("Unknown code", [restricted, coding(ACT_CODE, "XTRA7", "not in any table")]),
        ("Unknown system", [coding("urn:clinicportal:demo:labels", "yellow", "ask first")]),
        ("Label without a code", [{"display": "handle with care"}]),
        ("Unknown confidentiality", [coding(CONFIDENTIALITY, "Q")]),
        ("Bare restricted", [restricted]),
        ("Bare very restricted", labels("V")),
        ("Normal", labels("N")),
        ("Two matters at once", labels("R", "PSY", "ETH")),
    ):
        add_note(chart, visit, f"Note: {text.lower()}", "The label on this note is what matters.", security=security)


def mixed_containers(chart: Chart) -> None:
    """Unlabelled things that hold a labelled one: whoever may not see the part may not see the whole."""
    visit = chart.visits[-1]
    hidden = next(
        made for made in chart.resources if made["resourceType"] == "Observation" and "security" in made["meta"]
    )
    secret = next(
        made for made in chart.resources if made["resourceType"] == "Condition" and "security" in made["meta"]
    )
    open_result = labs.result(chart, visit, labs.SODIUM, 139, visit.start)
    report = labs.group(chart, visit, {"text": "Bloods, all in one report"}, [open_result, hidden], visit.start)
    chart.add(
        "List",
        visit.start,
        status="current",
        mode="snapshot",
        title="Problems as printed for the visit",
        subject=chart.subject,
        entry=[{"item": ref(made)} for made in chart.resources if made["resourceType"] == "Condition"],
    )
    chart.add(
        "Provenance",
        visit.start,
        target=[ref(report), ref(secret)],
        recorded=chart.resources[-1]["meta"]["lastUpdated"],
        agent=[{"who": ref(chart.places.facility, chart.source.title)}],
    )
    chart.add(
        "CarePlan",
        visit.start,
        status="active",
        intent="plan",
        title="Plan that addresses a labelled problem",
        subject=chart.subject,
        addresses=[ref(secret)],
    )
