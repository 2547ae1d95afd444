"""Signing in with a browser: pick an account, accept, verify, and back to the app (entra.md §5, §6, §8, §9).

After every form `advance` looks at the flow afresh and answers with the next page, or with the redirect that ends it.
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from . import passcode, redemption, second_factor
from .conditional_access import Demand
from .faults import operation
from .flows import (
    Page,
    back,
    back_with_error,
    blank_flow,
    end,
    flow_of,
    known_in,
    lost,
    note,
    refusal,
    remember,
    save,
    unless_silent,
)
from .identities import OUR_NAME
from .oidc import is_our_tenant
from .pages import HEADERS, base_of, keep_session, page, page_failure, problem, session_of, tenant_of
from .picker import pick, picker
from .store import Json
from .tenant import Tenant, is_guest, new_token

RESPONSE_MODES = ("query", "fragment", "form_post")


# -- authorize --------------------------------------------------------------------------------------------------


@operation("GET /authorize", page_failure)
async def authorize(request: Request) -> Response:
    """The start of a code flow. What is wrong with app or address is shown here; the rest goes back to the app."""
    tenant, asked = tenant_of(request), dict(request.query_params)
    if request.method == "POST":
        form = await request.form()
        asked = {name: value for name, value in form.items() if isinstance(value, str)}
    refused = _untrustworthy(request, tenant, asked)
    if refused:
        return refused
    session = session_of(request)
    try:
        flow = _new_flow(request, session, asked)
    except ValueError as mistake:
        return back_with_error(asked, "invalid_request", 900144, str(mistake))
    flow["account"] = _single_sign_on(tenant, session, flow)
    return begin(request, flow, session)


@operation("GET /redeem", page_failure)
async def redeem(request: Request) -> Response:
    """An invitation link (entra.md §1, §8)."""
    session = session_of(request)
    try:
        flow = redemption.open_link(request, session)
    except Page as stop:
        return stop.response
    return begin(request, flow, session)


def begin(request: Request, flow: Json, session: Json) -> Response:
    """Keep a new flow and answer with its first page."""
    save(tenant_of(request), flow)
    return keep_session(request, advance(request, flow, session), session)


def _untrustworthy(request: Request, tenant: Tenant, asked: Json) -> Response | None:
    """Refusals that must not be sent to the redirect address, because it may not be the app's (entra.md §13)."""
    tid = request.path_params["tid"]
    if not is_our_tenant(tid):
        if tid.lower() in ("common", "organizations", "consumers"):
            text = "This app is for one organisation only: it has to send people to that organisation's own address."
            return problem(request, "Sign-in failed", text, code=50194)
        return problem(request, "Sign-in failed", f"There is no organisation called {tid} here.", code=90002)
    app = tenant.app(asked.get("client_id"))
    if app is None:
        return problem(request, "Sign-in failed", "The app that sent you here is not registered.", code=700016)
    if not is_registered(app, asked.get("redirect_uri", "")):
        text = "The app wants you sent to an address that is not registered for it."
        return problem(request, "Sign-in failed", text, code=50011, detail=asked.get("redirect_uri"))
    return None


def is_registered(app: Json, uri: str) -> bool:
    """Whether an address is one of the app's; in development any port of its hosts will do."""
    parts = urlsplit(uri)
    if uri in app["redirectUris"]:
        return True
    return parts.scheme == "http" and parts.hostname in app["redirectHosts"] and not parts.username


def _new_flow(request: Request, session: Json, asked: Json) -> Json:
    """Raises ValueError with a sentence for the app's developer."""
    if asked.get("response_type") != "code":
        raise ValueError("The only response_type that this stand-in knows is 'code'.")
    if "openid" not in asked.get("scope", "").split():
        raise ValueError("The scope must contain 'openid'.")
    if asked.get("response_mode", "query") not in RESPONSE_MODES:
        raise ValueError("The response_mode is not one of query, fragment, form_post.")
    if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
        raise ValueError("The code_challenge_method must be S256.")
    prompt = asked.get("prompt", "")
    if prompt not in ("", "none", "login", "consent", "select_account"):
        raise ValueError("The prompt is not one of none, login, consent, select_account.")
    wanted = _wanted_claims(asked.get("claims"))
    return blank_flow("authorize", session) | {
        "base": base_of(request),
        "client_id": asked["client_id"],
        "redirect_uri": asked["redirect_uri"],
        "response_mode": asked.get("response_mode", "query"),
        "state": asked.get("state"),
        "nonce": asked.get("nonce"),
        "scope": asked["scope"],
        "code_challenge": asked.get("code_challenge"),
        "contexts": _contexts(wanted),
        "wanted": sorted(wanted),
        "prompt": prompt,
        "max_age": _max_age(asked.get("max_age")),
        "login_hint": asked.get("login_hint", "").strip(),
    }


