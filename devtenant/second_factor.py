"""The second factor: when Conditional Access wants one, where it is given, how it fails (entra.md §5-§7, §13)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from . import conditional_access, crosstenant
from .conditional_access import BLOCKED, DEVICE_NOT_COMPLIANT, DEVICE_NOT_JOINED, Demand, SignIn
from .flows import Page, known_in, note, refusal, unless_silent
from .identities import OUR_NAME
from .pages import page, tenant_of
from .picker import picker
from .store import Json
from .tenant import Tenant

REGISTERED, LOST, NONE = "registered", "lost", "none"
STATES = (REGISTERED, LOST, NONE)
NOT_GIVEN, FAILED, NOT_REGISTERED = 50074, 500121, 50079


def ask(request: Request, flow: Json, session: Json, app: Json, user: Json, account: Json) -> tuple[list[Demand], bool]:
    """Stop at whatever the policies want first. Returns what they asked and whether there is a second factor.

    A context that no policy is bound to asks for nothing, and is granted all the same (entra.md §6).
    """
    tenant = tenant_of(request)
    trusted = crosstenant.trusts_home_mfa(tenant, account)
    asked = conditional_access.demands(tenant, SignIn(user, account, app, tuple(flow["contexts"]), trusted))
    enforced = [demand for demand in asked if demand.enforced]
    _check_blocked(request, flow, asked, enforced)
    oldest = conditional_access.youngest(enforced)
    has_mfa = flow["verified"] or _was_given(tenant, flow, session, account, trusted, oldest)
    if any(demand.mfa for demand in enforced):
        if not has_mfa:
            _stop(request, flow, account, trusted, asked)
    elif oldest is not None:
        _check_frequency(request, flow, session, account, oldest)
    return asked, has_mfa


def satisfied_contexts(tenant: Tenant, app: Json, user: Json, account: Json, known: Json, has_mfa: bool) -> list[str]:
    """Published contexts that this sign-in meets without having asked: for apps with the optional claim (§6)."""
    given = known.get("mfa_at")
    trusted = crosstenant.trusts_home_mfa(tenant, account)
    found = []
    for context in (item["id"] for item in tenant.store.all("contexts") if item["isAvailable"]):
        asked = conditional_access.demands(tenant, SignIn(user, account, app, (context,), trusted))
        enforced = [demand for demand in asked if demand.enforced]
        oldest = conditional_access.youngest(enforced)
        young = oldest is None or (given is not None and tenant.now() - given <= oldest)
        if not any(d.refused for d in enforced) and (not any(d.mfa for d in enforced) or (has_mfa and young)):
            found.append(context)
    return found


def _check_blocked(request: Request, flow: Json, asked: list[Demand], enforced: list[Demand]) -> None:
    code = max((demand.refused for demand in enforced), default=0)
    if not code:
        return
    texts = {
        BLOCKED: f"Your sign-in was fine, but {OUR_NAME} does not let you use this from here or in this way.",
        DEVICE_NOT_COMPLIANT: f"{OUR_NAME} wants a device that it or your organisation manages.",
        DEVICE_NOT_JOINED: f"{OUR_NAME} wants a device that is joined to its network.",
    }
    raise refusal(request, flow, "You cannot get to this right now", texts[code], code=code, asked=asked)


def _was_given(tenant: Tenant, flow: Json, session: Json, account: Json, trusted: bool, oldest: float | None) -> bool:
    """Whether a second factor of this session is young enough. Signing in anew asks for a new one."""
    known = known_in(tenant, session, account) or {}
    at_home = trusted and account.get("mfa_at_home")
    if at_home and flow["picked_at"]:
        return True
    given = known.get("mfa_at")
    if given is None and at_home:
        given = known.get("proved_at")
    anew = flow["prompt"] == "login" or (flow["max_age"] is not None and flow["picked_at"] is not None)
    return given is not None and not anew and (oldest is None or tenant.now() - given <= oldest)


def _check_frequency(request: Request, flow: Json, session: Json, account: Json, oldest: float) -> None:
    """A sign-in frequency without a second factor asks for the account again (entra.md §5)."""
    tenant = tenant_of(request)
    known = known_in(tenant, session, account)
    if flow["picked_at"] is None and known and tenant.now() - known.get("proved_at", 0) > oldest:
        flow["login_hint"] = account["address"]
        raise Page(unless_silent(request, flow, "interaction_required", 70043) or picker(request, flow))


def _stop(request: Request, flow: Json, account: Json, trusted: bool, asked: list[Demand]) -> None:
    """The page that asks, or the one that says that it did not work; neither tells the app (entra.md §13)."""
    if silent := unless_silent(request, flow, "interaction_required", 50076):
        raise Page(silent)
    tenant = tenant_of(request)
    if flow["failed"] == "cannot":
        text = f"{OUR_NAME} only lets you in with a second proof that it is you. Try again when you can give it."
        raise refusal(
            request, flow, "You did not verify your identity", text, code=NOT_GIVEN, asked=asked, again="retry"
        )
    if flow["failed"] == LOST:
        text = (
            "Nobody answered on the phone that is registered for you. If you have a new one or lost it, ask the person "
            "who arranged your access to have your second factor reset."
        )
        raise refusal(request, flow, "We could not verify your identity", text, code=FAILED, asked=asked, again="retry")
    home = tenant.organisation(account["tenant"]) if trusted else None
    who = home["name"] if home else OUR_NAME
    if account.get("second_factor") == NONE:
        note(tenant, flow, NOT_REGISTERED, "More information required", asked=asked)
        raise Page(page(request, "register.jinja", flow=flow, account=account, who=who))
    raise Page(page(request, "verify.jinja", flow=flow, account=account, who=who))


# -- the buttons -----------------------------------------------------------------------------------------------------


def verify(request: Request, flow: Json, _form: Json) -> Response | None:
    """Approve on the phone, if there is one that answers."""
    account = tenant_of(request).account(flow["account"])
    state = (account or {}).get("second_factor", REGISTERED)
    flow.update(verified=state == REGISTERED, failed=LOST if state == LOST else None)
    return None


def register(request: Request, flow: Json, _form: Json) -> Response | None:
    """Set the second factor up, and so give it."""
    tenant = tenant_of(request)
    account = tenant.account(flow["account"])
    if account is not None and account.get("second_factor") == NONE:
        tenant.store.put("accounts", account["id"], {**account, "second_factor": REGISTERED})
        flow.update(verified=True)
    return None


def cannot(_request: Request, flow: Json, _form: Json) -> Response | None:
    flow["failed"] = "cannot"
    return None


def retry(_request: Request, flow: Json, _form: Json) -> Response | None:
    flow["failed"] = None
    return None
