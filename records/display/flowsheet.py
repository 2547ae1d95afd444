"""Results in tables: dates down, tests across, newest at the top, unit and range in the header [GTAB-027, 188].

A column is one test in one unit, so units never mix. What has no number, or belongs to no panel, goes to the list of
other results.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.display import amounts
from records.display.dates import When
from records.display.fhir import LOINC
from records.display.ranges import Range
from records.display.results import Of, Result

MOST_COLUMNS = 6
"""What fits beside the record menu without scrolling sideways; wider panels become several tables."""


@dataclass(frozen=True)
class Column:
    """One test in one unit. `range` is that of the newest value; a cell with another one shows its own.

    `row` is our id of the newest result, by which the trend is asked for.
    """

    key: str
    unit_key: str
    name: str
    full_name: str
    unit: str
    range: Range
    row: str = ""
    decimals: int = 0


@dataclass(frozen=True)
class Cell:
    """What was found for one test at one time: usually one result, none, or several of the same minute."""

    column: Column
    results: tuple[Result, ...]

    def padding(self, result: Result) -> str:
        """What stands behind a number so that the points of the column stand below each other."""
        return amounts.padding(result.value.text, self.column.decimals) if result.numeric else ""

    def own_range(self, result: Result) -> str:
        return result.range.text if result.range.text != self.column.range.text else ""


@dataclass(frozen=True)
class Row:
    when: When
    cells: tuple[Cell, ...]

    @property
    def flagged(self) -> bool:
        return any(result.flag.outside for cell in self.cells for result in cell.results)


@dataclass(frozen=True)
class Flowsheet:
    """One table of a panel. A wide panel has several: `panel` is its name, `title` that of the table."""

    panel: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    dates: int

    @property
    def flags_are_computed(self) -> bool:
        return any(r.flag.computed for row in self.rows for cell in row.cells for r in cell.results)

    @property
    def flags_are_given(self) -> bool:
        return any(
            r.flag.word and not r.flag.computed and r.flag.outside
            for row in self.rows
            for cell in row.cells
            for r in cell.results
        )

    @property
    def values(self) -> int:
        return sum(len(cell.results) for row in self.rows for cell in row.cells)

    def only_flagged(self) -> "Flowsheet":
        """The same table with those dates only on which something was outside its range."""
        return replace(self, rows=tuple(row for row in self.rows if row.flagged))

    @property
    def earlier(self) -> int:
        """Dates that are not in the table."""
        return self.dates - len(self.rows)


@dataclass(frozen=True)
class Panel:
    """Where a result belongs: the report that lists it, and its place there."""

    title: str
    place: int = 0


# Panels of tests that came without a report, by LOINC code: what reference/demo-data.md lists, and their usual order.
_PANELS = (
    (gettext_lazy("Kidney function"), ("2951-2", "2823-3", "3094-0", "2160-0", "33914-3")),
    (gettext_lazy("Full blood count"), ("718-7", "6690-2", "777-3", "787-2", "789-8", "4544-3")),
    (gettext_lazy("Lipids"), ("2093-3", "13457-7", "18262-6", "2085-9", "2571-8")),
    (gettext_lazy("Glucose and HbA1c"), ("2339-0", "2345-7", "4548-4")),
    (gettext_lazy("Liver and thyroid"), ("1742-6", "1920-8", "1975-2", "3016-3")),
)
_VITAL_SIGNS = ("85354-9", "8867-4", "9279-1", "8310-5", "2708-6", "59408-5", "29463-7", "8302-2", "39156-5")
_PANEL_OF = {f"{LOINC}|{code}": (title, place) for title, tests in _PANELS for place, code in enumerate(tests)}
_VITAL_SIGN_PLACE = {f"{LOINC}|{code}": place for place, code in enumerate(_VITAL_SIGNS)}


def arrange(
    results: Iterable[Result],
    panels: Mapping[str, Panel] | None = None,
    *,
    most_dates: int = 10,
) -> tuple[tuple[Flowsheet, ...], tuple[Result, ...]]:
    """Sort results into flowsheets and the list of others, both newest first.

    `panels` maps "Observation/<id>" to the report that lists it.
    """
    # A panel's own Observation has no value; its members are results of their own.
    held = sorted((r for r in results if not r.is_panel), key=lambda result: result.when.order, reverse=True)
    numeric = {result.key for result in held if result.numeric}
    grouped: defaultdict[str, list[tuple[int, Result]]] = defaultdict(list)
    others: list[Result] = []
    for result in held:
        panel = (panels or {}).get(result.reference) or usual_panel(result)
        if panel and result.key in numeric:
            grouped[panel.title].append((panel.place, result))
        else:
            others.append(result)
    sheets: list[Flowsheet] = []
    for title, placed in sorted(grouped.items(), key=lambda item: panel_order(item[0])):
        sheets += _sheets(title, placed, most_dates)
    return tuple(sheets), tuple(others)


def in_panels(placed: Iterable[tuple[Panel, Result]]) -> tuple[Flowsheet, ...]:
    """The flowsheets of results whose panel and place are known, with all their dates."""
    grouped: defaultdict[str, list[tuple[int, Result]]] = defaultdict(list)
    for panel, result in sorted(placed, key=lambda held: held[1].when.order, reverse=True):
        grouped[panel.title].append((panel.place, result))
    return tuple(
        sheet
        for title, held in grouped.items()
        if any(result.numeric for _place, result in held)
        for sheet in _sheets(title, held, len(held))
    )


def usual_panel(result: Result) -> Panel | None:
    if result.key in _PANEL_OF:
        title, place = _PANEL_OF[result.key]
        return Panel(str(title), place)
    if result.key in _VITAL_SIGN_PLACE or result.category in ("vital-signs", "vital-sign"):
        return Panel(_("Vital signs"), _VITAL_SIGN_PLACE.get(result.key, len(_VITAL_SIGNS)))
    return None


def panel_order(title: str) -> int:
    """The usual panels in their usual order, then those that reports name, then vital signs."""
    usual = [str(name) for name, _tests in _PANELS]
    return usual.index(title) if title in usual else len(usual) + (title == _("Vital signs"))


def by_importance(result: Result) -> tuple[object, ...]:
    """Order among results of one day: outside their range first, then in the order of the usual panels."""
    panel = usual_panel(result)
    place = (panel_order(panel.title), panel.place) if panel else (len(_PANELS), 0)
    return not result.flag.outside, *place, result.name.casefold()


def _sheets(title: str, placed: Sequence[tuple[int, Result]], most_dates: int) -> list[Flowsheet]:
    columns = _columns(placed)
    parts = [columns[start : start + MOST_COLUMNS] for start in range(0, len(columns), MOST_COLUMNS)]
    shared = len(parts) > 1
    results = [result for _place, result in placed]
    return [
        _sheet(
            title,
            _("%(panel)s, %(part)s of %(parts)s") % {"panel": title, "part": n, "parts": len(parts)}
            if shared
            else title,
            part,
            results,
            most_dates,
        )
        for n, part in enumerate(parts, 1)
    ]


def _columns(placed: Sequence[tuple[int, Result]]) -> list[Column]:
    newest: dict[tuple[str, str], tuple[int, Result]] = {}
    for place, result in placed:
        if result.numeric:
            newest.setdefault(result.column, (place, result))
    ordered = sorted(newest.values(), key=lambda held: (held[0], held[1].name.casefold()))
    results = [result for _place, result in ordered]
    short = [short_name(result.name) for result in results]
    return [
        Column(
            key=result.key,
            unit_key=result.value.unit.key,
            name=name if short.count(name) == 1 else result.name,
            full_name=result.name,
            unit=result.value.unit.text,
            range=result.range,
            row=result.row,
            decimals=max(amounts.decimals(r.value.text) for _p, r in placed if r.column == result.column),
        )
        for result, name in zip(results, short, strict=True)
    ]


def _sheet(panel: str, title: str, columns: Sequence[Column], results: Sequence[Result], most_dates: int) -> Flowsheet:
    by_key: dict[tuple[str, str], Column] = {(column.key, column.unit_key): column for column in columns}
    first_of: dict[str, Column] = {}
    for column in columns:
        first_of.setdefault(column.key, column)
    found: defaultdict[tuple[int, ...], defaultdict[Column, list[Result]]] = defaultdict(lambda: defaultdict(list))
    when: dict[tuple[int, ...], When] = {}
    for result in results:
        # A rejected specimen has no unit of its own: it stands under the test it was taken for.
        at = by_key.get(result.column) if result.value.of is Of.NUMBER else first_of.get(result.key)
        if at:
            found[result.when.order][at].append(result)
            when[result.when.order] = result.when
    newest_first = sorted(found, reverse=True)
    rows = tuple(
        Row(when[order], tuple(Cell(column, tuple(found[order][column])) for column in columns))
        for order in islice(newest_first, most_dates)
    )
    return Flowsheet(panel, title, tuple(columns), rows, dates=len(newest_first))


_LOINC_PROPERTY = re.compile(r" \[[^\]]*\].*$")


def short_name(name: str) -> str:
    """A LOINC name without property, specimen and method: "Hemoglobin [Mass/volume] in Blood" is Hemoglobin."""
    return _LOINC_PROPERTY.sub("", name) or name
