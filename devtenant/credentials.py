"""How an app proves itself: secret, certificate, or the token of another issuer (entra.md §13, §16)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any
from urllib.parse import unquote_plus

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .errors import Mistake, TokenError
from .identities import GRAPH_CLIENT, OUR_DOMAIN, OUR_TENANT, SIGNIN_CLIENT
from .pages import base_of, tenant_of
from .seed import WORKLOAD_ISSUER
from .store import Json
from .tenant import Tenant, own_bases

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"
CLOCK_SKEW = 300  # seconds that Entra forgives


def authenticate(tenant: Tenant, request: Request, fields: dict[str, str]) -> Json:
    """The app that sent a request to the token endpoint. Raises TokenError."""
    client_id, secret = _basic_or_posted(request, fields)
    assertion = fields.get("client_assertion", "")
    client = tenant.app(client_id or _named_in(assertion))
    if client is None:
        text = f"Application with identifier '{client_id}' was not found in the directory '{OUR_DOMAIN}'."
        raise TokenError("unauthorized_client", 700016, text)
    if assertion:
        if fields.get("client_assertion_type") != ASSERTION_TYPE:
            raise _refused(50027, f"The client_assertion_type must be {ASSERTION_TYPE}.")
        _check_assertion(tenant, client, assertion, f"{base_of(request)}{request.url.path}")
        return client
    if not secret:
        text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        raise _refused(7000218, text)
    if not any(hmac.compare_digest(secret.encode(), known.encode()) for known in client["secrets"]):
        raise _refused(7000215, "Invalid client secret provided.")
    return client


def _refused(number: int, text: str) -> TokenError:
    return TokenError("invalid_client", number, text, status=401)


def _basic_or_posted(request: Request, fields: dict[str, str]) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return fields.get("client_id", ""), fields.get("client_secret", "")
    try:
        name, _, secret = base64.b64decode(encoded).decode().partition(":")
    except ValueError:
        raise _refused(7000216, "The Authorization header is malformed.") from None
    return unquote_plus(name), unquote_plus(secret)


# -- assertions ------------------------------------------------------------------------------------------------------


def _named_in(assertion: str) -> str:
    """The client that an assertion speaks for, when the form does not say (RFC 7523)."""
    try:
        return str(jwt.decode(assertion, options={"verify_signature": False}).get("sub", ""))
    except jwt.InvalidTokenError:
        return ""


def _check_assertion(tenant: Tenant, client: Json, assertion: str, endpoint: str) -> None:
    """Signed by the app itself with a certificate, or by an issuer that the app trusts. Raises TokenError."""
    try:
        header = jwt.get_unverified_header(assertion)
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise _refused(50027, "JWT token is invalid or malformed.") from None
    if claims.get("iss") in (client["id"], None):
        key = _certificate_key(tenant, client, header)
        _verify(assertion, key, header.get("alg"), 700027, "Client assertion failed signature validation.")
        _check_own_claims(tenant, client, claims, endpoint)
    else:
        _check_federated(tenant, client, assertion, header, claims)


def _verify(assertion: str, key: RSAPublicKey, algorithm: str | None, number: int, text: str) -> None:
    if algorithm not in ("RS256", "PS256"):
        raise _refused(number, f"{text} The algorithm must be RS256 or PS256.")
    try:
        jwt.PyJWS().decode(assertion, key, algorithms=[algorithm])  # the claims have refusals of their own
    except jwt.InvalidTokenError:
        raise _refused(number, text) from None


def _certificate_key(tenant: Tenant, client: Json, header: Json) -> RSAPublicKey:
    """The registered certificate that x5t#S256 (or the older x5t) names (entra.md §16). MSAL pads both with "="."""
    named = str(header.get("x5t#S256", header.get("x5t"))).rstrip("=")
    for pem in certificates_of(tenant, client):
        certificate = x509.load_pem_x509_certificate(pem.encode())
        if named in thumbprints(certificate):
            if certificate.not_valid_after_utc.timestamp() < time.time():
                raise _refused(700027, "The certificate used to sign the client assertion has expired.")
            key = certificate.public_key()
            if isinstance(key, RSAPublicKey):
                return key
    raise _refused(700027, "The certificate used to sign the client assertion is not registered on application.")


def certificates_of(tenant: Tenant, client: Json) -> list[str]:
    """Certificates in PEM: those registered, and for the portal's two apps the one in the data directory."""
    own = [tenant.keys.app_certificate] if client["id"] in (SIGNIN_CLIENT, GRAPH_CLIENT) else []
    return [*client["certificates"], *own]


def thumbprints(certificate: x509.Certificate) -> tuple[str, str]:
    """x5t#S256 and x5t."""
    return _base64url(certificate.fingerprint(hashes.SHA256())), _base64url(
        certificate.fingerprint(hashes.SHA1())  # noqa: S303 - x5t is defined with it (RFC 7515)
    )


