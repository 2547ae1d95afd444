"""OpenID Connect without pages: discovery, keys, the token endpoint (entra.md §9, §13, §16)."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import time
import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import credentials
from .errors import TokenError
from .faults import Fault, operation
from .homes import identity_provider
from .identities import GRAPH_APP, OUR_DOMAIN, OUR_TENANT, service_principal_id
from .pages import base_of, tenant_of
from .store import Json
from .tenant import Tenant, is_guest, own_bases, pairwise_subject

CODE_LIFETIME = 600
TOKEN_LIFETIME = 3599  # what Entra answers as expires_in is a little under the hour (entra.md §9)
GRAPH_RESOURCE = "https://graph.microsoft.com"
NO_STORE = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}


def is_our_tenant(tid: str) -> bool:
    return tid.lower() in (OUR_TENANT, OUR_DOMAIN)


def error_body(error: str, number: int, text: str) -> Json:
    """Apps must branch on `error`, never on the text (entra.md §13)."""
    now, trace, correlation = dt.datetime.now(dt.UTC), str(uuid.uuid4()), str(uuid.uuid4())
    stamp = now.strftime("%Y-%m-%d %H:%M:%SZ")
    description = f"AADSTS{number}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {stamp}"
    return {
        "error": error,
        "error_description": description,
        "error_codes": [number],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
    }


def token_failure(_request: Request, fault: Fault) -> Response:
    body = {"error": fault.code, "error_description": fault.message, "error_codes": []}
    return JSONResponse(body, status_code=fault.status, headers={**NO_STORE, **fault.headers})


# -- discovery and keys -----------------------------------------------------------------------------------------


@operation("GET /openid-configuration", token_failure)
async def discovery(request: Request) -> Response:
    """Metadata whose addresses follow the host that was asked (entra.md §9, Discovery)."""
    tid = request.path_params["tid"]
    if not is_our_tenant(tid):
        return JSONResponse(_unknown_tenant(tid), status_code=400)
    base = f"{base_of(request)}/{OUR_TENANT}"
    return JSONResponse(
        {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code"],
            "scopes_supported": ["openid", "profile", "email"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": [
                *("sub", "iss", "aud", "exp", "iat", "nbf", "auth_time", "nonce", "preferred_username", "name"),
                *("tid", "oid", "ver", "sid", "uti", "email", "idp", "acrs", "roles"),
            ],
            "request_uri_parameter_supported": False,
            "http_logout_supported": True,
            "frontchannel_logout_supported": True,
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
        }
    )


@operation("GET /keys", token_failure)
async def keys(request: Request) -> Response:
    tid = request.path_params["tid"]
    if not is_our_tenant(tid):
        return JSONResponse(_unknown_tenant(tid), status_code=400)
    return JSONResponse(tenant_of(request).keys.jwks())


def _unknown_tenant(tid: str) -> Json:
    if tid.lower() in ("common", "organizations", "consumers"):
        return error_body("invalid_request", 50194, f"This app is single-tenant: the /{tid} endpoint is not for it.")
    return error_body("invalid_tenant", 90002, f"Tenant '{tid}' not found.")


# -- the token endpoint -----------------------------------------------------------------------------------------


@operation("POST /token", token_failure)
async def token(request: Request) -> Response:
    """Code or client credentials for tokens (entra.md §9, §16)."""
    tenant, form = tenant_of(request), await request.form()
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        if not is_our_tenant(request.path_params["tid"]):
            raise TokenError("invalid_request", 90002, f"Tenant '{request.path_params['tid']}' not found.")
        client = credentials.authenticate(tenant, request, fields)
        grant = GRANTS.get(fields.get("grant_type", ""))
        if grant is None:
            raise TokenError("unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        answer = grant(tenant, client, fields, base_of(request))
    except TokenError as refusal:
        body = error_body(refusal.error, refusal.number, refusal.text)
        return JSONResponse(body, status_code=refusal.status, headers=NO_STORE)
    return JSONResponse(answer, headers=NO_STORE)


def _redeem_code(tenant: Tenant, client: Json, fields: dict[str, str], _base: str) -> Json:
    code = tenant.store.get("codes", fields.get("code", ""))
    if code is None or code["client_id"] != client["id"]:
        raise TokenError("invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.")
    if code["used"]:
        raise TokenError("invalid_grant", 54005, "OAuth2 Authorization code was already redeemed.")
    if code["created"] < time.time() - CODE_LIFETIME:
        raise TokenError("invalid_grant", 70008, "The provided authorization code has expired.")
    if code["redirect_uri"] != fields.get("redirect_uri"):
        raise TokenError("invalid_client", 500112, "The reply address does not match the one of the code.")
    _check_pkce(code, fields.get("code_verifier"))
    tenant.store.put("codes", code["id"], {**code, "used": True})
    user = tenant.user(code["user"])
    if user is None or not user["accountEnabled"]:
        raise TokenError("invalid_grant", 50057, "The user account is disabled.")
    return {
        "token_type": "Bearer",
        "scope": code["scope"],
        "expires_in": TOKEN_LIFETIME,
        "ext_expires_in": TOKEN_LIFETIME,
        "access_token": _userinfo_token(tenant, client, user, code["base"]),
        "id_token": misshape(tenant, client, user, code),
    }


def _check_pkce(code: Json, verifier: str | None) -> None:
    """A challenge that was sent must be met (entra.md §13: 501481)."""
    expected = code["code_challenge"]
    if not expected and not verifier:
        return
    digest = base64.urlsafe_b64encode(hashlib.sha256((verifier or "").encode()).digest()).rstrip(b"=").decode()
    if not hmac.compare_digest(digest, expected or ""):
        text = "The Code_Verifier does not match the code_challenge supplied in the authorization request."
        raise TokenError("invalid_grant", 501481, text)


def _client_credentials(tenant: Tenant, client: Json, fields: dict[str, str], base: str) -> Json:
    """An app-only token for Graph; there is no refresh token (entra.md §16)."""
    resource, slash, suffix = fields.get("scope", "").rpartition("/")
    if not slash or suffix != ".default":
        text = f"The provided value for scope {fields.get('scope', '')} is not valid: it must end in /.default."
        raise TokenError("invalid_scope", 1002012, text)
    if resource.rstrip("/") not in graph_audiences(tenant, base):
        text = f"The resource principal named {resource} was not found in the tenant."
        raise TokenError("invalid_resource", 500011, text)
    return {
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFETIME,
        "ext_expires_in": TOKEN_LIFETIME,
        "access_token": tenant.keys.sign(_app_claims(client, resource)),
    }


def graph_audiences(tenant: Tenant, base: str) -> list[str]:
    """Names of Graph: Microsoft's, and the hosts of this stand-in (entra.md §14: the audience is a setting)."""
    return [GRAPH_RESOURCE, GRAPH_APP, base, *own_bases(tenant)]


