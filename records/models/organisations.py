"""Who is outside, what they may be given at most, and what pauses it."""

from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from records.models.feeds import Facility
from records.models.scope import UNGRANTABLE, InForceQuerySet, classes_field, sections_field


class Organisation(models.Model):
    """An outside organisation as the rule sees it; its register entry is `partners.PartnerOrganisation`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200, unique=True)
    # How our feeds name it: an Organization with this value as identifier of system urn:clinicportal:partner.
    key = models.SlugField(unique=True, null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Agreement(models.Model):
    """What an organisation may be given at most. Applied when reading, not copied when granting."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="agreements")
    facilities = models.ManyToManyField(Facility, related_name="+")
    sections = sections_field()
    classes = classes_field()
    may_look_up = models.BooleanField(default=False)
    may_use_emergency_access = models.BooleanField(default=False)
    may_export = models.BooleanField(default=False)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    objects = InForceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="agreement_ends_after_start"),
            models.CheckConstraint(condition=~Q(classes__overlap=UNGRANTABLE), name="agreement_grantable_classes"),
        ]

    def __str__(self) -> str:
        return f"agreement with {self.organisation}"


class SuspensionQuerySet(models.QuerySet):
    def open(self) -> Self:
        return self.filter(lifted_at=None)


class Suspension(models.Model):
    """One reason why an organisation, a person or a grant is paused. Reasons stack: all must be lifted."""

    class Reason(models.TextChoices):
        ORGANISATION = "organisation", _("the organisation is paused")
        PERSON = "person", _("the person is paused")
        WRONG_ACCOUNT = "wrong_account", _("signed in with another account")
        DRIFT = "drift", _("changed in the directory")
        SECURITY = "security", _("security")
        RESTORED = "restored", _("restored from a backup")
        IDENTITY = "identity", _("has to sign in anew")  # lifted by that sign-in and by nothing else

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, null=True, on_delete=models.PROTECT, related_name="suspensions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="suspensions")
    grant = models.ForeignKey("Grant", null=True, on_delete=models.PROTECT, related_name="suspensions")
    reason = models.CharField(max_length=20, choices=Reason.choices)
    note = models.TextField(blank=True)
    started_at = models.DateTimeField(db_default=Now())
    lifted_at = models.DateTimeField(null=True)

    objects = SuspensionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(organisation__isnull=False, user=None, grant=None)
                | Q(organisation=None, user__isnull=False, grant=None)
                | Q(organisation=None, user=None, grant__isnull=False),
                name="suspension_of_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return self.get_reason_display()
