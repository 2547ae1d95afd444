"""What our staff ask about access, and the worker answers, since staff see no patient."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Now


class Question(models.Model):
    """Why can, or why can't, a guest see a patient (or one entry of the record)? Answered by records/why.py.

    Ids only, and an answer without anything clinical; kept for a day.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    guest = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    patient_id = models.UUIDField()
    entry_id = models.UUIDField(null=True)
    asked_at = models.DateTimeField(db_default=Now())
    answered_at = models.DateTimeField(null=True)
    answer = models.JSONField(null=True)

    class Meta:
        indexes = [models.Index(fields=["asked_at"], condition=Q(answered_at=None), name="question_open")]

    def __str__(self) -> str:
        return f"question {self.pk}"


class PatientNumbered(Func):
    """`records_patient_numbered(facility, number, birth date)`: the id of the one patient with both, or None.

    The one thing that administration may learn of whom we look after: whether a number and a birth date that somebody
    holds in hand are a patient's. `number` is folded (tokens.identifier), the date is 1990-05-17.
    """

    function = "records_patient_numbered"
    output_field = models.UUIDField()
