"""Why somebody can, or can't, see a patient or an entry of a record: the rule's own conditions, asked one by one.

The verdict is the rule's (`allowed_to`). The reasons are the same conditions that the rule is put together of
(`to_count`, `coverage`, `unrefused`, `held` in records/models), each by its name; a test holds both together over the
whole table of cases. Runs as the worker, since our staff see no patient: they ask by a row (`Question`) and read the
answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Exists, Q, Value
from django.db.models.functions import Now

from clinicportal.models import StaffRole, User
from records.models import (
    UNGRANTABLE,
    Agreement,
    EmergencyAccess,
    Grant,
    Membership,
    Organisation,
    Patient,
    Question,
    Resource,
    Section,
    SensitiveClass,
    Suspension,
)
from records.models.grants import VIEWER, Conditions, to_allow, to_count, to_include

KEPT = timedelta(days=1)

FOR_THE_PRIVACY_OFFICER = {
    "opted_out", "another_opted_out", "class_not_granted", "class_not_agreed", "label_not_understood",
}  # fmt: skip
"""Reasons that say something about the patient: what they refused, or that something of theirs is protected."""
ASK_PRIVACY = "ask_privacy"
NO_AGREEMENT, NO_GRANT, ANOTHER_WAY = "no_agreement", "no_grant", "another_way"
NO_SECTION, NO_KNOWN_LABEL = "in_no_section", "label_not_understood"


@dataclass(frozen=True)
class Pair:
    """A grant with an agreement of its organisation (None: there is none), and what keeps them from allowing it."""

    grant: Grant
    agreement: Agreement | None
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    visible: bool
    """What the rule says."""
    missing: tuple[str, ...]
    """Conditions that no grant replaces."""
    pairs: tuple[Pair, ...]
    """Those that lack the least first."""

    @property
    def by(self) -> Pair | None:
        """The pair that allows it; None where it is not by a grant."""
        return self.pairs[0] if self.pairs and not self.pairs[0].missing and not self.missing else None

    @property
    def reasons(self) -> tuple[str, ...]:
        """The names of what stands in the way, as the nearest grant has it; why it is visible without one."""
        if self.visible:
            return () if self.by else (ANOTHER_WAY,)
        of_pair = self.pairs[0].missing if self.pairs else (NO_GRANT,)
        return (*self.missing, *of_pair)


def explain(row: Patient | Resource, user: User, *, using: str = DEFAULT_DB_ALIAS) -> Explanation:
    """Whether `user`, acting for the organisation of their session, may see `row` now, and what stands in the way."""
    rows: Any = type(row).objects.using(using).filter(pk=row.pk)
    missing = [name for name, holds in VIEWER.items() if not holds(user)]
    visible = not missing and rows.allowed_to(user).exists()
    missing += failing(rows, {**rows.unrefused(user), **rows.held()})
    pairs = [
        Pair(grant, agreement, missing_of(rows, grant, agreement))
        for grant in grants_of(user, using=using)
        for agreement in agreements_with(grant.organisation_id, using=using)
    ]
    pairs.sort(key=lambda pair: (len(pair.missing), -pair.grant.ends_at.timestamp()))
    return Explanation(visible, tuple(missing), tuple(pairs))


def grants_of(user: User, *, using: str) -> list[Grant]:
    grants = Grant.objects.using(using).filter(guest=user, organisation=user.acting_for)
    return list(grants.select_related("caseload__facility").order_by("-ends_at"))


def agreements_with(organisation_id: UUID, *, using: str) -> list[Agreement | None]:
    return list(Agreement.objects.using(using).filter(organisation=organisation_id).order_by("-ends_at")) or [None]


def failing(rows: Any, conditions: Conditions) -> list[str]:
    """The names of those conditions that the one row of `rows` does not meet."""
    held = rows.annotate(**conditions).values(*conditions).get()
    return [name for name, holds in held.items() if not holds]


def missing_of(rows: Any, grant: Grant, agreement: Agreement | None) -> tuple[str, ...]:
    if agreement is None:
        return (NO_AGREEMENT,)
    asked = {**to_count(), **rows.coverage()}
    of_pair = {name: Exists(pair_of(grant, agreement, condition)) for name, condition in asked.items()}
    return no_grant_helps(rows.get(), failing(rows, of_pair))


def no_grant_helps(row: Patient | Resource, missing: list[str]) -> tuple[str, ...]:
    """The same, where a section or a class is missing that nobody can grant."""
    better: dict[str, str] = {}
    if set(row.classes) & set(UNGRANTABLE):
        better |= dict.fromkeys(to_allow([]), NO_KNOWN_LABEL)
    if isinstance(row, Resource) and row.section is None:
        better |= dict.fromkeys(to_include(Value("")), NO_SECTION)
    return tuple(dict.fromkeys(better.get(name, name) for name in missing))


def pair_of(grant: Grant, agreement: Agreement, *conditions: Any, using: str | None = None) -> Any:
    """The pair as `GrantQuerySet.in_force_for` joins it, if it meets the conditions."""
    return Grant.objects.using(using).filter(*conditions, pk=grant.pk, organisation__agreements=agreement.pk)


def lacking(grant: Grant, agreement: Agreement, asked: Conditions, *, using: str) -> list[str]:
    """The names of those conditions, none about a row, that the pair does not meet."""
    return failing(pair_of(grant, agreement, using=using), asked)


# ---------------------------------------------------------------- questions and answers


def answer_open(*, using: str = DEFAULT_DB_ALIAS) -> int:
    """Answer what is asked, and forget what was asked more than a day ago. Safe to repeat; for the worker's role."""
    questions = Question.objects.using(using)
    questions.filter(asked_at__lt=Now() - KEPT).delete()
    number = 0
    for question in questions.filter(answered_at=None).select_related("asked_by", "guest"):
        answer = answer_to(question, using=using)
        questions.filter(pk=question.pk, answered_at=None).update(answer=answer, answered_at=Now())
        number += 1
    return number


