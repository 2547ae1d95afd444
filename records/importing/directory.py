"""What the people and places are called that resources refer to: kept apart, so that a chart can name them.

Directories hold nothing about patients and belong to no section, so no reader sees their resources: only the name,
which nearly every feed also writes beside the reference. What is labelled, or about a patient after all, has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from django.db.models import QuerySet

from records.importing.extraction import Taken
from records.models import ReferredName, Resource


class Told(Protocol):
    """An entry of a directory on its way into the records."""

    taken: Taken
    labelled_by: frozenset[str]
    awaits: frozenset[str]


def write_names(entries: Iterable[Told], id_of: Callable[[str], str], *, using: str) -> None:
    found, nameless = [], []
    for one in entries:
        if one.labelled_by or one.taken.about or one.awaits or not one.taken.called:
            nameless.append(one.taken.id)
            continue
        name, leads_to = one.taken.called
        found.append(ReferredName(id=one.taken.id, name=name[:300], leads_to=id_of(leads_to) if leads_to else None))
    rows = ReferredName.objects.using(using)
    if nameless:
        rows.filter(pk__in=nameless).delete()
    if found:
        deleted = Resource.objects.using(using).filter(pk__in=[one.pk for one in found]).exclude(tombstoned_at=None)
        gone = {str(pk) for pk in deleted.values_list("pk", flat=True)}  # stored texts that are read again
        for entry in found:
            entry.gone = str(entry.pk) in gone
    rows.bulk_create(found, update_conflicts=True, unique_fields=["id"], update_fields=["name", "leads_to", "gone"])


def mark_gone(entries: QuerySet[Any], *, using: str) -> None:
    """Note of these entries (their keys) that the source has deleted them: who signed has signed, and is named so."""
    ReferredName.objects.using(using).filter(pk__in=entries).update(gone=True)
