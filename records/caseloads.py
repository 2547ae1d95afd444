"""Which patients belong to which partner's caseload: worked out from events of care in our own feeds.

A partner is recognised in a feed by an Organization whose identifier of system `urn:clinicportal:partner` is
`Organisation.key`. Its departments (`partOf`), its Locations, its PractitionerRoles and the Practitioners who work
nowhere else count as the partner. Each basis has a start, an end and a tail:

| basis | in force | ends |
| --- | --- | --- |
| registration | Patient.generalPractitioner or managingOrganization is the partner; active, not replaced | when it no longer is |
| encounter | Encounter.serviceProvider, or hospitalization origin or destination; not cancelled | 90 days after the end of the stay |
| care team | CareTeam.participant (member, onBehalfOf) or managingOrganization; from the period's start | 14 days after the team's, or that participant's, end |
| referral | ServiceRequest.requester or performer is the partner; an order, not revoked | 180 days after authoredOn |
| appointment | Appointment.participant.actor is the partner; booked or kept; from a day before | 14 days after its end |
| list | a member of a Group whose managingEntity, or an entry of a List whose source, is the partner | 14 days after the list's, or that place's, end; now when taken off it |

A completed referral keeps its tail: its results come then. Nothing ties a patient whom the source has deleted. Which
of these fill a caseload is `Caseload.filled_by`. Who is in a caseload by hand (records/byhand.py), or without evidence,
is never touched. The demo set's visits are years old, so a source may instead register each patient with the
organisation of their latest wellness visit (`Source.registers_by_latest_visit`, see `by_latest_visit`).
"""  # noqa: E501 - a table

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Exists
from django.utils import timezone

from records.ids import texts_of_ids
from records.importing.references import literal
from records.models import Caseload, FeedStop, Membership, Organisation, Patient, Resource, Source, events_of_care
from records.sections import BY_TYPE
from records.texts import one_by_one
from records.times import end_of, start_of

PARTNER_SYSTEM = "urn:clinicportal:partner"

AFTER_ENCOUNTER = timedelta(days=90)
AFTER_CARE_TEAM = timedelta(days=14)
AFTER_REFERRAL = timedelta(days=180)
BEFORE_APPOINTMENT = timedelta(days=1)
AFTER_APPOINTMENT = timedelta(days=14)
AFTER_LIST = timedelta(days=14)

NEVER_HAPPENED = {"cancelled", "entered-in-error"}
STILL_THERE = {"in-progress", "arrived", "triaged", "onleave"}
NO_ORDER = {"draft", "revoked", "entered-in-error", "unknown"}
NO_INTENT = {"proposal", "plan", "option"}
NO_TEAM = {"proposed", "entered-in-error"}
TO_BE_KEPT = {"booked", "arrived", "checked-in", "fulfilled"}
"""Not who only asked for a time, waits for one, cancelled, or did not come."""

Basis = Membership.Basis


@dataclass(frozen=True)
class Tie:
    """One event of care that ties a patient to a partner. `starts_at` None: since we know of it."""

    patient_id: UUID
    organisation_id: UUID
    basis: str
    starts_at: datetime | None
    ends_at: datetime | None
    evidence: str

    def strength(self) -> tuple[Any, ...]:
        """What makes one tie count before another of the same basis: begun already, and lasting longer."""
        now = timezone.now()
        begun = self.starts_at is None or self.starts_at <= now
        forever = datetime.max.replace(tzinfo=now.tzinfo)
        return begun, self.ends_at or forever, self.evidence


@dataclass
class Changes:
    """What `refresh` did to the memberships of a source's patients."""

    started: int = 0
    changed: int = 0
    ended: int = 0
    assigned: Counter[str] = field(default_factory=Counter)
    """Patients registered by their latest visit, for each organisation's name; empty for real feeds."""


