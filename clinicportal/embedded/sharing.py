"""How processes share one set of servers: join those that run, or start them, and stop them with the last user.

Three locks in `.data/run`, all let go of by the kernel when their holder dies:

- owner.lock: held by the process whose children the servers are (a `make run`, or a holder, see `hold`).
- users.lock: shared by every process that was given a holder's servers; the holder stops when nobody has it.
- start.lock: held while joining or starting, so that two commands at once start one holder.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

from clinicportal.embedded.account import CannotRunServers
from clinicportal.embedded.children import StillRunning
from clinicportal.embedded.keeper import GaveUp, Keeper
from clinicportal.embedded.locks import Lock, Taken
from clinicportal.embedded.paths import ROOT, Paths
from clinicportal.embedded.secrets import write_private
from clinicportal.embedded.servers import Servers
from clinicportal.embedded.services import Services

START_TIMEOUT = 120.0  # seconds; a first start makes the cluster, on a slow disk

_joined: Services | None = None
_users_lock: Lock | None = None  # held until this process ends


def ensure() -> Services:
    """Return the addresses of PostgreSQL and Valkey, starting servers that are needed and don't run yet.

    What the environment names is taken as it is. Servers of a running `make run` are joined; otherwise they are
    started for this process and whoever joins before it ends, and stop with the last of them.
    Raises CannotRunServers.
    """
    global _joined
    if _joined is None:
        needed = {"DATABASE_URL", "REDIS_URL"} - os.environ.keys()
        _joined = Services.from_environment(_join_or_start(Paths.from_environment()) if needed else {})
        if missing := sorted(name for name in needed if not getattr(_joined, name.lower())):
            raise CannotRunServers(
                f"The portal that runs here was started with {' and '.join(missing)} set: set it for this command too."
            )
    return _joined


def services() -> Services:
    """Return the addresses without starting anything: where the servers run now, or will once `ensure` is called."""
    if _joined is not None:
        return _joined
    paths = Paths.from_environment()
    return Services.from_environment(_published(paths) or asdict(Servers.needed(paths).services()))


def _join_or_start(paths: Paths) -> dict[str, str]:
    global _users_lock
    paths.create()
    start = Lock(paths.run / "start.lock")
    users = Lock(paths.run / "users.lock")
    try:
        start.acquire(timeout=START_TIMEOUT)
        users.acquire(shared=True, timeout=START_TIMEOUT)  # waits while a holder is stopping
    except Taken as lock:
        raise CannotRunServers(f"Another command keeps {paths.run / str(lock)}: wait for it, or end it.") from None
    _users_lock = users
    try:
        found = _published(paths, wait=Lock(paths.run / "owner.lock").held_by_anyone)
        if found is None:
            _start_holder(paths)
            found = _published(paths)
        if found is None:
            raise CannotRunServers(f"The servers stopped again; see {paths.logs}.")
        return found
    finally:
        start.release()


def _published(paths: Paths, *, wait: bool = False) -> dict[str, str] | None:
    """Return the addresses that a living owner has written down; with `wait`, give it time to start."""
    owner = Lock(paths.run / "owner.lock")
    deadline = time.monotonic() + (START_TIMEOUT if wait else 0)
    while paths.run.exists() and owner.held_by_anyone:
        if record := read_record(paths):
            return record["services"]
        if time.monotonic() >= deadline:
            break
        time.sleep(0.1)
    return None


def read_record(paths: Paths) -> dict | None:
    """Return what the owner published, or None. It means something only while owner.lock is held."""
    try:
        return json.loads(paths.services.read_text())
    except (FileNotFoundError, ValueError):
        return None
    except PermissionError:
        raise CannotRunServers(
            f"The servers in {paths.data} belong to another user: run this command as them."
        ) from None


def publish(paths: Paths, found: Services, *, address: str = "") -> None:
    """Write down where the servers answer, for those who join. `address` is the portal's, if there is one."""
    record = {"pid": os.getpid(), "address": address, "services": asdict(found)}
    write_private(paths.services, json.dumps(record))


def _start_holder(paths: Paths) -> None:
    command = [sys.executable, "-m", "clinicportal.embedded", "hold"]
    env = {**os.environ, "CLINICPORTAL_DATA_DIR": str(paths.data)}
    with paths.log("holder").open("ab") as log:
        holder = subprocess.Popen(  # noqa: S603
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert holder.stdout is not None  # noqa: S101
    with holder.stdout as answers:
        answer = answers.read().decode()
    if answer.strip() != "ready":
        holder.wait()
        raise CannotRunServers(answer.strip() or f"The servers did not start; see {paths.log('holder')}.")


def hold() -> int:
    """Run the servers until nobody uses them. The answer to who started us is all we write to stdout.

    A process of its own, so that the command that came first can end before those that joined it; and when it is
    killed, the servers go with it.
    """
    paths = Paths.from_environment()
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    keeper = Keeper(say=lambda line: print(line, file=sys.stderr, flush=True))
    owner = Lock(paths.run / "owner.lock")
    try:
        owner.acquire(timeout=2)
        paths.services.unlink(missing_ok=True)
        servers = Servers.needed(paths)
        for child in servers.start():
            keeper.keep(child)
        publish(paths, servers.services())
    except (CannotRunServers, StillRunning, Taken, OSError) as error:
        keeper.stop()
        print(error, flush=True)
        return 1
    print("ready", flush=True)
    _close_stdout()
    users = Lock(paths.run / "users.lock")
    try:
        while not stopping and not _nobody_holds(users):
            keeper.tick()
            time.sleep(0.1)
    except GaveUp as sentence:
        print(sentence, file=sys.stderr, flush=True)
        return 1
    finally:
        paths.services.unlink(missing_ok=True)
        keeper.stop()
        servers.clean_up()
    return 0


def _close_stdout() -> None:
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _nobody_holds(users: Lock) -> bool:
    """Take the users' lock if it is free, and keep it: who comes now waits until we are gone."""
    try:
        users.acquire()
    except Taken:
        return False
    return True
