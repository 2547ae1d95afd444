"""What is protected, and who may see it now.

The rule (docs/glossary.md, "visible"): a resource is visible when *one* grant in force, under *one*
agreement in force, allows all of it: facility, section, every sensitive class, the patient in the
caseload now (or named), no opt-out. It stands twice on purpose: in the `visible_to` querysets here
and in the row-level security of migrations/0002_wall.py. Grants never add up within one resource.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Exists, F, Func, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from clinicportal.models import Terms, TermsAcceptance, User
from clinicportal.viewing import must_be_viewer


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


# ---------------------------------------------------------------- where records come from


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


# ---------------------------------------------------------------- who is outside, and what they may be given


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


# ---------------------------------------------------------------- patients


class PatientQuerySet(models.QuerySet):
    def visible_to(self, user: User) -> Self:
        """Patients whom one grant of `user` makes visible right now.

        Staff see nobody: administering the portal is not caring for a patient. Anonymous, inactive and
        half signed-in users get an empty queryset, never an error.
        """
        if not may_view(user):
            return self.none()
        must_be_viewer(user)
        return self.allowed_to(user)

    def allowed_to(self, user: User) -> Self:
        """The rule itself, for `visible_to` and for the statements that are built from it (records/compiled.py)."""
        grants = Grant.objects.covering(
            user, patient="pk", facility="source__facility", section=Section.DEMOGRAPHICS, classes="classes"
        )
        return self.filter(
            Exists(grants),
            ~Exists(OptOut.objects.against(user, patient="pk")),
            ~Exists(FeedStop.objects.hiding(source="source", received_at="received_at")),
        )

    def listed_to(self, user: User) -> Self:
        """The same rule for lists: whom a grant names is asked once for all, and by class only for those with one.

        It begins with memberships and grants, so that a list costs what it holds, not what the portal holds.
        """
        grants = Grant.objects.in_force_for(user)
        members = Membership.objects.in_force().order_by().filter(caseload__in=grants.values("caseload"))
        named = grants.filter(patient__isnull=False)
        member = "caseload__memberships__"
        now_member = Q(**{member + "ends_at": None}) | Q(**{member + "ends_at__gt": Now()})
        now_member &= Q(**{member + "starts_at__lte": Now()})
        source = "organisation__agreements__facilities__sources"
        by_caseload = Grant.objects.naming(user, now_member).values_list(member + "patient", source)
        by_name = Grant.objects.naming(user, Q(patient__isnull=False)).values_list("patient", source)
        classed = Grant.objects.covering(
            user, patient="pk", facility="source__facility", section=Section.DEMOGRAPHICS, classes="classes"
        )
        return self.filter(
            Q(pk__in=members.values("patient").union(named.values("patient"))),
            Q(Among(("pk", "source"), by_caseload), classes=[])
            | Q(Among(("pk", "source"), by_name), classes=[])
            | Q(~Q(classes=[]), Exists(classed)),
            ~Among(("pk",), OptOut.objects.barring(user).values_list("patient")),
            ~Exists(FeedStop.objects.hiding(source="source", received_at="received_at")),
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
        indexes = [models.Index(fields=["sort_name", "id"], name="patient_by_name")]

    def __str__(self) -> str:
        return f"patient {self.pk}"  # never a name: this reaches logs


class PatientToken(models.Model):
    """A folded word of a name, a birth date or an identifier: what a search compares by equality or prefix.

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

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=40)
    show = models.CharField(max_length=10, choices=Show.choices, blank=True)
    caseload = models.ForeignKey("Caseload", null=True, on_delete=models.CASCADE, related_name="+")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["user", "organisation", "name"], name="filter_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class OptOutQuerySet(InForceQuerySet):
    def barring(self, user: User) -> Self:
        """Refusals in force that concern the organisation for which `user` acts."""
        return self.in_force().filter(Q(organisation=None) | Q(organisation=user.acting_for))

    def against(self, user: User, *, patient: str) -> Self:
        """Refusals in force that bar `user` from the outer query's patient (its field path `patient`)."""
        return self.barring(user).filter(patient=OuterRef(patient))


