"""Patients, whom of them somebody may see, and what is kept beside them."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from clinicportal.models import User
from clinicportal.viewing import must_be_viewer
from records.models.caseloads import Caseload
from records.models.emergencies import EmergencyAccess, ReviewReading, opened_without_a_grant, withheld
from records.models.feeds import Facility, FeedStop, Source
from records.models.grants import Among, Conditions, Grant, OptOut, may_view, to_cover
from records.models.organisations import Organisation
from records.models.scope import Section, classes_field


class PatientQuerySet(models.QuerySet):
    def visible_to(self, user: User) -> Self:
        """Patients whom one grant of `user`, or an emergency access, makes visible right now.

        Staff see nobody: administering the portal is not caring for a patient. (A reviewer sees, for a while, what an
        emergency access opened.) Anonymous, inactive and half signed-in users get an empty queryset, never an error.
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
        return to_cover(patient="pk", facility="source__facility", section=Section.DEMOGRAPHICS, classes="classes")

    def unrefused(self, user: User) -> Conditions:
        """What must hold whatever grants allow, but for an emergency."""
        return {"opted_out": ~Exists(OptOut.objects.against(user, patient="pk"))}

    def held(self) -> Conditions:
        """What must hold in any case."""
        return {"feed_stopped": ~Exists(FeedStop.objects.hiding(source="source", received_at="received_at"))}

    def listed_to(self, user: User) -> Self:
        """The same rule for lists: whom a grant names is asked once for all, and by class only for those with one.

        It begins with memberships and grants, so that a list costs what it holds, not what the portal holds.
        """
        member = "caseload__memberships__"
        now_member = Q(**{member + "ends_at": None}) | Q(**{member + "ends_at__gt": Now()})
        now_member &= Q(**{member + "starts_at__lte": Now()})
        facility = "organisation__agreements__facilities"
        by_caseload = Grant.objects.naming(user, now_member).values_list(member + "patient", facility)
        by_name = Grant.objects.naming(user, Q(patient__isnull=False)).values_list("patient", facility)
        classed = Grant.objects.in_force_for(user, *self.coverage().values())
        opened = Q(
            Among(("pk", "source__facility"), by_caseload.union(by_name)),
            Q(classes=[]) | Exists(classed),
            ~Among(("pk",), OptOut.objects.barring(user).values_list("patient")),
        )
        if user.emergencies:
            mine = EmergencyAccess.objects.under_way().filter(guest=user).values("patient_id")
            read = ReviewReading.objects.under_way_for(user).values("emergency__patient_id")
            known = by_caseload.values(member + "patient").union(by_name.values("patient"), mine, read)
            opened = Q(opened | in_emergency(user), pk__in=known)
        hiding = FeedStop.objects.hiding(source="source", received_at="received_at")
        return self.filter(
            opened,
            # In this order, so that nothing is looked up for each patient while no feed is stopped.
            ~(Q(source__in=FeedStop.objects.open().values("source")) & Q(Exists(hiding))),
        )


def in_emergency(user: User) -> Q:
    """Patients whom an emergency access of `user`, or a review by them, opens."""
    return opened_without_a_grant(user, patient="pk", facility="source__facility") & ~withheld(
        Section.DEMOGRAPHICS, "classes"
    )


