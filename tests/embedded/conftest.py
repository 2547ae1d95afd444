"""Each test has a data folder of its own, and looks at the end that no process of it is left."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clinicportal.embedded.locks import Lock

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable]


def eventually(condition, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def nothing_runs(data: Path) -> bool:
    """Tell by the locks that every process inherits whether all of this data folder's are gone."""
    return not any(Lock(lock).held_by_anyone for lock in (data / "run").glob("*.lock"))


@contextmanager
def data_folder() -> Iterator[Path]:
    """A data folder. Not below pytest's own, which is closed to the servers' account when root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="cp-"))
    folder.chmod(0o711)
    yield folder
    gone = eventually(lambda: nothing_runs(folder))
    shutil.rmtree(folder)
    assert gone, "processes were left"


@pytest.fixture
def data() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


def free_port(following: int = 0) -> int:
    """A port that is free, with as many after it: below those that the kernel gives to anybody's connections."""
    while True:
        # Not `random`, which pytest-randomly seeds alike in each of its processes.
        first = 10_000 + secrets.randbelow(20_000)
        if all(_can_listen(port) for port in range(first, first + following + 1)):
            return first


def _can_listen(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def environment_for(data: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_", "ENTRA_"))}
    return {
        **kept,
        "CLINICPORTAL_DATA_DIR": str(data),
        "PORT": str(free_port()),
        "TENANT_PORT": str(free_port(2)),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def environment(data: Path) -> dict[str, str]:
    return environment_for(data)


class Process(subprocess.Popen):
    """A Python process whose output can be waited for."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path):
        self.log = log
        with log.open("wb") as out:
            super().__init__(
                PYTHON + arguments, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def says(self, text: str, seconds: float = 30) -> bool:
        eventually(lambda: text in self.output or self.poll() is not None, seconds)
        return text in self.output


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Iterator:
    """Start Python with arguments; what is still running at the end is killed."""
    started: list[Process] = []

    def start(*arguments: str, **more: str) -> Process:
        process = Process(list(arguments), {**environment, **more}, tmp_path / f"{len(started)}.log")
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
