"""Conditional Access policies and authentication contexts, to read and to write (entra.md §5, §6)."""

from __future__ import annotations

import re
import time
import uuid

from starlette.requests import Request
from starlette.responses import Response

from ..conditional_access import STATES
from ..errors import GraphError
from ..pages import tenant_of
from ..seed import authentication_context
from ..store import Json
from ..tenant import Tenant, timestamp
from . import lists
from .wire import GRAPH, body_of, graph_operation, not_found, public, reply, require

READ = ("Policy.Read.All", "Policy.ReadWrite.ConditionalAccess")
# All three are needed to write (entra.md §5).
WRITE = ("Policy.Read.All", "Policy.ReadWrite.ConditionalAccess", "Application.Read.All")
READ_CONTEXTS = ("AuthenticationContext.Read.All", "AuthenticationContext.ReadWrite.All", *READ)
WRITE_CONTEXTS = ("AuthenticationContext.ReadWrite.All", "Policy.ReadWrite.ConditionalAccess")
WRITABLE = {"displayName", "description", "state", "conditions", "grantControls", "sessionControls", "templateId"}
GRANTS = {
    *("block", "mfa", "compliantDevice", "domainJoinedDevice", "approvedApplication", "compliantApplication"),
    *("passwordChange", "riskRemediation"),
}
CONTEXT = re.compile(r"c[1-9][0-9]?")


# -- policies -------------------------------------------------------------------------------------------------------


@graph_operation("GET /identity/conditionalAccess/policies", *READ)
async def list_policies(request: Request) -> Response:
    """Whether a policy is bound to an authentication context: without one `acrs` proves nothing (entra.md §6)."""
    found = lists.filtered(request, tenant_of(request).store.all("policies"), {"displayName", "state", "id"})
    return lists.collection(request, "identity/conditionalAccess/policies", found, public)


@graph_operation("GET /identity/conditionalAccess/policies/{id}", *READ)
async def get_policy(request: Request) -> Response:
    return reply(request, _entity(_policy(request)))


@graph_operation("POST /identity/conditionalAccess/policies", *WRITE)
async def create_policy(request: Request) -> Response:
    _require_all(request, "POST /identity/conditionalAccess/policies")
    return reply(request, _entity(create(tenant_of(request), await body_of(request))), 201)


def create(tenant: Tenant, asked: Json) -> Json:
    """Keep a new policy. Raises GraphError."""
    now = timestamp(time.time())
    blank = {"description": None, "templateId": None, "grantControls": None, "sessionControls": None}
    policy = {"id": str(uuid.uuid4()), **blank, "createdDateTime": now, "modifiedDateTime": None, **_checked(asked)}
    _check_whole(policy)
    return tenant.store.put("policies", policy["id"], policy)


@graph_operation("PATCH /identity/conditionalAccess/policies/{id}", *WRITE)
async def update_policy(request: Request) -> Response:
    """A property that is named is replaced as a whole."""
    _require_all(request, "PATCH /identity/conditionalAccess/policies/{id}")
    known, asked = _policy(request), await body_of(request)
    policy = {**known, **_checked(asked), "modifiedDateTime": timestamp(time.time())}
    _check_whole(policy)
    tenant_of(request).store.put("policies", policy["id"], policy)
    return reply(request, None, 204)


@graph_operation("DELETE /identity/conditionalAccess/policies/{id}", *WRITE)
async def delete_policy(request: Request) -> Response:
    _require_all(request, "DELETE /identity/conditionalAccess/policies/{id}")
    tenant_of(request).store.remove("policies", _policy(request)["id"])
    return reply(request, None, 204)


def _require_all(request: Request, name: str) -> None:
    for permission in WRITE:
        require(request, name, permission)


def _policy(request: Request) -> Json:
    policy = tenant_of(request).store.get("policies", request.path_params["id"])
    if policy is None:
        raise not_found(request.path_params["id"])
    return policy


def _entity(policy: Json) -> Json:
    return {"@odata.context": f"{GRAPH}/$metadata#identity/conditionalAccess/policies/$entity", **public(policy)}


