"""gettext that remembers: a chart page asks for hundreds of texts, and Django goes through its catalogues for each."""

from datetime import timedelta
from functools import cache, lru_cache
from typing import Any

import jinja2
from django.conf import settings
from django.utils import translation
from django.utils.functional import lazy
from jinja2.nodes import EvalContext
from markupsafe import Markup


@lru_cache(maxsize=8192)
def _in_language(language: str | None, message: str) -> str:
    return translation.gettext(message)


@cache
def _language_matters() -> bool:
    return len(settings.LANGUAGES) > 1


def gettext(message: str) -> str:
    """`message` in the language of this request."""
    # Asking which language that is costs more than the answer, so nobody asks where there is one.
    return _in_language(translation.get_language() if _language_matters() else None, message)


gettext_lazy = lazy(gettext, str)
"""For texts that stand in a module: Django's own goes through the catalogues each time that one is shown."""


def span(value: timedelta) -> str:
    """ "24 hours", "one hour", "15 minutes": for every text that says how long something holds."""
    minutes = int(value.total_seconds() // 60)
    if minutes == 60:
        return gettext("one hour")
    if minutes % 60 == 0:
        return translation.ngettext("%(count)s hour", "%(count)s hours", minutes // 60) % {"count": minutes // 60}
    return translation.ngettext("%(count)s minute", "%(count)s minutes", minutes) % {"count": minutes}


span_lazy = lazy(span, str)


@lru_cache(maxsize=8192)
def _safe(message: str) -> Markup:
    return Markup(message)  # noqa: S704 - messages are ours; what stands in them is escaped


@jinja2.pass_eval_context
def text(context: EvalContext, message: str, **variables: Any) -> str:
    """`_` of the templates: like gettext, safe, with each variable escaped where it stands. As plain as any other
    text where the template does not escape: mails are no HTML."""
    found = gettext(message)
    if context.autoescape:
        found = _safe(found)
    return found % variables if variables or "%" in message else found
