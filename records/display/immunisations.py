"""Immunisations: what was given, what was not, and when."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from clinicportal.texts import gettext as _
from records.display import amounts, codes, dates, fhir
from records.display.dates import When
from records.display.marks import Kind, Mark, entered_in_error
from records.display.words import clean


@dataclass(frozen=True)
class Immunisation:
    vaccine: str
    given: When
    dose: str = ""
    lot: str = ""
    site: str = ""
    by: str = ""
    source: str = ""
    reason: str = ""
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    stands: bool = True
    reference: str = ""


def of(resource: fhir.Json, zone: tzinfo = UTC) -> Immunisation:
    status = fhir.plain_code(resource.get("status"))
    return Immunisation(
        vaccine=codes.text_of(resource.get("vaccineCode"), missing=_("Vaccine not named")),
        given=dates.occurrence(resource, "occurrence", zone),
        dose=_dose(resource),
        lot=clean(resource.get("lotNumber")),
        site=", ".join(filter(None, (codes.text_of(resource.get("site")), codes.text_of(resource.get("route"))))),
        by=_by(resource),
        source=_source(resource),
        reason=codes.joined(list(codes.texts_of(resource.get("statusReason")))),
        marks=_marks(resource, status),
        notes=codes.notes(resource),
        stands=status not in ("not-done", "entered-in-error"),
        reference=f"Immunization/{clean(resource.get('id'))}",
    )


def sort(immunisations: Iterable[Immunisation]) -> tuple[Immunisation, ...]:
    """Newest first; what was not given or was recorded in error keeps its place, marked."""
    return tuple(sorted(immunisations, key=lambda item: item.given.order, reverse=True))


def _dose(resource: fhir.Json) -> str:
    protocol = fhir.first(resource.get("protocolApplied"))
    number, of_all = fhir.choice(protocol, "doseNumber")[1], fhir.choice(protocol, "seriesDoses")[1]
    parts = []
    if _counted(number) and _counted(of_all):
        parts.append(_("dose %(number)s of %(all)s") % {"number": _counted(number), "all": _counted(of_all)})
    elif _counted(number):
        parts.append(_("dose %(number)s") % {"number": _counted(number)})
    amount = amounts.dose(resource.get("doseQuantity"))
    return ", ".join([*parts, *([amount.text] if amount else [])])


def _counted(value: object) -> str:
    return clean(value) or str(fhir.whole(value) or "")


def _by(resource: fhir.Json) -> str:
    actors = [performer.get("actor") for performer in fhir.mappings(resource.get("performer"))]
    return codes.names_of(actors) or codes.names_of(resource.get("location"))


def _source(resource: fhir.Json) -> str:
    """Told by someone is less sure than seen by who gave it."""
    if resource.get("primarySource") is False:
        return codes.text_of(resource.get("reportOrigin")) or _("Reported, not seen by the source")
    return ""


def _marks(resource: fhir.Json, status: str) -> tuple[Mark, ...]:
    if status == "entered-in-error":
        return (entered_in_error(),)
    marks: tuple[Mark, ...] = ()
    if status == "not-done":
        marks = (Mark(Kind.REFUSED, _("Not given")),)
    elif status != "completed":
        marks = (Mark(Kind.UNKNOWN, _("Status not known")),)
    return (*marks, Mark(Kind.REJECTED, _("Subpotent"))) if resource.get("isSubpotent") is True else marks
