"""Resources, which of them somebody may see, their earlier versions, and what is kept beside them."""

from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from clinicportal.models import User
from clinicportal.viewing import must_be_viewer
from records.models.caseloads import members_of
from records.models.emergencies import opened_without_a_grant, withheld
from records.models.feeds import Facility, FeedStop, Source
from records.models.grants import Conditions, Grant, OptOut, may_view, to_cover
from records.models.organisations import Organisation
from records.models.patients import Patient
from records.models.scope import Section, SensitiveClass, classes_field


class ResourceQuerySet(models.QuerySet):
    def visible_to(self, user: User) -> Self:
        """Resources of which one grant of `user`, or an emergency access, allows all, right now.

        The rule is told in the package's docstring.
        """
        if not may_view(user):
            return self.none()
        must_be_viewer(user)
        return self.allowed_to(user)

    def allowed_to(self, user: User) -> Self:
        """The rule itself, for `visible_to` and for the statements that are built from it (records/compiled.py)."""
        grants = Grant.objects.in_force_for(user, *self.coverage().values())
        opened = Q(Exists(grants), *self.unrefused(user).values())
        return self.filter(opened | in_emergency(user) if user.emergencies else opened, *self.held().values())

    def coverage(self) -> Conditions:
        """What one grant and agreement need to make a row visible; asked of grants, within a query of these rows."""
        covered = to_cover(patient="patient", facility="facility", section="section", classes="classes")
        # Another patient in the same resource must be covered by the same grant.
        uncovered = AlsoAbout.objects.filter(resource=OuterRef(OuterRef("pk"))).exclude(
            Exists(members_of(OuterRef(OuterRef("caseload")), OuterRef("patient")))
        )
        return {**covered, "another_not_in_caseload": ~Exists(uncovered)}

    def unrefused(self, user: User) -> Conditions:
        """What must hold whatever grants allow, but for an emergency."""
        others_opted_out = AlsoAbout.objects.filter(
            Exists(OptOut.objects.against(user, patient="patient")), resource=OuterRef("pk")
        )
        return {
            "opted_out": ~Exists(OptOut.objects.against(user, patient="patient")),
            "another_opted_out": ~Exists(others_opted_out),
        }

    def held(self) -> Conditions:
        """What must hold in any case."""
        return {
            "feed_stopped": ~Exists(FeedStop.objects.hiding(source="source", received_at="received_at")),
            "no_longer_held": Q(tombstoned_at=None),
        }


def in_emergency(user: User) -> Q:
    """Resources of a patient whom an emergency access of `user`, or a review by them, opens.

    Every further patient whom the resource names needs a grant that allows all of it, as without the emergency.
    """
    covered = to_cover(
        patient="patient", facility="resource__facility", section="resource__section", classes="resource__classes"
    )
    allowing = Grant.objects.in_force_for(user, *covered.values())
    strangers = AlsoAbout.objects.filter(
        ~Exists(allowing) | Exists(OptOut.objects.against(user, patient="patient")), resource=OuterRef("pk")
    ).exclude(patient=OuterRef("patient"))
    opened = opened_without_a_grant(user, patient="patient", facility="facility") & ~withheld("section", "classes")
    return opened & ~Q(Exists(strangers))


