"""All addresses of the stand-in, and the two pages that belong to nothing else."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from . import calls, control, credentials, graph, logout, mail, oidc, signin
from .faults import Front
from .homes import KIND_NAMES
from .identities import OUR_TENANT
from .pages import cookie_name, leave_script, page, problem, stylesheet, tenant_of
from .store import Json
from .tenant import Tenant

# Any other name would be someone's page trying to talk to this machine through its browser.
HOSTS = ["localhost", "*.localhost", "127.0.0.1"]


def make(tenant: Tenant) -> ASGIApp:
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
        exception_handlers={404: _no_such_page},
    )
    app.state.tenant = tenant
    return Front(app, tenant)


def _routes() -> list[BaseRoute]:
    return [
        Route("/", index),
        Route("/style.css", stylesheet),
        Route("/leave.js", leave_script),
        Route("/accounts/", accounts),
        Route("/mailbox/", mail.mailbox),
        Route("/mailbox/{id}", mail.read),
        Route("/mailbox/{id}/html", mail.read_html),
        Route("/calls/", calls.index),
        Route("/calls/{request_id}", calls.read),
        Route("/redeem", signin.redeem),
        Route("/redeem/", signin.redeem),
        Route("/signin/{flow}", signin.show_step, methods=["GET"]),
        Route("/signin/{flow}", signin.take_step, methods=["POST"]),
        *control.routes(),
        *graph.routes(),
        Route("/{tid}/v2.0/.well-known/openid-configuration", oidc.discovery),
        Route("/{tid}/discovery/v2.0/keys", oidc.keys),
        Route("/{tid}/oauth2/v2.0/authorize", signin.authorize, methods=["GET", "POST"]),
        Route("/{tid}/oauth2/v2.0/token", oidc.token, methods=["POST"]),
        Route("/{tid}/oauth2/v2.0/logout", logout.logout),
        Route("/_federated/{name}/.well-known/openid-configuration", credentials.workload_discovery),
        Route("/_federated/{name}/keys", credentials.workload_keys),
    ]


async def _no_such_page(request: Request, _reason: Exception) -> Response:
    return problem(request, "There is no such page", "Begin again at the start page of this stand-in.", status=404)


async def index(request: Request) -> Response:
    tenant = tenant_of(request)
    session = tenant.store.get("sessions", request.cookies.get(cookie_name(tenant))) or {"accounts": {}}
    signed_in = [found for key in session["accounts"] if (found := tenant.account(key))]
    return page(request, "index.jinja", signed_in=signed_in, tid=OUR_TENANT)


async def accounts(request: Request) -> Response:
    tenant = tenant_of(request)
    known = tenant.store.all("accounts")
    groups = [
        (o, [(a, _standing(tenant, a)) for a in known if a["tenant"] == o["id"]])
        for o in tenant.store.all("organisations")
    ]
    others = [(a, _standing(tenant, a)) for a in known if a["tenant"] is None]
    if others:
        groups.append(({"name": "Other accounts", "kind": "personal, federated and without any"}, others))
    return page(request, "accounts.jinja", groups=groups, kind_names=KIND_NAMES)


def _standing(tenant: Tenant, account: Json) -> str:
    """What our directory knows of a home account, in words."""
    user = tenant.user(account["id"])
    if user is None:
        user = tenant.guest_of(account) or tenant.pending_guest_for(account)
        standing = "Not known" if user is None else "Guest" if user.get("_home_account") else "Invited"
    else:
        standing = "Staff"
    return standing if user is None or user["accountEnabled"] else f"{standing}, disabled"
