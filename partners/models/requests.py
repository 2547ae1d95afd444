"""Requests for access and the decisions on them."""

from __future__ import annotations

from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from clinicportal.models import StaffRole, User
from clinicportal.states import Stateful
from partners.models.register import PartnerOrganisation, Sponsor
from records.models import Caseload, classes_field, sections_field


class AccessRequestQuerySet(models.QuerySet):
    def visible_to(self, user: User) -> Self:
        """All for an approver; for a sponsor those of the organisations they act for; none for anyone else."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if user.has_role(StaffRole.APPROVER):
            return self
        return self.filter(organisation__in=Sponsor.objects.active().filter(user=user).values("organisation"))

    def live(self) -> Self:
        return self.filter(status__in=AccessRequest.LIVE)

    def overdue(self) -> Self:
        """Live ones whose last day is over, be it the one asked for or the one given."""
        return self.live().annotate(over_at=Coalesce("granted_until", "ends_at")).filter(over_at__lte=Now())


class AccessRequest(Stateful):
    """Who, which caseloads, what for, until when: the single source of truth for "why"."""

    class Status(models.TextChoices):
        IN_REVIEW = "in_review", _("Being checked")
        NEEDS_INFO = "needs_info", _("A question for you")
        APPROVED = "approved", _("Being set up")
        FULFILLED = "fulfilled", _("Set up")
        DECLINED = "declined", _("Declined")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        LAPSED = "lapsed", _("Lapsed")
        ENDED = "ended", _("Ended")

    TRANSITIONS = {
        Status.IN_REVIEW: {Status.NEEDS_INFO, Status.APPROVED, Status.DECLINED, Status.WITHDRAWN, Status.LAPSED},
        Status.NEEDS_INFO: {Status.IN_REVIEW, Status.WITHDRAWN, Status.LAPSED, Status.DECLINED},
        Status.APPROVED: {Status.FULFILLED, Status.ENDED},
        Status.FULFILLED: {Status.ENDED},
        Status.DECLINED: set(),
        Status.WITHDRAWN: set(),
        Status.LAPSED: set(),
        Status.ENDED: set(),
    }
    LIVE = [Status.IN_REVIEW, Status.NEEDS_INFO, Status.APPROVED, Status.FULFILLED]

    id = models.BigAutoField(primary_key=True)
    organisation = models.ForeignKey(PartnerOrganisation, on_delete=models.PROTECT, related_name="requests")
    sponsor = models.ForeignKey(Sponsor, on_delete=models.PROTECT, related_name="requests")
    email = models.EmailField()  # as typed
    address = models.EmailField()  # canonical: what we compare
    first_name = models.CharField(max_length=100)
    last_name = models.CharField(max_length=100)
    caseloads = models.ManyToManyField(Caseload, related_name="+")
    sections = sections_field()
    classes = classes_field()
    why = models.CharField(max_length=300)
    ends_at = models.DateTimeField()  # exclusive, as asked
    granted_until = models.DateTimeField(null=True)  # exclusive, as approved: never later than asked
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.IN_REVIEW)
    question = models.TextField(blank=True)
    answer = models.TextField(blank=True)
    closed_because = models.CharField(max_length=300, blank=True)  # a sentence, for the end states without a decision
    asked_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())  # since when it is whose turn

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "address"],
                condition=Q(status__in=["in_review", "needs_info", "approved", "fulfilled"]),
                name="one_live_request_for_a_person",
            )
        ]
        ordering = ["asked_at"]

    def __str__(self) -> str:
        return f"request {self.pk}"

    @property
    def person_name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    @property
    def until(self) -> Any:
        """The exclusive end that counts: as given, or as asked while nothing is given."""
        return self.granted_until or self.ends_at

    def move_to(self, status: str, **fields: Any) -> None:
        super().move_to(status, changed_at=Now(), **fields)


class Decision(models.Model):
    """One approver's answer to a request."""

    class Kind(models.TextChoices):
        APPROVED = "approved", _("Approved")
        DECLINED = "declined", _("Declined")
        QUESTION = "question", _("Asked a question")

    request = models.ForeignKey(AccessRequest, on_delete=models.PROTECT, related_name="decisions")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=40, blank=True)  # code, see decisions.REASONS
    note_to_sponsor = models.TextField(blank=True)
    note_for_colleagues = models.TextField(blank=True)
    decided_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["decided_at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.request_id}"
