"""Starting anew: the person behind an account is proved again, and until then nothing is shown.

Resetting redemption keeps the object, its groups and its history, but another human may be behind it afterwards
(entra.md, section 1). So from the moment of the asking the sessions end, a suspension stands that only the verified
sign-in lifts, and the terms have to be accepted again. Where the person was ever admitted here, one of our staff
confirms that it is the same person before the new link goes out.
"""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from clinicportal import audit, sessions
from clinicportal.models import TermsAcceptance, User
from clinicportal.proofs import check_proved
from clinicportal.rules import Denied
from partners import addresses, entra, invitations, notices, policies, tasks
from partners.models import AccessRequest, Guest, Invitation, ProvisioningJob, Reset, Step
from records.models import Suspension

if TYPE_CHECKING:
    from collections.abc import Callable

Because, Status, Job = Reset.Because, Reset.Status, ProvisioningJob.Status

MOST_A_DAY = 3
"""How often a person or their sponsor may start anew within a day; our staff may more often."""
ADDRESS_PATIENCE = dt.timedelta(minutes=15)
"""How long the directory may not know an address yet that we have just added (entra.md, section 1: consistency)."""


# ---------------------------------------------------------------- asking, confirming, refusing


@transaction.atomic
def start_anew(invitation: Invitation, *, by: User | None, because: str, address: str = "") -> Reset:
    """End what the account can do now, and let its person accept and sign in anew. Raises Denied with a sentence.

    `by` is a sponsor, one of our staff, the guest, or None for whoever holds the link or came with a wrong account:
    they can take away, and the link goes to the invited address alone. `address` is a new one, canonical.
    """
    request = AccessRequest.objects.select_for_update().get(pk=invitation.request_id)
    job = ProvisioningJob.objects.select_for_update().get(request=request)
    guest = Guest.objects.select_for_update().select_related("user").get(pk=invitation.guest_id)
    invitation.refresh_from_db()
    is_staff = by is not None and by.is_staff_member
    if by is not None:
        check_may_start_anew(by, request, guest)
    check_can_start_anew(guest, invitation, job, is_staff=is_staff)
    if address:
        check_address(guest, address)
    confirmed = guest.admitted_at is None
    reset = Reset.objects.create(
        guest=guest,
        request=request,
        because=because,
        new_address=address,
        status=Status.RUNNING if confirmed else Status.AWAITS_STAFF,
        asked_by=by,
        decided_by=by if is_staff and confirmed else None,
    )
    hold(guest)
    invitation.move_to(Invitation.Status.HELD, redeem_url=None, generation=F("generation") + 1, opened_at=None)
    audit.record(
        audit.Type.REDEMPTION_RESET,
        reset,
        by=by,
        organisation_id=request.organisation_id,
        reason=because,
        detail={"guest": str(guest.pk), "confirmed": confirmed},
    )
    if confirmed:
        _go(reset, job)
    return reset


def new_link(invitation: Invitation, *, by: User | None) -> None:
    """Whatever a new link takes: the same invitation again, or a new start where somebody else has used it.

    `by` is a sponsor, or None for whoever holds the link. Raises Denied with a sentence.
    """
    if invitation.status == Invitation.Status.WRONG_ACCOUNT:
        start_anew(invitation, by=by, because=Because.WRONG_ACCOUNT)
    elif invitation.status == Invitation.Status.ACCEPTED and by is None:  # "It was not me who accepted"
        start_anew(invitation, by=None, because=Because.NOT_ME)
    else:
        invitations.send_again(invitation, by=by)


def check_may_start_anew(by: User, request: AccessRequest, guest: Guest) -> None:
    """Staff who decide, a sponsor who answers for the person, or the person."""
    if by.is_staff_member:
        policies.check_is_approver(by)
        policies.check_not_tied(by, request)
    elif by.pk != guest.pk:
        policies.check_can_answer_for(by, request)


