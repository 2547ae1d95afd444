"""What all Graph operations share: the token, the limits, the envelope, the ids, the record of the exchange."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Awaitable, Callable

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..errors import GraphError
from ..faults import Fault, operation
from ..oidc import graph_audiences
from ..pages import base_of, tenant_of
from ..store import Json
from ..throttling import costs_of

JSON_TYPE = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
GRAPH = "https://graph.microsoft.com/v1.0"

Handler = Callable[[Request], Awaitable[Response]]


def graph_operation(name: str, *permissions: str) -> Callable[[Handler], Handler]:
    """An endpoint that needs an app-only token with one of the permissions, and answers in the envelope.

    The permissions are the `roles` of the token, frozen when it was issued: one that was granted or taken away since
    shows in the next token (entra.md §1 missing right; [K] for how long a token lives on).
    """

    def guarded(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            headers: dict[str, str] = {}
            try:
                claims = claims_of(request)
                headers = _charge(request, name, claims)
                _admit(request, name, claims, permissions)
                response = await handler(request)
            except GraphError as error:
                response = error_answer(request, error)
            response.headers.update(headers)
            return response

        ordered = operation(name, failure)(checked)

        async def recorded(request: Request) -> Response:
            response = await ordered(request)
            fault = request.scope.get("devtenant.fault")
            if fault:
                request.scope["devtenant.call"]["verdict"] = f"As a test ordered: {fault.mode}"
            tenant_of(request).exchanges.keep(request, await request.body(), response)
            return response

        return recorded

    return guarded


def failure(request: Request, fault: Fault) -> Response:
    """The answer of an ordered fault: the envelope, or the body that the test gave."""
    if fault.body is None:
        return error_answer(request, GraphError(fault.status, fault.code, fault.message, fault.headers))
    if isinstance(fault.body, str):
        return Response(fault.body, status_code=fault.status, headers=fault.headers, media_type="text/html")
    return JSONResponse(fault.body, status_code=fault.status, headers=fault.headers)


# -- the way in -------------------------------------------------------------------------------------------------


def claims_of(request: Request) -> Json:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _no_token("Access token is empty.")
    tenant = tenant_of(request)
    try:
        claims = tenant.keys.verify(token, graph_audiences(tenant, base_of(request)))
    except jwt.ExpiredSignatureError:
        raise _no_token("Lifetime validation failed, the token is expired.") from None
    except jwt.InvalidTokenError:
        raise _no_token("Access token validation failure.") from None
    if claims.get("idtyp") != "app":
        text = "This stand-in answers apps, not signed-in users."
        raise GraphError(403, "Authorization_RequestDenied", text, verdict="Refused: the token of a person")
    return claims


def _no_token(text: str) -> GraphError:
    return GraphError(401, "InvalidAuthenticationToken", text, verdict="Refused: no valid token")


def _charge(request: Request, name: str, claims: Json) -> dict[str, str]:
    """Count the request against the limits (entra.md §10). Raises GraphError(429)."""
    tenant = tenant_of(request)
    costs = costs_of(name, request.query_params)
    users = tenant.store.count("users")
    return tenant.throttle.charge(costs, claims["appid"], tenant.now(), tenant.settings, users)


def _admit(request: Request, name: str, claims: Json, permissions: tuple[str, ...]) -> None:
    """Write down which permission opens the operation; the first named is the least that does."""
    held = request.scope["devtenant.roles"] = frozenset(claims.get("roles") or ())
    request.scope["devtenant.call"]["permission"] = next((p for p in permissions if p in held), None)
    if request.scope["devtenant.call"]["permission"] is None:
        raise forbidden(name)


def require(request: Request, name: str, *permissions: str) -> None:
    """What a part of an operation needs beyond its permission."""
    found = next((p for p in permissions if p in request.scope["devtenant.roles"]), None)
    if found is None:
        raise forbidden(name)
    request.scope["devtenant.call"]["permission"] = found


def forbidden(name: str) -> GraphError:
    verdict = "Refused: the token has no permission for it"
    if name == "POST /invitations":
        return GraphError(403, "Forbidden", "Generic authorization exception.", verdict=verdict)  # entra.md §1
    text = "Insufficient privileges to complete the operation."
    return GraphError(403, "Authorization_RequestDenied", text, verdict=verdict)


async def body_of(request: Request) -> Json:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        raise GraphError(400, "BadRequest", "Unable to read JSON request payload.") from None
    if not isinstance(body, dict):
        raise GraphError(400, "BadRequest", "Unable to read JSON request payload.")
    return body


# -- the way out ------------------------------------------------------------------------------------------------


def reply(request: Request, body: Json | None, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer with the ids that support asks for (entra.md §10)."""
    known = _headers(request, headers)
    if body is None:
        return Response(status_code=status, headers=known)
    return JSONResponse(body, status_code=status, headers=known, media_type=JSON_TYPE)


def reply_text(request: Request, text: str) -> Response:
    return Response(text, headers=_headers(request, None), media_type="text/plain")


def _headers(request: Request, more: dict[str, str] | None) -> dict[str, str]:
    call = request.scope["devtenant.call"]
    return {
        "request-id": call["request_id"],
        "client-request-id": call["client_request_id"],
        "OData-Version": "4.0",
        "Cache-Control": "no-cache",
        **(more or {}),
    }


def error_answer(request: Request, error: GraphError) -> Response:
    """Graph's error envelope; the date has no zone (entra.md §1, known refusals)."""
    call = request.scope["devtenant.call"]
    call["verdict"] = error.verdict
    said: Json = {
        "code": error.code,
        "message": error.message,
        "innerError": {
            "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": call["request_id"],
            "client-request-id": call["client_request_id"],
        },
    }
    if error.details:
        said["details"] = [{"code": c, "message": m, "target": t} for c, m, t in error.details]
    return reply(request, {"error": said}, error.status, error.headers)


def not_found(key: str) -> GraphError:
    text = f"Resource '{key}' does not exist or one of its queried reference-property objects are not present."
    return GraphError(404, "Request_ResourceNotFound", text, verdict="Not there")


def not_there_yet(request: Request, key: str) -> GraphError:
    """A write that refers to an object which it does not see yet (entra.md §1, eventual consistency)."""
    refusal = not_found(key)
    refusal.code, refusal.verdict = tenant_of(request).settings["not_there_code"], "Not there yet"
    return refusal


def bad_request(text: str) -> GraphError:
    return GraphError(400, "Request_BadRequest", text)


def public(item: Json) -> Json:
    return {name: value for name, value in item.items() if not name.startswith("_")}
