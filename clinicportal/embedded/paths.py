"""Where one machine keeps its local data, and the rules for who may enter there."""

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

    def socket_directory(self, name: str, owner: int) -> Path:
        """Return a private folder, owned by user id `owner`, whose path is short enough for a socket.

        A checkout deep in the file system gets a folder in the machine's temporary one instead.
        """
        wanted = self.run / name
        if len(os.fsencode(wanted)) <= LONGEST_SOCKET_DIRECTORY:
            wanted.mkdir(mode=0o700, exist_ok=True)
            hand_over(wanted, owner)
            return wanted
        return self._short_directory(name, owner)

    def _short_directory(self, name: str, owner: int) -> Path:
        # The same name each time, so that a restart cleans up after a crash; but that name can be guessed, so a
        # folder somebody else put there is not used.
        mark = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:10]
        short = Path(tempfile.gettempdir()) / f"clinicportal-{os.geteuid()}-{mark}-{name}"
        try:
            short.mkdir(mode=0o700)
            hand_over(short, owner)
        except FileExistsError:
            found = short.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) & 0o077:
                short = Path(tempfile.mkdtemp(prefix="clinicportal-"))
                hand_over(short, owner)
        return short


def hand_over(path: Path, owner: int) -> None:
    """Make `path` belong to user id `owner`, when it doesn't yet."""
    if path.stat().st_uid != owner:
        os.chown(path, owner, -1)
