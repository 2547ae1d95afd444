"""One-time passcodes by email, for guests without any account (entra.md §8)."""

from __future__ import annotations

import hmac
import secrets

from starlette.requests import Request
from starlette.responses import Response

from . import mail
from .flows import Page, refusal, save
from .identities import OUR_NAME
from .pages import page, tenant_of
from .store import Json

LIFETIME = 30 * 60
TRIES = 5


def ask(request: Request, flow: Json, account: Json) -> None:
    """Stop at the passcode page until the right code came. Other kinds of account proved themselves when picked."""
    if account["kind"] != "mail" or flow["proved"] or flow["picked_at"] is None:
        return
    tenant = tenant_of(request)
    if not tenant.settings["passcodes"]:
        text = (
            f"{OUR_NAME} does not send passcodes by email any more, and {account['address']} has no other account. "
            "Ask the person who arranged your access."
        )
        raise refusal(request, flow, "You cannot sign in with a passcode", text, code=50034)
    if flow["passcode"] is None:
        _send(request, flow, account)
    raise Page(_page(request, flow))


def enter(request: Request, flow: Json, form: Json) -> Response | None:
    """Compare what was typed. Answers with the page again for a wrong or an old code."""
    sent, typed = flow["passcode"], "".join(str(form.get("code") or "").split())
    if sent is None:
        return None
    if tenant_of(request).now() - sent["at"] > LIFETIME:
        return _page(request, flow, "This code has expired. Send a new one.")
    if sent["tries"] >= TRIES:
        return _page(request, flow, "There were too many wrong codes. Send a new one.")
    if not hmac.compare_digest(typed.encode(), sent["code"].encode()):
        flow["passcode"] = {**sent, "tries": sent["tries"] + 1}
        return _page(request, flow, "That is not the code. Look again at the newest mail.")
    flow.update(proved=True, passcode=None)
    return None


def send_again(_request: Request, flow: Json, _form: Json) -> Response | None:
    """Forget the code, so that the page sends another; the older one is good no more."""
    flow["passcode"] = None
    return None


def _send(request: Request, flow: Json, account: Json) -> None:
    tenant = tenant_of(request)
    code = f"{secrets.randbelow(10**8):08d}"
    flow["passcode"] = {"code": code, "at": tenant.now(), "tries": 0}
    save(tenant, flow)
    mail.deliver_passcode(tenant, account["address"], code)


def _page(request: Request, flow: Json, mistake: str | None = None) -> Response:
    account = tenant_of(request).account(flow["account"])
    status = 400 if mistake else 200
    return page(request, "passcode.jinja", status=status, flow=flow, account=account, mistake=mistake)
