"""POST /invitations: who may be invited, as whom, and the link that comes back (entra.md §1)."""

from __future__ import annotations

import re
import uuid
from urllib.parse import quote, urlencode, urlsplit

from . import mail
from .errors import GraphError
from .identities import OUR_TENANT, OWN_TENANT_DOMAIN
from .store import Json
from .tenant import Tenant, is_guest, is_ours, is_pending, new_token

# Refused anywhere in an address; "." and "-" not at the ends of the local part (entra.md §1, request properties).
_FORBIDDEN = set("~!#$%^&*()+=[]{}\\/|;:\"<>?,'")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
MAX_SPONSORS = 5
MAX_COPIES = 1


def invite(tenant: Tenant, asked: Json) -> Json:
    """Create or find the guest for an address, and give out a new link. Raises GraphError."""
    address, redirect = _required(asked)
    _check_allowed(tenant, address)
    if asked.get("resetRedemption"):
        guest = _reset(tenant, asked, address)
    else:
        guest = _existing(tenant, address) or _new_guest(tenant, asked, address)
    invitation = _new_invitation(tenant, guest, address, redirect)
    if asked.get("sendInvitationMessage"):
        mail.deliver_invitation(tenant, guest, redeem_url(tenant, invitation), asked)
    return _answer(tenant, asked, invitation, guest)


def redeem_url(tenant: Tenant, invitation: Json) -> str:
    """The nested link of entra.md §1; a bearer secret, so it is never written to a log."""
    inner = {"tenant": OUR_TENANT, "user": invitation["id"], "ticket": invitation["ticket"], "ver": "2.0"}
    nested = f"{tenant.browser_base}/redeem/?{urlencode(inner)}"
    return f"{tenant.browser_base}/redeem?rd={quote(nested, safe='')}"


def _required(asked: Json) -> tuple[str, str]:
    copies = (asked.get("invitedUserMessageInfo") or {}).get("ccRecipients") or []
    if len(copies) > MAX_COPIES:
        raise _bad(f"Property ccRecipients holds more than {MAX_COPIES} recipient.")
    address, redirect = asked.get("invitedUserEmailAddress"), asked.get("inviteRedirectUrl")
    for name, value in (("invitedUserEmailAddress", address), ("inviteRedirectUrl", redirect)):
        if not isinstance(value, str) or not value:
            raise _bad(f"Property {name} is required.")
    assert isinstance(address, str)  # noqa: S101 - checked above, said to the type checker
    assert isinstance(redirect, str)  # noqa: S101 - as above
    parts = urlsplit(redirect)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise _bad("Property inviteRedirectUrl is not an absolute address.")
    local = address.partition("@")[0]
    if not _ADDRESS.fullmatch(address) or set(address) & _FORBIDDEN or local.strip(".-") != local:
        raise _bad("The Primary SMTP Address is an invalid value")
    return address, redirect if parts.path else redirect + "/"


def _check_allowed(tenant: Tenant, address: str) -> None:
    """Tenant-wide refusals, in the order that a person would meet them (entra.md §1, known refusals).

    The texts of the lists and of the block for suspicious activity are not documented; their statuses are our choice.
    """
    if tenant.is_suspicious():
        text = "Invitations are blocked because of suspicious activity in your directory. Contact Microsoft support."
        raise GraphError(403, "Forbidden", text, verdict="Refused: suspicious activity")
    if tenant.settings["allow_invites_from"] in ("none", "adminsAndGuestInviters"):
        text = "Guest invitations not allowed for your company. Contact your company administrator for more details."
        raise GraphError(403, "Forbidden", text, verdict="Refused: invitations are switched off")
    if not tenant.cross_tenant_allows_inviting(address):
        raise _bad(
            "This invitation is blocked by cross-tenant access settings. Admins in both your organization and the "
            "invited user's organization must configure cross-tenant access settings to allow the invitation."
        )
    _check_not_ours(tenant, address)
    if not tenant.domain_is_allowed(address):
        raise _bad(
            "This invitation is blocked by your organization: the domain of the user is on the list of blocked domains."
        )
    if address.lower() in tenant.settings["unfindable_addresses"]:
        raise GraphError(500, "InternalServerError", "Unable to find target address")


def _check_not_ours(tenant: Tenant, address: str) -> None:
    """Our own domains have members, no guests (entra.md §1, known refusals)."""
    if address.lower().endswith("@" + OWN_TENANT_DOMAIN):
        raise _bad("Invitee is in inviter tenant")
    if is_ours(address) and not tenant.users_with_address(address):
        text = "This user cannot be invited because the domain of the user's email address is a verified domain of "
        raise _bad(text + "this directory.")


def _existing(tenant: Tenant, address: str) -> Json | None:
    """The guest that the address already has, whether or not reads show it yet. Raises for members and the blocked."""
    user = next((u for u in tenant.users_with_address(address) if address.lower() in _own_addresses(u)), None)
    if user is None:
        return None
    start = f"The invited user already exists in the directory as object ID: {user['id']}. "
    if not user["accountEnabled"]:
        text = (
            "They can use that account to sign in to shared apps and resources, but the account is blocked from "
            "signing in. If the account is unblocked, they can use that account to sign in."
        )
        raise GraphError(tenant.settings["blocked_user_status"], "BadRequest", start + text)
    if not is_guest(user):
        raise _bad(start + "They can use that account to sign in to shared apps and resources.")
    return user


