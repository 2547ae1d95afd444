"""Everything that has a place in time, newest first; single results as a line for each day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from typing import Any
from uuid import UUID

from clinicportal.models import User
from clinicportal.viewing import viewing
from records.chart import rows as row_lists
from records.chart.frame import PAGE_OF_SECTION, chart_of, open_frame
from records.chart.rows import PATIENT, Part, Row, newest, newest_first, older, reading
from records.compiled import Allowed, Reading
from records.display import pages, timeline
from records.models import Section

MOST_TESTS = 300
"""Single results that a page counts, its newest; what lies before them is on the page of results."""
NEWEST, OLDEST = datetime(1, 2, 3, 4, 5, 6, 9, tzinfo=UTC), datetime(1, 2, 3, 4, 5, 6, 10, tzinfo=UTC)
ALWAYS, NEVER = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


SECTIONS = {
    Section.ENCOUNTERS: ("Encounter", "Appointment", "EpisodeOfCare"),
    Section.RESULTS: ("DiagnosticReport", "ImagingStudy"),
    Section.DOCUMENTS: ("DocumentReference", "DiagnosticReport", "Composition", "QuestionnaireResponse"),
    Section.MEDICINES: ("MedicationRequest", "MedicationStatement", "MedicationDispense"),
    Section.PROBLEMS: ("Condition", "ClinicalImpression", "FamilyMemberHistory"),
    Section.ALLERGIES: ("AllergyIntolerance",),
    Section.IMMUNISATIONS: ("Immunization",),
    Section.PROCEDURES: ("Procedure", "DeviceUseStatement"),
}
"""Not doses, of which a stay has hundreds, and not devices, which are not dated: both stand on their pages."""


@cache
def entries(most: int, *, continued: bool) -> Reading:
    """The newest of each section, or what follows `row`: a page's entries are among them, wherever they stand.

    One part for each, along the index of the section: a record of ten thousand results has few visits among them.
    """
    parts: list[Part] = []
    for section, types in SECTIONS.items():
        which: dict[str, Any] = {"section": section, "type__in": types}
        parts += older(most, **which) if continued else [newest(most, **which)]
    return reading(*parts, row=row_lists.ROW) if continued else reading(*parts)


def in_order(rows: Sequence[Row], most: int) -> list[Row]:
    """The first `most` of them as `newest_first` orders: undated ones last, the id settles ties."""
    ordered = sorted(rows, key=lambda row: (row.time is not None, row.time or ALWAYS, row.id), reverse=True)
    return ordered[:most]


def tests_of(section: Section) -> Any:
    def part(allowed: Allowed, patient: UUID, newest: datetime, oldest: datetime) -> Any:
        held = allowed.resources.filter(patient=patient, section=section, type="Observation")
        between = held.filter(time__lt=newest, time__gte=oldest)
        return newest_first(between).values_list("time", "label")[:MOST_TESTS]

    return part


def _tests(allowed: Allowed, **asked: Any) -> list[Any]:
    return [tests_of(section)(allowed, **asked) for section in (Section.RESULTS, Section.VITALS)]


TESTS = Reading(_tests, patient=PATIENT, newest=NEWEST, oldest=OLDEST)


def page(patient_id: UUID, *, by: User, before: UUID | None = None) -> pages.TimelinePage:
    """Everything but single results, which their day counts in one line: a visit brings dozens of them."""
    most = row_lists.PAGE
    with viewing(by):
        asked = {"row": before} if before else {}
        frame = open_frame(
            patient_id, "timeline", entries(most + 1, continued=before is not None), by=by, named=True, **asked
        )
        held = in_order(frame.rows, most + 1)
        more, held = len(held) > most, held[:most]
        tested = tests_between(frame.patient.pk, held, by=by, is_first=before is None, is_last=not more)
    found = [
        timeline.of(
            row.fhir, frame.today, frame.zone, row=str(row.id), section=PAGE_OF_SECTION.get(Section(row.section), "")
        )
        for row in held
    ]
    found += results_by_day(tested, frame.zone)
    return pages.TimelinePage(
        chart_of(frame),
        timeline.days(entry for entry in found if entry),
        earlier=str(held[-1].id) if more else None,
        continued=before is not None,
    )


def tests_between(
    patient: UUID, rows: Sequence[Row], *, by: User, is_first: bool, is_last: bool
) -> list[tuple[datetime, str]]:
    """When and what was tested in the stretch of time that the rows of a page cover."""
    times = [row.time for row in rows if row.time]
    newest = times[0] if times and not is_first else NEVER
    oldest = times[-1] if times and not is_last else ALWAYS
    found = [(time, label) for time, label in TESTS(by, patient=patient, newest=newest, oldest=oldest)]
    return sorted(found, reverse=True)[:MOST_TESTS]


def results_by_day(tested: Sequence[tuple[datetime, str]], zone: tzinfo) -> list[timeline.Entry]:
    """A line for each day; not for the oldest when there were more than MOST_TESTS, since it may not be whole."""
    by_day: dict[date, list[str]] = {}
    for time, label in tested:
        by_day.setdefault(time.astimezone(zone).date(), []).append(label)
    if len(tested) >= MOST_TESTS and len(by_day) > 1:
        by_day.popitem()
    return [timeline.results_of_day(day, labels) for day, labels in by_day.items()]
