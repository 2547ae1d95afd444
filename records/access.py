"""The only doors to a patient's record: fetching and writing it down are one act.

Each runs inside `with viewing(user)`; what it returns is plain and can be drawn after the transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db.models import Case, CharField, DateTimeField, Exists, F, OuterRef, Q, UUIDField, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from clinicportal import audit
from clinicportal.middleware import Refused
from clinicportal.models import User
from records.compiled import Allowed, IsAnyOf, Reading
from records.models import (
    Agreement,
    EmergencyAccess,
    Facility,
    Grant,
    Membership,
    Patient,
    ReviewReading,
    Section,
    Source,
    classes_field,
    sections_field,
)


@dataclass(frozen=True)
class Basis:
    """Why a record is open to somebody: the grant, and the membership that puts the patient in its caseload."""

    grant_id: UUID | None
    label: str  # "Referral", "Named patient", or "Looked up by ..."
    ends_at: datetime
    """Exclusive end of the grant or of the membership, whichever comes first."""
    caseload: str
    facility: str
    purpose: str
    given_by: str
    sections: frozenset[str]
    emergency_id: UUID | None = None
    """The emergency access that opens it, to its guest or to a reviewer; then there is no grant."""

    @property
    def opens(self) -> bool:
        """Whether it shows the patient by itself."""
        return Section.DEMOGRAPHICS in self.sections


SECTION_OF_PAGE = {"care": Section.CARE_PLANS.value}
"""Pages that are called otherwise than their section. Those of several sections are read by what lasts longest."""


@dataclass(frozen=True)
class Opened:
    """A record that was opened, and written down."""

    patient: Patient
    bases: tuple[Basis, ...]
    """An emergency access first, as what is done goes to its account; then the one that lasts longest."""
    sections: frozenset[str]
    """What some grant of the viewer includes for this patient; each resource is checked by itself."""
    similar: bool = False
    """Whether another patient whom the reader may see has a name that could be taken for this one."""

    def includes(self, section: str) -> bool:
        return section in self.sections

    def basis_of(self, section: str) -> Basis | None:
        """By which of them a section is read: an emergency access while there is one, else what includes it longest."""
        named = SECTION_OF_PAGE.get(section, section)
        including = (basis for basis in self.bases if named in basis.sections)
        return self.emergency or next(including, self.bases[0] if self.bases else None)

    @property
    def emergency(self) -> Basis | None:
        return self.bases[0] if self.bases and self.bases[0].emergency_id else None


def open_record(patient_id: UUID, section: Section | str, *, by: User) -> Opened:
    """Return the patient, having written down that `by` opened `section` of the record.

    Raises Refused, answered as 404 both for no such patient and for one whom `by` may not see, so that
    the answer never reveals who is a patient here; the refusal is recorded after the rollback.
    """
    found = VISIBLE(by, patient=patient_id)
    if not found:
        raise refused(patient_id, section, by=by)
    *values, similar = found[0]
    patient = patient_of(values)
    bases = bases_of(patient, by=by)
    if not bases:  # it ended between the two statements: nothing is shown without a reason why
        raise refused(patient_id, section, by=by)
    opened = Opened(patient, bases, frozenset().union(*(basis.sections for basis in bases)), similar)
    write_down(audit.Type.RECORD_OPENED, opened, section, by=by)
    return opened


def refused(patient_id: UUID, section: Section | str, *, by: User) -> Refused:
    subjects = (audit.Subject(patient_id),)
    return Refused(audit.Entry(audit.Type.RECORD_REFUSED, by=by, section=str(section), subjects=subjects))


def write_down(type: audit.Type, opened: Opened, section: str, *, by: User, **facts: Any) -> UUID:
    """Write down what `by` does with a record that is open to them, beside opening it: printing, taking, reporting.

    What is done in an emergency is about that emergency access, which is how its review finds it; what else it is
    about, the `object_id` given, stands in the detail then.
    """
    patient, basis = opened.patient.pk, opened.basis_of(section)
    subject = audit.Subject(patient, basis.grant_id, basis.label) if basis else audit.Subject(patient)
    if opened.emergency:
        if thing := facts.pop("object_id", ""):
            facts["detail"] = {**facts.get("detail", {}), "object": thing}
        facts["object_type"] = EmergencyAccess._meta.label_lower
        facts["object_id"] = str(opened.emergency.emergency_id)
        facts["reason"] = opened.emergency.purpose
    return audit.record(type, by=by, section=section, basis=subject.basis, subjects=[subject], **facts)


def list_patients(patients: Iterable[Patient], *, by: User, searched: bool = False) -> None:
    """Write down that `by` was shown these patients: one event, one subject row for each."""
    subjects = [audit.Subject(patient.pk) for patient in patients]
    audit.record(audit.Type.PATIENTS_LISTED, by=by, subjects=subjects, detail={"searched": searched})


def bases_of(patient: Patient, *, by: User) -> tuple[Basis, ...]:
    """By which grants and memberships `by` may open this patient's record now, the longest lasting first."""
    return bases_of_all([patient], by=by)[patient.pk]


