"""Encounters: visits and stays, what kind, where, with whom and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from clinicportal.texts import gettext as _
from records.display import codes, dates, fhir
from records.display.dates import When
from records.display.marks import Kind, Mark, entered_in_error
from records.display.words import clean


@dataclass(frozen=True)
class Encounter:
    kind: str
    started: When
    ended: When
    setting: str = ""
    where: str = ""
    by: str = ""
    reason: str = ""
    outcome: str = ""
    marks: tuple[Mark, ...] = ()
    stands: bool = True
    open: bool = False
    reference: str = ""

    @property
    def one_day(self) -> bool:
        return self.started.day is not None and self.started.day == self.ended.day


def of(resource: fhir.Json, zone: tzinfo = UTC) -> Encounter:
    status = fhir.plain_code(resource.get("status"))
    started, ended = dates.of_period(resource.get("period"), zone)
    is_open = status in ("arrived", "triaged", "in-progress", "onleave")
    if not ended.known and not is_open:
        ended = dates.words(_("End not recorded"))
    stay = fhir.mapping(resource.get("hospitalization"))
    reasons = [
        *codes.texts_of(resource.get("reasonCode")),
        *map(codes.referred, fhir.mappings(resource.get("reasonReference"))),
        *(codes.referred(d.get("condition")) for d in fhir.mappings(resource.get("diagnosis"))),
    ]
    return Encounter(
        kind=codes.joined(list(codes.texts_of(resource.get("type")))) or _setting(resource) or _("Encounter"),
        started=started,
        ended=ended,
        setting=_setting(resource),
        where=_where(resource),
        by=codes.names_of([held.get("individual") for held in fhir.mappings(resource.get("participant"))]),
        reason=codes.joined(list(dict.fromkeys(filter(None, reasons)))),
        outcome=codes.text_of(stay.get("dischargeDisposition")),
        marks=_marks(status),
        stands=status not in ("cancelled", "entered-in-error"),
        open=is_open,
        reference=f"Encounter/{clean(resource.get('id'))}",
    )


def sort(encounters: Iterable[Encounter]) -> tuple[Encounter, ...]:
    return tuple(sorted(encounters, key=lambda item: item.started.order, reverse=True))


def _setting(resource: fhir.Json) -> str:
    held = resource.get("class")
    return {
        "AMB": _("Outpatient"),
        "EMER": _("Emergency"),
        "IMP": _("Inpatient"),
        "ACUTE": _("Inpatient, acute"),
        "NONAC": _("Inpatient, non-acute"),
        "OBSENC": _("Observation"),
        "SS": _("Short stay"),
        "HH": _("At home"),
        "FLD": _("In the field"),
        "VR": _("Virtual"),
        "PRENC": _("Pre-admission"),
    }.get(clean(fhir.mapping(held).get("code")).upper(), "") or codes.coding_text(held)


def _where(resource: fhir.Json) -> str:
    places = [held.get("location") for held in fhir.mappings(resource.get("location"))]
    return codes.names_of(places or resource.get("serviceProvider"))


def _marks(status: str) -> tuple[Mark, ...]:
    if status == "entered-in-error":
        return (entered_in_error(),)
    mark = {
        "planned": Mark(Kind.PLANNED, _("Planned")),
        "arrived": Mark(Kind.PRELIMINARY, _("Arrived")),
        "triaged": Mark(Kind.PRELIMINARY, _("Triaged")),
        "in-progress": Mark(Kind.PRELIMINARY, _("In progress")),
        "onleave": Mark(Kind.HELD, _("On leave")),
        "cancelled": Mark(Kind.CANCELLED, _("Cancelled")),
        "finished": None,
    }.get(status, Mark(Kind.UNKNOWN, _("Status not known")))
    return (mark,) if mark else ()
