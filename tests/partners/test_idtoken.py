"""A token admits nobody unless our tenant made it for us, now, and for this attempt."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

from partners import idtoken

NONCE = "nonce-of-this-attempt"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key: rsa.RSAPrivateKey, kid: str) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


@pytest.fixture(autouse=True)
def tenant(monkeypatch):
    """The tenant's two documents, without the network; `keys` may be changed, `fetches` counts."""

    class Tenant:
        keys = [public(KEY, "one"), public(OTHER_KEY, "two")]
        issuer = idtoken.issuer()
        fetches = 0

        def answer(self, url: str) -> dict[str, Any]:
            if url.endswith("openid-configuration"):
                return {"issuer": self.issuer, "jwks_uri": "https://keys"}
            self.fetches += 1
            return {"keys": self.keys}

    tenant = Tenant()

    class Session:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def get(self, url):
            class Answer:
                raise_for_status = staticmethod(lambda: None)
                json = staticmethod(lambda: tenant.answer(url))

            return Answer

    monkeypatch.setattr(idtoken, "entra_session", lambda **_: Session())
    idtoken.forget()
    yield tenant
    idtoken.forget()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": idtoken.issuer(), "aud": settings.ENTRA["client_id"], "tid": settings.ENTRA["tenant_id"],
        "oid": str(uuid.uuid4()), "sub": "pairwise", "nonce": NONCE, "iat": now, "nbf": now, "exp": now + 3600,
    }  # fmt: skip
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def signed(kid: str | None = "one", key: Any = KEY, algorithm: str = "RS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers={"kid": kid} if kid else {})


def test_a_good_token_is_accepted():
    assert idtoken.verify(signed(), nonce=NONCE)["sub"] == "pairwise"


NOW = int(time.time())


WRONG_CLAIMS = {
    "another client": {"aud": "another-client"},
    "two audiences": {"aud": [settings.ENTRA["client_id"], "another-client"]},
    "a list of one audience": {"aud": [settings.ENTRA["client_id"]]},
    "another issuer": {"iss": "https://login.microsoftonline.com/other/v2.0"},
    "another tenant": {"tid": str(uuid.uuid4())},
    "expired": {"exp": NOW - 3600},
    "expired just past the leeway": {"exp": NOW - 65, "iat": NOW - 4000, "nbf": NOW - 4000},
    "not yet valid": {"nbf": NOW + 3600},
    "issued in the future": {"iat": NOW + 3600},
    **{f"no {name}": {name: None} for name in ("iat", "exp", "nbf", "sub", "oid", "tid", "nonce")},
    "the nonce of another attempt": {"nonce": "of-another-attempt"},
}


@pytest.mark.parametrize("changes", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_a_token_with_a_wrong_claim_is_refused(changes):
    with pytest.raises(idtoken.Invalid):
        idtoken.verify(signed(**changes), nonce=NONCE)


def unsigned() -> str:
    return jwt.encode(claims(), None, algorithm="none", headers={"kid": "one"})


def signed_with_the_public_key() -> str:
    """HS256, keyed with the RSA key that everyone knows: the classic confusion of algorithms."""
    pem = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    parts = [json.dumps({"alg": "HS256", "typ": "JWT", "kid": "one"}).encode(), json.dumps(claims()).encode()]
    body = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.new(pem, body, hashlib.sha256).digest()
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.mark.parametrize(
    "token",
    [
        unsigned(),
        signed_with_the_public_key(),
        signed(key=OTHER_KEY),
        signed(kid="three"),
        signed(kid=None),
        signed()[:-8] + "AAAAAAAA",
        "",
        "not.a.token",
        "a.b",
    ],
    ids=["none", "hs256", "wrong-key", "unknown-kid", "no-kid", "bad-signature", "empty", "junk", "two-parts"],
)
def test_a_token_without_a_good_signature_is_refused(token):
    with pytest.raises(idtoken.Invalid):
        idtoken.verify(token, nonce=NONCE)


def test_an_attempt_without_a_nonce_admits_nobody():
    with pytest.raises(idtoken.Invalid):
        idtoken.verify(signed(nonce=""), nonce="")


def test_a_rotated_key_is_fetched_once_and_not_for_every_unknown_one(tenant, monkeypatch):
    idtoken.verify(signed(), nonce=NONCE)
    monkeypatch.setattr(idtoken, "REFETCH_SECONDS", 0.2)
    time.sleep(0.25)
    new = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    tenant.keys = [public(new, "new")]
    assert idtoken.verify(signed(kid="new", key=new), nonce=NONCE)
    assert tenant.fetches == 2
    for _ in range(20):
        with pytest.raises(idtoken.Invalid):
            idtoken.verify(signed(kid="unknown"), nonce=NONCE)
    assert tenant.fetches <= 3


def test_a_configuration_of_another_issuer_is_not_ours(tenant):
    tenant.issuer = "https://login.microsoftonline.com/common/v2.0"
    with pytest.raises(idtoken.Invalid, match="discovery-issuer"):
        idtoken.verify(signed(), nonce=NONCE)
