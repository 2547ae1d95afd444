"""Medicines dispensed and doses given: what came of a prescription."""

from datetime import UTC, date, tzinfo

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.display import amounts, codes, dates, fhir, medicines
from records.display.entry import Entry, Words, facts, lines, reasons, standing
from records.display.marks import Kind, Mark
from records.display.words import clean, clean_lines

DISPENSED: Words = {
    "preparation": (gettext_lazy("In preparation"), Kind.PLANNED),
    "in-progress": (gettext_lazy("In progress"), Kind.PRELIMINARY),
    "cancelled": (gettext_lazy("Cancelled"), Kind.CANCELLED),
    "on-hold": (gettext_lazy("On hold"), Kind.HELD),
    "completed": (gettext_lazy("Dispensed"), None),
    "stopped": (gettext_lazy("Stopped"), Kind.STOPPED),
    "declined": (gettext_lazy("Declined"), Kind.REFUSED),
}
GIVEN: Words = {
    "in-progress": (gettext_lazy("Being given"), Kind.PRELIMINARY),
    "not-done": (gettext_lazy("Not given"), Kind.REFUSED),
    "on-hold": (gettext_lazy("On hold"), Kind.HELD),
    "completed": (gettext_lazy("Given"), None),
    "stopped": (gettext_lazy("Stopped"), Kind.STOPPED),
}


def dispense(resource: fhir.Json, _today: date, zone: tzinfo = UTC) -> Entry:
    status, marks, stands = standing(resource, DISPENSED)
    quantity, days = amounts.dose(resource.get("quantity")), amounts.dose(resource.get("daysSupply"))
    amount = quantity.text if quantity else ""
    lasting = _("for %(time)s") % {"time": days.text} if days else ""
    by = codes.names_of([one.get("actor") for one in fhir.mappings(resource.get("performer"))])
    handed = dates.read(resource.get("whenHandedOver"), zone)
    prepared = dates.read(resource.get("whenPrepared"), zone)
    instead = fhir.mapping(resource.get("substitution")).get("wasSubstituted") is True
    kind, because = fhir.choice(resource, "statusReason")
    why = codes.text_of(because) if kind == "CodeableConcept" else codes.referred(because)
    told = instructions(resource.get("dosageInstruction"), zone)
    return Entry(
        _("Dispensed"),
        called(resource),
        status,
        handed if handed.known else prepared,
        lines=lines(" ".join(filter(None, (amount, lasting))), *told, why),
        by=by,
        where=codes.names_of(resource.get("location")),
        marks=(*marks, *([Mark(Kind.AMENDED, _("Substituted"))] if instead else ()), *medicines.doubts_of(resource)),
        notes=codes.notes(resource),
        stands=stands,
        facts=facts(
            (_("Amount"), amount),
            (_("Lasts"), days.text if days else ""),
            (_("Handed over"), handed),
            (_("Prepared"), prepared),
            (_("Type"), codes.text_of(resource.get("type"))),
            (_("Instructions"), "; ".join(told)),
            (_("Why not"), why),
            (_("Received by"), codes.names_of(resource.get("receiver"))),
        ),
        about=fhir.reference_key(fhir.first(resource.get("authorizingPrescription"))),
    )


def administration(resource: fhir.Json, _today: date, zone: tzinfo = UTC) -> Entry:
    status, marks, stands = standing(resource, GIVEN)
    given = fhir.mapping(resource.get("dosage"))
    dose, rate = amounts.dose(given.get("dose")), medicines.rate_of(*fhir.choice(given, "rate"))
    how = ", ".join(filter(None, (dose.text if dose else "", rate, medicines.route_of(given))))
    why_not = codes.joined(list(codes.texts_of(resource.get("statusReason"))))
    _kind, period = fhir.choice(resource, "effective")
    ended = dates.read(fhir.mapping(period).get("end"), zone)
    return Entry(
        _("Given"),
        called(resource),
        status,
        dates.occurrence(resource, "effective", zone),
        lines=lines(how or clean_lines(given.get("text")).strip(), why_not),
        by=codes.names_of([one.get("actor") for one in fhir.mappings(resource.get("performer"))]),
        marks=(*marks, *medicines.doubts_of(resource)),
        notes=codes.notes(resource),
        stands=stands and fhir.plain_code(resource.get("status")) != "not-done",
        facts=facts(
            (_("Dose"), dose.text if dose else _("Dose not recorded")),
            (_("Rate"), rate),
            (_("Route"), medicines.route_of(given)),
            (_("As written"), clean(given.get("text"))),
            (_("Until"), ended),
            (_("For"), reasons(resource)),
            (_("Why not"), why_not),
        ),
        about=fhir.reference_key(resource.get("request")),
    )


def called(resource: fhir.Json) -> str:
    return " — ".join(part.text for part in medicines.name_of(resource))


def instructions(dosages: object, zone: tzinfo) -> list[str]:
    """Each step in one text: what the source wrote, else its parts."""
    held = [medicines.dosage_of(one, zone) for one in fhir.mappings(dosages)]
    spoken = (" — ".join(f"{p.label} {p.text}".strip() for p in one.parts if p.role != "no-dose") for one in held)
    return [one.written or said for one, said in zip(held, spoken, strict=True) if one.written or said]