@dataclass(frozen=True)
class Found:
    """A resource that ties are read from."""

    patient_id: UUID
    evidence: str
    document: dict[str, Any]
    last_updated: datetime


# ---------------------------------------------------------------- who is a partner


def partners_in(source: Source, *, using: str = DEFAULT_DB_ALIAS) -> dict[str, UUID]:
    """The organisations of ours by what a feed calls them: `Type/id` of all that counts as one, and its key."""
    keys = Organisation.objects.using(using).exclude(key=None).values_list("key", "pk")
    by_key: dict[str, UUID] = {str(key): pk for key, pk in keys}
    found: dict[str, UUID] = {}
    parents: dict[str, str] = {}
    for target, organisation in read(source, "Organization", using=using):
        if pk := by_key.get(key_of(organisation)):
            found[target] = pk
        if parent := referred(organisation.get("partOf")):
            parents[target] = parent
    if found:
        add_departments(found, parents)
        add_places(found, read(source, "Location", using=using), "managingOrganization")
        add_places(found, read(source, "HealthcareService", using=using), "providedBy")
        add_people(found, lambda: read(source, "PractitionerRole", using=using))
    return {**by_key, **found}


Entry = tuple[str, dict[str, Any]]


def read(source: Source, kind: str, *, using: str) -> Iterator[Entry]:
    """`Type/id` and document of all that a source has of a directory's type: there may be millions."""
    rows = Resource.objects.using(using).filter(source=source, type=kind, tombstoned_at=None)
    for fhir_id, raw in one_by_one(rows, "fhir_id", "raw"):
        yield f"{kind}/{fhir_id}", orjson.loads(raw)


def key_of(organization: dict[str, Any]) -> str:
    identifiers = organization.get("identifier") or ()
    return next((str(one.get("value")) for one in identifiers if one.get("system") == PARTNER_SYSTEM), "")


def add_departments(found: dict[str, UUID], parents: dict[str, str]) -> None:
    grown = True
    while grown:
        new = {one: found[parent] for one, parent in parents.items() if parent in found and one not in found}
        found.update(new)
        grown = bool(new)


def add_places(found: dict[str, UUID], places: Iterable[Entry], run_by: str) -> None:
    for target, place in places:
        if (pk := found.get(referred(place.get(run_by)))) is not None:
            found[target] = pk


def add_people(found: dict[str, UUID], roles: Callable[[], Iterable[Entry]]) -> None:
    """Roles at a partner, and the people all of whose roles are there: who also works for us is not the partner.

    The roles are read twice, so that only those at a partner are in memory.
    """
    there: dict[str, UUID] = {}
    for target, person, employer in at_work(roles(), found):
        if employer:
            found[target] = there[person] = employer
    for _, person, employer in at_work(roles(), found) if there else ():
        if person in there and there[person] != employer:
            del there[person]
    there.pop("", None)
    found.update(there)


def at_work(roles: Iterable[Entry], found: dict[str, UUID]) -> Iterator[tuple[str, str, UUID | None]]:
    """`Type/id` of each role in use and of who has it, and the partner it is at."""
    for target, role in roles:
        if role.get("active") is not False:
            yield target, referred(role.get("practitioner")), found.get(referred(role.get("organization")))


def referred(reference: Any) -> str:
    """`Type/id` of a Reference element; empty when there is none."""
    asked = reference.get("reference") if isinstance(reference, dict) else None
    return (literal(asked) or "") if isinstance(asked, str) else ""


# ---------------------------------------------------------------- ties


TELLING = ("Patient", "Encounter", "CareTeam", "ServiceRequest", "Appointment")
"""The types that ties are read from."""


def ties_of(source: Source, patients: list[UUID], partners: dict[str, UUID], *, using: str) -> Iterator[Tie]:
    """Every tie between these patients and partners that the source's resources say, also those that are over."""
    readers = {
        "Patient": registrations,
        "Encounter": encounters,
        "CareTeam": care_teams,
        "ServiceRequest": referrals,
        "Appointment": appointments,
    }
    for kind, found in naming(source, patients, partners, using=using):
        yield from readers[kind](found, partners)


