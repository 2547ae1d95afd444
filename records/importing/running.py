"""One import from its files to its end: read in a process of its own, write here, then settle what had to wait."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, Func, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils import timezone

from clinicportal import audit
from records import caseloads, tokens
from records.importing.apart import in_child
from records.importing.extraction import Extraction, Taken
from records.importing.identifiers import Identifiers
from records.importing.parsing import Unreadable
from records.importing.reading import (
    Arrived,
    Deleted,
    File,
    Mended,
    Outcome,
    Refused,
    find_files,
    object_in,
    read,
    receive,
)
from records.importing.references import Addresses, Directory, conditional, key_of, literal
from records.importing.storing import TOUCHED, Batch, Store, only_import_of, refuse_when_stopped
from records.label_rules import rules
from records.labels import named
from records.models import (
    Awaited,
    Import,
    Patient,
    PatientToken,
    Resource,
    ResourceVersion,
    SensitiveClass,
    Source,
)
from records.settling import adopt_binaries, settle_source
from records.times import start_of

MOST_OF_MANIFEST = 2**20
MAY_LACK = 0.1
"""How much of what stands a snapshot may lack before somebody has to say that it is whole."""
RELABEL_AT_ONCE = 2_000
PAGE = 1_000
FIRST, ROWS, BYTES = 1_000, 5_000, 8 * 2**20
"""Of one batch, that is of one transaction, whichever is reached first. Up to three are in memory at a time:
one being written, one on its way, one being read. The first is small, so that writing begins at once."""


@dataclass(frozen=True)
class Progress:
    """How far an import is. One comes with each batch, and one when a file is done."""

    file: str
    resources: int
    """Read so far, of all files."""
    fraction: float
    """Of the bytes of all files."""
    seconds: float
    file_done: bool


@dataclass(frozen=True)
class Result:
    """What an import did, beyond the counts on `run`."""

    run: Import
    files: int
    others: list[str]
    """Files without FHIR in them."""
    seconds: float
    awaiting: int
    """Resources that name somebody or something that has not arrived."""
    memberships: caseloads.Changes


def import_files(
    source: Source,
    paths: list[Path],
    *,
    snapshot: bool = False,
    may_lack: float = MAY_LACK,
    on_progress: Callable[[Progress], None] = lambda _: None,
    using: str = DEFAULT_DB_ALIAS,
) -> Result:
    """Bring the FHIR resources in `paths` (files and folders) into `source`. Doing it again changes nothing.

    With `snapshot` they are all that the source holds: the rest becomes tombstones, if it is no more than `may_lack`
    (a fraction) of what stands. Raises storing.AlreadyRunning, Stopped, SnapshotTooSmall. Needs the worker's role at
    `using`.
    """
    started, started_at = time.monotonic(), timezone.now()
    files, others = find_files(paths)
    manifest = manifest_in(paths)
    refuse_when_stopped(source, using=using)
    with (
        only_import_of(source, using=using),
        tuned_for_bulk(),
        run_of(Import(source=source, files=len(files), snapshot=snapshot), using=using) as run,
    ):
        store = Store(source, run, using=using)
        identifiers = Identifiers(source, run, using=using)
        reading = Reading(source, files, identifiers.directory(), base_in(manifest))
        late = Late(source, store, reading, identifiers, using=using)
        if follows_a_killed_run(store):
            late.look_again()  # or what it left waiting would look changed when it comes again, its targets known
        with in_child(reading.batches()) as batches:
            for batch, progress in batches:
                if batch:
                    store.write(late.complete(batch), fraction=progress.fraction)
                on_progress(progress)
        late.look_again()
        identifiers.finish()
        store.tombstone_the_rest(at_most=may_lack)
        adopt_binaries(source.pk, using=using)
        settle_source(source.pk, using=using)
        memberships = caseloads.refresh(source, patients_to_look_at(store), using=using)
        finish(run, up_to(manifest, started_at), using=using)
    awaiting = awaited_in(source, using=using).values("resource").distinct().count()
    return Result(run, len(files), others, time.monotonic() - started, awaiting, memberships)


def patients_to_look_at(store: Store) -> set[str] | None:
    """Whose memberships a run may have changed; None: anybody's.

    Anybody's also when nothing changed, so that importing again mends what a killed run or a new caseload left.
    """
    if follows_a_killed_run(store) or store.partners_changed or not 0 < len(store.touched) < TOUCHED:
        return None
    return store.touched


def follows_a_killed_run(store: Store) -> bool:
    """Whether the run of this source before did not end, or there was none."""
    runs = Import.objects.using(store.using).filter(source=store.source).exclude(pk=store.run.pk)
    before = runs.order_by("-started_at").first()
    return before is None or before.finished_at is None


@contextmanager
def run_of(run: Import, *, using: str) -> Iterator[Import]:
    """The row of this run. What ends it early is noted there by its kind; a run that was killed just has no end."""
    run.save(using=using, force_insert=True)
    try:
        yield run
    except Exception as error:
        Import.objects.using(using).filter(pk=run.pk).update(failed=type(error).__name__)
        raise


@contextmanager
def tuned_for_bulk() -> Iterator[None]:
    """Let Python look for cycles rarely: parsed documents have none, and looking is a fifth of the work."""
    threshold = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)


def finish(run: Import, current: datetime, *, using: str) -> None:
    """Write down that the run ended, how current the source is now, and the event."""
    Import.objects.using(using).filter(pk=run.pk).update(finished_at=Now(), fraction=1)
    known = Coalesce("imported_up_to", current)
    Source.objects.using(using).filter(pk=run.source_id).update(imported_up_to=Greatest(known, current))
    run.refresh_from_db(using=using)
    counts = {name: getattr(run, name) for name in COUNTS}
    audit.record(audit.Type.IMPORTED, run, detail={"source": run.source.name, **counts})


COUNTS = ("read", "created", "changed", "unchanged", "older", "rejected", "tombstoned")


def manifest_in(paths: list[Path]) -> dict[str, Any]:
    """The manifest of a bulk export, when one lies beside its files: it says how current they are."""
    for path in paths:
        with suppress(OSError), (path / "manifest.json").open("rb") as file:
            return object_in(file.read(MOST_OF_MANIFEST)) or {}
    return {}


def up_to(manifest: dict[str, Any], started_at: datetime) -> datetime:
    """How current the files are. A manifest with a time to come (a wrong clock) would keep a feed from being late."""
    said = start_of(manifest.get("transactionTime"))
    return min(said, started_at) if said else started_at


def base_in(manifest: dict[str, Any]) -> str:
    """The address of the server that made a bulk export, from the request that asked for it; empty if unknown."""
    request = manifest.get("request")
    if not isinstance(request, str) or "/$export" not in request:
        return ""
    base = request.split("/$export")[0].removesuffix("/Patient")
    return base.rsplit("/Group/", 1)[0]


# ---------------------------------------------------------------- reading


class Reading:
    """The files of one import, as batches to write. Runs in a process of its own and never asks the database."""

    def __init__(self, source: Source, files: list[File], directory: Directory, base: str = "") -> None:
        self.files = files
        self.addresses = Addresses(directory, tuple(one.rstrip("/") for one in (source.base, base) if one))
        self.extraction = Extraction(source)
        self.total = sum(file.size for file in files) or 1
        self.done = self.position = self.resources = 0
        self.started = time.monotonic()
        self.last_refused: tuple[str, int] | None = None

    def batches(self) -> Iterator[tuple[Batch | None, Progress]]:
        """What to write, and how far that is; no batch when a file ends with little in hand."""
        batch, rows = Batch(), min(FIRST, ROWS)
        for file in self.files:
            for outcome in read(file, self.addresses, self.move_to):
                if not self.put(outcome, batch):
                    yield batch, self.progress(file)
                    batch = Batch()
                    self.put(outcome, batch)
                if len(batch.taken) >= rows or batch.size >= BYTES:
                    yield batch, self.progress(file)
                    batch, rows = Batch(), ROWS
                del outcome  # or its document is in memory while the next is read
            self.done += file.size
            self.position = 0
            yield None, self.progress(file, file_done=True)
        if self.files:
            yield batch, self.progress(self.files[-1])

    def put(self, outcome: Outcome, batch: Batch) -> bool:
        """Whether `batch` had room for what was read."""
        if isinstance(outcome, Arrived):
            try:
                fitted = batch.add(self.extraction.take(outcome))
                self.resources += fitted
                return fitted
            except Unreadable as unreadable:
                outcome = Refused(outcome.file, outcome.number, unreadable.reason, unreadable.detail, outcome.raw)
        if isinstance(outcome, Deleted):
            return batch.delete(self.extraction.id_of(outcome.target))
        if isinstance(outcome, Mended):
            if self.last_refused != (outcome.file, outcome.number):
                batch.mended.append(outcome.rejection)
            return True
        batch.refuse(outcome)
        self.last_refused = (outcome.file, outcome.number)
        return True

    def move_to(self, position: int) -> None:
        self.position = position

    def progress(self, file: File, *, file_done: bool = False) -> Progress:
        fraction = min((self.done + self.position) / self.total, 1.0)
        return Progress(file.name, self.resources, fraction, time.monotonic() - self.started, file_done)


# ---------------------------------------------------------------- what had to wait


class Late:
    """What the reading process could not know: targets of conditional references that it has not in memory."""

    def __init__(self, source: Source, store: Store, reading: Reading, identifiers: Identifiers, *, using: str) -> None:
        self.source, self.store, self.reading, self.using = source, store, reading, using
        self.identifiers = identifiers

    def complete(self, batch: Batch) -> Batch:
        """The batch, with those taken apart once more whose targets an earlier import brought.

        So a line reads the same in every import, and importing it again finds it unchanged.
        """
        awaited = {one for taken in batch.taken.values() for one in taken.awaits}
        found = self.find(awaited) if awaited else set()
        for taken in list(batch.taken.values()):
            if not found.isdisjoint(taken.awaits) and (again := self.again(taken.type, taken.raw)):
                again.digest_as_sent = taken.digest
                batch.replace(again)
        self.identifiers.note(batch)
        return batch

    def again(self, kind: str, raw: bytes) -> Taken | None:
        """Take a resource apart that was taken before; None when newer rules would refuse it: it stays as it is."""
        (outcome,) = receive(raw, kind, 0, self.reading.addresses)
        try:
            return self.reading.extraction.take(outcome) if isinstance(outcome, Arrived) else None
        except Unreadable:
            return None

    def look_again(self) -> None:
        """Take resources apart once more whose patients or conditional references have arrived after them."""
        awaited = awaited_in(self.source, using=self.using)
        for references in pages(awaited, "reference"):
            arrived = self.find(set(references)) | self.find_by_id(set(references))
            for waiting in pages(awaited.filter(reference__in=arrived), "resource") if arrived else ():
                self.read_again(Resource.objects.using(self.using).filter(pk__in=waiting))

    def read_again(self, rows: QuerySet[Resource]) -> int:
        """Take these resources apart anew and write what that changes; return how many."""
        number = 0
        for ids in by_size(rows):
            batch = Batch(refresh=True)
            for kind, raw in rows.filter(pk__in=ids).values_list("type", "raw"):
                if again := self.again(kind, raw.encode()):
                    batch.add(again)
            self.store.write(batch)
            number += len(batch.taken)
        return number

    def find(self, references: set[str]) -> set[str]:
        """Those of `references` that are conditional and point at exactly one resource here.

        What is taken apart `again` knows them until the next call: there may be millions.
        """
        keys = {one: key for one in references if (key := conditional(one))}
        patients = [key for key in keys.values() if key[0] == "Patient"]
        others = [key for key in keys.values() if key[0] != "Patient"]
        found = self.identifiers.find(others) if others else {}
        found.update((key_of(*key), fhir_id) for key, fhir_id in self.find_patients(patients).items())
        self.reading.addresses.directory.found = found
        return {one for one, key in keys.items() if found.get(key_of(*key))}

    def find_patients(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
        """The ids at source of the patients with these identifiers; None where several have one."""
        # U+0000 can be written in an address (%00), but no identifier has it, and PostgreSQL cannot be asked for it.
        well = [key for key in keys if "|" in key[1] and "\0" not in key[1]]
        by_token = {tokens.identifier_in_system(*key[1].split("|", 1)): key for key in well}
        rows = PatientToken.objects.using(self.using).filter(token__in=by_token, patient__source=self.source)
        found: dict[tuple[str, str], str | None] = {}
        for token, fhir_id in rows.values_list("token", "patient__fhir_id"):
            key = by_token[token]
            found[key] = fhir_id if key not in found else None
        return found

    def find_by_id(self, references: set[str]) -> set[str]:
        """Those of `references` that name a patient who is here."""
        by_id = {self.store.id_of(one): one for one in references if literal(one)}
        here = Patient.objects.using(self.using).filter(pk__in=by_id).values_list("pk", flat=True)
        return {by_id[str(pk)] for pk in here}


def awaited_in(source: Source, *, using: str) -> QuerySet[Awaited]:
    """What resources of this source wait for. Each is looked up by itself: as a join it may read the whole table."""
    of = Resource.objects.filter(pk=OuterRef("resource")).values("source")
    return Awaited.objects.using(using).alias(source=Subquery(of)).filter(source=source.pk)


def pages(rows: QuerySet[Any], column: str) -> Iterator[list[Any]]:
    """The different values of `column`, in order, a thousand at a time: rows may go meanwhile."""
    values = rows.order_by(column).values_list(column, flat=True).distinct()
    page = list(values[:PAGE])
    while page:
        yield page
        page = list(values.filter(**{f"{column}__gt": page[-1]})[:PAGE])


def by_size(rows: QuerySet[Resource]) -> Iterator[list[Any]]:
    """The ids of `rows`, as many at a time as have BYTES of text, or one: it is held in memory."""
    ids: list[Any] = []
    size = 0
    sizes = Func(F("raw"), function="octet_length", output_field=IntegerField())  # without unpacking it
    for id, length in list(rows.order_by("pk").values_list("pk", sizes)):
        if ids and size + length > BYTES:
            yield ids
            ids, size = [], 0
        ids.append(id)
        size += length
    if ids:
        yield ids


# ---------------------------------------------------------------- reading again


def relabel(source: Source, *, everything: bool = False, using: str = DEFAULT_DB_ALIAS) -> int:
    """Read the stored texts of `source` again that another version of the rules judged; return how many.

    Safe to kill and to repeat: what is done carries the version. `everything` starts over. Raises as import_files.
    """
    refuse_when_stopped(source, using=using)
    version, number, last = rules().version, 0, None
    with only_import_of(source, using=using), tuned_for_bulk(), run_of(Import(source=source), using=using) as run:
        store = Store(source, run, using=using)
        identifiers = Identifiers(source, run, using=using)
        reading = Reading(source, [], identifiers.directory())
        late = Late(source, store, reading, identifiers, using=using)
        rows = Resource.objects.using(using).filter(source=source)
        if not everything:
            rows = rows.exclude(rules=version)
        ids = rows.order_by("pk").values_list("pk", flat=True)
        while page := list((ids.filter(pk__gt=last) if last else ids)[:RELABEL_AT_ONCE]):
            relabel_versions(page, late, using=using)  # first: what is written is done with
            number += late.read_again(Resource.objects.using(using).filter(pk__in=page))
            last = page[-1]
        was_killed = follows_a_killed_run(store)  # the next import will not, so what that one left is done here
        if was_killed:
            late.look_again()
        adopt_binaries(source.pk, using=using)
        settle_source(source.pk, using=using)
        if was_killed:
            caseloads.refresh(source, using=using)
        Import.objects.using(using).filter(pk=run.pk).update(finished_at=Now(), fraction=1, read=number)
        audit.record(audit.Type.RELABELLED, run, detail={"source": source.name, "rules": version, "number": number})
    return number


def relabel_versions(resource_ids: list[UUID], late: Late, *, using: str) -> None:
    """Add to what these resources said before the classes that today's rules find in it; none is taken away."""
    versions = ResourceVersion.objects.using(using).filter(resource__in=resource_ids).select_related("resource")
    for version in versions:
        again = late.again(version.resource.type, version.raw.encode())
        found = named(again.labelled_by) if again else [SensitiveClass.UNKNOWN]
        if not set(found) <= set(version.classes):
            version.classes = sorted({*version.classes, *found})
            version.save(using=using, update_fields=["classes"])
