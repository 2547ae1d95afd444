"""What pages and mails say about patients, sections and times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from django.db.models import F, QuerySet
from django.utils import dateformat, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from partners import dates
from records.models import Caseload, CaseloadSize, Section, SensitiveClass

SMALL = 10
"""Fewer patients than this are never told as a number to a partner: a small number can name somebody."""


def rounded(count: int) -> str:
    """ "about 120 patients": how many, as a sponsor may know it."""
    if count < SMALL:
        return _("fewer than 10 patients")
    return _("about %(count)s patients") % {"count": f"{round(count, -2 if count >= 1000 else -1):,}"}


def exact(count: int) -> str:
    """ "118 patients": how many, as an approver must know it."""
    return ngettext("%(count)s patient", "%(count)s patients", count) % {"count": f"{count:,}"}


def listed(items: Iterable[object]) -> str:
    """ "a, b and c"."""
    words = [str(item) for item in items]
    return (
        _("%(first)s and %(last)s") % {"first": ", ".join(words[:-1]), "last": words[-1]}
        if words[1:]
        else "".join(words)
    )


def sections(chosen: Iterable[str]) -> str:
    """ "problems, medicines and results": always in the same order. Name and birth date go without saying."""
    chosen = set(chosen)
    named = [label for section, label in Section.choices if section in chosen and section != Section.DEMOGRAPHICS]
    return listed(named) or _("names and birth dates")


def classes(chosen: Iterable[str]) -> str:
    """ "mental health and HIV": sensitive classes, always in the same order; empty where there are none."""
    chosen = set(chosen)
    return listed(label for name, label in SensitiveClass.choices if name in chosen)


def sections_not(chosen: Iterable[str]) -> str:
    """Those that are not among `chosen`, as a list to read; empty when nothing is missing."""
    missing = set(Section.values) - set(chosen) - {Section.DEMOGRAPHICS}
    return ", ".join(str(label) for section, label in Section.choices if section in missing)


def sized(caseloads: Iterable[Caseload]) -> list[Caseload]:
    """The caseloads with `people`, the number of patients now, in one query."""
    keys = [caseload.pk for caseload in caseloads]
    return list(with_sizes(Caseload.objects.filter(pk__in=keys).select_related("facility")))


def with_sizes(caseloads: QuerySet[Caseload]) -> QuerySet[Caseload]:
    return caseloads.annotate(people=CaseloadSize(F("pk")))


def effect(
    name: str, chosen: Iterable[str], caseloads: Sequence[Caseload], until: dt.date, *, to_sponsor: bool
) -> SafeString:
    """What access will mean, as one sentence of markup. `caseloads` are `sized`."""
    count = rounded if to_sponsor else exact
    patients = [
        format_html(
            _("<strong>{count}</strong> in {caseload}"),
            count=count(caseload.people),  # type: ignore[attr-defined]
            caseload=caseload.name,
        )
        for caseload in caseloads
    ]
    return format_html(
        _(
            "{name} will be able to <strong>read</strong> {sections} of {patients}, until "
            '<strong class="cp-date">{until}</strong>.'
        ),
        name=name,
        sections=sections(chosen),
        patients=mark_safe(listed(patients)),  # noqa: S308 - format_html escaped each
        until=dates.words_for(until),
    )


def moment(when: dt.datetime) -> str:
    """ "today 10:14" or "29 May 15:40", with the year when it is another one."""
    local = timezone.localtime(when, timezone.get_default_timezone())
    if local.date() == dates.today():
        return _("today %(time)s") % {"time": f"{local:%H:%M}"}
    return dateformat.format(local, "j F H:i" if local.year == dates.today().year else "j F Y H:i")


def clock(when: dt.datetime) -> str:
    return f"{timezone.localtime(when, timezone.get_default_timezone()):%H:%M}"
