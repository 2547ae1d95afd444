"""Batches of resources to the database: one transaction each, so a run that was killed has lost one batch at most.

COPY into a temporary table, then one INSERT or UPDATE for all (COPY straight into a table is refused where row-level
security holds). What is already there word for word is found by digest before anything is sent, and costs no write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from records import caseloads, consents, links, request_labels
from records.ids import texts_of_ids
from records.importing import directory, rejections
from records.importing.extraction import NULL, Taken, as_array, from_array
from records.importing.reading import Refused
from records.importing.references import DIRECTORY_TYPES
from records.importing.statements import ADD_TOKENS, COLUMNS, INSERT, KEEP_VERSIONS, KNOWN, NOTE_MOVES, STAGING, UPDATE
from records.labels import named
from records.models import (
    AlsoAbout,
    Awaited,
    FeedStop,
    Import,
    Patient,
    PatientLink,
    PatientToken,
    RequestedLabel,
    Resource,
    ResourceIdentifier,
    SensitiveClass,
    Source,
)
from records.settling import settle, settle_new, unsettle

TOUCHED = 100_000
"""Patients whose ids are kept in memory; when there are more, looking at all is as good."""
OF_PATIENT = 4096
"""Bytes that a patient's columns and tokens take beside the text, while a batch is on its way."""
CHUNK = 500
"""How many rows are joined to one message of COPY."""


class Known(NamedTuple):
    """What is stored of a resource already."""

    digest: bytes | None
    """None for what its source deleted: it comes back."""
    version_id: str
    last_updated: datetime | None


@dataclass
class Batch:
    """As many resources as go in one transaction."""

    taken: dict[str, Taken] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    """Ids of what the source says that it no longer has."""
    repeated: int = 0
    """Resources that came again in the same batch, word for word."""
    older: int = 0
    size: int = 0
    mended: list[int] = field(default_factory=list)
    """Rejections whose mended lines are in it."""
    refresh: bool = False
    """Whether this is no news from the source: columns are brought up to date, and no version is made."""

    def add(self, taken: Taken) -> bool:
        """Whether there was room: not for another version of a resource that is in already, or deleted in it."""
        known = self.taken.get(taken.id)
        if taken.id in self.deleted:
            return False
        if known is None:
            self.taken[taken.id] = taken
            self.size += len(taken.raw) + (OF_PATIENT if taken.patient else 0)
        elif known.digest == taken.digest:
            self.repeated += 1
        else:
            return False
        return True

    def delete(self, id: str) -> bool:
        """Whether there was room: a batch writes before it deletes, so not for what is in."""
        if id in self.taken:
            return False
        self.deleted.add(id)
        return True

    def replace(self, taken: Taken) -> None:
        """Put the same resource, read with other eyes, in the place of the one that is in."""
        self.taken[taken.id] = taken

    def refuse(self, refused: Refused) -> None:
        self.refused.append(refused)
        self.size += len(refused.raw)


class SnapshotTooSmall(Exception):
    """A snapshot without much of what stands: perhaps half of it was sent."""


class Standing:
    """Which resources a snapshot holds, noted down in the database: there may be millions."""

    def __init__(self, using: str) -> None:
        self.using = using
        with connections[using].cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS standing (id uuid)")
            cursor.execute("TRUNCATE standing")

    def note(self, ids: Iterable[str]) -> None:
        with connections[self.using].cursor() as cursor, cursor.copy("COPY standing (id) FROM STDIN") as copy:
            copy.write("".join(f"{id}\n" for id in ids).encode())

    def missing(self, source: Source) -> tuple[list[str], int]:
        """(ids of what stands in the records and is not noted, how many stand)."""
        with connections[self.using].cursor() as cursor:
            cursor.execute("ANALYZE standing")
            cursor.execute(
                """
                SELECT id::text FROM records_resource r WHERE source_id = %s AND tombstoned_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM standing s WHERE s.id = r.id)
                """,
                [source.pk],
            )
            missing = [id for (id,) in cursor.fetchall()]
            cursor.execute(
                "SELECT count(*) FROM records_resource WHERE source_id = %s AND tombstoned_at IS NULL", [source.pk]
            )
            return missing, cursor.fetchone()[0]


