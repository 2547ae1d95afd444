"""Words of the rule: the sections and sensitive classes that a grant and an agreement name, and what is in force."""

from __future__ import annotations

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class Section(models.TextChoices):
    """A kind of content that can be granted. A FHIR type that maps to none is shown to no one (records/sections.py)."""

    DEMOGRAPHICS = "demographics", _("demographics")
    PROBLEMS = "problems", _("problems")
    MEDICINES = "medicines", _("medicines")
    ALLERGIES = "allergies", _("allergies")
    RESULTS = "results", _("results")
    VITALS = "vitals", _("vitals")
    IMMUNISATIONS = "immunisations", _("immunisations")
    PROCEDURES = "procedures", _("procedures")
    ENCOUNTERS = "encounters", _("encounters")
    DOCUMENTS = "documents", _("documents")
    CARE_PLANS = "care_plans", _("care plans")


class SensitiveClass(models.TextChoices):
    """Content that needs its own grant. The last two are never granted: nothing with them is visible."""

    MENTAL_HEALTH = "mental_health", _("mental health")
    PSYCHOTHERAPY = "psychotherapy", _("psychotherapy notes")
    SUBSTANCE_USE = "substance_use", _("substance use")
    SEXUAL_HEALTH = "sexual_health", _("sexual and reproductive health")
    HIV = "hiv", _("HIV")
    VIOLENCE = "violence", _("violence")
    GENETIC = "genetic", _("genetic")
    OTHER = "other", _("other sensitive")
    RESTRICTED = "restricted", _("restricted without a reason")  # a bare R or V
    UNKNOWN = "unknown", _("unknown label")


UNGRANTABLE = [SensitiveClass.RESTRICTED, SensitiveClass.UNKNOWN]


def sections_field(**options) -> ArrayField:
    return ArrayField(models.CharField(max_length=20, choices=Section.choices), default=list, **options)


def classes_field(**options) -> ArrayField:
    return ArrayField(
        models.CharField(max_length=20, choices=SensitiveClass.choices), default=list, blank=True, **options
    )


class InForceQuerySet(models.QuerySet):
    """For rows with `starts_at` and exclusive `ends_at` (None: open). The clock is the database's."""

    def in_force(self) -> Self:
        return self.filter(starts_at__lte=Now()).filter(Q(ends_at=None) | Q(ends_at__gt=Now()))
