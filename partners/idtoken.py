"""ID tokens of our tenant, verified by us.

OpenID Connect Core 1.0 §3.1.3.7; Microsoft identity platform, "Validate claims".
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from django.conf import settings

from clinicportal.http import entra_session

LEEWAY_SECONDS = 60
KEEP_SECONDS = 24 * 3600
REFETCH_SECONDS = 30
"""Keys rotate without notice: an unknown `kid` fetches them again, at most this often."""

REQUIRED = ["exp", "iat", "nbf", "iss", "aud", "sub", "oid", "tid", "nonce"]


class Invalid(Exception):
    """The token must not admit anyone; the message is a short code for the audit."""


@dataclass
class Document:
    """A JSON document of the tenant, kept in this process for a day."""

    content: dict[str, Any] = field(default_factory=dict)
    fetched_at: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, url: str, *, older_than: float = KEEP_SECONDS) -> dict[str, Any]:
        with self.lock:
            if time.monotonic() - self.fetched_at > older_than:
                with entra_session(timeout=(2.0, 3.0)) as session:
                    answer = session.get(url)
                    answer.raise_for_status()
                    self.content = answer.json()
                self.fetched_at = time.monotonic()
            return self.content


_configuration, _keys = Document(), Document()


def forget() -> None:
    """Drop what was fetched (tests; a changed tenant)."""
    _configuration.fetched_at = _keys.fetched_at = float("-inf")


def issuer() -> str:
    return f"{settings.ENTRA['authority']}/v2.0"


def discovery() -> dict[str, Any]:
    """The tenant's OpenID configuration. Raises Invalid when it names another issuer than ours."""
    found = _configuration.get(f"{issuer()}/.well-known/openid-configuration")
    if found.get("issuer") != issuer():
        _configuration.fetched_at = float("-inf")
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
    for older_than in (KEEP_SECONDS, REFETCH_SECONDS):
        for key in _keys.get(discovery()["jwks_uri"], older_than=older_than).get("keys", []):
            if kid and key.get("kid") == kid and key.get("kty") == "RSA":
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
