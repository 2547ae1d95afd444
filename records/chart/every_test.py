"""The tests of a record: which there are, which of them make a group, and the page that lists them all.

A test is what has one code in one section. The newest result of each is found along an index, however many there are.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import F, Func, UUIDField, Value

from clinicportal.models import User
from clinicportal.texts import gettext as _
from clinicportal.viewing import viewing
from records.chart.frame import chart_of, open_frame
from records.chart.rows import COLUMNS, PATIENT, Row, newest_first, of_type
from records.chart.values import results_of
from records.compiled import Allowed, Reading, Walk
from records.display import codes, documents, fhir, flowsheet, pages, results
from records.models import Section

SECTION = {"results": Section.RESULTS, "vitals": Section.VITALS}
TYPES = ("Observation", "DiagnosticReport")
MOST = 400
"""Tests of one record that are listed. More of them would be no list that anybody reads."""
REPORTS = 10
"""Of so many reports of one kind, the newest, the tests are taken that make its group."""


@cache
def newest_of_each(section: str) -> Walk:
    """The newest row of each code in a section."""

    def build(allowed: Allowed, after: str | None, patient: UUID) -> Any:
        held = allowed.resources.filter(patient=patient, section=section, type__in=TYPES)
        if after is not None:
            held = held.filter(code__gt=after)
        return held.order_by("code", F("time").desc(nulls_last=True), "-id").values_list(*COLUMNS)[:1]

    return Walk(build, "code", MOST, patient=PATIENT)


def _named(allowed: Allowed, patient: UUID, row: UUID) -> list[Any]:
    """A row, and the codes of the results that the newest reports of its kind list (if it is a report)."""
    held = allowed.resources.filter(patient=patient)
    one = held.filter(pk=row)
    kind = held.filter(type="DiagnosticReport", section=one.values("section")[:1], code=one.values("code")[:1])
    reports = newest_first(kind).values("id")[:REPORTS]
    listed = held.filter(pk__in=reports).annotate(listed=Func(F("holds"), function="unnest", output_field=UUIDField()))
    of_listed = held.filter(pk__in=listed.values("listed"), type="Observation").annotate(nothing=Value(""))
    return [one.values_list("type", "code", "raw"), of_listed.values_list("type", "code", "nothing").distinct()]


NAMED = Reading(_named, patient=PATIENT, row=uuid.uuid4())


def read(patient: UUID, section: Section, *, by: User) -> tuple[Row, ...]:
    """The newest result or report of each test that `by` may see, by code."""
    return tuple(Row(*values) for values in newest_of_each(section)(by, patient=patient))


@dataclass(frozen=True)
class Group:
    """Tests that are shown together, by the codes of their rows."""

    title: str
    codes: frozenset[str]

    def place_of(self, result: results.Result) -> tuple[Any, ...]:
        usual = flowsheet.usual_panel(result)
        return (usual is None, usual.place if usual else 0, result.name.casefold())


def group_of(named: UUID, held: Sequence[Row], patient: UUID, *, by: User, alone: bool) -> Group | None:
    """The test (`alone`), or the group, of which `named` is a result or report; None for what is not in the record."""
    found = NAMED(by, patient=patient, row=named)
    if not found or not found[0][2]:
        return None
    (kind, code, raw), *listed = found
    about = fhir.load(raw)
    title, panel = title_of(kind, about), panel_of(kind, about)
    if alone:
        return Group(title, frozenset({code}))
    if kind == "DiagnosticReport":
        return Group(title, frozenset({code, *(code for _type, code, _raw in listed)}))
    if panel is None:
        return Group(title, frozenset({code}))
    same = (row for row in held if (its := panel_of(row.type, row.fhir)) and its.title == panel.title)
    return Group(panel.title, frozenset({code, *(row.code for row in same)}))


def panel_of(kind: str, about: fhir.Json) -> flowsheet.Panel | None:
    """The usual panel of a test, as far as code and category tell."""
    return flowsheet.usual_panel(results.of(about)) if kind == "Observation" else None


def title_of(kind: str, about: fhir.Json) -> str:
    if kind == "DiagnosticReport":
        return documents.of(about, with_bodies=False).title
    return flowsheet.short_name(codes.text_of(about.get("code"), missing=_("Test not named")))


@dataclass(frozen=True)
class Choices:
    """What can be chosen in a filter: our id and a name for each."""

    groups: tuple[tuple[str, str], ...]
    tests: tuple[tuple[str, str], ...]

    def group_named(self, title: str) -> str:
        return next((row for row, name in self.groups if name == title), "")


def choices(held: Sequence[Row]) -> Choices:
    """Of the whole record."""
    groups = {title_of(row.type, row.fhir): str(row.id) for row in of_type(held, "DiagnosticReport")}
    for row in of_type(held, "Observation"):
        if panel := panel_of(row.type, row.fhir):
            groups.setdefault(panel.title, str(row.id))
    return sorted_choices(groups, ((str(row.id), title_of(row.type, row.fhir)) for row in of_type(held, "Observation")))


def choices_of_page(
    sheets: Sequence[flowsheet.Flowsheet], others: Sequence[results.Result], rows: Sequence[Row]
) -> Choices:
    """Of the newest results, which a page has read anyway."""
    groups: dict[str, str] = {}
    for row in of_type(rows, "DiagnosticReport"):
        groups.setdefault(title_of(row.type, row.fhir), str(row.id))
    shown = {sheet.panel for sheet in sheets}
    groups = {title: row for title, row in groups.items() if title in shown}
    for sheet in sheets:
        groups.setdefault(sheet.panel, sheet.columns[0].row)
    columns = {column.key: (column.row, column.name) for sheet in sheets for column in sheet.columns}
    for result in others:
        columns.setdefault(result.key, (result.row, flowsheet.short_name(result.name)))
    return sorted_choices(groups, columns.values())


def sorted_choices(groups: dict[str, str], tests: Iterable[tuple[str, str]]) -> Choices:
    named = sorted(((row, title) for title, row in groups.items()), key=lambda one: flowsheet.panel_order(one[1]))
    return Choices(tuple(named), tuple(sorted(tests, key=lambda one: one[1].casefold())))


def chosen(items: Iterable[tuple[str, str]], asked: UUID | None, every: str) -> tuple[pages.Choice, ...]:
    named = [pages.Choice(row, title, chosen=row == str(asked)) for row, title in items]
    return pages.Choice("", every, chosen=asked is None), *named


def page(patient_id: UUID, *, by: User, here: str = "results") -> pages.TestsPage:
    """Every test of the record with its newest result, by group; from here several are drawn on one time axis."""
    with viewing(by):
        frame = open_frame(patient_id, here, by=by)
        held = read(frame.patient.pk, SECTION[here], by=by)
    found = sorted(results_of(held, frame), key=lambda result: result.name.casefold())
    grouped: dict[str, list[results.Result]] = {}
    for result in found:
        if not result.is_panel:
            panel = flowsheet.usual_panel(result)
            grouped.setdefault(panel.title if panel else "", []).append(result)
    titles = sorted(filter(None, grouped), key=flowsheet.panel_order)
    return pages.TestsPage(
        chart=chart_of(frame),
        groups=tuple((title, tuple(grouped[title])) for title in (*titles, *([""] if "" in grouped else []))),
        tests=sum(map(len, grouped.values())),
        more=len(held) == MOST,
    )
