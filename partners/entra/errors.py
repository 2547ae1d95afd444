"""What Graph meant when it did not do it: later, or somebody's turn; for this person, or for everybody.

The texts of Graph are no contract and its codes are coarse ("BadRequest"), so a known sentence makes a refusal more
precise and nothing else: an unknown 4xx is always somebody's turn.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any


class Scope(enum.Enum):
    """Whom an answer concerns."""

    PERSON = "person"
    DOMAIN = "domain"  # everybody of the invited domain
    OPERATION = "operation"  # everybody for whom we would make this call
    ALL = "all"  # every call


class TryLater(Exception):
    """Graph is busy, away, shut for everybody, or does not know yet what it was told. `retry_at` (aware) is when it or
    our own traffic rules let us come back, or None."""

    def __init__(self, code: str, retry_at: dt.datetime | None = None, scope: Scope = Scope.PERSON) -> None:
        super().__init__(code)
        self.code, self.retry_at, self.scope = code, retry_at, scope
        self.probing = False  # the call that met this tried whether a shut gate may be opened


class Refused(Exception):
    """Graph will give the same answer to this person again: somebody has to do something first."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Kind(enum.Enum):
    LATER = TryLater
    REFUSED = Refused


@dataclass(frozen=True)
class Row:
    """An answer with one of `statuses` (empty: any of 300 and above), with Graph's `code` and with `part` in its
    message (lower case; empty: any) means `ours`."""

    statuses: tuple[int, ...]
    code: str
    part: str
    ours: str
    kind: Kind = Kind.REFUSED
    scope: Scope = Scope.PERSON

    def fits(self, status: int, code: str, message: str) -> bool:
        return (
            (not self.statuses or status in self.statuses)
            and (not self.code or code == self.code)
            and self.part in message
        )


LATER, REFUSED = Kind.LATER, Kind.REFUSED
SERVER = tuple(range(500, 600))
CLIENT = tuple(range(400, 500))

# The first that fits holds. Sources: entra.md §1 ("known refusals", "eventual consistency"), §3, §10.
TABLE = (
    # status      code of Graph, part of its message                             ours, kind, whom it concerns
    Row((429, 503), "", "", "throttled", LATER),  # the pacer closes the lane for all workers
    Row((401,), "", "", "token_refused", LATER),
    Row((408, *SERVER), "", "", "no_answer", LATER),
    Row((403,), "", "suspicious activity", "suspicious_activity", LATER, Scope.ALL),
    # Somebody may mend these in the tenant; nobody has to end a request for them.
    Row(CLIENT, "", "guest invitations not allowed", "invitations_disabled", LATER, Scope.OPERATION),
    Row(CLIENT, "", "cross-tenant access settings", "cross_tenant", LATER, Scope.DOMAIN),
    Row(CLIENT, "", "blocked domains", "domain_blocked", LATER, Scope.DOMAIN),
    # Said right after an invitation, while the new guest is not everywhere yet; otherwise it means what it says. The
    # caller's patience decides (partners/provisioning.py).
    Row((404,), "Request_ResourceNotFound", "", "not_there_yet", LATER),
    Row((404,), "Directory_ObjectNotFound", "", "not_there_yet", LATER),
    Row((400,), "", "not a valid reference update", "not_there_yet", LATER),
    Row(CLIENT, "", "verified domain of this directory", "own_domain"),
    Row(CLIENT, "", "blocked from signing in", "account_blocked"),  # before the next, whose words it has, too
    Row(CLIENT, "", "already exists in the directory", "member_exists"),
    Row(CLIENT, "", "invitee is in inviter tenant", "member_exists"),
    Row(CLIENT, "", "primary smtp address is an invalid", "address_invalid"),
    Row(CLIENT, "", "doesn't match any emails", "address_changed"),
    Row(CLIENT, "", "conflictingobjects", "address_conflict"),
    Row(CLIENT, "", "proxyaddresses already exists", "address_conflict"),
    Row((410,), "", "", "sync_state_gone"),  # a delta token is too old (§11)
    Row((403,), "", "", "not_permitted", LATER, Scope.OPERATION),
    Row((), "", "", "unknown_refusal"),
)
ALREADY_MEMBER = "already exist for the following modified properties: 'members'"


def meaning(status: int, body: Any, headers: Mapping[str, str], now: dt.datetime) -> TryLater | Refused:
    """The exception for an answer of 300 and above; `body` is its JSON, or anything else when it had none."""
    code, message = code_and_message(body)
    row = next(row for row in TABLE if row.fits(status, code, message))
    if row.kind is REFUSED:
        return Refused(row.ours)
    return TryLater(row.ours, retry_at(headers.get("Retry-After"), now), row.scope)


def code_and_message(body: Any) -> tuple[str, str]:
    """Graph's error code, and its message with the details in lower case; empty for any other shape."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("code", "")), f"{error.get('message', '')} {error.get('details', '')}".lower()


def retry_at(text: str | None, now: dt.datetime) -> dt.datetime | None:
    """When Retry-After says: seconds, which Graph also writes as 2.128, or an HTTP date. None for nonsense."""
    if not text:
        return None
    try:
        return now + dt.timedelta(seconds=max(0.0, float(text)))
    except (ValueError, OverflowError):
        pass
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)