def answer_to(question: Question, *, using: str) -> dict[str, Any]:
    """What the page tells (records/why_words.py puts it into sentences). Nothing clinical, no name of a patient."""
    row = asked_about(question, using=using)
    if row is None:
        return {"found": False, "organisations": []}
    told = question.asked_by.has_role(StaffRole.PRIVACY)
    theirs = Grant.objects.using(using).filter(guest=question.guest).values("organisation")
    organisations = Organisation.objects.using(using).filter(pk__in=theirs)
    return {"found": True, "organisations": [of_organisation(one, row, question, told, using) for one in organisations]}


def asked_about(question: Question, *, using: str) -> Patient | Resource | None:
    if question.entry_id:
        entries = Resource.objects.using(using).filter(pk=question.entry_id, patient=question.patient_id)
        return entries.first()
    return Patient.objects.using(using).filter(pk=question.patient_id).first()


def of_organisation(
    organisation: Organisation, row: Patient | Resource, question: Question, told: bool, using: str
) -> dict[str, Any]:  # fmt: skip
    guest = question.guest
    # As in a session that is complete: what is asked is whether they *can*.
    guest.acting_for, guest.mfa_proved = organisation.pk, True
    mine = EmergencyAccess.objects.using(using).under_way().filter(guest=guest, organisation=organisation)
    guest.emergencies = frozenset(one for one in mine.values_list("patient_id", flat=True) if one)
    found = explain(row, guest, using=using)
    return {
        "name": organisation.name,
        # Lists leave it out; asked by its id it opens as before.
        "replaced": isinstance(row, Patient) and row.replaced_by_id is not None,
        "visible": found.visible,
        "missing": kept_back(found.missing, told),
        "reasons": kept_back(found.reasons, told),
        "pairs": [of_pair(pair, question.patient_id, told, using=using) for pair in found.pairs[:MOST_PAIRS]],
    }


MOST_PAIRS = 3
"""Those nearest to what is asked; the others lack more."""


def kept_back(reasons: Any, told: bool) -> list[str]:
    """The reasons, those about the patient only for a privacy officer."""
    if told:
        return list(reasons)
    return list(dict.fromkeys(ASK_PRIVACY if one in FOR_THE_PRIVACY_OFFICER else one for one in reasons))


def of_pair(pair: Pair, patient_id: UUID, told: bool, *, using: str) -> dict[str, Any]:
    grant, agreement = pair.grant, pair.agreement
    facts: dict[str, Any] = {
        "missing": kept_back(pair.missing, told),
        "caseload": grant.caseload.name if grant.caseload else "",
        "facility": grant.caseload.facility.name if grant.caseload else "",
        "given_by": grant.given_by,
        "starts_at": grant.starts_at.isoformat(),
        "ends_at": grant.ends_at.isoformat(),
        "ended_at": grant.ended_at.isoformat() if grant.ended_at else "",
        "ended_because": grant.ended_because,
        "looked_up": grant.under_id is not None,
        "paused": pauses(grant, using=using),
        "memberships": memberships(grant, patient_id, using=using) if grant.caseload_id else [],
    }
    if agreement:
        facts["agreement"] = {"starts_at": agreement.starts_at.isoformat(), "ends_at": agreement.ends_at.isoformat()}
        facts["sections"] = {
            one: lacking(grant, agreement, to_include(Value(one)), using=using) for one in Section.values
        }
        facts["classes"] = {
            one: lacking(grant, agreement, to_allow([one]), using=using)
            for one in SensitiveClass.values
            if one not in UNGRANTABLE
        }
    return facts


def pauses(grant: Grant, *, using: str) -> dict[str, list[str]]:
    """Why the grant, its organisation and its guest are paused: codes of Suspension.Reason."""
    rows = Suspension.objects.using(using).open().order_by("started_at")
    of = {
        "grant": Q(grant=grant),
        "organisation": Q(organisation=grant.organisation_id),
        "person": Q(user=grant.guest_id),
    }
    return {name: list(rows.filter(which).values_list("reason", flat=True)) for name, which in of.items()}


def memberships(grant: Grant, patient_id: UUID, *, using: str) -> list[dict[str, Any]]:
    """Of the patient in the grant's caseload, those in force and those that are not, the latest first."""
    rows = Membership.objects.using(using).filter(caseload=grant.caseload_id, patient=patient_id)
    current = set(rows.in_force().values_list("pk", flat=True))
    return [
        {
            "basis": row.basis,
            "starts_at": row.starts_at.isoformat(),
            "ends_at": row.ends_at.isoformat() if row.ends_at else "",
            "now": row.pk in current,
        }
        for row in rows.order_by("-starts_at")
    ]