class Resource(models.Model):
    """One FHIR R4 resource in its newest version: the text as received, and columns for what we filter and sort by.

    The id is derived from (source, type, id at source), so references resolve without a look-up.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    # No check in the database for these three: it was a third of an import's work there, each time for the same rows.
    # The import's own row (with its check) keeps source and facility from going; a patient never goes, and without one
    # nothing is visible. (source, type, fhir_id) is unique since the id is made of it.
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    type = models.CharField(max_length=40)
    fhir_id = models.CharField(max_length=64)
    facility = models.ForeignKey(
        Facility, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    patient = models.ForeignKey(
        Patient, null=True, on_delete=models.CASCADE, related_name="resources", db_index=False, db_constraint=False
    )
    section = models.CharField(max_length=20, choices=Section.choices, null=True)
    code = models.CharField(max_length=120, blank=True)  # system|code of the first coding
    label = models.CharField(max_length=300, blank=True)  # what the code says in words
    time = models.DateTimeField(null=True)  # when it happened, for newest first
    status = models.CharField(max_length=40, blank=True)
    # Whether a page may flag it (records/importing/outside.py): those that nobody judged may be.
    may_be_flagged = models.BooleanField(default=True)
    encounter_id = models.UUIDField(null=True)
    classes = classes_field()  # all that a grant must allow: its own, its patient's, those of what it holds
    own_classes = classes_field()  # by the labels in its text, by rules, by its source and at the patient's request
    # Which of those set each of them, and under which version of the rules: "rules 1: hiv" (records/labels.py).
    labelled_by = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    rules = models.PositiveSmallIntegerField(default=0)  # the version that judged it
    holds = ArrayField(models.UUIDField(), default=list, blank=True)  # resources whose content it may repeat
    settled = models.BooleanField(default=True)  # False: `classes` is not complete yet and has UNKNOWN, which hides
    number = models.PositiveIntegerField(default=1)
    version_id = models.CharField(max_length=64, blank=True)
    last_updated = models.DateTimeField(null=True)
    digest = models.BinaryField(max_length=32)  # of the text and the rules that read it: unchanged costs no write
    raw = models.TextField()
    # What a Medication says that it is (records/importing/medication.py); of a prescription, a dispense and the like
    # what that says to which they refer. It stands in their row, so that the rule for them is the rule for it.
    medication = models.TextField(blank=True, default="", db_default="")
    received_at = models.DateTimeField(db_default=Now())
    tombstoned_at = models.DateTimeField(null=True)

    objects = ResourceQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["source", "type"], name="resource_by_type"),
            # In the very order of pages (records/chart/rows.py), so that a page reads its rows and no others.
            models.Index(
                "patient", "section", F("time").desc(nulls_last=True), F("id").desc(), name="resource_by_section"
            ),
            models.Index(
                "patient", "section", "code", F("time").desc(nulls_last=True), F("id").desc(), name="resource_by_code"
            ),
            models.Index(
                "patient",
                "section",
                F("time").desc(nulls_last=True),
                F("id").desc(),
                condition=Q(may_be_flagged=True, type="Observation"),
                name="resource_flagged",
            ),
            models.Index(fields=["patient", "received_at"], name="resource_by_arrival"),
            # What the importer asks: few rows of any table, so they cost others nothing.
            models.Index(fields=["source"], condition=Q(settled=False), name="resource_unsettled"),
            # Without the list of new entries: each of the many keys that are asked for would read all of it.
            GinIndex(fields=["holds"], condition=~Q(holds=[]), fastupdate=False, name="resource_by_content"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"


class AlsoAbout(models.Model):
    """A further patient whom a resource names, apart from its own: all of them must be visible."""

    resource = models.ForeignKey(Resource, on_delete=models.CASCADE, related_name="also_about")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["resource", "patient"], name="also_about_once")]

    def __str__(self) -> str:
        return f"{self.resource_id} also about {self.patient_id}"


class Awaited(models.Model):
    """What a resource names and its source has not sent yet: a patient, or the target of a conditional reference.

    A resource that waits for a patient is visible to no one. Looked at again when an import ends.
    """

    resource = models.ForeignKey(Resource, on_delete=models.CASCADE, related_name="awaits")
    reference = models.CharField(max_length=500)  # "Patient/123" or "Practitioner?identifier=system|value"

    class Meta:
        verbose_name_plural = "awaited"
        constraints = [models.UniqueConstraint(fields=["resource", "reference"], name="awaited_once")]

    def __str__(self) -> str:
        return f"awaited by {self.resource_id}"


class ResourceIdentifier(models.Model):
    """An identifier of a resource, for conditional references (records/importing/identifiers.py). Of patients,
    PatientToken has them."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    key = models.UUIDField()  # of type, system and value: records.importing.references.key_of
    resource_id = models.UUIDField(db_index=True)
    fhir_id = models.CharField(max_length=64)
    gone = models.BooleanField(default=False, db_default=False)  # deleted by its source

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "key", "resource_id"], name="identifier_once")]

    def __str__(self) -> str:
        return f"identifier of {self.resource_id}"


