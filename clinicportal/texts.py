"""gettext that remembers: a chart page asks for hundreds of texts, and Django goes through its catalogues for each."""

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils import translation
from markupsafe import Markup


@lru_cache(maxsize=8192)
def _in_language(language: str | None, message: str) -> str:
    return translation.gettext(message)


def gettext(message: str) -> str:
    """`message` in the language of this request."""
    # Asking which language that is costs more than the answer, so nobody asks where there is one.
    return _in_language(translation.get_language() if len(settings.LANGUAGES) > 1 else None, message)


def text(message: str, **variables: Any) -> Markup:
    """`_` of the templates: like gettext, safe, with each variable escaped where it stands."""
    safe = Markup(gettext(message))  # noqa: S704 - messages are ours; what stands in them is escaped
    return safe % variables if variables or "%" in message else safe