class Patient(models.Model):
    """A patient as one source knows them. The same person elsewhere is another row, joined by `PatientLink`.

    Columns are what lists show, filter and sort by; the received text is the patient's `Resource`.
    """

    class Gender(models.TextChoices):
        MALE = "male", _("Male")
        FEMALE = "female", _("Female")
        OTHER = "other", _("Other")
        UNKNOWN = "unknown", _("Not known")

    id = models.UUIDField(primary_key=True, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="patients")
    fhir_id = models.CharField(max_length=64)
    active = models.BooleanField(default=True)
    family = models.CharField(max_length=200, blank=True)
    given = models.CharField(max_length=200, blank=True)
    title = models.CharField(max_length=50, blank=True)
    sort_name = models.CharField(max_length=400, blank=True)  # folded: case, diacritics
    name_key = models.CharField(max_length=100, blank=True, default="", db_collation="C")  # tokens.name_key
    found_by = models.TextField(blank=True, default="", db_collation="C")  # tokens.line: for searches of a list
    birth_date = models.CharField(max_length=10, blank=True)  # as precise as FHIR says: 1990, 1990-05, 1990-05-17
    gender = models.CharField(max_length=10, choices=Gender.choices, default=Gender.UNKNOWN)
    deceased = models.BooleanField(default=False)
    deceased_date = models.CharField(max_length=10, blank=True)
    mrn = models.CharField(max_length=64, blank=True)
    classes = classes_field()
    replaced_by = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="replaces")
    received_at = models.DateTimeField(db_default=Now())  # what the columns say

    objects = PatientQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "fhir_id"], name="patient_once_per_source")]
        indexes = [
            models.Index(fields=["sort_name", "id"], name="patient_by_name"),
            models.Index(fields=["name_key"], name="patient_by_name_key"),
        ]

    def __str__(self) -> str:
        return f"patient {self.pk}"  # never a name: this reaches logs


class PatientToken(models.Model):
    """A folded word of a name, a birth date or an identifier, to find one patient among all: look-up, references.

    `LIKE` and trigrams are not leakproof, so behind the wall only `=`, `<` and `>=` can use an index.
    """

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="tokens")
    token = models.CharField(max_length=100, db_collation="C")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["patient", "token"], name="token_once_per_patient")]
        indexes = [models.Index(fields=["token", "patient"], name="patient_by_token")]

    def __str__(self) -> str:
        return f"token of {self.patient_id}"


class PatientLink(models.Model):
    """Two patients who are one person, by whose word; undone, never deleted. Opt-outs are united at once."""

    class Kind(models.TextChoices):
        REPLACED_BY = "replaced-by", _("replaced by")
        SEE_ALSO = "seealso", _("see also")

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="links")
    other = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="linked_from")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    evidence = models.CharField(max_length=200)
    linked_at = models.DateTimeField(db_default=Now())
    undone_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["patient", "other"], condition=Q(undone_at=None), name="patients_linked_once"
            ),
            models.CheckConstraint(condition=~Q(patient=F("other")), name="patient_not_linked_to_itself"),
        ]

    def __str__(self) -> str:
        return f"{self.patient_id} {self.kind} {self.other_id}"


class Look(models.Model):
    """When somebody last looked at a patient's record, and when their visit before that ended (records/looks.py)."""

    pk = models.CompositePrimaryKey("user", "patient")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="looks", db_index=False)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="looks")
    since = models.DateTimeField(null=True)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"look of {self.user_id} at {self.patient_id}"


class SavedFilter(models.Model):
    """A filter of My patients that somebody keeps under a name. It says nothing about any patient."""

    class Show(models.TextChoices):
        ALL = "", _("All patients")
        NEW = "new", _("With something new")
        RECENT = "recent", _("Recently opened by me")

    class Age(models.TextChoices):
        ANY = "", _("Any age")
        CHILD = "child", _("Under 18")
        ADULT = "adult", _("18 to 64")
        OLDER = "older", _("65 or over")
        OLDEST = "oldest", _("85 or over")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=40)
    show = models.CharField(max_length=10, choices=Show.choices, blank=True)
    caseload = models.ForeignKey(Caseload, null=True, on_delete=models.CASCADE, related_name="+")
    facility = models.ForeignKey(Facility, null=True, on_delete=models.CASCADE, related_name="+")
    age = models.CharField(max_length=10, choices=Age.choices, blank=True)
    gender = models.CharField(max_length=10, choices=Patient.Gender.choices, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["user", "organisation", "name"], name="filter_name_once"),
        ]

    def __str__(self) -> str:
        return self.name
