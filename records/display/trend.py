"""One test over time: the drawing, and the same rows for a table [GTAB-001..099].

Points joined by straight lines, never smoothed, with the reference range as a band (clinicportal/plots.py).
Systolic and diastolic stand in one drawing, joined by a bar [GTAB-039..044].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from clinicportal import plots
from clinicportal.texts import gettext as _
from records.display import dates, results
from records.display.dates import When
from records.display.flowsheet import short_name
from records.display.marks import Step
from records.display.results import Result

PERIODS = {"3m": 92, "1y": 366, "5y": 1827, "all": 0}
"""The fixed set of time ranges, in days back from today; 0 has no start."""


@dataclass(frozen=True)
class Trend:
    """`rows` is the table twin: newest first, of the same period; `outside` counts what lies before it.

    `plot` is None when no value lies in the period.
    """

    name: str
    unit: str
    latest: Result
    previous: Result | None
    rows: tuple[Result, ...]
    plot: plots.Plot | None
    period: str
    outside: int
    start: When
    end: When
    pair: bool = False


def of(column: Sequence[Result], today: date, period: str = "") -> Trend | None:
    """The trend of one column of results; None when no number in it has a day.

    Where no period was asked for it is the shortest from a year on with a value (`period_for`). When nothing lies in
    the one that was asked for, the page says so by `rows` being empty: it is never widened behind the reader's back.
    """
    held = dated(column)
    numbers = numbers_of(held)
    if not numbers:
        return None
    period = period_for(numbers, today, period)
    first, last = span(held, numbers, today, period)
    rows = tuple(r for r in held if day_of(r) >= first)
    latest = numbers[0]
    return Trend(
        name=short_name(latest.name),
        unit=latest.value.unit.text,
        latest=latest,
        previous=numbers[1] if len(numbers) > 1 else None,
        rows=rows,
        plot=plots.plot(series(rows), since=first, until=last) if any(map(_heights, rows)) else None,
        period=period,
        outside=len(held) - len(rows),
        start=dates.of_day(first),
        end=dates.of_day(last),
        pair=results.pressures(latest) is not None,
    )


def dated(column: Sequence[Result]) -> list[Result]:
    """Those that have a day, the newest first."""
    return sorted((r for r in column if r.when.day), key=lambda r: r.when.order, reverse=True)


def numbers_of(held: Sequence[Result]) -> list[Result]:
    """Those that put a point into a drawing."""
    return [r for r in held if _heights(r)]


def period_for(numbers: Sequence[Result], today: date, asked: str) -> str:
    if asked in PERIODS:
        return asked
    since_newest = (today - max(map(day_of, numbers))).days
    return next((name for name in ("1y", "5y") if since_newest <= PERIODS[name]), "all")


def span(held: Sequence[Result], numbers: Sequence[Result], today: date, period: str) -> tuple[date, date]:
    """The first and the last day of a period that ends today, or with a value that is later."""
    last = max(today, *map(day_of, numbers))
    return (last - timedelta(days=PERIODS[period]) if PERIODS[period] else min(map(day_of, held))), last


def day_of(result: Result) -> date:
    day = result.when.day
    if day is None:
        raise ValueError("a result without a day is not drawn")
    return day


def _heights(result: Result) -> tuple[Decimal, ...]:
    """The numbers that a result puts into the drawing: one, two for a blood pressure, none for words."""
    if not result.usable:
        return ()
    pair = results.pressures(result)
    found = [part.value.number for part in pair] if pair else [result.value.number]
    return tuple(number for number in found if number is not None)


_FLAGS: dict[Step, plots.Flag] = {
    Step.OFF_LOW: "low",
    Step.LOW: "low",
    Step.HIGH: "high",
    Step.OFF_HIGH: "high",
    Step.CRITICAL_LOW: "critical-low",
    Step.CRITICAL_HIGH: "critical-high",
}


def series(rows: Sequence[Result]) -> plots.Series:
    """What is drawn of one column, with the range of its newest value."""
    newest = next(row for row in rows if _heights(row))
    reference = newest.range
    banded = reference.measurable and not results.pressures(newest)
    return plots.Series(
        points=tuple(filter(None, map(_point, rows))),
        title=short_name(newest.name),
        unit=newest.value.unit.text,
        low=float(reference.low) if banded and reference.low is not None else None,
        high=float(reference.high) if banded and reference.high is not None else None,
        range_words=_("Reference range, %(population)s") % {"population": reference.population}
        if reference.population
        else "",
    )


def _point(row: Result) -> plots.Point | None:
    """A point, or a cross for a specimen without a value; nothing for words."""
    heights = _heights(row)
    if not heights:
        rejected = row.marks and not row.usable
        return plots.Point(day_of(row), None, note=row.marks[0].word) if rejected else None
    return plots.Point(
        at=day_of(row),
        value=float(heights[0]),
        text=_("%(value)s, computed") % {"value": row.value.text}
        if row.flag.computed and row.flag.outside
        else row.value.text,
        flag=_FLAGS.get(row.flag.step, ""),
        second=float(heights[1]) if len(heights) == 2 else None,
    )
