"""A portal of its own under the real supervisor, seen from outside: its processes, its database, its tenant."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests

from bench.place import DISK, Place, place

VICTIMS = ("worker", "beat", "broker", "database", "web")
LOCKS = {"web": "web", "worker": "worker", "beat": "beat", "broker": "valkey", "database": "postgres"}
"""What we call a process -> what the supervisor calls its record of it (run/NAME.lock)."""
HARNESS = "kill matrix"
"""application_name of our own connections, so that they are never taken for the portal's."""


class Trouble(Exception):
    """The harness cannot go on; the text says what it waited for."""


def eventually(check: Callable[[], Any], *, seconds: float, what: str, every: float = 0.05) -> Any:
    """The first true value of `check()`. Raises Trouble when there is none in time; connections may fail meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(psycopg.OperationalError, requests.ConnectionError):
            if value := check():
                return value
        time.sleep(every)
    raise Trouble(f"{what}: not within {seconds:g} s")


@dataclass
class Portal:
    """A running portal. The tenant's process is the outside world and is never killed."""

    here: Place
    addresses: dict[str, str]

    # ---------------------------------------------------------------- the database

    def connect(self, role: str = "worker") -> psycopg.Connection:
        """A connection as `role`, which no timeout of the role ends while we hold a lock on purpose."""
        return psycopg.connect(
            self.addresses[f"database_{role}_url"], autocommit=True, connect_timeout=3, application_name=HARNESS,
            options="-c idle_in_transaction_session_timeout=0 -c statement_timeout=10s",
        )  # fmt: skip

    def rows(self, query: str, *parameters: Any, role: str = "worker") -> list[tuple]:
        with self.connect(role) as connection:
            return connection.execute(query, parameters).fetchall()

    def database_answers(self) -> bool:
        return bool(self.rows("SELECT 1"))

    # ---------------------------------------------------------------- the tenant

    def read(self, what: str = "") -> Any:
        answer = requests.get(f"{self.here.tenant}/_control/{what}", timeout=10)
        answer.raise_for_status()
        return answer.json()

    def tell(self, what: str, **arguments: Any) -> Any:
        answer = requests.post(f"{self.here.tenant}/_control/{what}", json=arguments, timeout=10)
        if not answer.ok:
            raise Trouble(f"{what}: {answer.text}")
        return answer.json()

    # ---------------------------------------------------------------- processes

    def leader(self, victim: str) -> int:
        """The process that the supervisor started last under this name."""
        return int((self.here.data / "run" / f"{LOCKS[victim]}.lock").read_text() or 0)

    def family(self, victim: str) -> list[int]:
        """The process and its descendants, parents first."""
        parents = _parents()
        found = [self.leader(victim)]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def web_answers(self) -> bool:
        return requests.get(f"http://127.0.0.1:{self.here.port}/health/live", timeout=3).status_code == 200

    def age(self, victim: str) -> float:
        """Seconds since the process was started; 0 when it is gone."""
        facts = _facts(self.leader(victim))
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return uptime - int(facts[19]) / os.sysconf("SC_CLK_TCK") if facts else 0.0

    def last_pause(self, victim: str) -> float:
        """Seconds that the supervisor waited before it last started the process again: more after each early death."""
        said = re.findall(rf"^{LOCKS[victim]} .*; starting it again in ([\d.]+) s", self.supervisor_log, re.MULTILINE)
        return float(said[-1]) if said else 0.0

    @property
    def supervisor_log(self) -> str:
        return (self.here.data / "up.log").read_text(errors="replace")

    @property
    def supervisor_runs(self) -> bool:
        return self.here.supervisor.poll() is None

    def log(self, name: str) -> str:
        return (self.here.data / "logs" / f"{name}.log").read_text(errors="replace")


def send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_gone(pids: list[int], *, seconds: float = 10) -> None:
    """Until the processes run no more; a zombie does not."""
    eventually(lambda: not any(_runs(pid) for pid in pids), seconds=seconds, what=f"the end of {pids}", every=0.01)


def _parents() -> dict[int, int]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (facts := _facts(int(folder.name))):
            found[int(folder.name)] = int(facts[1])
    return found


def _runs(pid: int) -> bool:
    facts = _facts(pid)
    return facts is not None and facts[0] not in ("Z", "X")


def _facts(pid: int) -> list[str] | None:
    """State, parent and the rest of /proc/PID/stat after the name, which may hold anything (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def one_child(family: list[int], rng: random.Random) -> list[int]:
    return [rng.choice(family[1:])] if family[1:] else family


@contextmanager
def portal(folder: str, **settings: str) -> Iterator[Portal]:
    """A fresh portal whose data are in `folder`, with the demo's partners and their sponsors in it."""
    with place(folder, **settings) as here:
        yield Portal(here, here.services())


def memory() -> str:
    """A folder in memory where there is one: the sample looks at what is lost with a process, not with the power."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else DISK
