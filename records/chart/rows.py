"""What pages read: rows of one patient's resources, newest first, by statements that are built once.

Each statement begins with what the banner needs, so that a page asks once. Its text is that of `visible_to`
(records/compiled.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property, reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Case, Exists, F, Q, QuerySet, Subquery, Value, When

from records.compiled import Allowed, Reading
from records.display import fhir, medicines
from records.models import Patient, Resource, ResourceVersion, Section

PAGE = 50
MOST_RESULTS = 120
"""Observations and reports that one results page reads: six visits of twenty. Older ones are a link away."""
MOST_OF_A_TEST = 200
"""Results of one test that its trend is drawn of."""
MOST_CURRENT = 1000
"""Problems, medicines and allergies are read whole: a part of them would be taken for all. This bounds the absurd."""


@dataclass(frozen=True)
class Row:
    """One resource as read: its text, parsed when it is asked for, and the columns that pages need beside it."""

    id: UUID
    type: str
    section: str
    code: str
    label: str
    time: datetime | None
    status: str
    last_updated: datetime | None
    number: int
    received_at: datetime
    raw: str
    medication: str
    """What the Medication says that it refers to; "" for none."""

    @cached_property
    def fhir(self) -> fhir.Json:
        return medicines.holding(fhir.load(self.raw), self.medication)


COLUMNS = tuple(Row.__dataclass_fields__)
PATIENT, ROW = uuid.uuid4(), uuid.uuid4()

Part = Callable[[QuerySet[Resource]], QuerySet[Resource]]
"""Which of a patient's resources, from those that the viewer may see."""


def newest_first(queryset: QuerySet[Resource]) -> QuerySet[Resource]:
    """By time, undated ones last. The id settles ties, so that pages neither repeat nor skip a row."""
    return queryset.order_by(F("time").desc(nulls_last=True), "-id")


def newest(most: int, *where: Any, **which: Any) -> Part:
    return lambda held: newest_first(held.filter(*where, **which))[:most]


def older(most: int, *where: Any, **which: Any) -> list[Part]:
    """What follows ROW in `newest_first`: pages go by the last row seen, not by counting.

    Two parts, as an OR would make the database look at every row: the dated ones, then the undated.
    """

    def dated(held: QuerySet[Resource]) -> QuerySet[Resource]:
        time = time_of_row(held)
        wanted = held.filter(*where, **which, time__lte=time).exclude(time=time, id__gte=ROW)
        return newest_first(wanted)[:most]

    def undated(held: QuerySet[Resource]) -> QuerySet[Resource]:
        is_dated = Exists(held.filter(pk=ROW, time__isnull=False))
        return newest_first(held.filter(*where, **which, time=None).filter(is_dated | Q(id__lt=ROW)))[:most]

    return [dated, undated]


def time_of_row(held: QuerySet[Resource]) -> Subquery:
    return Subquery(held.filter(pk=ROW).values("time")[:1])


BANNER: Mapping[Section, tuple[str, ...]] = {
    Section.DEMOGRAPHICS: ("Patient",),
    Section.ALLERGIES: ("AllergyIntolerance",),
}
"""What the banner shows of a record."""


def reading(*parts: Part, whole: Mapping[Section, tuple[str, ...]] | None = None, **stand_ins: Any) -> Reading:
    """BANNER and then `parts`, in one statement; with BANNER what a page needs `whole`: types of sections.

    All that is read whole is one part, since each part brings the whole rule along and costs more than its rows.
    """
    sections = {**BANNER, **(whole or {})}

    def read_whole(held: QuerySet[Resource]) -> QuerySet[Resource]:
        wanted = reduce(or_, (Q(section=section, type__in=types) for section, types in sections.items()))
        return newest_first(held.filter(wanted, section__in=sections))[: MOST_CURRENT * len(sections)]

    def build(allowed: Allowed, patient: UUID, **_: Any) -> list[Any]:
        held = allowed.resources.filter(patient=patient)
        of_banner = Case(When(section__in=BANNER, then=Value(0)), default=Value(1))
        first = read_whole(held).annotate(part=of_banner)
        every = [first, *(part(held).annotate(part=Value(1)) for part in parts)]
        return [part.values_list(*COLUMNS, "part") for part in every]

    return Reading(build, patient=PATIENT, **stand_ins)


@cache
def list_reading(
    section: str, types: tuple[str, ...], most: int, *, continued: bool, beside: tuple[Part, ...] = ()
) -> Reading:
    """A page of one section, newest first, with what stands `beside` it; `continued`: what follows `row`."""
    which = {"section": section, "type__in": types}
    if continued:
        return reading(*older(most, **which), row=ROW)
    return reading(newest(most, **which), *beside)


def split(found: Iterable[Sequence[Any]]) -> tuple[list[Row], list[Row]]:
    """What a `reading` found: the rows of BANNER, and those of the page."""
    both: tuple[list[Row], list[Row]] = ([], [])
    for *values, part in found:
        both[part].append(Row(*values))
    return both


def rows_of(found: Iterable[Sequence[Any]]) -> list[Row]:
    return [Row(*values) for values in found]


def of_type(rows: Iterable[Row], *types: str) -> list[Row]:
    return [row for row in rows if row.type in types]


def earlier_versions(rows: Iterable[Row]) -> dict[UUID, fhir.Json]:
    """What corrected results said before: the newest version that each of them replaced."""
    corrected = [row.id for row in rows if row.status in ("corrected", "amended") and row.number > 1]
    return versions_of(corrected)


def versions_of(ids: list[UUID]) -> dict[UUID, fhir.Json]:
    """The newest earlier version of each of these resources, as far as the viewer may see it."""
    if not ids:
        return {}
    versions = ResourceVersion.objects.filter(resource__in=ids).within_newest()
    found = versions.order_by("number").values_list("resource", "raw")
    return {resource: fhir.load(raw) for resource, raw in found}


def from_columns(patient: Patient) -> fhir.Json:
    """A Patient with what lists need, without reading its text."""
    died = (
        {"deceasedDateTime": patient.deceased_date} if patient.deceased_date else {"deceasedBoolean": patient.deceased}
    )
    number = [{"value": patient.mrn, "type": {"coding": [{"code": "MR"}]}}] if patient.mrn else []
    return {
        "name": [{"family": patient.family, "given": [patient.given], "prefix": [patient.title]}],
        "birthDate": patient.birth_date,
        "gender": patient.gender,
        "identifier": number,
        **died,
    }
