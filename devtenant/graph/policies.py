"""What a health check reads: who may invite, and who we are (entra.md §7)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..identities import OUR_DOMAIN, OUR_NAME, OUR_TENANT, OWN_TENANT_DOMAIN
from ..pages import tenant_of
from . import lists
from .wire import GRAPH, graph_operation, public, reply


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
    return reply(request, body)


@graph_operation("GET /organization", "Organization.Read.All", "User.Read.All", "Directory.Read.All")
async def list_organization(request: Request) -> Response:
    """Verified domains included: addresses there cannot be invited (entra.md §1)."""
    domains = [
        {"name": name, "isDefault": default, "isInitial": not default, "type": "Managed", "capabilities": "Email"}
        for name, default in ((OUR_DOMAIN, True), (OWN_TENANT_DOMAIN, False))
    ]
    ours = {"id": OUR_TENANT, "displayName": OUR_NAME, "verifiedDomains": domains, "tenantType": "AAD"}
    return lists.collection(request, "organization", [ours], public)
