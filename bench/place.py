"""A data directory, servers and a portal of the benchmark's own."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
SYNTHEA = ROOT.parent / "shared" / "fhir" / "synthea"

PRINT_SERVICES = """
import dataclasses, json
from clinicportal import embedded
print(json.dumps(dataclasses.asdict(embedded.services())))
"""


def free_ports(number: int) -> int:
    """The first of `number` neighbouring ports that nothing listens on: chosen at random, since others choose too, and
    below those that the kernel gives to anybody's connections, so that a process can have its port again."""
    for base in (10_000 + secrets.randbelow(20_000) for _attempt in range(1000)):
        probes = []
        try:
            for port in range(base, base + number):
                probe = socket.socket()
                probes.append(probe)
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return base
    raise RuntimeError("no free ports")


@dataclasses.dataclass
class Place:
    """Where a benchmark, or a round of kills, runs."""

    data: Path
    port: int
    environment: dict[str, str]
    supervisor: subprocess.Popen[bytes]
    """Everything else descends from it."""

    @property
    def pid(self) -> int:
        return self.supervisor.pid

    @property
    def url(self) -> str:
        return f"http://portal.localhost:{self.port}"

    @property
    def tenant(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}"

    def cpu(self) -> Counter[str]:
        """Milliseconds of processor time that each part has used, its children that ended included."""
        processes: dict[int, tuple[int, int, str, str]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                name, _, rest = stat.read_text().rpartition(")")
                fields = rest.split()
                command = stat.with_name("cmdline").read_text().replace("\0", " ")
                processes[int(stat.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])), name, command)
        found: Counter[str] = Counter()
        for pid, (_parent, ticks, name, command) in processes.items():
            if self.pid in ancestors(pid, processes):
                found[part_of(name, command)] += ticks * 1000 // os.sysconf("SC_CLK_TCK")
        return found

    def services(self) -> dict[str, str]:
        return json.loads(self.python("-c", PRINT_SERVICES))

    def python(self, *arguments: str, process: str = "web", quiet: bool = True) -> str:
        """Run Python in the portal's environment; return what it printed."""
        environment = {**self.environment, "CLINICPORTAL_PROCESS": process}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)[:200]} failed:\n{done.stdout}\n{done.stderr or ''}")
        return done.stdout


def environment_for(data: Path, port: int) -> dict[str, str]:
    """The environment of a portal of one's own: nothing of ours that the caller's has."""
    foreign = ("ENTRA_", "DATABASE_", "CLINICPORTAL_", "REDIS_", "DJANGO_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **inherited,
        "DJANGO_SETTINGS_MODULE": "clinicportal.settings",
        "CLINICPORTAL_DATA_DIR": str(data),
        "PORT": str(port),
        "TENANT_PORT": str(port + 1),
    }


def ancestors(pid: int, processes: dict[int, tuple[int, int, str, str]]) -> set[int]:
    found = set()
    while pid in processes and pid not in found:
        found.add(pid)
        pid = processes[pid][0]
    return found


def part_of(name: str, command: str) -> str:
    words = {"devtenant": "devtenant", " worker ": "worker", " beat ": "beat", "granian": "web", "valkey": "valkey"}
    for word, part in words.items():
        if word in command:
            return part
    return "postgres" if "postgres" in name or "postgres" in command else "other"


DISK = "/var/tmp"  # noqa: S108 - a folder of our own is made in it


@contextmanager
def place(folder: str = DISK, **settings: str) -> Iterator[Place]:
    """A running portal with its demo, or with what `settings` (environment variables) say.

    Its data are made in `folder`: on disk unless told, since syncing counts.
    """
    data = Path(tempfile.mkdtemp(prefix="clinicportal-own-", dir=folder))
    data.chmod(0o755)
    port = free_ports(4)
    environment = {**environment_for(data, port), **settings}
    log = (data / "up.log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "clinicportal.embedded", "up"],
        cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(process, data / "up.log")
        yield Place(data, port, environment, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        shutil.rmtree(data, ignore_errors=True)


def wait_for(process: subprocess.Popen[bytes], log: Path, seconds: int = 300) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the portal did not start:\n{log.read_text()}")
        if "The portal is at" in log.read_text():
            return
        time.sleep(0.2)
    raise SystemExit(f"the portal was not ready after {seconds} s:\n{log.read_text()}")
