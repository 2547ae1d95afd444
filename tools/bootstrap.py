"""Sets up what is missing, from nothing but Python: `bootstrap.py local` to run the portal, `dev` to test it.

A stamp holds what was installed, so that a second run takes no time.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this sentence is for an older Python
    sys.exit(
        "clinicportal needs Python 3.11 or newer, and this is {}.{}: install one, then say where it is with "
        "make PYTHON=/path/to/python3.11".format(*sys.version_info)
    )

import fcntl
import hashlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import assets
from tools.packages import ROOT, SetupFailed, environment, install

VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else "local"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once take turns
        set_up_packages(wanted)
        assets.fetch()


def set_up_packages(wanted: str) -> None:
    """Install requirements-WANTED.txt, unless it is installed. What the tests need holds all that a run needs."""
    if _installed("dev") or _installed(wanted):
        return
    stamp = VENV / ".installed"
    stamp.unlink(missing_ok=True)
    python = environment(VENV)
    install(python, _requirements(wanted))
    stamp.write_text(_digest(wanted))


def _installed(kind: str) -> bool:
    stamp = VENV / ".installed"
    return (VENV / "bin" / "python").exists() and stamp.exists() and stamp.read_text() == _digest(kind)


def _digest(kind: str) -> str:
    seen = hashlib.sha256(_requirements(kind).read_bytes() + f"{kind} {sys.version_info[:2]}".encode())
    return seen.hexdigest()


def _requirements(kind: str) -> Path:
    return ROOT / f"requirements-{kind}.txt"


if __name__ == "__main__":
    try:
        main()
    except SetupFailed as sentence:
        sys.exit(f"{sentence}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; the next run goes on from here.")
