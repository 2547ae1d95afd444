"""Sessions in PostgreSQL: 15 minutes idle, 8 hours at most, ended by a DELETE.

An idle session ends 15 minutes after its last recorded request; a request is recorded at most every
30 seconds, so that reading a chart does not write a row for each click.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpRequest
from django.utils import timezone

from clinicportal.models import Session

RECORD_EVERY = timedelta(seconds=30)
BACKGROUND = "X-Background"
"""Header of requests that a page makes by itself, such as polling: they do not keep a session alive."""
STARTED, SEEN, SID = "started_at", "seen_at", "sid"


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row: Session = super().create_model_instance(data)  # type: ignore[assignment]
        row.user_id = data.get("_auth_user_id")
        row.sid = data.get(SID, "")
        return row

    def get_expiry_age(self, **kwargs: Any) -> int:
        """Seconds from now until the session ends if nothing more is asked of it."""
        left = settings.SESSION_ABSOLUTE_SECONDS
        if started := self.get(STARTED):
            left -= int((timezone.now() - datetime.fromisoformat(started)).total_seconds())
        return max(0, min(settings.SESSION_IDLE_SECONDS, left))

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        return timezone.now() + timedelta(seconds=self.get_expiry_age())

    def start(self) -> None:
        """Begin the eight hours: at sign-in, once."""
        self[STARTED] = self[SEEN] = timezone.now().isoformat()

    def touch(self) -> None:
        """Record that the person is still there."""
        seen = self.get(SEEN)
        if seen and timezone.now() - datetime.fromisoformat(seen) > RECORD_EVERY:
            self[SEEN] = timezone.now().isoformat()


class SessionMiddleware(DjangoSessionMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        if BACKGROUND in request.headers:  # a page that keeps itself up to date is nobody being there
            return
        request.session.touch()  # type: ignore[attr-defined]


def end_of_tenant(sid: str) -> list[Session]:
    """End the sessions that began with this sign-in at the tenant; return the rows that are gone."""
    ended = list(Session.objects.filter(sid=sid)) if sid else []
    Session.objects.filter(pk__in=[row.pk for row in ended]).delete()
    return ended


def end_all(user_id: Any) -> int:
    """End every session of a person; the next request of each is turned away. Returns how many there were."""
    count, _ = Session.objects.filter(user_id=user_id).delete()
    return count
