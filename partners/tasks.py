"""Celery entry points: fetch nothing, decide nothing, call a verb. A message is only a nudge, work is rows."""

from __future__ import annotations

import uuid

from celery import shared_task

from clinicportal.doorbell import ring
from partners import access_requests, entra, incidents, invitations, provisioning
from partners.models import Step

SWEEP_AT_ONCE = 200
EXPIRES_SECONDS = 30
"""A nudge older than this was overtaken by several sweeps."""
NUDGE_WITHIN_SECONDS = 60
"""Waits up to this long are rung for; for longer ones the sweep comes round in time."""


@shared_task(acks_late=True, ignore_result=True)
def run_job(job_id: str) -> None:
    """Do what is due in one job, and ring again when the next part of it is due soon."""
    wait = provisioning.advance(uuid.UUID(job_id), entra.client())
    if wait is not None and wait <= NUDGE_WITHIN_SECONDS:
        nudge(uuid.UUID(job_id), after=wait)


@shared_task(ignore_result=True)
def sweep() -> None:
    """Nudge whatever is due, since any nudge may have been lost; and let time do its part."""
    due = Step.objects.due().order_by("due_at").values_list("job", flat=True)[:SWEEP_AT_ONCE]
    for job_id in due:
        if not nudge(job_id):
            break
    access_requests.close_overdue()
    invitations.expire_overdue()
    incidents.alert()


def nudge(job_id: uuid.UUID, *, after: float = 0.0) -> bool:
    """Ring for a job. Never raises: with the broker away the work waits in its row, and the sweep finds it."""
    return ring(run_job, str(job_id), expires=EXPIRES_SECONDS, after=after)
