"""The queue of steps: which one is next, whose it is for how long, and when to look again.

A step is taken, and the taking committed, before anything is called; `attempts` is the fence. What stands behind a shut
gate or a full lane is not taken at all: the people wait in their rows, without an attempt each.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db import connection

from partners import gates
from partners.models import ProvisioningJob, Step

LEASE = timedelta(minutes=2)
"""Longer than any call may take (clinicportal.http.TIMEOUT), so that a lease ends only when its worker died."""

Kind = Step.Kind
BEHIND = {
    # Gates and lanes that a step of this kind has to pass.
    Kind.INVITE: [gates.GRAPH, "GET /users", "POST /invitations", "lane:day", "lane:invitations", "lane:units",
                  "lane:writes"],
    Kind.JOIN_GROUP: [gates.GRAPH, "POST /groups/{id}/members/$ref", "lane:units", "lane:writes"],
    Kind.ADD_ADDRESS: [gates.GRAPH, "GET /users/{id}", "PATCH /users/{id}", "lane:units", "lane:writes"],
    Kind.SET_BACK: [gates.GRAPH, "POST /invitations", "lane:day", "lane:invitations", "lane:units", "lane:writes"],
    Kind.VERIFY: [gates.GRAPH, "POST /users/{id}/checkMemberGroups", "lane:units"],
}  # fmt: skip
PAIRS = [(kind.value, name) for kind, names in BEHIND.items() for name in names]
TAKE = "SELECT (t.taken).*, t.code_before FROM partners_take(%(job)s, %(kinds)s, %(names)s, %(lease)s) t"
NEXT = "SELECT partners_seconds_to_next(%(kinds)s, %(names)s)"
# The request first, as every verb does: no deadlock. A joined row has its request locked before its job.
HOLD = """
    WITH request AS MATERIALIZED (SELECT id, status FROM partners_accessrequest WHERE id = %(request)s FOR UPDATE)
    SELECT request.status, j.status FROM partners_provisioningjob j JOIN request ON request.id = j.request_id
    WHERE j.id = %(job)s FOR UPDATE OF j
"""
# Done only where the lease is still ours (`attempts` is the fence), and then the turn of the following one.
FINISH = """
    WITH done AS (
        UPDATE partners_step
        SET state = 'done', finished_at = statement_timestamp(), last_code = '', leased_until = NULL
        WHERE id = %(step)s AND state = 'waiting' AND attempts = %(attempts)s RETURNING job_id
    ), following AS (
        UPDATE partners_step SET state = 'waiting', due_at = statement_timestamp()
        WHERE id = (SELECT s.id FROM partners_step s JOIN done USING (job_id) WHERE s.state = 'later'
                    ORDER BY s.position LIMIT 1) RETURNING id
    )
    SELECT EXISTS (SELECT FROM done), EXISTS (SELECT FROM following)
"""
FACTS: dict[str, Any] = {"kinds": [kind for kind, _ in PAIRS], "names": [name for _, name in PAIRS], "lease": LEASE}


def take(job: ProvisioningJob | None = None) -> Step | None:
    """Lease the step that has been due longest, of `job` or of any; None: nothing can be done now.

    Commits at once, unless in a transaction: then the lease begins with its commit.
    """
    found = list(Step.objects.raw(TAKE, {**FACTS, "job": job.pk if job else None}))
    if not found:
        return None
    step: Step = found[0]
    step.job = job or ProvisioningJob.objects.select_related(*PERSON).get(pk=step.job_id)
    return step


PERSON = ("guest__user", "request")
"""What every step needs to know of a job. No more: to plan a join of nine tables costs PostgreSQL six milliseconds, and
a row by its key a tenth of one."""


def take_of(job_id: uuid.UUID) -> Step | None:
    """Lease the due step of one job."""
    return take(ProvisioningJob.objects.select_related(*PERSON).get(pk=job_id))


def hold(job: ProvisioningJob) -> ProvisioningJob:
    """Lock request and job until the commit, and read their states anew."""
    with connection.cursor() as cursor:
        cursor.execute(HOLD, {"request": job.request_id, "job": job.pk})
        job.request.status, job.status = cursor.fetchone()
    return job


def finish(step: Step) -> tuple[bool, bool]:
    """Mark the step done and make the following one due. Returns whether it was still ours, and whether one follows."""
    with connection.cursor() as cursor:
        cursor.execute(FINISH, {"step": step.pk, "attempts": step.attempts})
        return cursor.fetchone()


def seconds_to_next() -> float | None:
    """Until something can be done again, by anyone: a step is due, a lease ends, a lane or a gate opens. None: nothing
    waits."""
    with connection.cursor() as cursor:
        cursor.execute(NEXT, FACTS)
        seconds = cursor.fetchone()[0]
    return None if seconds is None else max(0.0, float(seconds))
