"""Pages that belong to no one: home, probes, errors, terms."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from clinicportal.tasks import HEARTBEAT_LATE_SECONDS, heartbeat_age


@require_safe
@login_not_required
def live(request: HttpRequest) -> HttpResponse:
    """This process answers. Says nothing about anything else."""
    return HttpResponse("ok", content_type="text/plain")


@require_safe
@login_not_required
def ready(request: HttpRequest) -> JsonResponse:
    """Whether requests should be sent here: the database answers. A broker or worker that is away delays work,
    it stops no page, so it is told and does not fail the probe."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"database": "away"}, status=503)
    age = heartbeat_age()
    worker = "unknown" if age is None else "late" if age > HEARTBEAT_LATE_SECONDS else "ok"
    return JsonResponse({"database": "ok", "worker": worker, "version": settings.VERSION})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "csrf.jinja", status=403)


@require_POST
def stay(request: HttpRequest) -> HttpResponse:
    """The person pressed "Stay signed in": the session middleware has recorded it."""
    return HttpResponse(status=204)
