"""The client: one per process, a token from MSAL, and the six calls that the job makes."""

from __future__ import annotations

import datetime as dt
import functools
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jwt
import msal
import requests
import structlog
from django.conf import settings
from urllib3.exceptions import NewConnectionError

from clinicportal.http import Session, entra_session
from partners.entra.conditional_access import People, Policy
from partners.entra.errors import ALREADY_MEMBER, TryLater, code_and_message, meaning

log = structlog.get_logger(__name__)

SPACING_SECONDS = 0.04
"""Least time between two calls of a process: four workers stay below Graph's 150 invitations in 5 seconds."""
CREDENTIALS_AGAIN = dt.timedelta(minutes=5)
USER_FIELDS = "id,userType,externalUserState,accountEnabled"


@dataclass(frozen=True)
class User:
    """A person in our directory."""

    id: uuid.UUID
    is_guest: bool
    is_pending: bool
    """Invited and not redeemed yet. False also for those who came another way (no external state)."""
    enabled: bool


@dataclass(frozen=True)
class Invited:
    """The guest that an invitation made or found, and the link that redeems it: a secret, shown in no log."""

    id: uuid.UUID
    redeem_url: str = field(repr=False)


class Graph:
    """Microsoft Graph v1.0. What it did not do comes as TryLater or Refused."""

    def __init__(self, session: Session, config: dict[str, str]) -> None:
        self._session, self._config = session, config
        self._url = config["graph_url"].rstrip("/")
        self._app: msal.ConfidentialClientApplication | None = None
        self._lock = threading.Lock()
        self._last_call = 0.0
        self._closed_until: dt.datetime | None = None

    def find_users(self, address: str) -> list[User]:
        """Everybody who has the address, in any of the places where Entra keeps one (entra-docs: invitation API)."""
        quoted = address.replace("'", "''")
        test = (
            f"userPrincipalName eq '{quoted}' or mail eq '{quoted}' "
            f"or proxyAddresses/any(x:x eq 'SMTP:{quoted}') or otherMails/any(x:x eq '{quoted}')"
        )
        answer = self._call("GET", "/users", params={"$filter": test, "$select": USER_FIELDS})
        return [_user(found) for found in answer["value"]]

    def user(self, id: uuid.UUID) -> User:
        """The person with this object id. Raises TryLater("not_there_yet") while the directory does not know them."""
        return _user(self._call("GET", f"/users/{id}", params={"$select": USER_FIELDS}))

    def invite(self, address: str, *, name: str, redirect_url: str, reset: uuid.UUID | None = None) -> Invited:
        """Invite without a mail from Microsoft. The same guest and a new link when repeated ("Create invitation").

        `reset` is the object id of a guest who redeemed with another account and shall redeem again.
        """
        body: dict[str, Any] = {
            "invitedUserEmailAddress": address,
            "invitedUserDisplayName": name,
            "inviteRedirectUrl": redirect_url,
            "sendInvitationMessage": False,
        }
        if reset:
            body |= {"resetRedemption": True, "invitedUser": {"id": str(reset)}}
        answer = self._call("POST", "/invitations", json=body)
        return Invited(uuid.UUID(answer["invitedUser"]["id"]), answer["inviteRedeemUrl"])

    def is_member(self, id: uuid.UUID) -> bool:
        """Whether the person is in the access group."""
        group = self._config["group_id"]
        answer = self._call("POST", f"/users/{id}/checkMemberGroups", json={"groupIds": [group]})
        return group in answer["value"]

    def add_member(self, id: uuid.UUID) -> None:
        """Add the person to the access group; one who is in it already is fine."""
        reference = {"@odata.id": f"{self._url}/directoryObjects/{id}"}
        self._call("POST", f"/groups/{self._config['group_id']}/members/$ref", json=reference, fine=ALREADY_MEMBER)

    def permissions(self) -> list[str]:
        """Application permissions that our token carries. Read for the operator, unverified: it decides nothing."""
        claims = jwt.decode(self._token(), options={"verify_signature": False})
        return sorted(claims.get("roles", []))

    def group_name(self) -> str:
        return self._call("GET", f"/groups/{self._config['group_id']}")["displayName"]

    def conditional_access(self, people: People) -> list[Policy]:
        """All Conditional Access policies ("List policies"). Needs the optional permission Policy.Read.All."""
        found, path = [], "/identity/conditionalAccess/policies"
        while path:
            answer = self._call("GET", path)
            if not isinstance(answer, dict) or not isinstance(answer.get("value"), list):
                raise TryLater("no_answer")
            found += [Policy.of(policy, people) for policy in answer["value"]]
            path = str(answer.get("@odata.nextLink") or "").removeprefix(self._url)
        return found

    # ---------------------------------------------------------------- the wire

    def _call(self, method: str, path: str, *, fine: str = "", **options: Any) -> Any:
        """One request and its JSON (None when there is none). A 4xx whose message holds `fine` counts as done."""
        self._wait_for_turn()
        headers = {"Authorization": f"Bearer {self._token()}", "client-request-id": str(uuid.uuid4())}
        try:
            answer = self._session.request(method, self._url + path, headers=headers, **options)
        except requests.RequestException as problem:
            _log(method, path, headers, None)
            # `from None`: requests' own messages carry the address with its query.
            raise TryLater("unreachable" if never_left(problem) else "no_answer") from None
        _log(method, path, headers, answer)
        body = _json_or_none(answer)
        if answer.ok:
            if answer.content and body is None:
                raise TryLater("no_answer")
            return body
        if fine and fine in code_and_message(body)[1]:
            return None
        refusal = meaning(answer.status_code, body, answer.headers, dt.datetime.now(dt.UTC))
        if refusal.code == "throttled" and isinstance(refusal, TryLater):
            self._closed_until = refusal.retry_at
        if refusal.code == "token_refused":
            self._app = None
        raise refusal

    def _wait_for_turn(self) -> None:
        """Keep our distance, and stay away for as long as Graph said to anyone in this process."""
        if self._closed_until and dt.datetime.now(dt.UTC) < self._closed_until:
            raise TryLater("throttled", self._closed_until)
        with self._lock:
            wait = self._last_call + SPACING_SECONDS - time.monotonic()
            self._last_call = time.monotonic() + max(0.0, wait)
        if wait > 0:
            time.sleep(wait)

    def _token(self) -> str:
        """An app-only token; MSAL keeps it until shortly before its end."""
        scope = f"https://{urlsplit(self._url).netloc}/.default"
        try:
            with self._lock:
                self._app = self._app or self._new_app()
            answer = self._app.acquire_token_for_client(scopes=[scope])
        except (requests.RequestException, ValueError) as problem:  # ValueError: MSAL found no authority there
            log.warning("token", problem=type(problem).__name__)
            raise TryLater("unreachable") from None
        if "access_token" not in answer:
            log.error("token", error=answer.get("error"), codes=answer.get("error_codes"))
            raise TryLater("credentials", dt.datetime.now(dt.UTC) + CREDENTIALS_AGAIN)
        return answer["access_token"]

    def _new_app(self) -> msal.ConfidentialClientApplication:
        authority = self._config["token_authority"]
        microsoft = (urlsplit(authority).hostname or "").endswith(
            (".microsoftonline.com", ".microsoftonline.us", ".microsoftonline.cn", ".chinacloudapi.cn")
        )
        return msal.ConfidentialClientApplication(
            self._config["graph_client_id"],
            client_credential=self._config["graph_client_secret"],
            authority=authority,
            instance_discovery=None if microsoft else False,
            http_client=self._session,
        )


