"""The register: partner organisations, their domains, identity providers and sponsors."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from records.models import Organisation, sections_field


class PartnerOrganisation(models.Model):
    """Who the outsiders work for: the register entry of a `records.Organisation`."""

    class Kind(models.TextChoices):
        PRACTICE = "practice", _("GP practice")
        HOSPITAL = "hospital", _("hospital")
        NURSING_HOME = "nursing_home", _("nursing home")

    organisation = models.OneToOneField(
        Organisation, primary_key=True, on_delete=models.PROTECT, related_name="partner"
    )
    kind = models.CharField(max_length=20, choices=Kind.choices)
    internal_sponsor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    usual_sections = sections_field()
    usual_months = models.PositiveSmallIntegerField(default=12)

    def __str__(self) -> str:
        return self.organisation.name


class Domain(models.Model):
    """A mail domain of an organisation. One domain can serve several (a shared mail system); then it proves less."""

    organisation = models.ForeignKey(PartnerOrganisation, on_delete=models.PROTECT, related_name="domains")
    name = models.CharField(max_length=253)  # lower case, ASCII form

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "name"], name="domain_once")]

    def __str__(self) -> str:
        return self.name


class IdentityProvider(models.Model):
    """An `idp` claim that guests of an organisation may come with, e.g. https://sts.windows.net/{home tenant}/."""

    organisation = models.ForeignKey(PartnerOrganisation, on_delete=models.PROTECT, related_name="identity_providers")
    issuer = models.CharField(max_length=300)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "issuer"], name="identity_provider_once")]

    def __str__(self) -> str:
        return self.issuer


class SponsorQuerySet(models.QuerySet):
    def active(self) -> Self:
        return self.filter(ended_at=None)


class Sponsor(models.Model):
    """Someone at the partner who may ask for colleagues and answers for them."""

    class Kind(models.TextChoices):
        SPONSOR = "sponsor", _("sponsor")
        DEPUTY = "deputy", _("deputy")

    organisation = models.ForeignKey(PartnerOrganisation, on_delete=models.PROTECT, related_name="sponsors")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="sponsorships")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    objects = SponsorQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "user"], condition=Q(ended_at=None), name="sponsor_once_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.organisation}"
