"""ID tokens of our tenant, verified by us.

OpenID Connect Core 1.0 §3.1.3.7; Microsoft identity platform, "Validate claims".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from django.conf import settings

from clinicportal.http import entra_session, within

LEEWAY_SECONDS = 60
KEEP_SECONDS = 24 * 3600
REFETCH_SECONDS = 30
"""Keys rotate without notice: an unknown `kid` fetches them again, at most this often."""
FAILED_SECONDS = 5
"""How long a failed fetch keeps the next one away: whoever comes meanwhile hears at once."""
AT_ONCE = 2
"""How many threads of a process wait for the tenant. The others go on showing records, however slow it is."""
TURN_SECONDS, ANSWER_SECONDS = 1.0, 4.0
"""How long one waits for a turn, and then for all answers of the tenant together: a page within 6 seconds."""

REQUIRED = ["exp", "iat", "nbf", "iss", "aud", "sub", "oid", "tid", "nonce"]


class Invalid(Exception):
    """The token must not admit anyone; the message is a short code for the audit."""


_turns = threading.BoundedSemaphore(AT_ONCE)


@contextmanager
def turn() -> Iterator[None]:
    """For whatever asks the tenant while a person waits. Raises Invalid when too many do already."""
    if not _turns.acquire(timeout=TURN_SECONDS):
        raise Invalid("tenant-slow")
    try:
        with within(ANSWER_SECONDS):
            yield
    finally:
        _turns.release()


LONG_AGO = float("-inf")


@dataclass
class Document:
    """A JSON document of the tenant, kept in this process for a day."""

    content: dict[str, Any] = field(default_factory=dict)
    fetched_at: float = LONG_AGO
    failed_at: float = LONG_AGO
    asked_again_at: float = LONG_AGO
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, url: str) -> dict[str, Any]:
        """The document, fetched once a day. Raises requests' exceptions, ValueError, or Invalid soon after those."""
        with self.lock:
            if time.monotonic() - self.fetched_at > KEEP_SECONDS:
                self._fetch(url)
            return self.content

    def get_again(self, url: str) -> dict[str, Any]:
        """The document afresh, unless somebody asked for that a moment ago: strangers can make us want it."""
        with self.lock:
            if time.monotonic() - self.asked_again_at > REFETCH_SECONDS:
                self.asked_again_at = time.monotonic()
                self._fetch(url)
            return self.content

    def forget(self) -> None:
        self.fetched_at = self.failed_at = self.asked_again_at = LONG_AGO

    def _fetch(self, url: str) -> None:
        if time.monotonic() - self.failed_at < FAILED_SECONDS:
            raise Invalid("tenant-away")
        self.failed_at = time.monotonic()
        with entra_session(timeout=(2.0, 3.0)) as session:
            answer = session.get(url)
            answer.raise_for_status()
            content = answer.json()
        if not isinstance(content, dict):
            raise Invalid("tenant-malformed")
        self.content = content
        self.fetched_at, self.failed_at = time.monotonic(), LONG_AGO


_configuration, _keys = Document(), Document()


def forget() -> None:
    """Drop what was fetched (tests; a changed tenant)."""
    _configuration.forget()
    _keys.forget()


def issuer() -> str:
    return f"{settings.ENTRA['authority']}/v2.0"


def discovery() -> dict[str, Any]:
    """The tenant's OpenID configuration. Raises Invalid when it names another issuer than ours."""
    found = _configuration.get(f"{issuer()}/.well-known/openid-configuration")
    if found.get("issuer") != issuer():
        _configuration.forget()
        raise Invalid("discovery-issuer")
    return found


def signing_key(token: str) -> Any:
    """The tenant's key that the token's `kid` names, fetched again once when it is unknown."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise Invalid("malformed") from error
    if header.get("alg") != "RS256":
        raise Invalid("algorithm")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise Invalid("unknown-key")
    for get in (_keys.get, _keys.get_again):
        for key in get(discovery()["jwks_uri"]).get("keys", []):
            if key.get("kid") == kid and key.get("kty") == "RSA":
                return jwt.PyJWK(key, algorithm="RS256").key
    raise Invalid("unknown-key")


def verify(token: str, *, nonce: str) -> dict[str, Any]:
    """Return the claims of an ID token that our tenant made for us and for this attempt.

    Raises Invalid: signature by RS256 and the tenant's keys, issuer, a single audience, exp, nbf and iat
    within a minute, tenant, nonce. Says nothing yet about whether the person may come in.
    """
    try:
        claims = jwt.decode(
            token,
            signing_key(token),
            algorithms=["RS256"],
            audience=settings.ENTRA["client_id"],
            issuer=issuer(),
            leeway=LEEWAY_SECONDS,
            options={"require": REQUIRED, "verify_iat": True},
        )
    except jwt.InvalidTokenError as error:
        raise Invalid(type(error).__name__) from error
    if not isinstance(claims["aud"], str):
        raise Invalid("several-audiences")
    if claims["tid"] != settings.ENTRA["tenant_id"]:
        raise Invalid("tenant")
    if not nonce or claims["nonce"] != nonce:
        raise Invalid("nonce")
    return claims


def check_fresh(claims: dict[str, Any], *, seconds: int) -> None:
    """Raise Invalid unless the person signed in (`auth_time`, an optional claim) at most that long ago."""
    at, now = claims.get("auth_time"), time.time()
    if not isinstance(at, int) or not -LEEWAY_SECONDS <= now - at <= seconds + LEEWAY_SECONDS:
        raise Invalid("not-fresh")
