"""What stands on a page a hundred times, drawn here: a macro would cost several times as much for the same markup."""

from typing import Protocol

from markupsafe import Markup, escape


class When(Protocol):
    """Of records.display.dates.When what is drawn."""

    text: str
    spoken: str
    time: str
    zone: str
    machine: str


def drawn_when(w: When, time: bool = False) -> Markup:
    """A point in time in the clinical form, with the long form for screen readers; its words when it has no date."""
    text = escape(w.text)
    if not w.machine:
        return Markup(f'<span class="cp-none">{text}</span>')  # noqa: S704 - each part is escaped
    clock = f" {escape(w.time)}" if time and w.time else ""
    if clock and w.zone:
        clock += f" {escape(w.zone)}"
    return Markup(  # noqa: S704 - likewise
        f'<time class="cp-date" datetime="{escape(w.machine)}"><span aria-hidden="true">{text}</span>'
        f'<span class="nhsuk-u-visually-hidden">{escape(w.spoken)}</span>{clock}</time>'
    )


def cell_class(body: object, *, title: bool, num: bool, small: bool, wide: bool) -> str:
    """The classes of a cell of a dense table (components/tables.jinja): what it is, and what it holds."""
    bare = str(body).strip()
    holds = "" if bare else "cp-cell--empty"
    if bare.startswith('<span class="cp-flag'):
        holds = "cp-cell--flag"
    kinds = ((title, "cp-cell--title"), (num, "cp-num"), (small, "cp-cell--small"), (wide, "cp-cell--wide"))
    return " ".join([name for asked, name in kinds if asked] + ([holds] if holds else []))