def bases_of_all(patients: Iterable[Patient], *, by: User) -> dict[UUID, tuple[Basis, ...]]:
    """`bases_of` for each of several patients, in one query."""
    known = {patient.pk: patient for patient in patients}
    found: dict[UUID, dict[tuple[UUID, datetime], Basis]] = {patient: {} for patient in known}
    for row in map(Held._make, BASES(by, patients=list(known))):
        if not row.covers(known[row.patient or row.member]):
            continue
        basis = _basis(row, by)
        # Of several memberships in one caseload the one that lasts longest is told.
        by_grant = found[row.patient or row.member]
        if (key := (row.grant, row.agreement_ends_at)) not in by_grant or by_grant[key].ends_at < basis.ends_at:
            by_grant[key] = basis
    return {patient: in_order(bases.values()) for patient, bases in found.items()}


def in_order(bases: Iterable[Basis]) -> tuple[Basis, ...]:
    """An emergency access first: what is done while it lasts goes to its account. None at all when none of them opens
    the record: what an agreement adds that does not name the patient holds beside one that does."""
    ordered = sorted(bases, key=lambda one: (one.emergency_id is not None, one.opens, one.ends_at), reverse=True)
    return tuple(ordered) if ordered and ordered[0].opens else ()


class Held(NamedTuple):
    """A grant in force with its agreement, and the membership by which it holds; None for a named patient.

    Or an emergency access (its id, instead of the grant's), by which a guest reads, or a reviewer for a while.
    """

    grant: UUID
    patient: UUID | None
    under: UUID | None
    """The grant by whose right the patient was looked up."""
    ends_at: datetime
    sections: list[str]
    purpose: str
    given_by: str
    caseload: str | None
    facility: str | None
    agreement_ends_at: datetime
    agreement_sections: list[str]
    facilities: list[UUID] | None
    """Those that the agreement covers; None: it is no grant that opens the record."""
    classes: list[str]
    agreement_classes: list[str]
    member: UUID
    basis: str | None
    member_ends_at: datetime | None

    def covers(self, patient: Patient) -> bool:
        """Whether this pair reaches the patient's record, as the rule has it: another may name them and not do so."""
        return self.facilities is None or (
            patient.source.facility_id in self.facilities
            and set(patient.classes) <= set(self.classes) & set(self.agreement_classes)
        )


def _bases(allowed: Allowed, patients: list[UUID]) -> list[Any]:
    user = allowed.user
    columns: tuple[str, ...] = (
        "pk",
        "patient",
        "under",
        "ends_at",
        "sections",
        "purpose",
        "given_by",
        "caseload__name",
    )
    columns += ("caseload__facility__name", "agreement_ends_at", "agreement_sections", "facilities", "classes")
    columns += ("organisation__agreements__classes",)
    member = "caseload__memberships__"
    now_member = Q(**{member + "ends_at": None}) | Q(**{member + "ends_at__gt": Now()})
    now_member &= Q(IsAnyOf(member + "patient_id", patients), **{member + "starts_at__lte": Now()})
    covered = Agreement.facilities.through.objects.filter(agreement=OuterRef("organisation__agreements__pk"))
    sites = {"facilities": ArraySubquery(covered.values("facility_id"))}
    by_caseload = Grant.objects.in_force_for(user, now_member).annotate_agreement().annotate(**sites)
    nothing = {"basis": Value(None, CharField()), "member_ends_at": Value(None, DateTimeField())}
    by_name = Grant.objects.in_force_for(user, IsAnyOf("patient_id", patients)).annotate_agreement()
    by_name = by_name.annotate(**sites, **nothing)
    parts = [
        by_caseload.values_list(*columns, member + "patient", member + "basis", member + "ends_at"),
        by_name.values_list(*columns, "patient", "basis", "member_ends_at"),
    ]
    return [*parts, *_without_a_grant(user, patients)] if user.emergencies else parts


EMERGENCY, REVIEW = "emergency", "review"
"""In place of Membership.Basis, where it is no grant that opens the record."""


