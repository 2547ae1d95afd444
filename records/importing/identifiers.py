"""Which resource of a source has which identifier, in the database: for conditional references, however many there are.

Kept for types that are named so: directories always, others from the first time that somebody asks for one, when what
is there is read once. `Source.identified` says of which types the table is complete; it says of none while an import
may change it, so that after a killed one the table is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any
from uuid import UUID

import orjson
from django.db import connections, transaction
from django.db.models import Q

from records.importing.parsing import TYPES
from records.importing.references import DIRECTORY_TYPES, MOST_IN_MEMORY, Directory, key_of, keys_of
from records.importing.storing import Batch
from records.models import Import, Resource, ResourceIdentifier, Source
from records.texts import one_by_one

AT_ONCE = 5_000

FIRST = """
SELECT key, CASE WHEN count(*) = 1 THEN min(fhir_id) END FROM records_resourceidentifier
WHERE source_id = %s AND NOT gone GROUP BY key ORDER BY key LIMIT %s
"""
# Of those that stand exactly one, or of those that are gone if none stands: a link is not lost with what it leads to.
FIND = """
SELECT key, CASE WHEN count(*) FILTER (WHERE NOT gone) = 1 THEN min(fhir_id) FILTER (WHERE NOT gone)
                 WHEN count(*) = 1 THEN min(fhir_id) END
FROM records_resourceidentifier WHERE source_id = %s AND key = ANY (%s) GROUP BY key
"""
ADD = """
INSERT INTO records_resourceidentifier (source_id, key, resource_id, fhir_id, gone)
SELECT %s, * FROM unnest(%s::uuid[], %s::uuid[], %s::varchar[], %s::boolean[]) ON CONFLICT DO NOTHING
"""


class Identifiers:
    """Of one source, during one import. Nobody else writes this source meanwhile."""

    def __init__(self, source: Source, run: Import, *, using: str) -> None:
        self.source, self.run, self.using = source, run, using
        self.kept: set[str] = set(self.row.values_list("identified", flat=True).get())
        self.noted: list[str] = []
        self.changing = False

    @property
    def row(self) -> Any:
        return Source.objects.using(self.using).filter(pk=self.source.pk)

    def directory(self) -> Directory:
        """What fits into memory, for the process that reads. What does not is found by `find`."""
        self.keep(DIRECTORY_TYPES)
        with connections[self.using].cursor() as cursor:
            cursor.execute(FIRST, [self.source.pk, MOST_IN_MEMORY])
            return Directory({key.bytes: fhir_id for key, fhir_id in cursor.fetchall()})

    def find(self, wanted: Iterable[tuple[str, str]]) -> dict[bytes, str | None]:
        """By their keys, the ids at source of those with these (type, "system|value"); None: nobody, or several."""
        self.catch_up()
        wanted = set(wanted)
        self.keep({kind for kind, _ in wanted} & TYPES)
        found: dict[bytes, str | None] = dict.fromkeys(key_of(*one) for one in wanted)
        with connections[self.using].cursor() as cursor:
            cursor.execute(FIND, [self.source.pk, [UUID(bytes=key) for key in found]])
            found.update((key.bytes, fhir_id) for key, fhir_id in cursor.fetchall())
        return found

    # ------------------------------------------------------------ keeping them

    def keep(self, kinds: Iterable[str]) -> None:
        """Read the identifiers of these types that are not kept yet, of all that is here."""
        new = set(kinds) - self.kept
        if not new:
            return
        with transaction.atomic(using=self.using):
            if not self.kept:  # or an import was killed that changed them
                ResourceIdentifier.objects.using(self.using).filter(source=self.source).delete()
            self.add(Resource.objects.using(self.using).filter(source=self.source, type__in=new))
            self.kept |= new
            if not self.changing:
                self.row.update(identified=sorted(self.kept))

    def note(self, batch: Batch) -> None:
        """Remember what may have other identifiers once this batch is written; the batch before it is."""
        ids = [taken.id for taken in batch.taken.values() if taken.type in self.kept]
        if not ids:
            return
        if not self.changing:
            self.changing = True
            self.row.update(identified=[])
        if len(self.noted) >= AT_ONCE:
            self.catch_up()
        self.noted += ids

    def catch_up(self) -> None:
        """Read the identifiers of what is new or changed since it was noted, or came back."""
        rows = ResourceIdentifier.objects.using(self.using)
        for start in range(0, len(self.noted), AT_ONCE):
            ids = self.noted[start : start + AT_ONCE]
            had = set(rows.filter(resource_id__in=ids).values_list("resource_id", flat=True))
            new = Q(received_at__gte=self.run.started_at) | ~Q(pk__in=had)
            resources = Resource.objects.using(self.using).filter(pk__in=ids)
            these = resources.filter(new)
            with transaction.atomic(using=self.using):
                if had:
                    rows.filter(resource_id__in=these.values("pk")).delete()
                self.add(these)
                back = rows.filter(gone=True, resource_id__in=resources.filter(tombstoned_at=None).values("pk"))
                back.update(gone=False)
        self.noted.clear()

    def add(self, resources: Any) -> None:
        pairs = of_resources(one_by_one(resources, "pk", "fhir_id", "tombstoned_at", "raw"))
        with connections[self.using].cursor() as cursor:
            while page := list(islice(pairs, AT_ONCE)):
                cursor.execute(ADD, [self.source.pk, *map(list, zip(*page, strict=True))])

    def finish(self) -> None:
        """The import has written all: the table is complete again."""
        self.catch_up()
        if self.changing:
            self.row.update(identified=sorted(self.kept))
            self.changing = False


def of_resources(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, str, str, bool]]:
    for pk, fhir_id, tombstoned_at, raw in rows:
        for key in set(keys_of(orjson.loads(raw))):
            yield key.hex(), str(pk), fhir_id, tombstoned_at is not None
