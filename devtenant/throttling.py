"""Graph's published limits (entra.md §10), kept strictly.

The algorithm: for each limit the accepted requests are logged with their time and cost, by the directory's clock. A
request passes when, for every limit it falls under, the costs logged in the last W seconds and its own are together no
more than N; then it is logged. So no window of W seconds, wherever it begins, ever holds more than N: the strictest
literal reading of "N per W seconds". A refused request costs nothing, unless the setting `early_retries` is "counted":
then each refused one is logged like an accepted one, which is a way to read "retrying early prolongs throttling".

Published are the numbers and headers. Our choices, to be verified in a real tenant: an invitation counts as one write
of its app and one resource unit, besides the limit of invitations; the scope named for limits of the whole tenant;
which x-ms-throttle-information a refused invitation carries; a request is charged before its permission is looked at.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from .errors import GraphError
from .identities import OUR_TENANT
from .store import Json

WARNING_SHARE = 0.8  # x-ms-throttle-limit-percentage is sent above it (entra.md §10)
SIZES = {"S": 3500, "M": 5000, "L": 8000}
"""Resource units of one app in one tenant per 10 seconds, by the tenant's size (entra.md §10)."""
COSTS = {
    "GET /users": 2,
    "GET /groups/{id}/members": 3,
    "GET /groups/{id}/transitiveMembers": 5,
    "POST /directoryObjects/getByIds": 3,
    "GET /users/{id}/memberOf": 2,
    "POST /users/{id}/checkMemberGroups": 4,
    "POST /users/{id}/getMemberGroups": 2,
    "GET /applications": 2,
}
"""Resource units of operations that cost more than one (entra.md §10)."""
READS_BY_POST = ("checkMemberGroups", "getMemberGroups", "getMemberObjects", "getByIds")
IDENTITY = (
    *("users", "groups", "servicePrincipals", "directoryObjects", "organization", "domains", "directory"),
    *("applications", "invitations"),
)
CODES = ("TooManyRequests", "429", "activityLimitReached")

SETTINGS: Json = {
    "throttling": True,
    "limits": {},
    "tenant_size": "auto",
    "retry_after": "fractional",
    "throttle_code": CODES[0],
    "early_retries": "free",
}


@dataclass(frozen=True)
class Limit:
    """At most `count` units in any `seconds` seconds, for each `scope` apart."""

    count: int
    seconds: float
    scope: str
    information: str = "ResourceUnitLimitExceeded"
    says_when: bool = True


LIMITS = {
    "requests": Limit(2000, 1, "Application"),
    "invitations": Limit(150, 5, "Tenant", "WriteLimitExceeded"),
    "resource_units": Limit(SIZES["S"], 10, "Tenant_Application"),
    "app_resource_units": Limit(150_000, 20, "Application"),
    "writes": Limit(3000, 150, "Tenant_Application", "WriteLimitExceeded"),
    "tenant_writes": Limit(18_000, 300, "Tenant", "WriteLimitExceeded"),
    "app_writes": Limit(70_000, 300, "Application", "WriteLimitExceeded"),
    "reports": Limit(5, 10, "Tenant_Application"),
    "conditional_access": Limit(1, 1, "Tenant", says_when=False),
}
"""The published table; there is one tenant here, so a limit over all tenants is one of the app."""


def _are_limits(value: Any) -> bool:
    return isinstance(value, dict) and all(
        name in LIMITS and (limit is None or _is_limit(limit)) for name, limit in value.items()
    )


def _is_limit(value: Any) -> bool:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(n) in (int, float) and n > 0 for n in value)
    return numbers and type(value[0]) is int


SETTABLE: dict[str, Callable[[Any], bool]] = {
    "throttling": lambda v: isinstance(v, bool),
    "limits": _are_limits,
    "tenant_size": lambda v: v in ("auto", *SIZES),
    "retry_after": lambda v: v in ("fractional", "whole", "date", "none"),
    "throttle_code": lambda v: v in CODES,
    "early_retries": lambda v: v in ("free", "counted"),
}


@dataclass
class Window:
    """The log of one limit for one app or the tenant."""

    entries: deque[tuple[float, int]] = field(default_factory=deque)
    total: int = 0

    def forget(self, before: float) -> None:
        while self.entries and self.entries[0][0] <= before:
            self.total -= self.entries.popleft()[1]

    def log(self, now: float, cost: int) -> None:
        self.entries.append((now, cost))
        self.total += cost

    def room_at(self, excess: int, seconds: float) -> float:
        """When enough of the log has aged out for `excess` units to be gone."""
        freed = itertools.accumulate(cost for _, cost in self.entries)
        moments = (moment for (moment, _), gone in zip(self.entries, freed, strict=True) if gone >= excess)
        return next(moments, self.entries[-1][0] if self.entries else 0.0) + seconds


