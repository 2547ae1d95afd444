"""What guests looked up: what the daily cap counts, what is opened after a search, what privacy officers are told."""

from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from records.models.grants import Grant
from records.models.organisations import Organisation


class LookUpQuerySet(models.QuerySet):
    def found(self) -> Self:
        return self.filter(patient_id__isnull=False)

    def unseen(self) -> Self:
        """Those that no privacy officer has looked at."""
        return self.filter(reviewed_at=None)


class LookUp(models.Model):
    """One search for a patient by strong identifiers (records/lookup.py), whether it found somebody or not.

    What was typed is not kept. The patient is named by id alone: privacy officers read it, who see nobody's record.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    # The form that was sent, and a keyed digest of what stood in it: sent twice, it is one search.
    attempt = models.UUIDField()
    typed = models.CharField(max_length=16)
    reason = models.TextField()
    asked_at = models.DateTimeField(db_default=Now())
    patient_id = models.UUIDField(null=True)  # None: nobody, whatever the cause
    right = models.ForeignKey(Grant, null=True, on_delete=models.PROTECT, related_name="+")  # the grant that allows it
    # What the guest got when they opened the record; None: they did not.
    grant = models.OneToOneField(Grant, null=True, on_delete=models.PROTECT, related_name="look_up")
    reviewed_at = models.DateTimeField(null=True)
    reviewed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    note = models.TextField(blank=True)

    objects = LookUpQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["by", "attempt", "typed"], name="look_up_once")]
        indexes = [
            models.Index(fields=["by", "asked_at"], name="look_up_by_person"),
            models.Index(fields=["asked_at"], condition=Q(reviewed_at=None), name="look_up_unseen"),
        ]

    def __str__(self) -> str:
        return f"look-up {self.pk}"
