"""Work email addresses: one canonical form to compare, and sentences for those that cannot be invited.

Everything is decided here, without asking the directory: a partner's keystrokes must not reveal who has
an account with us.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import idna
from django.utils.translation import gettext as _

# Entra refuses these anywhere in an invited address (Microsoft Graph v1.0, invitation: invitedUserEmailAddress).
FORBIDDEN = frozenset("~!#$%^&*()+=[]{}\\/|;:\"<>?,'")
_SHARED = """
    info office reception ward wards admin administrator administration contact mail email post postmaster webmaster
    enquiries enquiry hello help helpdesk support secretary secretaries team teams staff nurses doctors clinic surgery
    practice pharmacy noreply no-reply donotreply it hr press sales shared service desk frontdesk
"""
_PUBLIC = """
    gmail.com googlemail.com outlook.com hotmail.com hotmail.co.uk live.com live.co.uk msn.com yahoo.com yahoo.co.uk
    ymail.com icloud.com me.com mac.com aol.com gmx.com gmx.net gmx.de web.de mail.com proton.me protonmail.com
    yandex.com zoho.com btinternet.com sky.com virginmedia.com talktalk.net
"""
SHARED, PUBLIC = frozenset(_SHARED.split()), frozenset(_PUBLIC.split())
MAX_LENGTH = 254


class Unusable(ValueError):
    """Nobody can be invited at this address. `sentence` says what to do; `suggestion` is an address that would do."""

    def __init__(self, sentence: str, suggestion: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.suggestion = sentence, suggestion


def folded(typed: str) -> str:
    """How addresses are compared: NFKC, without invisible characters and blanks around, in one case. Judges nothing."""
    text = unicodedata.normalize("NFKC", typed)
    return "".join(c for c in text if unicodedata.category(c) != "Cf").strip().casefold()


def domain_of(address: str) -> str:
    return folded(address).rpartition("@")[2]


def canonical(typed: str) -> str:
    """Return the address that we compare and invite: folded, with the domain in its ASCII form. Raises Unusable."""
    local, at, domain = folded(typed).rpartition("@")
    if not at or not local or not domain:
        raise Unusable(_("Enter a work email address in the correct format, like name@partner.example"))
    if "+" in local:
        plain = local.partition("+")[0] + "@" + domain
        raise Unusable(_("We cannot use addresses with a plus sign. Everything else you typed is kept."), plain)
    _check_mailbox(local)
    address = f"{local}@{_ascii(domain)}"
    if len(address) > MAX_LENGTH:
        raise Unusable(_("This address is too long. Enter one with at most 254 characters."))
    return address


def belonging(typed: str, domains: Iterable[str], organisation: str) -> str:
    """Return the canonical address of a person at `organisation`, which has `domains`. Raises Unusable."""
    address, allowed = canonical(typed), sorted(domains)
    local, _at, domain = address.partition("@")
    if re.sub(r"[\d._-]+$", "", local) in SHARED:
        raise Unusable(
            _(
                "This looks like a shared mailbox. Each person needs their own address, so that the record shows "
                "who looked."
            )
        )
    if domain in allowed:
        return address
    if near := next((known for known in allowed if one_slip_apart(domain, known)), None):
        raise Unusable(_("Check the part after the @. Did you mean %(near)s?") % {"near": near}, f"{local}@{near}")
    if domain in PUBLIC or any(one_slip_apart(domain, known) for known in PUBLIC):
        raise Unusable(
            _("%(domain)s is for personal addresses. Enter the person's work address at %(name)s.")
            % {"domain": domain, "name": organisation}
        )
    raise Unusable(
        _("%(domain)s does not belong to %(name)s. Enter an address that ends in %(allowed)s.")
        % {"domain": domain, "name": organisation, "allowed": " or ".join(f"@{known}" for known in allowed)}
    )


def _check_mailbox(local: str) -> None:
    """Raise Unusable when the part before the @ holds what Entra refuses, or letters that only look right."""
    if not local.isascii():
        raise Unusable(
            _("This address contains letters that look like others but are not the same. Please type it by hand.")
        )
    if any(character.isspace() for character in local):
        raise Unusable(_("An address cannot contain a space. Please check it."))
    if bad := sorted(set(local) & FORBIDDEN | ({"@"} & set(local))):
        raise Unusable(_("An address cannot contain %(bad)s. Please check it.") % {"bad": " ".join(bad)})
    if local.strip(".-") != local or ".." in local:
        raise Unusable(_("The part before the @ cannot begin or end with a dot or a dash. Please check it."))


def _ascii(domain: str) -> str:
    """The domain as the name system knows it. Raises Unusable for what is none, and for mixed alphabets."""
    try:
        ascii_form = idna.encode(domain.rstrip("."), uts46=True).decode()
    except idna.IDNAError:
        ascii_form = ""
    if "." not in ascii_form:
        raise Unusable(_("Check the part after the @: it should look like partner.example"))
    if any(len(alphabets(label)) > 1 for label in domain.split(".")):
        raise Unusable(
            _("This address contains letters that look like others but are not the same. Please type it by hand.")
        )
    return ascii_form


def alphabets(text: str) -> set[str]:
    """The alphabets that letters of `text` belong to, by the first word of their Unicode names: LATIN, CYRILLIC..."""
    return {unicodedata.name(letter, "UNKNOWN").split()[0] for letter in text if letter.isalpha()}


def one_slip_apart(a: str, b: str) -> bool:
    """Whether one letter more, less, other or exchanged with its neighbour turns `a` into `b`. False when equal."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    return (
        rest_a[1:] == rest_b[1:]
        or rest_a[1:] == rest_b
        or rest_a == rest_b[1:]
        or (rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:])
    )
