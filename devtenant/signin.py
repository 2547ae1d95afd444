"""Signing in with a browser: pick an account, accept, verify, and back to the app (entra.md §5, §6, §8, §9).

One sign-in is a *flow*: kept here, bound to the browser's session, moved by the forms of its pages. After every
form `advance` looks at the flow afresh and answers with the next page, or with the redirect that ends it.
"""

from __future__ import annotations

import html
import json
import time
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from .faults import operation
from .identities import OUR_DOMAIN, OUR_NAME
from .oidc import error_body, is_our_tenant
from .pages import HEADERS, base_of, cookie_name, keep_session, page, page_failure, problem, session_of, tenant_of
from .store import Json
from .tenant import Tenant, is_guest, is_ours, is_pending, mfa_max_age, new_token, requires_mfa

RESPONSE_MODES = ("query", "fragment", "form_post")


class Page(Exception):
    """The flow stops here for now, with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


# -- authorize --------------------------------------------------------------------------------------------------


@operation("GET /authorize", page_failure)
async def authorize(request: Request) -> Response:
    """The start of a code flow. What is wrong with app or address is shown here; the rest goes back to the app."""
    tenant, asked = tenant_of(request), dict(request.query_params)
    if request.method == "POST":
        form = await request.form()
        asked = {name: value for name, value in form.items() if isinstance(value, str)}
    refusal = _untrustworthy(request, tenant, asked)
    if refusal:
        return refusal
    session = session_of(request)
    try:
        flow = _new_flow(request, session, asked)
    except ValueError as mistake:
        return _back_with_error(asked, "invalid_request", 900144, str(mistake))
    flow["account"] = _single_sign_on(tenant, session, flow)
    tenant.store.put("flows", flow["id"], flow)
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
    return _blank_flow("authorize", session) | {
        "base": base_of(request),
        "client_id": asked["client_id"],
        "redirect_uri": asked["redirect_uri"],
        "response_mode": asked.get("response_mode", "query"),
        "state": asked.get("state"),
        "nonce": asked.get("nonce"),
        "scope": asked["scope"],
        "code_challenge": asked.get("code_challenge"),
        "contexts": _contexts(asked.get("claims")),
        "prompt": prompt,
        "max_age": _max_age(asked.get("max_age")),
        "login_hint": asked.get("login_hint", "").strip(),
    }


def _blank_flow(kind: str, session: Json) -> Json:
    """`account` is who was picked; `picked_at` (real time) and `verified` tell what happened within this flow."""
    return {
        "id": new_token(),
        "kind": kind,
        "session": session["id"],
        "created": time.time(),
        "account": None,
        "picked_at": None,
        "verified": False,
        "consented": False,
        "prompt": "",
        "login_hint": "",
        "ended": None,
    }


def _contexts(claims: str | None) -> list[str]:
    """Authentication contexts asked for by claims={"id_token":{"acrs":{"essential":true,"value":"c1"}}} (§6)."""
    if not claims:
        return []
    try:
        wanted = (json.loads(claims).get("id_token") or {}).get("acrs") or {}
        values = wanted.get("values") or [wanted["value"]] if wanted else []
    except (ValueError, AttributeError, KeyError):
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
    known = [account for account in session["accounts"] if tenant.account(account)]
    if flow["login_hint"]:
        hinted = tenant.account_by_address(flow["login_hint"])
        return hinted["id"] if hinted and hinted["id"] in known else None
    return known[0] if len(known) == 1 else None


# -- the pages of a flow ----------------------------------------------------------------------------------------


@operation("GET /signin/{flow}", page_failure)
async def show_step(request: Request) -> Response:
    flow, session = _flow_of(request)
    if flow is None:
        return _lost(request)
    return keep_session(request, advance(request, flow, session), session)


@operation("POST /signin/{flow}", page_failure)
async def take_step(request: Request) -> Response:
    """One form of one page. Answers with a redirect to the next page, so that going back repeats nothing."""
    flow, _session = _flow_of(request)
    if flow is None:
        return _lost(request)
    tenant, form = tenant_of(request), await request.form()
    step, address, mistake = form.get("step"), str(form.get("address") or form.get("account") or ""), None
    if step == "pick":
        mistake = _pick(tenant, flow, address)
    elif step == "again":
        flow.update(account=None, consented=False, verified=False)
    elif step == "accept":
        flow["consented"] = True
    elif step == "verify":
        flow["verified"] = True
    elif step == "cancel":
        flow["ended"] = "cancelled"
    tenant.store.put("flows", flow["id"], flow)
    if mistake:
        return _picker(request, flow, mistake, address)
    return RedirectResponse(f"/signin/{flow['id']}", status_code=303, headers=HEADERS)


def _flow_of(request: Request) -> tuple[Json | None, Json]:
    """The flow, if this browser began it."""
    tenant, session = tenant_of(request), session_of(request)
    flow = tenant.store.get("flows", request.path_params["flow"])
    return (flow if flow and flow["session"] == session["id"] else None), session


def _lost(request: Request) -> Response:
    text = "This sign-in has ended or was begun in another browser. Go back to the portal and sign in again."
    return problem(request, "This sign-in is over", text, status=404)


def _pick(tenant: Tenant, flow: Json, address: str) -> str | None:
    """Note who is signing in: picking is the password step. Returns a sentence when that cannot be."""
    account = tenant.account_by_address(address)
    if account is None:
        try:
            account = _make_account(tenant, address)
        except ValueError as refusal:
            return str(refusal)
    if not account["enabled"]:
        return f"The account {account['address']} is disabled at its own organisation."
    flow.update(account=account["id"], picked_at=time.time(), consented=False, verified=False)
    return None


def _make_account(tenant: Tenant, address: str) -> Json:
    local, at, domain = address.strip().partition("@")
    if not (local and at and domain):
        raise ValueError("Enter a work email address, like nurse@northfield.example.")
    if is_ours(address) or not tenant.settings["allow_unknown_accounts"]:
        raise ValueError(f"There is no account {address.strip()}. Pick one from the list.")
    return tenant.add_account(address, purpose="Made by typing the address")


def advance(request: Request, flow: Json, session: Json) -> Response:
    """The next answer of a flow: a page that asks for something, or its end."""
    steps = _end_authorize if flow["kind"] == "authorize" else _end_redemption
    try:
        if flow["ended"] == "done":
            return _lost(request)
        return steps(request, flow, session)
    except Page as stop:
        return stop.response


def _end_authorize(request: Request, flow: Json, session: Json) -> Response:
    """Account, guest, consent, assignment, second factor, code: in the order a person meets them."""
    tenant = tenant_of(request)
    if flow["ended"] == "cancelled":
        return _cancelled(request, flow)
    app = tenant.app(flow["client_id"])
    if app is None:
        return _lost(request)
    account = _picked_account(request, flow, session)
    user = _user_for(request, flow, account)
    _check_enabled(request, flow, user)
    _check_assigned(request, flow, user, app)
    _check_session_of(request, flow, session, user)
    _ask_mfa(request, flow, session, app, user)
    _ask_consent(request, flow, app, user)
    return _finish(request, flow, session, user, account)


def _picked_account(request: Request, flow: Json, session: Json) -> Json:
    tenant = tenant_of(request)
    account = tenant.account(flow["account"])
    if account is None:
        raise Page(_unless_silent(flow, "login_required", 50058) or _picker(request, flow))
    known = session["accounts"].get(account["id"])
    too_old = flow["max_age"] is not None and known and time.time() - known["auth_time"] > flow["max_age"]
    if flow["picked_at"] is None and (too_old or not known):
        flow["login_hint"] = account["address"]
        raise Page(_unless_silent(flow, "login_required", 50058) or _picker(request, flow))
    return account


def _user_for(request: Request, flow: Json, account: Json) -> Json:
    """The directory's user for a home account; a pending guest redeems just in time (entra.md §8)."""
    tenant = tenant_of(request)
    user = tenant.user(account["id"]) or tenant.guest_of(account)
    if user:
        if not is_pending(user):
            return user
    else:
        user = tenant.pending_guest_for(account)
    if user is None:
        raise Page(_not_in_tenant(request, flow, account))
    _check_enabled(request, flow, user)
    if not flow["consented"]:
        raise Page(_unless_silent(flow, "consent_required", 65001) or _review(request, flow, account, user))
    tenant.link(user, account)
    flow["consented"] = False
    tenant.store.put("flows", flow["id"], flow)
    return user


