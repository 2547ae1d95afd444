"""Groups and their members (entra.md §3)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..pages import tenant_of
from ..store import Json
from . import lists
from .users import DELETE_USERS, already_there, directory_object, referenced
from .wire import GRAPH, bad_request, body_of, graph_operation, not_found, public, reply

READ_GROUPS = ("GroupMember.Read.All", "GroupMember.ReadWrite.All", "Group.Read.All", "Group.ReadWrite.All")
WRITE_MEMBERS = ("GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All")
MAX_ADDED_AT_ONCE = 20
GROUP_PROPERTIES = {
    *("id", "displayName", "description", "mail", "mailEnabled", "mailNickname", "securityEnabled", "createdDateTime"),
    *("visibility", "groupTypes", "proxyAddresses"),
}


@graph_operation("GET /groups", *READ_GROUPS)
async def list_groups(request: Request) -> Response:
    found = lists.directory_query(request, tenant_of(request).store.all("groups"), GROUP_PROPERTIES)
    return lists.collection(request, "groups", found, public)


@graph_operation("GET /groups/$count", *READ_GROUPS)
async def count_groups(request: Request) -> Response:
    return lists.count(request, tenant_of(request).store.all("groups"), GROUP_PROPERTIES)


@graph_operation("GET /groups/{id}", *READ_GROUPS)
async def get_group(request: Request) -> Response:
    body = public(group_of(request))
    return reply(request, {"@odata.context": f"{GRAPH}/$metadata#groups/$entity", **body})


@graph_operation("PATCH /groups/{id}", *WRITE_MEMBERS)
async def add_many(request: Request) -> Response:
    """Up to 20 members, all or nothing: one who is in already or unknown, and none is added (entra.md §3)."""
    tenant, group, body = tenant_of(request), group_of(request), await body_of(request)
    links = body.get("members@odata.bind")
    if set(body) != {"members@odata.bind"} or not isinstance(links, list) or not 0 < len(links) <= MAX_ADDED_AT_ONCE:
        raise bad_request(f"devtenant updates members@odata.bind only, with 1 to {MAX_ADDED_AT_ONCE} members.")
    members = [referenced(request, link) for link in links]
    if any(tenant.is_member(group, member["id"]) for member in members):
        raise already_there("members")
    for member in members:
        tenant.add_member(group, member["id"])
    return reply(request, None, 204)


@graph_operation("GET /groups/{id}/members", *READ_GROUPS)
async def list_members(request: Request) -> Response:
    return _members(request, tenant_of(request).members_of(group_of(request)))


@graph_operation("GET /groups/{id}/transitiveMembers", *READ_GROUPS)
async def list_transitive_members(request: Request) -> Response:
    """Members of groups in the group too; the cast to users is an advanced query (entra.md §2)."""
    if request.url.path.endswith(".user"):
        lists.needs_eventual(request, "A cast on transitiveMembers")
    tenant, found = tenant_of(request), {}
    waiting = tenant.members_of(group_of(request))
    while waiting:
        member = waiting.pop(0)
        if member["id"] not in found:
            found[member["id"]] = member
            waiting += tenant.members_of(member) if "securityEnabled" in member else []
    return _members(request, list(found.values()))


def _members(request: Request, found: list[Json]) -> Response:
    if request.url.path.endswith(".user"):
        found = [member for member in found if "userPrincipalName" in member]
    return lists.collection(request, "directoryObjects", found, directory_object)


@graph_operation("POST /groups/{id}/members/$ref", *WRITE_MEMBERS)
async def add_member(request: Request) -> Response:
    """204; 400 for one who is in already; 404 while the guest is not yet writable (entra.md §1, §3)."""
    tenant, group = tenant_of(request), group_of(request)
    member = referenced(request, (await body_of(request)).get("@odata.id"))
    if tenant.is_member(group, member["id"]):
        raise already_there("members")
    tenant.add_member(group, member["id"])
    return reply(request, None, 204)


@graph_operation("DELETE /groups/{id}/members/{member}/$ref", *WRITE_MEMBERS)
async def remove_member(request: Request) -> Response:
    tenant, group, member = tenant_of(request), group_of(request), request.path_params["member"]
    if not tenant.is_member(group, member):
        raise not_found(member)
    tenant.remove_member(group, member)
    return reply(request, None, 204)


@graph_operation("DELETE /groups/{id}/members/{member}", *DELETE_USERS)
async def delete_the_user_itself(request: Request) -> Response:
    """Without /$ref the address is the user's own: with enough rights the *user* is deleted (entra.md §3)."""
    tenant, group, member = tenant_of(request), group_of(request), request.path_params["member"]
    user = tenant.store.get("users", member)
    if user is None or not tenant.is_member(group, member):
        raise not_found(member)
    tenant.delete_user(user)
    return reply(request, None, 204)


def group_of(request: Request) -> Json:
    group = tenant_of(request).group(request.path_params["id"])
    if group is None:
        raise not_found(request.path_params["id"])
    return group
