"""The saved work in the directory for one approved request: leased steps, each safe to repeat, the mail last.

A step is written down as `started` and committed before the call; while Graph answers we hold no lock and no
transaction; what came of it, the event and the next step are one commit. Whoever finds `started` or `no_answer` looks
first what became of it.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable
from functools import partial

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import User
from partners import entra, failures, incidents, invitations, policies, redemption, tasks
from partners.models import AccessRequest, Guest, Invitation, ProvisioningJob, Step

log = structlog.get_logger(__name__)

LEASE = dt.timedelta(minutes=2)
"""Longer than any call may take (clinicportal.http.TIMEOUT), so that a lease ends only when its worker died."""
PATIENCE = dt.timedelta(hours=24)
"""How long we go on trying while the other side is busy or away; then somebody should look."""
LOOK_AGAIN = dt.timedelta(seconds=60)
"""How long the directory may hide what an invitation without an answer did, before we repeat it."""
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE_FOR_LAG, LOST_ANSWER_PAUSE = 0.5, 600.0, 15.0, 5.0
"""Seconds."""
LAG = {"not_there_yet", "not_a_member_yet"}
"""Codes that mean: the directory does not know yet what it was told (reference: replication)."""

KINDS = [
    Step.Kind.LOOK_UP,
    Step.Kind.INVITE,
    Step.Kind.AWAIT_VISIBLE,
    Step.Kind.JOIN_GROUP,
    Step.Kind.VERIFY,
    Step.Kind.MAIL,
]

Outcome = Callable[[], None]
"""What to write down when the step is done, in the commit that finishes it."""


def start(request: AccessRequest, guest: Guest) -> ProvisioningJob:
    """Write down the work for an approved request. The caller nudges after its commit."""
    job = ProvisioningJob.objects.create(request=request, guest=guest)
    Step.objects.bulk_create(
        Step(job=job, position=position, kind=kind, state=Step.State.LATER if position > 1 else Step.State.WAITING)
        for position, kind in enumerate(KINDS, start=1)
    )
    return job


def advance(job_id: uuid.UUID, graph: entra.Graph) -> float | None:
    """Do the job's steps one after the other until one has to wait, unless none is due or another worker has it.

    Returns seconds until the waiting one is due, or None when there is nothing to come back for. Safe to repeat at
    any point: each step looks before it acts.
    """
    while (step := Step.objects.lease(job_id, for_=LEASE)) is not None:
        wait = _do(step, graph)
        if wait is not None:
            return wait
    return None


def _do(step: Step, graph: entra.Graph) -> float | None:
    try:
        outcome = STEPS[Step.Kind(step.kind)](step, graph)
        _finish(step, outcome)
    except entra.TryLater as busy:
        return _postpone(step, busy)
    except entra.Refused as refusal:
        _park(step, because=refusal.code)
    return None


# ---------------------------------------------------------------- what a step leaves behind


def _finish(step: Step, outcome: Outcome) -> None:
    """Row, event and next step in one commit; nothing at all when the lease or the job is no longer ours."""
    with transaction.atomic(durable=True):
        job = _lock(step.job)
        if job.status != ProvisioningJob.Status.RUNNING or not step.release(
            state=Step.State.DONE, finished_at=Now(), last_code=""
        ):
            log.info("step overtaken", job=str(job.pk), kind=step.kind)
            return
        outcome()
        following = job.steps.filter(position__gt=step.position).order_by("position").first()
        if following:
            Step.objects.filter(pk=following.pk).update(state=Step.State.WAITING, due_at=Now())
        else:
            _complete(job)


def _complete(job: ProvisioningJob) -> None:
    job.move_to(ProvisioningJob.Status.DONE)
    if job.request.status == AccessRequest.Status.APPROVED:
        job.request.move_to(AccessRequest.Status.FULFILLED)
        _record(audit.Type.PROVISIONED, job)


def _postpone(step: Step, busy: entra.TryLater) -> float | None:
    """Come back later, and park instead when it has taken too long. Returns seconds until then."""
    patience = dt.timedelta(minutes=settings.PROVISIONING_VISIBLE_MINUTES) if busy.code in LAG else PATIENCE
    now = timezone.now()
    if step.first_tried_at and now - step.first_tried_at > patience:
        _park(step, because=busy.code)
        return None
    retry_at = max(busy.retry_at or now, now + dt.timedelta(seconds=pause(step.attempts, busy.code)))
    step.release(due_at=retry_at, last_code=busy.code)
    return (retry_at - now).total_seconds()


def pause(attempts: int, code: str) -> float:
    """Seconds to wait after so many attempts: doubling, with jitter so that many jobs do not come back as one."""
    first = LOST_ANSWER_PAUSE if code in Step.OUTCOME_UNKNOWN else FIRST_PAUSE
    longest = LONGEST_PAUSE_FOR_LAG if code in LAG else LONGEST_PAUSE
    return min(longest, first * 2 ** min(attempts - 1, 20)) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


def _park(step: Step, *, because: str) -> None:
    """Somebody's turn, with a sentence (partners/failures)."""
    with transaction.atomic(durable=True):
        job = _lock(step.job)
        if not step.release(state=Step.State.PARKED, last_code=because):
            return
        if job.status == ProvisioningJob.Status.RUNNING:
            job.move_to(ProvisioningJob.Status.NEEDS_HELP)
        _record(audit.Type.PROVISIONING_PARKED, job, reason=because, detail={"step": step.kind})
        if not failures.parked(because).known:
            incidents.report("job_unknown", detail=f"{step.kind} {because}")


