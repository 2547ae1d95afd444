"""Results and vitals: flowsheets by group, the trend of one test, and what has no column."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import Subquery
from django.utils import timezone

from clinicportal.models import User
from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from clinicportal.viewing import viewing
from records.chart import further, names
from records.chart import rows as row_lists
from records.chart.frame import Frame, chart_of, open_frame
from records.chart.rows import (
    COLUMNS,
    MOST_OF_A_TEST,
    PAGE,
    PATIENT,
    ROW,
    Row,
    earlier_versions,
    newest,
    newest_first,
    of_type,
    older,
    reading,
    rows_of,
)
from records.compiled import Allowed, Reading
from records.display import banner, documents, fhir, files, flowsheet, pages, results, trend
from records.models import Section

SECTION = {"results": Section.RESULTS, "vitals": Section.VITALS}
FROM = datetime(1, 2, 3, 4, 5, 6, 11, tzinfo=UTC)


@cache
def sheet_reading(section: str, most: int, *, continued: bool, within: bool) -> Reading:
    which: dict[str, Any] = {"section": section, "type__in": ["Observation", "DiagnosticReport", "ImagingStudy"]}
    stand_ins: dict[str, Any] = {}
    if within:
        which["time__gte"] = stand_ins["since"] = FROM
    if continued:
        return reading(*older(most, **which), row=ROW, **stand_ins)
    return reading(newest(most, **which), **stand_ins)


def statement(here: str, asked: Asked, most: int) -> tuple[Reading, dict[str, Any]]:
    """What to run for a page of results, and the values it needs."""
    values: dict[str, Any] = {"row": asked.before} if asked.before else {}
    within = asked.period in _DAYS
    if within:
        values["since"] = timezone.now() - timedelta(days=_DAYS[asked.period])
    return sheet_reading(SECTION[here], most, continued=asked.before is not None, within=within), values


def _same_test(allowed: Allowed, patient: UUID, row: UUID) -> Any:
    """Observations with the code of `row`; the page then keeps those of its unit."""
    held = allowed.resources.filter(patient=patient, type="Observation")
    of_code = held.filter(code=Subquery(held.filter(pk=row).values("code")[:1]))
    return newest_first(of_code).values_list(*COLUMNS)[:MOST_OF_A_TEST]


SAME_TEST = Reading(_same_test, patient=PATIENT, row=ROW)


def results_of(rows: Iterable[Row], frame: Frame, earlier: dict[UUID, fhir.Json] | None = None) -> list[results.Result]:
    person = banner.person(frame.about, frame.today)
    return [
        results.of(row.fhir, frame.zone, person=person, earlier=(earlier or {}).get(row.id), row=str(row.id))
        for row in of_type(rows, "Observation")
    ]


@dataclass(frozen=True)
class Asked:
    """What the reader asked of the results page."""

    group: str = ""
    period: str = ""
    only_flagged: bool = False
    before: UUID | None = None
    trend: UUID | None = None
    trend_period: str = "1y"


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
    with viewing(by):
        read, values = statement(here, asked, most + 1)
        frame = open_frame(patient_id, here, read, by=by, **values)
        of_trend = rows_of(SAME_TEST(by, patient=frame.patient.pk, row=asked.trend)) if asked.trend else []
        earlier = earlier_versions(frame.rows[:most])
        names.put((row.fhir for row in frame.of_type("ImagingStudy")), frame.patient.source_id, by=by)
    more, rows = len(frame.rows) > most, frame.rows[:most]
    sheets, others = flowsheet.arrange(results_of(rows, frame, earlier), panels_of(rows))
    drawn = trend_of(of_trend, asked, frame)
    shown, listed_others = filtered(sheets, others, asked)
    return pages.ResultsPage(
        chart=chart_of(frame),
        sheets=shown,
        others=listed_others,
        reports=reports_of(rows, asked, frame),
        imaging=imaging_of(rows, asked, frame),
        groups=groups_of(sheets, asked),
        periods=tuple(pages.Choice(value, str(text), chosen=value == asked.period) for value, text in PERIODS.items()),
        only_flagged=asked.only_flagged,
        shown=sum(sheet.values for sheet in shown) + len(listed_others),
        read=sum(row.type == "Observation" for row in rows),
        new=frozenset(map(str, frame.new)),
        trend=drawn,
        trend_periods=trend_periods(asked, drawn),
        trend_after=place_of(drawn, shown),
        earlier=str(rows[-1].id) if more else None,
        continued=asked.before is not None,
    )


OTHERS = "other"


def group_key(title: str) -> str:
    """A panel in an address: what was tested does not belong there in words."""
    return f"{zlib.crc32(title.encode()):08x}"


def groups_of(sheets: Sequence[flowsheet.Flowsheet], asked: Asked) -> tuple[pages.Choice, ...]:
    named = {group_key(sheet.panel): sheet.panel for sheet in sheets}
    choices = {"": _("All groups"), **named, OTHERS: _("Other results")}
    return tuple(pages.Choice(key, title, chosen=key == asked.group) for key, title in choices.items())


def filtered(
    sheets: Sequence[flowsheet.Flowsheet], others: Sequence[results.Result], asked: Asked
) -> tuple[tuple[flowsheet.Flowsheet, ...], tuple[results.Result, ...]]:
    if asked.group:
        sheets = [sheet for sheet in sheets if group_key(sheet.panel) == asked.group]
        others = others if asked.group == OTHERS else ()
    if asked.only_flagged:
        sheets = [kept for kept in (sheet.only_flagged() for sheet in sheets) if kept.rows]
        others = [result for result in others if result.flag.outside]
    return tuple(sheets), tuple(others[:PAGE])


def reports_of(rows: Iterable[Row], asked: Asked, frame: Frame) -> tuple[documents.Document, ...]:
    """Reports whose own words would be lost among single results: with a conclusion, a file, or without results."""
    if asked.only_flagged or asked.group not in ("", OTHERS):
        return ()
    held = of_type(rows, "DiagnosticReport")
    found = [(row, documents.of(row.fhir, frame.zone, with_bodies=False, row=str(row.id))) for row in held]
    return documents.sort(
        report for row, report in found if report.conclusion or not report.results or files.attachments(row.fhir)
    )


def imaging_of(rows: Iterable[Row], asked: Asked, frame: Frame) -> pages.Further:
    """Studies that took pictures; what was found on them is in a report."""
    wanted = not asked.only_flagged and asked.group in ("", OTHERS)
    held = of_type(rows, *further.OF_RESULTS.types) if wanted else ()
    return pages.Further("imaging", str(further.OF_RESULTS.title), further.entries_of(held, frame))


def trend_of(rows: Sequence[Row], asked: Asked, frame: Frame) -> trend.Trend | None:
    column = results_of(rows, frame)
    target = next((result for result in column if result.row == str(asked.trend)), None)
    if target is None:
        return None
    same = [r for r in column if r.column == target.column or (r.key == target.key and not r.usable)]
    return trend.of(same, frame.today, asked.trend_period)


def trend_periods(asked: Asked, drawn: trend.Trend | None) -> tuple[pages.Link, ...]:
    names = {"3m": _("3 months"), "1y": _("1 year"), "5y": _("5 years"), "all": _("All")}
    if drawn is None:
        return ()
    return tuple(
        pages.Link(f"?trend={asked.trend}&over={period}#trend", name, current=period == drawn.period)
        for period, name in names.items()
    )


def place_of(drawn: trend.Trend | None, sheets: Sequence[flowsheet.Flowsheet]) -> int:
    """The sheet whose column the trend draws."""
    if drawn is None:
        return -1
    for place, sheet in enumerate(sheets):
        if any((column.key, column.unit_key) == drawn.latest.column for column in sheet.columns):
            return place
    return -1


def panels_of(rows: Iterable[Row]) -> dict[str, flowsheet.Panel]:
    """Which report lists which result."""
    panels: dict[str, flowsheet.Panel] = {}
    for row in of_type(rows, "DiagnosticReport"):
        title = documents.of(row.fhir, with_bodies=False).title
        for place, reference in enumerate(fhir.mappings(row.fhir.get("result"))):
            panels.setdefault(f"Observation/{fhir.local_id(reference)}", flowsheet.Panel(title, place))
    return panels
