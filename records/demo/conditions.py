"""Problems: long-term ones that medicines and results agree with, and short ones that pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from .chart import Chart, Visit
from .fhir import Json, hl7, moment, snomed

PROBLEM = [hl7("condition-category", "problem-list-item", "Problem List Item")]
DIAGNOSIS = [hl7("condition-category", "encounter-diagnosis", "Encounter Diagnosis")]
CONFIRMED = hl7("condition-ver-status", "confirmed", "Confirmed")


def clinical(code: str) -> Json:
    return hl7("condition-clinical", code, code.capitalize())


@dataclass(frozen=True)
class Ill:
    key: str
    code: Json
    from_age: int
    probability: float


LONG_TERM = (
    Ill("diabetes", snomed("44054006", "Type 2 diabetes mellitus"), 35, 0.17),
    Ill("hypertension", snomed("59621000", "Essential hypertension"), 35, 0.32),
    Ill("asthma", snomed("195967001", "Asthma"), 5, 0.12),
    Ill("lipids", snomed("55822004", "Hyperlipidaemia"), 40, 0.28),
    Ill("thyroid", snomed("40930008", "Hypothyroidism"), 30, 0.08),
    Ill("ckd", snomed("709044004", "Chronic kidney disease"), 60, 0.14),
    Ill("af", snomed("49436004", "Atrial fibrillation"), 62, 0.12),
    Ill("knee", snomed("239873007", "Osteoarthritis of knee"), 50, 0.2),
    Ill("gout", snomed("90560007", "Gout"), 45, 0.06),
    Ill("copd", snomed("13645005", "Chronic obstructive lung disease"), 55, 0.08),
    Ill("bones", snomed("64859006", "Osteoporosis"), 66, 0.12),
    Ill("reflux", snomed("235595009", "Gastro-oesophageal reflux disease"), 30, 0.12),
    Ill("heart failure", snomed("84114007", "Heart failure"), 70, 0.1),
    Ill("anaemia", snomed("271737000", "Anaemia"), 16, 0.07),
)
PASSING = (
    Ill("bronchitis", snomed("10509002", "Acute bronchitis"), 18, 1),
    Ill("throat", snomed("195662009", "Acute viral pharyngitis"), 3, 1),
    Ill("ear", snomed("65363002", "Otitis media"), 0, 1),
    Ill("bladder", snomed("68566005", "Urinary tract infection"), 18, 1),
    Ill("ankle", snomed("44465007", "Sprain of ankle"), 8, 1),
    Ill("sinus", snomed("36971009", "Sinusitis"), 14, 1),
)
SUSPECTED = snomed("162573006", "Suspected lung cancer")
BY_KEY = {ill.key: ill for ill in (*LONG_TERM, *PASSING)}


def fall_ill(chart: Chart) -> None:
    """Decide which long-term problems there are, and since when: what the other modules build on."""
    if chart.has("no-visits"):
        return
    age = chart.age_on(chart.last_day)
    for ill in LONG_TERM:
        likely = age >= ill.from_age and chart.chance(ill.probability)
        if likely or chart.has(ill.key):
            longest = max(0.4, min(9.0, age - ill.from_age + 0.5))
            chart.ills[ill.key] = chart.last_day - timedelta(days=int(365 * chart.rng.uniform(0.3, longest)))


def add_conditions(chart: Chart) -> None:
    if not chart.visits:
        return
    for key, onset in chart.ills.items():
        onset = max(onset, chart.person.born)
        gone = key == "anaemia" and chart.chance(0.5)
        chart.condition_of[key] = add_condition(
            chart, BY_KEY[key].code, onset, ended=onset + (chart.last_day - onset) / 2 if gone else None
        )
    for visit in chart.visits:
        if visit.kind in ("AMB", "EMER") and chart.chance(0.22):
            pass_through(chart, visit)
    if chart.age_on(chart.last_day) > 50 and chart.chance(0.15):
        refute(chart)
    if chart.has("lab-oddities"):
        add_oddities(chart)


def add_condition(
    chart: Chart,
    code: Json,
    onset: date,
    *,
    ended: date | None = None,
    security: list[Json] | None = None,
    **more: object,
) -> Json:
    """One problem of the list, active or resolved on the day it `ended`."""
    fields: Json = {
        "clinicalStatus": clinical("resolved" if ended else "active"),
        "verificationStatus": CONFIRMED,
        "category": PROBLEM,
        "code": code,
        "subject": chart.subject,
        "onsetDateTime": onset.isoformat(),
        "abatementDateTime": ended.isoformat() if ended else None,
        "recordedDate": onset.isoformat(),
        "recorder": chart.doctor(),
    }
    return chart.add("Condition", chart.at(ended or onset), security, **(fields | more))


def pass_through(chart: Chart, visit: Visit) -> None:
    """A short illness: diagnosed at the visit, over within three weeks unless it is too recent to know."""
    ill = chart.rng.choice([ill for ill in PASSING if chart.age_on(visit.day) >= ill.from_age])
    ended: date | None = visit.day + timedelta(days=chart.rng.randint(5, 21))
    if ended and ended > chart.last_day:
        ended = None
    made = add_condition(
        chart,
        ill.code,
        visit.day,
        ended=ended,
        category=DIAGNOSIS,
        encounter=visit.reference,
        recordedDate=moment(visit.start),
    )
    chart.ills.setdefault(ill.key, visit.day)
    chart.condition_of.setdefault(ill.key, made)


def refute(chart: Chart) -> None:
    """A suspicion that proved wrong: it stays on the record, and says so."""
    visit = chart.rng.choice(chart.visits)
    add_condition(
        chart,
        SUSPECTED,
        visit.day,
        clinicalStatus=clinical("inactive"),
        verificationStatus=hl7("condition-ver-status", "refuted", "Refuted"),
        encounter=visit.reference,
        note=[{"text": "Computed tomography showed no tumour. Patient informed."}],
    )


def add_oddities(chart: Chart) -> None:
    """Words without a code, a remission, an onset by age, markup in a note, and a mistake that was struck out."""
    day = chart.visits[0].day
    add_condition(chart, {"text": "Funny turns, cause not found"}, day)
    add_condition(chart, snomed("69896004", "Rheumatoid arthritis"), day, clinicalStatus=clinical("remission"))
    add_condition(
        chart,
        snomed("37796009", "Migraine"),
        day,
        onsetDateTime=None,
        onsetAge={"value": 19, "unit": "years", "system": "http://unitsofmeasure.org", "code": "a"},
        note=[{"text": "Worse with <b>bright light</b> & noise <img src=x onerror=alert('note')>"}],
    )
    wrong = add_condition(chart, snomed("73211009", "Diabetes mellitus"), day)
    chart.revise(
        wrong, chart.at(day + timedelta(days=3)), verificationStatus=hl7("condition-ver-status", "entered-in-error")
    )
    del wrong["clinicalStatus"]  # FHIR's rule con-5: a mistake has no clinical status
    refute(chart)
