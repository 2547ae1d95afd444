"""Cross-tenant access settings, and which tenant a domain belongs to (entra.md §7)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from .. import crosstenant
from ..errors import GraphError
from ..pages import tenant_of
from ..store import Json
from . import lists
from .wire import GRAPH, bad_request, body_of, graph_operation, not_found, reply

READ = ("Policy.Read.All", "Policy.ReadWrite.CrossTenantAccess")
WRITE = "Policy.ReadWrite.CrossTenantAccess"
BASE = "/policies/crossTenantAccessPolicy"
CONTEXT = f"{GRAPH}/$metadata#policies/crossTenantAccessPolicy"


@graph_operation(f"GET {BASE}", *READ)
async def get_policy(request: Request) -> Response:
    body = {"id": "CrossTenantAccessPolicy", "displayName": "CrossTenantAccessPolicy", "allowedCloudEndpoints": []}
    return reply(request, {"@odata.context": f"{CONTEXT}/$entity", **body})


@graph_operation(f"GET {BASE}/default", *READ)
async def get_default(request: Request) -> Response:
    return reply(request, {"@odata.context": f"{CONTEXT}/default/$entity", **crosstenant.default(tenant_of(request))})


@graph_operation(f"PATCH {BASE}/default", WRITE)
async def change_default(request: Request) -> Response:
    changes = _checked(await body_of(request), set(crosstenant.FACTORY))
    if None in changes.values():
        raise bad_request("The default configuration has nothing to inherit from: a value must not be null.")
    crosstenant.change_default(tenant_of(request), changes)
    return reply(request, None, 204)


@graph_operation(f"POST {BASE}/default/resetToSystemDefault", WRITE)
async def reset_default(request: Request) -> Response:
    crosstenant.reset_default(tenant_of(request))
    return reply(request, None, 204)


@graph_operation(f"GET {BASE}/partners", *READ)
async def list_partners(request: Request) -> Response:
    found = crosstenant.partners(tenant_of(request))
    return lists.collection(request, "policies/crossTenantAccessPolicy/partners", found, _shown)


@graph_operation(f"POST {BASE}/partners", WRITE)
async def create_partner(request: Request) -> Response:
    """Null inherits the default (entra.md §7)."""
    tenant, asked = tenant_of(request), await body_of(request)
    key = asked.pop("tenantId", None)
    if not isinstance(key, str) or not key:
        raise bad_request("Property tenantId is required.")
    if crosstenant.partner(tenant, key):
        raise bad_request("Another object with the same value for property tenantId already exists.")
    made = crosstenant.change_partner(tenant, key, _checked(asked, set(crosstenant.PARTNER_PROPERTIES)))
    return reply(request, {"@odata.context": f"{CONTEXT}/partners/$entity", **_shown(made)}, 201)


@graph_operation(f"GET {BASE}/partners/{{id}}", *READ)
async def get_partner(request: Request) -> Response:
    return reply(request, {"@odata.context": f"{CONTEXT}/partners/$entity", **_shown(_partner(request))})


@graph_operation(f"PATCH {BASE}/partners/{{id}}", WRITE)
async def change_partner(request: Request) -> Response:
    changes = _checked(await body_of(request), set(crosstenant.PARTNER_PROPERTIES))
    crosstenant.change_partner(tenant_of(request), _partner(request)["id"], changes)
    return reply(request, None, 204)


@graph_operation(f"DELETE {BASE}/partners/{{id}}", WRITE)
async def delete_partner(request: Request) -> Response:
    """The default holds again."""
    tenant_of(request).store.remove("crossTenant", _partner(request)["id"])
    return reply(request, None, 204)


def _partner(request: Request) -> Json:
    found = crosstenant.partner(tenant_of(request), request.path_params["id"])
    if found is None:
        raise not_found(request.path_params["id"])
    return found


def _shown(partner: Json) -> Json:
    """A partner's key is its tenantId; it has no id."""
    return {name: value for name, value in partner.items() if name != "id"}


def _checked(asked: Json, known: set[str]) -> Json:
    changes = {name: value for name, value in asked.items() if not name.startswith("@odata.")}
    if unknown := set(changes) - known:
        raise bad_request(f"devtenant does not model {', '.join(sorted(unknown))} here.")
    for name, value in changes.items():
        if value is not None and not isinstance(value, dict):
            raise bad_request(f"Invalid value specified for property '{name}'.")
        _check_targets(name, value or {})
    return changes


def _check_targets(name: str, setting: Json) -> None:
    if not name.startswith("b2b"):
        return
    for part in ("usersAndGroups", "applications"):
        target = setting.get(part)
        if target and target.get("accessType") not in ("allowed", "blocked"):
            raise bad_request(f"The accessType of {name}.{part} must be allowed or blocked.")


# -- which tenant -----------------------------------------------------------------------------------------------------

FIND = "CrossTenantInformation.ReadBasic.All"


@graph_operation("GET /tenantRelationships/findTenantInformationByDomainName", FIND)
async def find_by_domain(request: Request) -> Response:
    """Whether a partner's domain is an Entra tenant, and so how its people will redeem (entra.md §7)."""
    return _information(request, tenant_of(request).organisation_of(f"x@{request.path_params['domain']}"))


@graph_operation("GET /tenantRelationships/findTenantInformationByTenantId", FIND)
async def find_by_id(request: Request) -> Response:
    return _information(request, tenant_of(request).organisation(request.path_params["tenant"].lower()))


def _information(request: Request, found: Json | None) -> Response:
    if found is None:
        raise GraphError(404, "Directory_ObjectNotFound", "Unable to find the tenant information.", verdict="Not there")
    body = {"tenantId": found["id"], "displayName": found["name"], "defaultDomainName": found["domain"]}
    where = f"{GRAPH}/$metadata#microsoft.graph.tenantInformation"
    return reply(request, {"@odata.context": where, **body, "federationBrandName": None})
