"""Emergency access: asking for it, beginning it with a fresh proof, ending it, and explaining it to a reviewer.

It is asked for on the page of looking up a patient, whatever that found. Whether anybody was found is said only after
the proof, when it is begun: until then the answer is the same. How it is reviewed is in records/reviews.py.
"""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import User
from clinicportal.proofs import check_proved
from clinicportal.rules import Denied
from clinicportal.texts import gettext as _
from clinicportal.texts import span
from clinicportal.viewing import must_be_viewer, viewing
from records import policies
from records.lookup import A_DAY, Asked
from records.models import Agreement, EmergencyAccess, LookUp
from records.models.emergencies import BEGUN_WITHIN, LASTS

Status, Proof = EmergencyAccess.Status, EmergencyAccess.Proof

ACT, WEAKER_ACT = "emergency_access", "emergency_access_weaker"
"""Of settings.STEP_UP: the proof, and the one that does where the stronger context can't be met."""
LONGEST = 2000
BASIS = "Emergency access"
"""As the audit trail has it."""


def ask(what: Asked, *, by: User) -> EmergencyAccess:
    """Write down that `by` wants to open whom `what` fits, if anybody; nothing is opened and nothing told by it."""
    policies.check_can_use_emergency_access(by)
    with viewing(by):
        return _ask(find(what, by=by), by=by)


def ask_for_found(look_up_id: UUID, *, by: User) -> EmergencyAccess | None:
    """The same for whom a look-up of `by` found a moment ago, as the record withholds something; None: not any more."""
    policies.check_can_use_emergency_access(by)
    mine = LookUp.objects.found().filter(by=by, organisation=by.acting_for, asked_at__gt=Now() - BEGUN_WITHIN)
    found = mine.filter(pk=look_up_id).first()
    if found is None:
        return None
    with transaction.atomic():
        return _ask(found.patient_id, by=by)


def _ask(patient: UUID | None, *, by: User) -> EmergencyAccess:
    assert by.acting_for is not None  # noqa: S101 - for the type checker; without one there is no right
    asked = EmergencyAccess.objects.create(guest=by, organisation_id=by.acting_for, patient_id=patient)
    audit.record(audit.Type.EMERGENCY_ASKED, asked, by=by, subjects=subjects_of(asked))
    return asked


def find(what: Asked, *, by: User) -> UUID | None:
    must_be_viewer(by)
    with connection.cursor() as cursor:
        cursor.execute("SELECT records_find_in_emergency(%s, %s, %s, %s, %s)", what.values())
        return cursor.fetchone()[0]


@transaction.atomic
def give_reason(asked: EmergencyAccess, reason: str, *, by: User) -> None:
    """Keep what was typed until the proof is there. Nothing when it was begun meanwhile."""
    mine = EmergencyAccess.objects.filter(pk=asked.pk, guest=by, status=Status.ASKED)
    mine.update(reason=reason.strip()[:LONGEST])


@transaction.atomic
def begin(emergency_id: UUID, *, by: User, weaker: bool = False) -> EmergencyAccess:
    """Open the patient for LASTS from now; or, with the same proof, find out that there is nobody.

    `weaker`: by a fresh sign-in alone, since the stronger context can't be met just now; the caller knows that. Sent
    twice, and with one for the same patient under way, it gives that one. Raises Denied and Unproved.
    """
    policies.check_can_use_emergency_access(by)
    check_proved(by, WEAKER_ACT if weaker else ACT)
    lock(by)
    asked = of_guest(emergency_id, by=by)
    if asked.status != Status.ASKED:
        return asked
    if asked.asked_at < timezone.now() - BEGUN_WITHIN:
        ago = {"span": span(BEGUN_WITHIN)}
        raise Denied(_("You searched more than %(span)s ago. Look the patient up again, then begin") % ago)
    if running := under_way(by=by).filter(patient_id=asked.patient_id).first():
        return running
    policies.check_has_reviews_left(by)
    if asked.patient_id is None:
        check_not_guessing(by)
        asked.move_to(Status.NOBODY)
        audit.record(audit.Type.EMERGENCY_BEGUN, asked, by=by, reason=asked.reason, outcome="failed")
        return asked
    asked.move_to(
        Status.OPENED,
        proof=Proof.SIGN_IN if weaker else Proof.STRONGER,
        started_at=Now(),
        ends_at=Now() + LASTS,
        facilities=facilities_of(by),
    )
    audit.record(
        audit.Type.EMERGENCY_BEGUN,
        asked,
        by=by,
        reason=asked.reason,
        basis=BASIS,
        subjects=subjects_of(asked, BASIS),
        detail={"proof": asked.proof},
    )
    return asked


