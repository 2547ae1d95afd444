"""What every page knows: who reads it, where they can go, and when their session ends."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import NoReverseMatch, Resolver404, resolve, reverse
from django.utils.crypto import salted_hmac
from django.utils.functional import Promise

from clinicportal.middleware import CAPACITIES
from clinicportal.texts import gettext_lazy as _


class Entry(NamedTuple):
    """One link of the header: who gets it (staff roles and capacities), where it leads, what it says."""

    roles: frozenset[str]
    path: str
    text: str | Promise


NAVIGATION = [
    Entry(frozenset({"approver"}), "/approvals/", _("To decide")),
    Entry(frozenset({"approver", "operator"}), "/organisations/", _("Organisations")),
    Entry(frozenset({"operator"}), "/incidents/", _("To look at")),
    Entry(frozenset({"operator", "privacy"}), "/feeds/", _("Feeds")),
    Entry(frozenset({"reviewer"}), "/reviews/", _("To review")),
    Entry(frozenset({"privacy"}), "/privacy/", _("Audit")),
    Entry(frozenset({"privacy"}), "/privacy/alerts/", _("Alerts")),
    Entry(frozenset({"privacy"}), "/reports/", _("Reports about records")),
    Entry(frozenset({"approver", "operator", "privacy"}), "/by-hand/", _("By hand")),
    Entry(frozenset({"approver", "privacy"}), "/why/", _("Why they see it")),
    Entry(frozenset({"guest"}), "/patients/", _("My patients")),
    Entry(frozenset({"look_up"}), "/look-up/", _("Look up a patient")),
    Entry(frozenset({"sponsor"}), "/people/", _("Your people")),
    Entry(frozenset({"sponsor"}), "/requests/", _("Requests")),
    Entry(frozenset({"guest", "sponsor"}), "/account/", _("My access")),
]
FOOTER = [
    Entry(frozenset(), "/terms/", _("Terms of use")),
    Entry(frozenset(), "/privacy-notice/", _("Privacy")),
    Entry(frozenset(), "/accessibility/", _("Accessibility")),
]


def page(request: HttpRequest) -> dict[str, Any]:
    """Return what layout.jinja needs; the part about a person only when one is signed in."""
    try:
        return about_us(request) | about_the_person(request)
    except DatabaseError:
        # The page that says so has to appear all the same.
        return about_us(request)


def about_us(request: HttpRequest) -> dict[str, Any]:
    return {
        "help_text": settings.HELP_TEXT,
        "footer": list(links(FOOTER, request.path)),
        "home_url": path_of("home", "/"),
    }


def about_the_person(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)  # absent when a request failed before the sign-in middleware
    if user is None or not user.is_authenticated:
        return {}
    # From the session, not from the user: where no view was found, nothing has put it there.
    roles = {*user.staff_roles, *request.session.get(CAPACITIES, ())}
    return {
        "nav": list(links((entry for entry in NAVIGATION if entry.roles & roles), request.path)),
        "person_name": user.display_name,
        "roles": roles,
        "sign_out_url": path_of("sign-out", "/sign-out/"),
        # Lets a page tell that another tab signed in as someone else, without naming anyone.
        "session_person": salted_hmac("clinicportal.page", str(user.pk), algorithm="sha256").hexdigest()[:16],
        "session_seconds": request.session.get_expiry_age(),
        "keep_alive_url": path_of("stay", "/stay/"),
    }


def links(entries: Iterable[Entry], path: str) -> Iterator[dict[str, Any]]:
    """Yield the entries whose page exists, marked `current` when `path` is that page or lies below it and no other."""
    entries = list(entries)
    here = max((entry.path for entry in entries if path.startswith(entry.path)), key=len, default="")
    for entry in entries:
        if is_there(entry.path):
            yield {"href": entry.path, "text": entry.text, "current": entry.path == here}


@cache
def is_there(path: str) -> bool:
    """Whether some page has this path; which pages there are does not change while a process runs."""
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


@cache
def path_of(name: str, otherwise: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return otherwise