class Seen:
    """Which ids came before in the first import of a source, so that nobody has to ask for the others.

    Of an id its first 24 bits count: a yes may be wrong, a no never is. 16 MB, however many there are.
    """

    def __init__(self) -> None:
        self.places = bytearray(2**24)

    def perhaps(self, ids: Iterable[str]) -> list[str]:
        """Those of `ids` that may have come before. From now on all of them have."""
        again, places = [], self.places
        for id in ids:
            place = int(id[:6], 16)
            if places[place]:
                again.append(id)
            places[place] = 1
        return again


class Stopped(Exception):
    """The source was stopped ("wrong patients in the feed"): nothing is taken from it until it is resumed."""


class AlreadyRunning(Exception):
    """Another import of the same source is under way."""


@contextmanager
def only_import_of(source: Source, *, using: str) -> Iterator[None]:
    """Hold the lock that lets one importer at a time write a source. Raises AlreadyRunning."""
    key = int.from_bytes(source.pk.bytes[:8], signed=True)
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        if not cursor.fetchone()[0]:
            raise AlreadyRunning(f"Another import of “{source.name}” is running: wait until it has ended")
        cursor.execute("SET statement_timeout = '30min'")  # what closes an import of millions takes its time
    try:
        yield
    finally:
        with connections[using].cursor() as cursor:
            cursor.execute("RESET statement_timeout")
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


def refuse_when_stopped(source: Source, *, using: str) -> None:
    """Raises Stopped. Asked for each batch, so that stopping also ends an import that is under way."""
    if FeedStop.objects.using(using).open().filter(source=source).exists():
        raise Stopped(f"“{source.name}” is stopped: resume it before anything is imported")


@dataclass(slots=True)
class Ready:
    """A resource with what the database said about it: which of the patients it names are here."""

    taken: Taken
    patient_id: str | None
    others: list[str]
    awaits: frozenset[str]
    labelled_by: frozenset[str]
    classes: str
    settled: bool
    known: bool

    @property
    def id(self) -> str:
        return self.taken.id

    def line(self, *, refresh: bool) -> bytes:
        """The row of COLUMNS, as COPY reads it."""
        own, how = "{}", "{}"
        if self.labelled_by:
            own = as_array(named(self.labelled_by))
            how = "{" + ",".join(f'"{one}"' for one in sorted(self.labelled_by)) + "}"
        truths = f"{TRUTH[self.settled]}\t{TRUTH[self.known]}\t{TRUTH[refresh]}"
        facts = f"\t{self.patient_id or NULL}\t{own}\t{how}\t{self.classes}\t{truths}\n"
        return self.taken.line + facts.encode()


TRUTH = ("f", "t")
UNKNOWN = (SensitiveClass.UNKNOWN,)


