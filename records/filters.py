"""Filters of My patients that people keep under a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from clinicportal.models import User
from clinicportal.rules import Denied
from clinicportal.texts import gettext as _
from records.display.pages import Kept
from records.display.words import clean
from records.ids import uuid_of
from records.models import Caseload, Facility, Patient, SavedFilter

MOST = 12


@dataclass(frozen=True)
class Filter:
    """Which of their patients somebody asks for. Nothing of it says anything about anybody."""

    show: str = ""
    caseload: UUID | None = None
    facility: UUID | None = None
    age: str = ""
    gender: str = ""

    @property
    def query(self) -> dict[str, str]:
        """As an address keeps it."""
        return {name: str(value) for name, value in vars(self).items() if value}

    @property
    def values(self) -> dict[str, Any]:
        """What its statement needs."""
        born_from, born_before = birth_dates(self.age, timezone.localdate())
        held = {
            "caseload": self.caseload,
            "facility": self.facility,
            "born_from": born_from,
            "born_before": born_before,
            "gender": self.gender,
        }
        return {name: value for name, value in held.items() if value}


YEARS = {"child": (None, 18), "adult": (18, 65), "older": (65, None), "oldest": (85, None)}
"""At least so old, and not yet so old."""


def birth_dates(age: str, today: date) -> tuple[str, str]:
    """From which birth date on, and before which, somebody is of the age; empty where there is no limit.

    A birth date of which only the year is known counts from its first day.
    """
    least, below = YEARS.get(age, (None, None))
    return _years_ago(today, below) if below else "", _years_ago(today, least) if least else ""


def _years_ago(today: date, years: int) -> str:
    """The first birth date of those who are not yet so old today, which is the day after that of who turns it."""
    tomorrow = today + timedelta(days=1)
    return f"{tomorrow.year - years:04}-{tomorrow.month:02}-{tomorrow.day:02}"


ALL = Filter()
OF = tuple(Filter.__dataclass_fields__)
WORDS = {"show": SavedFilter.Show, "age": SavedFilter.Age, "gender": Patient.Gender}


def filter_of(given: Mapping[str, str]) -> Filter:
    """What somebody asked for in a form or an address; what is no choice, and no id, is left out."""
    words = {name: given.get(name, "") for name, known in WORDS.items() if given.get(name) in known.values}
    ids = {name: uuid_of(given.get(name, "")) for name in ("caseload", "facility")}
    return replace(ALL, **words, **ids)  # type: ignore[arg-type]


def kept(*, by: User) -> tuple[Kept, ...]:
    """Those of `by` for the organisation they act for."""
    held = SavedFilter.objects.filter(user=by, organisation=by.acting_for).values_list("pk", "name", *OF)
    return tuple(
        Kept(pk, name, urlencode([(field, value) for field, value in zip(OF, values, strict=True) if value]))
        for pk, name, *values in held
    )


@transaction.atomic
def keep(name: str, *, by: User, asked: Filter) -> None:
    """Keep a filter under `name`; one of that name is replaced. Raises Denied for what can't be kept."""
    if by.acting_for is None:
        raise Denied(_("Only people of a partner organisation have patients here to filter"))
    name = clean(name)[:40].strip()
    if not name:
        raise Denied(_("Enter a name for the filter"))
    mine = SavedFilter.objects.filter(user=by, organisation=by.acting_for)
    if mine.exclude(name=name).count() >= MOST:
        raise Denied(_("Remove a filter first: you can keep 12"))
    values: dict[str, Any] = {
        **{field: getattr(asked, field) for field in WORDS},
        "caseload": asked.caseload and Caseload.objects.filter(pk=asked.caseload, organisation=by.acting_for).first(),
        "facility": asked.facility and Facility.objects.filter(pk=asked.facility).first(),
        "user": by,
        "organisation_id": by.acting_for,
    }
    mine.update_or_create(name=name, defaults=values)


def drop(pk: int, *, by: User) -> None:
    SavedFilter.objects.filter(pk=pk, user=by, organisation=by.acting_for).delete()
