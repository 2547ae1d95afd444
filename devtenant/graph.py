"""Microsoft Graph v1.0, as far as guests and one group need it (entra.md §1, §2, §3, §4, §5)."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlencode

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import invitations, odata
from .errors import GraphError
from .faults import Fault, operation
from .identities import OUR_DOMAIN, OUR_NAME, OUR_TENANT, service_principal_id
from .oidc import graph_audiences
from .pages import base_of, tenant_of
from .store import Json
from .tenant import timestamp

JSON_TYPE = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
GRAPH = "https://graph.microsoft.com/v1.0"
DEFAULT_PROPERTIES = (
    *("businessPhones", "displayName", "givenName", "id", "jobTitle", "mail", "mobilePhone", "officeLocation"),
    *("preferredLanguage", "surname", "userPrincipalName"),
)
# Properties that a user of ours never has a value for, but that may be asked for.
EMPTY: Json = {
    "businessPhones": [],
    "jobTitle": None,
    "mobilePhone": None,
    "officeLocation": None,
    "preferredLanguage": None,
    "companyName": None,
    "department": None,
    "employeeId": None,
    "usageLocation": None,
    "imAddresses": [],
    "mailNickname": None,
}
MODELLED = (
    *("id", "displayName", "givenName", "surname", "userPrincipalName", "mail", "otherMails", "proxyAddresses"),
    *("userType", "accountEnabled", "createdDateTime", "deletedDateTime", "creationType", "externalUserState"),
    *("externalUserStateChangeDateTime", "showInAddressList", "signInSessionsValidFromDateTime", "identities"),
)
USER_PROPERTIES = {*MODELLED, *EMPTY}
UPDATABLE = {"accountEnabled", "displayName", "givenName", "surname", "mail", "otherMails", "showInAddressList"}
MAX_SPONSORS = 5
MAX_PAGE = 999

Handler = Callable[[Request], Awaitable[Response]]


# -- the envelope -----------------------------------------------------------------------------------------------


def failure(request: Request, fault: Fault) -> Response:
    return _error(request, GraphError(fault.status, fault.code, fault.message, fault.headers))


def _error(request: Request, error: GraphError) -> Response:
    """Graph's error envelope; the date has no zone (entra.md §1, known refusals)."""
    call = request.scope["devtenant.call"]
    inner = {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": call["request_id"],
        "client-request-id": call["client_request_id"],
    }
    body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
    return _json(request, body, error.status, error.headers)