GRANTS = {"authorization_code": _redeem_code, "client_credentials": _client_credentials}


# -- claims -----------------------------------------------------------------------------------------------------


def id_claims(tenant: Tenant, client: Json, user: Json, code: Json) -> Json:
    """Claims of the ID token; tid and iss are ours also for guests (entra.md §9)."""
    now, scopes = int(time.time()), code["scope"].split()
    claims: Json = {
        "ver": "2.0",
        "iss": f"{code['base']}/{OUR_TENANT}/v2.0",
        "aud": client["id"],
        "tid": OUR_TENANT,
        "sub": pairwise_subject(user, client["id"]),
        "iat": now,
        "nbf": now,
        "exp": now + TOKEN_LIFETIME,
        "sid": code["sid"],
        "uti": uuid.uuid4().hex[:22],
    }
    if "profile" in scopes:
        name = code["account_address"] if is_guest(user) else user["userPrincipalName"]
        claims |= {"oid": user["id"], "name": user["displayName"], "preferred_username": name}
    if code["nonce"]:
        claims["nonce"] = code["nonce"]
    # Guests have the claim by default and it is the guest object's, so a stranger who redeemed a forwarded link
    # carries the invited address: it proves nothing (entra.md §9).
    if user["mail"] and (is_guest(user) or "email" in scopes or _wants(client, code, "email")):
        claims["email"] = user["mail"]
    if is_guest(user):
        claims["idp"] = identity_provider(tenant.account(user["_home_account"]))
    if roles := tenant.roles_of(user, client):
        claims["roles"] = roles
    return claims | _optional_claims(client, user, code)


def _optional_claims(client: Json, user: Json, code: Json) -> Json:
    """Claims that come only when the app's registration or its `claims` parameter asks for them (entra.md §6, §9).

    Contexts that were asked for and met are all in `acrs`; the registration alone adds any that happen to be met. A
    sign-in with max_age answers with auth_time, as OpenID Connect has it. There is no `amr` in version 2.0.
    """
    found: Json = {}
    if code["contexts"]:
        found["acrs"] = code["contexts"]
    elif "acrs" in client["optionalClaims"] and code["satisfied"]:
        found["acrs"] = code["satisfied"]
    if _wants(client, code, "auth_time") or code["max_age"] is not None:
        found["auth_time"] = int(code["auth_time"])
    hint = f"O.{pairwise_subject(user, '')}"  # opaque, and the same for every app
    known = {"acct": int(is_guest(user)), "upn": user["userPrincipalName"], "login_hint": hint}
    return found | {name: value for name, value in known.items() if _wants(client, code, name)}


def _wants(client: Json, code: Json, name: str) -> bool:
    return name in client["optionalClaims"] or name in code["wanted"]


def _userinfo_token(tenant: Tenant, client: Json, user: Json, base: str) -> str:
    now = int(time.time())
    claims = {
        "aud": GRAPH_APP,
        "iss": f"{base}/{OUR_TENANT}/v2.0",
        "appid": client["id"],
        "oid": user["id"],
        "tid": OUR_TENANT,
        "sub": pairwise_subject(user, GRAPH_APP),
        "scp": "openid profile email",
        "iat": now,
        "nbf": now,
        "exp": now + TOKEN_LIFETIME,
    }
    return tenant.keys.sign(claims)


def _app_claims(client: Json, resource: str) -> Json:
    now, principal = int(time.time()), service_principal_id(client["id"])
    return {
        "aud": resource.rstrip("/"),
        "iss": f"https://sts.windows.net/{OUR_TENANT}/",
        "appid": client["id"],
        "idtyp": "app",
        "oid": principal,
        "sub": principal,
        "tid": OUR_TENANT,
        "roles": client["permissions"],
        "uti": uuid.uuid4().hex[:22],
        "iat": now,
        "nbf": now,
        "exp": now + TOKEN_LIFETIME,
    }


def misshape(tenant: Tenant, client: Json, user: Json, code: Json) -> str:
    """The signed ID token, or the next bad one that a test ordered (security.md §8, A1-A14, A22)."""
    if not tenant.bad_tokens:
        return tenant.keys.sign(id_claims(tenant, client, user, code))
    order = tenant.bad_tokens.popleft()
    changed = {**id_claims(tenant, client, tenant.user(order["user"] or "") or user, code), **order["claims"]}
    bad = {name: value for name, value in changed.items() if value is not None}
    return tenant.keys.sign_badly(bad, order["sign"]) if order["sign"] else tenant.keys.sign(bad)
