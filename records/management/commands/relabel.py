"""`manage.py relabel`: bring labels into line with the rules of today."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from records.importing.running import relabel
from records.importing.storing import AlreadyRunning, Stopped
from records.label_rules import rules
from records.management.commands.import_fhir import must_write_records
from records.models import Source


class Command(BaseCommand):
    """Reads stored texts again where another version of the rules judged them. A run that was killed goes on."""

    help = "Read all records again that another version of the labelling rules judged (records/label_rules.toml)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--source", help="of this source only")
        parser.add_argument("--all", action="store_true", help="also those that this version judged")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="connection with the worker's role")

    def handle(self, *args: Any, **options: Any) -> None:
        using = options["database"]
        must_write_records(using)
        sources = Source.objects.using(using).order_by("name")
        if options["source"] and not (sources := sources.filter(name=options["source"])):
            raise CommandError(f"There is no source “{options['source']}”")
        for source in sources:
            try:
                number = relabel(source, everything=options["all"], using=using)
            except (AlreadyRunning, Stopped) as refusal:
                raise CommandError(str(refusal)) from None
            self.stdout.write(
                f"{source.name}: {number:,} records read again, by version {rules().version} of the rules."
            )
