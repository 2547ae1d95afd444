"""The saved work in the directory for one approved request: leased steps, each safe to repeat, the mail last.

A step is written down as `started` and committed before the call; while Graph answers we hold no lock and no
transaction; what came of it, the event and the lease of the next step are one commit. Whoever finds `started` or
`unanswered` looks first what became of it.

Four calls make a guest: who has the address, the invitation, the group, and reading both back (decision 19).
"""

from __future__ import annotations

import datetime as dt
import random
import time
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
from partners import entra, failures, gates, incidents, invitations, lag, policies, queue, redemption, tasks
from partners.models import AccessRequest, Guest, Invitation, ProvisioningJob, Step

log = structlog.get_logger(__name__)

PATIENCE = dt.timedelta(hours=24)
"""How long we go on trying while the other side is busy or away; then somebody should look."""
LOOK_AGAIN = dt.timedelta(seconds=60)
"""How long the directory may hide what an invitation without an answer did, before we repeat it."""
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE_FOR_LAG, LOST_ANSWER_PAUSE = 0.5, 600.0, 15.0, 5.0
"""Seconds."""
LAG = {"not_there_yet", "not_a_member_yet"}
"""Codes that mean: the directory does not know yet what it was told (reference: replication)."""
PACING = {"paced", "throttled", "daily_budget"}
"""Codes that mean: not before `retry_at`, and then as if nothing had been."""
TURN_SECONDS = 10.0
"""How long a worker goes on before it lets Celery have a word (its time limits, a stop)."""
IN_PLACE_SECONDS = 1.0

KINDS = [Step.Kind.INVITE, Step.Kind.JOIN_GROUP, Step.Kind.VERIFY, Step.Kind.MAIL]

Outcome = Callable[[], float | None]
"""What to write down when the step is done, in the commit that finishes it. Returns seconds that the following step
should wait, None: none."""


def start(request: AccessRequest, guest: Guest) -> ProvisioningJob:
    """Write down the work for an approved request. The caller nudges after its commit."""
    job = ProvisioningJob.objects.create(request=request, guest=guest)
    Step.objects.bulk_create(
        Step(job=job, position=position, kind=kind, state=Step.State.LATER if position > 1 else Step.State.WAITING)
        for position, kind in enumerate(KINDS, start=1)
    )
    return job


def work(graph: entra.Graph) -> float | None:
    """Do what is due, of any job, for a while. Returns seconds until somebody should go on; None: others see to it.

    Whoever did something comes back for what that left waiting, so one who found nothing to do need not.
    """
    until = time.monotonic() + TURN_SECONDS
    busy = False
    while time.monotonic() < until:
        if (step := queue.take()) is not None:
            busy = True
            _do_in_turn(step, graph)
            continue
        wait = queue.seconds_to_next()
        if wait is None or wait > IN_PLACE_SECONDS:
            return wait if busy else None
        time.sleep(max(0.02, wait))
    return 0.0 if busy else None


def advance(job_id: uuid.UUID, graph: entra.Graph) -> float | None:
    """Do one job's steps until one has to wait, unless none is due or another worker has it.

    Returns seconds until the waiting one is due, or None when there is nothing to come back for. Safe to repeat at
    any point: each step looks before it acts.
    """
    if (step := queue.take_of(job_id)) is None:
        return None
    _do_in_turn(step, graph)
    waiting = Step.objects.filter(job=job_id, state=Step.State.WAITING, job__status=ProvisioningJob.Status.RUNNING)
    due_at = waiting.filter(leased_until=None).values_list("due_at", flat=True).first()
    return None if due_at is None else max(0.0, (due_at - timezone.now()).total_seconds())


def _do_in_turn(step: Step | None, graph: entra.Graph) -> None:
    while step is not None:
        step = _do(step, graph)


def _do(step: Step, graph: entra.Graph) -> Step | None:
    """Do one step. Returns the following one, leased, when it can be done at once."""
    try:
        return _finish(step, STEPS[Step.Kind(step.kind)](step, graph))
    except entra.TryLater as busy:
        _postpone(step, busy)
    except entra.Refused as refusal:
        _park(step, because=refusal.code)
    return None


# ---------------------------------------------------------------- what a step leaves behind


