"""`make reset`: forget the local data."""

import shutil
import sys
from pathlib import Path

from clinicportal.embedded.locks import Lock, Taken
from clinicportal.embedded.paths import ROOT, Paths
from clinicportal.embedded.servers import SERVERS
from clinicportal.embedded.sharing import read_record

# What is ours in a folder that somebody chose, which may hold other things too.
OURS = ("postgres", "postgres.new", "valkey", "tenant", "static", "logs", "run")


def reset() -> int:
    """Remove the local data, unless somebody uses them."""
    paths = Paths.from_environment()
    if not paths.run.exists():
        print(f"There are no data in {paths.data}.")
        return 0
    owner = Lock(paths.run / "owner.lock")
    record = read_record(paths)
    portal_runs = bool(record and record["address"])
    try:
        # A command that has just ended needs a moment to stop its servers.
        owner.acquire(timeout=0.2 if portal_runs else 5)
        _remove(paths)
    except Taken:
        print(f"The data in {paths.data} are in use: stop the portal (Ctrl-C), then reset.", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"{error.filename} belongs to another user: run this as the user who ran the portal.", file=sys.stderr)
        return 1
    print(f"Forgot the data in {paths.data}.")
    return 0


def _remove(paths: Paths) -> None:
    for name in SERVERS:
        if paths.sockets(name).exists():
            shutil.rmtree(paths.sockets(name))
    if paths.data == ROOT / ".data":
        shutil.rmtree(paths.data)
        return
    for name in OURS:
        if (paths.data / name).exists():
            shutil.rmtree(paths.data / name)
    _remove_if_empty(paths.data)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
