"""What Graph allows, and what each call costs (throttling guidance: identity and access; entra.md §10)."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class Cost:
    """What one call takes from the lanes. A write takes a unit, too."""

    units: int = 1
    writes: int = 0
    invitations: int = 0


@dataclass(frozen=True)
class Lane:
    """`limit` in any `seconds` that one picks: a sliding window."""

    name: str
    limit: int
    seconds: float


# Resource units with the $select that the client always sends.
COSTS = {
    "GET /users": Cost(units=1),
    "GET /users/{id}": Cost(units=1),
    "POST /invitations": Cost(units=1, writes=1, invitations=1),
    "POST /groups/{id}/members/$ref": Cost(units=1, writes=1),
    "DELETE /groups/{id}/members/{id}/$ref": Cost(units=1, writes=1),
    "POST /users/{id}/checkMemberGroups": Cost(units=4),
}
DAY = 86_400
LEAST_BURST = 10
"""So many invitations of a day's budget may go at once: a practice's few new colleagues do not wait."""


def cost(operation: str) -> Cost:
    """Whoever is not in the table pays what the dearest read does, and for a write if it may be one."""
    return COSTS.get(operation) or Cost(units=5, writes=0 if operation.startswith("GET ") else 1)


def lanes(operation: str) -> list[tuple[Lane, int]]:
    """The lanes that a call passes, each with what it takes there, in the one order that all callers lock them in."""
    takes = cost(operation)
    found = []
    if takes.invitations:
        if budget := day():
            found.append((budget, takes.invitations))
        found.append((Lane("invitations", settings.ENTRA_LIMIT_INVITATIONS, 5), takes.invitations))
    found.append((Lane("units", settings.ENTRA_LIMIT_UNITS, 10), takes.units))
    if takes.writes:
        found.append((Lane("writes", settings.ENTRA_LIMIT_WRITES, 150), takes.writes))
    return found


def day() -> Lane | None:
    """The day's budget as a window that is shorter than a day and holds a part of it: ten tenths make no more than
    the whole in any 24 hours, and none of them goes out in one rush. None: no budget is set."""
    budget = settings.ENTRA_INVITATIONS_PER_DAY
    if not budget:
        return None
    burst = min(budget, max(LEAST_BURST, budget // 10))
    return Lane("day", burst, DAY * burst / budget)


def throttled_lane(operation: str) -> str:
    """Which lane a 429 closes: /invitations has a limit of its own, everything else shares one."""
    return "invitations" if cost(operation).invitations else "units"
