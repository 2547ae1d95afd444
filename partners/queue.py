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

# Names that let nobody through now, and when they may. The rest of each statement is about few rows.
SHUT = """
    SELECT name, coalesce(probe_at, 'infinity') AS until FROM partners_gate
    WHERE code <> '' AND (probe_at IS NULL OR probe_at > statement_timestamp())
    UNION ALL
    SELECT 'lane:' || name, greatest(opens_at, closed_until) FROM partners_lane
    WHERE greatest(opens_at, closed_until) > statement_timestamp()
"""
SHUT_KINDS = """
    SELECT pair.kind FROM shut JOIN unnest(%(kinds)s::text[], %(names)s::text[]) AS pair (kind, name) USING (name)
"""
# Scalar subqueries, which the planner leaves alone: it walks the index of due steps in order and stops at the first
# that fits, where a join would first gather everything that is due.
OPEN = f"""
    s.state = 'waiting' AND s.kind <> ALL (ARRAY({SHUT_KINDS}))
    AND (SELECT j.status FROM partners_provisioningjob j WHERE j.id = s.job_id) = 'running'
    AND (s.kind NOT IN ('invite', 'set_back') OR NOT EXISTS (SELECT FROM shut WHERE name LIKE 'domain:%%') OR (
        SELECT 'domain:' || split_part(r.address, '@', 2) FROM partners_accessrequest r
        JOIN partners_provisioningjob j ON j.request_id = r.id WHERE j.id = s.job_id) NOT IN (SELECT name FROM shut))
"""  # noqa: S608 - constants of this module

# A worker that dies leaves the code `started` behind: the next one knows that the outcome is unknown.
TAKE = f"""
    WITH shut AS MATERIALIZED ({SHUT}), next AS (
        SELECT s.id, s.last_code FROM partners_step s
        WHERE {OPEN} AND s.due_at <= statement_timestamp()
            AND (s.leased_until IS NULL OR s.leased_until < statement_timestamp()) {{of_one_job}}
        ORDER BY s.due_at LIMIT 1 FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE partners_step s SET
        attempts = s.attempts + 1, last_code = '{Step.STARTED}',
        leased_until = clock_timestamp() + %(lease)s, first_tried_at = coalesce(s.first_tried_at, clock_timestamp())
    FROM next WHERE s.id = next.id RETURNING s.*, next.last_code AS code_before
"""  # noqa: S608 - as above
NEXT = f"""
    WITH shut AS MATERIALIZED ({SHUT}), found AS (
        SELECT greatest(s.due_at, s.leased_until) AS at FROM partners_step s WHERE {OPEN}
        UNION ALL
        SELECT until FROM shut WHERE EXISTS (SELECT FROM partners_step s WHERE s.state = 'waiting')
    )
    SELECT CASE WHEN min(at) IS NOT NULL
        THEN extract(epoch FROM least(min(at), clock_timestamp() + interval '1 day') - clock_timestamp()) END
    FROM found
"""  # noqa: S608 - as above
FACTS: dict[str, Any] = {"kinds": [kind for kind, _ in PAIRS], "names": [name for _, name in PAIRS], "lease": LEASE}


def take(job: ProvisioningJob | None = None) -> Step | None:
    """Lease the step that has been due longest, of `job` or of any; None: nothing can be done now.

    Commits at once, unless in a transaction: then the lease begins with its commit.
    """
    of_one_job = "AND s.job_id = %(job)s" if job else ""
    facts = {**FACTS, "job": job.pk if job else None}
    found = list(Step.objects.raw(TAKE.format(of_one_job=of_one_job), facts))
    if not found:
        return None
    step: Step = found[0]
    step.job = job or ProvisioningJob.objects.select_related(*PERSON).get(pk=step.job_id)
    return step


PERSON = (
    *("guest__user", "request__invitation", "request__sponsor__user"),
    *("request__organisation__internal_sponsor", "request__organisation__organisation"),
)
"""What the steps need to know of a job."""


def take_of(job_id: uuid.UUID) -> Step | None:
    """Lease the due step of one job."""
    return take(ProvisioningJob.objects.select_related(*PERSON).get(pk=job_id))


def seconds_to_next() -> float | None:
    """Until something can be done again, by anyone: a step is due, a lease ends, a lane or a gate opens. None: nothing
    waits."""
    with connection.cursor() as cursor:
        cursor.execute(NEXT, FACTS)
        seconds = cursor.fetchone()[0]
    return None if seconds is None else max(0.0, float(seconds))
