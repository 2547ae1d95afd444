"""Keeps children alive: restarts what dies or hangs, says so, and gives up aloud rather than half-live."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from clinicportal.embedded.children import Child, StillRunning

QUICK = 10.0  # seconds; a child that dies sooner after its start has not recovered
ENOUGH = 5  # quick deaths in a row
PROBE_EVERY = 5.0
PROBES_MISSED = 6
LONGEST_PAUSE = 8.0


class GaveUp(Exception):
    """A child can't be kept alive; the text says which and where to look."""


@dataclass
class Ward:
    """A child under care, with its history."""

    child: Child
    quick_deaths: int = 0
    restart_at: float | None = None
    probe_at: float = 0
    missed: int = 0


@dataclass
class Keeper:
    """Watches the children it was given, in the order they were started."""

    say: Callable[[str], None]
    wards: list[Ward] = field(default_factory=list)

    def keep(self, child: Child) -> None:
        """Take a child that has been started into care."""
        self.wards.append(Ward(child, probe_at=time.monotonic() + PROBE_EVERY))

    def tick(self) -> None:
        """Look after everyone once. Raises GaveUp."""
        for ward in self.wards:
            if ward.restart_at is not None:
                self._restart_when_due(ward)
            elif not ward.child.runs:
                self._plan_restart(ward, _cause_of_death(ward.child))
            else:
                self._probe_when_due(ward)

    def _plan_restart(self, ward: Ward, cause: str) -> None:
        child = ward.child
        child.kill()  # descendants that outlived it would hold its port
        ward.quick_deaths = ward.quick_deaths + 1 if child.age < QUICK else 1
        if ward.quick_deaths >= ENOUGH:
            raise GaveUp(
                f"{child.name} {cause}, {ENOUGH} times in a row. The end of {child.log}:\n{child.last_words()}"
            )
        pause = min(0.25 * 2**ward.quick_deaths, LONGEST_PAUSE)
        self.say(f"{child.name} {cause}; starting it again in {pause:g} s (see {child.log})")
        ward.restart_at = time.monotonic() + pause

    def _restart_when_due(self, ward: Ward) -> None:
        if time.monotonic() < (ward.restart_at or 0):
            return
        ward.restart_at, ward.missed = None, 0
        ward.probe_at = time.monotonic() + PROBE_EVERY
        try:
            ward.child.start()
        except (StillRunning, OSError) as error:
            raise GaveUp(f"{ward.child.name} cannot be started again: {error}") from error

    def _probe_when_due(self, ward: Ward) -> None:
        child, now = ward.child, time.monotonic()
        if child.healthy is None or now < ward.probe_at:
            return
        if child.healthy():
            ward.missed, child.answered = 0, True
        elif child.answered or child.age > child.ready_timeout:
            ward.missed += 1
        ward.probe_at = time.monotonic() + PROBE_EVERY
        if ward.missed >= PROBES_MISSED:
            self._plan_restart(ward, f"runs but has not answered for {PROBE_EVERY * PROBES_MISSED:g} s")

    def stop(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop everyone, the last started first. When `hurry` turns true, what is left is killed."""
        for ward in reversed(self.wards):
            ward.child.ask_to_stop()
            deadline = time.monotonic() + ward.child.stop_timeout
            while ward.child.runs and time.monotonic() < deadline and not hurry():
                time.sleep(0.02)
            ward.child.kill()
        self.wards.clear()


def _cause_of_death(child: Child) -> str:
    code = child.exit_code() or 0
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