def _check_enabled(request: Request, flow: Json, user: Json) -> None:
    if not user["accountEnabled"]:
        text = f"Your account at {OUR_NAME} is disabled. Ask the person who arranged your access."
        raise Page(problem(request, "Your account is disabled", text, code=50057, status=403, flow=flow))


def _check_assigned(request: Request, flow: Json, user: Json, app: Json) -> None:
    """appRoleAssignmentRequired: without an assignment the app never hears of the attempt (entra.md §4)."""
    tenant = tenant_of(request)
    if app["appRoleAssignmentRequired"] and not tenant.assignments_of(user, app):
        text = (
            f"{OUR_NAME} knows you, but has not given you access to {app['displayName']}. "
            "If you were just approved, wait a few minutes and try again."
        )
        raise Page(problem(request, "You do not have access yet", text, code=50105, status=403, flow=flow))


def _check_session_of(request: Request, flow: Json, session: Json, user: Json) -> None:
    """revokeSignInSessions ends our session and second factor, not the guest's sign-in at home (entra.md §2)."""
    known = session["accounts"].get(flow["account"])
    if not known or known["auth_time"] >= user.get("_sessions_valid_from", 0):
        return
    known["mfa_at"] = None
    if not is_guest(user) and flow["picked_at"] is None:
        raise Page(_unless_silent(flow, "login_required", 50173) or _picker(request, flow))


