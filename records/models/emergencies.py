"""Emergency access ("break-glass"): what opens one patient to one person for one hour, without a grant for it.

It passes the caseload, an opt-out, sections and classes. It does not pass: a suspended account, organisation or grant,
an agreement that is over or does not cover the facility, a stopped feed, a tombstone, a type that is mapped to no
section, psychotherapy notes and what could be one, and another patient in the same resource
(docs/decisions/0031-emergency-access.md). Beside `opened_without_a_grant` here the rule stands in the wall
(migrations/0036_wall_of_emergencies.py).
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from clinicportal.models import StaffRole, User
from clinicportal.states import Stateful
from records.models.grants import Contains, Grant
from records.models.organisations import Agreement, Organisation
from records.models.scope import Section, SensitiveClass

LASTS = timedelta(hours=1)
REVIEWED_WITHIN = timedelta(hours=72)
MOST_UNREVIEWED = 3
BEGUN_WITHIN = timedelta(minutes=15)
"""After it was asked for; what was searched for is known no longer."""
REASON_AT_LEAST = 20
"""Characters: a reason that says something to whoever reviews it."""

NEVER = [SensitiveClass.PSYCHOTHERAPY, SensitiveClass.UNKNOWN]
"""What no emergency opens: psychotherapy notes, and what was not judged or not understood and so could be one."""


BY_RIGHT = Q(may_use_emergency_access=True, organisation__agreements__may_use_emergency_access=True)
"""On grants in force: that grant and agreement have the right."""


def withheld(section: str | Section, classes: str) -> Q:
    """What stays hidden in an emergency, by the field path `classes` and the path of, or the very, section.

    A bare R or V gives no reason, so a document that has it could be a psychotherapy note; a medicine cannot.
    """
    hidden = Q(**{f"{classes}__overlap": NEVER})
    if section in Section.values:
        return hidden
    bare = {f"{classes}__contains": [SensitiveClass.RESTRICTED], section: Section.DOCUMENTS}
    return hidden | Q(**{f"{section}__isnull": True}) | Q(**bare)


class EmergencyQuerySet(models.QuerySet):
    def under_way(self) -> Self:
        """Those that last now, by the database's clock."""
        return self.filter(started_at__lte=Now(), ends_at__gt=Now(), ended_at=None)

    def open_to(self, user: User) -> Self:
        """Those by which `user` reads now, for the organisation they act for and with the right still there."""
        mine = self.under_way().filter(guest=user, organisation=user.acting_for)
        return mine.filter(Exists(Grant.objects.in_force_for(user, BY_RIGHT)))

    def unreviewed(self) -> Self:
        return self.filter(status__in=EmergencyAccess.UNREVIEWED)


