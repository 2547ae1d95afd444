"""`manage.py import_fhir`: bring a feed's FHIR files into the records."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.models import Count

from records.importing.apart import ReaderDied
from records.importing.running import MAY_LACK, Progress, Result, import_files
from records.importing.storing import AlreadyRunning, SnapshotTooSmall, Stopped
from records.models import UNGRANTABLE, Facility, Import, SensitiveClass, Source

GO_ON = "What was written so far is complete: give the command again, and it goes on from there."
SHOWN = 10
"""How many rejected lines are named; all are kept."""


class Command(BaseCommand):
    """Progress goes to stderr, a line for each file; the summary to stdout. Bad lines do not fail the command."""

    help = (
        "Import FHIR R4 resources: NDJSON, Bundles or single resources, plain or gzipped, files or folders. "
        "Importing the same again changes nothing."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file, or a folder with files")
        parser.add_argument("--source", required=True, help="the feed: ids are unique within it")
        parser.add_argument("--facility", help="whose records these are; for a source that is new")
        parser.add_argument("--mrn-system", help="identifier system of the record numbers of this source")
        parser.add_argument("--base", help="address of the server that exports: its absolute references begin so")
        parser.add_argument(
            "--register-by-latest-visit",
            action="store_true",
            help="for demo sets with old visits: register each patient where they were seen last",
        )
        parser.add_argument("--expected-within", type=float, metavar="HOURS", help="when its newest data count as late")
        parser.add_argument(
            "--label", action="append", choices=[one for one in SensitiveClass.values if one not in UNGRANTABLE],
            help="every record of this source carries this class (several: say it again); then `manage.py relabel`",
        )  # fmt: skip
        parser.add_argument(
            "--snapshot", action="store_true", help="this is all that the source holds: what is not in it is deleted"
        )
        parser.add_argument("--force", action="store_true", help="believe a snapshot that lacks much")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="connection with the worker's role")

    def handle(self, *args: Any, **options: Any) -> None:
        paths, using = options["paths"], options["database"]
        if missing := [str(path) for path in paths if not path.exists()]:
            raise CommandError(f"There is no such file or folder: {', '.join(missing)}")
        must_write_records(using)
        source = self.source(options, using)
        try:
            result = import_files(
                source, paths, snapshot=options["snapshot"], may_lack=1 if options["force"] else MAY_LACK,
                on_progress=self.report_progress, using=using,
            )  # fmt: skip
        except (AlreadyRunning, SnapshotTooSmall, Stopped, ReaderDied) as refusal:
            raise CommandError(str(refusal)) from None
        except KeyboardInterrupt:
            raise CommandError(f"Interrupted. {GO_ON}") from None
        except (OperationalError, InterfaceError):
            raise CommandError(f"The database went away or refused to go on. {GO_ON}") from None
        if not result.files:
            raise CommandError("There is no FHIR resource in these files: nothing was imported")
        for sentence in summary(result, using=using):
            self.stdout.write(sentence)

    def source(self, options: dict[str, Any], using: str) -> Source:
        """The source by name, made if it is new, with what the options say about it."""
        source = Source.objects.using(using).filter(name=options["source"]).select_related("facility").first()
        if source is None:
            source = Source(name=options["source"], facility=self.facility(options["facility"], using))
            self.stdout.write(f"“{source.name}” is a new source of {source.facility}.")
        elif options["facility"] and options["facility"] != source.facility.name:
            raise CommandError(f"“{source.name}” is a source of {source.facility}: a source cannot change its facility")
        source.mrn_system = options["mrn_system"] or source.mrn_system
        source.base = (options["base"] or source.base).rstrip("/")
        if options["expected_within"]:
            source.expected_within = timedelta(hours=options["expected_within"])
        if options["label"]:
            source.classes = sorted(options["label"])
        source.registers_by_latest_visit |= options["register_by_latest_visit"]
        try:
            source.clean_fields(exclude=["facility", "imported_up_to", "expected_within"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        source.save(using=using)
        return source

    def facility(self, name: str | None, using: str) -> Facility:
        facilities = Facility.objects.using(using)
        if name:
            return facilities.get_or_create(name=name)[0]
        known = list(facilities.all())
        if len(known) != 1:
            raise CommandError("Say whose records these are: --facility NAME")
        return known[0]

    def report_progress(self, progress: Progress) -> None:
        if not progress.file_done:
            return
        rate = progress.resources / max(progress.seconds, 0.001)
        self.stderr.write(
            f"{progress.fraction:4.0%}  {progress.resources:>9,} resources  {rate:>7,.0f}/s  {progress.file}"
        )


def must_write_records(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('records_resource', 'INSERT')")
        if not cursor.fetchone()[0]:
            raise CommandError(
                "This role may not write records: set CLINICPORTAL_PROCESS=worker, and DATABASE_WORKER_URL where "
                "the servers are your own."
            )


def summary(result: Result, *, using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """What an import did, in sentences."""
    run = result.run
    rate = run.read / max(result.seconds, 0.001)
    sentences = [
        f"Read {run.read:,} resources from {result.files:,} files in {result.seconds:,.1f} s ({rate:,.0f} a second): "
        f"{run.created:,} new, {run.changed:,} changed, {run.unchanged:,} unchanged, {run.older:,} older than what "
        f"is here, {run.rejected:,} rejected."
    ]
    if run.tombstoned:
        sentences.append(f"{run.tombstoned:,} are no longer held by the source, and no longer shown.")
    if run.rejected:
        sentences += rejections(run, using)
    if result.others:
        names = ", ".join(result.others[:SHOWN]) + (" and more" if len(result.others) > SHOWN else "")
        sentences.append(f"Left alone, since they are no files with FHIR in them ({len(result.others)}): {names}")
    if result.awaiting:
        sentences.append(
            f"{result.awaiting:,} resources name somebody or something that has not arrived. Those about a patient "
            "who is not here are shown to no one until then."
        )
    changes = result.memberships
    sentences.append(f"Caseloads: {changes.started:,} began, {changes.changed:,} changed, {changes.ended:,} ended.")
    if changes.assigned:
        shares = ", ".join(f"{name} {number:,}" for name, number in sorted(changes.assigned.items()))
        sentences.append(
            "This source registers each patient with the organisation of their latest wellness visit, however long "
            f"ago; its organisations are shared out among the partners by a hash of their ids: {shares}."
        )
    return sentences


def rejections(run: Import, using: str) -> list[str]:
    rows = run.rejections.using(using)
    by_reason = rows.values("reason").annotate(number=Count("pk")).order_by("-number", "reason")
    reasons = ", ".join(f"{one['number']:,} {one['reason']}" for one in by_reason)
    lines = [f"  {one.file}:{one.line}: {one.detail}" for one in rows.order_by("pk").defer("raw")[:SHOWN]]
    if run.rejected > SHOWN:
        lines.append(f"  and {run.rejected - SHOWN:,} more")
    return [f"Rejected, and kept as received: {reasons}", *lines]
