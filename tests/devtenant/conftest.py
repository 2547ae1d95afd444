"""A stand-in tenant in a process of its own, and people who use it through real pages."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import jwt
import pytest
import requests

from devtenant.keys import KEY_FILES
from tests import contract

TENANT = "11111111-1111-4111-8111-111111111111"
SIGNIN_CLIENT = "22222222-2222-4222-8222-222222222222"
SIGNIN_SECRET = "devtenant-signin-secret"
GRAPH_CLIENT = "33333333-3333-4333-8333-333333333333"
GRAPH_SECRET = "devtenant-graph-secret"
GROUP = "44444444-4444-4444-8444-444444444444"
REDIRECT = "http://portal.localhost:8000/accounts/callback/"
REPOSITORY = Path(__file__).parents[2]


def free_port() -> int:
    """The first of three free ports in a row."""
    while True:
        port = secrets.randbelow(12000) + 20000
        sockets = [socket.socket() for _ in range(3)]
        try:
            for offset, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        else:
            return port
        finally:
            for probe in sockets:
                probe.close()


class Process:
    """One devtenant, with its own data directory; `kill` and `start` again to see what survives."""

    def __init__(self, data: Path, port: int | None = None, more: Sequence[str] = ()) -> None:
        self.data, self.port, self.more = data, port or free_port(), more
        self.base = f"http://127.0.0.1:{self.port}"
        self.issuer = f"http://login.localhost:{self.port}/{TENANT}/v2.0"
        self.https = f"https://localhost:{self.port + 1}"
        self._token = ""
        self._exchanges: list[dict[str, Any]] = []
        self._lost = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "devtenant", "--port", str(self.port), "--data", str(self.data), *self.more]
        self.child = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        assert self.child.stdout is not None
        self.ready = self.child.stdout.readline()
        assert self.ready.startswith("devtenant ready at ")

    def kill(self) -> None:
        self._read_exchanges()
        self.child.kill()
        self.child.wait(10)

    def stop(self) -> int:
        self._read_exchanges()
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(10)

    # -- control ------------------------------------------------------------------------------------------------

    def read(self, what: str = "", **query: Any) -> Any:
        answer = requests.get(f"{self.base}/_control/{what}", params=query, timeout=5)
        answer.raise_for_status()
        return answer.json()

    def do(self, what: str, **arguments: Any) -> Any:
        """Order something. Permissions are in the token, so that the next call takes a new one."""
        if what in ("clear-calls", "reset", "scenario"):
            self._read_exchanges()
        if what in ("permissions", "reset", "scenario"):
            self._token = ""
        answer = requests.post(f"{self.base}/_control/{what}", json=arguments, timeout=5)
        assert answer.ok, answer.text
        return answer.json()

    def take_exchanges(self) -> list[dict[str, Any]]:
        """The Graph exchanges since the last time. None may be missing."""
        if self.child.poll() is None:
            self.do("clear-calls")
        taken, lost = self._exchanges, self._lost
        self._exchanges, self._lost = [], 0
        assert lost == 0, "more exchanges than devtenant keeps: take some in between"
        return taken

    def _read_exchanges(self) -> None:
        """Take them before they are forgotten; a process that ended took what it had with it."""
        if self.child.poll() is None:
            kept = self.read("exchanges")
            self._exchanges += kept["exchanges"]
            self._lost += kept["dropped"]

    # -- Graph --------------------------------------------------------------------------------------------------

    def app_token(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": GRAPH_CLIENT,
            "client_secret": GRAPH_SECRET,
            "scope": "https://graph.microsoft.com/.default",
        }
        if not self._token:
            answer = requests.post(f"{self.base}/{TENANT}/oauth2/v2.0/token", data=form, timeout=5)
            self._token = answer.json()["access_token"]
        return self._token

    def graph(
        self, method: str, path: str, body: Any = None, *, odd: bool = False, **options: Any
    ) -> requests.Response:
        """One call. `odd`: it breaks the contract on purpose (tests/contract.py)."""
        headers = {"Authorization": f"Bearer {self.app_token()}", **options.pop("headers", {})}
        if odd:
            headers["X-Odd-Request"] = "on purpose"
        url = f"{self.https}/v1.0{path}"
        return requests.request(
            method, url, json=body, headers=headers, verify=str(self.data / "ca.pem"), timeout=5, **options
        )

    def invite(self, address: str, *, odd: bool = False, **more: Any) -> requests.Response:
        body = {"invitedUserEmailAddress": address, "inviteRedirectUrl": "http://portal.localhost:8000/welcome/x/"}
        return self.graph("POST", "/invitations", body | more, odd=odd)

    def add_to_group(self, user: str) -> requests.Response:
        link = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{user}"}
        return self.graph("POST", f"/groups/{GROUP}/members/$ref", link)

    def admit(self, address: str) -> str:
        """Invite and add to the access group. Returns the guest's id."""
        guest = self.invite(address).json()["invitedUser"]["id"]
        assert self.add_to_group(guest).status_code == 204
        return guest


