"""What stands beside the main lists of a chart: dispenses and doses, devices, forms, appointments, impressions."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from .chart import Chart, Visit
from .fhir import Json, moment, quantity, ref, snomed

PACEMAKER = snomed("14106009", "Cardiac pacemaker")
FALLS: tuple[tuple[str, str, list[Json]], ...] = (
    ("1", "Did you fall in the last 12 months?", [{"valueBoolean": True}]),
    ("2", "How often?", [{"valueInteger": 2}]),
    ("3", "Do you feel unsteady when you stand or walk?", [{"valueBoolean": True}]),
    ("4", "What do you use to walk?", [{"valueString": "Stick"}]),
    ("5", "Are you worried that you will fall?", []),
)
SERVICES = ("Heart clinic", "Diabetes clinic", "Eye screening", "Physiotherapy", "Blood test")


def add_beside(chart: Chart) -> None:
    """A few of each, after all else, so that nobody's record is another one for it."""
    if not chart.visits or chart.has("merged-away"):
        return
    if chart.chance(0.4):
        dispense(chart)
    if "af" in chart.ills or (chart.age_on(chart.last_day) > 75 and chart.chance(0.2)):
        add_pacemaker(chart)
    for visit in chart.visits:
        if visit.kind == "IMP" and chart.chance(0.5):
            give(chart, visit)
            if visit.end:
                discharge(chart, visit, visit.end)
        if visit.kind == "EMER" and chart.chance(0.3):
            assess(chart, visit)
    if chart.age_on(chart.last_day) > 70:
        ask_about_falls(chart)
    if not chart.person.died and "died-undated" not in chart.person.traits and chart.chance(0.4):
        book(chart)
    if chart.chance(0.15):
        begin_episode(chart)
    if chart.age_on(chart.last_day) < 18 and chart.chance(0.5):
        recommend(chart)


def dispense(chart: Chart) -> None:
    """What the pharmacy handed over of the newest order, by somebody whose name only the directory has."""
    orders = [made for made in chart.resources if made["resourceType"] == "MedicationRequest"]
    orders = [made for made in orders if made["status"] == "active" and "medicationCodeableConcept" in made]
    orders = [made for made in orders if not made.get("doNotPerform") and "security" not in made["meta"]]
    for order in orders[:2]:
        at = max(datetime.fromisoformat(order["authoredOn"]), chart.at(chart.last_day - timedelta(days=20)))
        if at.date() > chart.last_day:
            continue
        chart.add(
            "MedicationDispense",
            at,
            status="completed",
            medicationCodeableConcept=order["medicationCodeableConcept"],
            subject=chart.subject,
            performer=[{"actor": ref(chart.rng.choice(chart.places.staff))}],
            authorizingPrescription=[ref(order)],
            quantity=quantity(28, "tablets", "{tbl}"),
            daysSupply=quantity(28, "days", "d"),
            whenHandedOver=moment(at),
        )


def give(chart: Chart, visit: Visit) -> None:
    """Doses of a stay, one of them refused."""
    for number in range(3):
        at = visit.start + timedelta(hours=1 + 6 * number)
        if (visit.end and at > visit.end) or at.date() > chart.last_day:
            return
        chart.add(
            "MedicationAdministration",
            at,
            status="not-done" if number == 2 else "completed",
            statusReason=[{"text": "Declined by the patient"}] if number == 2 else None,
            medicationCodeableConcept={"text": "Acetaminophen"},
            subject=chart.subject,
            context=visit.reference,
            effectiveDateTime=moment(at),
            performer=[{"actor": visit.doctor}],
            dosage={"dose": quantity(1, "g"), "route": snomed("26643006", "Oral route")},
        )


def discharge(chart: Chart, visit: Visit, left: datetime) -> None:
    """A letter by sections, as a FHIR document has it."""
    texts = (
        ("Course", "Admitted for observation. <b>Improved</b> under treatment, walked without help."),
        ("Plan", "Continue the medicines as listed. Review by the practice in two weeks."),
    )
    chart.add(
        "Composition",
        left,
        status="final",
        type={"coding": [{"system": "http://loinc.org", "code": "18842-5", "display": "Discharge summary"}]},
        subject=chart.subject,
        encounter=visit.reference,
        date=moment(left),
        author=[visit.doctor],
        title="Discharge summary",
        section=[
            {
                "title": title,
                "text": {
                    "status": "generated",
                    "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{said}</p></div>',
                },
            }
            for title, said in texts
        ],
    )


