"""What the tenant knows, in memory, and the journal that brings it back after a crash."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

Json = dict[str, Any]
JOURNAL = "journal.jsonl"


class StoreError(Exception):
    """The data directory cannot be used; the message is a sentence for the person who started us."""


class Follower(Protocol):
    """What hears of every change of a collection, and of the state it has when it begins to follow."""

    def put(self, key: str, value: Json) -> None: ...

    def remove(self, key: str) -> None: ...

    def clear(self) -> None: ...


class Index:
    """Finds the objects of a collection by words that follow from them, oldest first."""

    def __init__(self, words_of: Callable[[Json], Iterable[str | None]]) -> None:
        self._words_of = words_of
        self.clear()

    def clear(self) -> None:
        self._by_word: dict[str, dict[str, None]] = {}
        self._words: dict[str, frozenset[str]] = {}

    def put(self, key: str, value: Json) -> None:
        """The words of before are remembered here: callers change objects in place before they `put` them."""
        words = frozenset(word for word in self._words_of(value) if word)
        before = self._words.get(key, frozenset())
        for word in before - words:
            self._drop(word, key)
        for word in words - before:
            self._by_word.setdefault(word, {})[key] = None
        self._words[key] = words

    def remove(self, key: str) -> None:
        for word in self._words.pop(key, frozenset()):
            self._drop(word, key)

    def keys(self, word: str) -> list[str]:
        return list(self._by_word.get(word, ()))

    def _drop(self, word: str, key: str) -> None:
        keys = self._by_word[word]
        del keys[key]
        if not keys:
            del self._by_word[word]


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
        self._followers: dict[str, list[Follower]] = {}
        self._indexes: dict[tuple[str, str], Index] = {}
        self._replay()
        self._file = _open_private(self.path, "ab")
        self.compact()  # also cuts off a torn last line, or the next one would be glued to it

    def get(self, collection: str, key: str | None) -> Json | None:
        """The object itself, not a copy: whoever changes it must `put` it."""
        return self._collections.get(collection, {}).get(key) if key is not None else None

    def all(self, collection: str) -> list[Json]:
        """Every object of a collection, oldest first."""
        return list(self._collections.get(collection, {}).values())

    def count(self, collection: str) -> int:
        return len(self._collections.get(collection, {}))

    def find(self, collection: str, index: str, word: str) -> list[Json]:
        """The objects that an index has under a word, oldest first."""
        objects = self._collections.get(collection, {})
        return [objects[key] for key in self._indexes[collection, index].keys(word)]

    def index(self, collection: str, name: str, words_of: Callable[[Json], Iterable[str | None]]) -> None:
        """Keep an index of a collection from now on; `words_of` gives the words of one object."""
        self._indexes[collection, name] = Index(words_of)
        self.follow(collection, self._indexes[collection, name])

    def follow(self, collection: str, follower: Follower) -> None:
        """Tell `follower` what there is, and every change from now on."""
        self._followers.setdefault(collection, []).append(follower)
        for key, value in self._collections.get(collection, {}).items():
            follower.put(key, value)

    def put(self, collection: str, key: str, value: Json) -> Json:
        self._collections.setdefault(collection, {})[key] = value
        self._pending.append(_line(collection, key, value))
        for follower in self._followers.get(collection, ()):
            follower.put(key, value)
        return value

    def remove(self, collection: str, key: str) -> None:
        if self._collections.get(collection, {}).pop(key, None) is not None:
            self._pending.append(_line(collection, key, None))
            for follower in self._followers.get(collection, ()):
                follower.remove(key)

    def flush(self) -> None:
        """Write what changed. A kill of this process no longer loses it; a power cut may."""
        if self._pending:
            lines, self._pending = "".join(self._pending).encode(), []
            if self._file.write(lines) != len(lines):
                raise OSError(f"{self.path} could not be written to the end; is the disk full?")

    def forget(self) -> None:
        """Drop everything, in memory and on disk."""
        self._collections.clear()
        for followers in self._followers.values():
            for follower in followers:
                follower.clear()
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