class Form(HTMLParser):
    """What a browser would know of a page: title, headings, and each form with its fields and buttons."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.heading, self._in_heading = "", False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({"action": given["action"], "fields": {}, "buttons": []})
        elif tag == "input" and given.get("type") == "hidden":
            self.forms[-1]["fields"][given["name"]] = given["value"]
        elif tag == "button":
            self.forms[-1]["buttons"].append((given.get("name"), given.get("value")))
        self._in_heading = tag == "h1"

    def handle_data(self, data: str) -> None:
        if self._in_heading:
            self.heading += data.strip()
            self._in_heading = False


class Person:
    """Someone with a browser: follows redirects by hand, keeps cookies, sends the forms that the pages hold.

    Names under .localhost are this machine in every browser; `requests` has to be told, with a Host header.
    """

    def __init__(self, tenant: Process) -> None:
        self.tenant = tenant
        self.cookies: dict[str, str] = {}
        self._page: requests.Response | None = None
        self.left_to: str | None = None  # the address outside the tenant that the browser was sent to

    @property
    def page(self) -> requests.Response:
        assert self._page is not None, "no page was opened yet"
        return self._page

    @property
    def heading(self) -> str:
        return Form(self.page.text).heading

    def open(self, url: str, data: dict[str, str] | None = None) -> Person:
        self.left_to = None
        method = "POST" if data is not None else "GET"
        while True:
            parts = urlsplit(url)
            if parts.port not in (self.tenant.port, self.tenant.port + 1):
                self.left_to = url
                return self
            plain = parts._replace(netloc=f"127.0.0.1:{parts.port}").geturl()
            self._page = requests.request(
                method,
                plain,
                data=data,
                headers={"Host": parts.netloc, "Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())},
                allow_redirects=False,
                timeout=5,
                verify=str(self.tenant.data / "ca.pem"),
            )
            self.cookies.update(self.page.cookies.get_dict())
            if not self.page.is_redirect:
                self.url = url
                return self
            url, method, data = urljoin(url, self.page.headers["location"]), "GET", None

    def press(self, value: str) -> Person:
        """Press the button with this value."""
        for form in Form(self.page.text).forms:
            for name, known in form["buttons"]:
                if known == value:
                    return self.open(urljoin(self.url, form["action"]), {**form["fields"], name: value})
        raise AssertionError(f"no button {value} on {self.heading!r}: {self.page.text}")

    def type_address(self, address: str, kind: str = "") -> Person:
        form = Form(self.page.text).forms[-1]
        return self.open(urljoin(self.url, form["action"]), {**form["fields"], "address": address, "kind": kind})

    def type_code(self, code: str) -> Person:
        form = Form(self.page.text).forms[0]
        return self.open(urljoin(self.url, form["action"]), {**form["fields"], "step": "code", "code": code})

    def passcode(self, address: str) -> str:
        """The code of the newest mail."""
        return self.tenant.read("mails", to=address)[0]["text"].partition("verification code: ")[2].split()[0]

    def start(self, **changes: str) -> Person:
        """Go to authorize as the portal would send a browser there."""
        self.verifier = secrets.token_urlsafe(48)
        self.nonce = secrets.token_urlsafe(12)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": SIGNIN_CLIENT,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": "openid profile email",
            "state": "the-state",
            "nonce": self.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "claims": json.dumps({"id_token": {"acrs": {"essential": True, "value": "c1"}}}),
        } | changes
        prepared = requests.Request("GET", self.tenant.issuer, params={k: v for k, v in query.items() if v}).prepare()
        assert prepared.url is not None
        return self.open(prepared.url.replace("/v2.0?", "/oauth2/v2.0/authorize?"))

    @property
    def answer(self) -> dict[str, str]:
        """Parameters that the browser brought back to the portal."""
        assert self.left_to is not None, f"still at {self.heading!r}"
        assert self.left_to.startswith(REDIRECT)
        return {name: values[0] for name, values in parse_qs(urlsplit(self.left_to).query).items()}

    def redeem_code(self, **changes: str) -> requests.Response:
        """What the portal's back channel does: 127.0.0.1 with the browser-facing name as Host."""
        form = {
            "grant_type": "authorization_code",
            "code": self.answer["code"],
            "redirect_uri": REDIRECT,
            "client_id": SIGNIN_CLIENT,
            "client_secret": SIGNIN_SECRET,
            "code_verifier": self.verifier,
        } | changes
        url = f"{self.tenant.base}/{TENANT}/oauth2/v2.0/token"
        headers = {"Host": f"login.localhost:{self.tenant.port}"}
        return requests.post(url, data=form, headers=headers, timeout=5)

    def claims(self) -> dict[str, Any]:
        """The ID token, verified as a careful app would."""
        token = self.redeem_code().json()["id_token"]
        keys = jwt.PyJWKSet.from_dict(
            requests.get(f"{self.tenant.base}/{TENANT}/discovery/v2.0/keys", timeout=5).json()
        )
        key = keys[jwt.get_unverified_header(token)["kid"]]
        required = ["exp", "iat", "nbf", "iss", "aud", "sub", "oid", "tid", "nonce"]
        claims = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=SIGNIN_CLIENT,
            issuer=self.tenant.issuer,
            leeway=5,
            options={"require": required},
        )
        assert claims["nonce"] == self.nonce
        return claims

    def sign_in(self, address: str, **changes: str) -> dict[str, Any]:
        """The whole way, pressing whatever the pages ask for."""
        self.start(**changes)
        for _ in range(5):
            if self.left_to:
                break
            if self.heading == "Enter code":
                self.type_code(self.passcode(address))
                continue
            step = {
                "Pick an account": address,
                "Review permissions": "accept",
                "Permissions requested": "accept",
                "Verify your identity": "verify",
            }[self.heading]
            if step == address and f'value="{address}"' not in self.page.text:
                self.type_address(address)
            else:
                self.press(step)
        return self.claims()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("tenant"))
    yield process
    process.child.terminate()
    process.child.wait(10)


@pytest.fixture
def tenant(running: Process) -> Iterator[Process]:
    """A fresh tenant without replication lag, in the process that all tests share.

    Conditional Access is not throttled: its one request a second would make every test of policies wait. Each
    exchange is held against the contract when the test ends.
    """
    running.do("reset")
    running.do("settings", lag=0, limits={"conditional_access": None})
    with contract.kept_by(running):
        yield running


@pytest.fixture
def own_tenant(tmp_path: Path, running: Process) -> Iterator[Process]:
    """A process of one's own, to be killed and started again, with the keys of the shared one: new ones take time."""
    (tmp_path / "tenant").mkdir()
    for key in KEY_FILES:
        shutil.copy2(running.data / key, tmp_path / "tenant" / key)
    process = Process(tmp_path / "tenant")
    try:
        process.do("settings", lag=0)
        with contract.kept_by(process):
            yield process
    finally:
        process.child.kill()
        process.child.wait(10)


@pytest.fixture
def browser(tenant: Process) -> Person:
    return Person(tenant)


@pytest.fixture
def another_browser(tenant: Process) -> Callable[[], Person]:
    return lambda: Person(tenant)


def until(check: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.05)
    return False
