"""The people of a round: asked for and approved at the pages, at their own pace, whatever dies meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.killing.browser import Approver, Sponsor
from tests.killing.portal import Portal, Trouble, eventually
from tests.killing.windows import joined, mailed

NOT_APPROVED = 2
"""So many more are asked for and never approved: nothing may happen to them."""
SPONSOR, APPROVERS = "sponsor@northfield.example", ("approver@hospital.example", "second.approver@hospital.example")


class Crowd:
    """`asked` and `accepted` hold whose request, or approval, was answered with success."""

    def __init__(self, portal: Portal, *, people: int, reserve: int, prefix: str) -> None:
        self.portal = portal
        names = [f"{prefix}.{number}@northfield.example" for number in range(people + NOT_APPROVED)]
        self.addresses, self.outsiders = names[:people], names[people:]
        self.open, self.reserve = self.addresses[reserve:], self.addresses[:reserve]
        self.asked: set[str] = set()
        self.accepted: set[str] = set()
        self.sponsor = Sponsor(portal, SPONSOR)
        self.approver, self.second = (Approver(portal, address) for address in APPROVERS)
        self.all_are_asked = threading.Event()
        self.problem: BaseException | None = None
        self.thread = threading.Thread(target=self._live, daemon=True)

    def start(self, *, asking_seconds: float, approving_seconds: float) -> None:
        for person in (self.sponsor, self.approver, self.second):
            person.prepare()
        self.pace = asking_seconds / len(self.addresses), approving_seconds / max(1, len(self.open))
        self.thread.start()

    def _live(self) -> None:
        try:
            self._ask()
            self.all_are_asked.set()
            for address in self.open:
                self._approve(self.approver, address)
                time.sleep(self.pace[1])
        except BaseException as problem:
            self.problem = problem
            self.all_are_asked.set()
            raise

    def _ask(self) -> None:
        for number, address in enumerate((*self.addresses, *self.outsiders)):
            if self.sponsor.ask(address, number):
                self.asked.add(address)
            time.sleep(self.pace[0])

    def _approve(self, approver: Approver, address: str) -> None:
        query = "SELECT id FROM partners_accessrequest WHERE address = %s"
        [[number]] = eventually(lambda: self.portal.rows(query, address), seconds=60, what=f"the request for {address}")
        approver.approve(number)
        self.accepted.add(address)

    def approve_next(self) -> None:
        """Give the job one more person to work for, from those kept back."""
        self.all_are_asked.wait(300)
        self.check()
        if self.reserve:
            self._approve(self.second, self.reserve.pop())

    def finish(self) -> None:
        """Until everybody is approved."""
        self.thread.join(600)
        self.check()
        if self.thread.is_alive():
            raise Trouble("people are not done with asking and approving")
        while self.reserve:
            self.approve_next()

    def check(self) -> None:
        if self.problem:
            raise Trouble(f"a person at the pages came no further: {self.problem}") from self.problem

    @property
    def failures(self) -> int:
        """Answers that were none: what people saw as "try again"."""
        return sum(person.failures for person in (self.sponsor, self.approver, self.second))


@contextmanager
def watching(portal: Portal, early: set[str]) -> Iterator[None]:
    """Note meanwhile who is written to before the group has them."""
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(portal, stop, early), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join(30)


def watch(portal: Portal, stop: threading.Event, early: set[str]) -> None:
    """Mails are read first, so that nobody is accused wrongly."""
    while not stop.wait(1.5):
        written_to = mailed(portal)
        early |= set(written_to) - set(joined(portal))