def _checked(asked: Json) -> Json:
    if unknown := {name for name in asked if not name.startswith("@odata.")} - WRITABLE:
        raise _bad(f"Policy contains properties that cannot be written: {', '.join(sorted(unknown))}.")
    return {name: value for name, value in asked.items() if name in WRITABLE}


def _check_whole(policy: Json) -> None:
    """What a policy must have (entra.md §5): name, state, whom, what, and something to ask."""
    if not policy.get("displayName") or policy.get("state") not in STATES:
        raise _bad(f"Policy needs a displayName and a state of {', '.join(STATES)}.")
    conditions = policy.get("conditions") or {}
    if not conditions.get("applications") or not (conditions.get("users") or conditions.get("clientApplications")):
        raise _bad("Policy must name applications and users in its conditions.")
    target = conditions["applications"]
    contexts = target.get("includeAuthenticationContextClassReferences") or []
    if contexts and (target.get("includeApplications") or []):
        raise _bad("Policy cannot target applications and authentication contexts at once.")
    if not all(CONTEXT.fullmatch(str(context)) for context in contexts):
        raise _bad("Policy contains an unknown authentication context: they are c1 to c99.")
    _check_controls(policy)


def _check_controls(policy: Json) -> None:
    grants, frequency = policy.get("grantControls"), (policy.get("sessionControls") or {}).get("signInFrequency")
    if not grants and not policy.get("sessionControls"):
        raise _bad("Policy must have grantControls or sessionControls.")
    if grants and grants.get("operator") not in ("AND", "OR"):
        raise _bad("The operator of grantControls must be AND or OR.")
    if grants and not set(grants.get("builtInControls") or []) <= GRANTS:
        raise _bad(f"The builtInControls must be of {', '.join(sorted(GRANTS))}.")
    if frequency and frequency.get("isEnabled") and not _is_interval(frequency):
        raise _bad("A signInFrequency needs a value and a type of hours or days, or the interval everyTime.")


def _is_interval(frequency: Json) -> bool:
    timed = isinstance(frequency.get("value"), int) and frequency.get("type") in ("hours", "days")
    return timed or frequency.get("frequencyInterval") == "everyTime"


def _bad(text: str) -> GraphError:
    return GraphError(400, "BadRequest", text)


# -- authentication contexts ------------------------------------------------------------------------------------------


@graph_operation("GET /identity/conditionalAccess/authenticationContextClassReferences", *READ_CONTEXTS)
async def list_contexts(request: Request) -> Response:
    """Those that were ever written; `isAvailable` false hides one from apps (entra.md §5)."""
    properties = {"id", "displayName", "description", "isAvailable"}
    found = lists.filtered(request, tenant_of(request).store.all("contexts"), properties)
    return lists.collection(request, "identity/conditionalAccess/authenticationContextClassReferences", found, public)


@graph_operation("GET /identity/conditionalAccess/authenticationContextClassReferences/{id}", *READ_CONTEXTS)
async def get_context(request: Request) -> Response:
    context = tenant_of(request).store.get("contexts", request.path_params["id"])
    if context is None:
        raise not_found(request.path_params["id"])
    where = f"{GRAPH}/$metadata#identity/conditionalAccess/authenticationContextClassReferences/$entity"
    return reply(request, {"@odata.context": where, **context})


@graph_operation("PATCH /identity/conditionalAccess/authenticationContextClassReferences/{id}", *WRITE_CONTEXTS)
async def write_context(request: Request) -> Response:
    """An upsert; isAvailable is false unless said (entra.md §5)."""
    tenant, key, asked = tenant_of(request), request.path_params["id"], await body_of(request)
    if not CONTEXT.fullmatch(key):
        raise _bad(f"'{key}' is not an authentication context: they are c1 to c99.")
    allowed = {"id", "displayName", "description", "isAvailable"}
    changes = {name: value for name, value in asked.items() if not name.startswith("@odata.")}
    if set(changes) - allowed or changes.get("id", key) != key:
        raise _bad("An authentication context has displayName, description and isAvailable.")
    if not isinstance(changes.get("isAvailable", False), bool):
        raise _bad("Invalid value specified for property 'isAvailable'.")
    known = tenant.store.get("contexts", key) or authentication_context(key, key, available=False)
    tenant.store.put("contexts", key, {**known, **changes})
    return reply(request, None, 204)