def naming(
    source: Source, patients: list[UUID], partners: dict[str, UUID], *, using: str
) -> Iterator[tuple[str, Found]]:  # fmt: skip
    """The telling resources of these patients with a partner's name anywhere in their text: few of many."""
    patterns = [f'%"{target}%' for target in partners if "/" in target]
    if not patterns:
        return
    with connections[using].cursor() as cursor:
        cursor.execute(
            """
            SELECT type, patient_id, fhir_id, raw, coalesce(last_updated, received_at) FROM records_resource
            WHERE patient_id = ANY (%s) AND section = ANY (%s) AND type = ANY (%s)
              AND source_id = %s AND tombstoned_at IS NULL AND raw LIKE ANY (%s)
              AND NOT EXISTS (SELECT 1 FROM records_feedstop f WHERE f.source_id = records_resource.source_id
                              AND f.resumed_at IS NULL AND f.hidden_since <= records_resource.received_at)
            """,
            [patients, SECTIONS, list(TELLING), source.pk, patterns],
        )
        for kind, patient_id, fhir_id, raw, last_updated in cursor.fetchall():
            yield kind, Found(patient_id, f"{kind}/{fhir_id}", orjson.loads(raw), last_updated)


SECTIONS = sorted({BY_TYPE[kind] for kind in TELLING})
"""So that the index by patient and section is used."""


def organisations_among(references: Iterable[Any], partners: dict[str, UUID]) -> set[UUID]:
    return {pk for one in references if (pk := partners.get(referred(one)))}


def registrations(found: Found, partners: dict[str, UUID]) -> Iterator[Tie]:
    patient = found.document
    replaced = any(link.get("type") == "replaced-by" for link in patient.get("link") or ())
    if patient.get("active") is False or replaced:
        return
    named = [*(patient.get("generalPractitioner") or ()), patient.get("managingOrganization")]
    for pk in organisations_among(named, partners):
        yield Tie(found.patient_id, pk, Basis.REGISTRATION, None, None, found.evidence)


def encounters(found: Found, partners: dict[str, UUID]) -> Iterator[Tie]:
    encounter = found.document
    stay = encounter.get("hospitalization") or {}
    named = [encounter.get("serviceProvider"), stay.get("origin"), stay.get("destination")]
    if encounter.get("status") in NEVER_HAPPENED:
        return
    period = encounter.get("period") or {}
    starts_at, ended_at = start_of(period.get("start")), end_of(period.get("end"))
    if ended_at is None and encounter.get("status") not in STILL_THERE:
        ended_at = starts_at
    if starts_at is None and ended_at is None:
        return
    ends_at = ended_at + AFTER_ENCOUNTER if ended_at else None
    for pk in organisations_among(named, partners):
        yield Tie(found.patient_id, pk, Basis.ENCOUNTER, starts_at or ended_at, ends_at, found.evidence)


def care_teams(found: Found, partners: dict[str, UUID]) -> Iterator[Tie]:
    team = found.document
    if team.get("status") in NO_TEAM:
        return
    members = [
        (participant.get("period") or {}, [participant.get("member"), participant.get("onBehalfOf")])
        for participant in team.get("participant") or ()
    ]
    of_team = team.get("period") or {}
    for period, named in [*members, ({}, team.get("managingOrganization") or ())]:
        ends = [end for end in (end_of(of_team.get("end")), end_of(period.get("end"))) if end]
        if not ends and team.get("status") in ("inactive", "suspended"):
            ends = [found.last_updated]
        ends_at = min(ends) + AFTER_CARE_TEAM if ends else None
        starts_at = start_of(period.get("start") or of_team.get("start"))
        for pk in organisations_among(named, partners):
            yield Tie(found.patient_id, pk, Basis.CARE_TEAM, starts_at, ends_at, found.evidence)