def _lock(job: ProvisioningJob) -> ProvisioningJob:
    """The job as it is now, held until the commit. The request first, as every verb does: no deadlock."""
    AccessRequest.objects.select_for_update().get(pk=job.request_id)
    return (
        ProvisioningJob.objects.select_for_update(of=("self",)).select_related("request", "guest__user").get(pk=job.pk)
    )


def _record(type: audit.Type, job: ProvisioningJob, **facts) -> None:
    audit.record(type, job, organisation_id=job.request.organisation_id, **facts)


@transaction.atomic
def resume(job: ProvisioningJob, *, by: User) -> None:
    """Try a parked step again, after somebody mended its cause."""
    policies.check_is_approver(by)
    job.move_to(ProvisioningJob.Status.RUNNING)
    job.steps.filter(state=Step.State.PARKED).update(
        state=Step.State.WAITING, due_at=Now(), attempts=0, first_tried_at=None
    )
    _record(audit.Type.PROVISIONING_RESUMED, job, by=by)
    transaction.on_commit(partial(tasks.nudge, job.pk))


# ---------------------------------------------------------------- the steps


def look_up(step: Step, graph: entra.Graph) -> Outcome:
    """Whoever has the address in our directory already. A member is our own staff: then a person decides."""
    found = _only(graph.find_users(step.job.request.address))
    if found is None:
        return _nothing
    return partial(_know, step.job, found.id, created_by_us=False)


def invite(step: Step, graph: entra.Graph) -> Outcome:
    """A guest for the address, and the link that redeems it: Entra gives that link only in answer to an invitation.

    Repeating an invitation finds the same guest and gives a new link. Somebody who redeemed needs none; with another
    account it takes a reset (partners/redemption.py).
    """
    job = step.job
    found = _found_before_inviting(step, graph)
    if found is not None and not found.is_pending:
        return partial(_know, job, found.id, created_by_us=False)
    try:
        invited = graph.invite(
            job.request.address,
            name=job.request.person_name,
            redirect_url=settings.BASE_URL + "/welcome/back/",
        )
    except entra.TryLater as busy:
        raise entra.TryLater(Step.UNANSWERED if busy.code == "no_answer" else busy.code, busy.retry_at) from None
    return partial(_keep_invitation, job, invited)