def _ask_mfa(request: Request, flow: Json, session: Json, app: Json, user: Json) -> None:
    """Conditional Access: a policy on the app or on an asked context may want a second factor (entra.md §5, §6).

    A context that no policy is bound to asks for nothing, and is granted all the same.
    """
    tenant = tenant_of(request)
    policies = [p for p in tenant.policies_for(app, flow["contexts"]) if requires_mfa(p)]
    if not policies or flow["verified"]:
        return
    given = (session["accounts"].get(flow["account"]) or {}).get("mfa_at")
    oldest = mfa_max_age(policies)
    reauthenticated = flow["prompt"] == "login" or (flow["max_age"] is not None and flow["picked_at"] is not None)
    if given is not None and not reauthenticated and (oldest is None or tenant.now() - given <= oldest):
        return
    verify = page(request, "verify.jinja", flow=flow, user=user, account=tenant.account(flow["account"]))
    raise Page(_unless_silent(flow, "interaction_required", 50076) or verify)


def _ask_consent(request: Request, flow: Json, app: Json, user: Json) -> None:
    """Members accept an app once; guests accepted our organisation when they redeemed (entra.md §8, §13)."""
    tenant, key = tenant_of(request), f"{user['id']}.{app['id']}"
    wanted = flow["prompt"] == "consent" or not (is_guest(user) or tenant.store.get("consents", key))
    if wanted and not flow["consented"]:
        ask = page(request, "permissions.jinja", flow=flow, user=user, app=app)
        raise Page(_unless_silent(flow, "consent_required", 65001) or ask)
    if flow["consented"]:
        tenant.store.put("consents", key, {"id": key, "at": time.time()})


