"""What an entry of the dictionary is made of."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise


class Turn(enum.Enum):
    """Who can do something about it."""

    GUEST = "guest"
    SPONSOR = "sponsor"
    PARTNER_IT = "partner_it"
    STAFF = "staff"
    OPERATOR = "operator"
    NOBODY = "nobody"  # time does it


@dataclass(frozen=True)
class Next:
    """The next step: whose turn, what to do, and where (the name of a page without arguments, with its button)."""

    turn: Turn
    text: Text
    page: str = ""
    button: Text = ""


@dataclass(frozen=True)
class Failure:
    """What one code means, to each reader, and the next step. No reader is shown the code itself."""

    title: Text
    """The heading of the guest's page."""
    guest: Text
    sponsor: Text
    staff: Text
    next: Next
    known: bool = True
    """False for what stands in for a code that the dictionary does not have: then the operator has to be told."""


BY_HAND = _("Our team has to finish this by hand. There is nothing for you to do.")
STILL_SETTING_UP = _("We are still setting up your access")
WAIT_FOR_MAIL = _("We write to you once it is ready. There is nothing for you to do.")
COULD_NOT = _("We could not sign you in")
AGAIN = Next(Turn.GUEST, _("Please sign in again."), "sign-in", _("Sign in again"))
CALL_US = Next(Turn.GUEST, _("Please call us and read out the reference on this page."))
