"""Encounters: when the patient was here, why, and who else had a hand in it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from .chart import Chart, Visit
from .fhir import ACT_CODE, Json, coding, hl7, moment, ref, snomed
from .people import Tie

CLASSES = {
    "AMB": coding(ACT_CODE, "AMB", "ambulatory"),
    "EMER": coding(ACT_CODE, "EMER", "emergency"),
    "IMP": coding(ACT_CODE, "IMP", "inpatient encounter"),
    "VR": coding(ACT_CODE, "VR", "virtual"),
}
TYPES = {
    "AMB": (snomed("185349003", "Encounter for check up"), snomed("185345009", "Encounter for symptom")),
    "EMER": (snomed("50849002", "Emergency room admission"),),
    "IMP": (snomed("32485007", "Hospital admission"),),
    "VR": (snomed("185317003", "Telephone encounter"),),
}
REASONS = {
    "AMB": (
        "Review of long-term condition",
        "Tiredness",
        "Routine check",
        "Follow-up of results",
        "Back pain",
        "New cough",
    ),
    "EMER": ("Chest pain", "Fall at home", "Shortness of breath", "Abdominal pain", "High temperature"),
    "IMP": ("Pneumonia", "Planned operation", "Acute confusion", "Unstable blood sugar", "Fracture after a fall"),
    "VR": ("Results by telephone", "Medicine review by video", "Advice by telephone"),
}
CHILD_REASONS = ("Growth and development check", "Fever", "Earache", "Feeding advice", "Rash")
ROOM = {"AMB": "outpatients", "EMER": "emergency", "IMP": "ward"}
MINUTES = {"AMB": (15, 40), "EMER": (90, 420), "VR": (5, 20)}
CHECKS = (0.02, 0.12, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7, 9, 11, 13, 15, 17)  # ages in years


def add_visits(chart: Chart) -> None:
    """All ordinary encounters, oldest first; visits about sensitive matters are added with those."""
    if chart.has("no-visits"):
        return
    for day in days(chart):
        visit(chart, day, kind(chart, day))
    for tie in chart.person.ties:
        if tie.basis == "encounter":
            partner_visit(chart, tie)
    if chart.has("in-progress"):
        admitted = chart.person.born if chart.has("newborn") else chart.last_day - timedelta(days=1)
        visit(chart, admitted, "IMP", still_here=True)
    chart.visits.sort(key=lambda visit: visit.start)


def days(chart: Chart) -> list[date]:
    """Between 5 and 25 days of the last six years of the life so far; children come by the calendar."""
    first = max(chart.person.born, chart.last_day - timedelta(days=6 * 365))
    span = (chart.last_day - first).days
    if span < 5:
        return []
    if chart.age_on(chart.last_day) < 18:
        planned = [chart.person.born + timedelta(days=round(age * 365.25)) for age in CHECKS]
        chosen = {day for day in planned if first <= day <= chart.last_day}
        chosen |= {first + timedelta(days=chart.rng.randrange(span)) for _ in range(max(3, 6 - len(chosen)))}
        return sorted(chosen)
    often = 3 if chart.has("short") else min(16, 6 + int(chart.age_on(chart.last_day) / 12) + chart.rng.randint(0, 4))
    return sorted(first + timedelta(days=offset) for offset in chart.rng.sample(range(span), min(max(5, often), span)))


def kind(chart: Chart, day: date) -> str:
    if chart.has("emergency-only"):
        return "EMER"
    old = chart.age_on(day) > 65
    return chart.rng.choices(
        ("AMB", "EMER", "IMP", "VR"), (66, 12, 12 if old else 5, 14 if chart.age_on(day) > 16 else 2)
    )[0]


def visit(
    chart: Chart,
    day: date,
    kind: str,
    *,
    still_here: bool = False,
    reason: str = "",
    security: list[Json] | None = None,
    extra: Json | None = None,
) -> Visit:
    """Add one encounter; `security` are its labels, `extra` overrides single elements."""
    start = chart.at(day)
    end = None if still_here else leaves(chart, start, kind)
    doctor = chart.doctor()
    words = reason or chart.rng.choice(CHILD_REASONS if chart.age_on(day) < 12 and kind != "VR" else REASONS[kind])
    fields: Json = {
        "status": "in-progress" if still_here else "finished",
        "class": CLASSES[kind],
        "type": [chart.rng.choice(TYPES[kind])],
        "subject": chart.subject,
        "participant": [{"type": [hl7("v3-ParticipationType", "PPRF", "primary performer")], "individual": doctor}],
        "period": {"start": moment(start)} | ({"end": moment(end)} if end else {}),
        "reasonCode": [{"text": words}],
        "serviceProvider": ref(chart.places.facility, chart.source.title),
    }
    if kind in ROOM:
        room = chart.places.rooms[ROOM[kind]]
        fields["location"] = [{"location": ref(room, room["name"]), "status": "active" if still_here else "completed"}]
    if kind == "IMP" and end:
        fields["hospitalization"] = {"dischargeDisposition": hl7("discharge-disposition", "home", "Home")}
    made = chart.add("Encounter", end or start, security, **(fields | (extra or {})))
    done = Visit(kind, start, end, ref(made), doctor)
    if not security:  # what belongs to a sensitive visit is made, and labelled, where the visit is
        chart.visits.append(done)
    return done


def leaves(chart: Chart, start: datetime, kind: str) -> datetime:
    if kind != "IMP":
        return start + timedelta(minutes=chart.rng.randint(*MINUTES[kind]))
    latest = chart.at(chart.last_day, 18)
    return max(start + timedelta(hours=1), min(start + timedelta(days=chart.rng.randint(2, 6)), latest))


def partner_visit(chart: Chart, tie: Tie) -> None:
    """A visit that brings the patient into a partner's caseload: they came from there, or were seen by them.

    A tie in force rests on a visit of the last three weeks, one that has ended on a visit long ago.
    """
    partner = chart.places.partners[tie.partner]
    there = ref(partner, partner["name"])
    ago = chart.rng.randint(700, 900) if tie.ended else chart.rng.randint(6, 20)
    day = max(chart.person.born, chart.last_day - timedelta(days=ago))
    if tie.partner == "willowcourt":
        stay = {
            "origin": there,
            "destination": there,
            "dischargeDisposition": hl7("discharge-disposition", "snf", "Skilled nursing facility"),
        }
        visit(chart, day, "IMP", reason="Fall in the nursing home", extra={"hospitalization": stay})
        return
    role = chart.places.partner_roles[tie.partner]
    consultant = {"type": [hl7("v3-ParticipationType", "CON", "consultant")], "individual": ref(role, partner["name"])}
    reason = f"Joint clinic with {partner['name']}"
    visit(chart, day, "AMB", reason=reason, extra={"serviceProvider": there, "participant": [consultant]})
