"""The rules of traffic to the directory: what every worker obeys before a call, and tells the others after it.

Kept in PostgreSQL, so that neither Valkey nor web has a part in it. To enter is one statement (partners_enter, in
migration 0003): it looks at the gates, takes the call's share of each lane and names the probe. After an ordinary
answer nothing is written at all.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.db import connection
from django.db.models import F
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from partners import gates, incidents
from partners.entra import limits
from partners.entra.errors import Refused, Scope, TryLater
from partners.models import Lane

log = structlog.get_logger(__name__)

BRIEFLY = 1.5
"""Seconds that a worker waits in place; for longer the step comes back later and the worker does something else."""
LONGEST_CLOSING_SECONDS = 600
SLOWED_SECONDS = 10
BREAKING = {"unreachable", "no_answer", "token_refused"}
"""Failures of the directory as such: so many in a row open the breaker."""

ENTER = "SELECT wait, why, probing, worn FROM partners_enter(%s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True)
class Permit:
    """What a call was let through with."""

    operation: str
    domain: str = ""
    probing: list[str] = field(default_factory=list)  # shut gates that this call tries
    worn: bool = False  # a gate or lane remembers trouble, which an answer ends


class SharedTraffic:
    """`entra.Traffic` over PostgreSQL. Holds nothing itself, so each process may have one."""

    def enter(self, operation: str, *, domain: str = "") -> Permit:
        """Take one call's share, waiting a moment if need be.

        Raises TryLater with the code of a shut gate, "throttled" while Graph told us to stay away, "paced" when a
        limit is used up, "daily_budget" when the day's is.
        """
        if connection.in_atomic_block:
            raise RuntimeError("No call to the directory inside a transaction: locks would be held while it answers.")
        until = time.monotonic() + BRIEFLY
        while True:
            wait, why, probing, worn = _ask(operation, domain)
            if not wait:
                return Permit(operation, domain, probing, worn)
            if why != "paced" or time.monotonic() + wait > until:
                retry_at = None if wait == float("inf") else timezone.now() + dt.timedelta(seconds=wait)
                raise TryLater(why, retry_at, scope=Scope.PERSON if why in OURS else Scope.ALL)
            time.sleep(wait + random.uniform(0, 0.02))  # noqa: S311 - no secret

    def answered(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Graph did what it was asked for."""
        self._reached(permit)
        if (used := _percentage(headers)) > 1:
            until = Now() + dt.timedelta(seconds=SLOWED_SECONDS)
            Lane.objects.filter(name=limits.throttled_lane(permit.operation)).update(slowed_by=used, slowed_until=until)

    def failed(self, permit: Permit, problem: TryLater | Refused, *, detail: str = "", request_id: str = "") -> None:
        """Graph did not do it. `detail` is the operation with status and code, for the operator."""
        if isinstance(problem, TryLater):
            problem.probing = bool(permit.probing)
        if isinstance(problem, Refused):
            self._reached(permit)
            if problem.code == "unknown_refusal":
                incidents.report("unknown_refusal", detail=detail, request_id=request_id)
        elif problem.code == "throttled":
            gates.probe_failed(permit.probing, problem.code)
            _close_lane(permit.operation, problem.retry_at)
        elif problem.code in BREAKING:
            gates.probe_failed(permit.probing, problem.code)
            if gates.GRAPH not in permit.probing and gates.fail(problem.code):
                incidents.report("directory_away", detail=problem.code, request_id=request_id)
        elif problem.code in gates.PROBE_AFTER:
            self._shut(permit, problem, detail, request_id)
        else:
            self._reached(permit)

    def _reached(self, permit: Permit) -> None:
        """The directory is there and lets us work, whatever it said about this person."""
        if permit.probing:
            gates.opened(permit.probing)
        if permit.worn:
            gates.steady()
            Lane.objects.filter(strikes__gt=0).update(strikes=0)

    def _shut(self, permit: Permit, problem: TryLater, detail: str, request_id: str) -> None:
        """A cause that concerns everybody: one shut gate, one incident, however many met it."""
        name, where = {
            Scope.ALL: (gates.GRAPH, ""),
            Scope.OPERATION: (permit.operation, detail),
            Scope.DOMAIN: (gates.domain(permit.domain), permit.domain.lower()),
        }[problem.scope]
        if name in permit.probing:
            gates.probe_failed(permit.probing, problem.code)
        else:
            gates.shut(name, problem.code)
        incidents.report(problem.code, detail=where, request_id=request_id)
        log.error("gate shut", gate=name, code=problem.code)


OURS = {"paced", "throttled", "daily_budget"}
"""Codes of the lanes: they are about time, and end by themselves."""


def _ask(operation: str, domain: str) -> tuple[float, str, list[str], bool]:
    names = [gates.GRAPH, operation, *([gates.domain(domain)] if domain else [])]
    lanes = limits.lanes(operation)
    arguments: list[Any] = [
        names,
        [lane.name for lane, _ in lanes],
        [takes for _, takes in lanes],
        [lane.limit for lane, _ in lanes],
        [float(lane.seconds) for lane, _ in lanes],
        float(gates.PROBE_SECONDS),
    ]
    with connection.cursor() as cursor:
        cursor.execute(ENTER, arguments)
        return cursor.fetchone()


def _close_lane(operation: str, retry_at: dt.datetime | None) -> None:
    """Nobody goes there until Graph's own moment; without one, longer each time and at random (full jitter)."""
    lane = Lane.objects.filter(name=limits.throttled_lane(operation))
    if retry_at is not None:
        seconds = min(86_400.0, max(0.0, (retry_at - timezone.now()).total_seconds()))
    else:
        strikes = min(lane.values_list("strikes", flat=True).first() or 0, 10)
        seconds = random.uniform(0, min(LONGEST_CLOSING_SECONDS, 2.0 ** (strikes + 1)))  # noqa: S311 - no secret
        lane.update(strikes=F("strikes") + 1)
    until = Now() + dt.timedelta(seconds=seconds)
    lane.update(closed_until=Greatest(until, "closed_until"))
    log.warning("lane closed", lane=limits.throttled_lane(operation), seconds=round(seconds, 2))


def _percentage(headers: Mapping[str, str]) -> float:
    """How much of the limit Graph says is used: 0.8 to 1.8, absent below (throttling guidance)."""
    try:
        return float(headers.get("x-ms-throttle-limit-percentage", 0))
    except ValueError:
        return 0.0