class Throttle:
    """The windows of all limits. Nothing here is kept over a restart."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], Window] = {}

    def clear(self) -> None:
        self._windows.clear()

    def charge(self, costs: dict[str, int], app: str, now: float, settings: Json, users: int) -> dict[str, str]:
        """Log an accepted request. Returns the headers of its answer; raises GraphError(429)."""
        if not settings["throttling"]:
            return {}
        counted = [(name, limit, costs[name]) for name, limit in limits_now(settings, users).items() if name in costs]
        shares = {}
        for name, limit, cost in counted:
            window = self._window(name, limit, app)
            window.forget(now - limit.seconds)
            shares[name] = (window.total + cost) / limit.count
        full = [name for name, share in shares.items() if share > 1]
        if not full or settings["early_retries"] == "counted":
            for name, limit, cost in counted:
                self._window(name, limit, app).log(now, cost)
        headers = _headers(costs, max(shares.values(), default=0))
        if full:
            raise self._refusal(full, counted, app, now, settings, headers)
        return headers

    def used(self, settings: Json, users: int, now: float) -> Json:
        """For /_control/: each limit in force with what the busiest app has used of it."""
        found = {}
        for name, limit in limits_now(settings, users).items():
            windows = [window for (known, _), window in self._windows.items() if known == name]
            for window in windows:
                window.forget(now - limit.seconds)
            used = max((window.total for window in windows), default=0)
            found[name] = {"count": limit.count, "seconds": limit.seconds, "used": used}
        return found

    def _window(self, name: str, limit: Limit, app: str) -> Window:
        return self._windows.setdefault((name, "" if limit.scope == "Tenant" else app), Window())

    def _refusal(
        self, full: list[str], counted: list, app: str, now: float, settings: Json, headers: dict[str, str]
    ) -> GraphError:
        """The 429 of the limit that has to be waited for longest."""
        waits = {}
        for name, limit, cost in counted:
            if name in full:
                window = self._window(name, limit, app)
                waits[name] = window.room_at(window.total + cost - limit.count, limit.seconds) - now
        name = max(waits, key=lambda key: waits[key])
        limit = next(limit for known, limit, _ in counted if known == name)
        scope = f"{limit.scope}/ReadWrite/{app}/{OUR_TENANT}"
        headers |= {"x-ms-throttle-scope": scope, "x-ms-throttle-information": limit.information}
        when = _retry_after(max(waits[name], 0.001), settings["retry_after"]) if limit.says_when else None
        if when:
            headers["Retry-After"] = when
        text = "Too many requests; retry after the time that the header Retry-After names."
        return GraphError(429, settings["throttle_code"], text, headers, verdict=f"Throttled: {name}")


def limits_now(settings: Json, users: int) -> dict[str, Limit]:
    """The limits in force: the published ones for the tenant's size, changed or taken away by the settings."""
    changed = settings["limits"]
    found = {}
    for name, limit in LIMITS.items():
        count, seconds = limit.count, limit.seconds
        if name == "resource_units":
            count = SIZES[_size(users) if settings["tenant_size"] == "auto" else settings["tenant_size"]]
        if name in changed:
            if changed[name] is None:
                continue
            count, seconds = changed[name]
        found[name] = Limit(count, seconds, limit.scope, limit.information, limit.says_when)
    return found


def _size(users: int) -> str:
    """S below 50 users, M to 500, L above (entra.md §10)."""
    return "S" if users < 50 else "M" if users <= 500 else "L"


def costs_of(operation: str, query: Any) -> dict[str, int]:
    """What one request costs, by limit (entra.md §10). `query` holds its $select, $expand and $top."""
    method, _, path = operation.partition(" ")
    kind = path.split("/")[1].partition("(")[0] if path.startswith("/") else ""
    costs = {"requests": 1}
    if path.startswith(("/identity/conditionalAccess", "/identityProtection")):
        costs["conditional_access"] = 1
    elif kind == "auditLogs":
        costs["reports"] = 1
    elif kind in IDENTITY:
        units = resource_units(operation, query)
        costs |= {"resource_units": units, "app_resource_units": units}
        if method != "GET" and not path.endswith(READS_BY_POST):
            costs |= {"writes": 1, "tenant_writes": 1, "app_writes": 1}
    if kind == "invitations":
        costs["invitations"] = 1
    return costs


def resource_units(operation: str, query: Any) -> int:
    """$select takes one off, $expand adds one, a $top below 20 takes one off; never less than one (entra.md §10)."""
    units = COSTS.get(operation, 1)
    units += ("$expand" in query) - ("$select" in query)
    top = query.get("$top", "")
    units -= top.isdigit() and int(top) < 20
    return max(1, units)


def _headers(costs: dict[str, int], share: float) -> dict[str, str]:
    headers = {}
    if "resource_units" in costs:
        headers["x-ms-resource-unit"] = str(costs["resource_units"])
    if share > WARNING_SHARE:
        headers["x-ms-throttle-limit-percentage"] = f"{min(share, 1.8):.2f}"
    return headers


def _retry_after(seconds: float, how: str) -> str | None:
    """Fractional as in the documentation's sample, or what careful clients must also take (entra.md §10)."""
    if how == "none":
        return None
    if how == "fractional":
        return f"{math.ceil(seconds * 1000) / 1000:.3f}"
    if how == "whole":
        return str(math.ceil(seconds))
    return formatdate(time.time() + math.ceil(seconds), usegmt=True)
