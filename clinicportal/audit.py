"""The audit trail: `record` is its only writer, `trail` its only reader.

What was seen is written in the transaction that reads, before rendering: no row, no record. What was
refused is written in a transaction of its own, since the answer to a refusal rolls the request's back.
Events hold ids and reasons, never clinical values.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import connection, connections, models, transaction
from django.utils.crypto import salted_hmac

from clinicportal.models import AuditEvent, User

FORMAT = 1
"""Version of `canonical`: a change of fields or of their encoding gets a new number, old rows keep theirs."""


class Type(models.TextChoices):
    """What happened. The value is stored; it never changes its meaning."""

    SIGNED_IN = "signed-in"
    SIGN_IN_REFUSED = "sign-in-refused"
    SIGNED_OUT = "signed-out"
    SESSION_ENDED = "session-ended"
    STEPPED_UP = "stepped-up"
    STEP_UP_REFUSED = "step-up-refused"
    CONTEXT_ATTESTED = "context-attested"
    TERMS_ACCEPTED = "terms-accepted"
    ORGANISATION_CHOSEN = "organisation-chosen"
    REFUSED = "refused"

    ACCESS_ASKED = "access-asked"
    ACCESS_WITHDRAWN = "access-withdrawn"
    QUESTION_ASKED = "question-asked"
    QUESTION_ANSWERED = "question-answered"
    ACCESS_APPROVED = "access-approved"
    ACCESS_DECLINED = "access-declined"
    ACCESS_CHANGED = "access-changed"
    ACCESS_ENDED = "access-ended"
    PROVISIONED = "provisioned"
    PROVISIONING_PARKED = "provisioning-parked"
    PROVISIONING_RESUMED = "provisioning-resumed"
    INVITATION_SENT = "invitation-sent"
    INVITATION_OPENED = "invitation-opened"
    INVITATION_DECLINED = "invitation-declined"
    INVITATION_REDEEMED = "invitation-redeemed"
    INVITATION_ACCEPTED = "invitation-accepted"
    WRONG_ACCOUNT = "wrong-account"
    REDEMPTION_RESET = "redemption-reset"
    RESET_CONFIRMED = "reset-confirmed"
    RESET_REFUSED = "reset-refused"
    ADDRESS_CHANGED = "address-changed"
    ACCESS_PAUSED = "access-paused"
    ACCESS_RESUMED = "access-resumed"
    INCIDENT_CLOSED = "incident-closed"

    PATIENTS_LISTED = "patients-listed"
    RECORD_OPENED = "record-opened"
    RECORD_REFUSED = "record-refused"
    RECORD_PRINTED = "record-printed"
    RECORD_TAKEN = "record-taken"
    RECORD_REPORTED = "record-reported"
    REPORT_CLOSED = "report-closed"
    LOOKED_UP = "looked-up"
    LOOK_UP_OPENED = "look-up-opened"
    LOOK_UP_CAPPED = "look-up-capped"
    LOOK_UP_REVIEWED = "look-up-reviewed"

    EMERGENCY_ASKED = "emergency-asked"
    EMERGENCY_BEGUN = "emergency-begun"
    EMERGENCY_ENDED = "emergency-ended"
    EMERGENCY_QUESTIONED = "emergency-questioned"
    EMERGENCY_EXPLAINED = "emergency-explained"
    EMERGENCY_REVIEWED = "emergency-reviewed"
    REVIEW_OPENED = "review-opened"

    AUDIT_READ = "audit-read"
    IMPORTED = "imported"
    FEED_STOPPED = "feed-stopped"
    FEED_RESUME_ASKED = "feed-resume-asked"
    FEED_RESUMED = "feed-resumed"
    FEED_UPLOADED = "feed-uploaded"
    FEED_CHANGED = "feed-changed"
    REJECTIONS_EXPORTED = "rejections-exported"
    MOVE_CLOSED = "move-closed"
    RELABELLED = "relabelled"
    LABEL_REQUESTED = "label-requested"
    WHY_ASKED = "why-asked"
    BY_HAND_ENTERED = "by-hand-entered"
    BY_HAND_CONFIRMED = "by-hand-confirmed"
    BY_HAND_DECLINED = "by-hand-declined"
    BY_HAND_WITHDRAWN = "by-hand-withdrawn"
    BY_HAND_DONE = "by-hand-done"


OF_RECORDS = (Type.RECORD_OPENED, Type.RECORD_PRINTED, Type.RECORD_TAKEN, Type.RECORD_REPORTED)
"""What somebody does with a record that is open to them."""


def in_words(type: str) -> str:
    """A type for people: "Record opened". One that a later version wrote stays as it is."""
    return Type(type).label.capitalize() if type in Type.values else type


@dataclass(frozen=True)
class Origin:
    """Where an act comes from: the request at hand, or nothing for a worker."""

    source_ip: str = ""
    request_id: str = ""
    session: str = ""


NOWHERE = Origin()
origin: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)


def session_hash(key: str | None) -> str:
    """A stable name for a session that does not let anyone take it over."""
    return salted_hmac("clinicportal.audit.session", key, algorithm="sha256").hexdigest()[:16] if key else ""


@dataclass(frozen=True)
class Subject:
    """A patient whom an event concerns, and the grant and basis by which the record was opened."""

    patient_id: uuid.UUID
    grant_id: uuid.UUID | None = None
    basis: str = ""


@dataclass(frozen=True)
class Entry:
    """One event before it has a time."""

    type: Type
    outcome: str = "success"
    by: User | AnonymousUser | None = None
    identity: str = ""
    object_type: str = ""
    object_id: str = ""
    section: str = ""
    basis: str = ""
    reason: str = ""
    organisation_id: uuid.UUID | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    subjects: tuple[Subject, ...] = ()


def record(
    type: Type, thing: models.Model | None = None, *, by: User | AnonymousUser | None = None, **facts: Any
) -> uuid.UUID:
    """Append one event about `thing` to the trail, in the current transaction; return its id.

    `facts` are the fields of `Entry`; `subjects` may be any iterable. The database stamps the time.
    """
    facts["subjects"] = tuple(facts.get("subjects", ()))
    if thing is not None:
        facts.update(object_type=thing._meta.label_lower, object_id=str(thing.pk))
    return _append(Entry(type=type, by=by, **facts))


def record_refusal(entry: Entry) -> uuid.UUID:
    """Append what was refused, in a transaction of its own: call it when the request's is rolled back."""
    with transaction.atomic(durable=True):
        return _append(replace(entry, outcome="refused"))