def _finish(request: Request, flow: Json, session: Json, user: Json, account: Json) -> Response:
    tenant = tenant_of(request)
    known = _remember(tenant, session, flow, account)
    code = {
        "id": new_token(48),
        "created": time.time(),
        "used": False,
        "user": user["id"],
        "account_address": account["address"],
        "auth_time": known["auth_time"],
        "sid": session["sid"],
        **{k: flow[k] for k in ("base", "client_id", "redirect_uri", "scope", "nonce", "code_challenge", "contexts")},
    }
    tenant.store.put("codes", code["id"], code)
    _end(tenant, flow)
    return _back(flow, {"code": code["id"], "session_state": session["sid"]})


def _remember(tenant: Tenant, session: Json, flow: Json, account: Json) -> Json:
    """Keep in the browser's session who signed in, when, and when they gave the second factor."""
    known = session["accounts"].setdefault(account["id"], {"auth_time": time.time(), "mfa_at": None})
    if flow["picked_at"]:
        known["auth_time"] = flow["picked_at"]
    if flow["verified"]:
        known.update(mfa_at=tenant.now(), auth_time=time.time())
    tenant.store.put("sessions", session["id"], session)
    return known


def _end(tenant: Tenant, flow: Json) -> None:
    tenant.store.put("flows", flow["id"], {**flow, "ended": "done"})


# -- redemption -------------------------------------------------------------------------------------------------


@operation("GET /redeem", page_failure)
async def redeem(request: Request) -> Response:
    """The invitation link of entra.md §1: nested, or the inner address alone as in older answers."""
    tenant, session = tenant_of(request), session_of(request)
    invitation = _invitation_of(request)
    guest = tenant.store.get("users", invitation["user"]) if invitation else None
    if invitation is None or guest is None:
        text = "This invitation link is not one of ours, or what it belonged to was withdrawn. Ask for a new one."
        return problem(request, "This invitation cannot be used", text, status=404)
    if not is_pending(guest):
        text = "This invitation was already accepted. You do not need it again: go to the portal and sign in."
        return problem(request, "Already accepted", text, status=410, link=invitation["redirect"])
    flow = _blank_flow("redeem", session) | {"invitation": invitation["id"], "login_hint": invitation["address"]}
    tenant.store.put("flows", flow["id"], flow)
    return keep_session(request, advance(request, flow, session), session)


def _invitation_of(request: Request) -> Json | None:
    query = {name: [value] for name, value in request.query_params.items()}
    if "rd" in query:
        query = parse_qs(urlsplit(query["rd"][0]).query)
    invitation = tenant_of(request).store.get("invitations", (query.get("user") or [""])[0])
    return invitation if invitation and invitation["ticket"] == (query.get("ticket") or [""])[0] else None


def _end_redemption(request: Request, flow: Json, session: Json) -> Response:
    """Whoever comes with the link becomes the guest, be it the invited person or not (entra.md §1, §8)."""
    tenant = tenant_of(request)
    invitation = tenant.store.get("invitations", flow["invitation"])
    guest = tenant.store.get("users", invitation["user"]) if invitation else None
    if invitation is None or guest is None or not is_pending(guest):
        return _lost(request)
    if flow["ended"] == "cancelled":
        return _cancelled(request, flow)
    account = tenant.account(flow["account"])
    if account is None:
        return _picker(request, flow)
    _check_redeemable(request, flow, guest, account)
    if not flow["consented"]:
        return _review(request, flow, account, guest)
    tenant.link(guest, account)
    _remember(tenant, session, flow, account)
    _end(tenant, flow)
    return RedirectResponse(invitation["redirect"], status_code=302, headers=HEADERS)


def _check_redeemable(request: Request, flow: Json, guest: Json, account: Json) -> None:
    tenant = tenant_of(request)
    _check_enabled(request, flow, guest)
    other = tenant.user(account["id"]) or tenant.guest_of(account)
    if other is not None and other["id"] != guest["id"]:
        text = f"{account['address']} already has an account at {OUR_NAME} and cannot take this invitation as well."
        raise Page(problem(request, "This invitation is for someone else", text, status=409, flow=flow))
    if not tenant.domain_is_allowed(account["address"]):
        text = f"{OUR_NAME} does not accept guests from {account['address'].rpartition('@')[2]}."
        raise Page(problem(request, "This invitation cannot be used", text, status=403, flow=flow))


