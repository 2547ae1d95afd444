"""The reading of an import is a process of its own: what it says arrives, and neither outlives the other."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from records.importing import apart, reading, running, storing
from records.importing.extraction import Extraction
from records.importing.references import Directory
from records.importing.storing import AlreadyRunning, only_import_of
from records.models import Import, Resource
from tests.factories import WORKER
from tests.records.feeds import Feed, about, counts, import_in_a_process, labelled, ndjson, observation, patient, refs

LONG = [{"text": "x" * 2_000}]
MANY = 1_500
"""Long ones: more than the pipe holds, so that the reader is still at work when the first are written."""


def until(true: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return true()


def long_feed(feed: Feed) -> None:
    feed.write("feed.ndjson", ndjson(patient(), *(observation(f"o{n}", note=LONG) for n in range(MANY))))


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that imports in this one started."""
    found: list[int] = []
    fork = os.fork

    def noted() -> int:
        if child := fork():
            found.append(child)
        return child

    monkeypatch.setattr(apart.os, "fork", noted)
    return found


def test_a_batch_is_the_same_on_the_other_side(feed):
    feed.write(
        "feed.ndjson",
        ndjson(
            patient(birthDate="1990-05-17"),
            observation(meta={"lastUpdated": "2024-05-01T10:00:00Z", **labelled("R", "HIV")}, focus=refs("Patient/p2")),
            about("DiagnosticReport", "r1", result=refs("Observation/o1")),
            about("Encounter", "e1", serviceProvider={"reference": "Organization?identifier=urn:x|1"}),
            b'{"resourceType":"Observation"}',
        ),
    )
    files, _ = reading.find_files([feed.folder])
    [sent] = [batch for batch, _ in running.Reading(feed.source, files, Directory()).batches() if batch]
    received = apart.unpacked(*pickle.loads(pickle.dumps(apart.packed(sent))))  # noqa: S301 - our own
    kept = {taken.id: taken.raw for taken in received.taken.values()}
    assert [taken.type for taken in sent.taken.values() if kept[taken.id]] == ["Encounter"]  # it may be read again
    for taken in sent.taken.values():
        assert kept[taken.id] in (b"", taken.raw)
        assert received.taken[taken.id] == replace(taken, raw=kept[taken.id])
    assert replace(received, taken={}) == replace(sent, taken={})
    assert len(received.refused) == 1


def test_no_process_is_left(feed, children):
    long_feed(feed)
    assert counts(feed.run()) == (MANY + 1, 0, 0, 0, 0)
    [child] = children
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)


class Unsendable(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)


@pytest.mark.parametrize(
    ("raised", "heard"), [(ZeroDivisionError("x"), ZeroDivisionError), (Unsendable("x", "y"), RuntimeError)]
)
def test_what_goes_wrong_in_reading_ends_the_import(feed, monkeypatch, children, raised, heard):
    def fail(*args: object) -> None:
        raise raised

    feed.write("feed.ndjson", ndjson(patient()))
    with monkeypatch.context() as patched:
        patched.setattr(Extraction, "take", fail)
        with pytest.raises(heard):
            feed.run()
    assert Import.objects.using(WORKER).get().failed == heard.__name__
    assert counts(feed.run()) == (1, 0, 0, 0, 0)


def test_an_import_whose_reader_is_killed_says_so_and_goes_on_next_time(feed, monkeypatch, children):
    monkeypatch.setattr(running, "ROWS", 100)
    write = storing.Store.write

    def killing(store, batch, **how):
        os.kill(children[0], signal.SIGKILL)
        write(store, batch, **how)

    long_feed(feed)
    with monkeypatch.context() as patched:
        patched.setattr(storing.Store, "write", killing)
        with pytest.raises(apart.ReaderDied, match="give the command again"):
            feed.run()
    assert Import.objects.using(WORKER).get().failed == "ReaderDied"
    there = Resource.objects.using(WORKER).count()
    assert 100 <= there <= MANY
    assert counts(feed.run()) == (MANY + 1 - there, 0, there, 0, 0)


def test_a_killed_import_takes_its_reader_and_its_lock_along(feed):
    long_feed(feed)
    run = import_in_a_process(feed)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    assert until(lambda: bool(children.read_text().split()), 60)
    [child] = children.read_text().split()
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())

    def free() -> bool:
        try:
            with only_import_of(feed.source, using=WORKER):
                return True
        except AlreadyRunning:
            return False

    assert until(free)
    feed.run()
    assert Resource.objects.using(WORKER).count() == MANY + 1
