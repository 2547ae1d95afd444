"""Where records come from: facilities, their feeds, the runs of the importer, and what it could not take."""

from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, OuterRef, Q
from django.db.models.functions import Now

from records.models.scope import classes_field


class Facility(models.Model):
    """A site of ours whose records these are."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True)

    class Meta:
        verbose_name_plural = "facilities"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Source(models.Model):
    """A feed of records. Ids are unique within a source only: two sources may both send `Patient/123`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.SlugField(unique=True)
    facility = models.ForeignKey(Facility, on_delete=models.PROTECT, related_name="sources")
    mrn_system = models.CharField(max_length=200, blank=True)
    base = models.CharField(max_length=300, blank=True)  # of its absolute references: https://ehr.example/fhir
    # The demo set's visits are years old: its patients are registered with the organisation of the latest visit.
    registers_by_latest_visit = models.BooleanField(default=False)
    imported_up_to = models.DateTimeField(null=True)
    # Types all of whose identifiers stand in ResourceIdentifier; none while an import changes them.
    identified = ArrayField(models.CharField(max_length=40), default=list, db_default=[], blank=True)
    # How old its newest data may be before guests and operators read that it is late; None: nobody expects it.
    expected_within = models.DurationField(null=True)
    # What every record of it carries: the whole feed of a substance use programme, for example.
    classes = classes_field()

    def __str__(self) -> str:
        return self.name


class FeedStopQuerySet(models.QuerySet):
    def open(self) -> Self:
        return self.filter(resumed_at=None)

    def hiding(self, *, source: str, received_at: str) -> Self:
        """Stops in force that hide a row of the outer query, by its field paths."""
        return self.open().filter(source=OuterRef(source), hidden_since__lte=OuterRef(received_at))


class FeedStop(models.Model):
    """A feed was stopped: what it brought since `hidden_since` is hidden from everybody until two people resume it."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="stops")
    hidden_since = models.DateTimeField()
    reason = models.TextField()
    stopped_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    stopped_at = models.DateTimeField(db_default=Now())
    # The patients whose records it brought since then, worked out by the worker; None: not yet.
    patients = ArrayField(models.UUIDField(), null=True)
    resume_asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    resume_asked_at = models.DateTimeField(null=True)
    resume_note = models.TextField(blank=True)
    resumed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    resumed_at = models.DateTimeField(null=True)
    # Whether the caseloads are worked out since it was stopped, and since it was resumed.
    settled_at = models.DateTimeField(null=True)

    objects = FeedStopQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source"], condition=Q(resumed_at=None), name="feed_stopped_once"),
            models.CheckConstraint(
                condition=Q(resumed_at=None)
                | (Q(resume_asked_by__isnull=False, resumed_by__isnull=False) & ~Q(resumed_by=F("resume_asked_by"))),
                name="feed_resumed_by_two",
            ),
        ]

    def __str__(self) -> str:
        return f"stop {self.pk} of {self.source_id}"


class Import(models.Model):
    """One run of the importer over the files of a source."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="imports")
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    read = models.PositiveIntegerField(default=0)
    created = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    older = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    tombstoned = models.PositiveIntegerField(default=0)
    files = models.PositiveIntegerField(default=0)
    fraction = models.FloatField(default=0)  # how far it is, of the bytes of its files
    snapshot = models.BooleanField(default=False)  # whether its files are all that the source holds
    failed = models.CharField(max_length=200, blank=True)  # what ended it before its end: a kind of error, no values

    class Meta:
        indexes = [models.Index(fields=["source", "-started_at"], name="import_by_source")]

    def __str__(self) -> str:
        return f"import {self.pk}"


class Rejection(models.Model):
    """A line that could not be taken: where it was, why, and its bytes. Nothing that arrives is lost."""

    imported = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="rejections")
    file = models.CharField(max_length=500)
    line = models.PositiveIntegerField()
    reason = models.CharField(max_length=40)
    detail = models.CharField(max_length=300)  # what is wrong, without values of the record
    raw = models.BinaryField()
    whole = models.BooleanField(default=True)  # False: too large, only its start is kept
    rejected_at = models.DateTimeField(db_default=Now())
    mended_at = models.DateTimeField(null=True)
    mended_by = models.ForeignKey(Import, null=True, on_delete=models.PROTECT, related_name="mended")

    class Meta:
        indexes = [
            models.Index(fields=["imported"], condition=Q(mended_at=None), name="rejection_open"),
            models.Index(fields=["file", "line"], condition=Q(mended_at=None), name="rejection_open_at"),
        ]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.reason}"
