"""My patients: whom the reader's grants make visible, by name, and finding one of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import (
    BooleanField,
    CharField,
    Count,
    DateTimeField,
    Exists,
    OuterRef,
    QuerySet,
    Subquery,
    UUIDField,
    Value,
    Window,
)
from django.utils import timezone

from clinicportal.models import User
from clinicportal.texts import gettext as _
from clinicportal.viewing import viewing
from records import access, filters, looks, search
from records.chart.frame import until
from records.chart.rows import from_columns
from records.compiled import Allowed, Around, IsAnyOf, Reading
from records.display import banner, dates, news, pages
from records.display.news import COUNTED
from records.filters import ALL, Filter
from records.models import Grant, Look, Membership, Patient, SavedFilter

PAGE = 50
CASELOAD, AFTER, FACILITY = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
BORN_FROM, BORN_BEFORE, GENDER = "0001-01-04", "0001-01-05", "4 gender"


def in_list(allowed: Allowed, show: str = "", **of: Any) -> QuerySet[Patient]:
    """`of` holds those of caseload, facility, born_from, born_before and gender that are asked for."""
    patients = allowed.listed.filter(replaced_by=None)
    named = {"facility": "source__facility", "born_from": "birth_date__gte", "born_before": "birth_date__lt"}
    patients = patients.filter(**{named.get(name, name): of[name] for name in of if name != "caseload"})
    if "born_before" in of:
        patients = patients.exclude(birth_date="")
    if show == SavedFilter.Show.RECENT:
        patients = patients.filter(looks__user=allowed.user)
    if show == SavedFilter.Show.NEW:
        news = allowed.resources.filter(
            patient=OuterRef("pk"),
            received_at__gt=OuterRef("looks__at") - Value(looks.MARGIN),
            type__in=sorted(COUNTED),
            section__isnull=False,
        )
        patients = patients.filter(Exists(news), looks__user=allowed.user)
    if "caseload" in of:
        # Of a caseload that the reader has a grant for: who is in another says something about them.
        granted = Grant.objects.in_force_for(allowed.user).values("caseload")
        mine = Membership.objects.in_force().filter(caseload=of["caseload"], caseload__in=granted)
        patients = patients.filter(pk__in=mine.values("patient"))
    return patients


def by_name(patients: QuerySet[Patient], most: int, *order: str) -> Any:
    """A page of them, each row with how many there are. Whether others have the same name is asked apart."""
    counted = patients.annotate(alike=Value(None, BooleanField()), total=Window(Count("*")))
    return counted.order_by(*order or ("sort_name", "id")).values_list(*access.COLUMNS, "alike", "total")[:most]


@cache
def listing(most: int, *of: str, continued: bool, show: str = "") -> Reading:
    """A page of the list; `of` names what it is filtered by (Filter.values).

    `continued`: what stands behind the patient `after` in the order of names.
    """

    def build(allowed: Allowed, after: UUID | None = None, **filtered: Any) -> Any:
        patients = in_list(allowed, show, **filtered)
        if show == SavedFilter.Show.RECENT:
            return by_name(patients, most, "-looks__at")
        if after:
            name = Subquery(patients.filter(pk=after).values("sort_name")[:1])
            patients = patients.filter(sort_name__gte=name).exclude(sort_name=name, id__lte=after)
        return by_name(patients, most)

    stand_ins = {
        "caseload": CASELOAD,
        "facility": FACILITY,
        "born_from": BORN_FROM,
        "born_before": BORN_BEFORE,
        "gender": GENDER,
    }
    held = {name: stand_ins[name] for name in of}
    return Reading(build, **held, **({"after": AFTER} if continued else {}))


# IN is hashed where a join would be looped: PostgreSQL takes the rule to leave one row.
HELD = """WITH held AS MATERIALIZED ({{inner}})
SELECT {names}, name_key IN (SELECT name_key FROM held WHERE name_key <> '' GROUP BY name_key HAVING count(*) > 1),
       {total}