def check_can_start_anew(guest: Guest, invitation: Invitation, job: ProvisioningJob, *, is_staff: bool) -> None:
    if invitation.status in (Invitation.Status.DECLINED, Invitation.Status.REVOKED):
        raise Denied(_("This access has ended, so there is nothing to start again."))
    if guest.user.object_id is None or job.status not in (Job.DONE, Job.NEEDS_HELP):
        raise Denied(_("We are still setting this up. Please wait until it is done."))
    if open_reset(guest):
        raise Denied(_("This was asked for already. A new link follows by mail."))
    if Suspension.objects.open().filter(user=guest.user).exclude(reason=Suspension.Reason.IDENTITY).exists():
        raise Denied(_("Access is paused while we check something. Please call us."))
    recent = guest.resets.filter(asked_at__gt=Now() - dt.timedelta(days=1)).count()
    if not is_staff and (recent >= MOST_A_DAY or invitation.generation >= invitations.MOST_GENERATIONS):
        raise Denied(_("This was tried too often today. Please call us."))


def check_address(guest: Guest, address: str) -> None:
    """The new address must belong to every organisation that asked for the person, and to nobody else here."""
    live = AccessRequest.objects.live().filter(job__guest=guest).select_related("organisation")
    domain = addresses.domain_of(address)
    fits = all(request.organisation.domains.filter(name=domain).exists() for request in live)
    taken = (
        Guest.objects.filter(address=address).exists()
        or AccessRequest.objects.live().filter(address=address, organisation__in=live.values("organisation")).exists()
    )
    if not fits or taken:
        raise Denied(_("We cannot change to this address by ourselves. Please call us."))


@transaction.atomic
def confirm(reset: Reset, *, by: User) -> None:
    """ "It is the same person": one of our staff has made sure, so the new link may go out."""
    policies.check_is_approver(by)
    policies.check_not_tied(by, reset.request)
    check_proved(by, "confirm")
    AccessRequest.objects.select_for_update().get(pk=reset.request_id)
    job = ProvisioningJob.objects.select_for_update().get(request=reset.request_id)
    if reset.new_address:
        check_address(reset.guest, reset.new_address)
    reset.move_to(Status.RUNNING, decided_by=by)
    audit.record(audit.Type.RESET_CONFIRMED, reset, by=by, organisation_id=reset.request.organisation_id)
    _go(reset, job)


@transaction.atomic
def refuse(reset: Reset, *, by: User, reason: str) -> None:
    """ "We could not confirm it": nothing changes in the directory. The hold stays until the person whom we know has
    signed in with the account and address we know."""
    policies.check_is_approver(by)
    reset.move_to(Status.REFUSED, decided_by=by)
    audit.record(audit.Type.RESET_REFUSED, reset, by=by, organisation_id=reset.request.organisation_id, reason=reason)
    notices.tell(notices.Kind.NOT_CONFIRMED, reset.request, about=reset.pk, reason=reason)


def _go(reset: Reset, job: ProvisioningJob) -> None:
    """Write down the work. What the job had not finished (a mail that nobody took) comes after it."""
    if reset.new_address:
        _change_address(reset)
    kinds = [Step.Kind.ADD_ADDRESS] * bool(reset.new_address) + [Step.Kind.SET_BACK]
    left = list(job.steps.exclude(state=Step.State.DONE).order_by("-position"))
    first = min((step.position for step in left), default=job.steps.count() + 1)
    for step in left:
        job.steps.filter(pk=step.pk).update(
            position=step.position + len(kinds), state=Step.State.LATER, attempts=0, first_tried_at=None, last_code=""
        )
    if not left:
        kinds.append(Step.Kind.MAIL)
    Step.objects.bulk_create(
        Step(job=job, position=position, kind=kind, state=Step.State.LATER if position > first else Step.State.WAITING)
        for position, kind in enumerate(kinds, start=first)
    )
    job.move_to(Job.RUNNING)
    transaction.on_commit(partial(tasks.nudge, job.pk))


def _change_address(reset: Reset) -> None:
    """From now on the portal knows the person by the new address: it is written to, compared, and shown."""
    guest, new = reset.guest, reset.new_address
    audit.record(audit.Type.ADDRESS_CHANGED, reset, by=reset.decided_by, organisation_id=reset.request.organisation_id)
    AccessRequest.objects.live().filter(job__guest=guest).update(address=new, email=new)
    Guest.objects.filter(pk=guest.pk).update(address=new)
    User.objects.filter(pk=guest.pk).update(email=new)