class EmergencyAccess(Stateful):
    """One patient opened to one guest of one organisation for an hour, on their reason and a fresh proof.

    It names the patient by id alone: reviewers and privacy officers read it, and they see nobody's record by it.
    """

    class Status(models.TextChoices):
        ASKED = "asked", _("asked for, not begun")
        NOBODY = "nobody", _("found nobody")
        OPENED = "opened", _("waiting for review")
        QUESTIONED = "questioned", _("waiting for an explanation")
        ANSWERED = "answered", _("explained, waiting for review")
        JUSTIFIED = "justified", _("justified")
        NOT_JUSTIFIED = "not-justified", _("not justified")

    class Proof(models.TextChoices):
        STRONGER = "stronger", _("a fresh, stronger sign-in")
        SIGN_IN = "sign-in", _("a fresh sign-in only: the stronger one could not be had")

    UNREVIEWED = (Status.OPENED, Status.QUESTIONED, Status.ANSWERED)
    DONE = (Status.JUSTIFIED, Status.NOT_JUSTIFIED)
    TRANSITIONS = {
        Status.ASKED: {Status.OPENED, Status.NOBODY},
        Status.NOBODY: set(),
        Status.OPENED: {Status.QUESTIONED, *DONE},
        Status.QUESTIONED: {Status.ANSWERED, *DONE},
        Status.ANSWERED: {Status.QUESTIONED, *DONE},
        Status.JUSTIFIED: set(),
        Status.NOT_JUSTIFIED: set(),
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    guest = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    patient_id = models.UUIDField(null=True)  # None: what was searched for fits nobody, which is told after the proof
    reason = models.TextField(blank=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.ASKED)
    asked_at = models.DateTimeField(db_default=Now())
    proof = models.CharField(max_length=20, choices=Proof.choices, blank=True)
    started_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)  # exclusive
    ended_at = models.DateTimeField(null=True)  # before its time: by the guest, or by a reviewer
    # The facilities of the agreement when it began: how far a review reads, whatever the agreement says by then.
    facilities = ArrayField(models.UUIDField(), default=list, blank=True)
    question = models.TextField(blank=True)
    questioned_at = models.DateTimeField(null=True)
    answer = models.TextField(blank=True)
    answered_at = models.DateTimeField(null=True)
    reviewed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    reviewed_at = models.DateTimeField(null=True)
    note = models.TextField(blank=True)
    # When the mails about its beginning, and about an outcome that is not good, were written (partners/alerts.py).
    alerted_at = models.DateTimeField(null=True)
    outcome_told_at = models.DateTimeField(null=True)

    objects = EmergencyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["asked", "nobody"], started_at=None, ends_at=None)
                | Q(
                    ~Q(status__in=["asked", "nobody"]),
                    ~Q(proof=""),
                    ~Q(reason=""),
                    patient_id__isnull=False,
                    started_at__isnull=False,
                    ends_at__isnull=False,
                ),
                name="emergency_started_with_a_proof",
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=F("started_at"), ends_at__lte=F("started_at") + LASTS),
                name="emergency_of_an_hour_at_most",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["justified", "not-justified"])
                | (Q(reviewed_by__isnull=False, reviewed_at__isnull=False) & ~Q(reviewed_by=F("guest"))),
                name="emergency_reviewed_by_somebody_else",
            ),
        ]
        indexes = [
            # What each page of each guest asks first: only those that were not ended, newest last.
            models.Index(fields=["guest", "ends_at"], condition=Q(ended_at=None), name="emergency_by_guest"),
            models.Index(
                fields=["started_at"],
                condition=Q(status__in=["opened", "questioned", "answered"]),
                name="emergency_unreviewed",
            ),
            # Whom the privacy officers and reviewers were not told of.
            models.Index(
                fields=["started_at"],
                condition=Q(alerted_at=None, started_at__isnull=False),
                name="emergency_not_told",
            ),
        ]

    def __str__(self) -> str:
        return f"emergency access {self.pk}"

    @property
    def due_at(self) -> datetime | None:
        """Until when it should be reviewed."""
        return self.started_at and self.started_at + REVIEWED_WITHIN


class ReviewReadingQuerySet(models.QuerySet):
    def under_way_for(self, user: User) -> Self:
        """What `user` may read now as a reviewer: somebody else's emergency access that is not judged yet."""
        return self.filter(
            reviewer=user,
            reviewer__staff_roles__contains=[StaffRole.REVIEWER],
            started_at__lte=Now(),
            ends_at__gt=Now(),
            emergency__status__in=EmergencyAccess.UNREVIEWED,
        ).exclude(emergency__guest=F("reviewer"))


class ReviewReading(models.Model):
    """A reviewer opens, for an hour at most, what an emergency access opened: staff see no record otherwise."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    emergency = models.ForeignKey(EmergencyAccess, on_delete=models.PROTECT, related_name="readings")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField()

    objects = ReviewReadingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("started_at"), ends_at__lte=F("started_at") + LASTS),
                name="review_reading_of_an_hour_at_most",
            ),
        ]
        indexes = [models.Index(fields=["reviewer", "ends_at"], name="review_reading_by_reviewer")]

    def __str__(self) -> str:
        return f"reading for the review of {self.emergency_id}"


def opened_without_a_grant(user: User, *, patient: str, facility: str) -> Q:
    """Whether an emergency access of `user`, or a review by them, opens one row of the outer query.

    `patient` and `facility` are field paths of the outer query. What stays hidden all the same: `withheld`.
    """
    emergencies = EmergencyAccess.objects.under_way().filter(guest=user, organisation=user.acting_for)
    readings = ReviewReading.objects.under_way_for(user).filter(emergency__patient_id=OuterRef(patient))
    return Q(
        Exists(emergencies.filter(patient_id=OuterRef(patient))), Exists(grants_with_the_right(user, facility))
    ) | Q(Exists(readings.filter(Contains(F("emergency__facilities"), OuterRef(facility), of="uuid"))))


def grants_with_the_right(user: User, facility: str) -> models.QuerySet[Grant]:
    """Grants in force with the right, under an agreement in force that has it, too, and covers the outer facility."""
    agreement = "organisation__agreements__"
    covered = Agreement.facilities.through.objects.filter(
        agreement=OuterRef(agreement + "pk"), facility=OuterRef(OuterRef(facility))
    )
    return Grant.objects.in_force_for(user, BY_RIGHT, Exists(covered))