def referrals(found: Found, partners: dict[str, UUID]) -> Iterator[Tie]:
    request = found.document
    authored = start_of(request.get("authoredOn"))
    if authored is None or request.get("doNotPerform") is True:
        return
    if request.get("status") in NO_ORDER or request.get("intent") in NO_INTENT:
        return
    named = [request.get("requester"), *(request.get("performer") or ())]
    for pk in organisations_among(named, partners):
        yield Tie(found.patient_id, pk, Basis.REFERRAL, authored, authored + AFTER_REFERRAL, found.evidence)


def appointments(found: Found, partners: dict[str, UUID]) -> Iterator[Tie]:
    """Tomorrow's clinic: who will be seen there can be prepared for, without anybody asking."""
    appointment = found.document
    starts_at = start_of(appointment.get("start"))
    if starts_at is None or appointment.get("status") not in TO_BE_KEPT:
        return
    ends_at = (end_of(appointment.get("end")) or starts_at) + AFTER_APPOINTMENT
    named = [one.get("actor") for one in appointment.get("participant") or () if one.get("status") != "declined"]
    for pk in organisations_among(named, partners):
        yield Tie(
            found.patient_id, pk, Basis.APPOINTMENT, starts_at - BEFORE_APPOINTMENT, ends_at, found.evidence
        )  # fmt: skip


# ---------------------------------------------------------------- lists of patients

LISTING = ("Group", "List")
"""The types that name patients by the hundred; they are about no single one."""


def listed(source: Source, partners: dict[str, UUID], *, using: str) -> dict[UUID, list[Tie]]:
    """By patient, the ties that lists of our feed say: few texts of many members, so they are read once for all."""
    id_of = texts_of_ids(source.pk)
    hidden = FeedStop.objects.hiding(source="source", received_at="received_at")
    rows = Resource.objects.using(using).filter(source=source, type__in=LISTING, patient=None, tombstoned_at=None)
    found: dict[UUID, list[Tie]] = {}
    for kind, fhir_id, raw, last_updated, received_at in rows.exclude(Exists(hidden)).values_list(
        "type", "fhir_id", "raw", "last_updated", "received_at"
    ):
        document = orjson.loads(raw)
        places = of_group(document, last_updated or received_at) if kind == "Group" else of_list(document, received_at)
        organisations = organisations_among([document.get("managingEntity"), document.get("source")], partners)
        for place in places if organisations else ():
            if (target := referred(place.who)).startswith("Patient/"):
                patient_id = UUID(id_of(target))
                ends_at = place.ended_at + AFTER_LIST if place.ended_at else None
                found.setdefault(patient_id, []).extend(
                    Tie(patient_id, pk, Basis.LIST, place.starts_at, ends_at, f"{kind}/{fhir_id}")
                    for pk in organisations
                )
    return found


class Place(NamedTuple):
    """A patient's place on a list; None: since we know of it, without an end."""

    who: Any
    starts_at: datetime | None
    ended_at: datetime | None


def of_group(group: dict[str, Any], last_updated: datetime) -> Iterator[Place]:
    """A Group of real people (FHIR R4): not the description of some ("actual" false)."""
    if group.get("actual") is False or group.get("type", "person") != "person":
        return
    for member in group.get("member") or ():
        period = member.get("period") or {}
        ended_at = end_of(period.get("end"))
        if ended_at is None and (member.get("inactive") is True or group.get("active") is False):
            ended_at = last_updated
        yield Place(member.get("entity"), start_of(period.get("start")), ended_at)


def of_list(listing: dict[str, Any], received_at: datetime) -> Iterator[Place]:
    """A List (FHIR R4) as it stands: one that only tells of changes is none."""
    if listing.get("status") == "entered-in-error" or listing.get("mode") == "changes":
        return
    told = start_of(listing.get("date")) or received_at
    ended_at = told if listing.get("status") == "retired" else None
    for entry in listing.get("entry") or ():
        if entry.get("deleted") is not True:
            yield Place(entry.get("item"), start_of(entry.get("date")), ended_at)