class OptOut(models.Model):
    """A patient's refusal to be shared, with one organisation or (None) with all."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="opt_outs")
    organisation = models.ForeignKey(Organisation, null=True, on_delete=models.PROTECT, related_name="+")
    evidence = models.CharField(max_length=200)  # the Consent, the form, or the link it was united from
    starts_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField(null=True)

    objects = OptOutQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["patient"], name="opt_out_by_patient")]

    def __str__(self) -> str:
        return f"opt-out of {self.patient_id}"


# ---------------------------------------------------------------- caseloads and grants


def events_of_care() -> list[str]:
    return [basis for basis in Membership.Basis.values if basis != Membership.Basis.LIST]


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

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    caseload = models.ForeignKey(Caseload, on_delete=models.PROTECT, related_name="memberships")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="memberships")
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


class Contains(Func):
    """`array @> ARRAY[item]`, for an item that is itself a column of the outer query."""

    template = "%(expressions)s"
    output_field = models.BooleanField()

    def __init__(self, array, item) -> None:
        super().__init__(array, item, arg_joiner=" @> ARRAY[", template="(%(expressions)s]::varchar[])")


class Among(Func):
    """`(fields) IN (query)`: a query of its own, which PostgreSQL runs once and hashes, whatever the rows outside."""

    output_field = models.BooleanField()
    conditional = True

    def __init__(self, fields: tuple[str, ...], query: models.QuerySet) -> None:
        super().__init__(*map(F, fields), models.Subquery(query))

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, tuple[Any, ...]]:  # type: ignore[override]
        *fields, (query, params) = [compiler.compile(one) for one in self.source_expressions]
        row = ", ".join(sql for sql, _params in fields)
        return f"({row}) IN {query}", tuple(params)


class GrantQuerySet(InForceQuerySet):
    def in_force_for(self, user: User, *allowing: Any) -> Self:
        """Grants by which `user` may read now, acting for the organisation chosen in this session.

        Joined with an agreement in force (one row for each pair); none when the organisation, the person or the grant
        is suspended. `allowing` are further conditions on the pair: in one filter with the agreement's dates, as a
        second one would join another agreement, and what two agreements allow would add up.
        """
        return (
            self.in_force()
            .filter(
                *allowing,
                guest=user,
                organisation=user.acting_for,
                ended_at=None,
                organisation__agreements__starts_at__lte=Now(),
                organisation__agreements__ends_at__gt=Now(),
            )
            .exclude(Exists(Suspension.objects.open().filter(grant=OuterRef("pk"))))
            .exclude(Exists(Suspension.objects.open().filter(organisation=OuterRef("organisation"))))
            .exclude(Exists(Suspension.objects.open().filter(user=OuterRef("guest"))))
        )

    def annotate_agreement(self) -> Self:
        """Add the sections and the end of the agreement in force that goes with each row of `in_force_for`."""
        agreement = "organisation__agreements__"
        return self.annotate(agreement_sections=F(agreement + "sections"), agreement_ends_at=F(agreement + "ends_at"))

    def naming(self, user: User, *patients: Any) -> Self:
        """Grants in force by which `user` may know of patients who need no class: a row for each of `patients`."""
        demographics = models.Value(Section.DEMOGRAPHICS)
        return self.in_force_for(
            user,
            *patients,
            Contains(F("sections"), demographics),
            Contains(F("organisation__agreements__sections"), demographics),
            Q(organisation__agreements__facilities__sources__isnull=False),
        )

    def covering(self, user: User, *, patient: str, facility: str, section: str, classes: str) -> Self:
        """Those of `in_force_for` that allow all of one row of the outer query.

        `patient`, `facility` and `classes` are field paths of the outer query; `section` is one too, or a Section.
        """
        asked = models.Value(section) if section in Section.values else OuterRef(section)
        agreement = "organisation__agreements__"
        return self.in_force_for(
            user,
            Contains(F("sections"), asked),
            Contains(F(agreement + "sections"), asked),
            Exists(
                Agreement.facilities.through.objects.filter(
                    agreement=OuterRef(agreement + "pk"), facility=OuterRef(OuterRef(facility))
                )
            ),
            Q(patient=OuterRef(patient)) | Exists(members_of(OuterRef("caseload"), OuterRef(OuterRef(patient)))),
            Q(classes__contains=OuterRef(classes)),
            Q(**{agreement + "classes__contains": OuterRef(classes)}),
        )


def members_of(caseload: Any, patient: Any) -> models.QuerySet[Membership]:
    """Memberships in force of `patient` in `caseload`; either may be an OuterRef."""
    return Membership.objects.in_force().filter(caseload=caseload, patient=patient)


class Grant(models.Model):
    """One guest × one organisation × one caseload (or patient) × sections × classes × start and end.

    The only thing that makes a record visible. `ends_at` is exclusive: "until 30 June" is the start of 1 July.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    guest = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="grants")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="grants")
    caseload = models.ForeignKey(Caseload, null=True, on_delete=models.PROTECT, related_name="grants")
    patient = models.ForeignKey(Patient, null=True, on_delete=models.PROTECT, related_name="grants")
    sections = sections_field()
    classes = classes_field()
    purpose = models.TextField(blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    given_by = models.CharField(max_length=200)  # "tid:oid name": who approved, for the access page
    given_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    ended_because = models.CharField(max_length=200, blank=True)

    objects = GrantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(caseload__isnull=False, patient=None) | Q(caseload=None, patient__isnull=False),
                name="grant_of_one_caseload_or_patient",
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="grant_ends_after_start"),
            models.CheckConstraint(condition=~Q(classes__overlap=UNGRANTABLE), name="grant_grantable_classes"),
            models.CheckConstraint(
                condition=Q(sections__contains=[Section.DEMOGRAPHICS]), name="grant_names_the_patient"
            ),
        ]
        indexes = [models.Index(fields=["guest", "organisation"], name="grant_by_guest")]

    def __str__(self) -> str:
        return f"grant {self.pk}"

    @property
    def last_day(self) -> date:
        """The day that "until" names: access holds until and including it, in the portal's zone."""
        return last_day(self.ends_at)


