"""Celery entry points: fetch nothing, decide nothing, call a verb. A message is only a nudge, work is rows."""

from __future__ import annotations

import uuid

from celery import shared_task

from clinicportal.doorbell import ring
from partners import (
    access_requests,
    alerts,
    assurance,
    directory,
    entra,
    incidents,
    invitations,
    lateness,
    notices,
    provisioning,
    queue,
)
from partners.models import Step

SWEEP_AT_ONCE = 32
"""Enough to wake every process of a worker; each goes on with whatever is due."""
NUDGE_WITHIN_SECONDS = 60
"""Waits up to this long are rung for; for longer ones the sweep comes round in time."""


@shared_task(acks_late=True, ignore_result=True)
def run_job(job_id: str) -> None:
    """Do what is due, in this job or any other, and ring again when more of it is due soon."""
    wait = provisioning.work(entra.client())
    if wait is not None and wait <= NUDGE_WITHIN_SECONDS:
        nudge(uuid.UUID(job_id), after=wait)


@shared_task(ignore_result=True)
def sweep() -> None:
    """Nudge whatever is due, since any nudge may have been lost; and let time do its part."""
    wait = queue.seconds_to_next()
    if wait is not None and wait <= provisioning.IN_PLACE_SECONDS:  # not when all of it stands behind a shut gate
        for job_id in Step.objects.due().order_by("due_at").values_list("job", flat=True)[:SWEEP_AT_ONCE]:
            if not nudge(job_id):
                break
    access_requests.close_overdue()
    invitations.expire_overdue()
    invitations.tell_of_silence()
    alerts.tell()
    notices.deliver_due()
    lateness.notice()
    incidents.alert()


@shared_task(ignore_result=True)
def follow_directory() -> None:
    """Notice what happened to our guests in the directory, when that is due."""
    directory.follow(entra.client())


@shared_task(ignore_result=True)
def check_contexts() -> None:
    """Each few seconds: whether it is time to read the tenant's policies again. Mostly it is not."""
    assurance.check_when_due(entra.client())


@shared_task(ignore_result=True)
def check_contexts_now() -> None:
    """An operator pressed the button."""
    assurance.check(entra.client())


def nudge(job_id: uuid.UUID, *, after: float = 0.0) -> bool:
    """Ring for a job. With the broker away the work waits in its row, and the sweep finds it."""
    return ring(run_job, str(job_id), after=after)
