"""Addresses of our pages. A record's page names two dozen, and Django works each out anew."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from django.urls import reverse

MOST_DIGITS = 18
"""Of a number that the database can hold; Python itself refuses to read one of thousands."""
STAND_IN = "00000000-0000-4000-8000-000000000000"
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def path_to(name: str, *args: Any, **kwargs: Any) -> str:
    """Return the path of a named page. Of one that takes nothing but an id of ours, its shape is worked out once."""
    if len(args) == 1 and not kwargs and _UUID.fullmatch(written := str(args[0])):
        return _of_one(name).replace(STAND_IN, written)
    return reverse(name, args=args or None, kwargs=kwargs or None)


@cache
def _of_one(name: str) -> str:
    return reverse(name, args=[STAND_IN])


def number_of(text: str) -> int | None:
    """A number of a row that somebody's address or form names; None for what can't be one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None
