"""The worker's sign of life."""

from __future__ import annotations

import time

from celery import shared_task
from django.core.cache import cache

HEARTBEAT_LATE_SECONDS = 90
_KEY = "worker-heartbeat"


@shared_task
def heartbeat() -> None:
    """Beat queued it and a worker ran it: both are alive, and so is the broker between them."""
    cache.set(_KEY, time.time(), timeout=3600)


def heartbeat_age() -> float | None:
    """Seconds since a worker last ran `heartbeat`; None when unknown (no broker, or not yet)."""
    try:
        stamp = cache.get(_KEY)
    except Exception:  # the cache has no authority: any trouble with it means "unknown"
        return None
    return None if stamp is None else time.time() - stamp