FROM held WHERE {where} ORDER BY sort_name, id LIMIT {most:d}"""


@cache
def finding(terms: int, most: int) -> Reading:
    """A page of those who have, for each of so many terms, a name, birth date or number beginning with it.

    Each row says whether another of all the reader's patients has a similar name, and how many were found: the rule is
    asked once for both. Without terms it is the first page of the whole list.
    """

    def build(allowed: Allowed) -> Any:
        needed = ["sort_name", *(["found_by"] if terms else [])]
        return in_list(allowed).values_list(*access.COLUMNS, *needed)

    where = " AND ".join([search.HOLDS] * terms) or "true"
    total = "count(*) OVER ()" if terms else "(SELECT count(*) FROM held)"  # of all rows a window is the dearer one
    text = HELD.format(names=", ".join(access.COLUMNS), where=where, total=total, most=most)
    return Around(build, text, [f"part{n}" for n in range(terms)])


def _looked(allowed: Allowed, patients: list[UUID]) -> Any:
    looked = Look.objects.filter(IsAnyOf("patient_id", patients), user=allowed.user)
    return looked.values_list("patient", "at", Value("", CharField()))


def _alike(allowed: Allowed, names: list[str]) -> Any:
    namesakes = allowed.listed.filter(IsAnyOf("name_key", names, CharField), replaced_by=None)
    alike = namesakes.values("name_key").annotate(people=Count("pk")).filter(people__gt=1)
    nobody, never = Value(None, UUIDField()), Value(None, DateTimeField())
    return alike.annotate(nobody=nobody, never=never).values_list("nobody", "never", "name_key")


LOOKED = Reading(_looked, patients=[uuid.uuid4()])
"""When the reader opened `patients` last."""
LOOKED_AND_ALIKE = Reading(
    lambda allowed, patients, names: [_looked(allowed, patients), _alike(allowed, names)],
    patients=[uuid.uuid4()],
    names=["3 names"],
)
"""The same, and which of `names` more than one of all the reader's patients has: it asks the rule once more for all."""


@dataclass(frozen=True)
class Shown:
    """One page of patients as read and written down, with the bases on which they are shown."""

    patients: list[Patient]
    bases: dict[UUID, tuple[access.Basis, ...]]
    seen: dict[UUID, looks.Seen]
    alike: set[str]
    """Name keys that more than one of all the patients of the reader has."""
    total: int
    more: bool


def shown_of(
    found: Sequence[Sequence[Any]], *, by: User, most: int, searched: bool = False, besides: Sequence[Patient] = ()
) -> Shown:
    """`besides` are patients whom the page shows apart from the list."""
    patients = access.patients_of(values[:-2] for values in found[:most])
    known = {patient.name_key: values[-2] for patient, values in zip(patients, found, strict=False)}
    known = {name: alike for name, alike in known.items() if alike is not None}
    every = {patient.pk: patient for patient in (*patients, *besides)}
    access.list_patients(every.values(), by=by, searched=searched)
    names = sorted({patient.name_key for patient in every.values()} - {"", *known})
    ids = [patient.pk for patient in patients]
    marks = LOOKED_AND_ALIKE(by, patients=ids, names=names) if names else LOOKED(by, patients=ids)
    alike = {name for _patient, _at, name in marks} | {name for name in known if known[name]}
    total = found[0][-1] if found else 0
    return Shown(
        patients,
        bases=access.bases_of_all(every.values(), by=by),
        seen=looks.seen({patient: at for patient, at, _name in marks if patient}, by=by),
        alike=alike - {""},
        total=total,
        more=len(found) > most,
    )


def list_page(*, by: User, asked: Filter, after: UUID | None = None) -> pages.PatientsPage:
    """The patients of the caseloads that `by` has grants for and whom the filter names, what follows `after`; by name.

    What was opened recently is one page, the newest first.
    """
    with viewing(by, listing=True):
        values = asked.values
        narrowed = bool(values or asked.show or after)
        read = (
            listing(PAGE + 1, *sorted(values), continued=bool(after), show=asked.show)
            if narrowed
            else finding(0, PAGE + 1)
        )
        # On the first page, which is where everybody begins. A reviewer comes from the review, and goes back there.
        on_top = by.emergencies and not after and not by.is_staff_member
        urgent = access.visible_patients(sorted(by.emergencies), by=by) if on_top else []
        found = read(by, **values, **({"after": after} if after else {}))
        shown = shown_of(found, by=by, most=PAGE, besides=urgent)
        grants = grants_of(by)
        total = count(by=by, asked=asked) if after else shown.total
        kept = filters.kept(by=by)
    made = list_of(shown, grants, asked=asked, total=total, first=total - shown.total + 1)
    return replace(
        made,
        kept=tuple(replace(one, chosen=one.query == urlencode(asked.query)) for one in kept),
        urgent=urgent_of(urgent, shown),
        following=None if asked.show == SavedFilter.Show.RECENT else made.following,
    )


