"""What a patient asks us to hold back: their whole record, a section, or one resource.

A request is a label like any other: a grant that does not name its class does not show what carries it. How it becomes
one is in records/request_labels.py.
"""

from __future__ import annotations

from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models.functions import Now

from clinicportal import audit
from clinicportal.models import User
from records import links, request_labels
from records.models import Patient, RequestedLabel, Resource, SensitiveClass


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


def bring_into_line(patient_id: UUID, *, using: str) -> None:
    request_labels.align(patient_id, using=using)
    links.unite([patient_id], using=using)  # and with the same person's other records
