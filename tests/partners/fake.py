"""A directory in memory for unit tests; test_entra.py checks its signatures against entra.Graph."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from partners import entra


@dataclass
class Directory:
    """Does what Graph does and notes each call. `faults`: operation -> what to do instead, once each, in order.

    An exception is raised before anything happens; a function is called with the true answer afterwards.
    """

    people: dict[str, entra.User] = field(default_factory=dict)
    members: set[uuid.UUID] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    log: list[entra.Change] = field(default_factory=list)  # what a delta query tells, in its order
    others: dict[uuid.UUID, list[str]] = field(default_factory=dict)
    faults: dict[str, list[Exception | Callable]] = field(default_factory=dict)

    def find_users(self, address: str) -> list[entra.User]:
        return self._do("find_users", lambda: [self.people[address]] if address in self.people else [])

    def user(self, id: uuid.UUID) -> entra.User:
        return self._do("user", lambda: self._by_id(id))

    def invite(
        self,
        address: str,
        *,
        name: str,
        redirect_url: str,
        reset: uuid.UUID | None = None,
        sponsor: uuid.UUID | None = None,
    ) -> entra.Invited:
        return self._do("invite", lambda: self._invite(address, reset))

    def is_member(self, id: uuid.UUID) -> bool:
        return self._do("is_member", lambda: id in self.members)

    def add_member(self, id: uuid.UUID) -> None:
        return self._do("add_member", lambda: self.members.add(id))

    def users(self, ids: Iterable[uuid.UUID]) -> Iterator[entra.User]:
        wanted = set(ids)
        return self._do("users", lambda: iter([user for user in self.people.values() if user.id in wanted]))

    def changes_from_now(self) -> str:
        return self._do("changes_from_now", lambda: f"delta-{len(self.log)}")

    def changes(self, link: str) -> entra.Changes:
        return self._do("changes", lambda: self._changes(int(link.removeprefix("delta-"))))

    def other_addresses(self, id: uuid.UUID) -> list[str]:
        return self._do("other_addresses", lambda: list(self.others.get(id, [])))

    def set_other_addresses(self, id: uuid.UUID, addresses: list[str]) -> None:
        return self._do("set_other_addresses", lambda: self.others.__setitem__(id, addresses))

    # ---------------------------------------------------------------- what a test says

    def has(self, address: str, **changes: Any) -> entra.User:
        """Put a person into the directory: an accepted guest unless told otherwise."""
        usual = entra.User(id=uuid.uuid4(), is_guest=True, is_pending=False, enabled=True)
        self.people[address] = replace(usual, **changes)
        return self.people[address]

    def count(self, operation: str) -> int:
        return self.calls.count(operation)

    # ---------------------------------------------------------------- inside

    def _do(self, operation: str, act: Callable):
        self.calls.append(operation)
        fault = self.faults[operation].pop(0) if self.faults.get(operation) else None
        if isinstance(fault, Exception):
            raise fault
        answer = act()
        return fault(answer) if fault else answer

    def _changes(self, start: int) -> entra.Changes:
        return entra.Changes(self.log[start:], f"delta-{len(self.log)}", is_last=True)

    def _by_id(self, id: uuid.UUID) -> entra.User:
        for user in self.people.values():
            if user.id == id:
                return user
        raise entra.TryLater("not_there_yet")

    def _invite(self, address: str, reset: uuid.UUID | None) -> entra.Invited:
        known = self._by_id(reset) if reset else self.people.get(address) or self.has(address, is_pending=True)
        if reset:
            self.people[address] = replace(known, is_pending=True)
        return entra.Invited(known.id, f"https://login.example/redeem?ticket={uuid.uuid4()}")
