"""Pick an account: the only question about who you are. There are no passwords here (entra.md §8)."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from .flows import known_in
from .homes import KIND_NAMES, KINDS
from .pages import page, session_of, tenant_of
from .store import Json
from .tenant import Tenant, is_ours

KINDS_TO_CHOOSE = tuple(kind for kind in KINDS if kind not in ("entra", "saml"))


def picker(request: Request, flow: Json, mistake: str | None = None, typed: str = "") -> Response:
    tenant = tenant_of(request)
    session = session_of(request)
    accounts = tenant.store.all("accounts")
    hint = flow["login_hint"].lower()
    first = [a for a in accounts if a["address"].lower() == hint]
    first += [a for a in accounts if known_in(tenant, session, a) and a not in first]
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
        kind_names=KIND_NAMES,
        kinds=[(kind, KIND_NAMES[kind]) for kind in KINDS_TO_CHOOSE],
        value_of=lambda account: _value(tenant, account),
        mistake=mistake,
        typed=typed,
    )


def _value(tenant: Tenant, account: Json) -> str:
    """What a button sends: the address, or the id where a work and a personal account share one."""
    return account["address"] if len(tenant.accounts_by_address(account["address"])) == 1 else account["id"]


def pick(request: Request, flow: Json, form: Json) -> Response | None:
    """Note who is signing in: picking is the password step. Answers with the page again when that cannot be."""
    tenant = tenant_of(request)
    typed, kind = str(form.get("address") or form.get("account") or ""), str(form.get("kind") or "") or None
    try:
        account = _found_or_made(tenant, typed, kind)
    except ValueError as refusal:
        return picker(request, flow, str(refusal), typed)
    proved = account["kind"] != "mail"
    flow.update(account=account["id"], picked_at=time.time(), proved=proved, passcode=None)
    flow.update(consented=False, verified=False, failed=None)
    return None


def _found_or_made(tenant: Tenant, typed: str, kind: str | None) -> Json:
    """An account by its id or address. Raises ValueError with a sentence."""
    account = tenant.account(typed) or tenant.account_by_address(typed, kind)
    if account is None:
        account = _make(tenant, typed, kind)
    if not account["enabled"]:
        raise ValueError(f"The account {account['address']} is disabled at its own organisation.")
    return account


def _make(tenant: Tenant, address: str, kind: str | None) -> Json:
    local, at, domain = address.strip().partition("@")
    if not (local and at and domain):
        raise ValueError("Enter an email address, like nurse@northfield.example.")
    if kind is not None and kind not in KINDS:
        raise ValueError("Choose one of the kinds of account.")
    if is_ours(address) or not tenant.settings["allow_unknown_accounts"]:
        raise ValueError(f"There is no account {address.strip()}. Pick one from the list.")
    return tenant.add_account(address, purpose="Made by typing the address", kind=kind)
