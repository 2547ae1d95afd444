"""`make run`: starts all of it in order, keeps it alive, stops all of it, and says what it does."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from clinicportal.embedded import guard
from clinicportal.embedded.account import CannotRunServers, preparation
from clinicportal.embedded.children import Child, StillRunning, rotate
from clinicportal.embedded.keeper import GaveUp, Keeper
from clinicportal.embedded.locks import Lock, Taken
from clinicportal.embedded.paths import ROOT
from clinicportal.embedded.portal import Portal, Step
from clinicportal.embedded.ports import PortProblem
from clinicportal.embedded.problems import Problems
from clinicportal.embedded.servers import Servers
from clinicportal.embedded.sharing import publish, read_record

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GUARD_GRACE = 10.0  # seconds for children to end by themselves when we were killed
WAIT_FOR_COMMANDS = 60.0  # seconds that a command may keep the servers for itself


class Failed(Exception):
    """The portal can't be started; the text says why."""


class Stopped(Exception):
    """Somebody asked for a stop while we were starting."""


def say(line: str) -> None:
    print(line, flush=True)


class Supervisor:
    """The parent of everything. One thread: the kernel ties the children's lives to the thread that forked them."""

    def __init__(self, portal: Portal):
        self.portal = portal
        self.paths = portal.paths
        self.keeper = Keeper(say)
        self.problems = Problems(say)
        self.owner = Lock(self.paths.run / "owner.lock")
        self.servers = Servers(self.paths, None, None)
        self.guard: subprocess.Popen[bytes] | None = None
        self.stops = 0

    def run(self) -> int:
        """Run until somebody stops us (0), something can't be kept alive (1) or a port is taken (2)."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._count_stop)
        try:
            self._take_ownership()
            self.portal.ports.check(with_tenant=self.portal.with_tenant)
        except (Failed, PortProblem) as sentence:
            print(sentence, file=sys.stderr, flush=True)
            return 2 if isinstance(sentence, PortProblem) else 1
        try:
            self._start()
            self._watch()
        except Stopped:
            return 0
        except (Failed, GaveUp, CannotRunServers, StillRunning, OSError) as sentence:
            print(f"{sentence}\nStopping everything.", file=sys.stderr, flush=True)
            return 1
        finally:
            self._stop()

    def _count_stop(self, *_: object) -> None:
        self.stops += 1

    def _take_ownership(self) -> None:
        self.paths.create()
        with suppress(Taken):
            self.owner.acquire(timeout=1)
            return
        record = read_record(self.paths)
        if record is None or record["address"]:
            where = f" at {record['address']}" if record else ""
            raise Failed(f"The portal already runs{where} (its data are in {self.paths.data}).")
        say(f"Waiting for a command that uses the database in {self.paths.data} ...")
        try:
            self.owner.acquire(timeout=WAIT_FOR_COMMANDS)
        except Taken:
            raise Failed("The command still runs: end it, then start the portal again.") from None

    def _start(self) -> None:
        began = time.monotonic()
        self.paths.services.unlink(missing_ok=True)
        self._set_guard()
        self.servers = Servers.needed(self.paths)
        if not (self.paths.data / "postgres").exists() and self.servers.postgres:
            say("Make the database ...")
        for child in self.servers.start():
            self.problems.follow(child.log)
            self.keeper.keep(child)
        publish(self.paths, self.servers.services(), address=self.portal.address)
        tenant, processes = self.portal.tenant(), self.portal.processes()
        self._launch(tenant)
        for step in self.portal.steps():
            if step.needs_tenant:
                self._await(tenant)
            self._do(step)
        self._launch(processes)
        self._await(tenant + processes)
        say(f"Started in {time.monotonic() - began:.0f} s.\n\n{self.portal.welcome}")

    def _set_guard(self) -> None:
        # Numbers from before a crash of the machine belong to strangers now.
        for lock in self.paths.run.glob("*.lock"):
            if not Lock(lock).held_by_anyone:
                lock.write_bytes(b"")
        command = [sys.executable, "-I", "-S", guard.__file__, str(self.paths.run), str(GUARD_GRACE)]
        self.guard = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def _dismiss_guard(self) -> None:
        if self.guard is not None:
            with suppress(BrokenPipeError):
                self.guard.communicate(guard.ALL_IS_WELL)

    def _launch(self, children: list[Child]) -> None:
        for child in children:
            self._check_stop()
            rotate(child.log)
            child.start()
            self.problems.follow(child.log)
            self.keeper.keep(child)

    def _await(self, children: list[Child]) -> None:
        for child in children:
            self._await_one(child)

    def _await_one(self, child: Child) -> None:
        announced = _Announcement(f"Waiting for {child.name}")
        while not child.wait_ready(timeout=0.5):
            self._check_stop()
            announced.tick()
            if not child.runs or child.age > child.ready_timeout:
                raise Failed(f"{child.name} did not start. The end of {child.log}:\n{child.last_words(15)}")

    def _do(self, step: Step) -> None:
        """Run one command to its end, saying so if that takes long."""
        self._check_stop()
        announced = _Announcement(step.title)
        with step.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                step.argv,
                env=dict(step.env),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=preparation(None, signal.SIGKILL),
            )
        try:
            while process.poll() is None:
                self._check_stop()
                announced.tick()
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        announced.done()
        if process.returncode != 0:
            words = "\n".join(step.log.read_text(errors="replace").splitlines()[-15:])
            raise Failed(f"{step.title}: failed. The end of {step.log}:\n{words}")
        if step.done:
            step.done.touch()

    def _watch(self) -> NoReturn:
        while True:
            self._check_stop()
            self.keeper.tick()
            self.problems.tick()
            time.sleep(0.1)

    def _check_stop(self) -> None:
        if self.stops:
            raise Stopped

    def _stop(self) -> None:
        asked = self.stops
        if asked:
            say("Stopping (press Ctrl-C again to stop at once) ...")
        self.paths.services.unlink(missing_ok=True)
        self.keeper.stop(hurry=lambda: self.stops > max(asked, 1))
        self.servers.clean_up()
        self._dismiss_guard()
        self.owner.release()
        say("Stopped.")


class _Announcement:
    """Says what is going on once it has gone on for two seconds, and again every ten."""

    def __init__(self, title: str, now: Callable[[], float] = time.monotonic):
        self.title, self.now, self.began = title, now, now()
        self.next = self.began + 2

    def tick(self) -> None:
        if self.now() >= self.next:
            say(f"{self.title} ... {self.now() - self.began:.0f} s")
            self.next = self.now() + 10

    def done(self) -> None:
        if self.now() >= self.began + 2:
            say(f"{self.title}: done in {self.now() - self.began:.1f} s")


def up(kind: type[Portal] = Portal) -> int:
    """Run the portal of this environment."""
    try:
        portal = kind.from_environment()
    except PortProblem as sentence:
        print(sentence, file=sys.stderr)
        return 2
    return Supervisor(portal).run()
