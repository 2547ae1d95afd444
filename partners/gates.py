"""Gates to the directory, shared by all workers: shut by a cause that concerns everybody, opened by a call that works.

The breaker is the gate "graph", shut after so many failures in a row. A refusal that concerns everybody shuts the gate
of its operation, of its domain, or of all calls. While a gate is shut nobody knocks, so the people behind it wait and
are not turned away one by one; when `probe_at` has come, exactly one call may try (function partners_enter).
"""

from __future__ import annotations

import random
from datetime import timedelta

from django.db import connection
from django.db.models.functions import Coalesce, Now

from partners.models import Gate, Step

GRAPH = "graph"
"""The gate of every call."""
FAILURES = 5
"""So many in a row shut it."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 15, 300
PROBE_SECONDS = 60
"""How long a probe may take before another may try: longer than any call (clinicportal.http.TIMEOUT)."""
PROBE_AFTER: dict[str, float | None] = {
    # Seconds until one call may try whether somebody has mended it. None: only the operator's word lets one try.
    "credentials": 300,
    "not_permitted": 900,
    "invitations_disabled": 900,
    "cross_tenant": 3600,
    "domain_blocked": 3600,
    "suspicious_activity": None,
}
"""Codes that concern everybody, a domain or an operation."""
OF_A_DOMAIN = {"cross_tenant", "domain_blocked"}

FAIL = """
    INSERT INTO partners_gate AS gate (name, code, failures, probes) VALUES (%(name)s, '', 1, 0)
    ON CONFLICT (name) DO UPDATE SET failures = gate.failures + 1
    RETURNING failures
"""


def domain(name: str) -> str:
    """The gate of a partner's domain."""
    return "domain:" + name.lower()


def fail(code: str) -> bool:
    """Count one failure of the directory as such. True when this one shut the gate."""
    with connection.cursor() as cursor:
        cursor.execute(FAIL, {"name": GRAPH})
        failures = cursor.fetchone()[0]
    if failures < FAILURES:
        return False
    pause = PAUSE_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
    probe_at = Now() + timedelta(seconds=pause)
    open_still = Gate.objects.filter(name=GRAPH, code="")
    return bool(open_still.update(code=code, shut_at=Now(), probe_at=probe_at, probes=0))


def shut(name: str, code: str) -> None:
    """Shut a gate for a cause that concerns everybody behind it."""
    after = PROBE_AFTER[code]
    probe_at = None if after is None else Now() + timedelta(seconds=after)
    fields = {"code": code, "probe_at": probe_at, "failures": 0, "probes": 0}
    since = Coalesce("shut_at", Now())  # one that is shut already stays so since then; one that was opened has no time
    Gate.objects.update_or_create(
        name=name, defaults={**fields, "shut_at": since}, create_defaults={**fields, "shut_at": Now()}
    )


def probe_failed(names: list[str], code: str) -> None:
    """The call that tried has met trouble again: wait longer than the last time."""
    for gate in Gate.objects.shut().filter(name__in=names):
        longer = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2 ** min(gate.probes + 1, 10))
        pause = PROBE_AFTER.get(gate.code, longer)
        probe_at = None if pause is None else Now() + timedelta(seconds=pause)
        same = Gate.objects.filter(pk=gate.pk, code=gate.code)
        same.update(probe_at=probe_at, probes=min(gate.probes + 1, 1000))


def opened(names: list[str]) -> None:
    """The call that tried was answered: whoever waited for these gates goes on now."""
    codes = list(Gate.objects.shut().filter(name__in=names).values_list("code", flat=True))
    Gate.objects.filter(name__in=names).update(code="", failures=0, probes=0, shut_at=None, probe_at=None)
    wake(codes)


def steady() -> None:
    """A call was answered: failures are no longer in a row."""
    Gate.objects.filter(failures__gt=0, code="").update(failures=0)


def mended(code: str, detail: str) -> None:
    """The operator has closed the incident: one call may try at once, and opens the gate if it works."""
    shut = Gate.objects.shut()
    if code == "directory_away":
        shut = shut.filter(name=GRAPH)
    elif code in OF_A_DOMAIN:
        shut = shut.filter(name=domain(detail))
    else:
        shut = shut.filter(code=code)
    codes = list(shut.values_list("code", flat=True))
    shut.update(probe_at=Now(), probes=0)
    wake(codes)


def wake(codes: list[str]) -> None:
    """Steps that waited for one of these causes are due now."""
    waiting = Step.objects.filter(state=Step.State.WAITING, leased_until=None, last_code__in=codes, due_at__gt=Now())
    waiting.update(due_at=Now())
