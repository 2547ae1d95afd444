"""What a patient asks us to hold back: their whole record, a section, or one resource.

A request is a label like any other: a grant that does not name its class does not show what carries it. Each stands
in `Resource.labelled_by` with its number, so that withdrawing it takes back exactly that.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models.functions import Now

from clinicportal import audit
from clinicportal.models import User
from records import links
from records.labels import REQUEST
from records.models import Patient, RequestedLabel, Resource, SensitiveClass
from records.settling import settle, unsettle


def request(
    patient: Patient, *, evidence: str, by: User | None = None, section: str = "", resource: Resource | None = None,
    sensitive_class: str = SensitiveClass.OTHER, using: str = DEFAULT_DB_ALIAS,
) -> RequestedLabel:  # fmt: skip
    """Label what the patient asks to be held back, now and whatever comes later. For the worker's role."""
    with transaction.atomic(using=using):
        made = RequestedLabel.objects.using(using).create(
            patient=patient, section=section, resource=resource, sensitive_class=sensitive_class, evidence=evidence
        )
        bring_into_line(patient.pk, using=using)
        audit.record(audit.Type.LABEL_REQUESTED, made, by=by, subjects=[audit.Subject(patient.pk)], section=section)
    return made


def withdraw(asked: RequestedLabel, *, by: User | None = None, using: str = DEFAULT_DB_ALIAS) -> None:
    """The patient takes the request back. It stays on record."""
    with transaction.atomic(using=using):
        rows = RequestedLabel.objects.using(using).filter(pk=asked.pk, withdrawn_at=None)
        if rows.update(withdrawn_at=Now()):
            bring_into_line(asked.patient_id, using=using)
            detail = {"withdrawn": True}
            subjects = [audit.Subject(asked.patient_id)]
            audit.record(audit.Type.LABEL_REQUESTED, asked, by=by, subjects=subjects, detail=detail)


def of_patients(patient_ids: Iterable[str], *, using: str) -> dict[str, list[RequestedLabel]]:
    """The requests that stand, by patient; empty for nearly every batch."""
    found: dict[str, list[RequestedLabel]] = {}
    for one in RequestedLabel.objects.using(using).filter(patient__in=list(patient_ids), withdrawn_at=None):
        found.setdefault(str(one.patient_id), []).append(one)
    return found


def set_by(requests: list[RequestedLabel], resource_id: str, section: str | None) -> frozenset[str]:
    return frozenset(
        f"{REQUEST} {one.pk}: {one.sensitive_class}"
        for one in requests
        if (str(one.resource_id) == resource_id if one.resource_id else one.section in ("", section))
    )


ALIGN = """
UPDATE records_resource r SET labelled_by = l.labelled_by, own_classes = ARRAY(
    SELECT DISTINCT split_part(how, ': ', 2)::varchar AS class FROM unnest(l.labelled_by) AS of_it (how) ORDER BY class)
FROM (
    SELECT r.id, ARRAY(
        SELECT how FROM unnest(r.labelled_by) AS was (how) WHERE how NOT LIKE 'request %%'
        UNION SELECT 'request ' || q.id || ': ' || q.sensitive_class FROM records_requestedlabel q
        WHERE q.patient_id = r.patient_id AND q.withdrawn_at IS NULL
          AND CASE WHEN q.resource_id IS NULL THEN q.section IN ('', r.section) ELSE q.resource_id = r.id END
        ORDER BY 1)::varchar[] AS labelled_by
    FROM records_resource r WHERE r.patient_id = %s
) l WHERE r.id = l.id AND r.labelled_by <> l.labelled_by
RETURNING r.id
"""


def bring_into_line(patient_id: UUID, *, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(ALIGN, [patient_id])
        changed = [id for (id,) in cursor.fetchall()]
    settle(unsettle(changed, using=using), using=using)
    links.unite([patient_id], using=using)  # who asks it for the whole record is not even listed without the class
