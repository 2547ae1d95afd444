"""The reading of an import in a process of its own: it has a core while writing and the database share the other.

The child is a fork: it needs nothing sent to it, and asks the database nothing. What it read comes through a pipe,
batch by batch. The pipe is short, so the child is one batch ahead at most, and memory stays flat. It dies with its
parent.
"""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from operator import attrgetter
from typing import IO, Any

from clinicportal.embedded.account import preparation
from records.importing.extraction import Taken
from records.importing.storing import Batch

PIPE = 2**20
"""Bytes in the pipe, where the kernel lets us choose: its default means sixteen times as many turns."""

Made = tuple[Batch | None, Any]
"""A batch to write, or none, and how far the import is."""
Packed = tuple[list[tuple[Any, ...]], dict[str, Any]]


class ReaderDied(Exception):
    """The reading process ended before it was through: out of memory, or killed."""


@contextmanager
def in_child(made: Iterable[Made]) -> Iterator[Iterator[Made]]:
    """The same, made in a child process. What is raised there is raised here, without its traceback."""
    outlet, inlet = os.pipe()
    with suppress(AttributeError, OSError):
        fcntl.fcntl(inlet, fcntl.F_SETPIPE_SZ, PIPE)
    die_with_parent = preparation(None, signal.SIGKILL)
    child = os.fork()
    if child == 0:
        try:
            die_with_parent()
            keep_only(inlet)
            send(made, inlet)
        finally:
            os._exit(0)  # nothing of the parent's is closed or flushed twice
    os.close(inlet)
    try:
        with open(outlet, "rb", buffering=PIPE) as stream:
            yield received(stream)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def keep_only(inlet: int) -> None:
    """Let go of what a fork inherits: connections, which would stay open while we live, and handlers of signals."""
    os.closerange(3, inlet)
    os.closerange(inlet + 1, os.sysconf("SC_OPEN_MAX"))
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends us
    gc.freeze()  # what is shared with the parent stays shared


def send(made: Iterable[Made], inlet: int) -> None:
    with open(inlet, "wb", buffering=0) as stream:
        try:
            for batch, progress in made:
                put((batch and packed(batch), progress), stream)
            put(None, stream)
        except BrokenPipeError:
            return
        except BaseException as error:
            put(as_it_travels(error), stream)


def put(message: Any, stream: IO[bytes]) -> None:
    pickle.dump(message, stream, pickle.HIGHEST_PROTOCOL)


def as_it_travels(error: BaseException) -> BaseException:
    try:
        return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:
        return RuntimeError(type(error).__name__)


def received(stream: IO[bytes]) -> Iterator[Made]:
    while True:
        try:
            message = pickle.load(stream)  # noqa: S301 - from our own fork
        except (EOFError, pickle.UnpicklingError):
            raise ReaderDied(
                "The process that read the files was ended (perhaps for want of memory): give the command again"
            ) from None
        if message is None:
            return
        if isinstance(message, BaseException):
            raise message
        batch, progress = message
        yield batch and unpacked(*batch), progress


FIELDS = tuple(field.name for field in fields(Taken))
PLACE_OF_RAW, PLACE_OF_AWAITS = FIELDS.index("raw"), FIELDS.index("awaits")
VALUES = attrgetter(*FIELDS)


def packed(batch: Batch) -> Packed:
    """Resources as plain tuples, which is a fifth of the work of pickling objects.

    Their text goes once, in the line for COPY, unless it has to be read again.
    """
    rows = [
        row if row[PLACE_OF_AWAITS] else (*row[:PLACE_OF_RAW], b"", *row[PLACE_OF_RAW + 1 :])
        for row in map(VALUES, batch.taken.values())
    ]
    return rows, {field.name: getattr(batch, field.name) for field in fields(batch) if field.name != "taken"}


def unpacked(rows: list[tuple[Any, ...]], rest: dict[str, Any]) -> Batch:
    return Batch({row[0]: Taken(*row) for row in rows}, **rest)
