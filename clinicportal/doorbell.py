"""Ringing for a task: a message is only a nudge, so a broker that is away costs a second and never work."""

from __future__ import annotations

import structlog
from celery import Task
from kombu.pools import producers

from clinicportal.celery import app

log = structlog.get_logger(__name__)

# Two attempts (the first may find a connection that a restarted broker has closed), without kombu's pauses: somebody
# waits for a page.
ONCE_MORE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
IMPATIENT = {**ONCE_MORE, "socket_connect_timeout": 1, "socket_timeout": 1}


EXPIRES_SECONDS = 30
"""A nudge older than this was overtaken by several sweeps."""


def ring(task: Task, *arguments: str, after: float = 0.0, expires: float = EXPIRES_SECONDS) -> bool:
    """Ask a worker to run `task` in `after` seconds, unless it is `expires` seconds late. Never raises.

    False when nobody heard it: the work waits in its row, and the sweep finds it.
    """
    try:
        with producers[app.connection_for_write(transport_options=IMPATIENT)].acquire(block=True) as producer:
            task.apply_async(
                arguments, producer=producer, countdown=after, expires=after + expires, retry_policy=ONCE_MORE
            )
    except Exception as problem:  # kombu, redis and sockets each have their own
        log.warning("no nudge", task=task.name, about=arguments, problem=type(problem).__name__)
        return False
    return True
