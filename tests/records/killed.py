"""An import in a process that ends itself by SIGKILL at a chosen moment, and all that an import wrote, as it reads."""

from __future__ import annotations

import os
import re
import signal
import time as clock
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from records import caseloads
from records.ids import texts_of_ids
from records.importing import running, storing
from records.importing.running import import_files
from records.importing.storing import AlreadyRunning, only_import_of
from records.models import (
    AlsoAbout,
    Awaited,
    Import,
    Membership,
    Move,
    OptOut,
    Patient,
    PatientLink,
    PatientToken,
    ReferredName,
    Rejection,
    Resource,
    ResourceIdentifier,
    ResourceVersion,
    Source,
)
from tests.factories import WORKER
from tests.records.feeds import Feed

COUNTED = re.compile(r"^united:\d+$")  # from which row an opt-out was united
NAMES = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]+")


# ---------------------------------------------------------------- dying


def count_statements(feed: Feed, **how: Any) -> int:
    """Import, undisturbed; return how many statements the writer said."""
    said = 0

    def counting(execute: Any, *args: Any) -> Any:
        nonlocal said
        said += 1
        return execute(*args)

    with connections[WORKER].execute_wrapper(counting):
        import_files(feed.source, [feed.folder], using=WORKER, **how)
    return said


def at_statement(number: int) -> Callable[[], None]:
    """Die before the statement of this number: what was committed before it is all that there is."""

    def prepare() -> None:
        left = number

        def dying(execute: Any, *args: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                die()
            return execute(*args)

        connections[WORKER].execute_wrappers.append(dying)

    return prepare


STEPS: dict[str, tuple[Any, str]] = {
    "look again": (running.Late, "look_again"),
    "tombstones": (storing.Store, "tombstone_the_rest"),
    "binaries": (running, "adopt_binaries"),
    "labels": (running, "settle_source"),
    "caseloads": (caseloads, "refresh"),
    "a page of caseloads": (caseloads, "write"),
    "the end": (running, "finish"),
}


def within(step: str, *, done: bool, time: int = 1) -> Callable[[], None]:
    """Die when this step is begun, or when it is `done`, for the first `time`, or the second."""

    def prepare() -> None:
        home, name = STEPS[step]
        real = getattr(home, name)

        left = time

        def dying(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            result = real(*args, **options) if done or left else None
            if left <= 0:
                die()
            return result

        setattr(home, name, dying)

    return prepare


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def started(feed: Feed, prepare: Callable[[], None] = lambda: None, **how: Any) -> int:
    """Begin an import in a process of its own, which `prepare` tells when to die; return its id."""
    connections.close_all()  # or two processes would speak through one connection
    child = os.fork()
    if child:
        return child
    try:
        prepare()
        import_files(feed.source, [feed.folder], using=WORKER, **how)
        os._exit(0)
    finally:
        os._exit(1)


def ended(child: int) -> int:
    """Wait for it; return its exit code, -9 for a SIGKILL."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def import_when_free(feed: Feed, **how: Any) -> Import:
    """Import once the database has noticed that the one before is dead."""
    give_up = clock.monotonic() + 30
    while True:
        try:
            return import_files(feed.source, [feed.folder], using=WORKER, **how).run
        except AlreadyRunning:
            assert clock.monotonic() < give_up
            clock.sleep(0.02)


def wait_until_free(source: Source) -> None:
    give_up = clock.monotonic() + 30
    while clock.monotonic() < give_up:
        try:
            with only_import_of(source, using=WORKER):
                return
        except AlreadyRunning:
            clock.sleep(0.02)
    raise AssertionError("The lock of a dead import is still held")


# ---------------------------------------------------------------- what there is


def written(source: Source, since: datetime, texts: Iterable[str]) -> dict[str, list[str]]:
    """By table, the rows of a source, sorted, in words that are the same for every source that was sent the same.

    Ids are told as `Type/id` (those that `texts` name), times after `since` as "now"; keys that are counted, the run,
    and the source itself are left out. Whether something has an end, or was undone, is told.
    """
    id_of = texts_of_ids(source.pk)
    said = {name for text in texts for name in NAMES.findall(text)}
    said |= {
        f"{kind}/{id}"
        for kind, id in Resource.objects.using(WORKER).filter(source=source).values_list("type", "fhir_id")
    }
    names = {id_of(name): name for name in said}
    of_resource, of_patient = Q(resource__source=source), Q(patient__source=source)
    ours = Resource.objects.using(WORKER).filter(source=source).values("pk")
    asked: list[tuple[type[Model], Q]] = [
        (Resource, Q(source=source)),
        (ResourceVersion, of_resource),
        (AlsoAbout, of_resource),
        (Awaited, of_resource),
        (Patient, Q(source=source)),
        (PatientToken, of_patient),
        (PatientLink, of_patient),
        (OptOut, of_patient),
        (Membership, of_patient),
        (Rejection, Q(imported__source=source)),
        (Move, Q(source=source)),
        (ReferredName, Q(pk__in=ours)),
        (ResourceIdentifier, Q(source=source)),
    ]
    return {model.__name__: told(model.objects.using(WORKER).filter(which), since, names) for model, which in asked}


def differences(found: dict[str, list[str]], expected: dict[str, list[str]]) -> list[str]:
    """The rows of one and not of the other."""
    lines = []
    for table, rows in expected.items():
        much, little = Counter(found[table]) - Counter(rows), Counter(rows) - Counter(found[table])
        lines += [f"+ {table} {row}" for row in much.elements()] + [f"- {table} {row}" for row in little.elements()]
    return lines


LEFT_OUT = {"source", "imported", "mended_by"}
KEYED = {Resource, Patient, ReferredName}
"""What has an id made of what the source calls it; keys of others are counted, or drawn by lot."""


def told(rows: QuerySet[Any], since: datetime, names: dict[str, str]) -> list[str]:
    model = rows.model
    every = [field for field in model._meta.concrete_fields if field.name not in LEFT_OUT]
    fields = [field for field in every if model in KEYED or not field.primary_key]
    return sorted(
        "; ".join(f"{field.name}={in_words(getattr(row, field.attname), since, names)}" for field in fields)
        for row in rows
    )


def in_words(value: Any, since: datetime, names: dict[str, str]) -> str:
    if isinstance(value, list):
        return str(sorted(in_words(one, since, names) for one in value))
    if isinstance(value, datetime):
        return "now" if since <= value <= timezone.now() else value.isoformat()
    if isinstance(value, UUID):
        return names.get(str(value), str(value))
    if isinstance(value, memoryview):
        return repr(bytes(value))
    return COUNTED.sub("united", str(value))
