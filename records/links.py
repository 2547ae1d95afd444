"""Two patients who are one person: what is united at once when they are linked, and taken apart again.

Opt-outs and labels are united at once, in both directions and along chains of links: who refused or is protected
under one number is so under all. Memberships are not: a caseload that has one of them gets the other only after
review. What is united says where it came from, so that undoing a link takes back exactly that.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from records.labels import united
from records.models import ByHand, Caseload, Membership, OptOut, Patient, PatientLink, RequestedLabel, Resource
from records.models.byhand import Status
from records.request_labels import align
from records.settling import settle, unsettle_patients

UNITED = "united:"
"""Start of the evidence of an opt-out or a request that holds because of a link; the one it repeats follows."""
BY_HAND = "by hand "
"""Start of the evidence of what our staff did by hand; the id of the ByHand follows."""


def link(patient_id: UUID, other_id: UUID, *, kind: str, evidence: str, using: str = DEFAULT_DB_ALIAS) -> PatientLink:
    """Say that both are one person, by `evidence`; saying it again changes nothing.

    `kind` is a PatientLink.Kind; "replaced-by" says that `other_id` is the number to use.
    """
    with transaction.atomic(using=using):
        made, new = PatientLink.objects.using(using).get_or_create(
            patient_id=patient_id, other_id=other_id, undone_at=None, defaults={"kind": kind, "evidence": evidence}
        )
        if new and kind == PatientLink.Kind.REPLACED_BY:
            Patient.objects.using(using).filter(pk=patient_id).update(replaced_by=other_id)
        unite([patient_id], using=using)
        if new:
            propose_memberships(made, using=using)
    return made


def undo(link: PatientLink, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Take the link back, and all that was united because of it. The link stays on record."""
    with transaction.atomic(using=using):
        PatientLink.objects.using(using).filter(pk=link.pk, undone_at=None).update(undone_at=Now())
        replaced = Patient.objects.using(using).filter(pk=link.patient_id, replaced_by=link.other_id)
        replaced.update(replaced_by=None)
        unite([link.patient_id, link.other_id], using=using)
        take_proposals_back(link, using=using)


def propose_memberships(link: PatientLink, *, using: str) -> None:
    """Let somebody review whether caseloads that have one of them get the other: in force only when they say so.

    A caseload of the same organisation at the other record's facility; none where the organisation has none there, or
    the other is in one already.
    """
    pair = Patient.objects.using(using).select_related("source").in_bulk([link.patient_id, link.other_id])
    for one, other in ((link.patient_id, link.other_id), (link.other_id, link.patient_id)):
        if one not in pair or other not in pair:
            continue
        facility = pair[other].source.facility_id
        here = Membership.objects.using(using).in_force().filter(patient=one).select_related("caseload")
        there = set(
            Membership.objects.using(using)
            .in_force()
            .filter(patient=other, caseload__facility=facility)
            .values_list("caseload__organisation", flat=True)
        )
        for organisation, memberships in grouped(here).items():
            caseload = caseload_at(facility, organisation, [one.caseload for one in memberships], using=using)
            if caseload and organisation not in there:
                propose(link, caseload, other, longest(memberships), using=using)


def grouped(memberships: Iterable[Membership]) -> dict[UUID, list[Membership]]:
    found: dict[UUID, list[Membership]] = {}
    for one in memberships:
        found.setdefault(one.caseload.organisation_id, []).append(one)
    return found


def longest(memberships: list[Membership]) -> datetime | None:
    """When the last of them ends; None: one has no end."""
    ends = [one.ends_at for one in memberships]
    return None if None in ends else max(end for end in ends if end)


def caseload_at(facility: UUID, organisation: UUID, theirs: list[Caseload], *, using: str) -> Caseload | None:
    """The very caseload if it is of that facility, else the organisation's first there."""
    same = [one for one in theirs if one.facility_id == facility]
    return (
        same[0] if same else Caseload.objects.using(using).filter(facility=facility, organisation=organisation).first()
    )


def propose(
    link: PatientLink, caseload: Caseload, patient_id: UUID, ends_at: datetime | None, *, using: str
) -> None:  # fmt: skip
    facts = {"kind": ByHand.Kind.REVIEW, "link": link.pk, "evidence": link.evidence, "ends_at": ends_at}
    if not ByHand.objects.using(using).filter(
        caseload=caseload, patient_id=patient_id, status__in=ByHand.OPEN
    ).exists():  # fmt: skip
        ByHand.objects.using(using).create(caseload=caseload, patient_id=patient_id, **facts)


