"""Killing at random moments, from a seed: one process, its family, or one child of it; or freezing it for a while."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass, field

from tests.killing.facts import Cut
from tests.killing.portal import Portal, Trouble, eventually, one_child, send, wait_gone

BACK_SECONDS = 60
"""The supervisor has a killed process running again within this time, on a busy machine too."""
YOUNG_SECONDS, PATIENT_PAUSE = 12.0, 2.0
"""The supervisor gives up after five deaths of a young process in a row, as it should. It waits longer after each, two
seconds after the third: then we let the process grow up."""
HOWS = {
    "web": ("whole", "main", "child"),
    "worker": ("whole", "main", "child"),
    "beat": ("whole",),
    "broker": ("whole", "freeze"),
    "database": ("whole", "main", "child", "freeze"),
}
POINT = """
    SELECT s.kind || CASE WHEN s.leased_until > now() THEN ' begun' ELSE ' waiting' END, count(*)
    FROM partners_step s JOIN partners_provisioningjob j ON j.id = s.job_id
    WHERE j.status = 'running' AND s.state = 'waiting' GROUP BY 1 ORDER BY 1
"""
UNSENT = """
    SELECT r.address FROM partners_invitation i JOIN partners_accessrequest r ON r.id = i.request_id
    WHERE i.sent_at IS NULL
"""


@dataclass
class Kill:
    """One kill. `point` is what the jobs were at. `until` and `unsent`: see facts.Cut."""

    victim: str
    how: str
    at: float
    leader: int
    point: str
    window: str = ""
    until: float = 0.0
    unsent: set[str] = field(default_factory=set)
    away: float = 0.0
    """Seconds until the supervisor had it running again."""

    @property
    def cuts_work_short(self) -> bool:
        """Whether it can come between the mail server's answer and our commit."""
        return self.victim in ("worker", "database")

    @property
    def cut(self) -> Cut:
        return Cut(self.at, self.until, self.unsent)

    def __str__(self) -> str:
        where = f" in “{self.window}”" if self.window else ""
        return f"{self.victim} ({self.how}){where} at [{self.point or 'idle'}], back after {self.away:.1f} s"


@dataclass
class Killer:
    portal: Portal
    rng: random.Random
    kills: list[Kill] = field(default_factory=list)

    def kill(self, victim: str, how: str, *, window: str = "") -> Kill:
        """Strike, and return when the chosen processes are gone (or, frozen, go on)."""
        self._let_grow_up(victim)
        family = self.portal.family(victim)
        chosen = {"main": family[:1], "child": one_child(family, self.rng)}.get(how, family)
        kill = Kill(victim, how, time.time(), family[0], self.point(), window)
        if how == "freeze":
            send(signal.SIGSTOP, chosen)
            time.sleep(self.rng.uniform(1.0, 2.5))
            send(signal.SIGCONT, chosen)
        else:
            send(signal.SIGKILL, chosen)
            wait_gone(chosen)
        self.kills.append(kill)
        return kill

    def wait_back(self, kill: Kill) -> None:
        """Until what was killed runs again, and what the kill left unwritten is known."""
        if kill.cuts_work_short:
            rows = eventually(lambda: self._ask(UNSENT), seconds=BACK_SECONDS, what=f"the database after {kill}")
            kill.unsent = {address for (address,) in rows[0]}
            kill.until = time.time()
        if kill.how in ("whole", "main"):
            eventually(lambda: self._started_again(kill), seconds=BACK_SECONDS, what=f"{kill.victim} again")
        kill.away = time.time() - kill.at

    def _ask(self, query: str) -> list[list[tuple]]:
        self._check_supervisor()
        return [self.portal.rows(query)]

    def _check_supervisor(self) -> None:
        if not self.portal.supervisor_runs:
            raise Trouble(f"the supervisor ended:\n{self.portal.supervisor_log[-2000:]}")

    def _started_again(self, kill: Kill) -> bool:
        self._check_supervisor()
        return self.portal.leader(kill.victim) != kill.leader

    def _let_grow_up(self, victim: str) -> None:
        """Wait when the supervisor would soon give up on it: a worker also ends by itself when it loses its broker in
        a bad moment (kombu), and the supervisor counts that, too."""
        if self.portal.last_pause(victim) >= PATIENT_PAUSE:
            time.sleep(max(0.0, YOUNG_SECONDS - self.portal.age(victim)))

    def point(self) -> str:
        """What the jobs are at now."""
        rows = eventually(lambda: self._ask(POINT), seconds=BACK_SECONDS, what="the database")
        return ", ".join(f"{what} {number}" for what, number in rows[0])
