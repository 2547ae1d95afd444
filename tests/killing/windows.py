"""The narrow windows, held open until the kill.

Nothing in the portal helps. The tenant delays a call on order; meanwhile we lock the rows of all requests at work, as
any client of PostgreSQL can; the call is answered, and whoever wants to write down what came of it waits for our lock.
Then the kill comes. Or the tenant holds its answer back, and the kill comes before it leaves.

A kill counts only with proof that it hit: the other side had done its part, and nobody can have written that down.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.killing.facts import INVITE, addresses_of, members
from tests.killing.kills import Kill, Killer
from tests.killing.portal import Portal, Trouble, eventually

DELAY, HOLD, SLOW = 2.0, 4.0, 7.0
"""Seconds: time to take the locks before the call is done; time to kill before the answer leaves; longer than a sweep
takes to come round. All less than the portal waits for an answer (clinicportal/http.py, settings.EMAIL_TIMEOUT)."""
BLOCKED_WITHIN = 4.0
"""Seconds after the locks: less than the worker's lock_timeout (clinicportal/roles.py), which would end the waiting."""
TRIES = 4

Done = Callable[[Portal], Counter[str]]
"""How often the other side has done its part, by address."""


def invited(portal: Portal) -> Counter[str]:
    return Counter(item["address"] for item in portal.read("invitations"))


def joined(portal: Portal) -> Counter[str]:
    inside = set(members(portal))
    return Counter(address for user in portal.read("users") if user["id"] in inside for address in addresses_of(user))


def mailed(portal: Portal) -> Counter[str]:
    return Counter(address for mail in portal.read("mails") for address in mail["to"])


@dataclass(frozen=True)
class Window:
    """`mode` is the tenant's: "delay" for a kill after the answer and before our commit, "hold" for one while the
    answer is on its way, "cut" for an answer that is lost. Without a victim nobody dies."""

    name: str
    operation: str
    mode: str
    done: Done
    victim: str = "worker"
    in_sample: bool = True

    @property
    def seconds(self) -> float:
        if not self.victim:
            return SLOW
        return HOLD if self.mode == "hold" else DELAY


JOIN, MAIL = "POST /groups/{id}/members/$ref", "SMTP DATA"
WINDOWS = [
    Window("201 of the invitation, before our commit", INVITE, "delay", invited),
    Window("invited, answer on its way", INVITE, "hold", invited),
    Window("invited, answer lost", INVITE, "cut", invited, victim=""),
    Window("204 of the group, before our commit", JOIN, "delay", joined),
    Window("in the group, answer on its way", JOIN, "hold", joined, in_sample=False),
    Window("250 of the mail, before our commit", MAIL, "delay", mailed),
    Window("250 of the mail, database gone", MAIL, "delay", mailed, victim="database"),
    Window("mail taken, 250 on its way", MAIL, "hold", mailed, in_sample=False),
    Window("a mail server that takes long", MAIL, "delay", mailed, victim="", in_sample=False),
]


@dataclass
class Hit:
    """Proof that a window was hit: for whom (one of them, when two were in it), and by which kill."""

    window: Window
    addresses: set[str]
    kill: Kill | None


def strike(killer: Killer, window: Window, more_work: Callable[[], None], *, seconds: float) -> Hit:
    """Kill within the window, or lose the answer. `more_work` gives the job something to do, so that the call comes
    within `seconds`.

    Raises Trouble when the window was missed in every try: a forced point that silently misses proves nothing.
    """
    for _ in range(TRIES):
        before = window.done(killer.portal)
        killer.portal.tell("fail-next", operation=window.operation, mode=window.mode, seconds=window.seconds)
        more_work()
        untaken = wait_taken(killer.portal, window, seconds)
        with suppress(Missed):
            how = STRIKES[window.mode] if window.victim else let_live
            return how(killer, window, before, untaken)
    raise Trouble(f"the window “{window.name}” was missed {TRIES} times")


class Missed(Exception):
    """The call was refused after all (429), or we came too late to prove anything."""


def in_time(check: Callable[[], Any], seconds: float) -> Any:
    try:
        return eventually(check, seconds=seconds, what="what was ordered", every=0.02)
    except Trouble:
        raise Missed from None