def take_proposals_back(link: PatientLink, *, using: str) -> None:
    """What was proposed because of the link falls, what was accepted because of it ends."""
    because = {"ended_at": Now(), "ended_because": _("The link was undone")}
    for entry in ByHand.objects.using(using).filter(link=link.pk, status__in=ByHand.OPEN):
        if entry.status == Status.ENTERED:
            entry.move_to(Status.DECLINED, using=using, **because)
        elif entry.status != Status.WITHDRAWN:
            rows = Membership.objects.using(using).filter(patient=entry.patient_id, evidence=f"{BY_HAND}{entry.pk}")
            rows.filter(Q(ends_at=None) | Q(ends_at__gt=Now())).update(ends_at=Now())
            entry.move_to(Status.WITHDRAWN, using=using, **because)
            entry.move_to(Status.OVER, using=using)


def unite(patient_ids: Iterable[UUID | str], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Bring opt-outs and labels of these patients and of all whom they are linked with into line. Idempotent."""
    done: set[UUID] = set()
    for patient_id in (UUID(str(one)) for one in patient_ids):
        if patient_id not in done:
            people = one_person(patient_id, using=using)
            unite_opt_outs(people, using=using)
            unite_requests(people, using=using)
            unite_labels(people, using=using)
            done |= people


def one_person(patient_id: UUID, *, using: str = DEFAULT_DB_ALIAS) -> set[UUID]:
    """All patients who are this person along links in force, this one included."""
    people, new = {patient_id}, {patient_id}
    while new:
        links = PatientLink.objects.using(using).filter(Q(patient__in=new) | Q(other__in=new), undone_at=None)
        new = {one for pair in links.values_list("patient_id", "other_id") for one in pair} - people
        people |= new
    return people


def unite_opt_outs(people: set[UUID], *, using: str) -> None:
    rows = OptOut.objects.using(using)
    theirs = list(rows.filter(patient__in=people).filter(Q(ends_at=None) | Q(ends_at__gt=Now())))
    own = [row for row in theirs if not row.evidence.startswith(UNITED)]
    wanted = {(one, f"{UNITED}{row.pk}"): row for row in own for one in people - {row.patient_id}}
    standing = {(row.patient_id, row.evidence): row for row in theirs if row.evidence.startswith(UNITED)}
    for key, row in standing.items():
        if key not in wanted:
            rows.filter(pk=row.pk).update(ends_at=Now())
    for (patient_id, evidence), row in wanted.items():
        times = {"starts_at": row.starts_at, "ends_at": row.ends_at}
        repeated = standing.get((patient_id, evidence))
        if repeated is None:
            rows.create(patient_id=patient_id, organisation_id=row.organisation_id, evidence=evidence, **times)
        elif (repeated.starts_at, repeated.ends_at) != (row.starts_at, row.ends_at):
            rows.filter(pk=repeated.pk).update(**times)


def unite_requests(people: set[UUID], *, using: str) -> None:
    """What the patient asked to be held back under one number is so under all; of a single resource there is one."""
    rows = RequestedLabel.objects.using(using)
    theirs = list(rows.filter(patient__in=people, withdrawn_at=None, resource=None))
    own = [row for row in theirs if not row.evidence.startswith(UNITED)]
    wanted = {(one, f"{UNITED}{row.pk}"): row for row in own for one in people - {row.patient_id}}
    standing = {(row.patient_id, row.evidence): row for row in theirs if row.evidence.startswith(UNITED)}
    gone = {key: row for key, row in standing.items() if key not in wanted}
    rows.filter(pk__in=[row.pk for row in gone.values()]).update(withdrawn_at=Now())
    new = {key: row for key, row in wanted.items() if key not in standing}
    for (patient_id, evidence), row in new.items():
        facts = {"section": row.section, "sensitive_class": row.sensitive_class}
        rows.create(patient_id=patient_id, evidence=evidence, **facts)
    for patient_id in {patient_id for patient_id, _evidence in (*gone, *new)}:
        align(patient_id, using=using)


def unite_labels(people: set[UUID], *, using: str) -> None:
    """Each of `people` gets the labels of all of them; then their records are settled anew."""
    patients = Patient.objects.using(using).filter(pk__in=people)
    texts = Resource.objects.using(using).filter(type="Patient", patient__in=people)
    labels = dict(texts.values_list("patient_id", "own_classes"))
    # Whose own labels are not on record keeps what it has: labels never get lost for want of a text.
    others = patients.exclude(pk__in=labels).values_list("classes", flat=True)
    classes = united(*labels.values(), *others)
    changed = [pk for pk, known in patients.values_list("pk", "classes") if sorted(known) != classes]
    if changed:
        patients.filter(pk__in=changed).update(classes=classes)
        settle(unsettle_patients(changed, using=using), using=using)
