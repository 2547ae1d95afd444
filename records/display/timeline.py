"""Everything that happened, newest first: one line for each entry, whatever its kind."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, tzinfo

from django.utils.translation import ngettext

from clinicportal.texts import gettext as _
from records.display import (
    allergies,
    dates,
    documents,
    encounters,
    entries,
    fhir,
    immunisations,
    medicines,
    problems,
    procedures,
    results,
)
from records.display.dates import When
from records.display.marks import NO_FLAG, Flag, Mark
from records.display.words import clean


@dataclass(frozen=True)
class Entry:
    """One line. `section` is the part of the record that holds the whole of it."""

    when: When
    section: str
    kind: str
    title: str
    detail: str = ""
    marks: tuple[Mark, ...] = ()
    flag: Flag = NO_FLAG
    stands: bool = True
    row: str = ""
    of_its_own: bool = False
    """Whether it has a page of its own as an entry (records/display/entries.py)."""


@dataclass(frozen=True)
class Day:
    when: When
    entries: tuple[Entry, ...]


def of(resource: fhir.Json, today: date, zone: tzinfo = UTC, *, row: str = "", section: str = "") -> Entry | None:
    """The line of one resource, None for a type that has no place in time.

    For links: `row` is our id of it, `section` the part of the record it is kept in, where its type does not say.
    """
    make = _MAKERS.get(str(resource.get("resourceType")))
    if make is None:
        return None
    made = make(resource, today, zone)
    return replace(made, row=row, section=section or made.section)


def days(entries: Iterable[Entry]) -> tuple[Day, ...]:
    """Entries by day, newest first; what has no date comes last, together."""
    found: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.when.order, reverse=True):
        found.setdefault(entry.when.text if entry.when.known else "", []).append(entry)
    return tuple(
        Day(_whole_day(held[0].when) if text else dates.words(_("Date not recorded")), tuple(held))
        for text, held in sorted(found.items(), key=lambda item: item[1][0].when.order, reverse=True)
    )


MOST_NAMES = 8


def results_of_day(day: date, names: Iterable[str]) -> Entry:
    """One line for all single results of a day: how many, and what was tested."""
    tested = list(names)
    different = list(dict.fromkeys(filter(None, map(clean, tested))))
    rest = len(different) - MOST_NAMES
    more = [_("%(count)s more") % {"count": rest}] if rest > 0 else []
    title = ngettext("%(count)s result", "%(count)s results", len(tested)) % {"count": len(tested)}
    return Entry(dates.of_day(day), "results", _("Results"), title, ", ".join([*different[:MOST_NAMES], *more]))


def _whole_day(when: When) -> When:
    return dates.of_day(when.day) if when.day else when


def _encounter(resource: fhir.Json, _today: date, zone: tzinfo) -> Entry:
    held = encounters.of(resource, zone)
    detail = ", ".join(filter(None, (held.setting, held.where)))
    return Entry(held.started, "encounters", _("Encounter"), held.kind, detail, held.marks, stands=held.stands)


def _result(resource: fhir.Json, _today: date, zone: tzinfo) -> Entry:
    held = results.of(resource, zone)
    return Entry(held.when, "results", _("Result"), held.name, held.value.with_unit, held.marks, held.flag, held.usable)


def _report(resource: fhir.Json, _today: date, zone: tzinfo) -> Entry:
    held = documents.of(resource, zone, with_bodies=False)
    section = "results" if held.results else "documents"
    return Entry(held.date, section, _("Report"), held.title, held.type, held.marks, stands=held.stands)


def _document(resource: fhir.Json, _today: date, zone: tzinfo) -> Entry:
    held = documents.of(resource, zone, with_bodies=False)
    return Entry(held.date, "documents", _("Document"), held.title, held.author, held.marks, stands=held.stands)


def _medicine(resource: fhir.Json, today: date, zone: tzinfo) -> Entry:
    held = medicines.of(resource, today, zone)
    detail = " — ".join(f"{part.label} {part.text}".strip() for part in held.line[1:])
    stands = held.standing is not medicines.Standing.ERROR
    return Entry(held.started, "medicines", _("Medicine"), held.drug, detail, held.marks, stands=stands)


def _problem(resource: fhir.Json, _today: date, zone: tzinfo) -> Entry:
    held = problems.of(resource, zone)
    return Entry(held.since, "problems", _("Problem"), held.name, held.status, held.marks, stands=held.stands)


def _allergy(resource: fhir.Json, _today: date, zone: tzinfo) -> Entry:
    held = allergies.of(resource, zone)
    stated = held.says is allergies.Says.ALLERGY
    kind = _("Allergy") if stated else _("Allergy statement")
    detail = held.reaction if stated else ""
    return Entry(held.recorded, "allergies", kind, held.substance, detail, held.marks, stands=not held.withdrawn)


def _immunisation(resource: fhir.Json, _today: date, zone: tzinfo) -> Entry:
    held = immunisations.of(resource, zone)
    return Entry(
        held.given, "immunisations", _("Immunisation"), held.vaccine, held.dose, held.marks, stands=held.stands
    )


def _procedure(resource: fhir.Json, _today: date, zone: tzinfo) -> Entry:
    held = procedures.of(resource, zone)
    return Entry(held.when, "procedures", _("Procedure"), held.name, held.where, held.marks, stands=held.stands)


def _entry(resource: fhir.Json, today: date, zone: tzinfo) -> Entry:
    held = entries.of(resource, today, zone)
    detail = held.lines[0] if held.lines else ""
    return Entry(held.when, "", held.kind, held.title, detail, held.marks, stands=held.stands, of_its_own=True)


_MAKERS: dict[str, Callable[[fhir.Json, date, tzinfo], Entry]] = {
    "Encounter": _encounter,
    "Observation": _result,
    "DiagnosticReport": _report,
    "DocumentReference": _document,
    "MedicationRequest": _medicine,
    "MedicationStatement": _medicine,
    "Condition": _problem,
    "AllergyIntolerance": _allergy,
    "Immunization": _immunisation,
    "Procedure": _procedure,
    "Composition": _document,
    "QuestionnaireResponse": _document,
    **dict.fromkeys(entries.MAKERS, _entry),
}
