"""The review of emergency accesses: by a clinical reviewer of ours, always, and never of their own.

A reviewer opens for a while what the access opened (`open_for_review`), reads in the audit trail what was opened, asks
the guest, and says whether it was justified.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import ngettext

from clinicportal import audit, sessions
from clinicportal.models import AuditEvent, AuditSubject, User
from records import policies
from records.emergencies import subjects_of
from records.models import EmergencyAccess, LookUp, ReviewReading, Suspension
from records.models.organisations import SuspensionQuerySet

Status = EmergencyAccess.Status

READS_FOR = timedelta(minutes=30)
A_MOMENT = timedelta(minutes=1)
"""A page that was asked for in time is written down so much later at most."""
LONGEST = 2000
MOST = 200
BASIS = "Review of emergency access"


@dataclass(frozen=True)
class Seen:
    """What of the record was opened, as the audit trail has it."""

    what: str
    section: str
    first: datetime
    last: datetime
    times: int


def waiting():
    """The queue, the oldest first."""
    return EmergencyAccess.objects.unreviewed().select_related("guest", "organisation").order_by("started_at")


def done():
    judged = EmergencyAccess.objects.filter(status__in=EmergencyAccess.DONE)
    return judged.select_related("guest", "organisation", "reviewed_by").order_by("-reviewed_at")


def found_nobody():
    nobody = EmergencyAccess.objects.filter(status=Status.NOBODY)
    return nobody.select_related("guest", "organisation").order_by("-asked_at")


def what_was_opened(emergency: EmergencyAccess, *, by: User) -> list[Seen]:
    """From the audit trail, through the auditor's role; that it was read is written down, too."""
    policies.check_can_review(by, emergency)
    found = opened_by(emergency)
    subjects = subjects_of(emergency)
    with transaction.atomic():
        audit.record(audit.Type.AUDIT_READ, emergency, by=by, subjects=subjects, detail={"shown": len(found)})
    return found


def opened_by(emergency: EmergencyAccess) -> list[Seen]:
    """Each page of the record that the emergency access opened."""
    if emergency.started_at is None or emergency.ends_at is None or emergency.patient_id is None:
        return []
    period = (emergency.started_at, emergency.ends_at + A_MOMENT)
    ids = AuditSubject.objects.using("auditor").filter(patient_id=emergency.patient_id, recorded__range=period)
    events = AuditEvent.objects.using("auditor").filter(
        recorded__range=period,
        id__in=ids.values("event_id"),
        user_id=emergency.guest_id,
        object_type="records.emergencyaccess",
        object_id=str(emergency.pk),
    )
    kept = [one for one in events if one.type in (*audit.OF_RECORDS, audit.Type.EMERGENCY_ENDED)]
    return pages_of(kept)


def pages_of(events: Iterable[AuditEvent]) -> list[Seen]:
    """Each page with the time it was opened first and last."""
    by_page = sorted(events, key=lambda event: (event.type, event.section, event.recorded))
    found = []
    for (kind, section), group in groupby(by_page, key=lambda event: (event.type, event.section)):
        held = list(group)
        found.append(Seen(audit.in_words(kind), section, held[0].recorded, held[-1].recorded, len(held)))
    return sorted(found, key=lambda seen: seen.first)


def what_was_read(look_up: LookUp, *, by: User) -> list[Seen]:
    """What was opened by the grant that a look-up made, in the same way."""
    policies.check_can_review_look_up(by, look_up)
    found = read_by(look_up)
    subjects = [audit.Subject(look_up.patient_id, look_up.grant_id)] if look_up.patient_id else []
    with transaction.atomic():
        audit.record(audit.Type.AUDIT_READ, look_up, by=by, subjects=subjects, detail={"shown": len(found)})
    return found


def read_by(look_up: LookUp) -> list[Seen]:
    if look_up.grant is None or look_up.patient_id is None:
        return []
    period = (look_up.asked_at, look_up.grant.ends_at + A_MOMENT)
    subjects = AuditSubject.objects.using("auditor")
    ids = subjects.filter(patient_id=look_up.patient_id, grant_id=look_up.grant_id, recorded__range=period)
    events = AuditEvent.objects.using("auditor").filter(
        recorded__range=period, id__in=ids.values("event_id"), user_id=look_up.by_id, type__in=audit.OF_RECORDS
    )
    return pages_of(events)


