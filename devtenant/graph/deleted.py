"""Deleted users: thirty days in the bin, with everything that restoring brings back (entra.md §2)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..pages import tenant_of
from ..store import Json
from . import lists
from .users import DEFAULT_PROPERTIES, DELETE_USERS, READ_USERS, directory_object, selected, user_body
from .wire import GRAPH, graph_operation, not_found, reply

READ_DELETED = ("User.DeleteRestore.All", *READ_USERS)


@graph_operation("GET /directory/deletedItems/microsoft.graph.user", *READ_DELETED)
async def list_deleted(request: Request) -> Response:
    names = (*DEFAULT_PROPERTIES, "deletedDateTime")
    wanted = selected(request) if request.query_params.get("$select") else names
    return lists.collection(request, "users", tenant_of(request).deleted_users(), lambda user: user_body(user, wanted))


@graph_operation("GET /directory/deletedItems/{id}", *READ_DELETED)
async def get_deleted(request: Request) -> Response:
    user = _deleted(request)
    return reply(request, _entity(user) | {"deletedDateTime": user["deletedDateTime"]})


@graph_operation("POST /directory/deletedItems/{id}/restore", *DELETE_USERS)
async def restore_deleted(request: Request) -> Response:
    """The same object id, memberships and roles as before (entra.md §2)."""
    return reply(request, _entity(tenant_of(request).restore_user(_deleted(request))))


@graph_operation("DELETE /directory/deletedItems/{id}", *DELETE_USERS)
async def delete_for_good(request: Request) -> Response:
    tenant_of(request).delete_for_good(_deleted(request))
    return reply(request, None, 204)


def _entity(user: Json) -> Json:
    return {"@odata.context": f"{GRAPH}/$metadata#directoryObjects/$entity", **directory_object(user)}


def _deleted(request: Request) -> Json:
    key = request.path_params["id"].lower()
    user = next((user for user in tenant_of(request).deleted_users() if user["id"] == key), None)
    if user is None:
        raise not_found(request.path_params["id"])
    return user
