"""Tests over time as plain geometry that components/chart.jinja draws: no script, no canvas, prints as it looks."""

from __future__ import annotations

import datetime as dt
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from clinicportal.dates import clinical_date

Flag = Literal["", "high", "low", "critical-high", "critical-low"]

COLOURS = {"": "#212b32", "high": "#7a4100", "low": "#32408f", "critical-high": "#8f1420", "critical-low": "#8f1420"}
LABELLED_POINTS = 12  # with more of them only flagged ones and the newest are labelled
CHARACTER, LINE = 6.7, 14  # width and height of a character of a label
STRIP = 24  # how far beside a day pointing still means that day
LONGEST_NUMBER = 9  # characters beside an axis; a longer number is written with a power of ten


@dataclass(frozen=True)
class Point:
    """One result. `text` is the value as reported; `value` is None where there is none, and `note` says why.

    A blood pressure has its diastolic value as `second`: two lines are drawn, and a bar joins the two points.
    """

    at: dt.datetime | dt.date
    value: float | None
    text: str = ""
    flag: Flag = ""
    note: str = ""
    second: float | None = None


@dataclass
class Frame:
    """What one drawing of fixed size holds, in its own pixels."""

    width: int
    height: int
    left: int = 40
    right: int = 0
    top: int = 12
    bottom: int = 0
    band: dict[str, float] | None = None
    limits: list[dict[str, Any]] = field(default_factory=list)
    x_ticks: list[dict[str, Any]] = field(default_factory=list)
    y_ticks: list[dict[str, Any]] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)
    line: str = ""
    second_line: str = ""
    bars: list[dict[str, float]] = field(default_factory=list)
    dated: bool = True
    """Whether the days are written below its axis."""


@dataclass(frozen=True)
class Series:
    """What is drawn of one test: points in any order, and the limits of its range; either may be missing."""

    points: tuple[Point, ...]
    title: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    range_words: str = ""


@dataclass(frozen=True)
class Plot:
    wide: Frame
    narrow: Frame
    unit: str
    range_words: str
    summary: str


def plot(series: Series, *, since: dt.date, until: dt.date) -> Plot:
    """Return the drawings of one test between `since` and `until`, both inclusive."""
    scale = _Scale(series, since, until)
    labels = len(scale.points) <= LABELLED_POINTS
    wide = scale.draw(Frame(620, 320, right=556, bottom=286), intervals=4, labels=labels)
    narrow = scale.draw(Frame(320, 270, left=36, right=286, bottom=238), intervals=2, labels=False)
    return Plot(
        wide, narrow, series.unit, series.range_words or _("Reference range"), _summary(scale.points, series.unit)
    )


@dataclass(frozen=True)
class Panel:
    """One drawing of a stack, so far below its top."""

    top: int
    frame: Frame
    lines: tuple[str, ...]
    """Its name and unit: two lines at most."""


@dataclass(frozen=True)
class Moment:
    """One day on which something was found: where the line that reads all drawings stands, and what it reads.

    `start` and `width` are of the strip in which pointing means this day; `readings` has a text for each panel.
    """

    x: float
    start: float
    width: float
    day: str
    readings: tuple[str, ...]


@dataclass(frozen=True)
class Tall:
    width: int
    height: int
    panels: tuple[Panel, ...]
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Stack:
    """Drawings of several tests below each other on one time axis."""

    wide: Tall
    narrow: Tall
    summary: str


def stack(every: Sequence[Series], *, since: dt.date, until: dt.date) -> Stack:
    """Return the drawings of several tests between `since` and `until`: scales of their own, one time axis."""
    scales = [_Scale(series, since, until) for series in every]
    said = (
        f"{series.title}: {_summary(scale.points, series.unit)}" for series, scale in zip(every, scales, strict=True)
    )
    return Stack(
        _tall(every, scales, Frame(940, 150, left=44, right=876, top=28, bottom=138), intervals=4),
        _tall(every, scales, Frame(320, 146, left=36, right=286, top=36, bottom=134), intervals=2),
        " ".join(said),
    )


def _tall(every: Sequence[Series], scales: Sequence[_Scale], size: Frame, *, intervals: int) -> Tall:
    left = max(size.left, *(scale.room() for scale in scales))
    panels = []
    for place, (series, scale) in enumerate(zip(every, scales, strict=True)):
        frame = Frame(size.width, size.height, left=left, right=size.right, top=size.top, bottom=size.bottom)
        scale.draw(frame, intervals=intervals, labels=False)
        frame.dated = place == len(scales) - 1
        panels.append(Panel(place * size.height, frame, _heading(series, size.width - left)))
    return Tall(size.width, size.height * len(panels) + 20, tuple(panels), tuple(_moments(scales, panels[0].frame)))


