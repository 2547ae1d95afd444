"""Procedures: what was done, when, where and by whom."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from clinicportal.texts import gettext as _
from records.display import codes, dates, fhir
from records.display.dates import When
from records.display.marks import Kind, Mark, entered_in_error
from records.display.words import clean


@dataclass(frozen=True)
class Procedure:
    name: str
    when: When
    by: str = ""
    where: str = ""
    site: str = ""
    reason: str = ""
    outcome: str = ""
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    stands: bool = True
    reference: str = ""


def of(resource: fhir.Json, zone: tzinfo = UTC) -> Procedure:
    status = fhir.plain_code(resource.get("status"))
    reasons = [
        *codes.texts_of(resource.get("reasonCode")),
        *map(codes.referred, fhir.mappings(resource.get("reasonReference"))),
    ]
    return Procedure(
        name=codes.text_of(resource.get("code"), missing=_("Procedure not named")),
        when=dates.occurrence(resource, "performed", zone),
        by=codes.names_of([p.get("actor") for p in fhir.mappings(resource.get("performer"))]),
        where=codes.names_of(resource.get("location")),
        site=codes.joined(list(codes.texts_of(resource.get("bodySite")))),
        reason=codes.joined(list(filter(None, reasons))),
        outcome=codes.text_of(resource.get("outcome")),
        marks=_marks(resource, status),
        notes=codes.notes(resource),
        stands=status not in ("not-done", "entered-in-error"),
        reference=f"Procedure/{clean(resource.get('id'))}",
    )


def sort(procedures: Iterable[Procedure]) -> tuple[Procedure, ...]:
    return tuple(sorted(procedures, key=lambda item: item.when.order, reverse=True))


def _marks(resource: fhir.Json, status: str) -> tuple[Mark, ...]:
    if status == "entered-in-error":
        return (entered_in_error(),)
    mark = {
        "not-done": Mark(Kind.REFUSED, _("Not done")),
        "preparation": Mark(Kind.PLANNED, _("In preparation")),
        "in-progress": Mark(Kind.PRELIMINARY, _("In progress")),
        "on-hold": Mark(Kind.HELD, _("On hold")),
        "stopped": Mark(Kind.STOPPED, _("Stopped")),
        "completed": None,
    }.get(status, Mark(Kind.UNKNOWN, _("Status not known")))
    return (mark,) if mark else ()
