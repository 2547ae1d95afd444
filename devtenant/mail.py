"""Mails that arrived here: the SMTP sink, the mailbox pages, and the invitations that Entra itself sends."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses, localtime

from aiosmtpd.smtp import SMTP, Envelope, Session
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from .faults import Fault
from .identities import OUR_NAME
from .pages import page, problem, tenant_of
from .store import Json
from .tenant import Tenant, timestamp

MAX_SIZE = 10 * 1024 * 1024
_ADDRESS_IN_TEXT = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")
_HTML_HEADERS = {
    # The HTML part is a stranger's: no script, no network, no frame but ours; links open in a tab of their own.
    "Content-Security-Policy": (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
        "img-src data:; frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Sink:
    """aiosmtpd handler that keeps every message; the 250 goes out after the journal has it."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        fault = self.tenant.faults.take("SMTP DATA")
        if fault and fault.mode == "answer":
            return _smtp_refusal(fault)
        if fault and fault.mode == "delay":
            await asyncio.sleep(fault.seconds)
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode()
        keep(self.tenant, envelope.mail_from or "", envelope.rcpt_tos, raw)
        self.tenant.store.flush()
        if fault and fault.mode == "hold":
            await asyncio.sleep(fault.seconds)
        if fault and fault.mode == "cut" and isinstance(server.transport, asyncio.Transport):
            server.transport.abort()  # the message is kept, its sender never hears so
        return _smtp_refusal(fault) if fault and fault.mode == "answer_after" else "250 Message accepted"


def _smtp_refusal(fault: Fault) -> str:
    return f"{fault.status if 400 <= fault.status < 600 else 451} {fault.message}"


def keep(tenant: Tenant, sender: str, recipients: list[str], raw: bytes) -> Json:
    """Store one message as it came; latin-1 carries any byte through JSON and back."""
    key = uuid.uuid4().hex
    mail = {"id": key, "at": time.time(), "from": sender, "to": list(recipients), "raw": raw.decode("latin-1")}
    return tenant.store.put("mails", key, mail)


def deliver_invitation(tenant: Tenant, guest: Json, link: str, asked: Json) -> None:
    """Entra's own invitation mail. An app that invites has its custom message dropped silently (entra.md §1)."""
    recipients = [guest["mail"]]
    for copy in (asked.get("invitedUserMessageInfo") or {}).get("ccRecipients") or []:
        address = (copy.get("emailAddress") or {}).get("address")
        if address:
            recipients.append(address)
    message = EmailMessage()
    message["From"] = f"Microsoft Invitations on behalf of {OUR_NAME} <invites@microsoft.com>"
    message["To"] = recipients[0]
    message["Subject"] = f"{OUR_NAME} invited you to access applications within their organization"
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = f"<{uuid.uuid4()}@invites.microsoft.com>"
    message.set_content(f"You are invited as a guest of {OUR_NAME}.\n\nAccept invitation: {link}\n")
    keep(tenant, "invites@microsoft.com", recipients, message.as_bytes())


def deliver_passcode(tenant: Tenant, address: str, code: str) -> None:
    """The mail with a one-time passcode, from Entra's own sender (entra.md §8)."""
    message = EmailMessage()
    message["From"] = f"{OUR_NAME} (via Microsoft) <account-security-noreply@accountprotection.microsoft.com>"
    message["To"] = address
    message["Subject"] = f"Your {OUR_NAME} account verification code"
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = f"<{uuid.uuid4()}@accountprotection.microsoft.com>"
    message.set_content(
        f"Enter this code to sign in to {OUR_NAME}: it is good for 30 minutes.\n\nAccount verification code: {code}\n\n"
        "If you did not ask for it, ignore this mail.\n"
    )
    keep(tenant, "account-security-noreply@accountprotection.microsoft.com", [address], message.as_bytes())


# -- reading ----------------------------------------------------------------------------------------------------


def newest_first(tenant: Tenant, to: str = "") -> list[Json]:
    """Mails as dicts for pages and tests, optionally those to one recipient."""
    wanted = to.strip().lower()
    found = [m for m in tenant.store.all("mails") if not wanted or wanted in {a.lower() for a in m["to"]}]
    return [described(mail) for mail in reversed(found)]


def described(mail: Json) -> Json:
    """A stored message, parsed. `to` are the envelope's recipients, so Bcc shows too."""
    message = message_from_bytes(mail["raw"].encode("latin-1"), policy=policy.default)
    headers = _headers(message)
    first = {name.lower(): value for name, value in reversed(headers)}
    text, html = _part(message, "plain"), _part(message, "html")
    return {
        "id": mail["id"],
        "at": mail["at"],
        "received": timestamp(mail["at"]),
        "from": first.get("from", mail["from"]),
        "envelope_from": mail["from"],
        "to": mail["to"],
        "header_to": [address for _, address in getaddresses([first.get("to", "")])],
        "subject": first.get("subject", ""),
        "message_id": first.get("message-id", ""),
        "headers": headers,
        "text": text,
        "html": html,
        "links": list(dict.fromkeys(_ADDRESS_IN_TEXT.findall(text or ""))),
    }


def _headers(message: EmailMessage) -> list[list[str]]:
    """Names and decoded values. Python's parser raises anything at all on a malformed value: then the raw one."""
    found = []
    for name, raw in message.raw_items():
        try:
            value = str(message.policy.header_fetch_parse(name, raw))
        except Exception:  # IndexError on a bad Message-ID, for one (email._header_value_parser)
            value = str(raw)
        found.append([name, value])
    return found


def _part(message: EmailMessage, kind: str) -> str | None:
    body = message.get_body(preferencelist=(kind,))
    if body is None:
        return None
    try:
        return body.get_content()
    except (LookupError, UnicodeError):  # a charset that Python does not know
        payload = body.get_payload(decode=True)
        return payload.decode("latin-1") if isinstance(payload, bytes) else ""


def with_links(text: str) -> Markup:
    """Plain text with its web addresses made clickable, everything else escaped."""
    pieces, position = [], 0
    for found in _ADDRESS_IN_TEXT.finditer(text):
        address = escape(found.group())
        pieces += [escape(text[position : found.start()]), Markup('<a href="{0}">{0}</a>').format(address)]
        position = found.end()
    return Markup("").join([*pieces, escape(text[position:])])


# -- pages ------------------------------------------------------------------------------------------------------


async def mailbox(request: Request) -> Response:
    tenant, to = tenant_of(request), request.query_params.get("to", "")
    people = sorted({address for mail in tenant.store.all("mails") for address in mail["to"]})
    return page(request, "mailbox.jinja", mails=newest_first(tenant, to), to=to, people=people)


async def read(request: Request) -> Response:
    stored = tenant_of(request).store.get("mails", request.path_params["id"])
    if stored is None:
        return problem(request, "No such mail", "It may have been removed when the stand-in was reset.", status=404)
    mail = described(stored)
    return page(request, "mail.jinja", mail=mail, text=with_links(mail["text"] or ""))


async def read_html(request: Request) -> Response:
    stored = tenant_of(request).store.get("mails", request.path_params["id"])
    html = described(stored)["html"] if stored else None
    return HTMLResponse('<base target="_blank">' + (html or ""), headers=_HTML_HEADERS)
