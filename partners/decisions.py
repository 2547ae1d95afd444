"""What an approver does with a request: approve, decline, ask, end. And what they should look at first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clinicportal import audit, sessions
from clinicportal.models import User
from clinicportal.rules import Denied
from partners import dates, grants, notices, policies, provisioning, tasks
from partners.models import AccessRequest, Decision, Invitation
from records.models import Agreement

Status = AccessRequest.Status

REASONS = {
    "not_needed": (
        gettext_lazy("The job does not need it"),
        gettext_lazy(
            "From what you wrote we could not see why this access is needed for the job. Please tell us more when you "
            "ask again."
        ),
    ),
    "too_much": (
        gettext_lazy("It is more than usual"),
        gettext_lazy(
            "This is more than people in this job usually see. Please ask again for fewer sections or patients."
        ),
    ),
    "wrong_address": (
        gettext_lazy("The address is not theirs"),
        gettext_lazy(
            "We could not confirm that this address belongs to your colleague. Please ask again with their own work "
            "address."
        ),
    ),
    "unknown_person": (
        gettext_lazy("We could not confirm the person"),
        gettext_lazy("We could not confirm that this person works for you. Please call us before you ask again."),
    ),
    "has_access": (
        gettext_lazy("They have access another way"),
        gettext_lazy("This person can already see what you asked for. There is nothing more to do."),
    ),
    "other": (gettext_lazy("Something else"), gettext_lazy("We could not give this access. Please call us.")),
}
"""Why a request is declined: code -> what the approver picks, and the sentence that the sponsor reads unless edited."""


@transaction.atomic
def approve(
    request: AccessRequest,
    *,
    by: User,
    until: dt.datetime | None = None,
    note_to_sponsor: str = "",
    note_for_colleagues: str = "",
    may_look_up: bool = False,
    may_use_emergency_access: bool = False,
) -> None:
    """Record the decision, the grants that wait for the guest, the invitation, and the work in the directory.

    `may_look_up` adds the right to look up patients in no caseload, `may_use_emergency_access` that to open one in an
    emergency, which begins with looking them up; the agreement must have what is given. `until` is an exclusive end,
    earlier than asked; None: as asked, but never past the agreement. `by` has confirmed a short while ago that it is
    them (policies.check_proved).
    """
    policies.check_can_approve(by, request)
    ends_at = end_if_approved(request)
    if until is not None and until > ends_at:
        raise ValueError("an approval may shorten what was asked for, never lengthen it")
    ends_at = until or ends_at
    if ends_at <= timezone.now():
        raise Denied(_("The last day asked for is over. The sponsor has to ask again."))
    if may_look_up and not may_give_look_up(request):
        raise Denied(_("The agreement does not include looking up patients. Approve without it."))
    if may_use_emergency_access and not (may_look_up and may_give_emergency_access(request)):
        raise Denied(_("Emergency access needs an agreement that has it, and the right to look up patients."))
    request.move_to(Status.APPROVED, granted_until=ends_at)
    guest = grants.guest_for(request)
    rights = {"may_look_up": may_look_up, "may_use_emergency_access": may_use_emergency_access}
    grants.give(request, guest, by=by, until=ends_at, rights=rights)
    Invitation.objects.create(request=request, guest=guest)
    job = provisioning.start(request, guest)
    _decide(request, Decision.Kind.APPROVED, by, note_to_sponsor, note_for_colleagues)
    audit.record(
        audit.Type.ACCESS_APPROVED,
        request,
        by=by,
        organisation_id=request.organisation_id,
        reason=note_for_colleagues,
        detail={
            "until": ends_at.isoformat(),
            "asked_until": request.ends_at.isoformat(),
            "sections": request.sections,
            **rights,
        },
    )
    if ends_at < request.ends_at:
        notices.tell(notices.Kind.CHANGED, request, reason=_shorter(request, ends_at, note_to_sponsor))
    # After commit, or the worker may look for a row that is not there yet. If the broker is down the sweep finds the
    # job: `nudge` logs and never raises.
    transaction.on_commit(partial(tasks.nudge, job.pk))


@transaction.atomic
def decline(request: AccessRequest, *, by: User, reason: str, note_to_sponsor: str = "") -> None:
    """Say no, with a code of REASONS and the sentence that the sponsor reads."""
    policies.check_can_decide(by, request)
    _label, sentence = REASONS[reason]
    request.move_to(Status.DECLINED)
    said = note_to_sponsor or str(sentence)
    _decide(request, Decision.Kind.DECLINED, by, said, reason=reason)
    notices.tell(notices.Kind.DECLINED, request, reason=said)
    audit.record(audit.Type.ACCESS_DECLINED, request, by=by, organisation_id=request.organisation_id, reason=reason)


@transaction.atomic
def ask_question(request: AccessRequest, *, by: User, question: str) -> None:
    """Ask the sponsor something; their turn, and our clock stops."""
    policies.check_can_decide(by, request)
    request.move_to(Status.NEEDS_INFO, question=question, answer="")
    _decide(request, Decision.Kind.QUESTION, by, question)
    number = request.decisions.filter(kind=Decision.Kind.QUESTION).count()
    notices.tell(notices.Kind.QUESTION, request, about=number, reason=question)
    audit.record(audit.Type.QUESTION_ASKED, request, by=by, organisation_id=request.organisation_id)


@transaction.atomic
def end_access(request: AccessRequest, *, by: User, reason: str) -> None:
    """End what the request led to, now: grants, link, work in the directory, and every session of the guest."""
    policies.check_can_end(by, request)
    # Held until the commit: the job may be finishing the request at this moment.
    request.refresh_from_db(from_queryset=AccessRequest.objects.select_for_update())
    request.move_to(Status.ENDED, closed_because=reason)
    grants.end(request, because=reason)
    ended = sessions.end_all(request.invitation.guest_id)
    audit.record(
        audit.Type.ACCESS_ENDED,
        request,
        by=by,
        organisation_id=request.organisation_id,
        reason=reason,
        detail={"sessions": ended},
    )


def end_if_approved(request: AccessRequest) -> dt.datetime:
    """The exclusive end that an approval would give: as asked, or the agreement's if that is earlier.

    Raises Denied when there is no agreement: nothing could be seen.
    """
    agreement = agreement_of(request)
    if agreement is None:
        raise Denied(_("There is no agreement in force with %(name)s.") % {"name": request.organisation})
    return min(request.ends_at, agreement.ends_at)


def agreement_of(request: AccessRequest) -> Agreement | None:
    """The agreement in force that lasts longest."""
    return agreements_of([request]).get(request.organisation_id)


def agreements_of(requests: Iterable[AccessRequest]) -> dict[UUID, Agreement]:
    """The agreement in force that lasts longest, by organisation, with its facilities."""
    organisations = {request.organisation_id for request in requests}
    found = Agreement.objects.in_force().filter(organisation__in=organisations).order_by("ends_at")
    return {agreement.organisation_id: agreement for agreement in found.prefetch_related("facilities")}


def may_give_look_up(request: AccessRequest) -> bool:
    """Whether an agreement in force with the organisation includes looking up patients."""
    return Agreement.objects.in_force().filter(organisation=request.organisation_id, may_look_up=True).exists()


def may_give_emergency_access(request: AccessRequest) -> bool:
    """Whether an agreement in force has it, and looking up patients, where it begins."""
    agreements = Agreement.objects.in_force().filter(organisation=request.organisation_id)
    return agreements.filter(may_look_up=True, may_use_emergency_access=True).exists()


def gave_emergency_access(request: AccessRequest) -> bool:
    return request.given.filter(grant__may_use_emergency_access=True).exists()


def gave_look_up(request: AccessRequest) -> bool:
    """Whether what the request led to includes that right."""
    return request.given.filter(grant__may_look_up=True).exists()


def _shorter(request: AccessRequest, ends_at: dt.datetime, note: str) -> str:
    given, asked = (dates.words_for(dates.last_day(end)) for end in (ends_at, request.ends_at))
    change = _("Until %(given)s instead of %(asked)s.") % {"given": given, "asked": asked}
    return f"{change} {note}".strip()


def _decide(
    request: AccessRequest,
    kind: str,
    by: User,
    note_to_sponsor: str = "",
    note_for_colleagues: str = "",
    reason: str = "",
) -> None:
    Decision.objects.create(
        request=request,
        kind=kind,
        by=by,
        reason=reason,
        note_to_sponsor=note_to_sponsor,
        note_for_colleagues=note_for_colleagues,
    )
