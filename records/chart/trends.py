"""One test over time, or several on one time axis: what is read for them, and what the page draws."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Subquery, Value

from clinicportal.models import User
from clinicportal.texts import gettext as _
from records.chart.frame import Frame
from records.chart.rows import COLUMNS, MOST_OF_A_TEST, PATIENT, Row, newest_first
from records.chart.values import results_of
from records.compiled import Allowed, Reading
from records.display import flowsheet, pages, together, trend
from records.display.results import Result

MOST = flowsheet.MOST_COLUMNS
"""Tests on one time axis: what a table has beside each other, too."""
MOST_OF_SEVERAL = 100


@cache
def same_tests(number: int) -> Reading:
    """Observations of the section and code of each of so many rows; the page keeps those of its unit."""

    def build(allowed: Allowed, patient: UUID, **rows: UUID) -> Any:
        held = allowed.resources.filter(patient=patient, type="Observation")
        most = MOST_OF_A_TEST if number == 1 else MOST_OF_SEVERAL
        return [
            newest_first(held.filter(section=of_row(held, row, "section"), code=of_row(held, row, "code")))
            .annotate(place=Value(place))
            .values_list(*COLUMNS, "place")[:most]
            for place, row in enumerate(rows.values())
        ]

    return Reading(build, patient=PATIENT, **{f"row{place}": uuid.uuid4() for place in range(number)})


def of_row(held: Any, row: UUID, column: str) -> Subquery:
    return Subquery(held.filter(pk=row).values(column)[:1])


def read(tests: Sequence[UUID], *, by: User, patient: UUID) -> list[list[Row]]:
    """The results of each of `tests`, which are named by any result of theirs; the newest of each first."""
    found: list[list[Row]] = [[] for _test in tests]
    if tests:
        rows = {f"row{place}": row for place, row in enumerate(tests)}
        for *values, place in same_tests(len(tests))(by, patient=patient, **rows):
            found[place].append(Row(*values))
    return found


def column_of(rows: Sequence[Row], row: UUID, frame: Frame) -> list[Result]:
    """Those of `rows` that stand in one column with `row`, and what has no value in its unit."""
    held = results_of(rows, frame)
    target = next((result for result in held if result.row == str(row)), None)
    if target is None:
        return []
    return [r for r in held if r.column == target.column or (r.key == target.key and not r.usable)]


def drawn(
    tests: Sequence[UUID], found: Sequence[Sequence[Row]], period: str, frame: Frame
) -> trend.Trend | together.Together | None:
    columns = [column for test, rows in zip(tests, found, strict=True) if (column := column_of(rows, test, frame))]
    if len(columns) == 1:
        return trend.of(columns[0], frame.today, period)
    return together.of(columns, frame.today, period) if columns else None


def periods(tests: Sequence[UUID], chosen: str) -> tuple[pages.Link, ...]:
    names = {"3m": _("3 months"), "1y": _("1 year"), "5y": _("5 years"), "all": _("All")}
    return tuple(
        pages.Link(f"{address(tests, over=period)}#trend", name, current=period == chosen)
        for period, name in names.items()
    )


def address(tests: Sequence[UUID | str], **more: str) -> str:
    """The query that draws these tests: our ids, and nothing that was tested."""
    return "?" + urlencode([*(("trend", str(test)) for test in tests), *more.items()])