def last_day(ends_at: datetime) -> date:
    """The last whole day before an exclusive end, in the portal's zone."""
    return timezone.localdate(ends_at - timedelta(microseconds=1))


def may_view(user: User) -> bool:
    """Whether `user` may see any clinical row in this session: the conditions that no grant can replace."""
    return bool(
        user.is_authenticated and user.is_active and user.mfa_proved and user.acting_for and has_accepted_terms(user)
    )


def has_accepted_terms(user: User) -> bool:
    """Whether `user` accepted the terms in force; asked once for each user object, that is for each request."""
    if not hasattr(user, "_accepted_terms"):
        user._accepted_terms = TermsAcceptance.objects.filter(  # type: ignore[attr-defined]
            user=user, terms__in=Terms.in_force(), ended_at=None
        ).exists()
    return user._accepted_terms  # type: ignore[attr-defined]


# ---------------------------------------------------------------- resources


class ResourceQuerySet(models.QuerySet):
    def visible_to(self, user: User) -> Self:
        """Resources of which one grant of `user` allows all, right now. See the module's rule."""
        if not may_view(user):
            return self.none()
        must_be_viewer(user)
        return self.allowed_to(user)

    def allowed_to(self, user: User) -> Self:
        """The rule itself, for `visible_to` and for the statements that are built from it (records/compiled.py)."""
        grants = Grant.objects.covering(
            user, patient="patient", facility="facility", section="section", classes="classes"
        )
        # Another patient in the same resource must be covered by the same grant.
        uncovered = AlsoAbout.objects.filter(resource=OuterRef(OuterRef("pk"))).exclude(
            Exists(members_of(OuterRef(OuterRef("caseload")), OuterRef("patient")))
        )
        others_opted_out = AlsoAbout.objects.filter(
            Exists(OptOut.objects.against(user, patient="patient")), resource=OuterRef("pk")
        )
        return self.filter(
            Exists(grants.exclude(Exists(uncovered))),
            ~Exists(OptOut.objects.against(user, patient="patient")),
            ~Exists(others_opted_out),
            ~Exists(FeedStop.objects.hiding(source="source", received_at="received_at")),
            tombstoned_at=None,
        )


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
            models.Index("patient", "code", F("time").desc(nulls_last=True), F("id").desc(), name="resource_by_code"),
            models.Index(fields=["patient", "received_at"], name="resource_by_arrival"),
            # What the importer asks: few rows of any table, so they cost others nothing.
            models.Index(fields=["source"], condition=Q(settled=False), name="resource_unsettled"),
            # Without the list of new entries: each of the many keys that are asked for would read all of it.
            GinIndex(fields=["holds"], condition=~Q(holds=[]), fastupdate=False, name="resource_by_content"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"


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


class ResourceVersion(models.Model):
    """An earlier version of a resource, kept when a newer one arrived."""

    resource = models.ForeignKey(Resource, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    version_id = models.CharField(max_length=64, blank=True)
    last_updated = models.DateTimeField(null=True)
    status = models.CharField(max_length=40, blank=True)
    classes = classes_field()
    raw = models.TextField()
    received_at = models.DateTimeField()
    replaced_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["resource", "number"], name="version_once")]

    def __str__(self) -> str:
        return f"{self.resource_id} version {self.number}"


# ---------------------------------------------------------------- import


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
        indexes = [models.Index(fields=["imported"], condition=Q(mended_at=None), name="rejection_open")]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.reason}"
