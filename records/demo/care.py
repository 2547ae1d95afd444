"""Procedures, imaging, plans and goals, the care team, referrals, and what runs in the family."""

from __future__ import annotations

from datetime import date, timedelta

from .chart import Chart
from .fhir import Json, hl7, moment, quantity, ref, snomed
from .people import Tie

PROCEDURES = (
    (snomed("73761001", "Colonoscopy"), 50),
    (snomed("40701008", "Echocardiography"), 45),
    (snomed("80146002", "Appendectomy"), 8),
    (snomed("127783003", "Spirometry"), 12),
    (snomed("54885007", "Extraction of cataract"), 62),
    (snomed("274474001", "Bone immobilisation"), 4),
)
IMAGES = (
    ("DX", "Digital Radiography", snomed("51185008", "Chest"), "Chest X-ray"),
    ("CT", "Computed Tomography", snomed("69536005", "Head"), "CT of head"),
    ("US", "Ultrasound", snomed("818983003", "Abdomen"), "Ultrasound of abdomen"),
)
PLANS = {
    "diabetes": ("Diabetes plan", "Haemoglobin A1c below 7 %", ("Foot check every year", "Eye screening every year")),
    "hypertension": (
        "Blood pressure plan",
        "Blood pressure below 140/90 mmHg",
        ("Measure at home each week", "Less salt"),
    ),
    "asthma": ("Asthma plan", "No night-time cough", ("Inhaler technique at each visit",)),
    "heart failure": (
        "Heart failure plan",
        "Stable weight",
        ("Weigh every morning", "Call when 2 kg heavier in 3 days"),
    ),
}
FAMILY = (
    ("FTH", "father", snomed("22298006", "Myocardial infarction"), 58),
    ("MTH", "mother", snomed("44054006", "Type 2 diabetes mellitus"), 51),
    ("SIB", "sibling", snomed("195967001", "Asthma"), 9),
)


def add_care(chart: Chart) -> None:
    if not chart.visits:
        return
    add_procedures(chart)
    add_imaging(chart)
    for problem in chart.ills:
        if problem in PLANS and (chart.has(problem) or chart.chance(0.5)):
            add_plan(chart, problem)
    if chart.chance(0.25):
        add_family_history(chart)
    for tie in chart.person.ties:
        if tie.basis == "care-team":
            add_team(chart, tie)
        if tie.basis == "referral":
            refer(chart, tie)
    if chart.chance(0.15):
        request(chart, chart.rng.choice(chart.visits).day, "Physiotherapy", status="completed")


def add_procedures(chart: Chart) -> None:
    for visit in chart.visits:
        likely = 0.7 if visit.kind == "IMP" else 0.06
        due = [code for code, age in PROCEDURES if chart.age_on(visit.day) >= age]
        if due and visit.end and chart.chance(likely):
            not_done = chart.chance(0.05)
            chart.add(
                "Procedure",
                visit.end,
                status="not-done" if not_done else "completed",
                statusReason={"text": "Patient was not fasting"} if not_done else None,
                code=chart.rng.choice(due),
                subject=chart.subject,
                encounter=visit.reference,
                performedPeriod={"start": moment(visit.start), "end": moment(visit.end)},
                performer=[{"actor": visit.doctor}],
            )


