"""The failure dictionary: what each known code means, to the guest, the sponsor and our staff, and the next step.

Nobody reads raw codes. A code that is not here gets safe sentences, `known` is False, and whoever met it reports an
incident (partners/incidents.py).
"""

from __future__ import annotations

import re

from django.conf import settings
from django.utils.translation import gettext as _

from partners.failures import directory, entra, portal
from partners.failures.words import Failure, Next, Text, Turn

__all__ = [
    "PAUSED", "Failure", "Next", "Text", "Turn", "note", "note_about_mail", "number_in", "operator", "parked", "paused",
    "sign_in",
    "waiting",
]  # fmt: skip

NUMBER = re.compile(r"(?<!\d)(?:AADSTS)?(\d{5,7})(?!\d)", re.IGNORECASE)
PAUSED = directory.PAUSED
SIGN_IN = {**portal.TURNED_AWAY, **portal.ATTEMPT, **entra.NUMBERS}


def parked(code: str) -> Failure:
    """Why a job stands still, by its last code."""
    return directory.PARKED.get(code, directory.UNKNOWN)


def waiting(code: str) -> Text:
    """Why a step waits, as the beginning of a sentence; empty when it simply has not been tried again yet."""
    return directory.WAITING.get(code, "")


def paused(code: str) -> Failure:
    """Why somebody's access is paused, by the note of the suspension."""
    return directory.PAUSED.get(code, portal.TURNED_AWAY["suspended"])


def sign_in(code: str) -> Failure:
    """Why a sign-in failed: a code of signin.TurnedAway or idtoken.Invalid, or Microsoft's number ("AADSTS50105")."""
    return SIGN_IN.get(code) or SIGN_IN.get(number_in(code), portal.UNKNOWN)


def number_in(text: str) -> str:
    """The number of Microsoft's in what a person typed or a redirect carried; empty when there is none."""
    found = NUMBER.search(text)
    return found.group(1) if found else ""


def operator(code: str) -> str:
    """What an incident means and what to do, for our operator."""
    if code in directory.OPERATOR:
        return str(directory.OPERATOR[code].text)
    failure = directory.PARKED.get(code) or directory.PAUSED.get(code) or SIGN_IN.get(code) or directory.UNKNOWN
    return f"{failure.staff} {failure.next.text}"


def is_known(code: str) -> bool:
    """Whether the operator has words of its own for it."""
    return any(code in texts for texts in (directory.OPERATOR, directory.PARKED, directory.PAUSED, SIGN_IN))


def note(number: str) -> str:
    """A ready note to a partner's IT about one of Microsoft's numbers: plain text, to copy. Names nobody."""
    lines = [
        _("Hello, one of our colleagues is invited as a guest (Microsoft Entra B2B) to the directory of another "
          "organisation, to read records of shared patients. Microsoft refuses the sign-in with AADSTS%(number)s: "
          "%(title)s."),
        "",
        _("What we know: %(guest)s"),
        "",
        _("Please check for our tenant, in this order: outbound cross-tenant access settings allow B2B collaboration "
          "with the tenant below; the account is enabled and may accept invitations (user consent); no Conditional "
          "Access policy of ours blocks the application below."),
        "",
        _("Their tenant: %(tenant)s"),
        _("Their application: %(application)s"),
        _("Their portal: %(portal)s"),
        _("Their mails come from: %(sender)s"),
        _("Their help: %(help)s"),
    ]  # fmt: skip
    failure = sign_in(number)
    facts = {
        "number": number,
        "title": str(failure.title).lower() if not failure.known else failure.title,
        "guest": failure.guest,
        "tenant": settings.ENTRA["tenant_id"],
        "application": settings.ENTRA["client_id"],
        "portal": settings.BASE_URL,
        "sender": settings.DEFAULT_FROM_EMAIL,
        "help": settings.HELP_TEXT,
    }
    return "\n".join(lines) % facts


def note_about_mail() -> str:
    """A ready note to a partner's IT so that our mails arrive and our sign-in is reached."""
    lines = [
        _("Hello, our colleagues are invited to read records of shared patients at a partner's portal. Please let its "
          "mails and its sign-in through:"),
        "",
        _("Mails come from: %(sender)s"),
        _("The portal: %(portal)s"),
        _("The sign-in: %(sign_in)s (Microsoft Entra, tenant %(tenant)s)"),
        _("Our outbound cross-tenant access settings must allow B2B collaboration with that tenant."),
    ]  # fmt: skip
    facts = {
        "sender": settings.DEFAULT_FROM_EMAIL,
        "portal": settings.BASE_URL,
        "sign_in": settings.ENTRA["authority"],
        "tenant": settings.ENTRA["tenant_id"],
    }
    return "\n".join(lines) % facts
