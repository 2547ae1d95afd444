"""What three witnesses say when all is quiet: the portal's own books, the directory, and the mailbox."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.killing.portal import Portal

MOST_CALLS = 5000
"""So many calls the tenant remembers (devtenant Tenant.calls); more, and what we count is too little."""
INVITE = "POST /invitations"
LOGS, SECRET = ("web", "worker", "beat", "postgres", "valkey"), re.compile(r"@northfield\.example|ticket=")
"""Where a failure may say more than it should, and what must never be there."""
GROUP = "44444444-4444-4444-8444-444444444444"


@dataclass
class Entry:
    """One request in the portal's books (ledger.line), with the events that its trail holds."""

    request: int
    address: str
    status: str
    job: str | None = None
    job_id: str | None = None
    parked: dict[str, Any] | None = None
    object: str | None = None
    invitation: str | None = None
    sent: bool = False
    message_id: str | None = None
    link: str | None = None
    redeem_url: str | None = None
    redeemable: bool | None = None
    """Whether the tenant takes the stored link."""
    events: list[str] = field(default_factory=list)

    @property
    def graph_invitation(self) -> str:
        """The directory's name for the invitation behind the stored link (reference entra.md §1: a nested address)."""
        nested = parse_qs(urlsplit(self.redeem_url or "").query).get("rd", [""])[0]
        return parse_qs(urlsplit(nested).query).get("user", [""])[0]


@dataclass(frozen=True)
class Cut:
    """A kill that can cut work short, from `at` to `until` (epoch seconds). `unsent` are those of whom the portal had
    not written down, when it was over, that they were written to: who has a mail by then was in the window between
    the mail server's 250 and our commit."""

    at: float
    until: float
    unsent: set[str]

    def explains(self, address: str, first: float, second: float) -> bool:
        """Whether it is why a second mail left, given when (epoch seconds) the two were taken."""
        return address in self.unsent and first <= self.until and self.at <= second


@dataclass
class Facts:
    """`asked` and `accepted`: whose request, or approval, was answered with success. `early`: who was written to
    before the door was open, as seen while the round ran."""

    entries: list[Entry]
    users: list[dict[str, Any]]
    invitations: list[dict[str, Any]]
    members: list[str]
    mails: list[dict[str, Any]]
    calls: list[dict[str, Any]] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    cuts: list[Cut] = field(default_factory=list)
    leaks: set[str] = field(default_factory=set)
    """Logs of ours that hold an address, or a link of the directory."""
    early: set[str] = field(default_factory=set)

    def guests(self, address: str) -> list[dict[str, Any]]:
        """Every object that has the address in any of the places where the directory keeps one."""
        return [user for user in self.users if address in addresses_of(user)]

    def mails_to(self, address: str) -> list[dict[str, Any]]:
        """Oldest first."""
        return sorted((mail for mail in self.mails if address in mail["to"]), key=lambda mail: mail["at"])

    def invited_at(self, guest: str) -> list[float]:
        """When invitations were asked for (epoch seconds; the invitations themselves tell the directory's time)."""
        return [call["at"] for call in self.calls if call["operation"] == INVITE and call.get("object") == guest]

    def invitations_of(self, guest: str) -> list[dict[str, Any]]:
        return sorted((item for item in self.invitations if item["user"] == guest), key=lambda item: item["at"])


def addresses_of(user: dict[str, Any]) -> set[str]:
    proxies = (proxy.partition(":")[2] for proxy in user["proxyAddresses"])
    return {address.lower() for address in (user["mail"], *user["otherMails"], *proxies) if address}


def members(portal: Portal) -> list[str]:
    return next(group["_members"] for group in portal.read("groups") if group["id"] == GROUP)


def gather(portal: Portal, **known: Any) -> Facts:
    """Ask all three. `known` is what the round itself saw."""
    return Facts(
        entries=books(portal),
        users=portal.read("users"),
        invitations=portal.read("invitations"),
        members=members(portal),
        mails=portal.read("mails"),
        calls=portal.read("calls"),
        leaks={name for name in LOGS if SECRET.search(portal.log(name))},
        **known,
    )


def books(portal: Portal) -> list[Entry]:
    entries = [Entry(**line) for line in json.loads(portal.here.python("-m", "tests.killing.ledger", process="worker"))]
    events = portal.rows("SELECT object_type, object_id, type FROM clinicportal_auditevent", role="auditor")
    for entry in entries:
        own = {
            ("partners.accessrequest", str(entry.request)),
            ("partners.provisioningjob", entry.job_id),
            ("partners.invitation", entry.invitation),
        }
        entry.events = [event for *about, event in events if tuple(about) in own]
        entry.redeemable = redeems(portal, entry.redeem_url) if entry.redeem_url else None
    return entries


def redeems(portal: Portal, url: str) -> bool:
    """Whether the tenant begins a redemption for the link: looking changes nothing."""
    parts = urlsplit(url)
    here = parts._replace(netloc=f"127.0.0.1:{parts.port}").geturl()
    return requests.get(here, headers={"Host": parts.netloc}, timeout=10).status_code == 200