def urgent_of(patients: Sequence[Patient], shown: Shown) -> tuple[pages.Emergency, ...]:
    """Whom an emergency access opens, for the top of the list while it lasts."""
    zone, today = timezone.get_current_timezone(), timezone.localdate()
    return tuple(
        pages.Emergency(
            str(basis.emergency_id),
            str(patient.pk),
            basis.purpose,
            dates.of_moment(basis.ends_at, zone),
            banner.of(from_columns(patient), today, zone, facility=patient.source.facility.name),
        )
        for patient in patients
        for basis in shown.bases[patient.pk]
        if basis.emergency_id
    )


def found_page(text: str, *, by: User) -> pages.PatientsPage:
    """Those of the patients of `by` whom `text` names. That they were searched for is written down, what for is not."""
    terms = search.terms(text)
    parts = {f"part{n}": search.beginning(term) for n, term in enumerate(terms)}
    with viewing(by, listing=True):
        found = finding(len(terms), PAGE + 1)(by, **parts) if terms else []
        shown = shown_of(found, by=by, most=PAGE, searched=True)
        grants = grants_of(by)
    return list_of(shown, grants, searched=text)


def count(*, by: User, asked: Filter) -> int:
    values = asked.values
    found = listing(1, *sorted(values), continued=False, show=asked.show)(by, **values)
    return found[0][-1] if found else 0


GRANTS = Reading(
    lambda allowed: Grant.objects.in_force_for(allowed.user).values_list(
        "ends_at",
        "organisation__agreements__ends_at",
        "caseload",
        "caseload__name",
        "caseload__facility",
        "caseload__facility__name",
        "organisation__name",
    )
)


def grants_of(by: User) -> list[tuple[Any, ...]]:
    return GRANTS(by)


def list_of(
    shown: Shown,
    grants: Sequence[tuple[Any, ...]],
    *,
    asked: Filter = ALL,
    total: int | None = None,
    first: int = 1,
    searched: str = "",
) -> pages.PatientsPage:
    zone, today = timezone.get_current_timezone(), timezone.localdate()
    people = [banner.of(from_columns(p), today, zone, facility=p.source.facility.name) for p in shown.patients]
    caseloads = {caseload: name for _ends, _agreed, caseload, name, *_rest in grants if caseload}
    facilities = {facility: name for *_rest, facility, name, _owner in grants if facility}
    ends = [min(ends_at, agreed) for ends_at, agreed, *_rest in grants]
    return pages.PatientsPage(
        rows=tuple(patient_row(patient, who, shown, zone) for patient, who in zip(shown.patients, people, strict=True)),
        organisation=grants[0][-1] if grants else "",
        caseloads=choices(caseloads, asked.caseload, _("All caseloads")),
        facilities=choices(facilities, asked.facility, _("All facilities")),
        show=asked.show,
        age=asked.age,
        gender=asked.gender,
        query=asked.query,
        total=total,
        first=first,
        until=until(max(ends), zone) if ends else None,
        as_of=dates.of_moment(timezone.now(), zone),
        searched=searched,
        following=str(shown.patients[-1].pk) if shown.more and not searched else None,
        more=shown.more,
    )


def choices(named: dict[UUID, str], chosen: UUID | None, every: str) -> tuple[pages.Choice, ...]:
    ordered = sorted(named.items(), key=lambda item: item[1])
    return (
        pages.Choice("", every, chosen=chosen is None),
        *(pages.Choice(str(pk), name, chosen=pk == chosen) for pk, name in ordered),
    )


def patient_row(patient: Patient, who: banner.Who, shown: Shown, zone: tzinfo) -> pages.PatientRow:
    bases, seen = shown.bases[patient.pk], shown.seen.get(patient.pk)
    return pages.PatientRow(
        id=str(patient.pk),
        who=who,
        why=(bases[0].label, until(bases[0].ends_at, zone)) if bases else None,
        caseload=bases[0].caseload if bases else "",
        similar=patient.name_key in shown.alike,
        opened=dates.of_moment(seen.at, zone) if seen else None,
        news=news.of(seen.news) if seen else None,
    )
