"""A browser in front of both: the portal's real views, and the real stand-in tenant in its own process."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from django.conf import settings
from django.test import Client

from clinicportal.models import Session
from tests.devtenant.conftest import Form, Person, Process


class Visitor:
    """Somebody who goes back and forth between the portal and the tenant."""

    def __init__(self, tenant: Process, client: Client | None = None) -> None:
        self.tenant = tenant
        self.client = client or Client(headers={"host": "portal.localhost"})
        self.person = Person(tenant)

    def starts(self, **fields: str) -> str:
        """Press "Sign in"; the address at the tenant that the browser is sent to."""
        return leaves_for(self.client.post("/sign-in/", fields))

    def passes(self, url: str, address: str) -> str:
        """Answer whatever the tenant asks; the path and query that the browser comes back with."""
        self.person.open(url)
        for _ in range(8):
            if self.person.left_to:
                break
            step = {
                "Pick an account": address,
                "Review permissions": "accept",
                "Permissions requested": "accept",
                "Verify your identity": "verify",
            }[self.person.heading]
            self.person.press(step)
        assert self.person.left_to, self.person.heading
        parts = urlsplit(self.person.left_to)
        return f"{parts.path}?{parts.query}"

    def cancels(self) -> str:
        """Press Cancel on the tenant's page at hand; the path and query that the browser comes back with."""
        action = Form(self.person.page.text).forms[0]["action"]
        self.person.open(urljoin(self.person.url, action), {"step": "cancel"})
        assert self.person.left_to, self.person.heading
        parts = urlsplit(self.person.left_to)
        return f"{parts.path}?{parts.query}"

    def comes_back(self, path: str) -> Any:
        return self.client.get(path)

    def signs_in(self, address: str) -> Any:
        return self.comes_back(self.passes(self.starts(), address))

    @property
    def session(self) -> Session | None:
        """The row of the session of somebody who is signed in here."""
        cookie = self.client.cookies.get(settings.SESSION_COOKIE_NAME)
        return Session.objects.filter(pk=cookie.value).exclude(user=None).first() if cookie else None


def leaves_for(answer: Any) -> str:
    """The address that a page of ours goes on to."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.content.decode())
    assert found, f"{answer.status_code} {answer.content.decode()[:3000]}"
    return unescape(found.group(1))


def parameters_of(url: str) -> dict[str, str]:
    """The parameters of an authorisation request."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
