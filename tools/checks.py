"""`make test`: every check, with a list of how they went at the end.

All of them run, so that one answer tells everything; the exit code is 1 when any failed. The tests and the journeys run
side by side, since each of them waits for a good part of its time.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
JOBS = os.environ.get("JOBS", "2")
MEMORY = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Check:
    title: str
    command: list[str]


@dataclass(frozen=True)
class Result:
    title: str
    passed: bool
    seconds: float


STATIC = [
    Check("style (ruff check)", [PYTHON, "-m", "ruff", "check", "--quiet", "."]),
    Check("format (ruff format)", [PYTHON, "-m", "ruff", "format", "--check", "--quiet", "."]),
    Check("types (mypy)", [PYTHON, "-m", "mypy", "--no-error-summary", "."]),
    Check("templates (djlint)", [PYTHON, "-m", "djlint", "--lint", "--quiet", "--extension", "jinja", "."]),
    Check("migrations (makemigrations --check)", [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"]),
    Check("settings (check)", [PYTHON, "manage.py", "check", "--fail-level", "WARNING"]),
]
PYTEST = [PYTHON, "-m", "pytest", "-q", "-m", "not soak"]
TESTS = [
    # By groups: what shares a round or a server stays in one process, and groups, the longest, come first.
    Check("tests", [*PYTEST, "-n", JOBS, "--dist", "loadgroup", "--ignore", "tests/journeys", "tests"]),
    # In one order: they walk through one portal, whose people and mailboxes they share.
    Check("journeys in a browser", [*PYTEST, "-p", "no:randomly", "tests/journeys"]),
]


def main() -> int:
    if "--static" not in sys.argv:
        provide_browser()
    with tempfile.TemporaryDirectory(prefix="clinicportal-", dir=memory(), ignore_cleanup_errors=True) as data:
        # Servers of the checks' own. Hundreds of clones of a database on disk would take ten times as long.
        # What tests start themselves goes there too (TMPDIR): servers that write to disk wait for it most of the time.
        Path(data).chmod(0o755)
        os.environ["CLINICPORTAL_DATA_DIR"] = os.environ["TMPDIR"] = data
        results = [run(check) for check in STATIC]
        if "--static" not in sys.argv:
            results += run_together(TESTS)
    print()
    for result in results:
        print(f"{'ok  ' if result.passed else 'FAIL'} {result.title} ({result.seconds:.0f} s)")
    return 0 if all(result.passed for result in results) else 1


def memory() -> str | None:
    """A folder in memory where there is one; None: the usual temporary one."""
    return MEMORY if os.access(MEMORY, os.W_OK) else None


def run(check: Check, output: IO[bytes] | None = None) -> Result:
    """Run one check. What it says goes to `output`; None: straight to the console."""
    if output is None:
        print(f"\n== {check.title}", flush=True)
    began = time.monotonic()
    done = subprocess.run(check.command, cwd=ROOT, check=False, stdout=output, stderr=output and subprocess.STDOUT)
    return Result(check.title, done.returncode == 0, time.monotonic() - began)


def run_together(checks: list[Check]) -> list[Result]:
    """Run checks side by side. The first one is heard at once, the others after it, one by one."""
    first, *others = checks
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in others]
        beside = stack.enter_context(ThreadPoolExecutor(len(others)))
        running = [beside.submit(run, check, output) for check, output in zip(others, outputs, strict=True)]
        results = [run(first)]
        for check, output, future in zip(others, outputs, running, strict=True):
            results.append(future.result())
            output.seek(0)
            print(f"\n== {check.title}\n{output.read().decode(errors='replace')}", end="", flush=True)
    return results


def provide_browser() -> None:
    """Install Chromium where we may; where we may not, the journeys skip and say so."""
    if any(shutil.which(name) for name in BROWSERS):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print("No Chromium, and only root can install it: the journeys will be skipped. (apt-get install chromium)")
        return
    print("Install Chromium for the journeys (apt-get) ...", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
    for command in (["apt-get", "update", "--quiet"], install):
        if subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            print("Chromium could not be installed: the journeys will be skipped.")
            return


if __name__ == "__main__":
    sys.exit(main())
