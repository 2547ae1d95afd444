"""Where one machine keeps its local data, and the rules for who may enter there."""

import contextlib
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# sun_path holds 108 bytes with its closing zero; PostgreSQL appends the longest name, ".s.PGSQL.NNNNN".
LONGEST_SOCKET_DIRECTORY = 107 - len("/.s.PGSQL.65535")


@dataclass(frozen=True)
class Paths:
    """The folders below CLINICPORTAL_DATA_DIR (`.data`)."""

    data: Path

    @classmethod
    def from_environment(cls) -> "Paths":
        chosen = os.environ.get("CLINICPORTAL_DATA_DIR") or ROOT / ".data"
        return cls(Path(os.path.abspath(chosen)))

    @property
    def run(self) -> Path:
        return self.data / "run"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def tenant(self) -> Path:
        return self.data / "tenant"

    @property
    def secrets(self) -> Path:
        return self.run / "secrets.json"

    @property
    def services(self) -> Path:
        return self.run / "services.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the folders: closed to others, except that root's server account must pass through to its own."""
        mode = 0o711 if os.geteuid() == 0 else 0o700
        self.data.mkdir(mode=mode, parents=True, exist_ok=True)
        self.run.mkdir(mode=mode, exist_ok=True)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def sockets(self, name: str) -> Path:
        """Return the folder for a server's socket: in `.data/run`, or where that path would be too long, a short one.

        Always the same for the same data folder, so that an address is known before its server runs.
        """
        wanted = self.run / name
        if len(os.fsencode(wanted)) <= LONGEST_SOCKET_DIRECTORY:
            return wanted
        mark = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"clinicportal-{os.geteuid()}-{mark}-{name}"


def make_private(folder: Path, owner: int) -> None:
    """Make `folder` exist, owned by user id `owner` and closed to others.

    Raises PermissionError for one that somebody else made first: in a shared temporary folder its name can be guessed.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()) or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a private folder of ours: remove it.")
    hand_over(folder, owner)


def hand_over(path: Path, owner: int) -> None:
    """Make `path` belong to user id `owner`, when it doesn't yet."""
    if path.stat().st_uid != owner:
        os.chown(path, owner, -1)