def assess(chart: Chart, visit: Visit) -> None:
    at = visit.end or visit.start
    chart.add(
        "ClinicalImpression",
        at,
        status="completed",
        code={"text": "Assessment in the emergency department"},
        subject=chart.subject,
        encounter=visit.reference,
        effectiveDateTime=moment(at),
        date=moment(at),
        assessor=visit.doctor,
        summary="Stable, no sign of a stroke or fracture. Can go home with somebody.",
        finding=[{"itemCodeableConcept": {"text": "Bruised hip"}, "basis": "Seen and felt"}],
    )


def ask_about_falls(chart: Chart) -> None:
    visit = chart.visits[-1]
    at = visit.end or visit.start
    chart.add(
        "QuestionnaireResponse",
        at,
        questionnaire="http://hospital.example/Questionnaire/falls",
        _questionnaire={
            "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/display", "valueString": "Risk of falling"}]
        },
        status="completed",
        subject=chart.subject,
        encounter=visit.reference,
        authored=moment(at),
        author=visit.doctor,
        source=chart.subject,
        item=[{"linkId": link, "text": text, **({"answer": answer} if answer else {})} for link, text, answer in FALLS],
    )


def add_pacemaker(chart: Chart) -> None:
    implanted = max(chart.person.born, chart.visits[0].day)
    at = chart.at(implanted)
    device = chart.add(
        "Device",
        at,
        status="active",
        type=PACEMAKER,
        patient=chart.subject,
        manufacturer="Northfield Instruments",
        deviceName=[{"name": "Steady Beat DR", "type": "user-friendly-name"}],
        serialNumber=f"SB-{chart.person.ordinal + 1000}",
        safety=[{"text": "MR conditional"}],
    )
    chart.add(
        "DeviceUseStatement",
        at,
        status="active",
        subject=chart.subject,
        device=ref(device),
        timingPeriod={"start": implanted.isoformat()},
        recordedOn=implanted.isoformat(),
        bodySite={"text": "Left chest"},
        source=chart.doctor(),
    )


def book(chart: Chart) -> None:
    """What is to come; it was booked in the days before the data end."""
    at = chart.at(max(chart.person.born, chart.last_day - timedelta(days=2)))
    day = chart.today + timedelta(days=chart.rng.randint(3, 40))
    start = datetime.combine(day, time(chart.rng.randrange(8, 16), 30), UTC)
    room = chart.rng.choice(list(chart.places.rooms.values()))
    chart.add(
        "Appointment",
        at,
        status="booked",
        serviceType=[{"text": chart.rng.choice(SERVICES)}],
        start=moment(start),
        end=moment(start + timedelta(minutes=30)),
        created=moment(at),
        participant=[
            {"actor": chart.subject, "status": "accepted"},
            {"actor": chart.doctor(), "status": "accepted"},
            {"actor": ref(room, room["name"]), "status": "accepted"},
        ],
    )


def begin_episode(chart: Chart) -> None:
    since = chart.visits[-1].day
    chart.add(
        "EpisodeOfCare",
        chart.at(since),
        status="active",
        type=[{"text": "Long-term condition programme"}],
        patient=chart.subject,
        managingOrganization=ref(chart.places.facility, chart.source.title),
        period={"start": since.isoformat()},
        careManager=chart.doctor(),
    )


def recommend(chart: Chart) -> None:
    day = chart.visits[-1].day
    due: Json = {"code": {"text": "Due from"}, "value": (day + timedelta(days=200)).isoformat()}
    chart.add(
        "ImmunizationRecommendation",
        chart.at(day),
        patient=chart.subject,
        date=day.isoformat(),
        recommendation=[
            {
                "vaccineCode": [{"text": "Tetanus and diphtheria, booster"}],
                "forecastStatus": {"text": "Due"},
                "dateCriterion": [due],
            }
        ],
    )