def _found_before_inviting(step: Step, graph: entra.Graph) -> entra.User | None:
    """Who has the address now. While an earlier invitation may have worked, "nobody" has to be said twice, a minute
    apart: the directory may not show yet what it has done."""
    try:
        found = _only(graph.find_users(step.job.request.address))
    except entra.TryLater as busy:
        raise entra.TryLater(Step.UNANSWERED if step.outcome_unknown else busy.code, busy.retry_at) from None
    if found is None and step.outcome_unknown:
        raise entra.TryLater("not_found_after_lost_answer", timezone.now() + LOOK_AGAIN)
    return found


def await_visible(step: Step, graph: entra.Graph) -> Outcome:
    """Until the directory shows the guest."""
    graph.user(_object_id(step))
    return _nothing


def join_group(step: Step, graph: entra.Graph) -> Outcome:
    """The group is assigned to the application: its members may sign in."""
    graph.add_member(_object_id(step))
    return _nothing


def verify(step: Step, graph: entra.Graph) -> Outcome:
    """Read all of it back before we tell anybody to come in."""
    _only([graph.user(_object_id(step))])
    if not graph.is_member(_object_id(step)):
        raise entra.TryLater("not_a_member_yet")
    return _nothing


def mail(step: Step, graph: entra.Graph) -> Outcome:
    """The one mail with the one link. After a crash it may go out twice, word for word, under the same Message-ID."""
    invitation = step.job.request.invitation
    if invitation.status == Invitation.Status.COMPLETED:
        return _nothing
    invitations.deliver(invitation)
    return partial(invitations.mark_sent, invitation)


STEPS: dict[Step.Kind, Callable[[Step, entra.Graph], Outcome]] = {
    Step.Kind.LOOK_UP: look_up,
    Step.Kind.INVITE: invite,
    Step.Kind.AWAIT_VISIBLE: await_visible,
    Step.Kind.JOIN_GROUP: join_group,
    Step.Kind.VERIFY: verify,
    Step.Kind.MAIL: mail,
    # Looked up when called: that module imports this one, by way of the nudge.
    Step.Kind.ADD_ADDRESS: lambda step, graph: redemption.add_address(step, graph),
    Step.Kind.SET_BACK: lambda step, graph: redemption.set_back(step, graph),
}


def _only(found: list[entra.User]) -> entra.User | None:
    """The one guest among what the directory found, None for nobody. Raises Refused for anyone we must not touch."""
    if len(found) > 1:
        raise entra.Refused("ambiguous")
    for user in found:
        if not user.is_guest:
            raise entra.Refused("member_exists")
        if not user.enabled:
            raise entra.Refused("account_blocked")
        return user
    return None


def _object_id(step: Step) -> uuid.UUID:
    object_id = step.job.guest.user.object_id
    if object_id is None:  # cannot be after `invite`; asked rather than sent as "None" into the directory
        raise entra.Refused("unknown_person")
    return object_id


def _nothing() -> None:
    """Nothing to write down but that the step is done."""


def _know(job: ProvisioningJob, object_id: uuid.UUID, *, created_by_us: bool) -> None:
    """From now on the account here is this person in our directory."""
    user, tenant_id = job.guest.user, uuid.UUID(settings.ENTRA["tenant_id"])
    if user.object_id == object_id:
        return
    if user.object_id is not None or User.objects.filter(tenant_id=tenant_id, object_id=object_id).exists():
        raise entra.Refused("known_otherwise")
    User.objects.filter(pk=user.pk).update(tenant_id=tenant_id, object_id=object_id)
    Guest.objects.filter(pk=job.guest_id).update(created_by_us=created_by_us)


def _keep_invitation(job: ProvisioningJob, invited: entra.Invited) -> None:
    """If `look_up` found this person before, they stay somebody else's; otherwise this job made them."""
    _know(job, invited.id, created_by_us=True)
    Invitation.objects.filter(request=job.request_id).update(redeem_url=invitations.sealed(invited.redeem_url))
