"""Apps and who is assigned to them (entra.md §4)."""

from __future__ import annotations

import base64

from starlette.requests import Request
from starlette.responses import Response

from .. import seed
from ..errors import GraphError
from ..identities import service_principal_id
from ..pages import tenant_of
from ..store import Json
from . import lists
from .wire import GRAPH, bad_request, body_of, graph_operation, not_found, public, reply

READ_APPS = ("Application.Read.All", "Directory.Read.All")


@graph_operation("GET /servicePrincipals", *READ_APPS)
async def list_service_principals(request: Request) -> Response:
    """The two apps; $filter knows appId eq '…' (entra.md §4)."""
    found = [_service_principal(app) for app in tenant_of(request).store.all("apps")]
    found = lists.filtered(request, found, {"appId", "displayName", "id"})
    return lists.collection(request, "servicePrincipals", found, public)


@graph_operation("GET /servicePrincipals/{id}", *READ_APPS)
async def get_service_principal(request: Request) -> Response:
    return reply(request, _service_principal(_app_of(request)))


@graph_operation("GET /servicePrincipals/{id}/appRoleAssignedTo", *READ_APPS)
async def list_assignments(request: Request) -> Response:
    resource = service_principal_id(_app_of(request)["id"])
    found = [a for a in tenant_of(request).store.all("assignments") if a["resourceId"] == resource]
    return lists.collection(request, "appRoleAssignments", found, _assignment)


@graph_operation("POST /servicePrincipals/{id}/appRoleAssignedTo", "AppRoleAssignment.ReadWrite.All")
async def assign(request: Request) -> Response:
    """201; 400 "Not a valid reference update" while the principal is not there for writes, whatever reads say (entra.md
    §1, eventual consistency), and for one who has the role already (entra.md §4, [K])."""
    tenant, app, body = tenant_of(request), _app_of(request), await body_of(request)
    principal, role = str(body.get("principalId")).lower(), body.get("appRoleId")
    found = tenant.store.get("users", principal) or tenant.group(principal)
    if found is None or not tenant.is_writable(found):
        text = "Not a valid reference update."
        raise GraphError(400, "Request_BadRequest", text, verdict="Not there yet" if found else "Not there")
    roles = [known["id"] for known in app["appRoles"]]
    if role not in roles or body.get("resourceId") != service_principal_id(app["id"]):
        raise bad_request("Permission being assigned was not found on application.")
    if tenant.store.get("assignments", f"{principal}.{role}"):
        raise bad_request("Permission being assigned already exists on the object")
    kind = "User" if "userPrincipalName" in found else "Group"
    made = seed.assign(tenant.store, principal, kind, found["displayName"], str(role))
    context = f"{GRAPH}/$metadata#appRoleAssignments/$entity"
    return reply(request, {"@odata.context": context, **_assignment(made)}, 201)


@graph_operation("DELETE /servicePrincipals/{id}/appRoleAssignedTo/{assignment}", "AppRoleAssignment.ReadWrite.All")
async def unassign(request: Request) -> Response:
    tenant, key = tenant_of(request), request.path_params["assignment"]
    _app_of(request)
    found = next((a for a in tenant.store.all("assignments") if _assignment(a)["id"] == key), None)
    if found is None:
        raise not_found(key)
    tenant.store.remove("assignments", found["id"])
    return reply(request, None, 204)


def _app_of(request: Request) -> Json:
    """An app by its service principal's id, or by servicePrincipals(appId='…')."""
    key, by_app = request.path_params.get("id"), request.path_params.get("app_id")
    for app in tenant_of(request).store.all("apps"):
        if by_app == app["id"] or key == service_principal_id(app["id"]):
            return app
    raise not_found(key or by_app or "")


def _service_principal(app: Json) -> Json:
    roles = [
        {
            "id": role["id"],
            "value": role["value"],
            "displayName": role["displayName"],
            "description": role["displayName"],
            "isEnabled": True,
            "allowedMemberTypes": ["User"],
            "origin": "Application",
        }
        for role in app["appRoles"]
    ]
    return {
        "id": service_principal_id(app["id"]),
        "appId": app["id"],
        "displayName": app["displayName"],
        "accountEnabled": True,
        "appRoleAssignmentRequired": app["appRoleAssignmentRequired"],
        "appRoles": roles,
        "servicePrincipalType": "Application",
    }


def _assignment(assignment: Json) -> Json:
    """The id is base64url, not a GUID (entra.md §4)."""
    key = base64.urlsafe_b64encode(assignment["id"].encode()).rstrip(b"=").decode()
    return {**assignment, "id": key}
