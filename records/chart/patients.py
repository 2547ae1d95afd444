"""My patients: whom the reader's grants make visible, by name, and finding one of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery, Value, Window
from django.utils import timezone

from clinicportal.models import User
from clinicportal.texts import gettext as _
from clinicportal.viewing import viewing
from records import access, filters, looks, search
from records.chart.frame import until
from records.chart.rows import from_columns
from records.compiled import Allowed, Reading
from records.display import banner, dates, news, pages
from records.display.news import COUNTED
from records.models import Grant, Membership, Patient, SavedFilter

PAGE = 50
CASELOAD, AFTER = uuid.uuid4(), uuid.uuid4()


def in_list(allowed: Allowed, caseload: UUID | None = None, show: str = "") -> QuerySet[Patient]:
    patients = allowed.listed.filter(replaced_by=None)
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
    if caseload:
        patients = patients.filter(pk__in=Membership.objects.in_force().filter(caseload=caseload).values("patient"))
    return patients


def by_name(patients: QuerySet[Patient], most: int) -> Any:
    """A page of them, each row with how many there are."""
    counted = patients.annotate(total=Window(Count("*")))
    return counted.order_by("sort_name", "id").values_list(*access.COLUMNS, "total")[:most]


@cache
def listing(most: int, *, of_caseload: bool, continued: bool, show: str = "") -> Reading:
    """A page of the list; `continued`: what stands behind the patient `after` in the order of names."""

    def build(allowed: Allowed, caseload: UUID | None = None, after: UUID | None = None) -> Any:
        patients = in_list(allowed, caseload, show)
        if show == SavedFilter.Show.RECENT:
            counted = patients.annotate(total=Window(Count("*")))
            return counted.order_by("-looks__at").values_list(*access.COLUMNS, "total")[:most]
        if after:
            name = Subquery(patients.filter(pk=after).values("sort_name")[:1])
            patients = patients.filter(sort_name__gte=name).exclude(sort_name=name, id__lte=after)
        return by_name(patients, most)

    stand_ins = {**({"caseload": CASELOAD} if of_caseload else {}), **({"after": AFTER} if continued else {})}
    return Reading(build, **stand_ins)


@cache
def finding(terms: int, most: int) -> Reading:
    """Those who have, for each of so many terms, a name, birth date or number beginning with it."""

    def build(allowed: Allowed, **typed: str) -> Any:
        patients = in_list(allowed)
        return by_name(search.matching(patients, [typed[f"part{n}"] for n in range(terms)]), most)

    return Reading(build, **{f"part{n}": str(uuid.uuid4()) for n in range(terms)})


@dataclass(frozen=True)
class Shown:
    """One page of patients as read and written down, with the bases on which they are shown."""

    patients: list[Patient]
    bases: dict[UUID, tuple[access.Basis, ...]]
    seen: dict[UUID, looks.Seen]
    total: int
    more: bool


def shown_of(
    found: Sequence[Sequence[Any]], *, by: User, most: int, searched: bool = False, besides: Sequence[Patient] = ()
) -> Shown:
    """`besides` are patients whom the page shows apart from the list."""
    patients = access.patients_of(values[:-1] for values in found[:most])
    every = {patient.pk: patient for patient in (*patients, *besides)}
    access.list_patients(every.values(), by=by, searched=searched)
    ids = [patient.pk for patient in patients]
    total = found[0][-1] if found else 0
    return Shown(patients, access.bases_of_all(every.values(), by=by), looks.seen(ids, by=by), total, len(found) > most)


def list_page(
    *, by: User, caseload: UUID | None = None, show: str = "", after: UUID | None = None
) -> pages.PatientsPage:
    """The patients of the caseloads that `by` has grants for, by name, what follows `after`; `show` names a filter.

    What was opened recently is one page, the newest first.
    """
    of_caseload = {"caseload": caseload} if caseload else {}
    asked = {**of_caseload, **({"after": after} if after else {})}
    with viewing(by, listing=True):
        read = listing(PAGE + 1, of_caseload=bool(caseload), continued=bool(after), show=show)
        # On the first page, which is where everybody begins. A reviewer comes from the review, and goes back there.
        on_top = by.emergencies and not after and not by.is_staff_member
        urgent = access.visible_patients(sorted(by.emergencies), by=by) if on_top else []
        shown = shown_of(read(by, **asked), by=by, most=PAGE, besides=urgent)
        grants = grants_of(by)
        total = count(by=by, show=show, **of_caseload) if after else shown.total
        kept = filters.kept(by=by)
    made = list_of(shown, grants, caseload=caseload, total=total, first=total - shown.total + 1)
    return replace(
        made,
        show=show,
        kept=kept,
        urgent=urgent_of(urgent, shown),
        following=None if show == SavedFilter.Show.RECENT else made.following,
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


def count(*, by: User, show: str, **asked: Any) -> int:
    found = listing(1, of_caseload="caseload" in asked, continued=False, show=show)(by, **asked)
    return found[0][-1] if found else 0


GRANTS = Reading(
    lambda allowed: Grant.objects.in_force_for(allowed.user).values_list(
        "ends_at", "organisation__agreements__ends_at", "caseload", "caseload__name", "organisation__name"
    )
)


def grants_of(by: User) -> list[tuple[Any, ...]]:
    return GRANTS(by)


def list_of(
    shown: Shown,
    grants: Sequence[tuple[Any, ...]],
    *,
    caseload: UUID | None = None,
    total: int | None = None,
    first: int = 1,
    searched: str = "",
) -> pages.PatientsPage:
    zone, today = timezone.get_current_timezone(), timezone.localdate()
    people = [banner.of(from_columns(p), today, zone, facility=p.source.facility.name) for p in shown.patients]
    alike = banner.similar(people)
    named = {caseload: name for _ends, _agreed, caseload, name, _owner in grants if caseload}
    ends = [min(ends_at, agreed) for ends_at, agreed, *_rest in grants]
    return pages.PatientsPage(
        rows=tuple(
            patient_row(patient, who, shown, zone, similar=place in alike)
            for place, (patient, who) in enumerate(zip(shown.patients, people, strict=True))
        ),
        organisation=grants[0][-1] if grants else "",
        caseloads=(
            pages.Choice("", _("All caseloads"), chosen=caseload is None),
            *(
                pages.Choice(str(pk), name, chosen=pk == caseload)
                for pk, name in sorted(named.items(), key=lambda i: i[1])
            ),
        ),
        total=total,
        first=first,
        until=until(max(ends), zone) if ends else None,
        as_of=dates.of_moment(timezone.now(), zone),
        searched=searched,
        following=str(shown.patients[-1].pk) if shown.more and not searched else None,
        more=shown.more,
    )


def patient_row(patient: Patient, who: banner.Who, shown: Shown, zone: tzinfo, *, similar: bool) -> pages.PatientRow:
    bases, seen = shown.bases[patient.pk], shown.seen.get(patient.pk)
    return pages.PatientRow(
        id=str(patient.pk),
        who=who,
        why=(bases[0].label, until(bases[0].ends_at, zone)) if bases else None,
        caseload=bases[0].caseload if bases else "",
        similar=similar,
        opened=dates.of_moment(seen.at, zone) if seen else None,
        news=news.of(seen.news) if seen else None,
    )
