"""`make test`: every check, one after the other, with a list of how they went at the end.

All of them run, so that one answer tells everything; the exit code is 1 when any failed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
JOBS = os.environ.get("JOBS", "2")
MEMORY = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Check:
    title: str
    command: list[str]


STATIC = [
    Check("style (ruff check)", [PYTHON, "-m", "ruff", "check", "--quiet", "."]),
    Check("format (ruff format)", [PYTHON, "-m", "ruff", "format", "--check", "--quiet", "."]),
    Check("types (mypy)", [PYTHON, "-m", "mypy", "--no-error-summary", "."]),
    Check("templates (djlint)", [PYTHON, "-m", "djlint", "--lint", "--quiet", "--extension", "jinja", "."]),
    Check("migrations (makemigrations --check)", [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"]),
    Check("settings (check)", [PYTHON, "manage.py", "check", "--fail-level", "WARNING"]),
]
TESTS = [
    Check(
        "tests",
        [PYTHON, "-m", "pytest", "-q", "-n", JOBS, "-m", "not soak", "--ignore", "tests/journeys", "tests"],
    ),
    # In one order: they walk through one portal, whose people and mailboxes they share.
    Check(
        "journeys in a browser", [PYTHON, "-m", "pytest", "-q", "-p", "no:randomly", "-m", "not soak", "tests/journeys"]
    ),
]


def main() -> int:
    checks = STATIC if "--static" in sys.argv else STATIC + TESTS
    if checks is not STATIC:
        provide_browser()
    with tempfile.TemporaryDirectory(prefix="clinicportal-", dir=memory(), ignore_cleanup_errors=True) as data:
        # Servers of the checks' own. Hundreds of clones of a database on disk would take ten times as long.
        Path(data).chmod(0o755)
        os.environ["CLINICPORTAL_DATA_DIR"] = data
        results = [(check.title, *run(check)) for check in checks]
    print("\n" + "\n".join(f"{'ok  ' if passed else 'FAIL'} {title} ({took:.0f} s)" for title, passed, took in results))
    return 0 if all(passed for _, passed, _ in results) else 1


def memory() -> str | None:
    """A folder in memory where there is one; None: the usual temporary one."""
    return MEMORY if os.access(MEMORY, os.W_OK) else None


def run(check: Check) -> tuple[bool, float]:
    print(f"\n== {check.title}", flush=True)
    began = time.monotonic()
    done = subprocess.run(check.command, cwd=ROOT, check=False)
    return done.returncode == 0, time.monotonic() - began


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
