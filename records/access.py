"""The only doors to a patient's record: fetching and writing it down are one act.

Each runs inside `with viewing(user)`; what it returns is plain and can be drawn after the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext as _

from clinicportal import audit
from clinicportal.middleware import Refused
from clinicportal.models import User
from records.models import Grant, Membership, Patient, Section


@dataclass(frozen=True)
class Basis:
    """Why a record is open to somebody: the grant, and the membership that puts the patient in its caseload."""

    grant_id: UUID
    label: str  # "Referral", or "Named patient"
    ends_at: datetime
    """Exclusive end of the grant or of the membership, whichever comes first."""
    caseload: str
    facility: str
    purpose: str
    given_by: str
    sections: frozenset[str]


@dataclass(frozen=True)
class Opened:
    """A record that was opened, and written down."""

    patient: Patient
    bases: tuple[Basis, ...]
    """The one that lasts longest first."""
    sections: frozenset[str]
    """What some grant of the viewer includes for this patient; each resource is checked by itself."""

    def includes(self, section: str) -> bool:
        return section in self.sections


def open_record(patient_id: UUID, section: Section | str, *, by: User) -> Opened:
    """Return the patient, having written down that `by` opened `section` of the record.

    Raises Refused, answered as 404 both for no such patient and for one whom `by` may not see, so that
    the answer never reveals who is a patient here; the refusal is recorded after the rollback.
    """
    patient = Patient.objects.visible_to(by).select_related("source__facility").filter(pk=patient_id).first()
    if patient is None:
        raise Refused(
            audit.Entry(audit.Type.RECORD_REFUSED, by=by, section=str(section), subjects=(audit.Subject(patient_id),))
        )
    bases = bases_of(patient.pk, by=by)
    opened = Opened(patient, bases, frozenset().union(*(basis.sections for basis in bases)))
    subject = audit.Subject(patient.pk, bases[0].grant_id, bases[0].label) if bases else audit.Subject(patient.pk)
    audit.record(audit.Type.RECORD_OPENED, by=by, section=section, basis=subject.basis, subjects=[subject])
    return opened


def list_patients(patients: Iterable[Patient], *, by: User, searched: bool = False) -> None:
    """Write down that `by` was shown these patients: one event, one subject row for each."""
    subjects = [audit.Subject(patient.pk) for patient in patients]
    audit.record(audit.Type.PATIENTS_LISTED, by=by, subjects=subjects, detail={"searched": searched})


def bases_of(patient_id: UUID, *, by: User) -> tuple[Basis, ...]:
    """By which grants and memberships `by` may open this patient's record now, the longest lasting first."""
    return bases_of_all([patient_id], by=by)[patient_id]


def bases_of_all(patient_ids: Sequence[UUID], *, by: User) -> dict[UUID, tuple[Basis, ...]]:
    """`bases_of` for each of several patients, in two queries."""
    members = Membership.objects.in_force().filter(patient__in=patient_ids)
    grants = list(
        Grant.objects.in_force_for(by)
        .filter(Q(patient__in=patient_ids) | Exists(members.filter(caseload=OuterRef("caseload"))))
        .select_related("caseload__facility")
        .annotate_agreement()
    )
    # Of several memberships in one caseload the one that lasts longest is told: it stands last.
    by_caseload: dict[tuple[UUID, UUID | None], tuple[str, datetime | None]] = {
        (patient, caseload): (str(Membership.Basis(basis).label), ends_at)
        for patient, caseload, basis, ends_at in members.order_by(F("ends_at").asc(nulls_last=True)).values_list(
            "patient", "caseload", "basis", "ends_at"
        )
    }
    found: dict[UUID, tuple[Basis, ...]] = {}
    for patient in patient_ids:
        bases = [
            _basis(g, *by_caseload[patient, g.caseload_id]) for g in grants if (patient, g.caseload_id) in by_caseload
        ]
        bases += [_basis(grant, "", None) for grant in grants if grant.patient_id == patient]
        found[patient] = tuple(sorted(bases, key=lambda basis: basis.ends_at, reverse=True))
    return found


def _basis(grant: Grant, label: str, ends_at: datetime | None) -> Basis:
    ends = [grant.ends_at, grant.agreement_ends_at, *([ends_at] if ends_at else [])]  # type: ignore[attr-defined]
    return Basis(
        grant_id=grant.pk,
        label=label or str(_("Named patient")),
        ends_at=min(ends),
        caseload=grant.caseload.name if grant.caseload else "",
        facility=grant.caseload.facility.name if grant.caseload else "",
        purpose=grant.purpose,
        given_by=grant.given_by,
        sections=frozenset(grant.sections) & frozenset(grant.agreement_sections),  # type: ignore[attr-defined]
    )