def _own_addresses(user: Json) -> set[str]:
    """Addresses by which a user is known; any further proxy address is only in the way of others."""
    primary = [proxy[5:] for proxy in user["proxyAddresses"] if proxy.startswith("SMTP:")]
    return {a.lower() for a in (user["userPrincipalName"], user["mail"], *user["otherMails"], *primary) if a}


def _check_no_collision(tenant: Tenant, address: str) -> None:
    """Another user's or a group's proxy address is in the way (entra.md §1, known refusals; envelope §18)."""
    proxy = f"smtp:{address.lower()}"
    in_the_way = [*tenant.users_with_address(address), *tenant.store.all("groups")]
    if any(proxy in (p.lower() for p in item["proxyAddresses"]) for item in in_the_way):
        text = "Another object with the same value for property proxyAddresses already exists."
        details = [(code, text, "proxyAddresses") for code in ("ObjectConflict", "ConflictingObjects")]
        raise GraphError(400, "Request_BadRequest", text, details=details)


def _new_guest(tenant: Tenant, asked: Json, address: str) -> Json:
    """userType Guest unless asked otherwise; no sponsor unless named, since an app is none (entra.md §1)."""
    kind = asked.get("invitedUserType") or "Guest"
    if kind not in ("Guest", "Member"):
        raise _bad("Property invitedUserType must be Guest or Member.")
    sponsors = _sponsors(tenant, asked)
    _check_no_collision(tenant, address)
    guest = tenant.add_guest(address, name=asked.get("invitedUserDisplayName"), user_type=kind)
    if tenant.store.get("contacts", address.lower()):  # a contact has the address: otherMails alone keeps it
        guest |= {"mail": None, "proxyAddresses": []}
    return tenant.save_user({**guest, "_sponsors": sponsors})


def _sponsors(tenant: Tenant, asked: Json) -> list[str]:
    links = asked.get("invitedUserSponsors@odata.bind") or []
    links = [*links, *(item.get("id") or item.get("@odata.id", "") for item in asked.get("invitedUserSponsors") or [])]
    ids = [str(link).rstrip("/").rpartition("/")[2].lower() for link in links]
    if len(ids) > MAX_SPONSORS:
        raise _bad("The number of sponsors exceeds the limit of 5.")
    for key in ids:
        if tenant.store.get("users", key) is None:
            raise GraphError(404, "Request_ResourceNotFound", f"Resource '{key}' does not exist.")
    return ids


def _reset(tenant: Tenant, asked: Json, address: str) -> Json:
    """Let a guest redeem again, with another account: same object, pending anew (entra.md §1)."""
    key = (asked.get("invitedUser") or {}).get("id")
    user = tenant.store.get("users", str(key).lower()) if key else None
    if user is None:
        raise _bad("Property invitedUser.id is required when resetRedemption is true.")
    if user.get("_directory_roles"):  # an app alone cannot reset somebody with a directory role (entra.md §1)
        text = "Insufficient privileges to complete the operation."
        raise GraphError(403, "Authorization_RequestDenied", text, verdict="Refused: the user has a directory role")
    known = {a.lower() for a in (user["mail"], *user["otherMails"]) if a}
    if not is_guest(user) or address.lower() not in known:
        text = "The email you're using to invite this user doesn't match any emails on the user object. "
        raise _bad(text + "Please add this email to the user object and try again.")
    return tenant.unlink(user, address)


def _new_invitation(tenant: Tenant, guest: Json, address: str, redirect: str) -> Json:
    """`status` is Completed for a guest who redeemed before: already usable (entra.md §1)."""
    invitation = {
        "id": str(uuid.uuid4()),
        "user": guest["id"],
        "address": address,
        "redirect": redirect,
        "ticket": new_token(),
        "status": "PendingAcceptance" if is_pending(guest) else "Completed",
        "at": tenant.now(),
    }
    return tenant.store.put("invitations", invitation["id"], invitation)


def _answer(tenant: Tenant, asked: Json, invitation: Json, guest: Json) -> Json:
    info = asked.get("invitedUserMessageInfo") or {}
    return {
        "id": invitation["id"],
        "inviteRedeemUrl": redeem_url(tenant, invitation),
        "invitedUserDisplayName": asked.get("invitedUserDisplayName"),
        "invitedUserType": guest["userType"],
        "invitedUserEmailAddress": invitation["address"],
        "sendInvitationMessage": bool(asked.get("sendInvitationMessage")),
        "resetRedemption": bool(asked.get("resetRedemption")),
        "inviteRedirectUrl": invitation["redirect"],
        "status": invitation["status"],
        "invitedUserMessageInfo": {
            "messageLanguage": info.get("messageLanguage"),
            "customizedMessageBody": info.get("customizedMessageBody"),
            "ccRecipients": info.get("ccRecipients") or [{"emailAddress": {"name": None, "address": None}}],
        },
        "invitedUser": {"id": guest["id"]},
    }


def _bad(text: str) -> GraphError:
    return GraphError(400, "BadRequest", text)