# ---------------------------------------------------------------- the demo set

WELLNESS = [
    f"http://snomed.info/sct|{code}"
    for code in (
        "162673000",  # general examination of patient
        "410620009",  # well child visit
        "185349003",  # encounter for check up
    )
]


def by_latest_visit(source: Source, patients: list[UUID], *, using: str) -> Iterator[Tie]:
    """Each patient registered with the organisation of their latest wellness visit (else of their latest visit).

    The demo set's hundreds of organisations are shared out among the partners that have a caseload at the
    facility, by a hash of the organisation's id: the same one always goes to the same partner, whatever else
    is imported.
    """
    caseloads = Caseload.objects.using(using).filter(facility=source.facility_id).exclude(organisation__key=None)
    partners = list(caseloads.order_by("organisation__key").values_list("organisation", flat=True).distinct())
    if not partners:
        return
    with connections[using].cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT ON (patient_id) patient_id, fhir_id, raw, time FROM records_resource
            WHERE patient_id = ANY (%s) AND section = 'encounters' AND source_id = %s AND type = 'Encounter'
              AND tombstoned_at IS NULL
              AND NOT EXISTS (SELECT 1 FROM records_feedstop f WHERE f.source_id = records_resource.source_id
                              AND f.resumed_at IS NULL AND f.hidden_since <= records_resource.received_at)
            ORDER BY patient_id, code = ANY (%s) DESC, time DESC NULLS LAST, id
            """,
            [patients, source.pk, WELLNESS],
        )
        for patient_id, fhir_id, raw, time in cursor.fetchall():
            provider = (orjson.loads(raw).get("serviceProvider") or {}).get("reference", "")
            share = int.from_bytes(hashlib.sha256(provider.encode()).digest()[:8]) % len(partners)
            yield Tie(patient_id, partners[share], Basis.REGISTRATION, time, None, f"Encounter/{fhir_id}")


# ---------------------------------------------------------------- memberships


AT_ONCE = 500
"""Patients whose ties are in memory at a time."""


def refresh(source: Source, patients: Iterable[str] | None = None, *, using: str = DEFAULT_DB_ALIAS) -> Changes:
    """Bring the memberships of the source's patients into line with its resources. Again changes nothing.

    What a basis no longer supports ends now; what is kept by hand stays. `patients` names those to look at; None: all.
    """
    partners = partners_in(source, using=using)
    changes, shares = Changes(), Counter[UUID]()
    on_lists = listed(source, partners, using=using)
    for page in pages_of(source, patients, using=using):
        gone = deleted_among(page, using=using)
        visits = list(by_latest_visit(source, page, using=using)) if source.registers_by_latest_visit else []
        lists = [tie for one in page for tie in on_lists.get(one, ())]
        found = (*ties_of(source, page, partners, using=using), *lists, *visits)
        with transaction.atomic(using=using):
            write(source, page, strongest(tie for tie in found if tie.patient_id not in gone), changes, using=using)
        shares.update(tie.organisation_id for tie in visits)
    names = dict(Organisation.objects.using(using).values_list("pk", "name"))
    changes.assigned.update({names[pk]: number for pk, number in shares.items()})
    return changes


def pages_of(source: Source, patients: Iterable[str] | None, *, using: str) -> Iterator[list[UUID]]:
    """Those of `patients` who are the source's, AT_ONCE at a time; None: all of them."""
    everybody = Patient.objects.using(using).filter(source=source).order_by("pk").values_list("pk", flat=True)
    if patients is not None:
        named = sorted(patients)
        for start in range(0, len(named), AT_ONCE):
            yield list(everybody.filter(pk__in=named[start : start + AT_ONCE]))
        return
    page = list(everybody[:AT_ONCE])
    while page:
        yield page
        page = list(everybody.filter(pk__gt=page[-1])[:AT_ONCE])