def _without_a_grant(user: User, patients: list[UUID]) -> list[Any]:
    """Emergency accesses, and readings for the review of one, in the columns of Held."""
    found = []
    for rows, path, basis in (
        (EmergencyAccess.objects.open_to(user), "", EMERGENCY),
        (ReviewReading.objects.under_way_for(user), "emergency__", REVIEW),
    ):
        found.append(
            rows.filter(IsAnyOf(path + "patient_id", patients)).values_list(
                F(path + "pk") if path else F("pk"),
                F(path + "patient_id"),
                Value(None, UUIDField()),
                F("ends_at"),
                Value(list(Section.values), sections_field()),
                F(path + "reason"),
                Value(""),
                Value(None, CharField()),
                Value(None, CharField()),
                F("ends_at"),
                Value(list(Section.values), sections_field()),
                Value(None, ArrayField(UUIDField())),
                Value([], classes_field()),
                Value([], classes_field()),
                F(path + "patient_id"),
                Value(basis),
                Value(None, DateTimeField()),
            )
        )
    return found


BASES = Reading(_bases, patients=[uuid.uuid4()])


def label_of(held: Held, by: User) -> str:
    if held.basis in (EMERGENCY, REVIEW):
        return _("Emergency access") if held.basis == EMERGENCY else _("Review of an emergency access")
    if held.under:  # theirs alone: nobody else has what they looked up
        return _("Looked up by %(name)s") % {"name": by.display_name}
    return str(Membership.Basis(held.basis).label) if held.basis else _("Named patient")


def _basis(held: Held, by: User) -> Basis:
    ends = [held.ends_at, held.agreement_ends_at, *([held.member_ends_at] if held.member_ends_at else [])]
    emergency = held.basis in (EMERGENCY, REVIEW)
    return Basis(
        grant_id=None if emergency else held.grant,
        emergency_id=held.grant if emergency else None,
        label=label_of(held, by),
        ends_at=min(ends),
        caseload=held.caseload or "",
        facility=held.facility or "",
        purpose=held.purpose,
        given_by=by.display_name if emergency else held.given_by,
        sections=frozenset(held.sections) & frozenset(held.agreement_sections),
    )


PATIENT = uuid.uuid4()
OF_PATIENT = (
    "id", "family", "given", "title", "birth_date", "gender", "deceased", "deceased_date", "mrn", "replaced_by_id",
    "name_key", "classes",
)  # fmt: skip
OF_SOURCE = ("source__id", "source__name", "source__mrn_system", "source__imported_up_to", "source__expected_within")
OF_FACILITY = ("source__facility__id", "source__facility__name")
COLUMNS = (*OF_PATIENT, *OF_SOURCE, *OF_FACILITY)
"""What pages need of a patient and of where the record comes from."""


def _visible(allowed: Allowed, patient: UUID) -> Any:
    """The patient of a page, and whether somebody else could be taken for them."""
    namesakes = allowed.patients.filter(name_key=OuterRef("name_key"), replaced_by=None).exclude(pk=OuterRef("pk"))
    similar = Case(When(name_key="", then=Value(value=False)), default=Exists(namesakes))
    return allowed.patients.filter(pk=patient).annotate(similar=similar).values_list(*COLUMNS, "similar")


VISIBLE = Reading(_visible, patient=PATIENT)


THESE = Reading(
    lambda allowed, patients: allowed.patients.filter(IsAnyOf("pk", patients)).values_list(*COLUMNS),
    patients=[uuid.uuid4()],
)


def visible_patients(patient_ids: Sequence[UUID], *, by: User) -> list[Patient]:
    """Those of a few patients whom `by` may see now. Pages write it down (`list_patients`)."""
    return [patient_of(values) for values in THESE(by, patients=list(patient_ids))]


def patient_of(values: Sequence[Any], source: Source | None = None) -> Patient:
    """A patient with source and facility, of COLUMNS."""
    here = len(OF_PATIENT)
    return Patient(**dict(zip(OF_PATIENT, values[:here], strict=True)), source=source or source_of(values))


def source_of(values: Sequence[Any]) -> Source:
    """The source with its facility, of COLUMNS."""
    here, there = len(OF_PATIENT), len(OF_PATIENT) + len(OF_SOURCE)
    facility = Facility(**dict(zip(("id", "name"), values[there:], strict=True)))
    names = [name.removeprefix("source__") for name in OF_SOURCE]
    return Source(**dict(zip(names, values[here:there], strict=True)), facility=facility)


def patients_of(found: Iterable[Sequence[Any]]) -> list[Patient]:
    """Patients of rows of COLUMNS; those of one source share it."""
    found, place = list(found), len(OF_PATIENT)
    sources = {values[place]: values for values in found}
    made = {pk: source_of(values) for pk, values in sources.items()}
    return [patient_of(values, made[values[place]]) for values in found]
