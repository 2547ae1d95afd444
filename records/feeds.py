"""Feeds as people see them: how current each is, whether it is late, and how it is stopped and resumed.

"Wrong patients in the feed": one operator stops it, and from that moment all that it brought since a time is hidden
from everybody, by both walls, whatever else would let it through. Resuming takes two people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest, Now
from django.utils import timezone
from django.utils.translation import gettext as _

from clinicportal import audit
from clinicportal.doorbell import ring
from clinicportal.models import AuditEvent, AuditSubject, StaffRole, User
from clinicportal.rules import Denied
from records import caseloads
from records.models import FeedStop, Section, Source

# ---------------------------------------------------------------- how current


@dataclass(frozen=True)
class Standing:
    """How current the records of a facility are: what a chart says as "up to <time> from <facility>"."""

    facility: str
    up_to: datetime | None
    """None: nothing was ever imported."""
    late: bool
    stopped: bool
    """Whether something that came is held back for now."""


def standing(facilities: Iterable[UUID]) -> list[Standing]:
    """How current each of these facilities is, by name; one query.

    Of several feeds the one that is furthest behind counts; one that nobody expects anything of counts only when
    there is no other.
    """
    stopped = FeedStop.objects.open().values("source")
    sources = Source.objects.filter(facility__in=facilities).annotate(is_stopped=Q(pk__in=stopped))
    by_facility: dict[str, list[Source]] = {}
    for source in sources.select_related("facility").order_by("facility__name"):
        by_facility.setdefault(source.facility.name, []).append(source)
    return [of_facility(name, theirs) for name, theirs in by_facility.items()]


def of_facility(name: str, sources: list[Source]) -> Standing:
    expected = [source for source in sources if source.expected_within]
    times = [source.imported_up_to for source in expected or sources if source.imported_up_to]
    up_to = None if not times else min(times) if expected else max(times)
    stopped = any(source.is_stopped for source in sources)  # type: ignore[attr-defined]
    return Standing(name, up_to, any(is_late(source) for source in expected), stopped)


def is_late(source: Source) -> bool:
    """Whether its newest data are older than expected. What was never imported is late as soon as it is expected."""
    if source.expected_within is None:
        return False
    since = late_since(source)
    return since is None or timezone.now() > since


def late_since(source: Source) -> datetime | None:
    """When its newest data become too old; None: there are none."""
    return source.imported_up_to + source.expected_within if source.imported_up_to and source.expected_within else None


def late() -> list[Source]:
    """The feeds that are late now. One that is stopped is not: whoever stopped it knows."""
    stopped = FeedStop.objects.open().values("source")
    expected = Source.objects.exclude(expected_within=None).exclude(pk__in=stopped).select_related("facility")
    return [source for source in expected if is_late(source)]


# ---------------------------------------------------------------- stopping and resuming


def check_runs_feeds(user: User) -> None:
    if not user.has_role(StaffRole.OPERATOR):
        raise Denied(_("Only an operator can look after feeds"))


def check_can_see_who_saw(user: User) -> None:
    if not (user.has_role(StaffRole.OPERATOR) or user.has_role(StaffRole.PRIVACY)):
        raise Denied(_("Only an operator or a privacy officer can see who opened these records"))


def check_can_confirm(user: User, stop: FeedStop) -> None:
    check_can_see_who_saw(user)
    if stop.resume_asked_by_id == user.pk:
        raise Denied(_("Somebody else must confirm that the feed can go on: a second operator or a privacy officer."))


class AlreadyStopped(Denied):
    """Somebody stopped this feed a moment ago."""


@transaction.atomic
def stop(source: Source, *, hidden_since: datetime, reason: str, by: User) -> FeedStop:
    """Hide, from this moment, all that `source` brought since a time, and take nothing from it until it is resumed.

    Memberships that rest on what is hidden end as soon as the worker is there (`settle`).
    """
    check_runs_feeds(by)
    try:
        with transaction.atomic():
            stopped = FeedStop.objects.create(source=source, hidden_since=hidden_since, reason=reason, stopped_by=by)
    except IntegrityError:
        raise AlreadyStopped(_("This feed is stopped already")) from None
    facts = {"source": source.name, "since": hidden_since.isoformat()}
    audit.record(audit.Type.FEED_STOPPED, stopped, by=by, reason=reason, detail=facts)
    nudge_after_commit()
    return stopped


@transaction.atomic
def ask_to_resume(stop: FeedStop, *, note: str, by: User) -> None:
    """Say that the feed is right again; somebody else has to confirm it. Asking again replaces who asked."""
    check_runs_feeds(by)
    if FeedStop.objects.open().filter(pk=stop.pk).update(
        resume_asked_by=by, resume_asked_at=Now(), resume_note=note
    ):  # fmt: skip
        audit.record(audit.Type.FEED_RESUME_ASKED, stop, by=by, reason=note, detail={"source": stop.source.name})


@transaction.atomic
def resume(stop: FeedStop, *, by: User) -> None:
    """Show again what was hidden and go on taking what arrives: the word of a second person."""
    stop = FeedStop.objects.select_for_update(of=("self",)).select_related("source").get(pk=stop.pk)
    if stop.resume_asked_by_id is None:
        raise Denied(_("First one person asks to resume the feed and says why; then another confirms it."))
    check_can_confirm(by, stop)
    if FeedStop.objects.open().filter(pk=stop.pk).update(resumed_by=by, resumed_at=Now()):
        audit.record(audit.Type.FEED_RESUMED, stop, by=by, detail={"source": stop.source.name})
        nudge_after_commit()


def nudge_after_commit() -> None:
    from records import tasks  # the broker is the tasks' business

    transaction.on_commit(partial(ring, tasks.settle_stops))


def is_stopped(source: Source, *, using: str = DEFAULT_DB_ALIAS) -> bool:
    return FeedStop.objects.using(using).open().filter(source=source).exists()


def settle(*, using: str = DEFAULT_DB_ALIAS) -> int:
    """Bring memberships into line with every stop and resumption since the last time, and note whom each concerns.

    Safe to repeat; returns how many there were. For the worker, who may read what is hidden.
    """
    due = FeedStop.objects.using(using).filter(
        Q(settled_at=None) | Q(resumed_at__isnull=False, settled_at__lt=F("resumed_at"))
    )
    number = 0
    for stop in due.select_related("source"):
        if stop.patients is None:
            FeedStop.objects.using(using).filter(pk=stop.pk).update(patients=patients_of(stop, using=using))
        caseloads.refresh(stop.source, using=using)
        settled = Greatest(F("stopped_at"), F("resumed_at"))  # not "now": it may be resumed while this runs
        FeedStop.objects.using(using).filter(pk=stop.pk, resumed_at=stop.resumed_at).update(settled_at=settled)
        number += 1
    return number


BROUGHT = """
SELECT patient_id FROM records_resource
WHERE source_id = %(source)s AND received_at >= %(since)s AND patient_id IS NOT NULL
UNION SELECT a.patient_id FROM records_alsoabout a JOIN records_resource r ON r.id = a.resource_id
WHERE r.source_id = %(source)s AND r.received_at >= %(since)s
UNION SELECT from_patient FROM records_move WHERE source_id = %(source)s AND moved_at >= %(since)s
"""


def patients_of(stop: FeedStop, *, using: str) -> list[UUID]:
    """The patients about whom the feed brought anything since the stop's time."""
    with connections[using].cursor() as cursor:
        cursor.execute(BROUGHT, {"source": stop.source_id, "since": stop.hidden_since})
        return [patient_id for (patient_id,) in cursor.fetchall()]


