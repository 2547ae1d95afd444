"""What changed since when, for delta queries (entra.md §11). In memory: a restart makes every older token worthless."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from .store import Json, Store


@dataclass
class Entry:
    """The state of one object, and the revision at which each part of it last changed."""

    id: str
    revision: int = 0
    created: int = 0
    removed: str | None = None
    """None while it lives; "changed" in the bin, "deleted" for good."""
    value: Json = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    members: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """Of a group: who, at which revision, and whether they came or left."""


class Changes:
    """The entries of one kind of object, least recently changed first."""

    def __init__(self) -> None:
        self._revisions = itertools.count(1)
        self._entries: dict[str, Entry] = {}
        self.last = 0

    def clear(self) -> None:
        """Revisions go on counting: a token of before must not fit by chance."""
        self._entries.clear()

    def put(self, key: str, value: Json) -> None:
        known = self._entries.get(key)
        shown = {name: part for name, part in value.items() if not name.startswith("_")}
        if known and known.removed is None and known.value == shown:
            return
        entry = self._touch(key)
        if entry.removed or not entry.created:
            entry.created, entry.since = entry.revision, {}
        for name, part in shown.items():
            if name not in entry.since or entry.value.get(name) != part:
                entry.since[name] = entry.revision
        entry.value, entry.removed = shown, None

    def remove(self, key: str) -> None:
        self.remove_as(key, "deleted")

    def remove_as(self, key: str, reason: str) -> None:
        self._touch(key).removed = reason

    def member(self, group: str, member: str, *, here: bool) -> None:
        entry = self._touch(group)
        entry.members[member] = (entry.revision, here)

    def newer_than(self, revision: int) -> list[Entry]:
        """Entries that changed after a revision, least recently changed first."""
        newest_first: Iterator[Entry] = reversed(self._entries.values())
        return list(itertools.takewhile(lambda entry: entry.revision > revision, newest_first))[::-1]

    def entry(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def _touch(self, key: str) -> Entry:
        entry = self._entries.pop(key, None) or Entry(key)
        self.last = entry.revision = next(self._revisions)
        self._entries[key] = entry
        return entry


class Bin:
    """Follows the deleted users: who is there can come back."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def put(self, key: str, _value: Json) -> None:
        self._changes.remove_as(key, "changed")

    def remove(self, key: str) -> None:
        self._changes.remove_as(key, "deleted")

    def clear(self) -> None:
        pass


class Comings:
    """Follows the memberships."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def put(self, key: str, value: Json) -> None:
        self._changes.member(value["group"], value["member"], here=True)

    def remove(self, key: str) -> None:
        group, _, member = key.partition("/")
        self._changes.member(group, member, here=False)

    def clear(self) -> None:
        pass


def follow(store: Store) -> dict[str, Changes]:
    """The changes of users and groups, from what there is on."""
    users, groups = Changes(), Changes()
    store.follow("users", users)
    store.follow("deleted", Bin(users))
    store.follow("groups", groups)
    store.follow("members", Comings(groups))
    return {"users": users, "groups": groups}
