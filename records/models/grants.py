"""Grants, and what stands against them: a refusal of the patient, terms that were not accepted."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, Func, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from clinicportal.models import Terms, TermsAcceptance, User
from records.models.caseloads import Caseload, members_of
from records.models.organisations import Agreement, Organisation, Suspension
from records.models.scope import UNGRANTABLE, InForceQuerySet, Section, classes_field, sections_field


class OptOutQuerySet(InForceQuerySet):
    def barring(self, user: User) -> Self:
        """Refusals in force that concern the organisation for which `user` acts."""
        return self.in_force().filter(Q(organisation=None) | Q(organisation=user.acting_for))

    def against(self, user: User, *, patient: str) -> Self:
        """Refusals in force that bar `user` from the outer query's patient (its field path `patient`)."""
        return self.barring(user).filter(patient=OuterRef(patient))


class OptOut(models.Model):
    """A patient's refusal to be shared, with one organisation or (None) with all."""

    patient = models.ForeignKey("Patient", on_delete=models.CASCADE, related_name="opt_outs")
    organisation = models.ForeignKey(Organisation, null=True, on_delete=models.PROTECT, related_name="+")
    evidence = models.CharField(max_length=200)  # the Consent, the form, or the link it was united from
    starts_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField(null=True)

    objects = OptOutQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["patient"], name="opt_out_by_patient")]

    def __str__(self) -> str:
        return f"opt-out of {self.patient_id}"


class Contains(Func):
    """`array @> ARRAY[item]`, for an item that is itself a column of the outer query."""

    template = "%(expressions)s"
    output_field = models.BooleanField()

    def __init__(self, array, item, *, of: str = "varchar") -> None:
        super().__init__(array, item, arg_joiner=" @> ARRAY[", template=f"(%(expressions)s]::{of}[])")


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


Conditions = dict[str, Any]
"""What has to hold, each under the name of what stands in the way where it does not (records/why.py tells them)."""

AGREEMENT = "organisation__agreements__"


def to_count(*, organisation: UUID | None = None, guest: User | None = None) -> Conditions:
    """What a grant needs, together with an agreement of its organisation, to count at all now.

    Whether `organisation` and `guest` are paused is asked once where they are named, and else for each grant.
    """
    paused = Suspension.objects.open()
    # What was looked up holds only while the right to look up does, in the agreement and in the grant it came from.
    right = Grant.objects.in_force().filter(pk=OuterRef("under"), ended_at=None, may_look_up=True)
    right = right.exclude(Exists(paused.filter(grant=OuterRef("pk"))))
    return {
        "grant_to_come": Q(starts_at__lte=Now()),
        "grant_over": Q(ends_at__gt=Now()),
        "grant_ended": Q(ended_at=None),
        "agreement_to_come": Q(**{AGREEMENT + "starts_at__lte": Now()}),
        "agreement_over": Q(**{AGREEMENT + "ends_at__gt": Now()}),
        "grant_paused": ~Exists(paused.filter(grant=OuterRef("pk"))),
        "organisation_paused": ~Exists(paused.filter(organisation=organisation or OuterRef("organisation"))),
        "person_paused": ~Exists(paused.filter(user=guest or OuterRef("guest"))),
        "right_to_look_up_gone": Q(under=None) | Q(Exists(right), **{AGREEMENT + "may_look_up": True}),
    }


def to_name(patient: str, facility: str) -> Conditions:
    """What the pair needs to be about a patient at a facility: field paths of the outer query."""
    there = Agreement.facilities.through.objects.filter(
        agreement=OuterRef(AGREEMENT + "pk"), facility=OuterRef(OuterRef(facility))
    )
    return {
        "facility_not_agreed": Exists(there),
        "not_in_caseload": Q(patient=OuterRef(patient))
        | Exists(members_of(OuterRef("caseload"), OuterRef(OuterRef(patient)))),
    }


def to_include(section: Any) -> Conditions:
    """What the pair needs to include a section: a Value, or an OuterRef."""
    return {
        "section_not_granted": Contains(F("sections"), section),
        "section_not_agreed": Contains(F(AGREEMENT + "sections"), section),
    }


def to_allow(classes: Any) -> Conditions:
    """What the pair needs to allow all of these sensitive classes: a list, or an OuterRef."""
    return {
        "class_not_granted": Q(classes__contains=classes),
        "class_not_agreed": Q(**{AGREEMENT + "classes__contains": classes}),
    }


