"""Advisory locks that the kernel lets go of when their holder dies, however it dies."""

import fcntl
import os
import time
from pathlib import Path


class Taken(Exception):
    """Somebody else holds the lock."""


class Lock:
    """One flock on one file. The descriptor is not inherited unless it is passed on purpose."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, shared: bool = False, timeout: float | None = 0) -> None:
        """Take the lock, waiting `timeout` seconds (None: for ever). Raises Taken."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, mode | (fcntl.LOCK_NB if timeout is not None else 0))
            except BlockingIOError:
                if deadline is not None and time.monotonic() >= deadline:
                    os.close(descriptor)
                    raise Taken(self.path.name) from None
                time.sleep(0.05)
            else:
                self._descriptor = descriptor
                return

    def release(self) -> None:
        """Let go. A child that was given the descriptor keeps the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def fileno(self) -> int:
        if self._descriptor is None:
            raise ValueError("not held")
        return self._descriptor

    @property
    def held_by_anyone(self) -> bool:
        probe = Lock(self.path)
        try:
            probe.acquire()
        except Taken:
            return True
        probe.release()
        return False
