"""What a failed sign-in means, in words, with what to do next: by our code, or by Microsoft's number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise
NUMBER = re.compile(r"(?<!\d)(?:AADSTS)?(\d{5,7})(?!\d)", re.IGNORECASE)


@dataclass(frozen=True)
class Failure:
    title: Text
    guest: Text
    known: bool = True


UNKNOWN = Failure(
    _("We could not sign you in"),
    _("Your organisation or ours stopped the sign-in. Please try again; if it happens again, call us."),
    known=False,
)
SIGN_IN: dict[str, Failure] = {}


def sign_in(code: str) -> Failure:
    return SIGN_IN.get(code, UNKNOWN)


def number_in(text: str) -> str:
    found = NUMBER.search(text)
    return found.group(1) if found else ""
