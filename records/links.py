"""Two patients who are one person: what is united at once when they are linked, and taken apart again.

Opt-outs and labels are united at once, in both directions and along chains of links: who refused or is protected
under one number is so under all. Memberships are not: a caseload that has one of them gets the other only after
review. What is united says where it came from, so that undoing a link takes back exactly that.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q
from django.db.models.functions import Now

from records.labels import united
from records.models import OptOut, Patient, PatientLink, Resource
from records.settling import settle, unsettle_patients

UNITED = "united:"
"""Start of the evidence of an opt-out that holds because of a link; the id of the one it repeats follows."""


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
    return made


def undo(link: PatientLink, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Take the link back, and all that was united because of it. The link stays on record."""
    with transaction.atomic(using=using):
        PatientLink.objects.using(using).filter(pk=link.pk, undone_at=None).update(undone_at=Now())
        replaced = Patient.objects.using(using).filter(pk=link.patient_id, replaced_by=link.other_id)
        replaced.update(replaced_by=None)
        unite([link.patient_id, link.other_id], using=using)


def unite(patient_ids: Iterable[UUID | str], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Bring opt-outs and labels of these patients and of all whom they are linked with into line. Idempotent."""
    done: set[UUID] = set()
    for patient_id in (UUID(str(one)) for one in patient_ids):
        if patient_id not in done:
            people = one_person(patient_id, using=using)
            unite_opt_outs(people, using=using)
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