def _json(request: Request, body: Json | None, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer with the ids that support asks for (entra.md §10)."""
    call = request.scope["devtenant.call"]
    known = {
        "request-id": call["request_id"],
        "client-request-id": call["client_request_id"],
        "OData-Version": "4.0",
        "Cache-Control": "no-cache",
        **(headers or {}),
    }
    if body is None:
        return Response(status_code=status, headers=known)
    return JSONResponse(body, status_code=status, headers=known, media_type=JSON_TYPE)


def graph_operation(name: str, *permissions: str) -> Callable[[Handler], Handler]:
    """An endpoint that needs an app-only token with one of the permissions, and answers in the envelope.

    Permissions are the ones granted now, not those frozen in the token: tests cannot wait an hour for a new one.
    """

    def guarded(handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                _check_token(request)
                if not set(permissions) & set(tenant_of(request).permissions()):
                    raise _forbidden(name)
                return await handler(request)
            except GraphError as error:
                return _error(request, error)

        return operation(name, failure)(answer)

    return guarded


def _check_token(request: Request) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise GraphError(401, "InvalidAuthenticationToken", "Access token is empty.")
    tenant = tenant_of(request)
    try:
        claims = tenant.keys.verify(token, graph_audiences(tenant, base_of(request)))
    except jwt.ExpiredSignatureError:
        text = "Lifetime validation failed, the token is expired."
        raise GraphError(401, "InvalidAuthenticationToken", text) from None
    except jwt.InvalidTokenError:
        raise GraphError(401, "InvalidAuthenticationToken", "Access token validation failure.") from None
    if claims.get("idtyp") != "app":
        raise GraphError(403, "Authorization_RequestDenied", "This stand-in answers apps, not signed-in users.")


def _forbidden(name: str) -> GraphError:
    if name == "POST /invitations":
        return GraphError(403, "Forbidden", "Generic authorization exception.")  # entra.md §1
    return GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


async def _body(request: Request) -> Json:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        raise GraphError(400, "BadRequest", "Unable to read JSON request payload.") from None
    if not isinstance(body, dict):
        raise GraphError(400, "BadRequest", "Unable to read JSON request payload.")
    return body


def _not_found(key: str) -> GraphError:
    text = f"Resource '{key}' does not exist or one of its queried reference-property objects are not present."
    return GraphError(404, "Request_ResourceNotFound", text)


# -- invitations ------------------------------------------------------------------------------------------------


@graph_operation("POST /invitations", "User.Invite.All", "User.ReadWrite.All", "Directory.ReadWrite.All")
async def create_invitation(request: Request) -> Response:
    """201 also for a second invitation (entra.md §1, idempotency)."""
    body = await _body(request)
    answer = invitations.invite(tenant_of(request), body)
    request.scope["devtenant.call"]["object"] = answer["invitedUser"]["id"]
    return _json(request, {"@odata.context": f"{GRAPH}/$metadata#invitations/$entity", **answer}, 201)


# -- users ------------------------------------------------------------------------------------------------------

READ_USERS = ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
WRITE_USERS = ("User.ReadWrite.All", "Directory.ReadWrite.All")


@graph_operation("GET /users", *READ_USERS)
async def list_users(request: Request) -> Response:
    """Lists and looks up; a new guest is missing here until it is replicated (entra.md §1, §2)."""
    tenant = tenant_of(request)
    found = [user for user in tenant.store.all("users") if tenant.is_readable(user)]
    found = _filtered(request, found, USER_PROPERTIES)
    return _collection(request, "users", found, lambda user: _user_body(user, _selected(request)))


@graph_operation("GET /users/{id}", *READ_USERS)
async def get_user(request: Request) -> Response:
    user = _readable_user(request)
    body = _user_body(user, _selected(request))
    return _json(request, {"@odata.context": f"{GRAPH}/$metadata#users/$entity", **body})


@graph_operation("PATCH /users/{id}", "User.EnableDisableAccount.All", *WRITE_USERS)
async def update_user(request: Request) -> Response:
    """Disable or enable, and the few things that a reset needs (entra.md §1 reset, §2)."""
    tenant, user, changes = tenant_of(request), _writable_user(request), await _body(request)
    if unknown := set(changes) - UPDATABLE:
        text = f"devtenant does not update {', '.join(sorted(unknown))}."
        raise GraphError(400, "Request_BadRequest", text)
    if changes.keys() != {"accountEnabled"} and not set(WRITE_USERS) & set(tenant.permissions()):
        raise _forbidden("PATCH /users/{id}")
    if not isinstance(changes.get("accountEnabled", True), bool):
        raise GraphError(400, "Request_BadRequest", "Invalid value specified for property 'accountEnabled'.")
    tenant.save_user({**user, **changes})
    return _json(request, None, 204)


@graph_operation("DELETE /users/{id}", "User.DeleteRestore.All", *WRITE_USERS)
async def delete_user(request: Request) -> Response:
    """A soft delete (entra.md §2)."""
    tenant_of(request).delete_user(_writable_user(request))
    return _json(request, None, 204)


@graph_operation("POST /users/{id}/revokeSignInSessions", "User.RevokeSessions.All", *WRITE_USERS)
async def revoke_sessions(request: Request) -> Response:
    """Documented as 204, in fact 200 with a boolean (entra.md §2)."""
    tenant, user = tenant_of(request), _writable_user(request)
    now = dt.datetime.now(dt.UTC).timestamp()
    stamp = timestamp(now)
    tenant.save_user({**user, "signInSessionsValidFromDateTime": stamp, "_sessions_valid_from": now})
    return _json(request, {"@odata.context": f"{GRAPH}/$metadata#Edm.Boolean", "value": True})


@graph_operation("GET /users/{id}/sponsors", *READ_USERS)
async def list_sponsors(request: Request) -> Response:
    tenant, user = tenant_of(request), _readable_user(request)
    found = [s for s in (tenant.user(key) for key in user["_sponsors"]) if s]
    return _collection(request, "directoryObjects", found, _as_directory_object)


@graph_operation("POST /users/{id}/sponsors/$ref", *WRITE_USERS)
async def add_sponsor(request: Request) -> Response:
    """At most five (entra.md §2)."""
    tenant, user = tenant_of(request), _writable_user(request)
    sponsor = _referenced(request, await _body(request))
    if sponsor["id"] in user["_sponsors"]:
        raise _already_there("sponsors")
    if len(user["_sponsors"]) >= MAX_SPONSORS:
        raise GraphError(400, "Request_BadRequest", "The number of sponsors exceeds the limit of 5.")
    tenant.save_user({**user, "_sponsors": [*user["_sponsors"], sponsor["id"]]})
    return _json(request, None, 204)


@graph_operation("DELETE /users/{id}/sponsors/{sponsor}/$ref", *WRITE_USERS)
async def remove_sponsor(request: Request) -> Response:
    tenant, user, sponsor = tenant_of(request), _writable_user(request), request.path_params["sponsor"]
    if sponsor not in user["_sponsors"]:
        raise _not_found(sponsor)
    tenant.save_user({**user, "_sponsors": [key for key in user["_sponsors"] if key != sponsor]})
    return _json(request, None, 204)


@graph_operation("GET /users/{id}/memberOf", "Directory.Read.All", "Directory.ReadWrite.All")
async def list_member_of(request: Request) -> Response:
    tenant, user = tenant_of(request), _readable_user(request)
    return _collection(request, "directoryObjects", tenant.groups_of(user), _as_directory_object)


@graph_operation("POST /users/{id}/checkMemberGroups", "GroupMember.Read.All", "GroupMember.ReadWrite.All", *READ_USERS)
async def check_member_groups(request: Request) -> Response:
    """Of the asked groups (20 at most), those that the user is in (entra.md §2)."""
    tenant, user, body = tenant_of(request), _readable_user(request), await _body(request)
    asked = body.get("groupIds")
    if not isinstance(asked, list) or not 0 < len(asked) <= 20:
        raise GraphError(400, "Request_BadRequest", "Property groupIds must hold 1 to 20 ids.")
    mine = {group["id"] for group in tenant.groups_of(user)}
    found = [key for key in asked if key in mine]
    return _json(request, {"@odata.context": f"{GRAPH}/$metadata#Collection(Edm.String)", "value": found})


def _readable_user(request: Request) -> Json:
    tenant, key = tenant_of(request), request.path_params["id"]
    user = tenant.user(key)
    if user is None or not tenant.is_readable(user):
        raise _not_found(key)
    return user


def _writable_user(request: Request) -> Json:
    tenant, user = tenant_of(request), _readable_user(request)
    if not tenant.is_writable(user):
        raise _not_found(user["id"])
    return user


def _user_body(user: Json, selected: Iterable[str]) -> Json:
    return {name: user[name] if name in user else EMPTY[name] for name in selected}


def _selected(request: Request) -> list[str]:
    """Properties to answer: the default few, or exactly what $select names (entra.md §2)."""
    asked = request.query_params.get("$select")
    if not asked:
        return list(DEFAULT_PROPERTIES)
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if "signInActivity" in names:  # needs a licence that this tenant does not have
        text = "Neither tenant is B2C or tenant doesn't have premium license"
        raise GraphError(403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", text)
    for name in names:
        if name not in USER_PROPERTIES:
            text = f"Parsing OData Select and Expand failed: Could not find a property named '{name}' on type "
            raise GraphError(400, "BadRequest", text + "'microsoft.graph.user'.")
    return names


# -- groups -----------------------------------------------------------------------------------------------------

READ_GROUPS = ("GroupMember.Read.All", "GroupMember.ReadWrite.All", "Group.Read.All", "Group.ReadWrite.All")
WRITE_MEMBERS = ("GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All")


@graph_operation("GET /groups/{id}", *READ_GROUPS)
async def get_group(request: Request) -> Response:
    body = _public(_group(request))
    return _json(request, {"@odata.context": f"{GRAPH}/$metadata#groups/$entity", **body})


@graph_operation("GET /groups/{id}/members", *READ_GROUPS)
async def list_members(request: Request) -> Response:
    members = tenant_of(request).members_of(_group(request))
    return _collection(request, "directoryObjects", members, _as_directory_object)


@graph_operation("POST /groups/{id}/members/$ref", *WRITE_MEMBERS)
async def add_member(request: Request) -> Response:
    """204; 400 for one who is in already; 404 while the guest is not yet writable (entra.md §1, §3)."""
    tenant, group = tenant_of(request), _group(request)
    member = _referenced(request, await _body(request))
    if member["id"] in group["_members"]:
        raise _already_there("members")
    tenant.set_members(group, [*group["_members"], member["id"]])
    return _json(request, None, 204)


@graph_operation("DELETE /groups/{id}/members/{member}/$ref", *WRITE_MEMBERS)
async def remove_member(request: Request) -> Response:
    tenant, group, member = tenant_of(request), _group(request), request.path_params["member"]
    if member not in group["_members"]:
        raise _not_found(member)
    tenant.set_members(group, [m for m in group["_members"] if m != member])
    return _json(request, None, 204)


@graph_operation("DELETE /groups/{id}/members/{member}", "User.DeleteRestore.All", *WRITE_USERS)
async def delete_the_user_itself(request: Request) -> Response:
    """Without /$ref the address is the user's own: with enough rights the *user* is deleted (entra.md §3)."""
    tenant, group, member = tenant_of(request), _group(request), request.path_params["member"]
    user = tenant.store.get("users", member)
    if member not in group["_members"] or user is None:
        raise _not_found(member)
    tenant.delete_user(user)
    return _json(request, None, 204)


def _group(request: Request) -> Json:
    group = tenant_of(request).store.get("groups", request.path_params["id"].lower())
    if group is None:
        raise _not_found(request.path_params["id"])
    return group


def _referenced(request: Request, body: Json) -> Json:
    """The user that a ReferenceCreate body points at, by whichever of Graph's addresses."""
    tenant, address = tenant_of(request), body.get("@odata.id")
    if not isinstance(address, str) or "/" not in address:
        raise GraphError(400, "Request_BadRequest", "Invalid entity reference: '@odata.id' is missing or no address.")
    key = address.rstrip("/").rpartition("/")[2]
    user = tenant.store.get("users", key.lower())
    if user is None or not tenant.is_writable(user):
        raise _not_found(key)
    return user


def _already_there(what: str) -> GraphError:
    text = f"One or more added object references already exist for the following modified properties: '{what}'."
    return GraphError(400, "Request_BadRequest", text)


# -- deleted items ----------------------------------------------------------------------------------------------


@graph_operation("GET /directory/deletedItems/microsoft.graph.user", "User.DeleteRestore.All", *READ_USERS)
async def list_deleted(request: Request) -> Response:
    found = tenant_of(request).store.all("deleted")
    names = (*DEFAULT_PROPERTIES, "deletedDateTime")
    wanted = _selected(request) if request.query_params.get("$select") else names
    return _collection(request, "directoryObjects", found, lambda user: _user_body(user, wanted))


@graph_operation("GET /directory/deletedItems/{id}", "User.DeleteRestore.All", *READ_USERS)
async def get_deleted(request: Request) -> Response:
    return _json(
        request, _as_directory_object(_deleted(request)) | {"deletedDateTime": _deleted(request)["deletedDateTime"]}
    )


@graph_operation("POST /directory/deletedItems/{id}/restore", "User.DeleteRestore.All", *WRITE_USERS)
async def restore_deleted(request: Request) -> Response:
    """The same object id, memberships and roles as before (entra.md §2)."""
    return _json(request, _as_directory_object(tenant_of(request).restore_user(_deleted(request))))


@graph_operation("DELETE /directory/deletedItems/{id}", "User.DeleteRestore.All", *WRITE_USERS)
async def delete_for_good(request: Request) -> Response:
    tenant_of(request).store.remove("deleted", _deleted(request)["id"])
    return _json(request, None, 204)


def _deleted(request: Request) -> Json:
    user = tenant_of(request).store.get("deleted", request.path_params["id"].lower())
    if user is None:
        raise _not_found(request.path_params["id"])
    return user


# -- what a health check reads ----------------------------------------------------------------------------------

READ_POLICIES = ("Policy.Read.All", "Policy.ReadWrite.ConditionalAccess")


@graph_operation("GET /policies/authorizationPolicy", "Policy.Read.All", "Policy.ReadWrite.Authorization")
async def authorization_policy(request: Request) -> Response:
    """Who may invite: the cause of a 403 on invitations that no permission cures (entra.md §1, §7)."""
    body = {
        "@odata.context": f"{GRAPH}/$metadata#policies/authorizationPolicy/$entity",
        "id": "authorizationPolicy",
        "displayName": "Authorization Policy",
        "description": "Used to manage authorization related settings across the company.",
        "allowInvitesFrom": tenant_of(request).settings["allow_invites_from"],
        "guestUserRoleId": "10dae51f-b6af-4016-8d66-8c2a99b929b3",
    }
    return _json(request, body)


@graph_operation("GET /identity/conditionalAccess/policies", *READ_POLICIES)
async def list_policies(request: Request) -> Response:
    """Whether a policy is bound to an authentication context: without one `acrs` proves nothing (entra.md §6)."""
    found = tenant_of(request).store.all("policies")
    return _collection(request, "identity/conditionalAccess/policies", found, _public)


@graph_operation("GET /identity/conditionalAccess/policies/{id}", *READ_POLICIES)
async def get_policy(request: Request) -> Response:
    policy = tenant_of(request).store.get("policies", request.path_params["id"])
    if policy is None:
        raise _not_found(request.path_params["id"])
    return _json(request, _public(policy))


@graph_operation("GET /organization", "Organization.Read.All", "User.Read.All", "Directory.Read.All")
async def list_organization(request: Request) -> Response:
    domain = {"name": OUR_DOMAIN, "isDefault": True, "isInitial": True, "type": "Managed", "capabilities": "Email"}
    ours = {"id": OUR_TENANT, "displayName": OUR_NAME, "verifiedDomains": [domain], "tenantType": "AAD"}
    return _collection(request, "organization", [ours], _public)


@graph_operation("GET /servicePrincipals", "Application.Read.All", "Directory.Read.All")
async def list_service_principals(request: Request) -> Response:
    """The two apps; $filter knows appId eq '…' (entra.md §4)."""
    found = [_service_principal(app) for app in tenant_of(request).store.all("apps")]
    found = _filtered(request, found, {"appId", "displayName", "id"})
    return _collection(request, "servicePrincipals", found, _public)


@graph_operation("GET /servicePrincipals/{id}", "Application.Read.All", "Directory.Read.All")
async def get_service_principal(request: Request) -> Response:
    return _json(request, _service_principal(_app_of(request)))


@graph_operation("GET /servicePrincipals/{id}/appRoleAssignedTo", "Application.Read.All", "Directory.Read.All")
async def list_assignments(request: Request) -> Response:
    resource = service_principal_id(_app_of(request)["id"])
    found = [a for a in tenant_of(request).store.all("assignments") if a["resourceId"] == resource]
    return _collection(request, "appRoleAssignments", found, _assignment)


def _app_of(request: Request) -> Json:
    """An app by its service principal's id, or by servicePrincipals(appId='…')."""
    key, by_app = request.path_params.get("id"), request.path_params.get("app_id")
    for app in tenant_of(request).store.all("apps"):
        if by_app == app["id"] or key == service_principal_id(app["id"]):
            return app
    raise _not_found(key or by_app or "")


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


# -- collections ------------------------------------------------------------------------------------------------


def _filtered(request: Request, found: list[Json], properties: set[str]) -> list[Json]:
    text = request.query_params.get("$filter")
    if text is None:
        return found
    try:
        test = odata.predicate(text, properties, advanced=_is_advanced(request))
    except odata.BadFilter as refusal:
        raise GraphError(400, refusal.code, str(refusal)) from None
    return [item for item in found if test(item)]


def _is_advanced(request: Request) -> bool:
    eventual = request.headers.get("consistencylevel", "").lower() == "eventual"
    return eventual and request.query_params.get("$count") == "true"


def _collection(request: Request, kind: str, found: list[Json], shape: Callable[[Json], Json]) -> Response:
    """One page; the rest by @odata.nextLink, to be followed verbatim. There is no $skip (entra.md §2)."""
    if "$skip" in request.query_params:
        raise GraphError(400, "Request_BadRequest", "'$skip' is not supported by the service.")
    size, start = _page_size(request), _number(request.query_params.get("$skiptoken", "0"))
    body: Json = {"@odata.context": f"{GRAPH}/$metadata#{kind}"}
    if _is_advanced(request):
        body["@odata.count"] = len(found)
    if start + size < len(found):
        query = {**request.query_params, "$skiptoken": str(start + size)}
        body["@odata.nextLink"] = f"{base_of(request)}{request.url.path}?{urlencode(query)}"
    body["value"] = [shape(item) for item in found[start : start + size]]
    return _json(request, body)


def _page_size(request: Request) -> int:
    size = _number(request.query_params.get("$top", "100"))
    if not 0 < size <= MAX_PAGE:
        raise GraphError(400, "Request_UnsupportedQuery", f"Invalid page size: '$top' must be 1 to {MAX_PAGE}.")
    return size


def _number(text: str) -> int:
    if not text.isdigit():
        raise GraphError(400, "BadRequest", f"'{text}' is not a number.")
    return int(text)


def _as_directory_object(item: Json) -> Json:
    if "userPrincipalName" in item:
        return {"@odata.type": "#microsoft.graph.user", **_user_body(item, DEFAULT_PROPERTIES)}
    return {"@odata.type": "#microsoft.graph.group", **_public(item)}


def _public(item: Json) -> Json:
    return {name: value for name, value in item.items() if not name.startswith("_")}


@graph_operation("* (not modelled)", *READ_USERS, "User.Invite.All", "GroupMember.ReadWrite.All")
async def not_modelled(request: Request) -> Response:
    text = f"devtenant does not model {request.method} {request.url.path}."
    raise GraphError(501, "notImplemented", text)


def routes() -> list[Route]:
    """Every modelled operation, below /v1.0; concrete paths before those with an id."""
    table: list[tuple[str, str, Any]] = [
        ("POST", "/invitations", create_invitation),
        ("GET", "/users", list_users),
        *(("GET", path, not_modelled) for path in ("/users/delta", "/users/$count", "/groups/delta", "/groups/$count")),
        ("GET", "/users/{id}", get_user),
        ("PATCH", "/users/{id}", update_user),
        ("DELETE", "/users/{id}", delete_user),
        ("POST", "/users/{id}/revokeSignInSessions", revoke_sessions),
        ("GET", "/users/{id}/sponsors", list_sponsors),
        ("POST", "/users/{id}/sponsors/$ref", add_sponsor),
        ("DELETE", "/users/{id}/sponsors/{sponsor}/$ref", remove_sponsor),
        ("GET", "/users/{id}/memberOf", list_member_of),
        ("POST", "/users/{id}/checkMemberGroups", check_member_groups),
        ("GET", "/groups/{id}", get_group),
        ("GET", "/groups/{id}/members", list_members),
        ("GET", "/groups/{id}/members/microsoft.graph.user", list_members),
        ("POST", "/groups/{id}/members/$ref", add_member),
        ("DELETE", "/groups/{id}/members/{member}/$ref", remove_member),
        ("DELETE", "/groups/{id}/members/{member}", delete_the_user_itself),
        ("GET", "/directory/deletedItems/microsoft.graph.user", list_deleted),
        ("GET", "/directory/deletedItems/{id}", get_deleted),
        ("POST", "/directory/deletedItems/{id}/restore", restore_deleted),
        ("DELETE", "/directory/deletedItems/{id}", delete_for_good),
        ("GET", "/policies/authorizationPolicy", authorization_policy),
        ("GET", "/identity/conditionalAccess/policies", list_policies),
        ("GET", "/identity/conditionalAccess/policies/{id}", get_policy),
        ("GET", "/organization", list_organization),
        ("GET", "/servicePrincipals", list_service_principals),
        ("GET", "/servicePrincipals(appId='{app_id}')", get_service_principal),
        ("GET", "/servicePrincipals(appId='{app_id}')/appRoleAssignedTo", list_assignments),
        ("GET", "/servicePrincipals/{id}", get_service_principal),
        ("GET", "/servicePrincipals/{id}/appRoleAssignedTo", list_assignments),
    ]
    made = [Route("/v1.0" + path, handler, methods=[method]) for method, path, handler in table]
    every = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    return [*made, Route("/v1.0/{rest:path}", not_modelled, methods=every)]