# ---------------------------------------------------------------- the hold, and what lifts it


def hold(guest: Guest, *, note: str = "identity") -> None:
    """Nothing is shown and no session goes on until the expected person has signed in. Safe to repeat."""
    user = guest.user
    sessions.end_all(user.pk)
    if not Suspension.objects.open().filter(user=user, reason=Suspension.Reason.IDENTITY).exists():
        Suspension.objects.create(user=user, reason=Suspension.Reason.IDENTITY, note=note)
    Guest.objects.filter(pk=guest.pk).update(redeemed_at=None, identity_provider="")
    TermsAcceptance.objects.filter(user=user, ended_at=None).update(ended_at=Now())


def release(guest: Guest) -> None:
    """The expected person has signed in, proved by home organisation and address: that alone lifts the hold."""
    held = Suspension.objects.open().filter(user=guest.user, reason=Suspension.Reason.IDENTITY)
    if not held.update(lifted_at=Now()):
        return
    for reset in guest.resets.filter(status=Status.RUNNING).exclude(set_back_at=None):
        reset.move_to(Status.DONE)


def open_reset(guest: Guest) -> Reset | None:
    return guest.resets.filter(status__in=Reset.OPEN).select_related("request").first()


def awaits_new_link(guest: Guest) -> bool:
    """Whether a sign-in now would prove the old binding: somebody asked, and the directory has not set it back yet."""
    return guest.resets.filter(status__in=Reset.OPEN, set_back_at=None).exists()


# ---------------------------------------------------------------- the steps of the job


def add_address(step: Step, graph: entra.Graph) -> Callable[[], None]:
    """The directory resets redemption only to an address that the account has (entra.md, section 1). Needs
    User.ReadWrite.All; without it a person adds the address, and the step finds it there."""
    object_id, address = step.job.guest.user.object_id, step.job.guest.address
    if object_id is None:
        raise entra.Refused("unknown_person")
    known = graph.other_addresses(object_id)
    if address not in {addresses.folded(one) for one in known}:
        try:
            graph.set_other_addresses(object_id, [*known, address])
        except (entra.Refused, entra.TryLater) as refusal:
            if refusal.code == "not_permitted":
                raise entra.Refused("address_not_writable") from None
            raise
    return lambda: None


def set_back(step: Step, graph: entra.Graph) -> Callable[[], None]:
    """Reset the redemption: the same object, pending anew, and a new link. Repeating it gives a newer link."""
    job = step.job
    guest, object_id = job.guest, job.guest.user.object_id
    if object_id is None:
        raise entra.Refused("unknown_person")
    try:
        invited = graph.invite(
            guest.address,
            name=job.request.person_name,
            redirect_url=settings.BASE_URL + "/welcome/back/",
            reset=object_id,
        )
    except (entra.Refused, entra.TryLater) as problem:
        raise _of_reset(step, problem) from None
    return partial(_keep, job, invited.redeem_url)


def _of_reset(step: Step, problem: entra.Refused | entra.TryLater) -> Exception:
    """What a refusal means here: an address we have just added may not be known everywhere yet, and a missing right
    is about this person (a directory role), since the same call without the reset is allowed."""
    if problem.code == "not_permitted":
        return entra.Refused("reset_refused")
    if problem.code == "no_answer":
        return entra.TryLater(Step.UNANSWERED, getattr(problem, "retry_at", None))
    began = step.first_tried_at or timezone.now()
    if problem.code == "address_changed" and timezone.now() - began < ADDRESS_PATIENCE:
        return entra.TryLater("not_there_yet", timezone.now() + dt.timedelta(seconds=5))
    return problem


def _keep(job: ProvisioningJob, url: str) -> None:
    """In the commit that finishes the step. Held once more: somebody may have signed in by the old binding."""
    hold(job.guest)
    Invitation.objects.filter(request=job.request_id).update(redeem_url=invitations.sealed(url))
    Reset.objects.filter(guest=job.guest_id, status=Status.RUNNING).update(set_back_at=Now())
