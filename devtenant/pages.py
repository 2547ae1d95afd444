"""Drawing pages, and the browser session behind them."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from .faults import Fault
from .store import Json
from .tenant import Tenant, new_token

HERE = Path(__file__).parent
_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def _moment(seconds: float) -> str:
    """A time for people: 23 November 2026, 09:05 UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%-d %B %Y, %H:%M UTC")


def _clock(seconds: float) -> str:
    """A time of day to the millisecond, UTC: 09:05:07.123."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%H:%M:%S.%f")[:-3]


_templates.filters["moment"] = _moment
_templates.filters["clock"] = _clock

# No form-action: browsers apply it to the redirect after a form too, and sign-in ends with one to the portal.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def tenant_of(request: Request) -> Tenant:
    return request.app.state.tenant


def base_of(request: Request) -> str:
    """Scheme and host that were asked: every address and the issuer follow from them."""
    return f"{request.url.scheme}://{request.url.netloc}"


def page(request: Request, name: str, *, status: int = 200, **context: object) -> HTMLResponse:
    html = _templates.get_template(name).render(tenant=tenant_of(request), **context)
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def problem(request: Request, title: str, text: str, *, code: int = 0, status: int = 400, **context) -> HTMLResponse:
    """An error shown to the person; the app hears nothing of it (entra.md §13)."""
    return page(
        request,
        "problem.jinja",
        status=status,
        title=title,
        text=text,
        code=f"AADSTS{code}" if code else None,
        reference=str(uuid.uuid4()),
        at=time.time(),
        **context,
    )


def page_failure(request: Request, fault: Fault) -> Response:
    return PlainTextResponse(fault.message, status_code=fault.status, headers=fault.headers)


def stylesheet(_request: Request) -> Response:
    return Response((HERE / "templates" / "style.css").read_bytes(), media_type="text/css")


def leave_script(_request: Request) -> Response:
    return Response((HERE / "templates" / "leave.js").read_bytes(), media_type="text/javascript")


# -- browser sessions -------------------------------------------------------------------------------------------


def cookie_name(tenant: Tenant) -> str:
    """With the port: cookies ignore ports, and several stand-ins may run on one machine."""
    return f"devtenant_{tenant.port}"


def session_of(request: Request) -> Json:
    """The browser's session, or a new one that `keep_session` will hand to the browser.

    `accounts` maps a home account's id to when the person last signed in (`auth_time`, real time) and when the
    second factor was last given (`mfa_at`, directory time, None for never).
    """
    tenant = tenant_of(request)
    found = tenant.store.get("sessions", request.cookies.get(cookie_name(tenant)))
    if found:
        return found
    key = new_token()
    session = {"id": key, "sid": str(uuid.uuid4()), "created": time.time(), "accounts": {}}
    return tenant.store.put("sessions", key, session)


def keep_session(request: Request, response: Response, session: Json) -> Response:
    tenant = tenant_of(request)
    if request.cookies.get(cookie_name(tenant)) != session["id"]:
        response.set_cookie(cookie_name(tenant), session["id"], httponly=True, samesite="lax", path="/")
    return response