def _check_own_claims(tenant: Tenant, client: Json, claims: Json, endpoint: str) -> None:
    """aud is the token endpoint, iss and sub the client, exp ahead (entra.md §16)."""
    if claims.get("iss") != client["id"] or claims.get("sub") != client["id"]:
        raise _refused(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
    if claims.get("aud") not in (endpoint, f"{endpoint.rpartition('/oauth2/')[0]}/v2.0"):
        raise _refused(700023, "Client assertion audience claim does not match Realm issuer.")
    _check_times(claims, 700024, "Client assertion is not within its valid time range.")
    _check_unused(tenant, client, claims)


def _check_times(claims: Json, number: int, text: str) -> None:
    now, end, begin = time.time(), claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(end, int | float) or end < now - CLOCK_SKEW or begin > now + CLOCK_SKEW:
        raise _refused(number, text)


def _check_unused(tenant: Tenant, client: Json, claims: Json) -> None:
    """One use for one jti, if that is switched on. MSAL sends one assertion for nine minutes (entra.md §16)."""
    if not claims.get("jti"):
        raise _refused(50027, "JWT token is invalid: 'jti' is missing.")
    digest = hashlib.sha256(f"{client['id']}:{claims['jti']}".encode()).hexdigest()
    if tenant.settings["refuse_used_assertions"] and tenant.store.get("assertions", digest):
        raise _refused(50027, "JWT token is invalid: it was used before.")
    tenant.store.put("assertions", digest, {"id": digest, "created": time.time()})


def _check_federated(tenant: Tenant, client: Json, assertion: str, header: Json, claims: Json) -> None:
    """Issuer, subject and audience as one federatedIdentityCredential of the app has them (entra.md §16)."""
    named = "No matching federated identity record found for presented assertion"
    by_issuer = [c for c in client["federatedCredentials"] if _same_issuer(tenant, c["issuer"], claims.get("iss"))]
    if not by_issuer:
        raise _refused(700211, f"{named} issuer '{claims.get('iss')}'.")
    by_subject = [c for c in by_issuer if c["subject"] == claims.get("sub")]
    if not by_subject:
        raise _refused(700213, f"{named} subject '{claims.get('sub')}'.")
    if not any(claims.get("aud") in (audience, [audience]) for c in by_subject for audience in c["audiences"]):
        raise _refused(700212, f"{named} audience '{claims.get('aud')}'.")
    key = tenant.keys.workload_key(header.get("kid", "")) if _issuer_path(tenant, claims["iss"]) else None
    if key is None:
        raise _refused(50013, "Assertion failed signature validation: the issuer publishes no such key.")
    _verify(assertion, key, header.get("alg"), 50013, "Assertion failed signature validation.")
    _check_times(claims, 700024, "Client assertion is not within its valid time range.")


def _same_issuer(tenant: Tenant, known: str, presented: Any) -> bool:
    return presented == known or (known.startswith("/") and _issuer_path(tenant, presented) == known)


def _issuer_path(tenant: Tenant, issuer: Any) -> str | None:
    """The path of an issuer that is this stand-in itself, by whichever of its names."""
    if not isinstance(issuer, str):
        return None
    base = next((base for base in own_bases(tenant) if issuer.startswith(f"{base}/_federated/")), None)
    return issuer.removeprefix(base) if base else None


# -- the issuer of workload tokens -----------------------------------------------------------------------------------


async def workload_discovery(request: Request) -> Response:
    """A made-up cluster that vouches for its workloads, as Kubernetes or GitHub would (entra.md §16)."""
    issuer = f"{base_of(request)}/_federated/{request.path_params['name']}"
    return JSONResponse(
        {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
    )


async def workload_keys(request: Request) -> Response:
    return JSONResponse(tenant_of(request).keys.workload_jwks())


def mint_workload_token(tenant: Tenant, asked: Json) -> Json:
    """{"subject", "issuer"?: "cluster", "audience"?, "lifetime"?: 3600}: a token as a workload finds it in a file."""
    subject, name = asked.get("subject"), str(asked.get("issuer", WORKLOAD_ISSUER.rpartition("/")[2]))
    if not isinstance(subject, str) or not subject:
        raise Mistake('Send {"subject": "system:serviceaccount:clinic:worker"}.')
    now = int(time.time())
    claims = {
        "iss": f"https://localhost:{tenant.port + 1}/_federated/{name}",
        "sub": subject,
        "aud": asked.get("audience", EXCHANGE_AUDIENCE),
        "iat": now,
        "nbf": now,
        "exp": now + int(asked.get("lifetime", 3600)),
    }
    return {"token": tenant.keys.sign_workload(claims), "issuer": claims["iss"], "tenant": OUR_TENANT}


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


CONTROLS = {"workload-token": mint_workload_token}