# -- answers ----------------------------------------------------------------------------------------------------


def _picker(request: Request, flow: Json, mistake: str | None = None, typed: str = "") -> Response:
    """Pick an account: the only question about who you are. There are no passwords here."""
    tenant = tenant_of(request)
    session = session_of(request)
    accounts = tenant.store.all("accounts")
    hint = flow["login_hint"].lower()
    first = [a for a in accounts if a["address"].lower() == hint]
    first += [a for a in accounts if a["id"] in session["accounts"] and a not in first]
    groups = [(o, [a for a in accounts if a["tenant"] == o["id"]]) for o in tenant.store.all("organisations")]
    return page(
        request,
        "pick.jinja",
        status=400 if mistake else 200,
        flow=flow,
        first=first,
        hint=hint,
        groups=[(o, found) for o, found in groups if found],
        others=[a for a in accounts if a["tenant"] is None],
        mistake=mistake,
        typed=typed,
    )


def _review(request: Request, flow: Json, account: Json, guest: Json) -> Response:
    """Review permissions: what a guest accepts once, at redemption (entra.md §8)."""
    same = account["address"].lower() == (guest["_invited_address"] or "").lower()
    home = tenant_of(request).organisation(account["tenant"])
    return page(request, "review.jinja", flow=flow, account=account, home=home, other=None if same else guest["mail"])


def _not_in_tenant(request: Request, flow: Json, account: Json) -> Response:
    home = tenant_of(request).organisation(account["tenant"])
    where = f" from {home['name']}" if home else ""
    text = (
        f"The account {account['address']}{where} does not exist at {OUR_NAME} ({OUR_DOMAIN}) and cannot open this "
        "app. It needs to be invited as a guest first. If you have another account, sign in with that one."
    )
    return problem(request, "This account is not a guest here", text, code=50020, status=403, flow=flow)


def _unless_silent(flow: Json, error: str, number: int) -> Response | None:
    """prompt=none: no pages, the app is told instead (entra.md §9)."""
    if flow["prompt"] != "none":
        return None
    return _back_with_error(flow, error, number, "A silent sign-in is not possible now.")


def _cancelled(request: Request, flow: Json) -> Response:
    """The person declined: the app hears access_denied (entra.md §13, 65004)."""
    _end(tenant_of(request), flow)
    if flow["kind"] == "redeem":
        text = (
            "You did not accept the invitation, and nothing has changed. The link stays good if you change your mind."
        )
        return problem(request, "You did not accept", text, status=200)
    return _back_with_error(flow, "access_denied", 65004, "User declined to consent to access the app.")


def _back_with_error(flow: Json, error: str, number: int, text: str) -> Response:
    body = error_body(error, number, text)
    return _back(flow, {"error": error, "error_description": body["error_description"]})


def _back(flow: Json, answer: dict[str, str]) -> Response:
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


# -- signing out ------------------------------------------------------------------------------------------------


@operation("GET /logout", page_failure)
async def logout(request: Request) -> Response:
    """End the browser's session here; the address to go back to must be registered (entra.md §9)."""
    tenant = tenant_of(request)
    response = _after_logout(request, tenant)
    cookie = request.cookies.get(cookie_name(tenant))
    if cookie:
        tenant.store.remove("sessions", cookie)
        response.delete_cookie(cookie_name(tenant), path="/")
    return response


def _after_logout(request: Request, tenant: Tenant) -> Response:
    uri = request.query_params.get("post_logout_redirect_uri", "")
    if uri and any(is_registered(app, uri) for app in tenant.store.all("apps")):
        state = request.query_params.get("state")
        mark = "&" if "?" in uri else "?"
        target = uri + (mark + urlencode({"state": state}) if state else "")
        return RedirectResponse(target, status_code=302, headers=HEADERS)
    return page(request, "signed_out.jinja", unregistered=uri)
