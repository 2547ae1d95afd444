"""What every sign-in shares: the flow, how it stops at a page, and how it goes back to the app (entra.md §9, §13).

One sign-in is a *flow*: kept here, bound to the browser's session, moved by the forms of its pages.
"""

from __future__ import annotations

import html
import time
import uuid
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from . import conditional_access
from .conditional_access import Demand
from .oidc import error_body
from .pages import HEADERS, problem, session_of, tenant_of
from .store import Json
from .tenant import DAY, Tenant, new_token, timestamp


class Page(Exception):
    """The flow stops here for now, with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def blank_flow(kind: str, session: Json) -> Json:
    """What happened within one sign-in.

    `account` is who was picked, `picked_at` when they proved it (real time); `proved` is False while a passcode is
    awaited; `passcode` is the code that was sent; `failed` says why the second factor did not come.
    """
    return {
        "id": new_token(),
        "kind": kind,
        "session": session["id"],
        "created": time.time(),
        "account": None,
        "picked_at": None,
        "proved": False,
        "passcode": None,
        "verified": False,
        "failed": None,
        "consented": False,
        "prompt": "",
        "login_hint": "",
        "ended": None,
    }


def flow_of(request: Request) -> tuple[Json | None, Json]:
    """The flow, if this browser began it, and the browser's session."""
    tenant, session = tenant_of(request), session_of(request)
    flow = tenant.store.get("flows", request.path_params["flow"])
    return (flow if flow and flow["session"] == session["id"] else None), session


def save(tenant: Tenant, flow: Json) -> None:
    tenant.store.put("flows", flow["id"], flow)


def end(tenant: Tenant, flow: Json) -> None:
    save(tenant, {**flow, "ended": "done"})


def lost(request: Request) -> Response:
    text = "This sign-in has ended or was begun in another browser. Go back to the portal and sign in again."
    return problem(request, "This sign-in is over", text, status=404)


def refusal(
    request: Request,
    flow: Json,
    title: str,
    text: str,
    *,
    code: int,
    asked: list[Demand] | None = None,
    **more: Any,
) -> Page:
    """A refusal on a page of ours: the app hears nothing of it, the sign-in log does (entra.md §13, §15).

    Only a silent sign-in, which may show no page, tells the app.
    """
    note(tenant_of(request), flow, code, title, asked=asked)
    if flow["prompt"] == "none":
        return Page(back_with_error(flow, "interaction_required", code, text))
    return Page(problem(request, title, text, code=code, status=403, flow=flow, **more))


# -- the browser's session -------------------------------------------------------------------------------------------


def remember(tenant: Tenant, session: Json, flow: Json, account: Json) -> Json:
    """Keep in the browser's session who signed in, when, and when they gave the second factor."""
    fresh = {"auth_time": time.time(), "proved_at": tenant.now(), "mfa_at": None}
    known = session["accounts"].setdefault(account["id"], fresh)
    if flow["picked_at"]:
        known.update(auth_time=flow["picked_at"], proved_at=tenant.now())
    if flow["verified"]:
        known.update(mfa_at=tenant.now(), auth_time=time.time())
    tenant.store.put("sessions", session["id"], session)
    return known


def known_in(tenant: Tenant, session: Json, account: Json) -> Json | None:
    """What the session keeps of an account. A passcode counts for 24 hours of directory time (entra.md §8)."""
    known = session["accounts"].get(account["id"])
    if known and account["kind"] == "mail" and tenant.now() - known.get("proved_at", 0) > DAY:
        return None
    return known


# -- back to the app -------------------------------------------------------------------------------------------------


def unless_silent(request: Request, flow: Json, error: str, number: int) -> Response | None:
    """prompt=none: no pages, the app is told instead (entra.md §9)."""
    if flow["prompt"] != "none":
        return None
    note(tenant_of(request), flow, number, error)
    return back_with_error(flow, error, number, "A silent sign-in is not possible now.")


def back_with_error(flow: Json, error: str, number: int, text: str) -> Response:
    body = error_body(error, number, text)
    return back(flow, {"error": error, "error_description": body["error_description"]})


def back(flow: Json, answer: dict[str, str]) -> Response:
    """To the app's registered address, in the response mode it asked for (entra.md §9)."""
    if flow.get("state") is not None:
        answer["state"] = flow["state"]
    mode, uri = flow.get("response_mode") or "query", flow["redirect_uri"]
    if mode == "form_post":
        return _form_post(uri, answer)
    mark = "#" if mode == "fragment" else "&" if "?" in uri else "?"
    return RedirectResponse(f"{uri}{mark}{urlencode(answer)}", status_code=302, headers=HEADERS)


def _form_post(uri: str, answer: dict[str, str]) -> Response:
    fields = "".join(
        f'<input type="hidden" name="{html.escape(k)}" value="{html.escape(v)}">' for k, v in answer.items()
    )
    form = f'<form method="post" action="{html.escape(uri)}">{fields}<button>Continue</button></form>'
    return HTMLResponse(f"<!doctype html><title>Continue</title>{form}", headers=HEADERS)


# -- the sign-in log -------------------------------------------------------------------------------------------------


def note(
    tenant: Tenant,
    flow: Json,
    code: int,
    reason: str | None = None,
    *,
    asked: list[Demand] | None = None,
    has_mfa: bool = False,
) -> None:
    """One line of the sign-in log, in the words of Graph's signIn (entra.md §15). Code 0 is a success."""
    account, app = tenant.account(flow["account"]), tenant.app(flow.get("client_id"))
    user = (tenant.user(account["id"]) or tenant.guest_of(account)) if account else None
    enforced = [demand for demand in asked or [] if demand.enforced]
    tenant.signins.append(
        {
            "id": str(uuid.uuid4()),
            "createdDateTime": timestamp(time.time()),
            "userId": user["id"] if user else None,
            "userPrincipalName": account["address"] if account else None,
            "appId": app["id"] if app else None,
            "appDisplayName": app["displayName"] if app else None,
            "homeTenantId": account["tenant"] if account else None,
            "correlationId": str(uuid.uuid4()),
            "status": {"errorCode": code, "failureReason": reason},
            "conditionalAccessStatus": "notApplied" if not enforced else "failure" if code else "success",
            "appliedConditionalAccessPolicies": conditional_access.report(tenant, asked or [], has_mfa=has_mfa),
            "_contexts": flow.get("contexts") or [],
        }
    )
