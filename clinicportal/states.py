"""A row with a status that moves along a table."""

from __future__ import annotations

from typing import Any

from django.db import models

from clinicportal.rules import IllegalTransition


class Stateful(models.Model):
    """A row with a `status` that moves along the model's TRANSITIONS and loses races politely."""

    TRANSITIONS: dict[str, set[str]]
    status: Any

    class Meta:
        abstract = True

    def move_to(self, status: str, **fields: Any) -> None:
        """Change status and save `fields` in one write. Raises IllegalTransition when the table forbids
        it, or when another process moved this row since it was read."""
        if status not in self.TRANSITIONS[self.status]:
            raise IllegalTransition(f"{self._meta.label_lower} {self.pk}: {self.status} -> {status}")
        rows = type(self)._default_manager.filter(pk=self.pk, status=self.status)  # type: ignore[misc]
        if not rows.update(status=status, **fields):  # type: ignore[misc]
            raise IllegalTransition(f"{self._meta.label_lower} {self.pk} is no longer {self.status}")
        self.refresh_from_db(fields=["status", *fields])
