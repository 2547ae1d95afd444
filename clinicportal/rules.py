"""The words rules are written in."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied


class Denied(PermissionDenied):
    """A policy says no; the message is the sentence the person reads on the 403 page."""


class IllegalTransition(Exception):
    """The table forbids this move, or another process moved the row since it was read."""


def permits(check: Callable[..., None], *args: Any) -> bool:
    """Whether `check`, a policy that raises its reason, lets `args` through. For templates."""
    try:
        check(*args)
    except Denied:
        return False
    return True