def _heading(series: Series, width: int) -> tuple[str, ...]:
    words = ", ".join(filter(None, (series.title, series.unit)))
    return tuple(textwrap.wrap(words, int(width / CHARACTER)))[:2]


def _moments(scales: Sequence[_Scale], frame: Frame) -> Iterator[Moment]:
    """The days on which anything was found, each with a strip at most half-way to its neighbours."""
    days = sorted({_day(point.at) for scale in scales for point in scale.points})
    places = [scales[0].x(frame, day) for day in days]
    for n, (day, x) in enumerate(zip(days, places, strict=True)):
        start = max(x - STRIP, (places[n - 1] + x) / 2 if n else x - STRIP)
        end = min(x + STRIP, (x + places[n + 1]) / 2 if n + 1 < len(places) else x + STRIP)
        readings = tuple(", ".join(_said(point) for point in scale.points if _day(point.at) == day) for scale in scales)
        yield Moment(x, round(start, 1), round(end - start, 1), clinical_date(day), readings)


def _said(point: Point) -> str:
    return " ".join(filter(None, (point.text or point.note, flag_words().get(point.flag, ""))))


class _Scale:
    """The value axis of one test, and the time axis of a drawing."""

    def __init__(self, series: Series, since: dt.date, until: dt.date) -> None:
        inside = (point for point in series.points if since <= _day(point.at) <= until)
        points = self.points = sorted(inside, key=lambda point: (_day(point.at), str(point.at)))
        self.since, self.until, self.low, self.high = since, until, series.low, series.high
        given = [v for p in points for v in (p.value, p.second)] + [series.low, series.high]
        values = [v for v in given if v is not None] or [0.0, 1.0]
        span = (max(values) - min(values)) or abs(max(values)) or 1.0
        self.step = _nice(span / 3)
        self.bottom = math.floor((min(values) - span * 0.08) / self.step) * self.step
        if min(values) >= 0:
            self.bottom = max(self.bottom, 0.0)
        self.top = max(max(values) + span * 0.2, self.bottom + 2 * self.step)

    def draw(self, frame: Frame, *, intervals: int, labels: bool) -> Frame:
        numbers = self._numbers()
        frame.left = max(frame.left, self.room())
        x = partial(self.x, frame)

        def y(value: float) -> float:
            share = (value - self.bottom) / (self.top - self.bottom)
            return round(frame.bottom - (frame.bottom - frame.top) * min(max(share, 0.0), 1.0), 1)

        frame.y_ticks = [{"y": y(value), "text": text} for value, text in numbers]
        for n, day in enumerate(_ticks(self.since, self.until, intervals)):
            frame.x_ticks.append({"x": x(day), "text": clinical_date(day), "anchor": "middle" if n else "start"})
        self._range(frame, y)
        placed = [(p, x(_day(p.at)), y(p.value) if p.value is not None else frame.bottom - 9.0) for p in self.points]
        frame.line = " ".join(f"{px},{py}" for p, px, py in placed if p.value is not None)
        pairs = [(px, py, y(p.second)) for p, px, py in placed if p.second is not None]
        frame.second_line = " ".join(f"{px},{lower}" for px, _py, lower in pairs)
        frame.bars = [{"x": px, "top": py, "bottom": lower} for px, py, lower in pairs]
        frame.points = [
            _mark(p, px, py, label=labels or bool(p.flag) or p.value is None or (p is self.points[-1] and not labels))
            for p, px, py in placed
        ]
        _keep_labels_inside(frame)
        _keep_labels_apart(frame.points)
        return frame

    def x(self, frame: Frame, day: dt.date) -> float:
        days = max((self.until - self.since).days, 1)
        return round(frame.left + (frame.right - frame.left) * (day - self.since).days / days, 1)

    def room(self) -> int:
        """How much the numbers beside the axis need."""
        return 12 + int(CHARACTER * max(len(text) for _value, text in self._numbers()))

    def _numbers(self) -> list[tuple[float, str]]:
        """The values beside the axis."""
        decimals = max(0, -math.floor(math.log10(self.step))) if self.step < 1 else 0
        if decimals == 0 and self.step == 1 and self.top < 20:
            decimals = 1
        steps = math.floor((self.top - self.bottom) / self.step)
        return [(value, _short(value, decimals)) for value in (self.bottom + n * self.step for n in range(steps + 1))]

    def _range(self, frame: Frame, y: Any) -> None:
        if self.low is None and self.high is None:
            return
        top = y(self.high) if self.high is not None else frame.top
        bottom = y(self.low) if self.low is not None else frame.bottom
        frame.band = {"top": top, "bottom": bottom, "label_y": bottom - 6}
        frame.limits = [{"y": y(v), "text": _exactly(v)} for v in (self.high, self.low) if v is not None]


