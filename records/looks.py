"""When a guest last looked at a record, and what came since.

A visit goes on while pages of the record are opened within half an hour of each other: what was new when it began is
new on each of its pages. The mark is of one guest and one patient, kept behind the wall.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import ProgrammingError
from django.db.models import F, Value
from psycopg.errors import InsufficientPrivilege

from clinicportal.models import User
from records.compiled import Allowed, IsAnyOf, Reading, run
from records.display.news import COUNTED, News
from records.models import Patient

VISIT = timedelta(minutes=30)
MARGIN = timedelta(minutes=2)
"""A row carries the time when its import's batch began: one that was on its way when somebody looked is new to them."""
MOST_NEWS = 200

NOTE = """
INSERT INTO records_look (user_id, patient_id, since, at) VALUES (%s, %s, NULL, statement_timestamp())
ON CONFLICT (user_id, patient_id) DO UPDATE SET
    since = CASE WHEN records_look.at < statement_timestamp() - %s::interval THEN records_look.at
                 ELSE records_look.since END,
    at = statement_timestamp()
RETURNING since
"""


class Closed(Exception):
    """The record is not open to the reader, or no longer: the wall takes their mark for no other."""


def note(patient: Patient, *, by: User) -> datetime | None:
    """Write down that `by` looks now; return when their earlier visit ended, None when there was none.

    Raises Closed when the record is not open to them at this moment; the transaction can't go on then.
    """
    try:
        [(since,)] = run(NOTE, [by.pk, patient.pk, VISIT])  # prepared: planning the wall would be most of it
    except ProgrammingError as error:
        if isinstance(error.__cause__, InsufficientPrivilege):
            raise Closed from error
        raise
    return since


COLUMNS = ("id", "type", "section", "status", "number", "raw", "patient", "medication")
PATIENT, SINCE, PATIENTS = uuid.uuid4(), datetime(1, 2, 3, 4, 5, 6, 8, tzinfo=UTC), [uuid.uuid4()]


def _news(allowed: Allowed, patient: UUID, since: datetime) -> Any:
    held = allowed.resources.filter(patient=patient, received_at__gt=since, section__isnull=False)
    return held.order_by("-received_at", "-id").values_list(*COLUMNS)[:MOST_NEWS]


NEWS = Reading(_news, patient=PATIENT, since=SINCE)


def news(patient: Patient, since: datetime, *, by: User) -> list[News]:
    """What of the patient's record came or changed after `since`, the newest first."""
    return [News(*values) for values in NEWS(by, patient=patient.pk, since=since - MARGIN)]


@dataclass(frozen=True)
class Seen:
    """When somebody last opened a patient's record, and what came since."""

    at: datetime
    news: tuple[News, ...] = ()


def _news_of(allowed: Allowed, patients: list[UUID]) -> Any:
    held = allowed.resources.filter(
        IsAnyOf("patient_id", patients),
        patient__looks__user=allowed.user,
        received_at__gt=F("patient__looks__at") - Value(MARGIN),
        type__in=sorted(COUNTED),
        section__isnull=False,
    )
    return held.order_by("-received_at", "-id").values_list(*COLUMNS)[:MOST_NEWS]


NEWS_OF = Reading(_news_of, patients=PATIENTS)


def seen(marks: Mapping[UUID, datetime], *, by: User) -> dict[UUID, Seen]:
    """What came since, for patients whom `by` opened before, at the times of `marks`."""
    if not marks:
        return {}
    found: dict[UUID, list[News]] = {patient: [] for patient in marks}
    for one in (News(*values) for values in NEWS_OF(by, patients=list(marks))):
        found[one.patient].append(one)  # type: ignore[index]
    return {patient: Seen(at, tuple(found[patient])) for patient, at in marks.items()}
