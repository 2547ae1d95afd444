"""What the people and places are called that resources refer to: kept apart, so that a chart can name them.

Directories hold nothing about patients and belong to no section, so no reader sees their resources: only the name,
which nearly every feed also writes beside the reference. What is labelled, or about a patient after all, has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from records.importing.extraction import Taken
from records.models import ReferredName


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
    rows.bulk_create(found, update_conflicts=True, unique_fields=["id"], update_fields=["name", "leads_to"])
