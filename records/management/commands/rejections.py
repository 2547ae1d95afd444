"""`manage.py rejections`: what could not be imported, as a file to mend."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Count, QuerySet

from clinicportal import audit
from records.importing import rejections
from records.models import Rejection, Source


class Command(BaseCommand):
    """`list` counts them by source and reason; `export` writes them for mending. Feed the mended file as any other."""

    help = "List rejected lines, or export them to a file to mend; import the mended file into the same source."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", choices=["list", "export"])
        parser.add_argument("path", nargs="?", type=Path, help="file to write, for export: it holds patient data")
        parser.add_argument("--source", help="of this source only; needed for export")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="connection with the worker's role")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Rejection.objects.using(options["database"]).filter(mended_at=None)
        source = None
        if options["source"]:
            source = Source.objects.using(options["database"]).filter(name=options["source"]).first()
            if source is None:
                raise CommandError(f"There is no source “{options['source']}”")
            rows = rows.filter(imported__source=source)
        if options["action"] == "list":
            by_reason = rows.values_list("imported__source__name", "reason").annotate(number=Count("pk"))
            for source_name, reason, number in by_reason.order_by("imported__source__name", "-number"):
                self.stdout.write(f"{source_name}  {number:>7,}  {reason}")
            return
        if source is None or not options["path"]:
            raise CommandError("Say which source and where to: rejections export --source NAME PATH")
        try:
            number = write(rows, options["path"])
        except FileExistsError:
            raise CommandError(f"{options['path']} is there already: name a new file") from None
        except OSError as error:
            raise CommandError(f"{options['path']} cannot be written: {error.strerror}") from None
        audit.record(audit.Type.REJECTIONS_EXPORTED, source, detail={"source": source.name, "number": number})
        self.stdout.write(f"{number:,} rejected lines of “{source.name}” are in {options['path']}.")
        self.stdout.write("Mend what stands in “raw” and import the file into the same source.")


def write(rows: QuerySet[Rejection], path: Path) -> int:
    """Write an export that only its owner can read; return how many lines it has."""
    number = 0
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for line in rejections.pack(rows.order_by("pk").iterator(rejections.AT_ONCE)):
            number += file.write(line) and 1
    return number
