"""What the operator has to look at."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class IncidentQuerySet(models.QuerySet):
    def open(self) -> Self:
        return self.filter(closed_at=None)


class Incident(models.Model):
    """One cause that our operator has to look at, however often it shows itself and however many jobs it stops."""

    id = models.BigAutoField(primary_key=True)
    code = models.CharField(max_length=60)  # of the failure dictionary
    detail = models.CharField(max_length=300, blank=True)  # operation, status, code of theirs; never a person or a link
    times = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(db_default=Now())
    last_at = models.DateTimeField(db_default=Now())
    last_request_id = models.CharField(max_length=64, blank=True)  # theirs: what their support asks for
    alerted_at = models.DateTimeField(null=True)  # when the operator was written to
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=300, blank=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "detail"], condition=Q(closed_at=None), name="incident_open_once")
        ]
        ordering = ["-last_at"]

    def __str__(self) -> str:
        return f"incident {self.pk}: {self.code}"