def add_imaging(chart: Chart) -> None:
    """Studies as a list of series and instances; the pictures themselves are nowhere."""
    for visit in chart.visits:
        if visit.kind in ("EMER", "IMP") and chart.chance(0.35):
            modality, words, site, title = chart.rng.choice(IMAGES)
            # 2.25 is the arc for identifiers made from a UUID; a hundred-thousand-fold keeps ours apart.
            uid = f"2.25.{chart.person.ordinal + 1}{chart.rng.randrange(10**9, 10**10)}"
            kind = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": modality, "display": words}
            series = {
                "uid": f"{uid}.1",
                "number": 1,
                "modality": kind,
                "bodySite": site["coding"][0],
                "numberOfInstances": 2,
                "started": moment(visit.start),
            }
            chart.add(
                "ImagingStudy",
                visit.start + timedelta(hours=1),
                identifier=[{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
                status="available",
                modality=[kind],
                subject=chart.subject,
                encounter=visit.reference,
                started=moment(visit.start + timedelta(minutes=30)),
                numberOfSeries=1,
                numberOfInstances=2,
                description=title,
                series=[series],
            )


def add_plan(chart: Chart, problem: str) -> None:
    title, target, steps = PLANS[problem]
    since = max(chart.ills[problem], chart.person.born)
    at = chart.at(since)
    goal = chart.add(
        "Goal",
        at,
        lifecycleStatus="active",
        achievementStatus=hl7("goal-achievement", "in-progress", "In Progress"),
        description={"text": target},
        subject=chart.subject,
        startDate=since.isoformat(),
        target=[
            {"dueDate": (since + timedelta(days=365)).isoformat(), "detailQuantity": quantity(7, "%"), "measure": A1C}
        ]
        if problem == "diabetes"
        else None,
    )
    chart.add(
        "CarePlan",
        at,
        status="active",
        intent="plan",
        category=[hl7("us-core-category", "assess-plan", "Assessment and plan of treatment")],
        title=title,
        subject=chart.subject,
        period={"start": since.isoformat()},
        addresses=[ref(chart.condition_of[problem])] if problem in chart.condition_of else None,
        goal=[ref(goal)],
        activity=[{"detail": {"status": "in-progress", "description": step}} for step in steps],
    )


A1C = {"coding": [{"system": "http://loinc.org", "code": "4548-4", "display": "Haemoglobin A1c"}]}


def add_family_history(chart: Chart) -> None:
    code, words, condition, age = chart.rng.choice(FAMILY)
    day = chart.visits[0].day
    chart.add(
        "FamilyMemberHistory",
        chart.at(day),
        status="completed",
        patient=chart.subject,
        date=day.isoformat(),
        relationship=hl7("v3-RoleCode", code, words),
        condition=[
            {
                "code": condition,
                "onsetAge": {"value": age, "unit": "years", "system": "http://unitsofmeasure.org", "code": "a"},
            }
        ],
    )


def add_team(chart: Chart, tie: Tie) -> None:
    """A team that a partner leads, and one of its people in it: what puts the patient into that caseload."""
    partner = chart.places.partners[tie.partner]
    role = chart.places.partner_roles[tie.partner]
    since, until = term(chart, tie)
    period = {"start": since.isoformat()} | ({"end": until.isoformat()} if until else {})
    there = ref(partner, partner["name"])
    ours = chart.doctor()
    chart.add(
        "CareTeam",
        chart.at(until or since),
        status="inactive" if tie.ended else "active",
        name=f"Care team with {partner['name']}",
        subject=chart.subject,
        period=period,
        participant=[
            {"role": [{"text": "Lead"}], "member": ours, "period": period},
            {"role": [role["code"][0]], "member": ref(role, partner["name"]), "period": period},
            {"role": [{"text": "Organisation"}], "member": there, "period": period},
        ],
        managingOrganization=[there],
    )


def refer(chart: Chart, tie: Tie) -> None:
    """A referral to a partner, or from the practice to us; either brings the patient into its caseload."""
    partner = chart.places.partners[tie.partner]
    there = ref(partner, partner["name"])
    since, until = term(chart, tie)
    if tie.partner == "northfield":
        request(chart, since, "Referral by the practice", status="active", requester=there)
        return
    status = "completed" if until else "active"
    request(chart, since, f"Referral to {partner['name']}", status=status, performer=[there])


def term(chart: Chart, tie: Tie) -> tuple[date, date | None]:
    """When a tie began, and when it ended if it did: recently, or about two years ago."""
    if tie.ended:
        since = chart.last_day - timedelta(days=chart.rng.randint(900, 1200))
        return since, since + timedelta(days=120)
    since = chart.last_day - timedelta(days=chart.rng.randint(10, 50))
    return max(since, chart.person.born), None


def request(chart: Chart, day: date, what: str, *, status: str, **more: object) -> None:
    at = chart.at(day)
    fields: Json = {
        "status": status,
        "intent": "order",
        "category": [snomed("3457005", "Patient referral")],
        "code": {"text": what},
        "subject": chart.subject,
        "authoredOn": moment(at),
        "requester": chart.doctor(),
        "occurrencePeriod": {"start": day.isoformat(), "end": (day + timedelta(days=120)).isoformat()},
    }
    chart.add("ServiceRequest", at, **(fields | more))
