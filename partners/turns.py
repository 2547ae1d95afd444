"""When it is somebody's turn: what stands before a waiting step, in words for the sponsor and for our staff."""

from __future__ import annotations

import datetime as dt
from collections import deque

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from partners import failures, gates, queue
from partners.entra import limits
from partners.models import Gate, Lane, ProvisioningJob, Step

SOON = dt.timedelta(minutes=5)
"""A turn within this time needs no words."""


def shut_gates() -> list[Gate]:
    """What is shut now, the longest first: a few, if any."""
    return list(Gate.objects.shut().order_by("shut_at"))


def held_by(step: Step, address: str, shut: list[Gate]) -> str:
    """The code for which a waiting step stands still until somebody or something mends it; empty: it is not held."""
    names = {*queue.BEHIND.get(Step.Kind(step.kind), []), gates.domain(address.rpartition("@")[2])}
    return next((gate.code for gate in shut if gate.name in names), "")


def words_for(step: Step, address: str) -> str:
    """What the person at the page should know about a step that waits for long; empty: it will be done in a moment."""
    if code := held_by(step, address, shut_gates()):
        return _("%(why)s. It goes on by itself as soon as that is mended.") % {"why": failures.waiting(code)}
    if step.kind != Step.Kind.INVITE or limits.day() is None:
        return ""
    ahead = _waiting().filter(due_at__lt=step.due_at).count()
    turn = expected(ahead)
    if turn is None:
        return ""
    own = _("This one's turn is %(when)s.") % {"when": about(turn)}
    return f"{_budget()} {_wait_words(waiting())} {own}"


def notices(shut: list[Gate]) -> list[tuple[str, str]]:
    """For our staff, above the queue: what holds it up, as (kind of notice, text), one for each cause."""
    found = []
    for gate in shut:
        name = gate.name.removeprefix("domain:")
        facts = {"domain": name, "why": failures.waiting(gate.code) or gate.code}
        of_all, of_a_domain = _("Work in the directory waits. %(why)s."), _("Invitations to %(domain)s wait. %(why)s.")
        found.append(("warning", (of_all if name == gate.name else of_a_domain) % facts))
    if limits.day() is not None:
        number = waiting()
        turn = expected(number - 1) if number else None
        if turn is not None:
            last = _("The last one's turn is %(when)s.") % {"when": about(turn)}
            found.append(("info", f"{_budget()} {_used()} {_wait_words(number)} {last}"))
    return found


def expected(ahead: int) -> dt.datetime | None:
    """When the invitation with so many before it may go out by the day's budget. None: within minutes.

    Plays the window forward: what was used leaves it in time, and whoever takes the room leaves it a window later.
    """
    budget = limits.day()
    if budget is None:
        return None
    moment, before = timezone.now().timestamp(), 0
    lane = Lane.objects.filter(name=budget.name).first()
    leaving = deque(slot for slot in _leaving(lane) if slot[0] > moment) if lane else deque()
    room = budget.limit - sum(count for _, count in leaving)
    while True:
        if room > 0:
            went, before, room = room, before + room, 0
            leaving.append((moment + budget.seconds, went))
        if before > ahead:
            break
        moment, count = leaving.popleft()
        room += count
    turn = dt.datetime.fromtimestamp(moment, dt.UTC)
    return turn if turn > timezone.now() + SOON else None


def _leaving(lane: Lane) -> list[tuple[float, int]]:
    """When each slice of the window stops counting, with what was used in it, the oldest first."""
    kept = len(lane.used)
    slices = range(lane.newest - kept + 1, lane.newest + 1)
    return [((n + kept) * lane.slice_seconds, lane.used[n % kept]) for n in slices if lane.used[n % kept]]


def waiting() -> int:
    """How many people are waiting to be invited."""
    return _waiting().count()


def invited_lately() -> int:
    """How many were invited in the last 24 hours."""
    since = timezone.now() - dt.timedelta(days=1)
    return Step.objects.filter(kind=Step.Kind.INVITE, state=Step.State.DONE, finished_at__gt=since).count()


def _waiting() -> QuerySet[Step]:
    running = ProvisioningJob.Status.RUNNING
    return Step.objects.filter(kind=Step.Kind.INVITE, state=Step.State.WAITING, job__status=running)


def _budget() -> str:
    people = settings.ENTRA_INVITATIONS_PER_DAY
    return ngettext(
        "Our directory lets us invite %(number)s person a day.",
        "Our directory lets us invite %(number)s people a day.",
        people,
    ) % {"number": f"{people:,}"}


def _used() -> str:
    number = invited_lately()
    return _("Invited in the last 24 hours: %(number)s.") % {"number": f"{number:,}"}


def _wait_words(number: int) -> str:
    return ngettext("%(number)s waits.", "%(number)s wait.", number) % {"number": f"{number:,}"}


def about(moment: dt.datetime) -> str:
    """ "about Thursday, 14:00": to the next half hour; with the date when it is more than six days away."""
    half_hour = dt.timedelta(minutes=30)
    local = timezone.localtime(moment, timezone.get_default_timezone())
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    local = midnight + -(-(local - midnight) // half_hour) * half_hour
    today = timezone.localdate(timezone=timezone.get_default_timezone())
    days = (local.date() - today).days
    day = _("today") if days == 0 else date_format(local, "l" if days < 7 else "j F")
    return _("about %(day)s, %(time)s") % {"day": day, "time": date_format(local, "H:i")}
