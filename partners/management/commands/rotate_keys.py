"""`manage.py rotate_keys`: redemption links at rest, encrypted anew with the newest key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from partners import invitations


class Command(BaseCommand):
    help = "Encrypt redemption links with the first key of CLINICPORTAL_ENCRYPTION_KEYS. Safe beside the portal."

    def handle(self, *args: Any, **options: Any) -> None:
        rotated, lost = invitations.rotate_keys()
        self.stdout.write(f"{rotated} links are encrypted with the newest key now.")
        if lost:
            self.stdout.write(
                f"{lost} links open with none of the keys in CLINICPORTAL_ENCRYPTION_KEYS: put the missing key back, "
                "or send those links again."
            )
            raise SystemExit(1)