def check_not_guessing(by: User) -> None:
    """Who finds nobody that often in a day is trying names out."""
    today = EmergencyAccess.objects.filter(guest=by, status=Status.NOBODY, asked_at__gt=Now() - A_DAY)
    if today.count() >= settings.LOOK_UP_TRIES_PER_DAY:
        raise Denied(_("You have searched for too many patients who are not here. Call the help line"))


def lock(guest: User) -> None:
    """One beginning at a time for each guest; the trigger takes the same lock for whoever forgets it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('emergency access ' || %s::text, 0))", [str(guest.pk)]
        )


def facilities_of(by: User) -> list[UUID]:
    """Those that an emergency access of `by` reaches now."""
    agreements = Agreement.objects.in_force().filter(organisation=by.acting_for, may_use_emergency_access=True)
    covered = agreements.filter(facilities__isnull=False)
    return sorted(set(covered.values_list("facilities", flat=True)))


def of_guest(emergency_id: UUID, *, by: User) -> EmergencyAccess:
    """One of `by`, for the organisation they act for. Raises EmergencyAccess.DoesNotExist."""
    return EmergencyAccess.objects.get(pk=emergency_id, guest=by, organisation=by.acting_for)


def under_way(*, by: User):
    """What is open to `by` now for the organisation they act for, the newest first."""
    return EmergencyAccess.objects.under_way().filter(guest=by, organisation=by.acting_for).order_by("-started_at")


@transaction.atomic
def end(emergency_id: UUID, *, by: User) -> bool:
    """Close it before its time. False when it was over already."""
    mine = under_way(by=by).filter(pk=emergency_id)
    ended = mine.first()
    if ended is None or not mine.update(ended_at=Now()):
        return False
    audit.record(audit.Type.EMERGENCY_ENDED, ended, by=by, basis=BASIS, subjects=subjects_of(ended, BASIS))
    return True


def subjects_of(emergency: EmergencyAccess, basis: str = "") -> list[audit.Subject]:
    """For the audit trail: its patient, unless nobody was found."""
    return [audit.Subject(emergency.patient_id, basis=basis)] if emergency.patient_id else []


@transaction.atomic
def explain(emergency: EmergencyAccess, answer: str, *, by: User) -> None:
    """The guest answers the reviewer's question. Raises IllegalTransition when it was judged meanwhile."""
    if emergency.guest_id != by.pk:
        raise Denied(_("Only the person who used the emergency access can explain it"))
    emergency.move_to(Status.ANSWERED, answer=answer.strip()[:LONGEST], answered_at=Now())
    audit.record(audit.Type.EMERGENCY_EXPLAINED, emergency, by=by)


def questions_to(user: User) -> list[EmergencyAccess]:
    """What a reviewer wants to know of `user`, the oldest first."""
    mine = EmergencyAccess.objects.filter(guest=user, status=Status.QUESTIONED)
    return list(mine.select_related("organisation").order_by("questioned_at"))


def steps_of(user: User) -> list[dict[str, str]]:
    """For the page that people come to first: the questions that wait for them."""
    text = _("Answer our reviewer's question about your emergency access")
    return [{"text": text, "href": reverse("emergency", args=[one.pk])} for one in questions_to(user)]
