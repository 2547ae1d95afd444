"""Several tests over time: drawings below each other on one time axis, and one table of their rows [GTAB-145..172].

A line through all drawings reads what was found on one day; the table reads it for those who do not point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from clinicportal import plots
from records.display import dates, flowsheet, trend
from records.display.dates import When
from records.display.flowsheet import Flowsheet
from records.display.results import Result


@dataclass(frozen=True)
class Together:
    """`sheet` is the table twin, None when nothing lies in the period; `outside` counts what lies before it.

    `latest` has the newest value of each test, whenever it was; `empty` names the tests without one in the period.
    """

    names: tuple[str, ...]
    latest: tuple[Result, ...]
    sheet: Flowsheet | None
    stack: plots.Stack | None
    period: str
    outside: int
    empty: tuple[str, ...]
    start: When
    end: When


def of(columns: Sequence[Sequence[Result]], today: date, period: str = "") -> Together | None:
    """The columns in their order; None when none of them has a number with a day. As `trend.of`, for several."""
    every = [held for held in map(trend.dated, columns) if trend.numbers_of(held)]
    if not every:
        return None
    numbers = [result for held in every for result in trend.numbers_of(held)]
    period = trend.period_for(numbers, today, period)
    first, last = trend.span([result for held in every for result in held], numbers, today, period)
    inside = [[result for result in held if trend.day_of(result) >= first] for held in every]
    drawn = [trend.series(held) for held in inside if trend.numbers_of(held)]
    latest = tuple(trend.numbers_of(held)[0] for held in every)
    return Together(
        names=tuple(flowsheet.short_name(result.name) for result in latest),
        latest=latest,
        sheet=_sheet(inside),
        stack=plots.stack(drawn, since=first, until=last) if drawn else None,
        period=period,
        outside=sum(map(len, every)) - sum(map(len, inside)),
        empty=tuple(
            flowsheet.short_name(newest.name)
            for newest, held in zip(latest, inside, strict=True)
            if not trend.numbers_of(held)
        ),
        start=dates.of_day(first),
        end=dates.of_day(last),
    )


def _sheet(columns: Sequence[Sequence[Result]]) -> Flowsheet | None:
    """One table, a column for each test in the order in which they were asked for."""
    placed = {id(result): flowsheet.Panel("", place) for place, held in enumerate(columns) for result in held}
    sheets = flowsheet.in_panels([(placed[id(result)], result) for held in columns for result in held])
    return sheets[0] if sheets else None
