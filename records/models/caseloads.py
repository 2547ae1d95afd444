"""Caseloads, and the memberships that put patients in them."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func
from django.utils.translation import gettext_lazy as _

from records.models.feeds import Facility
from records.models.organisations import Organisation
from records.models.scope import InForceQuerySet


def events_of_care() -> list[str]:
    """The bases that our feeds tell of; memberships of others are never touched by them."""
    return [basis for basis in Membership.Basis.values if basis != Membership.Basis.BY_HAND]


class Caseload(models.Model):
    """Patients that an organisation looks after with us at one facility."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="caseloads")
    facility = models.ForeignKey(Facility, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=100)
    # Which events of care fill it (records/caseloads.py); none: it is kept by hand.
    filled_by = ArrayField(models.CharField(max_length=20), default=events_of_care, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "name"], name="caseload_name_once")]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def size(self) -> int:
        """How many patients it holds now. The database counts behind the wall and gives the number only."""
        return Caseload.objects.filter(pk=self.pk).values_list(CaseloadSize(F("pk")), flat=True)[0]


class CaseloadSize(Func):
    """`records_caseload_size(caseload id)`: the one fact about members that administration may read."""

    function = "records_caseload_size"
    output_field = models.BigIntegerField()


class Membership(models.Model):
    """A patient is in a caseload, because of `basis`, from `starts_at` until `ends_at` (exclusive)."""

    class Basis(models.TextChoices):
        REGISTRATION = "registration", _("Registration")
        REFERRAL = "referral", _("Referral")
        ENCOUNTER = "encounter", _("Encounter")
        CARE_TEAM = "care_team", _("Care team")
        APPOINTMENT = "appointment", _("Appointment")
        LIST = "list", _("List")
        BY_HAND = "by_hand", _("By hand")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    caseload = models.ForeignKey(Caseload, on_delete=models.PROTECT, related_name="memberships")
    patient = models.ForeignKey("Patient", on_delete=models.CASCADE, related_name="memberships")
    basis = models.CharField(max_length=20, choices=Basis.choices)
    evidence = models.CharField(max_length=200, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)

    objects = InForceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["caseload", "patient", "basis"], name="membership_once_per_basis"),
        ]
        indexes = [models.Index(fields=["patient", "caseload"], name="membership_by_patient")]

    def __str__(self) -> str:
        return f"{self.patient_id} in {self.caseload_id}"


def members_of(caseload: Any, patient: Any) -> models.QuerySet[Membership]:
    """Memberships in force of `patient` in `caseload`; either may be an OuterRef."""
    return Membership.objects.in_force().filter(caseload=caseload, patient=patient)
