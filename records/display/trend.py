"""One test over time: geometry for a small drawing, and the same rows for a table [GTAB-001..099, 145..172].

Points joined by straight lines, never smoothed; the limits of the reference range as a band; full dates on the axis.
Two sizes are computed, because text in an SVG scales with it: the page shows the one that fits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.utils.translation import gettext as _

from records.display import amounts, dates, results
from records.display.dates import When
from records.display.flowsheet import short_name
from records.display.marks import Flag
from records.display.ranges import NO_RANGE
from records.display.results import Result

SIZES = ((620, 320), (320, 270))

PERIODS = {"3m": 92, "1y": 366, "5y": 1827, "all": 0}
"""The fixed set of time ranges, in days back from today; 0 has no start."""


@dataclass(frozen=True)
class Tick:
    at: float
    label: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Dot:
    """A value in the drawing. `label` is "" where it would cover its neighbour's: the table has them all."""

    x: float
    y: float
    label: str
    label_x: float
    label_y: float
    anchor: str
    flag: Flag
    open: bool = False


@dataclass(frozen=True)
class Cross:
    """A specimen without a value, marked on the time axis."""

    x: float
    label: str
    anchor: str


@dataclass(frozen=True)
class Bar:
    """A blood pressure: its systolic and diastolic values joined [GTAB-039..044]."""

    x: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Band:
    """The reference range in the drawing. An open end has no limit line and no label."""

    top: float
    bottom: float
    upper: str = ""
    lower: str = ""


@dataclass(frozen=True)
class Plot:
    """One drawing, in its own units, which are CSS pixels when it is shown at its size."""

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    values: tuple[Tick, ...]
    days: tuple[Tick, ...]
    lines: tuple[str, ...]
    dots: tuple[Dot, ...]
    crosses: tuple[Cross, ...]
    bars: tuple[Bar, ...]
    band: Band | None


@dataclass(frozen=True)
class Trend:
    """`rows` is the table twin: newest first, of the same period; `outside` counts what lies before it."""

    name: str
    unit: str
    latest: Result
    previous: Result | None
    rows: tuple[Result, ...]
    plots: tuple[Plot, ...]
    period: str
    outside: int
    start: When
    end: When
    summary: str
    pair: bool = False


def of(column: Sequence[Result], today: date, period: str = "1y") -> Trend | None:
    """The trend of one column of results; None when no number in it has a day.

    An unknown period is one year. When nothing lies in the period, the page says so by `rows` being empty: the period
    is never widened behind the reader's back.
    """
    held = sorted((r for r in column if r.when.day), key=lambda r: r.when.order, reverse=True)
    numbers = [r for r in held if _heights(r)]
    if not numbers:
        return None
    period = period if period in PERIODS else "1y"
    last = max(today, _day(numbers[0]))
    first = last - timedelta(days=PERIODS[period]) if PERIODS[period] else _day(held[-1])
    rows = tuple(r for r in held if _day(r) >= first)
    latest = numbers[0]
    return Trend(
        name=short_name(latest.name),
        unit=latest.value.unit.text,
        latest=latest,
        previous=numbers[1] if len(numbers) > 1 else None,
        rows=rows,
        plots=tuple(_plot(rows, first, last, size) for size in SIZES) if any(map(_heights, rows)) else (),
        period=period,
        outside=len(held) - len(rows),
        start=dates.of_day(first),
        end=dates.of_day(last),
        summary=_summary(rows, latest),
        pair=results.pressures(latest) is not None,
    )


def _day(result: Result) -> date:
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


def _summary(rows: Sequence[Result], latest: Result) -> str:
    """What a screen reader says instead of the drawing."""
    drawn = [r for r in rows if _heights(r)]
    if not drawn:
        return _("No values in this period")
    low, high = (f(drawn, key=lambda r: min(_heights(r))) for f in (min, max))
    return _("%(count)s values from %(start)s to %(end)s, lowest %(low)s, highest %(high)s, latest %(latest)s") % {
        "count": len(drawn),
        "start": drawn[-1].when.spoken,
        "end": drawn[0].when.spoken,
        "low": low.value.with_unit,
        "high": high.value.with_unit,
        "latest": latest.value.with_unit,
    }


# ------------------------------------------------------------------------------------------------- geometry


_LABEL_WIDTH = 7.0  # of one character at the size that labels are printed in
_LONGEST_AXIS_LABEL = 9


@dataclass(frozen=True)
class _Scale:
    """From days and values to places."""

    first: date
    days: int
    low: float
    high: float
    left: float
    right: float
    top: float
    bottom: float

    def x(self, when: When) -> float:
        _year, _month, _day, hour, minute = when.order[:5]
        at = (when.day - self.first).days + (hour + minute / 60) / 24 if when.day else 0.0
        return round(self.left + (self.right - self.left) * min(1.0, at / (self.days + 1)), 1)

    def y(self, value: Decimal | float) -> float:
        share = (float(value) - self.low) / (self.high - self.low)
        return round(self.bottom - (self.bottom - self.top) * min(1.0, max(0.0, share)), 1)