def _finish(step: Step, outcome: Outcome) -> Step | None:
    """Row, event and next step in one commit; nothing at all when the lease or the job is no longer ours."""
    with transaction.atomic(durable=True):
        job = queue.hold(step.job)
        ours, more = queue.finish(step) if job.status == ProvisioningJob.Status.RUNNING else (False, False)
        if not ours:
            log.info("step overtaken", job=str(job.pk), kind=step.kind)
            return None
        wait = outcome()
        if not more:
            _complete(job)
            return None
        if wait:
            due_at = Now() + dt.timedelta(seconds=wait)
            Step.objects.filter(job=job, state=Step.State.WAITING).update(due_at=due_at)
            return None
        return queue.take(job)


def _complete(job: ProvisioningJob) -> None:
    job.move_to(ProvisioningJob.Status.DONE)
    if job.request.status == AccessRequest.Status.APPROVED:
        job.request.move_to(AccessRequest.Status.FULFILLED)
        _record(audit.Type.PROVISIONED, job)


def _postpone(step: Step, busy: entra.TryLater) -> None:
    """Come back later, and park instead when it has taken too long, or when it is this person after all."""
    patience = dt.timedelta(minutes=settings.PROVISIONING_VISIBLE_MINUTES) if busy.code in LAG else PATIENCE
    everybody = busy.code in gates.PROBE_AFTER
    now = timezone.now()
    tired = step.first_tried_at and now - step.first_tried_at > patience and not everybody and busy.code not in PACING
    if tired or _is_personal(step, busy):
        return _park(step, because=busy.code)
    if busy.code in PACING and busy.retry_at:
        pause_seconds = random.uniform(0, 0.1)  # noqa: S311 - no secret
    elif everybody:
        pause_seconds = gates.PROBE_AFTER[busy.code] or 0.0  # behind whoever has not been refused yet
    else:
        pause_seconds = pause(step.attempts, busy.code)
    retry_at = max(busy.retry_at or now, now + dt.timedelta(seconds=pause_seconds))
    step.release(due_at=retry_at, last_code=busy.code)
    return None


def _is_personal(step: Step, busy: entra.TryLater) -> bool:
    """Whether a cause that should concern everybody is this person's: they met it before, somebody else got through
    since, and now they meet it again. Or one such person would shut the gate for all, time after time."""
    return busy.scope in (entra.Scope.OPERATION, entra.Scope.DOMAIN) and (
        step.code_before == busy.code and not busy.probing
    )


def pause(attempts: int, code: str) -> float:
    """Seconds to wait after so many attempts: doubling, with jitter so that many jobs do not come back as one."""
    first = LOST_ANSWER_PAUSE if code in Step.OUTCOME_UNKNOWN else FIRST_PAUSE
    longest = LONGEST_PAUSE_FOR_LAG if code in LAG else LONGEST_PAUSE
    return min(longest, first * 2 ** min(attempts - 1, 20)) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


def _park(step: Step, *, because: str) -> None:
    """Somebody's turn, with a sentence (partners/failures)."""
    with transaction.atomic(durable=True):
        job = queue.hold(step.job)
        if not step.release(state=Step.State.PARKED, last_code=because):
            return
        if job.status == ProvisioningJob.Status.RUNNING:
            job.move_to(ProvisioningJob.Status.NEEDS_HELP)
        _record(audit.Type.PROVISIONING_PARKED, job, reason=because, detail={"step": step.kind})
        if not failures.parked(because).known:
            incidents.report("job_unknown", detail=f"{step.kind} {because}")


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


def invite(step: Step, graph: entra.Graph) -> Outcome:
    """Look who has the address, and invite: Entra gives the link that redeems only in answer to an invitation.

    A member is our own staff: then a person decides. Repeating an invitation finds the same guest and gives a new link.
    Somebody who redeemed needs none; with another account it takes a reset (partners/redemption.py).
    """
    job = step.job
    found = _found_before_inviting(step, graph)
    if found is not None and not found.is_pending:
        return partial(_know, job, found.id, created_by_us=False)
    try:
        invited = _invite(job, graph, found)
    except entra.TryLater as busy:
        if busy.code == "no_answer":
            raise entra.TryLater(Step.UNANSWERED, busy.retry_at) from None
        raise
    made = found is None or (found.created_at is not None and found.created_at >= job.created_at)
    return partial(_keep_invitation, job, invited, created_by_us=made, wait=None if found else lag.expected_seconds())


