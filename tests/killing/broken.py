"""The portal with a promise broken on purpose: KILL_FAULT names which. The rounds have to find it out."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Callable

from django.apps import AppConfig


def leases_end_at_once() -> None:
    """A step is taken again while its call is still out."""
    from partners import queue

    queue.FACTS["lease"] = dt.timedelta(0)


def the_broker_is_the_queue() -> None:
    """Nobody looks for due rows: a lost message is lost work."""
    from partners import tasks

    tasks.SWEEP_AT_ONCE = 0


def each_mail_is_another() -> None:
    """A repeated mail has a Message-ID of its own."""
    from partners.models import Invitation

    Invitation.message_id = property(lambda self: f"<{uuid.uuid4()}@clinicportal>")


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault for fault in (leases_end_at_once, the_broker_is_the_queue, each_mail_is_another)
}


class Broken(AppConfig):
    name = "tests.killing"
    label = "broken"

    def ready(self) -> None:
        FAULTS[os.environ["KILL_FAULT"]]()
