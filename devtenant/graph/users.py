"""Users: properties, look-ups, changes, sponsors, what they are in (entra.md §2)."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response

from ..errors import GraphError
from ..pages import tenant_of
from ..store import Json
from . import lists
from .wire import (
    GRAPH,
    bad_request,
    body_of,
    forbidden,
    graph_operation,
    not_found,
    not_there_yet,
    public,
    reply,
    require,
)

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
MAX_CHECKED_GROUPS = 20

READ_USERS = ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
WRITE_USERS = ("User.ReadWrite.All", "Directory.ReadWrite.All")
DELETE_USERS = ("User.DeleteRestore.All", *WRITE_USERS)
READ_MEMBERSHIPS = ("GroupMember.Read.All", "GroupMember.ReadWrite.All", *READ_USERS)


@graph_operation("GET /users", *READ_USERS)
async def list_users(request: Request) -> Response:
    """Lists and looks up; a new guest is missing here until it is replicated (entra.md §1, §2)."""
    names = selected(request)
    found = lists.directory_query(request, _candidates(request), USER_PROPERTIES)
    return lists.collection(request, "users", found, lambda user: user_body(user, names))


@graph_operation("GET /users/$count", *READ_USERS)
async def count_users(request: Request) -> Response:
    return lists.count(request, _candidates(request), USER_PROPERTIES)


@graph_operation("GET /users/{id}", *READ_USERS)
async def get_user(request: Request) -> Response:
    user = readable_user(request)
    body = user_body(user, selected(request))
    return reply(request, {"@odata.context": f"{GRAPH}/$metadata#users/$entity", **body})


@graph_operation("PATCH /users/{id}", "User.EnableDisableAccount.All", *WRITE_USERS)
async def update_user(request: Request) -> Response:
    """Disable or enable, and the few things that a reset needs (entra.md §1 reset, §2)."""
    tenant, user, changes = tenant_of(request), writable_user(request), await body_of(request)
    if unknown := set(changes) - UPDATABLE:
        raise bad_request(f"devtenant does not update {', '.join(sorted(unknown))}.")
    if changes.keys() != {"accountEnabled"}:
        require(request, "PATCH /users/{id}", *WRITE_USERS)
    _refuse_privileged(user, "PATCH /users/{id}")
    if not isinstance(changes.get("accountEnabled", True), bool):
        raise bad_request("Invalid value specified for property 'accountEnabled'.")
    tenant.save_user({**user, **changes})
    return reply(request, None, 204)


@graph_operation("DELETE /users/{id}", *DELETE_USERS)
async def delete_user(request: Request) -> Response:
    """A soft delete (entra.md §2)."""
    user = writable_user(request)
    _refuse_privileged(user, "DELETE /users/{id}")
    tenant_of(request).delete_user(user)
    return reply(request, None, 204)


@graph_operation("POST /users/{id}/revokeSignInSessions", "User.RevokeSessions.All", *WRITE_USERS)
async def revoke_sessions(request: Request) -> Response:
    """Documented as 204, in fact 200 with a boolean (entra.md §2)."""
    tenant_of(request).revoke_sessions(writable_user(request))
    return reply(request, {"@odata.context": f"{GRAPH}/$metadata#Edm.Boolean", "value": True})


# -- sponsors ---------------------------------------------------------------------------------------------------


@graph_operation("GET /users/{id}/sponsors", *READ_USERS)
async def list_sponsors(request: Request) -> Response:
    tenant, user = tenant_of(request), readable_user(request)
    found = [s for s in (tenant.user(key) or tenant.group(key) for key in user["_sponsors"]) if s]
    return lists.collection(request, "directoryObjects", found, directory_object)


@graph_operation("POST /users/{id}/sponsors/$ref", *WRITE_USERS)
async def add_sponsor(request: Request) -> Response:
    """At most five (entra.md §2)."""
    tenant, user = tenant_of(request), writable_user(request)
    sponsor = referenced(request, (await body_of(request)).get("@odata.id"))
    if sponsor["id"] in user["_sponsors"]:
        raise already_there("sponsors")
    if len(user["_sponsors"]) >= MAX_SPONSORS:
        raise bad_request("The number of sponsors exceeds the limit of 5.")
    tenant.save_user({**user, "_sponsors": [*user["_sponsors"], sponsor["id"]]})
    return reply(request, None, 204)


@graph_operation("DELETE /users/{id}/sponsors/{sponsor}/$ref", *WRITE_USERS)
async def remove_sponsor(request: Request) -> Response:
    tenant, user, sponsor = tenant_of(request), writable_user(request), request.path_params["sponsor"]
    if sponsor not in user["_sponsors"]:
        raise not_found(sponsor)
    tenant.save_user({**user, "_sponsors": [key for key in user["_sponsors"] if key != sponsor]})
    return reply(request, None, 204)


# -- what a user is in ------------------------------------------------------------------------------------------


@graph_operation("GET /users/{id}/memberOf", "Directory.Read.All", "Directory.ReadWrite.All")
async def list_member_of(request: Request) -> Response:
    tenant, user = tenant_of(request), readable_user(request)
    return lists.collection(request, "directoryObjects", tenant.groups_of(user), directory_object)


@graph_operation("GET /users/{id}/transitiveMemberOf", *READ_USERS)
async def list_transitive_member_of(request: Request) -> Response:
    """Groups of groups too; the cast to groups is an advanced query (entra.md §2)."""
    tenant, user = tenant_of(request), readable_user(request)
    if request.url.path.endswith(".group"):
        lists.needs_eventual(request, "A cast on transitiveMemberOf")
    return lists.collection(request, "directoryObjects", tenant.all_groups_of(user), directory_object)


@graph_operation("POST /users/{id}/getMemberGroups", *READ_MEMBERSHIPS)
async def get_member_groups(request: Request) -> Response:
    """Transitive ids (entra.md §2); getMemberObjects answers the same here, where there are no directory roles."""
    tenant, user, body = tenant_of(request), readable_user(request), await body_of(request)
    if not isinstance(body.get("securityEnabledOnly"), bool):
        raise bad_request("Property securityEnabledOnly is required.")
    found = [g for g in tenant.all_groups_of(user) if g["securityEnabled"] or not body["securityEnabledOnly"]]
    return _strings(request, [group["id"] for group in found])


@graph_operation("POST /users/{id}/checkMemberGroups", *READ_MEMBERSHIPS)
async def check_member_groups(request: Request) -> Response:
    """Of the asked groups (20 at most), those that the user is in, groups of groups included (entra.md §2)."""
    tenant, user, body = tenant_of(request), readable_user(request), await body_of(request)
    asked = body.get("groupIds")
    if not isinstance(asked, list) or not 0 < len(asked) <= MAX_CHECKED_GROUPS:
        raise bad_request(f"Property groupIds must hold 1 to {MAX_CHECKED_GROUPS} ids.")
    mine = {group["id"] for group in tenant.all_groups_of(user)}
    return _strings(request, [key for key in asked if key in mine])


def _strings(request: Request, found: list[str]) -> Response:
    return reply(request, {"@odata.context": f"{GRAPH}/$metadata#Collection(Edm.String)", "value": found})


# -- directory objects ------------------------------------------------------------------------------------------


@graph_operation("GET /directoryObjects/{id}", "Directory.Read.All", *READ_USERS)
async def get_directory_object(request: Request) -> Response:
    key = request.path_params["id"]
    found = _readable_object(request, key)
    if found is None:
        raise not_found(key)
    return reply(request, {"@odata.context": f"{GRAPH}/$metadata#directoryObjects/$entity", **directory_object(found)})


@graph_operation("POST /directoryObjects/getByIds", "Directory.Read.All", *READ_USERS)
async def get_by_ids(request: Request) -> Response:
    """Those of the ids that exist and are of the asked types ("user", "group"); 1,000 at most."""
    body = await body_of(request)
    asked, types = body.get("ids"), body.get("types") or ["user", "group"]
    if not isinstance(asked, list) or not 0 < len(asked) <= 1000 or not all(isinstance(key, str) for key in asked):
        raise bad_request("Property ids must hold 1 to 1000 ids.")
    found = [item for item in (_readable_object(request, key) for key in asked) if item]
    shapes = [shape for shape in map(directory_object, found) if shape["@odata.type"].rpartition(".")[2] in types]
    return reply(request, {"@odata.context": f"{GRAPH}/$metadata#directoryObjects", "value": shapes})


def _readable_object(request: Request, key: str) -> Json | None:
    tenant = tenant_of(request)
    user = tenant.store.get("users", key.lower())
    return user if user and tenant.is_readable(user) else tenant.group(key)


# -- one user ---------------------------------------------------------------------------------------------------


def readable_user(request: Request) -> Json:
    tenant, key = tenant_of(request), request.path_params["id"]
    user = tenant.user(key)
    if user is None:
        raise not_found(key)
    if not tenant.is_readable(user):
        refusal = not_found(key)
        refusal.verdict = "Not there yet"
        raise refusal
    return user


def writable_user(request: Request) -> Json:
    user = readable_user(request)
    if not tenant_of(request).is_writable(user):
        raise not_there_yet(request, user["id"])
    return user


def referenced(request: Request, address: object) -> Json:
    """The user or group that a ReferenceCreate body points at, by whichever of Graph's addresses."""
    tenant = tenant_of(request)
    if not isinstance(address, str) or "/" not in address:
        raise bad_request("Invalid entity reference: '@odata.id' is missing or no address.")
    key = address.rstrip("/").rpartition("/")[2]
    found = tenant.store.get("users", key.lower()) or tenant.group(key)
    if found is None:
        raise not_found(key)
    if not tenant.is_writable(found):
        raise not_there_yet(request, key)
    return found


