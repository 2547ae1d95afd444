"""The worker and its clock. Celery is only the doorbell: due work is rows in PostgreSQL, swept every few seconds."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinicportal.settings")

from celery import Celery
from celery.signals import celeryd_init, worker_init
from django.conf import settings

app = Celery("clinicportal")
app.conf.update(
    broker_url=settings.REDIS_URL,
    task_ignore_result=True,  # outcomes are rows
    task_acks_late=True,
    task_reject_on_worker_lost=False,  # a poison task would loop; the sweep finds the row again
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_soft_shutdown_timeout=5,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # a broker that is away must not end the worker
    broker_transport_options={
        "visibility_timeout": 600,
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "retry_on_timeout": True,
    },
    task_time_limit=300,
    task_soft_time_limit=240,
    timezone="UTC",
    beat_schedule={
        "sweep": {"task": "partners.tasks.sweep", "schedule": 5.0, "options": {"expires": 5}},
        "feeds": {"task": "records.tasks.sweep", "schedule": 20.0, "options": {"expires": 20}},
        "caseloads": {"task": "records.tasks.refresh_caseloads", "schedule": 3600.0, "options": {"expires": 3600}},
        # The row says when it is due (settings.DIRECTORY_SECONDS); this only asks.
        "follow-directory": {"task": "partners.tasks.follow_directory", "schedule": 10.0, "options": {"expires": 10}},
        "check-contexts": {"task": "partners.tasks.check_contexts", "schedule": 10.0, "options": {"expires": 10}},
        "purge-sessions": {"task": "clinicportal.tasks.purge_sessions", "schedule": 3600.0},
        "heartbeat": {"task": "clinicportal.tasks.heartbeat", "schedule": 15.0, "options": {"expires": 15}},
    },
)
app.autodiscover_tasks(["clinicportal", "partners", "records"])


@celeryd_init.connect
def refuse_another_role(**_: object) -> None:
    """The worker's database role and the Graph credential belong to a process that says it is the worker."""
    if settings.PROCESS != "worker":
        raise SystemExit("Set CLINICPORTAL_PROCESS=worker for the Celery worker: it chooses the database role.")


@worker_init.connect
def load_before_forking(**_: object) -> None:
    """What each process would otherwise load for its first mail (addresses, and with them all pages) is loaded once."""
    from django.urls import reverse

    reverse("home")
