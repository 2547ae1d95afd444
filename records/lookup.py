"""Looking up one patient outside of one's caseloads: by name, birth date, a number and a reason, or nobody.

`find` answers with one search that is written down; `open_found` turns it into a grant of that one patient which lasts
`LASTS` and only while the grant does whose right it was. Nobody, several and "not for you" are one answer: what makes
the difference stays in PostgreSQL (`records_look_up`), which sees what this role cannot.

A guest has so many searches a day (settings.LOOK_UPS_PER_DAY, LOOK_UP_TRIES_PER_DAY). They are rows, counted under a
lock on the guest, so that two at once cannot both be the last.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, Value
from django.db.models.functions import Least, Now
from django.utils import timezone
from django.utils.crypto import salted_hmac

from clinicportal import audit
from clinicportal.models import User
from clinicportal.viewing import must_be_viewer, viewing
from records import policies, tokens
from records.models import Grant, LookUp
from records.models.lookups import LookUpQuerySet

LASTS = timedelta(hours=24)
"""How long what was looked up can be read. Looking it up again begins a new time and shortens none."""
A_DAY = timedelta(hours=24)
OPEN_WITHIN = timedelta(minutes=15)
"""How long the page that asks "is this the person?" may be left open."""
LONGEST_REASON = LONGEST_NOTE = 500
PAGE = 200
"""Alerts on one page."""


@dataclass(frozen=True)
class Asked:
    """What was typed, folded like the tokens of a patient (records/tokens.py)."""

    names: tuple[str, ...]
    born: str
    """ISO, the whole date."""
    number: str
    facility: UUID
    """Whose patient, and whose record number if it is none that the whole country knows."""
    national: bool = False

    def values(self) -> list[Any]:
        """The parameters of `records_match`, on which everything that finds a patient is built."""
        systems = settings.NATIONAL_SYSTEMS if self.national else None
        return [list(self.names), self.born, self.number, self.facility, systems]

    def digest(self, attempt: UUID, reason: str) -> str:
        """What tells this search from another of the same form, and says nothing to whoever lacks our key."""
        text = repr((str(attempt), *self.values(), reason))
        return salted_hmac("records.lookup", text, algorithm="sha256").hexdigest()[:16]


def names_of(text: str) -> tuple[str, ...]:
    """The folded words of a typed name."""
    return tuple(tokens.words(text))


def number_of(text: str) -> str:
    """The folded letters and digits of a typed number."""
    return tokens.identifier(text)


class Capped(Exception):
    """The guest has had all searches of a day; `until` is when the next one is free."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


class Over(Exception):
    """What was found can no longer be opened: too long ago, or the right has ended."""


def match(what: Asked, *, by: User) -> tuple[UUID, UUID] | None:
    """The one patient whom `what` fits, with the grant by which `by` may look them up; None whatever else is the case.

    Runs inside `viewing(by)`.
    """
    must_be_viewer(by)
    with connection.cursor() as cursor:
        cursor.execute("SELECT patient_id, grant_id FROM records_look_up(%s, %s, %s, %s, %s)", what.values())
        return cursor.fetchone()


def find(what: Asked, *, by: User, reason: str, attempt: UUID) -> LookUp:
    """Search once, count it and write it down, found or not. The same form sent again gives the same search.

    Raises Denied without the right, Capped when the day's searches are used up.
    """
    rights = {right.pk: right for right in policies.check_can_look_up(by)}
    reason = reason[:LONGEST_REASON]
    digest = what.digest(attempt, reason)
    with viewing(by):
        User.objects.select_for_update(no_key=True).get(pk=by.pk)
        today = list(LookUp.objects.filter(Q(attempt=attempt) | Q(asked_at__gt=Now() - A_DAY), by=by))
        for known in today:
            if (known.attempt, known.typed, known.organisation_id) == (attempt, digest, by.acting_for):
                return known
        check_cap(today)
        patient_id, right = match(what, by=by) or (None, None)
        made = LookUp.objects.create(
            by=by,
            organisation_id=next(iter(rights.values())).organisation_id,
            attempt=attempt,
            typed=digest,
            reason=reason,
            patient_id=patient_id,
            right=rights.get(right) if right else None,
        )
        audit.record(
            audit.Type.LOOKED_UP,
            made,
            by=by,
            reason=reason,
            outcome="success" if patient_id else "failed",
            subjects=[audit.Subject(patient_id, right)] if patient_id else [],
        )
        return made


def check_cap(today: list[LookUp]) -> None:
    """Raises Capped. Under the lock that `find` takes, or a second search could pass it."""
    since = timezone.now() - A_DAY
    for most, is_found in ((settings.LOOK_UPS_PER_DAY, True), (settings.LOOK_UP_TRIES_PER_DAY, False)):
        times = sorted(
            one.asked_at for one in today if (one.patient_id is not None) == is_found and one.asked_at > since
        )
        if len(times) >= most:
            raise Capped((times[len(times) - most] if most else timezone.now()) + A_DAY)


def open_found(look_up_id: UUID, *, by: User) -> UUID:
    """Make what was found readable for `by`, and for nobody else; return the patient's id. Again changes nothing.

    Raises Denied without the right, LookUp.DoesNotExist for another's or one that found nobody, Over when it is late.
    """
    policies.check_can_look_up(by)
    with viewing(by):
        mine = LookUp.objects.select_for_update(no_key=True).found()
        found = mine.get(pk=look_up_id, by=by, organisation=by.acting_for)
        assert found.patient_id is not None  # noqa: S101 - for the type checker; `found()` says so
        if found.grant_id:
            return found.patient_id
        right = policies.rights_to_look_up(by).filter(pk=found.right_id).first()
        if right is None or found.asked_at < timezone.now() - OPEN_WITHIN:
            raise Over
        found.grant = give(right, found, by=by)
        found.save(update_fields=["grant"])
        subject = audit.Subject(found.patient_id, found.grant_id)
        audit.record(audit.Type.LOOK_UP_OPENED, found, by=by, reason=found.reason, subjects=[subject])
        return found.patient_id


def give(right: Grant, found: LookUp, *, by: User) -> Grant:
    """A grant of one patient under `right`: its sections and classes, its end if that comes before `LASTS`."""
    return Grant.objects.create(
        id=uuid.uuid4(),
        guest=by,
        organisation_id=right.organisation_id,
        patient_id=found.patient_id,
        under=right,
        sections=right.sections,
        classes=right.classes,
        purpose=found.reason,
        starts_at=Now(),
        ends_at=Least(Now() + LASTS, Value(right.ends_at)),
        given_by=right.given_by,
    )


def waiting() -> LookUpQuerySet:
    """Searches that nobody has looked at, the oldest first."""
    return LookUp.objects.unseen().select_related("by", "organisation", "grant").order_by("asked_at")


@transaction.atomic
def review(look_up: LookUp, *, by: User, note: str) -> bool:
    """Say what a privacy officer or a reviewer found about a search. False when a colleague was quicker."""
    policies.check_can_review_look_up(by, look_up)
    if not LookUp.objects.unseen().filter(pk=look_up.pk).update(reviewed_at=Now(), reviewed_by=by, note=note):
        return False
    subjects = [audit.Subject(look_up.patient_id, look_up.grant_id)] if look_up.patient_id else []
    audit.record(audit.Type.LOOK_UP_REVIEWED, look_up, by=by, reason=note, subjects=subjects)
    return True
