"""What every request gets: an id, an origin for the audit, a sign-in, and refusals that are written down."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.module_loading import import_string

from clinicportal import audit
from clinicportal.models import User
from clinicportal.proofs import Unproved
from clinicportal.rules import IllegalTransition
from clinicportal.viewing import NoViewer

log = structlog.get_logger(__name__)

ROLES_HOLD_FOR = timedelta(hours=1)
"""Staff roles come with the ID token; after this the tenant is asked again."""

ORGANISATION, MFA, CAPACITIES, PROOFS = "organisation", "mfa_proved_at", "capacities", "proofs"
"""Session keys: the organisation that the person acts for, when a token proved a second factor, User.capacities, and
User.proofs (times as ISO text)."""


class Refused(Exception):
    """Absent and forbidden look the same: a 404, recorded as `entry` after the request's transaction is gone."""

    def __init__(self, entry: audit.Entry) -> None:
        super().__init__(entry.type)
        self.entry = entry


class RequestFacts:
    """Give the request an id and the audit its origin; keep every answer out of every cache."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(uuid.uuid4())
        request.id = request_id  # type: ignore[attr-defined]
        token = audit.origin.set(audit.Origin(source_ip=client_ip(request), request_id=request_id))
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                response = self.get_response(request)
        finally:
            audit.origin.reset(token)
        response.headers["X-Request-Id"] = request_id
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def client_ip(request: HttpRequest) -> str:
    """The address of the browser, as the outermost trusted proxy saw it; never what a client claims."""
    forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    proxies = settings.ALLAUTH_TRUSTED_PROXY_COUNT
    if proxies and len(forwarded) >= proxies:
        return forwarded[-proxies]
    return request.META.get("REMOTE_ADDR", "")


class SignInRequired(LoginRequiredMiddleware):
    """Every page needs a sign-in unless it says otherwise; the session's facts go onto `request.user`."""

    def process_view(self, request: HttpRequest, view_func, view_args, view_kwargs):
        user = request.user
        if user.is_authenticated:
            organisation = request.session.get(ORGANISATION)
            user.acting_for = UUID(organisation) if organisation else None
            user.mfa_proved = MFA in request.session
            user.proofs = {name: datetime.fromisoformat(at) for name, at in request.session.get(PROOFS, {}).items()}
            user.capacities = frozenset(request.session.get(CAPACITIES, ()))
            if user.is_staff_member and roles_are_stale(user):
                logout(request)
                return super().process_view(request, view_func, view_args, view_kwargs)
            here = audit.origin.get()
            audit.origin.set(
                audit.Origin(here.source_ip, here.request_id, audit.session_hash(request.session.session_key))
            )
        return super().process_view(request, view_func, view_args, view_kwargs)


def roles_are_stale(user: User) -> bool:
    return user.roles_checked_at is None or timezone.now() - user.roles_checked_at > ROLES_HOLD_FOR


class Refusals:
    """Turn what views raise into pages, and write refusals down where no rollback reaches them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, Refused):
            audit.record_refusal(exception.entry)
            return render(request, "404.jinja", status=404)
        if isinstance(exception, Unproved):
            return import_string(settings.CONFIRM)(request, exception)
        if isinstance(exception, PermissionDenied):
            audit.record_refusal(
                audit.Entry(audit.Type.REFUSED, by=request.user, object_id=request.path, reason=str(exception))
            )
            return render(request, "403.jinja", {"reason": str(exception)}, status=403)
        if isinstance(exception, IllegalTransition):  # where the view has no better page for who came second
            return render(request, "409.jinja", status=409)
        if isinstance(exception, DatabaseError):
            # Also when the audit could not be written: then nothing is shown.
            log.error("database", error=type(exception).__name__)
            return render(request, "503.jinja", status=503)
        if isinstance(exception, NoViewer):
            log.error("no viewer", path=request.resolver_match and request.resolver_match.view_name)
        return None
