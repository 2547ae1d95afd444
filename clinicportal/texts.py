"""gettext that remembers: a chart page asks for hundreds of texts, and Django goes through its catalogues for each."""

from functools import lru_cache

from django.utils import translation


@lru_cache(maxsize=8192)
def _in_language(language: str | None, message: str) -> str:
    return translation.gettext(message)


def gettext(message: str) -> str:
    """`message` in the language of this request."""
    return _in_language(translation.get_language(), message)
