"""What our staff change by hand about who may see whom: with evidence, and two people where it opens something."""

from __future__ import annotations

import uuid
from datetime import date
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from clinicportal.rules import IllegalTransition
from records.models.caseloads import Caseload
from records.models.grants import last_day
from records.models.organisations import Organisation
from records.models.scope import Section, SensitiveClass


class Status(models.TextChoices):
    ENTERED = "entered", _("waits for a second person")
    CONFIRMED = "confirmed", _("being carried out")
    IN_FORCE = "in_force", _("in force")
    WITHDRAWN = "withdrawn", _("being taken back")
    OVER = "over", _("over")
    DECLINED = "declined", _("declined")


class ByHand(models.Model):
    """One change by hand. Web writes it, the worker carries it out (records/byhand.py). Names patients by id alone."""

    class Kind(models.TextChoices):
        LIST = "list", _("Patient in a caseload")
        LINK = "link", _("Two records of one person")
        REVIEW = "review", _("Patient in a caseload, after a link")
        OPT_OUT = "opt_out", _("Opt-out")
        LABEL = "label", _("Label at the patient's request")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        Status.ENTERED: {Status.CONFIRMED, Status.DECLINED},
        Status.CONFIRMED: {Status.IN_FORCE, Status.WITHDRAWN, Status.DECLINED},
        Status.IN_FORCE: {Status.WITHDRAWN, Status.OVER},
        Status.WITHDRAWN: {Status.OVER},
        Status.OVER: set(),
        Status.DECLINED: set(),
    }
    OPEN: ClassVar[list[str]] = [Status.ENTERED, Status.CONFIRMED, Status.IN_FORCE, Status.WITHDRAWN]
    TWO_PEOPLE: ClassVar[list[str]] = [Kind.LIST, Kind.LINK]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ENTERED)
    patient_id = models.UUIDField()
    other_id = models.UUIDField(null=True)  # of a link: the other record
    replaced = models.BooleanField(default=False)  # of a link: the other record's number is the one to use
    caseload = models.ForeignKey(Caseload, null=True, on_delete=models.PROTECT, related_name="+")
    organisation = models.ForeignKey(Organisation, null=True, on_delete=models.PROTECT, related_name="+")
    section = models.CharField(max_length=20, choices=Section.choices, blank=True)
    entry_id = models.UUIDField(null=True)  # of a label: the one resource
    sensitive_class = models.CharField(max_length=20, choices=SensitiveClass.choices, blank=True)
    link = models.BigIntegerField(null=True)  # of a review: the PatientLink it follows
    evidence = models.CharField(max_length=200)  # the letter, the form: what it was, from whom, of when
    ends_at = models.DateTimeField(null=True)  # exclusive
    entered_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    entered_at = models.DateTimeField(db_default=Now())
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    ended_at = models.DateTimeField(null=True)
    ended_because = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["caseload", "patient_id"],
                condition=Q(status__in=["entered", "confirmed", "in_force", "withdrawn"], caseload__isnull=False),
                name="by_hand_in_a_caseload_once",
            ),
            models.CheckConstraint(condition=~Q(entered_by=F("confirmed_by")), name="by_hand_by_two"),
            models.CheckConstraint(
                condition=~Q(
                    kind__in=["list", "link", "review"], status__in=["confirmed", "in_force"], confirmed_by=None
                )
                & ~Q(kind__in=["list", "link"], status__in=["confirmed", "in_force"], entered_by=None),
                name="by_hand_confirmed",
            ),
        ]
        indexes = [
            models.Index(fields=["status"], condition=Q(status__in=["confirmed", "withdrawn"]), name="by_hand_due"),
        ]

    def __str__(self) -> str:
        return f"by hand {self.pk}"

    @property
    def last_day(self) -> date | None:
        """The day that "until" names."""
        return last_day(self.ends_at) if self.ends_at else None

    def move_to(self, status: str, *, using: str | None = None, **fields: Any) -> None:
        """Change status and save `fields` in one write. Raises IllegalTransition when the table forbids it, or when
        another process moved this one since it was read."""
        if status not in self.TRANSITIONS[self.status]:
            raise IllegalTransition(f"{self}: {self.status} -> {status}")
        rows = ByHand.objects.using(using).filter(pk=self.pk, status=self.status)
        if not rows.update(status=status, **fields):
            raise IllegalTransition(f"{self} is no longer {self.status}")
        self.refresh_from_db(using=using)
