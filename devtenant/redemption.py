"""From an invitation to a guest: by link, or just in time by signing in (entra.md §1, §7, §8, §13)."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from . import crosstenant
from .flows import Page, blank_flow, end, lost, note, refusal, remember, save, unless_silent
from .homes import domain_of
from .identities import OUR_DOMAIN, OUR_NAME
from .pages import HEADERS, page, problem, tenant_of
from .store import Json
from .tenant import is_guest, is_pending

# -- by link ---------------------------------------------------------------------------------------------------------


def open_link(request: Request, session: Json) -> Json:
    """A new flow for the invitation link of entra.md §1: nested, or the inner address alone as in older answers."""
    tenant = tenant_of(request)
    invitation = _invitation_of(request)
    guest = tenant.store.get("users", invitation["user"]) if invitation else None
    if invitation is None or guest is None:
        text = "This invitation link is not one of ours, or what it belonged to was withdrawn. Ask for a new one."
        raise Page(problem(request, "This invitation cannot be used", text, status=404))
    if not is_pending(guest):
        text = "This invitation was already accepted. You do not need it again: go to the portal and sign in."
        raise Page(problem(request, "Already accepted", text, status=410, link=invitation["redirect"]))
    return blank_flow("redeem", session) | {"invitation": invitation["id"], "login_hint": invitation["address"]}


def _invitation_of(request: Request) -> Json | None:
    query = {name: [value] for name, value in request.query_params.items()}
    if "rd" in query:
        query = parse_qs(urlsplit(query["rd"][0]).query)
    invitation = tenant_of(request).store.get("invitations", (query.get("user") or [""])[0])
    return invitation if invitation and invitation["ticket"] == (query.get("ticket") or [""])[0] else None


def invited(request: Request, flow: Json) -> tuple[Json, Json]:
    """The invitation of a flow and the guest who waits. Stops when either is gone, or somebody was faster."""
    tenant = tenant_of(request)
    invitation = tenant.store.get("invitations", flow["invitation"])
    guest = tenant.store.get("users", invitation["user"]) if invitation else None
    if invitation is None or guest is None or not is_pending(guest):
        raise Page(lost(request))
    return invitation, guest


def accept(request: Request, flow: Json, session: Json, account: Json) -> Response:
    """Whoever comes with the link becomes the guest, be it the invited person or not (entra.md §1, §8)."""
    tenant = tenant_of(request)
    invitation, guest = invited(request, flow)
    check_enabled(request, flow, guest)
    _check_free(request, flow, guest, account)
    _become(request, flow, guest, account)
    remember(tenant, session, flow, account)
    note(tenant, flow, 0)
    end(tenant, flow)
    return RedirectResponse(invitation["redirect"], status_code=302, headers=HEADERS)


def _check_free(request: Request, flow: Json, guest: Json, account: Json) -> None:
    tenant = tenant_of(request)
    other = tenant.user(account["id"]) or tenant.guest_of(account)
    if other is not None and other["id"] != guest["id"]:
        text = f"{account['address']} already has an account at {OUR_NAME} and cannot take this invitation as well."
        raise Page(problem(request, "This invitation is for someone else", text, status=409, flow=flow))


# -- just in time ----------------------------------------------------------------------------------------------------


def user_for(request: Request, flow: Json, account: Json) -> Json:
    """The directory's user for a home account; a pending guest redeems by signing in (entra.md §8)."""
    tenant = tenant_of(request)
    user = expected(request, account)
    if user is None:
        raise not_in_tenant(request, flow, account)
    if not is_pending(user):
        return user
    check_enabled(request, flow, user)
    _become(request, flow, user, account)
    flow["consented"] = False
    save(tenant, flow)
    return user


def expected(request: Request, account: Json) -> Json | None:
    """The member or guest that an account is, or the pending guest that it may become."""
    tenant = tenant_of(request)
    return tenant.user(account["id"]) or tenant.guest_of(account) or tenant.pending_guest_for(account)


def _become(request: Request, flow: Json, guest: Json, account: Json) -> None:
    """Link account and guest, once the person accepted what we ask; automatic redemption asks nothing (§7)."""
    tenant = tenant_of(request)
    _check_domain(request, flow, account)
    if not flow["consented"] and not crosstenant.redeems_silently(tenant, account):
        silent = flow["kind"] == "authorize" and unless_silent(request, flow, "consent_required", 65001)
        raise Page(silent or _review(request, flow, account, guest))
    tenant.link(guest, account)


def _check_domain(request: Request, flow: Json, account: Json) -> None:
    """The list of domains is looked at again at redemption (entra.md §1)."""
    domain = domain_of(account["address"])
    if not tenant_of(request).domain_is_allowed(account["address"]):
        text = f"{OUR_NAME} does not accept guests from {domain}."
        raise Page(problem(request, "This invitation cannot be used", text, status=403, flow=flow))


def _review(request: Request, flow: Json, account: Json, guest: Json) -> Response:
    """Review permissions: what a guest accepts once, at redemption (entra.md §8)."""
    same = account["address"].lower() == (guest["_invited_address"] or "").lower()
    home = tenant_of(request).organisation(account["tenant"])
    return page(request, "review.jinja", flow=flow, account=account, home=home, other=None if same else guest["mail"])


# -- refusals --------------------------------------------------------------------------------------------------------


def check_enabled(request: Request, flow: Json, user: Json) -> None:
    if not user["accountEnabled"]:
        text = f"Your account at {OUR_NAME} is disabled. Ask the person who arranged your access."
        raise refusal(request, flow, "Your account is disabled", text, code=50057)


def check_crossing(request: Request, flow: Json, account: Json, app: Json | None) -> None:
    """The home tenant must let its people out, and ours must let them in (entra.md §7, §13)."""
    tenant = tenant_of(request)
    home = tenant.organisation(account["tenant"])
    if not crosstenant.allows_leaving(tenant, account):
        where = home["name"] if home else "Your organisation"
        text = f"{where} does not allow its people to use {OUR_NAME}. Ask your own IT support to allow it."
        raise refusal(request, flow, "Your organisation does not allow this", text, code=500212)
    if not crosstenant.allows_entering(tenant, account, app):
        where = home["name"] if home else "your organisation"
        text = f"{OUR_NAME} does not accept people from {where} here. Ask the person who arranged your access."
        raise refusal(request, flow, f"{OUR_NAME} does not allow this", text, code=500213)


def not_in_tenant(request: Request, flow: Json, account: Json) -> Page:
    """Also for someone whose guest redeemed with another identity: an account made anew, or a stranger's (§8)."""
    tenant = tenant_of(request)
    home = tenant.organisation(account["tenant"])
    where = f" from {home['name']}" if home else ""
    text = (
        f"The account {account['address']}{where} does not exist at {OUR_NAME} ({OUR_DOMAIN}) and cannot open this "
        "app. It needs to be invited as a guest first. If you have another account, sign in with that one."
    )
    taken = any(is_guest(user) for user in tenant.users_with_address(account["address"]))
    detail = "A guest has this address, but accepted with another account. A reset of redemption would help."
    return refusal(
        request, flow, "This account is not a guest here", text, code=50020, detail=detail if taken else None
    )