def _short(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text if len(text) <= LONGEST_NUMBER else f"{value:.1e}"


def _exactly(value: float) -> str:
    """A limit of the range with the decimals it has."""
    text = f"{value:,.10f}".rstrip("0").rstrip(".")
    return text if len(text) <= LONGEST_NUMBER else f"{value:.3g}"


def flag_words() -> dict[Flag, str]:
    return {
        "high": _("High"),
        "low": _("Low"),
        "critical-high": _("Critically high"),
        "critical-low": _("Critically low"),
    }


def _mark(point: Point, x: float, y: float, *, label: bool) -> dict[str, Any]:
    """Describe one point: shape and word for a flagged one, a cross for one without a value."""
    words = flag_words()
    mark: dict[str, Any] = {"x": x, "y": y, "shape": "dot", "colour": COLOURS[point.flag], "text": ""}
    if point.value is None:
        mark.update(shape="cross", text=point.note, text_x=x - 9, text_y=y + 4, anchor="end")
        mark["colour"] = "#4c6272"
    elif point.flag:
        mark["shape"] = "up" if point.flag.endswith("high") else "down"
        mark.update(text=f"{words[point.flag]} {point.text}", text_x=x - 11, text_y=y + 2, anchor="end")
    elif label:
        # Below a blood pressure stands the bar to its other value.
        mark.update(text=point.text, text_x=x, text_y=y + 19 if point.second is None else y - 10, anchor="middle")
    # A label that would leave the drawing at the left goes to the other side.
    if mark["text"] and mark.get("anchor") == "end" and x < 40 + 7 * len(mark["text"]):
        mark.update(text_x=x + 11, anchor="start")
    return mark


def _keep_labels_inside(frame: Frame) -> None:
    """Move labels that stand centred at an edge of the drawing off the axis."""
    for mark in frame.points:
        if mark["text"] and mark["anchor"] == "middle":
            half = CHARACTER * len(mark["text"]) / 2 + 3
            mark["text_x"] = round(min(max(mark["text_x"], frame.left + half), frame.width - half), 1)


def _keep_labels_apart(marks: Sequence[dict[str, Any]]) -> None:
    """Take away each label that would lie on that of a newer point; the table has them all."""
    taken: list[tuple[float, float, float]] = []
    for mark in reversed(marks):
        if not mark["text"]:
            continue
        width, at = CHARACTER * len(mark["text"]), mark["text_x"]
        start = {"start": at, "middle": at - width / 2, "end": at - width}[mark["anchor"]]
        if any(
            start < right and left < start + width and abs(mark["text_y"] - height) < LINE
            for left, right, height in taken
        ):
            mark["text"] = ""
        else:
            taken.append((start, start + width, mark["text_y"]))


def _ticks(since: dt.date, until: dt.date, intervals: int) -> list[dt.date]:
    """Return the dates below the axis: whole months apart where the period allows it."""
    months = (until.year - since.year) * 12 + until.month - since.month
    if since.day == until.day <= 28 and months and months % intervals == 0:
        step = months // intervals
        return [_add_months(since, step * n) for n in range(intervals + 1)]
    return [since + (until - since) * n / intervals for n in range(intervals + 1)]


def _add_months(day: dt.date, months: int) -> dt.date:
    years, month = divmod(day.month - 1 + months, 12)
    return day.replace(year=day.year + years, month=month + 1)


def _nice(raw: float) -> float:
    """Round up to 1, 2, 2.5 or 5 times a power of ten, as people count."""
    raw = max(raw, 1e-300)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)


def _day(at: dt.datetime | dt.date) -> dt.date:
    if not isinstance(at, dt.datetime):
        return at
    return timezone.localdate(at) if timezone.is_aware(at) else at.date()


def _summary(points: Sequence[Point], unit: str) -> str:
    """Say in words what the drawing shows, for those who hear it."""
    valued = [p for p in points if p.value is not None]
    if not valued:
        return _("No values in this period.")
    lowest, highest = min(valued, key=lambda p: p.value or 0), max(valued, key=lambda p: p.value or 0)
    counted = ngettext("%(count)s value", "%(count)s values", len(valued)) % {"count": len(valued)}
    return _("%(counted)s from %(first)s to %(last)s, lowest %(low)s, highest %(high)s, latest %(now)s %(unit)s.") % {
        "counted": counted,
        "first": clinical_date(_day(valued[0].at)),
        "last": clinical_date(_day(valued[-1].at)),
        "low": lowest.text or lowest.value,
        "high": highest.text or highest.value,
        "now": valued[-1].text or valued[-1].value,
        "unit": unit,
    }
