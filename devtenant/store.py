"""What the tenant knows, in memory, and the journal that brings it back after a crash."""

from __future__ import annotations

import fcntl
import json
import os
from io import FileIO
from pathlib import Path
from typing import Any

Json = dict[str, Any]
JOURNAL = "journal.jsonl"


class StoreError(Exception):
    """The data directory cannot be used; the message is a sentence for the person who started us."""


class Store:
    """Collections of JSON objects by id, kept as one line per changed object in an append-only file.

    `put` and `remove` change memory at once and queue the line; `flush` hands all queued lines to the
    operating system in one write, so that a kill between two objects of one request is not a state. The front
    of the app flushes before any answer leaves. A line torn by a crash can only be the last one; it belongs to
    a request that was never answered, so replay drops it.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / JOURNAL
        self._lock = take_lock(directory)
        self._collections: dict[str, dict[str, Json]] = {}
        self._pending: list[str] = []
        self._replay()
        self._file = _open_private(self.path, "ab")
        self.compact()  # also cuts off a torn last line, or the next one would be glued to it

    def get(self, collection: str, key: str | None) -> Json | None:
        """The object itself, not a copy: whoever changes it must `put` it."""
        return self._collections.get(collection, {}).get(key) if key is not None else None

    def all(self, collection: str) -> list[Json]:
        """Every object of a collection, oldest first."""
        return list(self._collections.get(collection, {}).values())

    def put(self, collection: str, key: str, value: Json) -> Json:
        self._collections.setdefault(collection, {})[key] = value
        self._pending.append(_line(collection, key, value))
        return value

    def remove(self, collection: str, key: str) -> None:
        if self._collections.get(collection, {}).pop(key, None) is not None:
            self._pending.append(_line(collection, key, None))

    def flush(self) -> None:
        """Write what changed. A kill of this process no longer loses it; a power cut may."""
        if self._pending:
            lines, self._pending = "".join(self._pending).encode(), []
            if self._file.write(lines) != len(lines):
                raise OSError(f"{self.path} could not be written to the end; is the disk full?")

    def forget(self) -> None:
        """Drop everything, in memory and on disk."""
        self._collections.clear()
        self.compact()

    def compact(self) -> None:
        """Rewrite the journal to one line per living object."""
        self._pending.clear()
        fresh = self.path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with _open_private(fresh, "wb") as out:
            for collection, objects in self._collections.items():
                out.write("".join(_line(collection, key, value) for key, value in objects.items()).encode())
            os.fsync(out.fileno())
        fresh.replace(self.path)
        self._file.close()
        self._file = _open_private(self.path, "ab")

    def close(self) -> None:
        self.flush()
        self._file.close()
        os.close(self._lock)

    def _replay(self) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            try:
                change = json.loads(line)
            except ValueError:
                if number == len(lines):  # no line end followed: torn by a crash
                    return
                raise StoreError(
                    f"Line {number} of {self.path} cannot be read; "
                    "start again with an empty tenant by running python -m devtenant --reset."
                ) from None
            self._apply(change)

    def _apply(self, change: Json) -> None:
        objects = self._collections.setdefault(change["c"], {})
        if change["v"] is None:
            objects.pop(change["id"], None)
        else:
            objects[change["id"]] = change["v"]


def _open_private(path: Path, mode: str) -> FileIO:
    """Without a buffer of ours, and for this user only: the journal holds sessions and invitation links."""
    opened = open(path, mode, buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115
    assert isinstance(opened, FileIO)  # noqa: S101 - what buffering=0 gives
    return opened


def _line(collection: str, key: str, value: Json | None) -> str:
    return json.dumps({"c": collection, "id": key, "v": value}, separators=(",", ":")) + "\n"


def take_lock(directory: Path) -> int:
    """Refuse a directory that another devtenant writes to: two journals in one file would be neither's."""
    handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise StoreError(
            f"Another devtenant is using {directory}; stop it, or give this one a directory of its own with --data."
        ) from None
    return handle
