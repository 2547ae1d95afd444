"""What is known of the directory: its policies, its state, and our traffic to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class ContextCheck(models.Model):
    """What our tenant last said of an authentication context: whether a policy that asks for a second factor is
    bound to it. Only the worker writes it."""

    context = models.CharField(primary_key=True, max_length=10)
    bound = models.BooleanField(null=True)  # None: the tenant has not answered yet
    because = models.CharField(max_length=40, blank=True)  # why it is not bound (entra.why_not_bound)
    answered_at = models.DateTimeField(null=True)
    tried_at = models.DateTimeField(null=True)
    trouble = models.CharField(max_length=60, blank=True)  # why the last try brought no answer
    due_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(bound=None) | Q(answered_at__isnull=False), name="context_answer_has_a_time"
            )
        ]
        ordering = ["context"]

    def __str__(self) -> str:
        return f"{self.context} {'bound' if self.bound else self.because or 'unknown'}"


class Attestation(models.Model):
    """An operator's word, until a date, that a policy is bound to a context. The newest one for a context counts."""

    LONGEST = timedelta(days=90)

    id = models.BigAutoField(primary_key=True)
    context = models.CharField(max_length=10)
    until = models.DateTimeField()  # exclusive
    by_name = models.CharField(max_length=200)
    made_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                # A day more than LONGEST: it ends with the day.
                condition=Q(until__lte=F("made_at") + timedelta(days=91)),
                name="attestation_ends",
            )
        ]
        indexes = [models.Index(fields=["context", "-made_at"], name="attestation_newest")]
        ordering = ["-made_at"]

    def __str__(self) -> str:
        return f"{self.context} attested until {self.until:%Y-%m-%d}"


class DirectoryWatch(models.Model):
    """How far we have followed the directory (partners/directory.py): one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    link = models.TextField(blank=True)  # where Graph goes on telling; opaque, without a right of its own
    look_again = ArrayField(models.UUIDField(), default=list)  # object ids to read once more
    compared_at = models.DateTimeField(null=True)  # when we last read everybody
    held = models.PositiveIntegerField(default=0)  # how many changes the guard stopped
    held_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(db_default=Now())
    leased_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_directory_watch")]

    def __str__(self) -> str:
        return "directory watch"


class GateQuerySet(models.QuerySet):
    def shut(self) -> Self:
        return self.exclude(code="")


class Gate(models.Model):
    """Whether calls of one kind may go out: open, or shut for all workers until one probe finds that it is mended.

    `name` is "graph" for every call, an operation ("POST /invitations"), or a partner's domain ("domain:..."). A gate
    that was never shut has no row. partners/gates.py moves it, and the function partners_enter lets calls through.
    """

    name = models.CharField(primary_key=True, max_length=300)
    code = models.CharField(max_length=60, blank=True)  # why it is shut, of the failure dictionary; empty: open
    failures = models.PositiveIntegerField(default=0)  # in a row, while open
    probes = models.PositiveSmallIntegerField(default=0)  # that failed since it was shut: the pauses grow
    shut_at = models.DateTimeField(null=True)
    probe_at = models.DateTimeField(null=True)  # when one call may try; none: only after the operator's word

    objects = GateQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Lane(models.Model):
    """How much of one limit was used lately: a sliding window in slices, and until when nobody may go.

    Written by the function partners_enter alone, in one statement for all workers.
    """

    name = models.CharField(primary_key=True, max_length=30)
    slice_seconds = models.FloatField()
    used = ArrayField(models.IntegerField())  # by slice, a ring: slice n is at n modulo its length
    newest = models.BigIntegerField()  # number of the newest slice: seconds of the epoch / slice_seconds
    opens_at = models.DateTimeField(null=True)  # when there is room again; none: there is
    closed_until = models.DateTimeField(null=True)  # Graph's own word (Retry-After)
    strikes = models.PositiveSmallIntegerField(default=0)  # refusals in a row without such a word
    slowed_by = models.FloatField(default=1)  # what x-ms-throttle-limit-percentage said, until `slowed_until`
    slowed_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class DirectoryLag(models.Model):
    """How long the directory lately took until a new guest could be added to a group: one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    seconds = models.FloatField()
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_lag")]

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s"