class ReferredName(models.Model):
    """What a practitioner, a role, an organisation or a place is called, for references that don't say it.

    Under the id of its resource. Directories hold nothing about patients; one that is labelled gets no row here.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    name = models.CharField(max_length=300, blank=True)
    leads_to = models.UUIDField(null=True)  # of a role without a name: whose it is
    gone = models.BooleanField(default=False, db_default=False)  # deleted by its source: the name is the last that was

    def __str__(self) -> str:
        return f"name of {self.pk}"


class RequestedLabel(models.Model):
    """What a patient asks us to hold back: their whole record, a section of it, or one resource."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="requested_labels")
    section = models.CharField(max_length=20, choices=Section.choices, blank=True)
    resource = models.ForeignKey(Resource, null=True, on_delete=models.CASCADE, related_name="+")
    sensitive_class = models.CharField(max_length=20, choices=SensitiveClass.choices, default=SensitiveClass.OTHER)
    evidence = models.CharField(max_length=200)  # the form, the letter
    asked_at = models.DateTimeField(db_default=Now())
    withdrawn_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"label asked for by {self.patient_id}"


class Move(models.Model):
    """A corrected resource went from one patient to another: whoever saw it under the first saw a stranger's record.

    Ids only, so that it can be read without seeing anybody's record.
    """

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="moves")
    resource_id = models.UUIDField()
    type = models.CharField(max_length=40)
    section = models.CharField(max_length=20, blank=True)
    from_patient = models.UUIDField()
    to_patient = models.UUIDField(null=True)  # None: to somebody who is not here yet, or to nobody
    shown_from = models.DateTimeField()  # since when it stood under the first
    moved_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    note = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"move of {self.resource_id}"


class ResourceVersionQuerySet(models.QuerySet):
    def within_newest(self) -> Self:
        """Those that tell of no more than the newest version does: of the same patient alone, in the same section,
        with no class that the newest lacks. Asked for resources that the reader sees; the wall has it, too."""
        return self.filter(
            patient_id=F("resource__patient_id"),
            section=F("resource__section"),
            classes__contained_by=F("resource__classes"),
        )


class ResourceVersion(models.Model):
    """An earlier version of a resource, kept when a newer one arrived."""

    resource = models.ForeignKey(Resource, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    version_id = models.CharField(max_length=64, blank=True)
    last_updated = models.DateTimeField(null=True)
    status = models.CharField(max_length=40, blank=True)
    patient_id = models.UUIDField(null=True)  # whom it was about; None: nobody, or several, so it is told to no one
    section = models.CharField(max_length=20, choices=Section.choices, null=True)
    classes = classes_field()
    raw = models.TextField()
    received_at = models.DateTimeField()
    replaced_at = models.DateTimeField(db_default=Now())

    objects = ResourceVersionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["resource", "number"], name="version_once")]

    def __str__(self) -> str:
        return f"{self.resource_id} version {self.number}"


class RecordReport(models.Model):
    """A reader says that something is wrong with a record (records/reports.py).

    It names the patient by id alone: our privacy officers read it, and they see nobody's record.
    """

    class Kind(models.TextChoices):
        WRONG_PATIENT = "wrong-patient", _("Something here belongs to another patient")
        WRONG_CONTENT = "wrong-content", _("Something here is not true")
        MISSING = "missing", _("Something is missing that should be here")
        SHOULD_NOT_SEE = "should-not-see", _("I should not be able to see this")
        OTHER = "other", _("Something else")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    patient_id = models.UUIDField()
    section = models.CharField(max_length=20)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    text = models.TextField()
    reported_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    organisation = models.ForeignKey(Organisation, null=True, on_delete=models.PROTECT, related_name="+")
    reported_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    outcome = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["reported_at"], condition=Q(closed_at=None), name="record_report_open"),
        ]

    def __str__(self) -> str:
        return f"report {self.pk}"
