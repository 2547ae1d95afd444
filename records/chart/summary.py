"""The summary: its sections in the order of the International Patient Summary, what is new first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.utils import timezone

from clinicportal import audit
from clinicportal.models import User
from clinicportal.rules import Denied
from clinicportal.texts import gettext as _
from clinicportal.viewing import viewing
from records import access, ips, policies
from records.chart import names, since
from records.chart.frame import Frame, chart_of, open_frame
from records.chart.lists import items_of, problems_of
from records.chart.medicines import medicines_of
from records.chart.paper import for_paper
from records.chart.rows import MOST_CURRENT, Row, earlier_versions, newest, of_type, reading
from records.chart.values import results_of
from records.display import banner, dates, flowsheet, pages, results
from records.models import Section

RECENT_RESULTS = 80
"""Observations among which the newest of each test is looked for."""
SHOWN_RESULTS, SHOWN_ITEMS = 10, 8

CURRENT = {
    Section.PROBLEMS: ("Condition",),
    Section.MEDICINES: ("MedicationRequest", "MedicationStatement"),
}

# Problems and medicines whole, the newest of what was done.
READ = reading(
    newest(SHOWN_ITEMS, section=Section.IMMUNISATIONS, type="Immunization"),
    newest(SHOWN_ITEMS, section=Section.PROCEDURES, type="Procedure"),
    newest(RECENT_RESULTS, section=Section.RESULTS, type="Observation"),
    whole=CURRENT,
)


READ_ALL = reading(
    newest(MOST_CURRENT, section=Section.IMMUNISATIONS, type="Immunization"),
    newest(MOST_CURRENT, section=Section.PROCEDURES, type__in=("Procedure", "DeviceUseStatement", "Device")),
    newest(RECENT_RESULTS, section=Section.RESULTS, type="Observation"),
    newest(RECENT_RESULTS, section=Section.VITALS, type="Observation"),
    newest(MOST_CURRENT, section=Section.CARE_PLANS, type="CarePlan"),
    whole=CURRENT,
)


def page(patient_id: UUID, *, by: User, printed: bool = False) -> pages.SummaryPage:
    """The summary; `printed` as it goes onto paper, with a stamp that leads back to the event that was written down."""
    if printed:
        policies.check_can_keep(by)
    with viewing(by):
        frame = open_frame(patient_id, "print" if printed else "summary", READ, by=by)
        stamp = stamp_of(frame, by=by) if printed else None
        frame = for_paper(frame, by=by) if printed else frame
        recent = newest_of_each(frame.of_type("Observation"))
        earlier = earlier_versions(recent)
        looked = since.read(frame)
        # Of all that the summary draws only these say who: the other pages name the rest.
        stated = (row.fhir for row in frame.of_type("MedicationStatement"))
        told = (body for body in looked.bodies.values() if body.get("resourceType") != "Observation")
        names.put((*stated, *told), frame.patient.source_id, by=by)
    includes = frame.opened.includes
    return pages.SummaryPage(
        chart=chart_of(frame),
        stamp=stamp,
        since=None if printed else since.panel(frame, looked),
        problems=problems_of(frame.rows, frame) if includes(Section.PROBLEMS) else None,
        medicines=medicines_of(frame.rows, frame) if includes(Section.MEDICINES) else None,
        immunisations=listed("Immunization", "immunisations", frame) if includes(Section.IMMUNISATIONS) else None,
        results=latest_of_each(results_of(recent, frame, earlier)) if includes(Section.RESULTS) else None,
        procedures=listed("Procedure", "procedures", frame) if includes(Section.PROCEDURES) else None,
        contacts=banner.address_and_contacts(frame.about),
    )


def stamp_of(frame: Frame, *, by: User) -> pages.Stamp:
    event = access.write_down(audit.Type.RECORD_PRINTED, frame.opened, "summary", by=by)
    return pages.Stamp(str(event)[:8], by.display_name, dates.of_moment(timezone.now(), frame.zone))


def take(patient_id: UUID, *, by: User) -> str:
    """The summary as a FHIR document (records/ips.py), having written down that `by` took it."""
    with viewing(by):
        frame = open_frame(patient_id, "summary", READ_ALL, by=by, named=True)
        policies.check_can_take_away(by, frame.patient.source.facility_id)
        patient = [row for row in frame.banner if row.type == "Patient"]
        if not patient:
            raise Denied(_("This record can't be taken away: its patient is not in your access"))
        event = access.write_down(
            audit.Type.RECORD_TAKEN, frame.opened, "summary", by=by, detail={"form": "IPS document"}
        )
    rows = [*patient, *of_type(frame.banner, "AllergyIntolerance"), *frame.rows]
    return ips.document(rows, facility=frame.facility, now=timezone.now(), document_id=event)


def listed(type: str, here: str, frame: Frame) -> tuple[Any, ...]:
    return items_of(frame.of_type(type), here, frame)


UNUSABLE = ("cancelled", "entered-in-error", "registered")


def newest_of_each(rows: Sequence[Row]) -> list[Row]:
    """The newest row of each test, and, where that one holds no value, the newest before it that does.

    By columns alone: of the many that were read only these are parsed.
    """
    found: dict[str, list[Row]] = {}
    for row in rows:
        held = found.setdefault(row.code or row.label, [])
        if not held or (all(other.status in UNUSABLE for other in held) and row.status not in UNUSABLE):
            held.append(row)
    return [row for held in found.values() for row in held][: 2 * SHOWN_RESULTS]


def latest_of_each(held: Iterable[results.Result]) -> tuple[results.Result, ...]:
    """The newest result of each test and unit; of one day the flagged ones first."""
    found: dict[tuple[str, str], results.Result] = {}
    for result in held:
        if not result.is_panel:
            found.setdefault(result.column, result)
    ordered = sorted(found.values(), key=flowsheet.by_importance)
    return tuple(sorted(ordered, key=lambda result: result.when.order[:3], reverse=True))