# ---------------------------------------------------------------- who had seen it

SHOWN = 500


@dataclass(frozen=True)
class Seen:
    """One person who opened, or was listed, one of the patients concerned."""

    user_name: str
    identity: str
    organisation_id: UUID | None
    patient_id: UUID
    section: str
    """Empty for a list of patients."""
    when: datetime


def who_saw(
    patients: Sequence[UUID], *, since: datetime, until: datetime | None = None, section: str = "", by: User, why: str
) -> list[Seen]:
    """Who opened a record of these patients between two times, newest first, at most SHOWN; reading it is audited.

    `section` restricts it to the pages on which entries of that section stand. `why` goes into the trail.
    """
    check_can_see_who_saw(by)
    found = read_trail(patients, since, until, pages_showing(section))
    with transaction.atomic():
        detail = {"patients": len(patients), "shown": len(found)}
        audit.record(audit.Type.AUDIT_READ, by=by, reason=why, detail=detail)
    return found


LOOKED = [audit.Type.RECORD_OPENED, audit.Type.PATIENTS_LISTED]


IN_THE_BANNER = {Section.DEMOGRAPHICS, Section.ALLERGIES}
OF_ALL_SECTIONS = {"summary", "print", "timeline"}


def pages_showing(section: str) -> set[str]:
    """The pages of a record, as the trail names them, on which entries of a section stand; empty for every page."""
    if not section or section in IN_THE_BANNER:
        return set()
    return {"care" if section == Section.CARE_PLANS else section, *OF_ALL_SECTIONS}


def read_trail(patients: Sequence[UUID], since: datetime, until: datetime | None, sections: set[str]) -> list[Seen]:
    times = {"recorded__gte": since, **({"recorded__lt": until} if until else {})}
    subjects = AuditSubject.objects.using("auditor").filter(patient_id__in=list(patients), **times)
    patients_by_event: dict[UUID, list[UUID]] = {}
    for event_id, patient_id in subjects.values_list("event_id", "patient_id"):
        patients_by_event.setdefault(event_id, []).append(patient_id)
    events = AuditEvent.objects.using("auditor").filter(id__in=list(patients_by_event), type__in=LOOKED, **times)
    if sections:
        events = events.filter(section__in=sections)
    found = [
        Seen(event.user_name, event.identity, event.organisation_id, patient_id, event.section, event.recorded)
        for event in events.order_by("-recorded")[:SHOWN]
        for patient_id in patients_by_event[event.id]
    ]
    return found[:SHOWN]
