"""People at plain HTTP: a sponsor who asks and an approver who decides, through the portal's pages and the tenant's.

What a page answered is all they know: "accepted" means that the answer said so.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import requests

from clinicportal.http import Session
from tests.devtenant.conftest import Form
from tests.killing.portal import Portal, Trouble

LEAVING = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')
STEPS = {
    "Review permissions": ("step", "accept"),
    "Permissions requested": ("step", "accept"),
    "Verify your identity": ("step", "verify"),
}
AGAIN_AFTER = 0.25  # seconds
Outcome = TypeVar("Outcome")


class Browser:
    """Follows redirects and the page that leaves for another site, and answers what the tenant asks."""

    def __init__(self, portal: Portal, address: str) -> None:
        self.portal, self.address = portal, address
        hosts = {urlsplit(url).netloc for url in (portal.here.url, portal.here.tenant)}
        self.session = Session({*hosts, f"login.localhost:{portal.here.port + 1}"})
        self.failures = 0
        """Answers that never came or were no answer: what a person would see as "try again"."""

    def request(self, url: str, data: dict | None = None) -> requests.Response:
        """One request and its answer; no redirect is followed."""
        url = urljoin(self.portal.here.url, url)
        answer = self.session.request("GET" if data is None else "POST", url, data=data)
        answer.url = url  # by name, not by 127.0.0.1
        return answer

    def open(self, url: str, data: dict | None = None) -> requests.Response:
        """Where one ends up."""
        return self.follow(self.request(url, data))

    def follow(self, answer: requests.Response) -> requests.Response:
        for _ in range(15):
            leaving = LEAVING.search(answer.text)
            if answer.is_redirect:
                answer = self.request(urljoin(answer.url, answer.headers["Location"]))
            elif leaving:
                answer = self.request(html.unescape(leaving[1]))
            elif (urlsplit(answer.url).hostname or "").startswith("login."):
                answer = self.pass_the_tenant(answer)
            else:
                return answer
        raise Trouble(f"{self.address} is sent around in circles at {answer.url.partition('?')[0]}")

    def pass_the_tenant(self, page: requests.Response) -> requests.Response:
        form = Form(page.text)
        name, value = STEPS.get(form.heading, ("account", self.address))
        fields = form.forms[0]["fields"] if name == "step" else self.picking(form)
        return self.request(urljoin(page.url, form.forms[0]["action"]), {**fields, name: value})

    def picking(self, form: Form) -> dict[str, str]:
        if form.heading != "Pick an account":
            raise Trouble(f"the tenant shows {self.address} “{form.heading}”")
        return form.forms[0]["fields"]

    def sign_in(self) -> None:
        page = self.open("/sign-in/")
        if urlsplit(page.url).path == "/sign-in/":
            page = self.open("/sign-in/", Form(page.text).forms[-1]["fields"])
        if page.status_code != 200:
            raise Trouble(f"{self.address} cannot sign in: {page.status_code} at {page.url.partition('?')[0]}")

    @property
    def token(self) -> str:
        """The token against forged requests: the pages' forms hold it, and the cookie does too."""
        return self.session.cookies.get("csrf") or ""

    def persist(self, attempt: Callable[[], Outcome | None], what: str, *, seconds: float = 90) -> Outcome:
        """Try again and again, as a patient person would, until `attempt` comes to something."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(requests.RequestException):
                if (outcome := attempt()) is not None:
                    return outcome
            self.failures += 1
            time.sleep(AGAIN_AFTER)
        raise Trouble(f"{self.address}: {what}: no success within {seconds:g} s")

    def send(self, url: str, data: dict) -> requests.Response:
        """Send a form and see where it leads: also to a sign-in that the portal wants first."""
        return self.open(url, {**data, "csrfmiddlewaretoken": self.token})


class Sponsor(Browser):
    """Asks for colleagues, with the form as it comes."""

    def prepare(self) -> None:
        self.sign_in()
        page = self.open("/people/add/")
        caseloads = re.findall(r'name="caseloads"[^>]*value="([^"]+)"', page.text)
        until = re.search(r'name="until"[^>]*value="([^"]+)"', page.text)
        if not caseloads or not until:
            raise Trouble(f"the form does not show: {page.status_code} at {page.url}")
        self.usual = {"caseloads": caseloads[0], "see": "usual", "until": html.unescape(until[1]), "statement": "on"}

    def ask(self, address: str, number: int) -> bool:
        """True when an answer said that it is asked for; False when that answer was lost and the request is there."""
        person = {"email": address, "first_name": "Kill", "last_name": f"Person {number}", "why": "New in the team"}

        def attempt() -> bool | None:
            page = self.send("/people/add/", {**self.usual, **person})
            if page.ok and re.fullmatch(r"/requests/\d+/", urlsplit(page.url).path):
                return True
            return False if "already" in page.text else unless_away(page)

        return self.persist(attempt, f"ask for {address}")


class Approver(Browser):
    def prepare(self) -> None:
        self.sign_in()
        self.open("/approvals/")

    def approve(self, request: int) -> None:
        """Until the page of the request, after the answer, has nothing more to decide."""
        decision = f"/approvals/{request}/"

        def attempt() -> bool | None:
            page = self.send(f"{decision}approve/", {})
            if page.ok and urlsplit(page.url).path == decision:
                return f"{decision}approve/" not in page.text or None
            return unless_away(page)

        self.persist(attempt, f"approve request {request}")


def unless_away(page: requests.Response) -> None:
    """A page that says "try again" is no answer. Raises Trouble for any other that was not expected."""
    if page.status_code < 500:
        raise Trouble(f"{page.status_code} at {urlsplit(page.url).path}: {Form(page.text).heading}")
