"""Problems, allergies, and the sections that are plain lists, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from clinicportal.models import User
from clinicportal.viewing import viewing
from records.chart import further
from records.chart import rows as row_lists
from records.chart.frame import Frame, chart_of, open_frame
from records.chart.rows import Row, list_reading, of_type, reading
from records.display import documents, encounters, immunisations, pages, problems, procedures
from records.models import Section

PROBLEMS = reading(*further.few("problems"), whole={Section.PROBLEMS: ("Condition",)})

LISTS: dict[str, tuple[Section, tuple[str, ...]]] = {
    "immunisations": (Section.IMMUNISATIONS, ("Immunization",)),
    "procedures": (Section.PROCEDURES, ("Procedure",)),
    "encounters": (Section.ENCOUNTERS, ("Encounter",)),
    "documents": (
        Section.DOCUMENTS,
        ("DocumentReference", "DiagnosticReport", "Composition", "QuestionnaireResponse"),
    ),
}
"""Sections that are plain lists, newest first."""
BESIDE = {here: tuple(further.few(here)) for here in LISTS}
"""What the first page of each has beside its list."""


def problems_page(patient_id: UUID, *, by: User) -> pages.ProblemsPage:
    with viewing(by):
        frame = open_frame(patient_id, "problems", PROBLEMS, by=by, named=True)
    return pages.ProblemsPage(chart_of(frame), problems_of(frame.rows, frame), further.on_page(frame))


def problems_of(rows: Iterable[Row], frame: Frame) -> problems.Problems:
    return problems.sort(problems.of(row.fhir, frame.zone) for row in of_type(rows, "Condition"))


def allergies_page(patient_id: UUID, *, by: User) -> pages.AllergiesPage:
    with viewing(by):
        frame = open_frame(patient_id, "allergies", by=by, named=True)
    return pages.AllergiesPage(chart_of(frame))


def list_page(patient_id: UUID, here: str, *, by: User, before: UUID | None = None) -> pages.ListPage:
    """The page of one section in LISTS, what follows `before`."""
    section, types = LISTS[here]
    most = row_lists.PAGE
    asked = {"row": before} if before else {}
    read = list_reading(section, types, most + 1, continued=before is not None, beside=BESIDE[here])
    with viewing(by):
        frame = open_frame(patient_id, here, read, by=by, named=True, **asked)
    held = frame.of_type(*types)
    return pages.ListPage(
        chart=chart_of(frame),
        items=items_of(held[:most], here, frame),
        earlier=str(held[most - 1].id) if len(held) > most else None,
        continued=before is not None,
        further=() if before else further.on_page(frame),
    )


def items_of(rows: Iterable[Row], here: str, frame: Frame) -> tuple[Any, ...]:
    match here:
        case "immunisations":
            return immunisations.sort(immunisations.of(row.fhir, frame.zone) for row in rows)
        case "procedures":
            return procedures.sort(procedures.of(row.fhir, frame.zone) for row in rows)
        case "encounters":
            return encounters.sort(encounters.of(row.fhir, frame.zone) for row in rows)
        case _:
            return documents.sort(
                documents.of(row.fhir, frame.zone, with_bodies=False, row=str(row.id)) for row in rows
            )
