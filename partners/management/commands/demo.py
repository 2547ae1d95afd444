"""Fill the portal with the demo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from partners import demo


class Command(BaseCommand):
    help = "Make the demo's organisations and people, and import its patients (or those in FHIR_DATA)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--if-empty", action="store_true", help="do nothing where organisations exist")
        parser.add_argument("--patients", type=int, default=48, help="how many patients to make up (48)")
        parser.add_argument("--seed", type=int, default=1, help="another seed, other patients (1)")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("The demo is for development: it makes people who can sign in at the local tenant.")
        if options["if_empty"] and not demo.is_empty():
            self.stdout.write("There is data already: nothing to do.")
            return
        folder = Path(os.environ["FHIR_DATA"]).resolve() if os.environ.get("FHIR_DATA") else None
        if folder and not folder.exists():
            raise CommandError(f"FHIR_DATA names {folder}, which is not there.")
        demo.seed(
            patients=options["patients"],
            seed=options["seed"],
            today=timezone.localdate(),
            folder=folder,
            say=lambda text: self.stdout.write(text),
        )
