"""Filters of My patients that people keep under a name."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from clinicportal.models import User
from clinicportal.rules import Denied
from clinicportal.texts import gettext as _
from records.display.pages import Kept
from records.models import Caseload, SavedFilter

MOST = 12


def kept(*, by: User) -> tuple[Kept, ...]:
    """Those of `by` for the organisation they act for."""
    held = SavedFilter.objects.filter(user=by, organisation=by.acting_for).values_list("pk", "name", "show", "caseload")
    return tuple(Kept(pk, name, show, str(caseload or "")) for pk, name, show, caseload in held)


@transaction.atomic
def keep(name: str, *, by: User, show: str, caseload: UUID | None) -> None:
    """Keep a filter under `name`; one of that name is replaced. Raises Denied for what can't be kept."""
    name = " ".join(name.split())[:40]
    if not name:
        raise Denied(_("Enter a name for the filter"))
    if show not in SavedFilter.Show.values:
        raise Denied(_("Choose a filter before you keep it"))
    mine = SavedFilter.objects.filter(user=by, organisation=by.acting_for)
    if mine.exclude(name=name).count() >= MOST:
        raise Denied(_("Remove a filter first: you can keep 12"))
    held = Caseload.objects.filter(pk=caseload, organisation=by.acting_for).first() if caseload else None
    values: dict[str, Any] = {"show": show, "caseload": held, "user": by, "organisation_id": by.acting_for}
    mine.update_or_create(name=name, defaults=values)


def drop(pk: int, *, by: User) -> None:
    SavedFilter.objects.filter(pk=pk, user=by, organisation=by.acting_for).delete()