def _found_before_inviting(step: Step, graph: entra.Graph) -> entra.User | None:
    """Who has the address now. While an earlier invitation may have worked, "nobody" has to be said twice, a minute
    apart: the directory may not show yet what it has done."""
    try:
        found = _only(graph.find_users(step.job.request.address))
    except entra.TryLater as busy:
        if step.outcome_unknown:
            raise entra.TryLater(Step.UNANSWERED, busy.retry_at) from None
        raise
    if found is None and step.outcome_unknown:
        raise entra.TryLater("not_found_after_lost_answer", timezone.now() + LOOK_AGAIN)
    return found


def _invite(job: ProvisioningJob, graph: entra.Graph, found: entra.User | None) -> entra.Invited:
    """Name our colleague who answers for the partner as the guest's sponsor: lifecycle rules of a tenant disable or
    delete guests without one (onboarding.md §1, fact 8)."""
    request = job.request
    colleague = request.organisation.internal_sponsor
    call = partial(
        graph.invite,
        request.address,
        name=request.person_name,
        redirect_url=settings.BASE_URL + "/welcome/back/",
    )
    if found is not None or colleague is None or colleague.object_id is None:
        return call()
    try:
        return call(sponsor=colleague.object_id)
    except entra.TryLater as busy:
        if busy.code != "not_there_yet":
            raise
    incidents.report("sponsor_unknown", detail=str(request.organisation))
    return call()


def join_group(step: Step, graph: entra.Graph) -> Outcome:
    """The group is assigned to the application: its members may sign in. While the directory does not know the guest
    everywhere it says so here, so that nothing else has to ask."""
    graph.add_member(_object_id(step))
    return partial(_learn_lag, step) if step.code_before in LAG else _nothing


def verify(step: Step, graph: entra.Graph) -> Outcome:
    """Read it back before we tell anybody to come in: this answer shows the person and the membership. Whether the
    account is blocked was read when we looked it up."""
    if not graph.is_member(_object_id(step)):
        raise entra.TryLater("not_a_member_yet")
    return _nothing


def mail(step: Step, graph: entra.Graph) -> Outcome:
    """The one mail with the one link. After a crash it may go out twice, word for word, under the same Message-ID."""
    invitation = step.job.request.invitation
    invitation.refresh_from_db(fields=["status", "generation", "redeem_url"])
    if invitation.status == Invitation.Status.COMPLETED:
        return _nothing
    invitations.deliver(invitation)
    return partial(invitations.mark_sent, invitation)


STEPS: dict[Step.Kind, Callable[[Step, entra.Graph], Outcome]] = {
    Step.Kind.INVITE: invite,
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
    """From now on the account here is this person in our directory. Another job for them may have said so already."""
    user, tenant_id = job.guest.user, uuid.UUID(settings.ENTRA["tenant_id"])
    user.refresh_from_db(fields=["tenant_id", "object_id"], from_queryset=User.objects.select_for_update())
    if user.object_id == object_id:
        return
    if user.object_id is not None or User.objects.filter(tenant_id=tenant_id, object_id=object_id).exists():
        raise entra.Refused("known_otherwise")
    user.tenant_id, user.object_id = tenant_id, object_id
    user.save(update_fields=["tenant_id", "object_id"])
    Guest.objects.filter(pk=job.guest_id).update(created_by_us=created_by_us)


def _keep_invitation(
    job: ProvisioningJob, invited: entra.Invited, *, created_by_us: bool, wait: float | None
) -> float | None:
    """Who and by which link; and so long the directory will need to know a new guest everywhere."""
    _know(job, invited.id, created_by_us=created_by_us)
    Invitation.objects.filter(request=job.request_id).update(redeem_url=invitations.sealed(invited.redeem_url))
    return wait


def _learn_lag(step: Step) -> None:
    invited = Step.objects.filter(job=step.job_id, kind=Step.Kind.INVITE).order_by("position").last()
    if invited and invited.finished_at:
        lag.saw((timezone.now() - invited.finished_at).total_seconds())