def already_there(what: str) -> GraphError:
    return bad_request(
        f"One or more added object references already exist for the following modified properties: '{what}'."
    )


def user_body(user: Json, names: Iterable[str]) -> Json:
    return {name: user[name] if name in user else EMPTY[name] for name in names}


def directory_object(item: Json) -> Json:
    if "userPrincipalName" in item:
        return {"@odata.type": "#microsoft.graph.user", **user_body(item, DEFAULT_PROPERTIES)}
    return {"@odata.type": "#microsoft.graph.group", **public(item)}


def selected(request: Request) -> list[str]:
    """Properties to answer: the default few, or exactly what $select names (entra.md §2)."""
    return selected_names(request.query_params.get("$select"))


def selected_names(asked: str | None) -> list[str]:
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


def _candidates(request: Request) -> list[Json]:
    """Users that reads show and that $filter could let pass: those of the index where it names addresses or ids."""
    tenant, asked = tenant_of(request), lists.condition(request, USER_PROPERTIES)
    eventual = lists.is_eventual(request)
    if asked is None or asked.only is None:
        users = tenant.store.all("users")
    else:
        named = {u["id"]: u for word in asked.only for u in tenant.users_with_address(word)}
        named |= {u["id"]: u for u in (tenant.store.get("users", word) for word in asked.only) if u}
        users = list(named.values())
    return [user for user in users if tenant.is_readable(user, from_index=eventual)]


def _refuse_privileged(user: Json, name: str) -> None:
    """App-only, users with a directory role are out of reach (entra.md §2, [K])."""
    if user.get("_directory_roles"):
        raise forbidden(name)
