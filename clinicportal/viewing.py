"""The viewer: on whose behalf clinical rows are read in this transaction.

PostgreSQL's row-level security reads two settings that hold for one transaction; without them there
are no rows. In our own code a clinical query without a viewer is a mistake and raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

if TYPE_CHECKING:
    from clinicportal.models import User

_viewer: ContextVar[User | None] = ContextVar("viewer", default=None)


# Beside the viewer: who it is even if they may see no record (our staff, who accept no terms), for what staff may read;
# and how statements that are prepared are planned here. One plan for all values, since planning the wall
# costs more than running it; along an index in the order of the page, since a bitmap reads all of a record for its
# newest rows; as from memory, where a chart's few pages are; never compiled to machine code, which costs more than all
# the rest.
BEGIN = """
SELECT records_begin(%s, %s), records_begin_emergency(), set_config('clinicportal.listing', %s, true),
       set_config('clinicportal.person', %s, true),
       set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_bitmapscan', 'off', true),
       set_config('jit', 'off', true), set_config('random_page_cost', '1.1', true)
"""


class NoViewer(RuntimeError):
    """A clinical query ran outside `viewing(user)`, or for somebody else than its viewer."""


@contextmanager
def viewing(user: User, *, listing: bool = False) -> Iterator[None]:
    """Open the one transaction in which clinical rows can be read for `user`.

    Read, write the audit event and leave; render afterwards, from memory. Does not nest. With `listing` the wall asks
    once whom the user may see and not for each patient: the same answer, quicker for many and slower for one.
    """
    if _viewer.get() is not None:
        raise NoViewer("viewing() does not nest: a second viewer would see the first one's rows")
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            viewer = user.pk if user.mfa_proved else None
            cursor.execute(BEGIN, [viewer, user.acting_for, "on" if listing else "", str(viewer or "")])
            user.emergencies = frozenset(cursor.fetchone()[1])
        token = _viewer.set(user)
        try:
            yield
        finally:
            _viewer.reset(token)
            user.emergencies = frozenset()


def must_be_viewer(user: User) -> None:
    """Raise NoViewer unless this transaction was opened for `user`."""
    viewer = _viewer.get()
    if viewer is None or viewer.pk != user.pk:
        raise NoViewer("Read clinical rows inside `with viewing(user)`, for that user")


CLINICAL_TABLES = (
    "records_patient",
    "records_patienttoken",
    "records_patientlink",
    "records_optout",
    "records_look",
    "records_membership",
    "records_resource",
    "records_alsoabout",
    "records_awaited",
    "records_referredname",
    "records_resourceidentifier",
    "records_resourceversion",
    "records_rejection",
    "records_requestedlabel",
)
_clinical = re.compile(rf'(?:FROM|JOIN|INTO|UPDATE)\s+"?(?:{"|".join(CLINICAL_TABLES)})\b', re.IGNORECASE)


def refuse_without_viewer(execute: Callable, sql: str, params: Any, many: bool, context: dict) -> Any:
    """A database wrapper for the web process: clinical tables are not even asked without a viewer."""
    if _viewer.get() is None and _clinical.search(sql):
        raise NoViewer("A clinical query ran without a viewer: open `with viewing(user)` around it")
    return execute(sql, params, many, context)
