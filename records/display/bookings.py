"""What is to come or goes on: appointments, episodes of care, vaccines that are due; who is close to the patient."""

from datetime import UTC, date, tzinfo

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.display import banner, codes, dates, fhir, names
from records.display.entry import Entry, Words, facts, lines, reasons, standing, table
from records.display.marks import Kind, Mark
from records.display.words import clean, clean_lines

BOOKED: Words = {
    "proposed": (gettext_lazy("Proposed"), Kind.PLANNED),
    "pending": (gettext_lazy("Not confirmed"), Kind.PLANNED),
    "booked": (gettext_lazy("Booked"), None),
    "arrived": (gettext_lazy("Arrived"), Kind.PRELIMINARY),
    "checked-in": (gettext_lazy("Checked in"), Kind.PRELIMINARY),
    "fulfilled": (gettext_lazy("Took place"), None),
    "cancelled": (gettext_lazy("Cancelled"), Kind.CANCELLED),
    "noshow": (gettext_lazy("Did not attend"), Kind.REFUSED),
    "waitlist": (gettext_lazy("On a waiting list"), Kind.PLANNED),
}
OPEN = {"proposed", "pending", "booked", "waitlist"}
EPISODE: Words = {
    "planned": (gettext_lazy("Planned"), Kind.PLANNED),
    "waitlist": (gettext_lazy("On a waiting list"), Kind.PLANNED),
    "active": (gettext_lazy("Goes on"), None),
    "onhold": (gettext_lazy("On hold"), Kind.HELD),
    "finished": (gettext_lazy("Ended"), None),
    "cancelled": (gettext_lazy("Cancelled"), Kind.CANCELLED),
}


def appointment(resource: fhir.Json, today: date, zone: tzinfo = UTC) -> Entry:
    code = fhir.plain_code(resource.get("status"))
    status, marks, stands = standing(resource, BOOKED)
    start, end = dates.read(resource.get("start"), zone), dates.read(resource.get("end"), zone)
    if code in OPEN and start.day and start.day >= today:
        marks = (Mark(Kind.PLANNED, _("To come")), *marks)
    elif code in OPEN and start.day:
        marks = (*marks, Mark(Kind.UNKNOWN, _("Outcome not recorded")))
    kind = codes.joined(list(codes.texts_of(resource.get("serviceType")))) or codes.text_of(
        resource.get("appointmentType")
    )
    actors = [one.get("actor") for one in fhir.mappings(resource.get("participant"))]
    places = [one for one in actors if fhir.referred_type(one) in ("Location", "HealthcareService")]
    people = [one for one in actors if one not in places and fhir.referred_type(one) != "Patient"]
    description, why = clean_lines(resource.get("description")).strip(), reasons(resource)
    cancelled = codes.text_of(resource.get("cancelationReason"))
    return Entry(
        _("Appointment"),
        kind or description or codes.joined(list(codes.texts_of(resource.get("specialty")))) or _("Appointment"),
        status,
        start,
        lines=lines(description if kind else "", _("For %(reason)s") % {"reason": why} if why else "", cancelled),
        by=codes.names_of(people),
        where=codes.names_of(places),
        marks=marks,
        notes=lines(clean(resource.get("comment")), clean(resource.get("patientInstruction"))),
        stands=stands and code != "cancelled",
        facts=facts(
            (_("Until"), end),
            (_("Type"), codes.text_of(resource.get("appointmentType"))),
            (_("Specialty"), codes.joined(list(codes.texts_of(resource.get("specialty"))))),
            (_("For"), why),
            (_("Described as"), description),
            (_("Why cancelled"), cancelled),
            (_("Made on"), dates.read(resource.get("created"), zone)),
        ),
    )


def episode(resource: fhir.Json, _today: date, zone: tzinfo = UTC) -> Entry:
    status, marks, stands = standing(resource, EPISODE)
    start, end = dates.of_period(resource.get("period"), zone)
    held = fhir.mappings(resource.get("diagnosis"))
    diagnoses = [(codes.referred(one.get("condition")), codes.text_of(one.get("role"))) for one in held]
    about = codes.joined(list(dict.fromkeys(name for name, _role in diagnoses if name)))
    return Entry(
        _("Episode of care"),
        codes.joined(list(codes.texts_of(resource.get("type")))) or _("Episode of care"),
        status,
        start,
        lines=lines(
            _("to %(date)s") % {"date": end.text} if end.known else "",
            _("For %(reason)s") % {"reason": about} if about else "",
        ),
        by=codes.names_of(resource.get("careManager")),
        where=codes.names_of(resource.get("managingOrganization")),
        marks=marks,
        stands=stands and fhir.plain_code(resource.get("status")) != "cancelled",
        facts=facts((_("Until"), end), (_("Team"), codes.names_of(resource.get("team")))),
        tables=table(_("Diagnoses"), (_("Diagnosis"), _("Role")), (row for row in diagnoses if row[0])),
    )


def recommendation(resource: fhir.Json, _today: date, zone: tzinfo = UTC) -> Entry:
    rows = [_due(one, zone) for one in fhir.mappings(resource.get("recommendation"))]
    return Entry(
        _("Recommended vaccines"),
        codes.joined(list(dict.fromkeys(row[0] for row in rows))) or _("Recommended vaccines"),
        codes.joined(list(dict.fromkeys(row[1] for row in rows if row[1]))) or "",
        dates.read(resource.get("date"), zone),
        lines=lines(*(": ".join((row[0], row[2])) for row in rows if row[2])),
        by=codes.names_of(resource.get("authority")),
        tables=table(_("Vaccines"), (_("Vaccine"), _("Status"), _("When"), _("Dose"), _("Why")), rows),
    )


def _due(one: fhir.Json, zone: tzinfo) -> tuple[str, ...]:
    vaccine = codes.joined(list(codes.texts_of(one.get("vaccineCode")))) or codes.text_of(one.get("targetDisease"))
    criteria = [
        " ".join(filter(None, (codes.text_of(held.get("code")), dates.read(held.get("value"), zone).text)))
        for held in fhir.mappings(one.get("dateCriterion"))
    ]
    _kind, dose = fhir.choice(one, "doseNumber")
    number = clean(dose) or str(fhir.whole(dose) or "")
    reason = codes.joined(list(codes.texts_of(one.get("forecastReason"))))
    status = codes.text_of(one.get("forecastStatus"))
    return vaccine or _("Vaccine not named"), status, ", ".join(criteria), number, reason


def relative(resource: fhir.Json, _today: date, zone: tzinfo = UTC) -> Entry:
    """Somebody close to the patient: who they are to each other, and how to reach them."""
    start, end = dates.of_period(resource.get("period"), zone)
    related = codes.joined(list(codes.texts_of(resource.get("relationship"))))
    reached = banner.address_and_contacts(resource)
    inactive = resource.get("active") is False
    return Entry(
        _("Relative or contact"),
        names.of_directory(resource)[0] or _("Name not recorded"),
        "",
        start,
        lines=lines(related, *(one.text for one in reached)),
        marks=(Mark(Kind.STOPPED, _("No longer so")),) if inactive or end.known else (),
        facts=facts((_("Relationship"), related), *((one.label, one.text) for one in reached), (_("Until"), end)),
    )
