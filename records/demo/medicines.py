"""Medicines: what the problems call for, with doses as a prescriber writes them, and the ways an order can end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from .chart import Chart
from .fhir import Json, moment, quantity, ref, rxnorm, snomed

ORAL = snomed("26643006", "Oral route")
INHALED = snomed("447694001", "Respiratory tract route")
UNDER_SKIN = snomed("34206005", "Subcutaneous route")


@dataclass(frozen=True)
class Drug:
    """A product and its usual dose: `times` in each `period` of `unit_of_time` (UCUM)."""

    code: Json
    amount: float
    unit: str
    words: str
    times: int = 1
    period: int = 1
    unit_of_time: str = "d"
    when: str = ""
    route: Json | None = None
    as_needed: str = ""
    days: int = 0  # a course; 0: until further notice


METFORMIN = Drug(
    rxnorm("861007", "Metformin hydrochloride 500 MG Oral Tablet"),
    500,
    "mg",
    "500 mg twice a day with meals",
    2,
    when="C",
)
GLARGINE = Drug(
    rxnorm("311041", "Insulin glargine 100 UNT/ML Injectable Solution"),
    18,
    "[iU]",
    "18 units at bedtime",
    when="HS",
    route=UNDER_SKIN,
)
LISINOPRIL = Drug(rxnorm("314076", "Lisinopril 10 MG Oral Tablet"), 10, "mg", "10 mg every morning", when="MORN")
AMLODIPINE = Drug(rxnorm("197361", "Amlodipine 5 MG Oral Tablet"), 5, "mg", "5 mg once a day")
ALBUTEROL = Drug(
    rxnorm("745679", "200 ACTUAT Albuterol 0.09 MG/ACTUAT Metered Dose Inhaler"), 2, "{puff}",
    "2 puffs up to four times a day when short of breath", 4, route=INHALED, as_needed="Shortness of breath",
)  # fmt: skip
FLUTICASONE = Drug(
    rxnorm("895994", "120 ACTUAT Fluticasone propionate 0.044 MG/ACTUAT Metered Dose Inhaler"), 2, "{puff}",
    "2 puffs twice a day", 2, route=INHALED,
)  # fmt: skip
ATORVASTATIN = Drug(rxnorm("617310", "Atorvastatin 20 MG Oral Tablet"), 20, "mg", "20 mg in the evening", when="EVE")
SIMVASTATIN = Drug(rxnorm("312961", "Simvastatin 20 MG Oral Tablet"), 20, "mg", "20 mg in the evening", when="EVE")
LEVOTHYROXINE = Drug(
    rxnorm("892246", "Levothyroxine sodium 0.1 MG Oral Tablet"), 0.1, "mg", "0.1 mg before breakfast", when="ACM"
)
APIXABAN = Drug(rxnorm("1364445", "Apixaban 5 MG Oral Tablet"), 5, "mg", "5 mg every 12 hours", 1, 12, "h")
ACETAMINOPHEN = Drug(
    rxnorm("313782", "Acetaminophen 325 MG Oral Tablet"),
    650,
    "mg",
    "650 mg up to four times a day for pain",
    4,
    as_needed="Pain",
)
ALLOPURINOL = Drug(rxnorm("197319", "Allopurinol 100 MG Oral Tablet"), 100, "mg", "100 mg once a day")
ALENDRONATE = Drug(rxnorm("904419", "Alendronic acid 10 MG Oral Tablet"), 10, "mg", "10 mg on rising", when="WAKE")
OMEPRAZOLE = Drug(
    rxnorm("198051", "Omeprazole 20 MG Delayed Release Oral Capsule"), 20, "mg", "20 mg before breakfast", when="ACM"
)
FUROSEMIDE = Drug(rxnorm("313988", "Furosemide 40 MG Oral Tablet"), 40, "mg", "40 mg every morning", when="MORN")
IRON = Drug(rxnorm("310325", "Ferrous sulfate 325 MG Oral Tablet"), 325, "mg", "325 mg every other day", 1, 2)
AMOXICILLIN = Drug(
    rxnorm("308182", "Amoxicillin 250 MG Oral Capsule"), 250, "mg", "250 mg three times a day for 7 days", 3, days=7
)
IBUPROFEN = Drug(
    rxnorm("310965", "Ibuprofen 200 MG Oral Tablet"),
    200,
    "mg",
    "200 mg up to three times a day",
    3,
    as_needed="Pain",
    days=10,
)
PREDNISONE = Drug(
    rxnorm("312617", "Prednisone 5 MG Oral Tablet"), 20, "mg", "20 mg every morning for 5 days", when="MORN", days=5
)
WARFARIN = Drug(rxnorm("855332", "Warfarin sodium 5 MG Oral Tablet"), 5, "mg", "5 mg in the evening", when="EVE")

FOR = {
    "diabetes": (METFORMIN,),
    "hypertension": (LISINOPRIL, AMLODIPINE),
    "asthma": (ALBUTEROL, FLUTICASONE),
    "lipids": (ATORVASTATIN,),
    "thyroid": (LEVOTHYROXINE,),
    "af": (APIXABAN,),
    "knee": (ACETAMINOPHEN,),
    "gout": (ALLOPURINOL,),
    "copd": (ALBUTEROL,),
    "bones": (ALENDRONATE,),
    "reflux": (OMEPRAZOLE,),
    "heart failure": (FUROSEMIDE,),
    "anaemia": (IRON,),
    "ear": (AMOXICILLIN,),
    "sinus": (AMOXICILLIN,),
    "ankle": (IBUPROFEN,),
    "bronchitis": (PREDNISONE,),
}
OUTDATED = {"lipids": SIMVASTATIN, "af": WARFARIN}  # what was taken before, and stopped


def dosage(drug: Drug, start: date, end: date | None = None) -> Json:
    """Words and the same in structure: how much, how often, when, how, and for how long."""
    repeat: Json = {"frequency": drug.times, "period": drug.period, "periodUnit": drug.unit_of_time}
    if drug.when:
        repeat["when"] = [drug.when]
    if end:
        repeat["boundsPeriod"] = {"start": start.isoformat(), "end": end.isoformat()}
    made: Json = {"text": drug.words, "timing": {"repeat": repeat}, "route": drug.route or ORAL}
    if drug.as_needed:
        made["asNeededCodeableConcept"] = {"text": drug.as_needed}
    unit = {"[iU]": "units", "{puff}": "puff"}.get(drug.unit, drug.unit)
    made["doseAndRate"] = [{"doseQuantity": quantity(drug.amount, unit, drug.unit)}]
    return made


def add_medicines(chart: Chart) -> None:
    """Orders for each problem; what is taken without a prescription is stated, not ordered."""
    if not chart.visits:
        return
    for problem, onset in chart.ills.items():
        for drug in FOR.get(problem, ()):
            prescribe(chart, drug, onset, reason=chart.condition_of.get(problem))
        if problem in OUTDATED and chart.chance(0.5):
            switched = onset - timedelta(days=chart.rng.randint(60, 300))
            if switched > chart.person.born:
                prescribe(
                    chart, OUTDATED[problem], switched, stopped=onset, because="Changed to a better suited medicine"
                )
    diabetes = chart.ills.get("diabetes")
    if diabetes and (chart.last_day - diabetes).days > 900:
        prescribe(chart, GLARGINE, diabetes + timedelta(days=800), reason=chart.condition_of.get("diabetes"))
    if "ckd" in chart.ills:
        avoid(chart, IBUPROFEN, chart.ills["ckd"], "Harms the kidneys; use acetaminophen")
    if chart.age_on(chart.last_day) > 16 and chart.chance(0.3):
        state(chart)
    if chart.age_on(chart.last_day) > 30 and chart.chance(0.12):
        recently = chart.last_day - timedelta(days=chart.rng.randint(1, 14))
        prescribe(chart, OMEPRAZOLE, recently - timedelta(days=60), stopped=recently, because="Nausea")
    if chart.has("med-oddities"):
        add_oddities(chart)


def prescribe(
    chart: Chart,
    drug: Drug,
    start: date,
    *,
    reason: Json | None = None,
    stopped: date | None = None,
    because: str = "",
    security: list[Json] | None = None,
    **more: object,
) -> Json:
    """An order: active, completed when its course is over, stopped on a day and for a reason."""
    start = max(start, chart.person.born)
    end = stopped or (start + timedelta(days=drug.days) if drug.days else None)
    over = end is not None and end <= chart.last_day
    lasting = "completed" if over else "active"
    written = chart.at(start)
    visit = next((visit for visit in chart.visits if visit.day == start), None)
    fields: Json = {
        "status": "stopped" if stopped or chart.person.died else lasting,
        "statusReason": {"text": because} if because else None,
        "intent": "order",
        "medicationCodeableConcept": drug.code,
        "subject": chart.subject,
        "encounter": visit.reference if visit else None,
        "authoredOn": moment(written),
        "requester": chart.doctor(),
        "reasonReference": [ref(reason, reason["code"]["text"])] if reason else None,
        "dosageInstruction": [dosage(drug, start, end)],
        "dispenseRequest": None if stopped else {"numberOfRepeatsAllowed": 0 if drug.days else 5},
    }
    changed = chart.at(end) if end and over else written
    return chart.add("MedicationRequest", changed, security, **(fields | more))


def avoid(chart: Chart, drug: Drug, since: date, why: str) -> None:
    """An order not to give it."""
    prescribe(
        chart,
        drug,
        since,
        status="active",
        doNotPerform=True,
        reasonCode=[{"text": why}],
        dosageInstruction=None,
        dispenseRequest=None,
        encounter=None,
    )


def state(chart: Chart) -> None:
    """Something the patient says they take, known by name only."""
    day = chart.rng.choice(chart.visits).day
    what, how = chart.rng.choice(
        (
            ("Vitamin D drops", "One drop a day"),
            ("St John's wort capsules", ""),
            ("Fish oil", "Two capsules with breakfast"),
        )
    )
    chart.add(
        "MedicationStatement",
        chart.at(day),
        status="active",
        medicationCodeableConcept={"text": what},
        subject=chart.subject,
        effectivePeriod={"start": day.isoformat()},
        dateAsserted=day.isoformat(),
        informationSource=chart.subject,
        dosage=[{"text": how}] if how else None,
    )


def add_oddities(chart: Chart) -> None:
    """Orders without a dose, in words only, on hold, planned, by range, contained, by reference, and struck out."""
    day = chart.last_day - timedelta(days=100)
    prescribe(chart, ALLOPURINOL, day, dosageInstruction=None)
    prescribe(chart, AMLODIPINE, day, dosageInstruction=[{"text": "As discussed"}])
    prescribe(chart, OMEPRAZOLE, day, dosageInstruction=[{"timing": {"code": {"text": "Once a day"}}}])
    prescribe(chart, LISINOPRIL, day, status="on-hold", statusReason={"text": "Potassium too high"})
    prescribe(
        chart,
        METFORMIN,
        chart.last_day - timedelta(days=40),
        stopped=chart.last_day - timedelta(days=6),
        because="Kidney function",
    )
    spread = {"low": quantity(325, "mg"), "high": quantity(650, "mg")}
    ranged = dosage(ACETAMINOPHEN, day) | {
        "doseAndRate": [{"doseRange": spread}],
        "maxDosePerPeriod": {"numerator": quantity(3000, "mg"), "denominator": quantity(1, "day", "d")},
    }
    prescribe(chart, ACETAMINOPHEN, day, dosageInstruction=[ranged])
    taper = [
        dosage(PREDNISONE, day) | {"sequence": 1, "text": "20 mg every morning for 5 days"},
        dosage(PREDNISONE, day)
        | {
            "sequence": 2,
            "text": "then 10 mg every morning for 5 days",
            "doseAndRate": [{"doseQuantity": quantity(10, "mg")}],
        },
    ]
    prescribe(chart, PREDNISONE, day, dosageInstruction=taper)
    prescribe(chart, IRON, chart.last_day, intent="plan", status="draft")
    inside = {"resourceType": "Medication", "id": "mixture", "code": {"text": "Cream made up by the pharmacy"}}
    prescribe(
        chart, ACETAMINOPHEN, day, contained=[inside], medicationCodeableConcept=None,
        medicationReference={"reference": "#mixture"}, dosageInstruction=[{"text": "Thinly, on the rash"}],
    )  # fmt: skip
    product = chart.add("Medication", chart.at(day), code=WARFARIN.code, status="active")
    prescribe(
        chart,
        WARFARIN,
        day,
        medicationCodeableConcept=None,
        medicationReference=ref(product, "Warfarin sodium 5 MG Oral Tablet"),
    )
    wrong = prescribe(chart, FUROSEMIDE, day)
    chart.revise(wrong, chart.at(day + timedelta(days=1)), status="entered-in-error")