def _append(entry: Entry) -> uuid.UUID:
    event_id = uuid.uuid4()
    here = origin.get()
    by = entry.by if isinstance(entry.by, User) else None
    row = {
        "id": event_id,
        "type": str(entry.type),
        "outcome": entry.outcome,
        "user_id": by and by.pk,
        "identity": entry.identity or (f"{by.tenant_id}:{by.object_id}" if by else ""),
        "user_name": by.display_name if by else "",
        "organisation_id": entry.organisation_id or (by.acting_for if by else None),
        "object_type": entry.object_type,
        "object_id": entry.object_id,
        "section": str(entry.section),
        "basis": entry.basis,
        "reason": entry.reason,
        "detail": json.dumps(entry.detail, sort_keys=True),
        "source_ip": here.source_ip,
        "request_id": here.request_id,
        "session": here.session,
        "software": settings.VERSION,
        "format": FORMAT,
    }
    columns = ", ".join(row)
    marks = ", ".join(["%s"] * len(row))
    subjects = entry.subjects
    # One statement, so that event and subjects carry the same time and cost one round trip. No RETURNING:
    # the web role may not read the trail.
    sql = f"""
        WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS recorded),
        event AS (INSERT INTO clinicportal_auditevent (recorded, {columns}) SELECT recorded, {marks} FROM stamp)
        INSERT INTO clinicportal_auditsubject (recorded, event_id, patient_id, grant_id, basis)
        SELECT recorded, %s, s.patient_id, s.grant_id, s.basis
        FROM stamp, unnest(%s::uuid[], %s::uuid[], %s::text[]) AS s (patient_id, grant_id, basis)
    """  # noqa: S608 - column names are the keys above
    params: list[Any] = [
        *row.values(),
        event_id,
        [s.patient_id for s in subjects],
        [s.grant_id for s in subjects],
        [s.basis for s in subjects],
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
    return event_id


def trail() -> models.QuerySet[AuditEvent]:
    """The events, newest first, through the auditor role. Reading them is audited by the caller."""
    return AuditEvent.objects.using("auditor").order_by("-recorded")


OPENINGS = """
    SELECT e.recorded, e.user_id, e.user_name, e.type, e.section, e.basis
    FROM clinicportal_auditsubject s
    JOIN clinicportal_auditevent e ON e.recorded = s.recorded AND e.id = s.event_id
    WHERE s.patient_id = %s AND s.recorded < coalesce(%s, 'infinity'::timestamptz) AND e.organisation_id = %s
      AND e.type = ANY (%s) AND e.outcome = 'success'
    ORDER BY s.recorded DESC LIMIT %s
"""
OPENED = [Type.RECORD_OPENED, Type.RECORD_PRINTED, Type.RECORD_TAKEN]


class Opening(NamedTuple):
    """Somebody opened, printed or took a patient's record."""

    recorded: datetime
    user_id: uuid.UUID | None
    user_name: str
    type: str
    section: str
    basis: str


def openings(
    patient_id: uuid.UUID, organisation_id: uuid.UUID | None, *, before: datetime | None, at_most: int
) -> list[Opening]:  # fmt: skip
    """Who of an organisation opened a patient's record, newest first, through the auditor role.

    Reading it is audited by the caller.
    """
    types = [str(one) for one in OPENED]
    with connections["auditor"].cursor() as cursor:
        cursor.execute(OPENINGS, [patient_id, before, organisation_id, types, at_most])
        return [Opening._make(row) for row in cursor.fetchall()]


CANONICAL_FIELDS = (
    "format", "id", "recorded", "type", "outcome", "user_id", "identity", "user_name", "organisation_id", "object_type",
    "object_id", "section", "basis", "reason", "detail", "source_ip", "request_id", "session", "software",
)  # fmt: skip


def canonical(event: AuditEvent, subjects: Iterable[Subject]) -> bytes:
    """The bytes that stand for an event with its subjects, the same wherever they are computed.

    JSON with sorted keys, no spaces, UTF-8; ids in lower-case text, times in UTC with six decimals
    (in the manner of RFC 8785, JSON Canonicalization Scheme). Raises ValueError for an unknown format.
    """
    if event.format != FORMAT:
        raise ValueError(f"audit format {event.format} is not known to this version")
    document: dict[str, Any] = {name: _plain(getattr(event, name)) for name in CANONICAL_FIELDS}
    document["subjects"] = sorted([str(s.patient_id), _plain(s.grant_id) or "", s.basis] for s in subjects)
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(value) if isinstance(value, uuid.UUID) else value