def wait_taken(portal: Portal, window: Window, seconds: float) -> float:
    """Until a call has come that takes the ordered fault. Returns when it had surely not come yet (epoch seconds)."""
    untaken = time.time()

    def taken() -> bool:
        nonlocal untaken
        now = time.time()
        if not any(fault["mode"] == window.mode for fault in portal.read()["faults"]):
            return True
        untaken = now
        return False

    eventually(taken, seconds=seconds, what=f"a call of {window.operation}", every=0.03)
    return untaken


def newly(window: Window, portal: Portal, before: Counter[str]) -> set[str]:
    return set(window.done(portal) - before)


def kill_after_the_answer(killer: Killer, window: Window, _before: Counter[str], untaken: float) -> Hit:
    """The call is delayed, so it is not done yet when we have the locks: whoever does it now cannot write that down
    before we let go, and we let go when nobody is left who could. Waiting for our lock shows that the answer came."""
    portal = killer.portal
    with locks(portal) as holder:
        before = window.done(portal)
        if time.time() > untaken + DELAY:
            raise Missed
        answered = in_time(lambda: newly(window, portal, before) & waiting_for(portal, holder), BLOCKED_WITHIN)
        kill = killer.kill(window.victim, "whole", window=window.name)
    killer.wait_back(kill)
    return Hit(window, answered, kill)


def kill_before_the_answer(killer: Killer, window: Window, before: Counter[str], untaken: float) -> Hit:
    """The call is done at once and its answer leaves only HOLD seconds later: a kill before that is in time."""
    done = in_time(lambda: newly(window, killer.portal, before), HOLD)
    kill = killer.kill(window.victim, "whole", window=window.name)
    gone = time.time()
    killer.wait_back(kill)
    if gone > untaken + HOLD or not was_done(killer.portal, window, untaken):
        raise Missed
    return Hit(window, done, kill)


def was_done(portal: Portal, window: Window, untaken: float) -> bool:
    """Whether the call whose answer was held was not refused: the tenant lists it when it lets go of the answer."""
    if window.operation == MAIL:
        return True

    def held() -> list[dict]:
        calls = [call for call in portal.read("calls") if call["operation"] == window.operation]
        return [call for call in calls if call["at"] > untaken - 1 and call["seconds"] > HOLD - 0.5]

    return all(call["status"] < 300 for call in in_time(held, 2 * HOLD))


def let_live(killer: Killer, window: Window, before: Counter[str], untaken: float) -> Hit:
    """The answer is lost, or comes so late that others could take the step for abandoned; nobody dies meanwhile."""
    done = in_time(lambda: newly(window, killer.portal, before), SLOW + 3)
    if window.mode == "delay":
        time.sleep(max(0.0, untaken + SLOW + 1 - time.time()))
    return Hit(window, done, None)


STRIKES = {"delay": kill_after_the_answer, "hold": kill_before_the_answer}


# ---------------------------------------------------------------- the locks


@contextmanager
def locks(portal: Portal) -> Iterator[int]:
    """Hold the rows of all requests at work. Yields the number of our backend. May end with the database killed."""
    connection = portal.connect()
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT id FROM partners_accessrequest WHERE status = 'approved' FOR UPDATE")
        yield connection.info.backend_pid
    finally:
        with suppress(psycopg.OperationalError):
            connection.rollback()
        connection.close()


WAITING_FOR = """
    SELECT r.address
    FROM pg_locks l JOIN partners_accessrequest r ON r.ctid = format('(%%s,%%s)', l.page, l.tuple)::tid
    JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'tuple' AND l.granted AND l.relation = 'partners_accessrequest'::regclass
    AND a.application_name = 'clinicportal worker' AND %s = ANY (pg_blocking_pids(l.pid))
"""
"""Whoever waits for a locked row holds a lock on its place (PostgreSQL, "Row-Level Locks" and heap_lock_tuple)."""


def waiting_for(portal: Portal, holder: int) -> set[str]:
    """Addresses of requests that a worker's transaction waits for, because of the backend `holder`."""
    return {address for (address,) in portal.rows(WAITING_FOR, holder)}
