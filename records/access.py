"""The only doors to a patient's record: fetching and writing it down are one act.

Each runs inside `with viewing(user)`; what it returns is plain and can be drawn after the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from clinicportal import audit
from clinicportal.middleware import Refused
from clinicportal.models import User
from records.models import Grant, Membership, Patient, Section, members_of


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
    grants = (
        Grant.objects.in_force_for(by)
        .filter(Q(patient=patient_id) | Exists(members_of(OuterRef("caseload"), patient_id)))
        .select_related("caseload__facility")
        .annotate_agreement()
    )
    by_caseload: dict[UUID | None, tuple[str, datetime | None]] = {
        caseload: (str(Membership.Basis(basis).label), ends_at)
        for caseload, basis, ends_at in Membership.objects.in_force()
        .filter(patient=patient_id)
        .order_by("basis")
        .values_list("caseload", "basis", "ends_at")
    }
    found = [_basis(grant, *by_caseload.get(grant.caseload_id, ("", None))) for grant in grants]
    return tuple(sorted(found, key=lambda basis: basis.ends_at, reverse=True))


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