def _log(method: str, path: str, headers: dict[str, str], answer: requests.Response | None) -> None:
    """One line per call: what support asks for, and nothing that names or admits a person."""
    log.info(
        "graph",
        method=method,
        operation="/".join("{id}" if part.count("-") == 4 else part for part in path.split("/")),
        status=None if answer is None else answer.status_code,
        graph_request_id=None if answer is None else answer.headers.get("request-id"),
        client_request_id=headers["client-request-id"],
        milliseconds=None if answer is None else round(answer.elapsed.total_seconds() * 1000),
    )


def never_left(problem: requests.RequestException) -> bool:
    """Whether the request surely did not reach the other side: no connection came about."""
    if isinstance(problem, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    reason = getattr(problem.args[0], "reason", None) if problem.args else None
    return isinstance(reason, NewConnectionError)


def _user(found: dict[str, Any]) -> User:
    """A null `userType` (accounts from before 2014) counts as a member: then a person looks at it."""
    return User(
        id=uuid.UUID(found["id"]),
        is_guest=found.get("userType") == "Guest",
        is_pending=found.get("externalUserState") == "PendingAcceptance",
        enabled=found.get("accountEnabled") is not False,
    )


def _json_or_none(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except requests.exceptions.JSONDecodeError:
        return None


@functools.cache
def client() -> Graph:
    """The client of this process: building one costs discovery requests and would forget the token."""
    return Graph(entra_session(), settings.ENTRA)
