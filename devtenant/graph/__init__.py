"""Microsoft Graph v1.0, as far as guests and one group need it (entra.md §1, §2, §3, §4, §5, §11)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from .. import invitations
from ..errors import GraphError
from ..pages import tenant_of
from . import applications, conditional_access, cross_tenant, deleted, delta, groups, policies, users
from .wire import GRAPH, body_of, graph_operation, reply

Table = list[tuple[str, str, Any]]


@graph_operation("POST /invitations", "User.Invite.All", "User.ReadWrite.All", "Directory.ReadWrite.All")
async def create_invitation(request: Request) -> Response:
    """201 also for a second invitation (entra.md §1, idempotency)."""
    made = invitations.invite(tenant_of(request), await body_of(request))
    request.scope["devtenant.call"]["object"] = made["invitedUser"]["id"]
    return reply(request, {"@odata.context": f"{GRAPH}/$metadata#invitations/$entity", **made}, 201)


ANY_PERMISSION = ("User.Invite.All", "GroupMember.ReadWrite.All", *users.READ_USERS)


@graph_operation("* (not modelled)", *ANY_PERMISSION)
async def not_modelled(request: Request) -> Response:
    text = f"devtenant does not model {request.method} {request.url.path}."
    raise GraphError(501, "notImplemented", text, verdict="Not modelled here")


@graph_operation("GET /auditLogs/{rest}", "AuditLog.Read.All")
async def reports(_request: Request) -> Response:
    """Logs are not modelled, but their limit is (entra.md §10, §15)."""
    raise GraphError(501, "notImplemented", "devtenant keeps no logs.", verdict="Not modelled here")


INVITATIONS: Table = [("POST", "/invitations", create_invitation)]

USERS: Table = [
    ("GET", "/users", users.list_users),
    ("GET", "/users/$count", users.count_users),
    ("GET", "/users/delta", delta.users),
    ("GET", "/users/delta()", delta.users),
    ("GET", "/users/{id}", users.get_user),
    ("PATCH", "/users/{id}", users.update_user),
    ("DELETE", "/users/{id}", users.delete_user),
    ("POST", "/users/{id}/revokeSignInSessions", users.revoke_sessions),
    ("GET", "/users/{id}/sponsors", users.list_sponsors),
    ("POST", "/users/{id}/sponsors/$ref", users.add_sponsor),
    ("DELETE", "/users/{id}/sponsors/{sponsor}/$ref", users.remove_sponsor),
    ("GET", "/users/{id}/memberOf", users.list_member_of),
    ("GET", "/users/{id}/transitiveMemberOf", users.list_transitive_member_of),
    ("GET", "/users/{id}/transitiveMemberOf/microsoft.graph.group", users.list_transitive_member_of),
    ("GET", "/users/{id}/transitiveMemberOf/graph.group", users.list_transitive_member_of),
    ("POST", "/users/{id}/getMemberGroups", users.get_member_groups),
    ("POST", "/users/{id}/getMemberObjects", users.get_member_groups),
    ("POST", "/users/{id}/checkMemberGroups", users.check_member_groups),
    ("GET", "/directoryObjects/{id}", users.get_directory_object),
    ("POST", "/directoryObjects/getByIds", users.get_by_ids),
]

GROUPS: Table = [
    ("GET", "/groups", groups.list_groups),
    ("GET", "/groups/$count", groups.count_groups),
    ("GET", "/groups/delta", delta.groups),
    ("GET", "/groups/delta()", delta.groups),
    ("GET", "/groups/{id}", groups.get_group),
    ("PATCH", "/groups/{id}", groups.add_many),
    ("GET", "/groups/{id}/members", groups.list_members),
    ("GET", "/groups/{id}/members/microsoft.graph.user", groups.list_members),
    ("GET", "/groups/{id}/members/graph.user", groups.list_members),
    ("GET", "/groups/{id}/transitiveMembers", groups.list_transitive_members),
    ("GET", "/groups/{id}/transitiveMembers/microsoft.graph.user", groups.list_transitive_members),
    ("GET", "/groups/{id}/transitiveMembers/graph.user", groups.list_transitive_members),
    ("POST", "/groups/{id}/members/$ref", groups.add_member),
    ("DELETE", "/groups/{id}/members/{member}/$ref", groups.remove_member),
    ("DELETE", "/groups/{id}/members/{member}", groups.delete_the_user_itself),
]

DELETED: Table = [
    ("GET", "/directory/deletedItems/microsoft.graph.user", deleted.list_deleted),
    ("GET", "/directory/deletedItems/graph.user", deleted.list_deleted),
    ("GET", "/directory/deletedItems/{id}", deleted.get_deleted),
    ("POST", "/directory/deletedItems/{id}/restore", deleted.restore_deleted),
    ("DELETE", "/directory/deletedItems/{id}", deleted.delete_for_good),
]

POLICIES: Table = [
    ("GET", "/policies/authorizationPolicy", policies.authorization_policy),
    ("GET", "/organization", policies.list_organization),
]

_CONTEXTS = "/identity/conditionalAccess/authenticationContextClassReferences"
CONDITIONAL_ACCESS: Table = [
    ("GET", "/identity/conditionalAccess/policies", conditional_access.list_policies),
    ("POST", "/identity/conditionalAccess/policies", conditional_access.create_policy),
    ("GET", "/identity/conditionalAccess/policies/{id}", conditional_access.get_policy),
    ("PATCH", "/identity/conditionalAccess/policies/{id}", conditional_access.update_policy),
    ("DELETE", "/identity/conditionalAccess/policies/{id}", conditional_access.delete_policy),
    ("GET", _CONTEXTS, conditional_access.list_contexts),
    ("GET", f"{_CONTEXTS}/{{id}}", conditional_access.get_context),
    ("PATCH", f"{_CONTEXTS}/{{id}}", conditional_access.write_context),
]

_FIND = "/tenantRelationships/findTenantInformationBy"
CROSS_TENANT: Table = [
    ("GET", cross_tenant.BASE, cross_tenant.get_policy),
    ("GET", f"{cross_tenant.BASE}/default", cross_tenant.get_default),
    ("PATCH", f"{cross_tenant.BASE}/default", cross_tenant.change_default),
    ("POST", f"{cross_tenant.BASE}/default/resetToSystemDefault", cross_tenant.reset_default),
    ("GET", f"{cross_tenant.BASE}/partners", cross_tenant.list_partners),
    ("POST", f"{cross_tenant.BASE}/partners", cross_tenant.create_partner),
    ("GET", f"{cross_tenant.BASE}/partners/{{id}}", cross_tenant.get_partner),
    ("PATCH", f"{cross_tenant.BASE}/partners/{{id}}", cross_tenant.change_partner),
    ("DELETE", f"{cross_tenant.BASE}/partners/{{id}}", cross_tenant.delete_partner),
    ("GET", f"{_FIND}DomainName(domainName='{{domain}}')", cross_tenant.find_by_domain),
    ("GET", f"{_FIND}TenantId(tenantId='{{tenant}}')", cross_tenant.find_by_id),
]

APPLICATIONS: Table = [
    ("GET", "/servicePrincipals", applications.list_service_principals),
    *(
        (method, f"/servicePrincipals{key}{rest}", endpoint)
        for key in ("(appId='{app_id}')", "/{id}")
        for method, rest, endpoint in (
            ("GET", "", applications.get_service_principal),
            ("GET", "/appRoleAssignedTo", applications.list_assignments),
            ("POST", "/appRoleAssignedTo", applications.assign),
            ("DELETE", "/appRoleAssignedTo/{assignment}", applications.unassign),
        )
    ),
]

REST: Table = [("GET", "/auditLogs/{rest:path}", reports)]


def routes() -> list[BaseRoute]:
    """Every modelled operation, below /v1.0; concrete paths stand before those with an id."""
    table = [
        *INVITATIONS,
        *USERS,
        *GROUPS,
        *DELETED,
        *POLICIES,
        *CONDITIONAL_ACCESS,
        *CROSS_TENANT,
        *APPLICATIONS,
        *REST,
    ]
    made = [Route(path, endpoint, methods=[method]) for method, path, endpoint in table]
    every = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    return [Mount("/v1.0", routes=[*made, Route("/{rest:path}", not_modelled, methods=every)])]
