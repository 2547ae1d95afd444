"""What Graph meant when it did not do it: later, or somebody's turn.

The texts of Graph are no contract and its codes are coarse ("BadRequest"), so a known sentence makes a refusal more
precise and nothing else: an unknown 4xx is always somebody's turn.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any


class TryLater(Exception):
    """Graph is busy, away, or does not know yet what it was told. `retry_at` is its own wish (aware), or None."""

    def __init__(self, code: str, retry_at: dt.datetime | None = None) -> None:
        super().__init__(code)
        self.code, self.retry_at = code, retry_at


class Refused(Exception):
    """Graph will give the same answer again: a person has to do something first."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# Part of the message (lower case) -> our code. Sources: shared reference entra.md §1 and §3, "known refusals".
REFUSALS = {
    "guest invitations not allowed": "invitations_disabled",
    "cross-tenant access settings": "cross_tenant",
    "blocked domains": "domain_blocked",
    "verified domain of this directory": "own_domain",
    "blocked from signing in": "account_blocked",  # stands before the next, whose words its sentence also has
    "already exists in the directory": "member_exists",
    "invitee is in inviter tenant": "member_exists",
    "primary smtp address is an invalid": "address_invalid",
    "doesn't match any emails": "address_changed",
    "conflictingobjects": "address_conflict",
    "proxyaddresses already exists": "address_conflict",
}
# Said right after an invitation, while the new guest is not everywhere yet; otherwise it means what it says. The
# caller's patience decides (partners/provisioning.py).
NOT_THERE_YET = {"Request_ResourceNotFound", "Directory_ObjectNotFound"}
NOT_THERE_YET_SENTENCE = "not a valid reference update"
BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
ALREADY_MEMBER = "already exist for the following modified properties: 'members'"


def meaning(status: int, body: Any, headers: Mapping[str, str], now: dt.datetime) -> TryLater | Refused:
    """The exception for an answer of 300 and above; `body` is its JSON, or anything else when it had none."""
    code, message = code_and_message(body)
    if status in BUSY:
        return TryLater("throttled", retry_at(headers.get("Retry-After"), now))
    if status == HTTPStatus.UNAUTHORIZED:
        return TryLater("token_refused")
    if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TryLater("no_answer", retry_at(headers.get("Retry-After"), now))
    if status == HTTPStatus.GONE:
        return Refused("sync_state_gone")  # a delta token is too old (entra.md §11)
    if code in NOT_THERE_YET or NOT_THERE_YET_SENTENCE in message:
        return TryLater("not_there_yet")
    known = next((ours for part, ours in REFUSALS.items() if part in message), None)
    if known:
        return Refused(known)
    return Refused("not_permitted" if status == HTTPStatus.FORBIDDEN else "unknown_refusal")


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
