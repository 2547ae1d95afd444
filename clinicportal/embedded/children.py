"""One child process: started so that it can't outlive us, watched, stopped without leftovers."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clinicportal.embedded.account import Account, preparation
from clinicportal.embedded.locks import Lock, Taken

KEPT_LOGS = 3


class StillRunning(Exception):
    """A process of an earlier run would not go away."""


@dataclass
class Child:
    """A process and all that is needed to start it again.

    `lock` is inherited by the process and its descendants and names its process group: while anyone holds it, the
    earlier generation is not gone, and starting another one (on the same files) would do harm.
    """

    name: str
    argv: list[str]
    log: Path
    lock: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 10
    ready: Callable[[], bool] | None = None
    ready_timeout: float = 60
    healthy: Callable[[], bool] | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    started_at: float = 0
    answered: bool = False  # since it was started

    def start(self) -> None:
        """Start the process, after what is left of an earlier one is gone."""
        generation = self._take_over()
        try:
            with self.log.open("ab") as log:
                # preexec_fn is safe here: the callers have one thread.
                self.process = subprocess.Popen(  # noqa: S603
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self.env) if self.env is not None else None,
                    cwd=self.cwd,
                    start_new_session=True,  # Ctrl-C is for the parent, which stops the children in order
                    pass_fds=[generation.fileno()],
                    preexec_fn=preparation(self.account, self.death_signal),
                )
            os.pwrite(generation.fileno(), b"%-10d" % self.process.pid, 0)
        finally:
            generation.release()
        self.started_at, self.answered = time.monotonic(), False

    def _take_over(self) -> Lock:
        lock = Lock(self.lock)
        for last_resort in (False, True):
            try:
                lock.acquire(timeout=self.stop_timeout)
                return lock
            except Taken:
                if last_resort:
                    raise StillRunning(
                        f"An earlier {self.name} (process group {self._group()}) does not end."
                    ) from None
                # The lock being held proves that this group is ours, and not a stranger with a reused number.
                self._signal_group(signal.SIGKILL, self._group())
        raise AssertionError

    def _group(self) -> int:
        return int(self.lock.read_bytes() or b"0")

    def exit_code(self) -> int | None:
        return self.process.poll() if self.process else None

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def age(self) -> float:
        return time.monotonic() - self.started_at

    def ask_to_stop(self) -> None:
        if self.runs and self.process:
            self.process.send_signal(self.stop_signal)

    def wait_stopped(self, timeout: float) -> None:
        """Wait for the process to end, and end it and its descendants if it doesn't within `timeout` seconds."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """End the process and its descendants at once."""
        if self.process is None:
            return
        self._signal_group(signal.SIGKILL, self.process.pid)
        self.process.wait()

    def stop(self) -> None:
        self.ask_to_stop()
        self.wait_stopped(self.stop_timeout)

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until the process answers; False when it died or did not within `timeout` seconds."""
        deadline = time.monotonic() + (self.ready_timeout if timeout is None else timeout)
        while self.runs and time.monotonic() < deadline:
            if self.answered or self.ready is None or self.ready():
                self.answered = True
                return True
            time.sleep(0.05)
        return False

    def last_words(self, lines: int = 8) -> str:
        """The end of the log, for a person who must know why it failed."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    @staticmethod
    def _signal_group(number: signal.Signals, group: int) -> None:
        if group > 1:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)


def rotate(log: Path, *, above: int = 0) -> None:
    """Put an old log aside when it holds more than `above` bytes: NAME.log becomes NAME.log.1, and so on."""
    if not log.exists() or log.stat().st_size <= above:
        return
    for number in range(KEPT_LOGS - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))
