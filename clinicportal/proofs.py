"""Acts that need a fresh, stronger sign-in: whether this session has one. How it is got is partners/stepup.py."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from clinicportal.models import User
from clinicportal.rules import Denied


class Unproved(Denied):
    """The person has to confirm first that it is them.

    Uncaught, the middleware sends them to do it; afterwards they are at `page` again, a path of ours, or the act is
    done for `about`, the id of what it is about, where it is one that can be done at once.
    """

    def __init__(self, act: str) -> None:
        super().__init__(_("Confirm first that it is you."))
        self.act, self.page, self.about = act, "/", ""


def check_proved(user: User, act: str) -> None:
    """Whether the person met the act's authentication context afresh, a short while ago, in this session.

    `act` is a name of settings.STEP_UP. Raises Unproved.
    """
    at = user.proofs.get(settings.STEP_UP[act])
    if at is None or timezone.now() - at > timedelta(seconds=settings.STEP_UP_HOLDS_SECONDS):
        raise Unproved(act)