def to_cover(*, patient: str, facility: str, section: str, classes: str) -> Conditions:
    """What the pair needs to allow one row of the outer query.

    `patient`, `facility` and `classes` are field paths of the outer query; `section` is one too, or a Section.
    """
    asked = models.Value(section) if section in Section.values else OuterRef(section)
    return {**to_include(asked), **to_name(patient, facility), **to_allow(OuterRef(classes))}


class GrantQuerySet(InForceQuerySet):
    def in_force_for(self, user: User, *further: Any) -> Self:
        """Grants by which `user` may read now, acting for the organisation chosen in this session.

        Joined with an agreement in force (one row for each pair); none when the organisation, the person or the grant
        is suspended. `further` are conditions on the pair: in one filter with the agreement's dates, as a
        second one would join another agreement, and what two agreements allow would add up.
        """
        count = to_count(organisation=user.acting_for, guest=user)
        return self.filter(*further, *count.values(), guest=user, organisation=user.acting_for)

    def annotate_agreement(self) -> Self:
        """Add the sections and the end of the agreement in force that goes with each row of `in_force_for`."""
        return self.annotate(agreement_sections=F(AGREEMENT + "sections"), agreement_ends_at=F(AGREEMENT + "ends_at"))

    def naming(self, user: User, *patients: Any) -> Self:
        """Grants in force by which `user` may know of patients who need no class: a row for each of `patients`."""
        return self.in_force_for(
            user,
            *patients,
            *to_include(models.Value(Section.DEMOGRAPHICS)).values(),
            Q(**{AGREEMENT + "facilities__isnull": False}),
        )


def name_of_giver(given_by: str) -> str:
    """The name in `Grant.given_by` ("tid:oid name"): ids are for the audit trail."""
    return re.sub(r"^[0-9a-f-]{36}:[0-9a-f-]{36} ", "", given_by)


class Grant(models.Model):
    """One guest × one organisation × one caseload (or patient) × sections × classes × start and end.

    The only thing that makes a record visible. `ends_at` is exclusive: "until 30 June" is the start of 1 July.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    guest = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="grants")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="grants")
    caseload = models.ForeignKey(Caseload, null=True, on_delete=models.PROTECT, related_name="grants")
    patient = models.ForeignKey("Patient", null=True, on_delete=models.PROTECT, related_name="grants")
    sections = sections_field()
    classes = classes_field()
    # Whether its holder may look up patients who are in no caseload of theirs; the agreement must allow it, too.
    may_look_up = models.BooleanField(default=False)
    # Of a patient who was looked up (records/lookup.py): the grant by whose right, which has to hold as well.
    under = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="looked_up")
    may_use_emergency_access = models.BooleanField(default=False)  # likewise
    purpose = models.TextField(blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    given_by = models.CharField(max_length=200)  # "tid:oid name" of who approved; for people: name_of_giver
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
            models.CheckConstraint(
                condition=Q(under=None) | Q(patient__isnull=False, may_look_up=False), name="looked_up_is_one_patient"
            ),
        ]
        indexes = [models.Index(fields=["guest", "organisation"], name="grant_by_guest")]

    def __str__(self) -> str:
        return f"grant {self.pk}"

    @property
    def giver_name(self) -> str:
        return name_of_giver(self.given_by)

    @property
    def last_day(self) -> date:
        """The day that "until" names: access holds until and including it, in the portal's zone."""
        return last_day(self.ends_at)


def last_day(ends_at: datetime) -> date:
    """The last whole day before an exclusive end, in the portal's zone."""
    return timezone.localdate(ends_at - timedelta(microseconds=1))


VIEWER: dict[str, Callable[[User], bool]] = {
    "account_inactive": lambda user: user.is_authenticated and user.is_active,
    "no_second_factor": lambda user: user.mfa_proved,
    "no_organisation": lambda user: bool(user.acting_for or user.emergencies),
    "terms_not_accepted": lambda user: has_accepted_terms(user),
}
"""The conditions that no grant can replace, named like Conditions; the later ones are asked when the earlier hold."""


def may_view(user: User) -> bool:
    """Whether `user` may see any clinical row in this session."""
    return all(holds(user) for holds in VIEWER.values())


def has_accepted_terms(user: User) -> bool:
    """Whether `user` accepted the terms in force; asked once for each user object, that is for each request."""
    if not hasattr(user, "_accepted_terms"):
        user._accepted_terms = TermsAcceptance.objects.filter(  # type: ignore[attr-defined]
            user=user, terms__in=Terms.in_force(), ended_at=None
        ).exists()
    return user._accepted_terms  # type: ignore[attr-defined]