class Store:
    """Writes batches of one import. Nobody else writes this source meanwhile (`only_import_of`)."""

    def __init__(self, source: Source, run: Import, *, using: str) -> None:
        self.source, self.run, self.using = source, run, using
        self.id_of = texts_of_ids(source.pk)
        self.standing = Standing(using) if run.snapshot else None
        self.touched: set[str] = set()
        """Patients whose memberships this run may change; no more are noted than TOUCHED."""
        self.partners_changed = False
        is_new = not Resource.objects.using(using).filter(source=source).exists()
        self.seen = Seen() if is_new else None
        with self.cursor() as cursor:
            cursor.execute("SELECT to_regclass('pg_temp.incoming')")
            if cursor.fetchone()[0] is None:
                cursor.execute("SET temp_buffers = '64MB'")  # a batch stays in memory
                cursor.execute("SET work_mem = '32MB'")  # and so does what its containers hold
                cursor.execute("SET jit = off")  # nobody knows how much `incoming` holds: guesses are far too high
                cursor.execute(STAGING)

    def cursor(self) -> Any:
        return connections[self.using].cursor()

    def write(self, batch: Batch, *, fraction: float = 0.0) -> None:
        """Store the batch and note on the import what it held and how far that is, or nothing of it."""
        with transaction.atomic(using=self.using):
            self.do_not_wait_for_the_disk()
            refuse_when_stopped(self.source, using=self.using)
            if self.standing:
                self.standing.note(batch.taken)
            known = self.known(list(batch.taken))
            fresh = [taken for taken in batch.taken.values() if self.is_fresh(taken, known, batch)]
            self.write_patients([taken for taken in fresh if taken.patient], refresh=batch.refresh)
            ready = self.meet_patients(fresh, known)
            several = self.about_several(ready)  # before that is written anew
            self.write_patients_named(ready)
            changed = self.write_resources(ready, several, refresh=batch.refresh)
            self.note_touched(ready)
            directory.write_names(
                [one for one in ready if one.taken.type in DIRECTORY_TYPES], self.id_of, using=self.using
            )
            self.settle(ready)
            self.write_links([one for one in ready if one.taken.patient])
            self.write_opt_outs([one for one in ready if one.taken.consent is not None])
            self.tombstone(sorted(batch.deleted))
            rejections.keep(batch.refused, self.run, using=self.using)
            rejections.close(batch.mended, self.run, using=self.using)
            if not batch.refresh:
                created = sum(not one.known for one in ready)
                self.count(batch, created=created, changed=changed, fraction=fraction)

    def do_not_wait_for_the_disk(self) -> None:
        """A power cut may cost the last batches, which the next run brings again. The import's end is waited for."""
        with self.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off")

    # ------------------------------------------------------------ what is new

    def known(self, ids: list[str]) -> dict[str, Known]:
        if self.seen:
            ids = self.seen.perhaps(ids)
        if not ids:
            return {}
        with self.cursor() as cursor:
            cursor.execute(KNOWN, ["{" + ",".join(ids) + "}"])
            return {id: Known(digest, *rest) for id, digest, *rest in cursor.fetchall()}

    def is_fresh(self, taken: Taken, known: dict[str, Known], batch: Batch) -> bool:
        """Whether this resource has anything to write: it is new, changed, back again, or looked at anew."""
        was = known.get(taken.id)
        if was is None or batch.refresh:
            return True
        if was.digest in (taken.digest, taken.digest_as_sent):  # the second waits still, and is looked at in the end
            return False
        if is_older(taken, was):
            batch.older += 1
            return False
        return True

    # ------------------------------------------------------------ patients

    def write_patients(self, patients: list[Taken], *, refresh: bool) -> None:
        """Columns and tokens. `classes` of a patient who is known follow in `write_links`, united with others'."""
        Patient.objects.using(self.using).bulk_create(
            [taken.patient for taken in patients if taken.patient],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=PATIENT_COLUMNS if refresh else [*PATIENT_COLUMNS, "received_at"],
        )
        ids = [taken.id for taken in patients]
        pairs = {(taken.id, token) for taken in patients for token in taken.tokens}
        rows = PatientToken.objects.using(self.using)
        theirs = rows.filter(patient_id__in=ids).values_list("patient_id", "token")
        standing = {(str(patient_id), token) for patient_id, token in theirs}
        for patient_id, token in standing - pairs:
            rows.filter(patient_id=patient_id, token=token).delete()
        if new := sorted(pairs - standing):
            with self.cursor() as cursor:  # ten for each patient: as objects they take twice as long
                cursor.execute(ADD_TOKENS, [list(column) for column in zip(*new, strict=True)])

    def meet_patients(self, fresh: list[Taken], known: dict[str, Known]) -> list[Ready]:
        """Find out which of the patients that these resources name are here, and what labels they have."""
        ids = {taken.patient_id for taken in fresh if taken.patient_id}
        ids |= {self.id_of(target) for taken in fresh if taken.others or taken.links for target in taken.further()}
        here = Patient.objects.using(self.using).filter(pk__in=ids)
        classes = {str(id): as_array(labels) for id, labels in here.values_list("pk", "classes")}
        requests = request_labels.of_patients(classes, using=self.using)
        return [self.meet(taken, classes, requests, taken.id in known) for taken in fresh]

    def meet(
        self, taken: Taken, classes: dict[str, str], requests: dict[str, list[RequestedLabel]], known: bool
    ) -> Ready:
        patient_id, labelled_by = taken.patient_id, taken.labelled_by
        if not (known or requests or labelled_by or taken.others or taken.links or taken.awaits or taken.patient):
            of_patient = classes.get(patient_id) if patient_id else "{}"
            if of_patient == taken.holds == "{}":  # nearly all
                return Ready(taken, patient_id, [], taken.awaits, labelled_by, "{}", settled=True, known=False)
        if requests and patient_id in requests:
            labelled_by |= request_labels.set_by(requests[patient_id], taken.id, taken.section)
        missing: set[str] = set()
        if taken.others or taken.links:
            missing = {target for target in taken.further() if self.id_of(target) not in classes}
        if taken.about and patient_id not in classes:
            missing.add(taken.about)
            patient_id = None
        awaits = taken.awaits | missing if missing else taken.awaits
        settled = not known and taken.holds == "{}"
        unknown = not settled or (
            bool(awaits) and taken.patient is None and any(one.startswith("Patient") for one in awaits)
        )
        of_patient = classes[patient_id] if patient_id else "{}"
        of_all = "{}"
        if unknown or labelled_by or of_patient != "{}":
            of_all = as_array({*named(labelled_by), *from_array(of_patient), *(UNKNOWN if unknown else ())})
        others = [self.id_of(target) for target in taken.others - missing] if taken.others else []
        return Ready(taken, patient_id, others, awaits, labelled_by, of_all, settled=settled, known=known)

    # ------------------------------------------------------------ resources

    def about_several(self, ready: list[Ready]) -> list[UUID]:
        """Those that were about further patients in the version that stands."""
        known = [UUID(one.id) for one in ready if one.known]
        named = AlsoAbout.objects.using(self.using).filter(resource__in=known)
        return list(named.values_list("resource", flat=True).distinct()) if known else []

    def write_resources(self, ready: list[Ready], several: list[UUID], *, refresh: bool) -> int:
        """Return how many have a new version; others were new, or read with other eyes only."""
        if not ready:
            return 0
        changed = 0
        parameters = {"source": self.source.pk, "facility": self.source.facility_id}
        with self.cursor() as cursor:
            # In the order of most indexes, and of charts: what is of one patient stands together.
            ordered = sorted(ready, key=lambda one: one.patient_id or "")
            with cursor.copy(f"COPY incoming ({', '.join(COLUMNS)}) FROM STDIN") as copy:
                for start in range(0, len(ready), CHUNK):
                    copy.write(b"".join([one.line(refresh=refresh) for one in ordered[start : start + CHUNK]]))
            if any(one.known for one in ready):
                cursor.execute(KEEP_VERSIONS, {"several": several})
                changed = cursor.rowcount
                cursor.execute(NOTE_MOVES)
                self.touch(str(patient_id) for (patient_id,) in cursor.fetchall())
                cursor.execute(UPDATE, parameters)
            cursor.execute(INSERT, {**parameters, "single": True})
            if any(one.taken.holds != "{}" and not one.known for one in ready):
                settle_new("incoming", using=self.using)
                cursor.execute(INSERT, {**parameters, "single": False})
        return changed

    def touch(self, patient_ids: Iterable[str]) -> None:
        if len(self.touched) < TOUCHED:
            self.touched.update(patient_ids)

    def note_touched(self, ready: list[Ready]) -> None:
        for one in ready:
            if one.taken.type in caseloads.TELLING and one.patient_id:
                self.touch([one.patient_id])
            elif one.taken.type in DIRECTORY_TYPES or (one.taken.type in caseloads.LISTING and not one.patient_id):
                self.partners_changed = True  # or who is on a list of theirs

    def write_patients_named(self, ready: list[Ready]) -> None:
        """Further patients whom resources are about, and what is not here yet."""
        if ids := [one.id for one in ready if one.known]:
            for model in (AlsoAbout, Awaited):
                model.objects.using(self.using).filter(resource_id__in=ids).delete()
        naming = [one for one in ready if one.others or one.awaits]
        AlsoAbout.objects.using(self.using).bulk_create(
            [AlsoAbout(resource_id=one.id, patient_id=other) for one in naming for other in one.others]
        )
        Awaited.objects.using(self.using).bulk_create(
            [Awaited(resource_id=one.id, reference=reference) for one in naming for reference in one.awaits]
        )

    def settle(self, ready: list[Ready]) -> None:
        """Labels of what is new or changed, and what a Medication is, go up to what holds it; then it can be seen."""
        naming = set() if self.seen else {"Medication"}  # in a first import what holds it waits for it
        telling = [one.id for one in ready if one.known or one.labelled_by or one.taken.type in naming]
        containers = unsettle(telling, themselves=False, using=self.using)
        incomplete = self.incomplete() if any(not one.settled for one in ready) else []
        settle([*incomplete, *containers], final=False, using=self.using)

    def incomplete(self) -> list[str]:
        """Of the batch, what was written unsettled."""
        with self.cursor() as cursor:
            cursor.execute("SELECT id::text FROM incoming WHERE NOT settled")
            return [id for (id,) in cursor.fetchall()]

    # ------------------------------------------------------------ what follows from them

    def write_links(self, patients: list[Ready]) -> None:
        for one in patients:
            if one.taken.links or one.known:
                self.write_links_of(one)
        links.unite([one.id for one in patients if one.known], using=self.using)

    def write_links_of(self, one: Ready) -> None:
        """Make the links that rest on this Patient those that it says now."""
        evidence = f"Patient/{one.taken.fhir_id}"
        wanted = {}
        for kind, target in one.taken.links:
            other = self.id_of(target)
            if target not in one.awaits and other != one.id:
                pair = (other, one.id) if kind == "replaces" else (one.id, other)
                wanted[pair] = LINKS.get(kind, PatientLink.Kind.SEE_ALSO)
        standing = PatientLink.objects.using(self.using).filter(evidence=evidence, undone_at=None)
        for made in standing.filter(patient__source=self.source):
            if wanted.get((str(made.patient_id), str(made.other_id))) != made.kind:
                links.undo(made, using=self.using)
        for (patient_id, other_id), kind in wanted.items():
            links.link(UUID(patient_id), UUID(other_id), kind=kind, evidence=evidence, using=self.using)

    def write_opt_outs(self, ready: list[Ready]) -> None:
        if not ready:
            return
        partners = caseloads.partners_in(self.source, using=self.using)
        for one in ready:
            if one.patient_id and one.taken.consent is not None:
                refusals = consents.refusals(one.taken.consent, partners)
                consents.apply(UUID(one.patient_id), f"Consent/{one.taken.fhir_id}", refusals, using=self.using)
        self.unite_linked({UUID(one.patient_id) for one in ready if one.patient_id})

    def unite_linked(self, patient_ids: set[UUID]) -> None:
        links_of = PatientLink.objects.using(self.using).filter(undone_at=None)
        pairs = links_of.filter(Q(patient__in=patient_ids) | Q(other__in=patient_ids))
        linked = {one for pair in pairs.values_list("patient_id", "other_id") for one in pair}
        links.unite(patient_ids & linked, using=self.using)

    def tombstone(self, ids: list[str]) -> int:
        """What the source no longer has becomes a tombstone; it is never erased. Returns how many were not yet."""
        if not ids:
            return 0
        gone = Resource.objects.using(self.using).filter(pk__in=ids, tombstoned_at=None)
        theirs = gone.filter(type__in=caseloads.TELLING).exclude(patient=None)
        self.touch(str(patient_id) for patient_id in theirs.values_list("patient_id", flat=True))
        lists = Q(type__in=caseloads.LISTING, patient=None)
        self.partners_changed |= gone.filter(Q(type__in=DIRECTORY_TYPES) | lists).exists()
        refused = list(gone.filter(type="Consent").exclude(patient=None).values_list("patient_id", "fhir_id"))
        for patient_id, fhir_id in refused:
            consents.apply(patient_id, f"Consent/{fhir_id}", [], using=self.using)
        self.unite_linked({patient_id for patient_id, _ in refused})
        medicines = list(gone.filter(type="Medication").values_list("pk", flat=True))
        directory.mark_gone(gone.filter(type__in=DIRECTORY_TYPES).values("pk"), using=self.using)
        ResourceIdentifier.objects.using(self.using).filter(resource_id__in=gone.values("pk")).update(gone=True)
        number = gone.update(tombstoned_at=Now())
        settle(unsettle(medicines, themselves=False, using=self.using), final=False, using=self.using)
        return number

    def tombstone_the_rest(self, *, at_most: float) -> None:
        """After a whole snapshot: what it no longer holds becomes a tombstone.

        Raises SnapshotTooSmall, and does nothing, when that is more than `at_most` (a fraction) of what stands, or
        when lines of it could not be taken, which may be what seems to be missing.
        """
        if self.standing is None:
            return
        missing, standing = self.standing.missing(self.source)
        if missing and Import.objects.using(self.using).filter(pk=self.run.pk, rejected__gt=0).exists() and at_most < 1:
            raise SnapshotTooSmall(
                f"{len(missing):,} resources are not in this snapshot, but lines of it were rejected and may be those: "
                "mend them first, or say --force. Nothing was taken away."
            )
        if len(missing) > at_most * standing:
            raise SnapshotTooSmall(
                f"This snapshot lacks {len(missing):,} of {standing:,} resources, more than {at_most:.0%}: it may be "
                "half a snapshot. Say --force if it is whole. What it holds was imported, nothing was taken away."
            )
        for start in range(0, len(missing), 5_000):
            with transaction.atomic(using=self.using):
                number = self.tombstone(missing[start : start + 5_000])
                run = Import.objects.using(self.using).filter(pk=self.run.pk)
                run.update(tombstoned=F("tombstoned") + number)

    def count(self, batch: Batch, *, created: int, changed: int, fraction: float) -> None:
        resources = len(batch.taken) + batch.repeated
        counts = {
            "read": resources + len(batch.refused),
            "created": created,
            "changed": changed,
            "unchanged": resources - created - changed - batch.older,
            "older": batch.older,
            "rejected": len(batch.refused),
        }
        Import.objects.using(self.using).filter(pk=self.run.pk).update(
            fraction=fraction, **{name: F(name) + number for name, number in counts.items()}
        )


PATIENT_COLUMNS = [
    "active", "family", "given", "title", "sort_name", "name_key", "found_by", "birth_date", "gender", "deceased",
    "deceased_date", "mrn",
]  # fmt: skip
LINKS = {"replaced-by": PatientLink.Kind.REPLACED_BY, "replaces": PatientLink.Kind.REPLACED_BY}
CLOCKS_DIFFER = timedelta(minutes=10)
NUMBER = re.compile(r"\d{1,18}")


def is_older(taken: Taken, was: Known) -> bool:
    """Whether what arrives is of an earlier time than what is there: by lastUpdated, else by a counting versionId.

    A time to come (a wrong clock) says nothing: it would keep every correction away until then.
    """
    latest = timezone.now() + CLOCKS_DIFFER
    if taken.last_updated and was.last_updated and taken.last_updated != was.last_updated <= latest:
        return taken.last_updated < was.last_updated
    if NUMBER.fullmatch(taken.version_id) and NUMBER.fullmatch(was.version_id):
        return int(taken.version_id) < int(was.version_id)
    return False