def _wanted_claims(claims: str | None) -> dict[str, Any]:
    """What the claims parameter asks of the ID token (entra.md §6)."""
    if not claims:
        return {}
    try:
        return dict((json.loads(claims).get("id_token") or {}).items())
    except (ValueError, AttributeError):
        raise ValueError("The claims parameter is not the JSON that OpenID Connect describes.") from None


def _contexts(wanted: dict[str, Any]) -> list[str]:
    """Authentication contexts asked for by claims={"id_token":{"acrs":{"essential":true,"value":"c1"}}} (§6)."""
    try:
        acrs = wanted.get("acrs") or {}
        values = acrs.get("values") or [acrs["value"]] if acrs else []
    except (AttributeError, KeyError):
        raise ValueError("The claims parameter is not the JSON that OpenID Connect describes.") from None
    return [str(value) for value in values]


def _max_age(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdigit():
        raise ValueError("The max_age must be a number of seconds.")
    return int(text)


def _single_sign_on(tenant: Tenant, session: Json, flow: Json) -> str | None:
    """The account that needs no picking: the hinted one, or the only one, unless the app wants a choice."""
    if flow["prompt"] in ("select_account", "login"):
        return None
    accounts = (tenant.account(key) for key in session["accounts"])
    known = [account["id"] for account in accounts if account and known_in(tenant, session, account)]
    if flow["login_hint"]:
        hinted = tenant.account_by_address(flow["login_hint"])
        return hinted["id"] if hinted and hinted["id"] in known else None
    return known[0] if len(known) == 1 else None


# -- the pages of a flow ----------------------------------------------------------------------------------------


@operation("GET /signin/{flow}", page_failure)
async def show_step(request: Request) -> Response:
    flow, session = flow_of(request)
    if flow is None:
        return lost(request)
    return keep_session(request, advance(request, flow, session), session)


@operation("POST /signin/{flow}", page_failure)
async def take_step(request: Request) -> Response:
    """One form of one page. Answers with a redirect to the next page, so that going back repeats nothing."""
    flow, _session = flow_of(request)
    if flow is None:
        return lost(request)
    form = await request.form()
    step = STEPS.get(str(form.get("step")))
    mistake = step(request, flow, dict(form)) if step else None
    save(tenant_of(request), flow)
    return mistake or RedirectResponse(f"/signin/{flow['id']}", status_code=303, headers=HEADERS)


def _start_again(_request: Request, flow: Json, _form: Json) -> None:
    flow.update(account=None, picked_at=None, consented=False, verified=False, failed=None, passcode=None)


def _consent(_request: Request, flow: Json, _form: Json) -> None:
    flow["consented"] = True


def _cancel(_request: Request, flow: Json, _form: Json) -> None:
    flow["ended"] = "cancelled"


# What the buttons of the pages do; an answer is the page again, with what is wrong.
STEPS = {
    "pick": pick,
    "again": _start_again,
    "accept": _consent,
    "cancel": _cancel,
    "code": passcode.enter,
    "resend": passcode.send_again,
    "verify": second_factor.verify,
    "register": second_factor.register,
    "cannot": second_factor.cannot,
    "retry": second_factor.retry,
}


def advance(request: Request, flow: Json, session: Json) -> Response:
    """The next answer of a flow: a page that asks for something, or its end."""
    steps = _end_authorize if flow["kind"] == "authorize" else _end_redemption
    try:
        if flow["ended"] == "done":
            return lost(request)
        return steps(request, flow, session)
    except Page as stop:
        return stop.response


def _end_redemption(request: Request, flow: Json, session: Json) -> Response:
    redemption.invited(request, flow)
    if flow["ended"] == "cancelled":
        return _cancelled(request, flow)
    account = tenant_of(request).account(flow["account"])
    if account is None:
        return picker(request, flow)
    redemption.check_crossing(request, flow, account, None)
    passcode.ask(request, flow, account)
    return redemption.accept(request, flow, session, account)


def _end_authorize(request: Request, flow: Json, session: Json) -> Response:
    """Account, guest, consent, assignment, second factor, code: in the order a person meets them."""
    if flow["ended"] == "cancelled":
        return _cancelled(request, flow)
    app = tenant_of(request).app(flow["client_id"])
    if app is None:
        return lost(request)
    account = _picked_account(request, flow, session)
    redemption.check_crossing(request, flow, account, app)
    if redemption.expected(request, account) is None:
        raise redemption.not_in_tenant(request, flow, account)
    passcode.ask(request, flow, account)
    user = redemption.user_for(request, flow, account)
    redemption.check_enabled(request, flow, user)
    _check_assigned(request, flow, user, app)
    _check_session_of(request, flow, session, user)
    asked, has_mfa = second_factor.ask(request, flow, session, app, user, account)
    _ask_consent(request, flow, app, user)
    return _finish(request, flow, session, app, user, account, asked, has_mfa)


def _picked_account(request: Request, flow: Json, session: Json) -> Json:
    tenant = tenant_of(request)
    account = tenant.account(flow["account"])
    if account is None:
        raise Page(unless_silent(request, flow, "login_required", 50058) or picker(request, flow))
    known = known_in(tenant, session, account)
    too_old = flow["max_age"] is not None and known and time.time() - known["auth_time"] > flow["max_age"]
    if flow["picked_at"] is None and (too_old or not known):
        flow["login_hint"] = account["address"]
        raise Page(unless_silent(request, flow, "login_required", 50058) or picker(request, flow))
    return account


def _check_assigned(request: Request, flow: Json, user: Json, app: Json) -> None:
    """appRoleAssignmentRequired: without an assignment the app never hears of the attempt (entra.md §4)."""
    tenant = tenant_of(request)
    if app["appRoleAssignmentRequired"] and not tenant.assignments_of(user, app):
        text = (
            f"{OUR_NAME} knows you, but has not given you access to {app['displayName']}. "
            "If you were just approved, wait a few minutes and try again."
        )
        raise refusal(request, flow, "You do not have access yet", text, code=50105)


def _check_session_of(request: Request, flow: Json, session: Json, user: Json) -> None:
    """revokeSignInSessions ends our session and second factor, not the guest's sign-in at home (entra.md §2)."""
    known = session["accounts"].get(flow["account"])
    if not known or known["auth_time"] >= user.get("_sessions_valid_from", 0):
        return
    known["mfa_at"] = None
    if not is_guest(user) and flow["picked_at"] is None:
        raise Page(unless_silent(request, flow, "login_required", 50173) or picker(request, flow))


def _ask_consent(request: Request, flow: Json, app: Json, user: Json) -> None:
    """Members accept an app once; guests accepted our organisation when they redeemed (entra.md §8, §13)."""
    tenant, key = tenant_of(request), f"{user['id']}.{app['id']}"
    wanted = flow["prompt"] == "consent" or not (is_guest(user) or tenant.store.get("consents", key))
    if wanted and not flow["consented"]:
        ask = page(request, "permissions.jinja", flow=flow, user=user, app=app)
        raise Page(unless_silent(request, flow, "consent_required", 65001) or ask)
    if flow["consented"]:
        tenant.store.put("consents", key, {"id": key, "at": time.time()})


def _finish(
    request: Request,
    flow: Json,
    session: Json,
    app: Json,
    user: Json,
    account: Json,
    asked: list[Demand],
    has_mfa: bool,
) -> Response:
    tenant = tenant_of(request)
    known = remember(tenant, session, flow, account)
    session.setdefault("apps", {})[flow["client_id"]] = flow["base"]
    tenant.store.put("sessions", session["id"], session)
    code = {
        "id": new_token(48),
        "created": time.time(),
        "used": False,
        "user": user["id"],
        "account_address": account["address"],
        "auth_time": known["auth_time"],
        "sid": session["sid"],
        **{k: flow[k] for k in ("base", "client_id", "redirect_uri", "scope", "nonce", "code_challenge")},
        **{k: flow[k] for k in ("contexts", "wanted", "max_age")},
        "satisfied": second_factor.satisfied_contexts(tenant, app, user, account, known, has_mfa),
    }
    tenant.store.put("codes", code["id"], code)
    note(tenant, flow, 0, asked=asked, has_mfa=has_mfa)
    end(tenant, flow)
    return back(flow, {"code": code["id"], "session_state": session["sid"]})


def _cancelled(request: Request, flow: Json) -> Response:
    """The person declined: the app hears access_denied (entra.md §13, 65004)."""
    tenant = tenant_of(request)
    note(tenant, flow, 65004, "Declined")
    end(tenant, flow)
    if flow["kind"] == "redeem":
        text = (
            "You did not accept the invitation, and nothing has changed. The link stays good if you change your mind."
        )
        return problem(request, "You did not accept", text, status=200)
    return back_with_error(flow, "access_denied", 65004, "User declined to consent to access the app.")
