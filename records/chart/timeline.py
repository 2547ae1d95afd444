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
from records.chart.frame import chart_of, open_frame
from records.chart.rows import PATIENT, Row, newest, older, reading
from records.compiled import Allowed, Reading
from records.display import pages, timeline

IN_TIMELINE = (
    "Encounter", "DiagnosticReport", "DocumentReference", "MedicationRequest", "MedicationStatement", "Condition",
    "AllergyIntolerance", "Immunization", "Procedure",
)  # fmt: skip
MOST_TESTS = 300
"""Single results that a page counts, its newest; what lies before them is on the page of results."""
NEWEST, OLDEST = datetime(1, 2, 3, 4, 5, 6, 9, tzinfo=UTC), datetime(1, 2, 3, 4, 5, 6, 10, tzinfo=UTC)
ALWAYS, NEVER = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


@cache
def entries(most: int, *, continued: bool) -> Reading:
    if continued:
        return reading(*older(most, type__in=IN_TIMELINE), row=row_lists.ROW)
    return reading(newest(most, type__in=IN_TIMELINE))


def _tests(allowed: Allowed, patient: UUID, newest: datetime, oldest: datetime) -> Any:
    held = allowed.resources.filter(patient=patient, type="Observation", time__lt=newest, time__gte=oldest)
    return held.order_by("-time").values_list("time", "label")[:MOST_TESTS]


TESTS = Reading(_tests, patient=PATIENT, newest=NEWEST, oldest=OLDEST)


def page(patient_id: UUID, *, by: User, before: UUID | None = None) -> pages.TimelinePage:
    """Everything but single results, which their day counts in one line: a visit brings dozens of them."""
    most = row_lists.PAGE
    with viewing(by):
        asked = {"row": before} if before else {}
        frame = open_frame(patient_id, "timeline", entries(most + 1, continued=before is not None), by=by, **asked)
        held = frame.rows
        more, held = len(held) > most, held[:most]
        tested = tests_between(frame.patient.pk, held, by=by, is_first=before is None, is_last=not more)
    found = [timeline.of(row.fhir, frame.today, frame.zone, row=str(row.id)) for row in held]
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
    return [(time, label) for time, label in TESTS(by, patient=patient, newest=newest, oldest=oldest)]


def results_by_day(tested: Sequence[tuple[datetime, str]], zone: tzinfo) -> list[timeline.Entry]:
    """A line for each day; not for the oldest when there were more than MOST_TESTS, since it may not be whole."""
    by_day: dict[date, list[str]] = {}
    for time, label in tested:
        by_day.setdefault(time.astimezone(zone).date(), []).append(label)
    if len(tested) >= MOST_TESTS and len(by_day) > 1:
        by_day.popitem()
    return [timeline.results_of_day(day, labels) for day, labels in by_day.items()]