@transaction.atomic
def open_for_review(emergency: EmergencyAccess, *, by: User) -> ReviewReading:
    """Let `by` read for READS_FOR what the emergency access opened. Again gives the one that is under way."""
    policies.check_can_review(by, emergency)
    policies.check_not_judged(emergency)
    running = ReviewReading.objects.under_way_for(by).filter(emergency=emergency).first()
    if running:
        return running
    reading = ReviewReading.objects.create(emergency=emergency, reviewer=by, ends_at=Now() + READS_FOR)
    audit.record(audit.Type.REVIEW_OPENED, emergency, by=by, basis=BASIS, subjects=subjects_of(emergency, BASIS))
    return reading


@transaction.atomic
def ask(emergency: EmergencyAccess, question: str, *, by: User) -> None:
    """Ask the guest for an explanation; they read it when they next come here."""
    policies.check_can_review(by, emergency)
    emergency.move_to(Status.QUESTIONED, question=question.strip()[:LONGEST], questioned_at=Now(), answer="")
    audit.record(audit.Type.EMERGENCY_QUESTIONED, emergency, by=by)


@transaction.atomic
def judge(emergency: EmergencyAccess, *, by: User, justified: bool, note: str, pause: bool = False) -> None:
    """Close the review. One that was not justified ends at once if it lasts; `pause` suspends the guest as well.

    Raises IllegalTransition when somebody else judged it meanwhile. The privacy officers are told of every one that
    was not justified (partners/alerts.py).
    """
    policies.check_can_review(by, emergency)
    outcome = Status.JUSTIFIED if justified else Status.NOT_JUSTIFIED
    emergency.move_to(outcome, reviewed_by=by, reviewed_at=Now(), note=note.strip()[:LONGEST])
    if not justified:
        EmergencyAccess.objects.under_way().filter(pk=emergency.pk).update(ended_at=Now())
    subjects = subjects_of(emergency)
    detail = {"outcome": outcome, "guest": str(emergency.guest_id)}
    audit.record(audit.Type.EMERGENCY_REVIEWED, emergency, by=by, reason=note, subjects=subjects, detail=detail)
    if pause and not justified:
        suspend(emergency, by=by)


def suspend(emergency: EmergencyAccess, *, by: User) -> None:
    """Pause all access of the guest, and end their sessions. For use inside a verb."""
    Suspension.objects.create(user_id=emergency.guest_id, reason=Suspension.Reason.SECURITY, note=note_of(emergency))
    ended = sessions.end_all(emergency.guest_id)
    detail = {"guest": str(emergency.guest_id), "sessions": ended}
    audit.record(audit.Type.ACCESS_PAUSED, emergency, by=by, reason="emergency access not justified", detail=detail)


def note_of(emergency: EmergencyAccess) -> str:
    """What marks a suspension as the one of this review."""
    return f"emergency access {emergency.pk}"


def pauses_of(emergency: EmergencyAccess) -> SuspensionQuerySet:
    """The pause that this review brought, while it lasts. Others of the same person are not its matter."""
    open_ones = Suspension.objects.open().filter(user=emergency.guest_id, reason=Suspension.Reason.SECURITY)
    return open_ones.filter(note=note_of(emergency))


@transaction.atomic
def lift_pause(emergency: EmergencyAccess, *, by: User) -> bool:
    """Let the guest go on after a talk with the partner. False when it was lifted already."""
    policies.check_can_review(by, emergency)
    if not pauses_of(emergency).update(lifted_at=Now()):
        return False
    audit.record(audit.Type.ACCESS_RESUMED, emergency, by=by, detail={"guest": str(emergency.guest_id)})
    return True


def due_words(emergency: EmergencyAccess) -> str:
    """How long there is for the review, or how late it is."""
    assert emergency.due_at is not None  # noqa: S101 - for the type checker: it has begun
    hours = round((emergency.due_at - timezone.now()).total_seconds() / 3600)
    if hours < 0:
        return ngettext("%(num)s hour late", "%(num)s hours late", -hours) % {"num": -hours}
    return ngettext("within %(num)s hour", "within %(num)s hours", hours) % {"num": hours}


def of_reviewer(emergency_id: UUID, *, by: User) -> EmergencyAccess:
    """Raises EmergencyAccess.DoesNotExist for what has not begun."""
    policies.check_is_reviewer(by)
    begun = EmergencyAccess.objects.filter(started_at__isnull=False)
    return begun.select_related("guest", "organisation", "reviewed_by").get(pk=emergency_id)
