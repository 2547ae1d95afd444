"""What a request is after our middleware, for annotations."""

from __future__ import annotations

from django.http import HttpRequest

from clinicportal.models import User
from clinicportal.sessions import SessionStore


class AnyRequest(HttpRequest):
    """With an id (clinicportal.middleware.RequestFacts); the person may be anonymous."""

    id: str
    session: SessionStore


class Request(AnyRequest):
    """By somebody who is signed in (clinicportal.middleware.SignInRequired)."""

    user: User
