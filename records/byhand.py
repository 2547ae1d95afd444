"""Changes by hand: a patient into a caseload, an opt-out, a label at the patient's request, two records of one person.

Each has evidence. What opens something takes two people, and the second names the patient again from the evidence. The
web role may not write what is behind the wall: a change is a row (`ByHand`), and the worker carries it out (`work`). An
opt-out is the exception: the row that closes the record is written at once, by the privacy officer's own transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from clinicportal import audit
from clinicportal.doorbell import ring
from clinicportal.models import User
from clinicportal.proofs import check_proved
from clinicportal.rules import Denied, IllegalTransition
from clinicportal.viewing import viewing
from records import links, policies, requested
from records.models import ByHand, Membership, OptOut, Patient, PatientLink, RequestedLabel, Resource
from records.models.byhand import Status

log = structlog.get_logger(__name__)
Kind = ByHand.Kind
ACT = "by_hand"
"""Of settings.STEP_UP: the proof of whoever confirms."""


class NoSuchPatient(Denied):
    """Nobody here has this id."""


class AlreadyThere(Denied):
    """The patient is in the caseload by hand, or waits for a second person."""


def trace(entry: ByHand) -> str:
    """What stands as evidence on the rows that a change made: where to look for the paper."""
    return f"{links.BY_HAND}{entry.pk}"


# ---------------------------------------------------------------- by our staff


def enter(kind: str, *, by: User, patient_id: UUID, evidence: str, **facts: Any) -> ByHand:
    """Write down a change: one that needs a second person waits for them, others are carried out now.

    `facts` are the other fields of ByHand. Raises NoSuchPatient for an opt-out of nobody.
    """
    policies.check_can_change_by_hand(by, kind)
    status = Status.ENTERED if kind in ByHand.TWO_PEOPLE else Status.CONFIRMED
    try:
        with viewing(by):
            entry = ByHand.objects.create(
                kind=kind, status=status, patient_id=patient_id, evidence=evidence, entered_by=by, **facts
            )
            if kind == Kind.OPT_OUT:
                OptOut.objects.create(patient_id=patient_id, organisation=entry.organisation, evidence=trace(entry))
            write_down(audit.Type.BY_HAND_ENTERED, entry, by=by, reason=evidence)
            nudge_after_commit()
    except IntegrityError as problem:
        if "by_hand_in_a_caseload_once" in str(problem):
            raise AlreadyThere(_("This patient is in it by hand already, or waits for a second person")) from None
        raise NoSuchPatient(_("We hold no patient with this id")) from None
    return entry


@transaction.atomic
def confirm(entry: ByHand, *, by: User) -> None:
    """The word of a second person, who named the same patient from the evidence (the form asks). Raises Unproved."""
    policies.check_can_confirm_by_hand(by, entry)
    check_proved(by, ACT)
    entry.move_to(Status.CONFIRMED, confirmed_by=by, confirmed_at=Now())
    write_down(audit.Type.BY_HAND_CONFIRMED, entry, by=by)
    nudge_after_commit()


@transaction.atomic
def decline(entry: ByHand, *, by: User, reason: str) -> None:
    """It is not so, or not to be: by whoever may confirm it, or whoever entered it."""
    policies.check_can_change_by_hand(by, entry.kind)
    entry.move_to(Status.DECLINED, ended_by=by, ended_at=Now(), ended_because=reason)
    write_down(audit.Type.BY_HAND_DECLINED, entry, by=by, reason=reason)


@transaction.atomic
def withdraw(entry: ByHand, *, by: User, reason: str) -> None:
    """Take it back, and all that was done because of it. It stays on record."""
    policies.check_can_change_by_hand(by, entry.kind)
    entry.move_to(Status.WITHDRAWN, ended_by=by, ended_at=Now(), ended_because=reason)
    write_down(audit.Type.BY_HAND_WITHDRAWN, entry, by=by, reason=reason)
    nudge_after_commit()


def write_down(type: audit.Type, entry: ByHand, *, by: User | None = None, reason: str = "") -> None:
    subjects = [audit.Subject(one) for one in (entry.patient_id, entry.other_id) if one]
    detail = {"kind": entry.kind}
    audit.record(type, entry, by=by, reason=reason, subjects=subjects, detail=detail, section=entry.section)


def nudge_after_commit() -> None:
    from records import tasks  # the broker is the tasks' business

    transaction.on_commit(partial(ring, tasks.work_by_hand))


# ---------------------------------------------------------------- by the worker


def work(*, using: str = DEFAULT_DB_ALIAS) -> int:
    """Carry out what is confirmed, take back what is withdrawn, note what ended by its date. Safe to repeat."""
    rows = ByHand.objects.using(using)
    due = rows.filter(
        Q(status__in=[Status.CONFIRMED, Status.WITHDRAWN]) | Q(status=Status.IN_FORCE, ends_at__lte=Now())
    )
    number = 0
    for entry in due.order_by("entered_at"):
        try:
            with transaction.atomic(using=using):
                carry_out(entry, using=using)
            number += 1
        except IllegalTransition:
            continue  # somebody else was quicker
        except Exception as problem:
            # Tried again at the next sweep; the others must not wait for it.
            log.exception("by hand", entry=str(entry.pk), problem=type(problem).__name__)
    return number


def carry_out(entry: ByHand, *, using: str) -> None:
    if entry.status == Status.CONFIRMED:
        if not all_here(entry, using=using):
            entry.move_to(Status.DECLINED, using=using, ended_at=Now(), ended_because=_("There is no such patient"))
            return
        DO[entry.kind](entry, using=using)
        entry.move_to(Status.IN_FORCE, using=using, done_at=Now())
    elif entry.status == Status.WITHDRAWN:
        UNDO[entry.kind](entry, using=using)
        entry.move_to(Status.OVER, using=using)
    else:  # its date has come
        entry.move_to(Status.OVER, using=using)
        return
    write_down(audit.Type.BY_HAND_DONE, entry)


def all_here(entry: ByHand, *, using: str) -> bool:
    wanted = {one for one in (entry.patient_id, entry.other_id) if one}
    if Patient.objects.using(using).filter(pk__in=wanted).count() != len(wanted):
        return False
    if entry.entry_id is None:
        return True
    return Resource.objects.using(using).filter(pk=entry.entry_id, patient=entry.patient_id).exists()


def put_in_caseload(entry: ByHand, *, using: str) -> None:
    """One membership by hand for each patient and caseload: a later one takes the place of one that is over."""
    facts: dict[str, Any] = {"evidence": trace(entry), "starts_at": Now(), "ends_at": entry.ends_at}
    key: dict[str, Any] = {
        "caseload": entry.caseload,
        "patient_id": entry.patient_id,
        "basis": Membership.Basis.BY_HAND,
    }
    Membership.objects.using(using).update_or_create(**key, defaults=facts)


def take_out_of_caseload(entry: ByHand, *, using: str) -> None:
    rows = Membership.objects.using(using).filter(patient=entry.patient_id, evidence=trace(entry))
    rows.filter(Q(ends_at=None) | Q(ends_at__gt=Now())).update(ends_at=Now())


def opt_out(entry: ByHand, *, using: str) -> None:
    facts: dict[str, Any] = {
        "patient_id": entry.patient_id,
        "organisation": entry.organisation,
        "evidence": trace(entry),
    }
    OptOut.objects.using(using).get_or_create(**facts)  # it stands since it was entered
    links.unite([entry.patient_id], using=using)


def end_opt_out(entry: ByHand, *, using: str) -> None:
    rows = OptOut.objects.using(using).filter(patient=entry.patient_id, evidence=trace(entry))
    rows.filter(Q(ends_at=None) | Q(ends_at__gt=Now())).update(ends_at=Now())
    links.unite([entry.patient_id], using=using)


def labels_of(entry: ByHand, *, using: str) -> Any:
    rows = RequestedLabel.objects.using(using)
    return rows.filter(patient=entry.patient_id, evidence=trace(entry), withdrawn_at=None)


def label(entry: ByHand, *, using: str) -> None:
    if labels_of(entry, using=using).exists():
        return
    patient = Patient.objects.using(using).get(pk=entry.patient_id)
    resource = Resource.objects.using(using).get(pk=entry.entry_id) if entry.entry_id else None
    requested.request(
        patient, evidence=trace(entry), by=entry.entered_by, section=entry.section, resource=resource,
        sensitive_class=entry.sensitive_class, using=using,
    )  # fmt: skip


def end_label(entry: ByHand, *, using: str) -> None:
    for asked in labels_of(entry, using=using):
        requested.withdraw(asked, by=entry.ended_by, using=using)


def link(entry: ByHand, *, using: str) -> None:
    kind = PatientLink.Kind.REPLACED_BY if entry.replaced else PatientLink.Kind.SEE_ALSO
    if entry.other_id is None:
        raise ValueError("a link has two records")
    links.link(entry.patient_id, entry.other_id, kind=kind, evidence=trace(entry), using=using)


def undo_link(entry: ByHand, *, using: str) -> None:
    made = PatientLink.objects.using(using).filter(evidence=trace(entry), undone_at=None)
    for one in made:
        links.undo(one, using=using)


DO: dict[str, Callable[..., None]] = {
    Kind.LIST: put_in_caseload, Kind.REVIEW: put_in_caseload, Kind.OPT_OUT: opt_out, Kind.LABEL: label, Kind.LINK: link,
}  # fmt: skip
UNDO: dict[str, Callable[..., None]] = {
    Kind.LIST: take_out_of_caseload, Kind.REVIEW: take_out_of_caseload, Kind.OPT_OUT: end_opt_out,
    Kind.LABEL: end_label, Kind.LINK: undo_link,
}  # fmt: skip