def deleted_among(patients: list[UUID], *, using: str) -> set[UUID | None]:
    """Those whose Patient the source has deleted: its resource has the patient's id."""
    rows = Resource.objects.using(using).filter(pk__in=patients).exclude(tombstoned_at=None)
    return set(rows.values_list("patient_id", flat=True))


def strongest(ties: Iterable[Tie]) -> dict[tuple[UUID, UUID, str], Tie]:
    """One tie in force, now or later, for each (organisation, patient, basis)."""
    now = timezone.now()
    several: dict[tuple[UUID, UUID, str], list[Tie]] = {}
    for tie in ties:
        key = (tie.organisation_id, tie.patient_id, tie.basis)
        if tie.ends_at and tie.ends_at <= now:
            continue
        several.setdefault(key, []).append(tie)
    return {key: joined(those) for key, those in several.items()}


def joined(ties: list[Tie]) -> Tie:
    """The strongest, until the end of those that begin before it is over: no gap between two visits."""
    strongest = max(ties, key=Tie.strength)
    for tie in sorted(ties, key=lambda one: one.starts_at or datetime.min.replace(tzinfo=UTC)):
        if strongest.ends_at is None or (tie.starts_at and tie.starts_at > strongest.ends_at):
            break
        if tie.ends_at is None or tie.ends_at > strongest.ends_at:
            strongest = replace(strongest, ends_at=tie.ends_at)
    return strongest


def write(
    source: Source, patients: list[UUID], ties: dict[tuple[UUID, UUID, str], Tie], changes: Changes, *, using: str
) -> None:  # fmt: skip
    memberships = Membership.objects.using(using)
    caseloads = list(Caseload.objects.using(using).filter(facility=source.facility_id))
    wanted = {
        (caseload.pk, tie.patient_id, str(tie.basis)): tie
        for tie in ties.values()
        for caseload in caseloads
        if caseload.organisation_id == tie.organisation_id and tie.basis in caseload.filled_by
    }
    theirs = memberships.filter(caseload__in=caseloads, patient__in=patients, basis__in=events_of_care())
    standing = {(one.caseload_id, one.patient_id, one.basis): one for one in theirs}
    now = timezone.now()

    new = [
        Membership(
            caseload_id=caseload, patient_id=patient, basis=basis, evidence=tie.evidence,
            starts_at=tie.starts_at or now, ends_at=tie.ends_at,
        )
        for (caseload, patient, basis), tie in wanted.items()
        if (caseload, patient, basis) not in standing
    ]  # fmt: skip
    known = [(standing[key], tie) for key, tie in wanted.items() if key in standing]
    changed = [one for one, tie in known if one.evidence and bring_into_line(one, tie, now)]
    ended = [one for key, one in standing.items() if key not in wanted and one.evidence and goes_on(one, now)]
    for one in ended:
        one.ends_at = now
    memberships.bulk_create(new, batch_size=1_000)
    memberships.bulk_update([*changed, *ended], ["evidence", "starts_at", "ends_at"], batch_size=1_000)
    changes.started += len(new)
    changes.changed += len(changed)
    changes.ended += len(ended)


def goes_on(membership: Membership, now: datetime) -> bool:
    return membership.ends_at is None or membership.ends_at > now


def bring_into_line(membership: Membership, tie: Tie, now: datetime) -> bool:
    """Whether anything about the membership had to change. One that had ended begins again now."""
    starts_at = tie.starts_at or (membership.starts_at if goes_on(membership, now) else now)
    facts = (tie.evidence, starts_at, tie.ends_at)
    if facts == (membership.evidence, membership.starts_at, membership.ends_at):
        return False
    membership.evidence, membership.starts_at, membership.ends_at = facts
    return True
