"""The whole portal as `make run` starts it, on ports and data of its own, and a real browser in front of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import contract

ROOT = Path(__file__).parents[2]
expect.set_options(timeout=15_000)  # as actions below: other tests may run beside
START_SECONDS = 150
BROWSER_FLAGS = [
    "--no-sandbox",  # as root in a container Chromium has no sandbox to start
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

PRINT_SERVICES = """
import dataclasses, json
from clinicportal import embedded
print(json.dumps(dataclasses.asdict(embedded.services())))
"""


def free_ports(number: int) -> list[int]:
    """Ports that nothing listens on: `number` in a row, for the tenant's three listeners."""
    for base in range(20000 + os.getpid() % 9000 * 4, 60000, 7):
        try:
            for port in range(base, base + number):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return list(range(base, base + number))
    raise RuntimeError("no free ports")


@dataclass
class Portal:
    """A running portal and what tests may ask around it."""

    port: int
    tenant_port: int
    data: Path
    process: subprocess.Popen[str]
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://portal.localhost:{self.port}"

    @property
    def tenant(self) -> str:
        return f"http://127.0.0.1:{self.tenant_port}"

    def control(self, path: str, **arguments: Any) -> Any:
        """Ask or tell the local tenant something behind the scenes."""
        url = f"{self.tenant}/_control/{path}"
        answer = requests.post(url, json=arguments, timeout=10) if arguments else requests.get(url, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def take_exchanges(self) -> list[dict[str, Any]]:
        kept = self.control("exchanges")
        assert kept["dropped"] == 0, "more exchanges than devtenant keeps: check them in between"
        return kept["exchanges"]

    def mails(self, to: str) -> list[dict[str, Any]]:
        return [mail for mail in self.control("mails") if to in mail["to"]]

    def addresses(self) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", PRINT_SERVICES],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    def trail(self) -> list[dict[str, Any]]:
        """The audit trail, oldest first, read as the auditor; each event with its patients."""
        with psycopg.connect(self.addresses()["database_auditor_url"]) as auditor:
            rows = auditor.execute(
                """SELECT e.type, e.outcome, e.user_name, e.section, e.reason,
                          array(SELECT s.patient_id::text FROM clinicportal_auditsubject s WHERE s.event_id = e.id)
                   FROM clinicportal_auditevent e ORDER BY e.recorded"""
            ).fetchall()
        return [
            dict(zip(("type", "outcome", "who", "section", "reason", "patients"), row, strict=True)) for row in rows
        ]

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def portal() -> Iterator[Portal]:
    # Memory where there is some: the servers sync to disk as in production, which says nothing about the journeys.
    data = Path(tempfile.mkdtemp(prefix="clinicportal-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    data.chmod(0o755)
    port, tenant_port, *_ = free_ports(4)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ENTRA_", "DATABASE_", "CLINICPORTAL_", "REDIS_", "PYTEST_", "DJANGO_"))
    }
    environment = {
        **inherited,
        "PORT": str(port),
        "TENANT_PORT": str(tenant_port),
        "CLINICPORTAL_DATA_DIR": str(data),
    }
    log = data / "up.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "clinicportal.embedded", "up"],
            cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
    running = Portal(port, tenant_port, data, process, environment)
    try:
        wait_until_ready(running, log)
        with contract.kept_by(running):  # what the portal's worker asked of Graph, in all journeys
            yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)
        if os.environ.get("KEEP_JOURNEY_DATA"):
            print(f"journey data: {data}")
        else:
            shutil.rmtree(data, ignore_errors=True)


def wait_until_ready(portal: Portal, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert portal.process.poll() is None, log.read_text()
        if "The portal is at" in log.read_text():
            return
        time.sleep(0.2)
    raise AssertionError(f"not ready after {START_SECONDS} s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine: install Debian's package `chromium` (make test does where it may)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield browser
        browser.close()


class Person:
    """Someone at a browser of their own. Fails the test on any script error or blocked resource."""

    def __init__(self, browser: Browser, portal: Portal, address: str, **options: Any) -> None:
        self.portal, self.address = portal, address
        self.context: BrowserContext = browser.new_context(
            base_url=portal.url, viewport={"width": 1280, "height": 900}, **options
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._stays_home)

    def _note(self, kind: str, text: str) -> None:
        # A 4xx page is an answer, not a defect; htmx reports a preview that a newer one overtook.
        expected = "status of 4" in text or text.startswith(("htmx:afterRequest", "htmx:sendAbort"))
        if kind == "error" and not expected:
            self.complaints.append(text)

    def _stays_home(self, request: Any) -> None:
        hosts = ("portal.localhost", "login.localhost", "127.0.0.1")
        if not any(f"//{host}:" in request.url for host in hosts) and not request.url.startswith(("data:", "about:")):
            self.complaints.append(f"request to {request.url}")

    def goes_to(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def signs_in(self, *, consent: bool | None = None) -> Page:
        """Sign in at the tenant: account, consent the first time, second factor."""
        page = self.goes_to("/sign-in/")
        page.get_by_role("button", name="Sign in", exact=True).click()
        self.passes_the_tenant()
        return page

    def passes_the_tenant(self) -> None:
        """Answer whatever the tenant asks, until it sends the browser back."""
        page = self.page
        page.wait_for_url(f"**://login.localhost:{self.portal.tenant_port}/**")
        for _ in range(6):
            if "login.localhost" not in page.url:
                return
            self.answers_the_tenant()
        assert "login.localhost" not in page.url, page.url

    def answers_the_tenant(self) -> None:
        page = self.page
        heading = page.get_by_role("heading", level=1).inner_text()
        buttons = {
            "Pick an account": page.locator(f"button[value='{self.address}']").first,
            "Verify your identity": page.get_by_role("button", name="Verify"),
        }
        # Until the next page is there: this one, read once more, would be answered twice.
        with page.expect_navigation():
            buttons.get(heading, page.get_by_role("button", name="Accept")).click()
        page.wait_for_load_state()

    def confirms(self) -> None:
        """Come back from confirming that it is you: the tenant may ask something, or know it already."""
        page = self.page
        for _ in range(6):
            page.wait_for_url(lambda url: "/approve/" not in url and "/callback/" not in url)
            page.wait_for_load_state()
            if "login.localhost" not in page.url:
                return
            self.answers_the_tenant()
        assert "login.localhost" not in page.url, page.url

    def signs_out(self) -> None:
        self.page.get_by_role("button", name="Sign out").click()
        expect(self.page.get_by_role("heading", level=1, name="You are signed out")).to_be_visible()

    def reads(self, heading: str) -> None:
        expect(self.page.get_by_role("heading", level=1, name=heading)).to_be_visible()

    def leaves(self) -> None:
        self.context.close()
        assert self.complaints == []


@pytest.fixture
def person(browser: Browser, portal: Portal) -> Iterator[Any]:
    people: list[Person] = []

    def arrives(address: str, **options: Any) -> Person:
        people.append(Person(browser, portal, address, **options))
        return people[-1]

    yield arrives
    for one in people:
        one.leaves()


def eventually(check: Any, *, seconds: float = 20) -> Any:
    """Return the first true value of `check()`; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := check():
            return value
        time.sleep(0.1)
    raise AssertionError(f"nothing after {seconds} s: {check}")