def _plot(rows: Sequence[Result], first: date, last: date, size: tuple[int, int]) -> Plot:
    width, height = size
    drawn = [row for row in reversed(rows) if _heights(row)]
    reference = drawn[-1].range if not results.pressures(drawn[-1]) else NO_RANGE
    limits = [end for end in (reference.low, reference.high) if end is not None] if reference.measurable else []
    ticks = _value_ticks([float(n) for row in drawn for n in _heights(row)] + [float(end) for end in limits])
    labels = [_short(_tick_value(tick, ticks)) for tick in ticks]
    left = 14 + _LABEL_WIDTH * max(map(len, labels))
    upper = _short(reference.high) if limits and reference.high is not None else ""
    lower = _short(reference.low) if limits and reference.low is not None else ""
    right = width - 8 - _LABEL_WIDTH * max(len(upper), len(lower), 2)
    scale = _Scale(first, (last - first).days, ticks[0], ticks[-1], left, right, 26.0, height - 44.0)
    band = None
    if limits:
        band = Band(
            top=scale.y(reference.high) if reference.high is not None else scale.top,
            bottom=scale.y(reference.low) if reference.low is not None else scale.bottom,
            upper=upper,
            lower=lower,
        )
    return Plot(
        width=width,
        height=height,
        left=left,
        right=right,
        top=scale.top,
        bottom=scale.bottom,
        values=tuple(Tick(scale.y(tick), label, "end") for tick, label in zip(ticks, labels, strict=True)),
        days=_day_ticks(scale, last),
        lines=_lines(drawn, scale),
        dots=_dots(drawn, scale),
        crosses=tuple(_cross(row, scale) for row in reversed(rows) if not row.usable and row.marks),
        bars=tuple(
            Bar(scale.x(row.when), scale.y(max(_heights(row))), scale.y(min(_heights(row))))
            for row in drawn
            if len(_heights(row)) == 2
        ),
        band=band,
    )


def _value_ticks(values: Sequence[float]) -> list[float]:
    """Round numbers around the values, three to seven of them, so that a clinical change is seen [GTAB-145]."""
    low, high = min(values), max(values)
    spread = high - low or abs(high) * 0.2 or 1.0
    low, high = low - spread * 0.12, high + spread * 0.12
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    if min(values) >= 0 > math.floor(low / step) * step:
        low = 0.0
    start, end = math.floor(low / step), math.ceil(high / step)
    return [index * step for index in range(start, end + 1)]


def _tick_value(tick: float, ticks: Sequence[float]) -> Decimal:
    """A tick with the decimals that its step needs, and no binary dust."""
    step = ticks[1] - ticks[0]
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return amounts.round_to(Decimal(repr(tick)), places)


def _short(value: Decimal) -> str:
    """A number at the axis; one that would fill the drawing is written with a power of ten."""
    text = amounts.shown(value)
    return text if len(text) <= _LONGEST_AXIS_LABEL else f"{value:.1e}"


def _day_ticks(scale: _Scale, last: date) -> tuple[Tick, ...]:
    count = 4 if scale.right - scale.left > 400 else 2
    steps = min(count, max(1, scale.days))
    ticks = []
    for index in range(steps + 1):
        when = dates.of_day(scale.first + timedelta(days=round(scale.days * index / steps)))
        anchor = "start" if index == 0 else "end" if index == steps else "middle"
        ticks.append(Tick(scale.x(when) if index < steps else scale.right, when.text, anchor))
    return tuple(ticks)


def _lines(drawn: Sequence[Result], scale: _Scale) -> tuple[str, ...]:
    """One polyline, two for blood pressures; values without a partner join neither."""
    widest = max(len(_heights(row)) for row in drawn)
    lines = []
    for index in range(widest):
        points = [f"{scale.x(r.when)},{scale.y(_heights(r)[index])}" for r in drawn if len(_heights(r)) == widest]
        if len(points) > 1:
            lines.append(" ".join(points))
    return tuple(lines)


def _dots(drawn: Sequence[Result], scale: _Scale) -> tuple[Dot, ...]:
    dots: list[Dot] = []
    free_until = scale.right + 1000
    # From the newest backwards: it is the one whose label must not be left out.
    for newest, row in zip([True] + [False] * len(drawn), reversed(drawn), strict=False):
        x = scale.x(row.when)
        heights = _heights(row)
        word = row.flag.word if newest and row.flag.outside else ""
        label = f"{word} {row.value.text}".strip()
        room = _LABEL_WIDTH * len(label)
        ends_right = x + room / 2 > scale.right
        reach = x if ends_right else x + room / 2
        fits = reach + 4 <= free_until
        for index, number in enumerate(heights):
            y = scale.y(number)
            below = y + 18 < scale.bottom - 4 and not (newest and word)
            dots.append(
                Dot(
                    x=x,
                    y=y,
                    label=label if fits and index == 0 else "",
                    label_x=x - 8 if newest and word else min(x, scale.right - room / 2),
                    label_y=y + 4 if newest and word else y + 18 if below and len(heights) == 1 else y - 10,
                    anchor="end" if newest and word else "middle",
                    flag=row.flag,
                    open=bool(row.value.comparator),
                )
            )
        if fits:
            free_until = (x - 8 - room) if newest and word else min(x, scale.right - room / 2) - room / 2
    return tuple(reversed(dots))


def _cross(row: Result, scale: _Scale) -> Cross:
    x = scale.x(row.when)
    return Cross(x, row.marks[0].word, "end" if x > (scale.left + scale.right) / 2 else "start")
