"""Results and vitals: flowsheets by group, trends, filters that look through the whole record, what has no column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import CharField
from django.utils import timezone

from clinicportal.models import User
from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from clinicportal.viewing import viewing
from records.chart import every_test, further, names, trends
from records.chart import rows as row_lists
from records.chart.frame import Frame, chart_of, open_frame
from records.chart.rows import ROW, Row, earlier_versions, newest, of_type, older, reading
from records.chart.values import results_of
from records.compiled import IsAnyOf, Reading
from records.display import documents, fhir, files, flowsheet, pages, results, together, trend
from records.display.flowsheet import Panel

FROM = datetime(1, 2, 3, 4, 5, 6, 11, tzinfo=UTC)
CODES = ["2 codes of tests"]
TYPES = [*every_test.TYPES, *further.OF_RESULTS.types]


@cache
def sheet_reading(
    section: str, most: int, *, continued: bool, within: bool, coded: bool = False, flagged: bool = False
) -> Reading:
    """A page of results; `coded`: of tests with one of `codes`; `flagged`: that may be; `within`: after `since`."""
    where: list[Any] = []
    which: dict[str, Any] = {"section": section}
    stand_ins: dict[str, Any] = {}
    if coded:
        where.append(IsAnyOf("code", CODES, CharField))
        stand_ins["codes"] = CODES
    # The words of the condition of an index, so that PostgreSQL takes it (records/models/resources.py).
    which |= {"type": "Observation", "may_be_flagged": True} if flagged else {"type__in": TYPES}
    if within:
        which["time__gte"] = stand_ins["since"] = FROM
    if continued:
        return reading(*older(most, *where, **which), row=ROW, **stand_ins)
    return reading(newest(most, *where, **which), **stand_ins)


def statement(here: str, asked: Asked, group: every_test.Group | None, most: int) -> tuple[Reading, dict[str, Any]]:
    """What to run for a page of results, and the values it needs."""
    values: dict[str, Any] = {"row": asked.before} if asked.before else {}
    within = asked.period in _DAYS
    if within:
        values["since"] = timezone.now() - timedelta(days=_DAYS[asked.period])
    if group:
        values["codes"] = list(group.codes)
    read = sheet_reading(
        every_test.SECTION[here],
        most,
        continued=asked.before is not None,
        within=within,
        coded=group is not None,
        flagged=asked.only_flagged,
    )
    return read, values


@dataclass(frozen=True)
class Asked:
    """What the reader asked of the results page. Group and test are named by our id of a result or report of theirs."""

    group: UUID | None = None
    test: UUID | None = None
    period: str = ""
    only_flagged: bool = False
    before: UUID | None = None
    trends: tuple[UUID, ...] = ()
    trend_period: str = ""

    @property
    def filtered(self) -> bool:
        return bool(self.group or self.test or self.only_flagged or self.period in _DAYS)

    @property
    def query(self) -> dict[str, str]:
        """The filter as an address keeps it."""
        kept = {"group": self.group, "test": self.test, "from": self.period, "flagged": self.only_flagged and 1}
        return {name: str(value) for name, value in kept.items() if value}


PERIODS = {
    "": gettext_lazy("All dates"),
    "6m": gettext_lazy("Last 6 months"),
    "1y": gettext_lazy("Last year"),
    "5y": gettext_lazy("Last 5 years"),
}
_DAYS = {"6m": 183, "1y": 366, "5y": 1827}


def page(patient_id: UUID, asked: Asked, *, by: User, here: str = "results") -> pages.ResultsPage:
    """The page of results or of vitals, which are laid out alike."""
    most = row_lists.MOST_RESULTS
    named = asked.test or asked.group
    with viewing(by):
        held = every_test.read(patient_id, every_test.SECTION[here], by=by) if named else ()
        group = every_test.group_of(named, held, patient_id, by=by, alone=bool(asked.test)) if named else None
        read, values = statement(here, asked, group, most + 1)
        frame = open_frame(patient_id, here, read, by=by, **values)
        of_trend = trends.read(asked.trends, by=by, patient=frame.patient.pk)
        earlier = earlier_versions(frame.rows[:most])
        names.put((row.fhir for row in frame.of_type("ImagingStudy")), frame.patient.source_id, by=by)
    more, rows = len(frame.rows) > most, frame.rows[:most]
    found = results_of(rows, frame, earlier)
    sheets, others = arranged(found, rows, asked, group)
    drawn = trends.drawn(asked.trends, of_trend, asked.trend_period, frame)
    listed_reports = reports_of(rows, asked, frame)
    choices = every_test.choices(held) if named else every_test.choices_of_page(sheets, others, rows)
    return pages.ResultsPage(
        chart=chart_of(frame),
        sheets=sheets,
        others=others,
        reports=listed_reports,
        imaging=imaging_of(rows, frame),
        groups=every_test.chosen(choices.groups, asked.group, _("All groups")),
        tests=every_test.chosen(choices.tests, asked.test, _("All tests")),
        periods=tuple(pages.Choice(value, str(text), chosen=value == asked.period) for value, text in PERIODS.items()),
        only_flagged=asked.only_flagged,
        shown=sum(sheet.values for sheet in sheets) + len(others),
        read=sum(not result.is_panel for result in found) if not asked.only_flagged else len(others),
        filtered=asked.filtered,
        more=more,
        of_all_tests=bool(named),
        new=frozenset(map(str, frame.new)),
        trend=drawn if isinstance(drawn, trend.Trend) else None,
        together=drawn if isinstance(drawn, together.Together) else None,
        trend_periods=trends.periods(asked.trends, drawn.period) if drawn else (),
        trend_after=place_of(drawn, sheets),
        together_links=tuple(together_link(sheet) for sheet in sheets),
        whole_links=() if asked.filtered else tuple(whole_link(sheet, choices, asked) for sheet in sheets),
        earlier="?" + urlencode({**asked.query, "before": str(rows[-1].id)}) if more else None,
        newest="?" + urlencode(asked.query) if asked.query else "",
        continued=asked.before is not None,
    )


def arranged(
    found: Sequence[results.Result], rows: Sequence[Row], asked: Asked, group: every_test.Group | None
) -> tuple[tuple[flowsheet.Flowsheet, ...], tuple[results.Result, ...]]:
    """Tables and the list of others. What is flagged is a list: in a table a value left out would look not measured."""
    if asked.only_flagged:
        flagged = (result for result in found if result.flag.outside)
        return (), tuple(sorted(flagged, key=lambda result: result.when.order, reverse=True))
    panels = panels_of(rows)
    if group:
        own = {r.reference: Panel(group.title, place) for place, r in enumerate(sorted(found, key=group.place_of))}
        return flowsheet.arrange(found, own, most_dates=len(found))
    return flowsheet.arrange(found, panels)


def together_link(sheet: flowsheet.Flowsheet) -> str:
    """Draws all tests of a table on one time axis; "" where there is one only."""
    columns = [column.row for column in sheet.columns]
    return trends.address(columns) + "#trend" if len(columns) > 1 else ""


def whole_link(sheet: flowsheet.Flowsheet, choices: every_test.Choices, asked: Asked) -> str:
    """Shows all dates of the group of a table."""
    return "?" + urlencode({"group": choices.group_named(sheet.panel)}) if sheet.earlier else ""


def reports_of(rows: Iterable[Row], asked: Asked, frame: Frame) -> tuple[documents.Document, ...]:
    """Reports whose own words would be lost among single results: with a conclusion, a file, or without results."""
    held = of_type(rows, "DiagnosticReport")
    found = [(row, documents.of(row.fhir, frame.zone, with_bodies=False, row=str(row.id))) for row in held]
    return documents.sort(
        report for row, report in found if report.conclusion or not report.results or files.attachments(row.fhir)
    )


def imaging_of(rows: Iterable[Row], frame: Frame) -> pages.Further:
    """Studies that took pictures; what was found on them is in a report."""
    held = of_type(rows, *further.OF_RESULTS.types)
    return pages.Further("imaging", str(further.OF_RESULTS.title), further.entries_of(held, frame))


def place_of(drawn: trend.Trend | together.Together | None, sheets: Sequence[flowsheet.Flowsheet]) -> int:
    """The sheet whose column the trend draws, -1 for none. Several stand above all: they may be of several sheets."""
    if not isinstance(drawn, trend.Trend):
        return -1
    for place, sheet in enumerate(sheets):
        if any((column.key, column.unit_key) == drawn.latest.column for column in sheet.columns):
            return place
    return -1


def panels_of(rows: Iterable[Row]) -> dict[str, Panel]:
    """Which report lists which result."""
    panels: dict[str, Panel] = {}
    for row in of_type(rows, "DiagnosticReport"):
        title = documents.of(row.fhir, with_bodies=False).title
        for place, reference in enumerate(fhir.mappings(row.fhir.get("result"))):
            panels.setdefault(f"Observation/{fhir.local_id(reference)}", Panel(title, place))
    return panels
