"""The worker's sign of life, and its housekeeping."""

from __future__ import annotations

import time

from celery import shared_task
from django.core.cache import cache
from django.utils import timezone

from clinicportal.models import Session

HEARTBEAT_LATE_SECONDS = 90
_KEY = "worker-heartbeat"


@shared_task
def heartbeat() -> None:
    """Beat queued it and a worker ran it: both are alive, and so is the broker between them."""
    cache.set(_KEY, time.time(), timeout=3600)


@shared_task
def purge_sessions() -> None:
    """Delete the rows of sessions that are over."""
    Session.objects.filter(expire_date__lt=timezone.now()).delete()


def heartbeat_age() -> float | None:
    """Seconds since a worker last ran `heartbeat`; None when unknown (no broker, or not yet)."""
    try:
        stamp = cache.get(_KEY)
    except Exception:  # the cache has no authority: any trouble with it means "unknown"
        return None
    return None if stamp is None else time.time() - stamp
