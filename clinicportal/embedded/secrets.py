"""The passwords of the local servers: random, made once, readable by their owner only."""

import json
import os
import secrets
from pathlib import Path

from clinicportal.embedded.locks import Lock

NAMES = ("postgres", "owner", "web", "worker", "auditor", "backup", "valkey")


def load(path: Path) -> dict[str, str]:
    """Return the passwords by name, making those that are missing."""
    alone = Lock(path.with_name("secrets.lock"))
    alone.acquire(timeout=None)
    try:
        return _load(path)
    finally:
        alone.release()


def _load(path: Path) -> dict[str, str]:
    found = json.loads(path.read_text()) if path.exists() else {}
    if not all(found.get(name) for name in NAMES):
        found = {name: found.get(name) or secrets.token_urlsafe(24) for name in NAMES}
        write_private(path, json.dumps(found))
    return found


def write_private(path: Path, text: str) -> None:
    """Write a file that only we read, whole or not at all."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
