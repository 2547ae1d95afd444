"""Ends what a killed supervisor leaves behind.

The kernel tells the supervisor's children of its death (account.preparation), but not their children, and only on
Linux. This small process knows by the end of its standard input; it is run by path, with the standard library only.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

ALL_IS_WELL = b"done"


def main(run: Path, grace: float) -> None:
    """Wait for our parent's end; if it did not say that all is well, end the process groups it wrote down."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == ALL_IS_WELL:
        return
    # Those of now: whoever starts the portal again meanwhile writes groups of their own into the same files.
    groups = written(run)
    end_gently(run)
    deadline = time.monotonic() + grace
    while (groups := living(groups)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def end_gently(run: Path) -> None:
    """Do where the kernel does not: PostgreSQL shuts down cleanly on SIGINT, the others on SIGTERM."""
    if sys.platform == "linux":
        return
    for lock in run.glob("*.lock"):
        with contextlib.suppress(ValueError, ProcessLookupError, PermissionError):
            os.kill(int(lock.read_bytes()), signal.SIGINT if lock.name == "postgres.lock" else signal.SIGTERM)


def written(run: Path) -> set[int]:
    """Return the process groups in the lock files (see Child.lock)."""
    groups = set()
    for lock in run.glob("*.lock"):
        with contextlib.suppress(ValueError, FileNotFoundError):
            groups.add(int(lock.read_bytes()))
    return {group for group in groups if group > 1}


def living(groups: set[int]) -> set[int]:
    """Return those groups that still have a member."""
    found = set()
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, 0)
            found.add(group)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
