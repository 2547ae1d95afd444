"""Signing out: the browser's session ends, and every app that it signed in to is told (entra.md §9, Single logout)."""

from __future__ import annotations

import os
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .faults import operation
from .identities import OUR_TENANT
from .pages import HEADERS, cookie_name, page, page_failure, tenant_of
from .signin import is_registered
from .store import Json
from .tenant import Tenant


@operation("GET /logout", page_failure)
async def logout(request: Request) -> Response:
    """End the browser's session here; the address to go back to must be registered.

    Apps with a logoutUrl get a front-channel call each, in a frame of the page; with none it goes back at once.
    """
    tenant = tenant_of(request)
    cookie = request.cookies.get(cookie_name(tenant))
    session = tenant.store.get("sessions", cookie)
    response = _answer(request, tenant, session or {"apps": {}})
    if cookie:
        tenant.store.remove("sessions", cookie)
        response.delete_cookie(cookie_name(tenant), path="/")
    return response


def _answer(request: Request, tenant: Tenant, session: Json) -> Response:
    asked = request.query_params.get("post_logout_redirect_uri", "")
    onward = _onward(request, tenant, asked)
    frames = _front_channel(tenant, session)
    if onward and not frames:
        return RedirectResponse(onward, status_code=302, headers=HEADERS)
    unregistered = asked if asked and not onward else ""
    shown = page(request, "signed_out.jinja", unregistered=unregistered, onward=onward, frames=frames)
    origins = sorted({f"{urlsplit(frame).scheme}://{urlsplit(frame).netloc}" for frame in frames})
    policy = HEADERS["Content-Security-Policy"].replace("frame-src 'self'", " ".join(["frame-src 'self'", *origins]))
    shown.headers["Content-Security-Policy"] = f"{policy}; script-src 'self'"
    return shown


def _onward(request: Request, tenant: Tenant, asked: str) -> str | None:
    if not asked or not any(is_registered(app, asked) for app in tenant.store.all("apps")):
        return None
    state = request.query_params.get("state")
    mark = "&" if "?" in asked else "?"
    return asked + (mark + urlencode({"state": state}) if state else "")


def _front_channel(tenant: Tenant, session: Json) -> list[str]:
    """logoutUrl of each app that this session signed in to, with the session's id and the issuer."""
    found = []
    for client_id, base in session.get("apps", {}).items():
        app = tenant.app(client_id)
        if app and (address := logout_url(app)):
            query = urlencode({"sid": session["sid"], "iss": f"{base}/{OUR_TENANT}/v2.0"})
            found.append(f"{address}{'&' if '?' in address else '?'}{query}")
    return found


def logout_url(app: Json) -> str | None:
    """Where the app wants to hear of it; "{PORT}" stands for the portal's port, as in our other defaults."""
    known = app["logoutUrl"]
    return known.replace("{PORT}", os.environ.get("PORT") or "8000") if known else None
