"""Celery entry points of the records: files in a folder and rows are the work, a message is only a nudge."""

from __future__ import annotations

import uuid

import structlog
from celery import shared_task
from django.db import DEFAULT_DB_ALIAS

from clinicportal.doorbell import ring
from records import byhand, caseloads, feeds, why
from records.importing import drops
from records.importing.storing import AlreadyRunning, Stopped, only_import_of
from records.models import Source

log = structlog.get_logger(__name__)

LONGEST_IMPORT_SECONDS = 12 * 3600


@shared_task(ignore_result=True)
def sweep() -> None:
    """Ring for every feed with something in its folder, and for stops that are not settled."""
    for source in Source.objects.all():
        if drops.has_work(source) and not feeds.is_stopped(source) and not drops.is_pausing(source):
            ring(import_feed, str(source.pk))
    feeds.settle()
    byhand.work()
    why.answer_open()


# Not acknowledged late: an import may take longer than the broker waits, and a killed one is found by its files.
@shared_task(
    ignore_result=True, acks_late=False, time_limit=LONGEST_IMPORT_SECONDS, soft_time_limit=LONGEST_IMPORT_SECONDS - 60
)
def import_feed(source_id: str) -> None:
    """Import what has arrived from a source, unless somebody else is at it or it is stopped."""
    source = Source.objects.select_related("facility").get(pk=uuid.UUID(source_id))
    try:
        runs = drops.take_what_arrived(source)
    except (AlreadyRunning, Stopped) as reason:
        log.info("feed not imported", source=source.name, because=type(reason).__name__)
        return
    for run in runs:
        log.info("feed imported", source=source.name, run=str(run.pk), read=run.read, rejected=run.rejected)


@shared_task(ignore_result=True, time_limit=3600, soft_time_limit=3500)
def refresh_caseloads() -> None:
    """Let the next tie of a patient take over where one ran out. Each import does it as well."""
    for source in Source.objects.all():
        try:
            with only_import_of(source, using=DEFAULT_DB_ALIAS):
                caseloads.refresh(source)
        except AlreadyRunning:
            continue  # and does it at its end


@shared_task(ignore_result=True)
def settle_stops() -> None:
    feeds.settle()


@shared_task(ignore_result=True)
def answer_questions() -> None:
    why.answer_open()


@shared_task(ignore_result=True)
def work_by_hand() -> None:
    byhand.work()
