"""The client: one per process, and the calls that the portal makes, each let through by the traffic rules."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jwt
import requests
import structlog
from django.conf import settings
from urllib3.exceptions import NewConnectionError

from clinicportal.http import Session, entra_session
from partners.entra import credentials
from partners.entra.conditional_access import People, Policy
from partners.entra.errors import ALREADY_MEMBER, Refused, TryLater, code_and_message, meaning

log = structlog.get_logger(__name__)

USER_FIELDS = "id,userType,externalUserState,accountEnabled,createdDateTime"
CHANGE_FIELDS = "id,externalUserState,accountEnabled"
IDS_AT_ONCE = 15
"""Ids in one filter: more than 15 expressions are refused."""


class Traffic(Protocol):
    """The rules that all workers share (partners/traffic.py). Each call enters, and ends in one of the others."""

    def enter(self, operation: str, *, domain: str = "") -> Any:
        """Wait for a moment if need be, and return a pass. Raises TryLater where the call may not go out now."""

    def answered(self, permit: Any, headers: Mapping[str, str]) -> None: ...

    def failed(self, permit: Any, problem: TryLater | Refused, *, detail: str = "", request_id: str = "") -> None: ...


class NoTraffic:
    """Every call at once: for commands that look on, and tests without a database."""

    def enter(self, operation: str, *, domain: str = "") -> None:
        pass

    def answered(self, permit: Any, headers: Mapping[str, str]) -> None:
        pass

    def failed(self, permit: Any, problem: TryLater | Refused, *, detail: str = "", request_id: str = "") -> None:
        pass


@dataclass(frozen=True)
class User:
    """A person in our directory."""

    id: uuid.UUID
    is_guest: bool
    is_pending: bool
    """Invited and not redeemed yet. False also for those who came another way (no external state)."""
    enabled: bool
    created_at: dt.datetime | None = None


@dataclass(frozen=True)
class Invited:
    """The guest that an invitation made or found, and the link that redeems it: a secret, shown in no log."""

    id: uuid.UUID
    redeem_url: str = field(repr=False)


@dataclass(frozen=True)
class Change:
    """What a delta query says of one account: a hint, repeated and out of order (entra.md §11). None: not said."""

    id: uuid.UUID
    removed: bool
    enabled: bool | None
    is_pending: bool | None

    def agrees(self, user: User | None) -> bool:
        """Whether the account reads as the hint says."""
        if user is None or self.removed:
            return self.removed and user is None
        return self.enabled in (None, user.enabled) and self.is_pending in (None, user.is_pending)


@dataclass(frozen=True)
class Changes:
    """One page of them, and where to go on: with the next page, or (`is_last`) another time."""

    changes: list[Change]
    link: str
    is_last: bool


class Graph:
    """Microsoft Graph v1.0. What it did not do comes as TryLater or Refused."""

    def __init__(self, session: Session, config: dict[str, str], traffic: Traffic | None = None) -> None:
        self._session, self._config = session, config
        self._traffic = traffic or NoTraffic()
        self._url = config["graph_url"].rstrip("/")
        self._tokens = credentials.Tokens(session, config)

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

    def invite(
        self,
        address: str,
        *,
        name: str,
        redirect_url: str,
        reset: uuid.UUID | None = None,
        sponsor: uuid.UUID | None = None,
    ) -> Invited:
        """Invite without a mail from Microsoft. The same guest and a new link when repeated ("Create invitation").

        `reset` is the object id of a guest who redeemed with another account and shall redeem again. `sponsor` is the
        member of our staff whom the directory shall name: an app that invites is none (entra.md §1).
        """
        body: dict[str, Any] = {
            "invitedUserEmailAddress": address,
            "invitedUserDisplayName": name,
            "inviteRedirectUrl": redirect_url,
            "sendInvitationMessage": False,
        }
        if reset:
            body |= {"resetRedemption": True, "invitedUser": {"id": str(reset)}}
        if sponsor:
            body["invitedUserSponsors@odata.bind"] = [f"{self._url}/users/{sponsor}"]
        # Who holds a role in the directory cannot be reset by an app: that 403 is about this person alone.
        answer = self._call("POST", "/invitations", json=body, domain=address.rpartition("@")[2], personal=bool(reset))
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
        claims = jwt.decode(self._tokens.get(), options={"verify_signature": False})
        return sorted(claims.get("roles", []))

    def proves_itself_by(self) -> str:
        """ "secret", "certificate" or "federated token"."""
        return credentials.kind(self._config)

    def group_name(self) -> str:
        return self._call("GET", f"/groups/{self._config['group_id']}", params={"$select": "displayName"})[
            "displayName"
        ]

    def who_may_invite(self) -> str:
        """`allowInvitesFrom` of the tenant. Needs Policy.Read.All, which the job itself does not."""
        return self._call("GET", "/policies/authorizationPolicy")["allowInvitesFrom"]

    def users(self, ids: Iterable[uuid.UUID]) -> Iterator[User]:
        """Those of these people whom the directory lists."""
        for some in batched([str(id) for id in ids], IDS_AT_ONCE):
            listed = ",".join(f"'{id}'" for id in some)
            answer = self._call("GET", "/users", params={"$filter": f"id in ({listed})", "$select": USER_FIELDS})
            yield from (_user(found) for found in answer["value"])

    def changes_from_now(self) -> str:
        """The link that will tell what changes from now on."""
        select = {"$select": CHANGE_FIELDS, "$deltatoken": "latest"}
        return self._page(self._call("GET", "/users/delta", params=select)).link

    def changes(self, link: str) -> Changes:
        """What an earlier answer's link leads to. Raises Refused("sync_state_gone") when it is too old."""
        path, _, query = link.partition("?")
        # The query apart: it holds the token, which no log needs.
        return self._page(self._call("GET", path.removeprefix(self._url), params=query))

    def _page(self, answer: Any) -> Changes:
        following = answer.get("@odata.nextLink")
        link = following or answer["@odata.deltaLink"]
        if not link.startswith(self._url + "/users/delta"):
            raise Refused("unknown_refusal")
        return Changes([_change(found) for found in answer["value"]], link, is_last=not following)

    def other_addresses(self, id: uuid.UUID) -> list[str]:
        """Further addresses of the person (otherMails)."""
        return self._call("GET", f"/users/{id}", params={"$select": "otherMails"})["otherMails"] or []

    def set_other_addresses(self, id: uuid.UUID, addresses: list[str]) -> None:
        """Needs User.ReadWrite.All, which nothing else here does."""
        self._call("PATCH", f"/users/{id}", json={"otherMails": addresses}, personal=True)

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

    def _call(
        self, method: str, path: str, *, fine: str = "", domain: str = "", personal: bool = False, **options: Any
    ) -> Any:
        """One request and its JSON (None when there is none). A 4xx whose message holds `fine` counts as done.

        `domain` is the partner's, where a refusal may be about it; with `personal` a missing right concerns the person
        at hand, not everybody.
        """
        operation = _operation(method, path)
        permit = self._traffic.enter(operation, domain=domain)
        try:
            answer = self._send(method, path, operation, options)
        except TryLater as trouble:
            self._traffic.failed(permit, trouble, detail=operation)
            raise
        body = _json_or_none(answer)
        done = answer.status_code < 300  # a redirect, which is not followed, is a refusal nobody knows
        if (done and not (answer.content and body is None)) or (fine and fine in code_and_message(body)[1]):
            self._traffic.answered(permit, answer.headers)
            return body if done else None
        if done:
            problem: TryLater | Refused = TryLater("no_answer")
        else:
            problem = meaning(answer.status_code, body, answer.headers, dt.datetime.now(dt.UTC))
        if personal and problem.code == "not_permitted":
            problem = Refused("not_permitted")
        if problem.code == "token_refused":
            self._tokens.forget()
        detail = f"{operation} {answer.status_code} {code_and_message(body)[0]}".strip()
        self._traffic.failed(permit, problem, detail=detail, request_id=answer.headers.get("request-id", ""))
        raise problem

    def _send(self, method: str, path: str, operation: str, options: dict[str, Any]) -> requests.Response:
        headers = {"Authorization": f"Bearer {self._tokens.get()}", "client-request-id": str(uuid.uuid4())}
        try:
            answer = self._session.request(method, self._url + path, headers=headers, **options)
        except requests.RequestException as problem:
            _log(operation, headers, None)
            # `from None`: requests' own messages carry the address with its query.
            raise TryLater("unreachable" if never_left(problem) else "no_answer") from None
        _log(operation, headers, answer)
        return answer


def _operation(method: str, path: str) -> str:
    """ "POST /groups/{id}/members/$ref": the name by which limits, gates, logs and incidents know a call."""
    return method + " " + "/".join("{id}" if part.count("-") == 4 else part for part in path.split("/"))


def _log(operation: str, headers: dict[str, str], answer: requests.Response | None) -> None:
    """One line per call: what support asks for, and nothing that names or admits a person."""
    log.info(
        "graph",
        operation=operation,
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
        created_at=_moment(found.get("createdDateTime")),
    )


def _change(found: dict[str, Any]) -> Change:
    return Change(
        id=uuid.UUID(found["id"]),
        removed="@removed" in found,
        enabled=found.get("accountEnabled"),
        is_pending=found["externalUserState"] == "PendingAcceptance" if "externalUserState" in found else None,
    )


def batched(items: list[str], size: int) -> Iterator[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _moment(text: str | None) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _json_or_none(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except requests.exceptions.JSONDecodeError:
        return None


def onlooker() -> Graph:
    """A client that no traffic rule holds back, for a look by hand."""
    return Graph(entra_session(), settings.ENTRA)


@functools.cache
def client() -> Graph:
    """The client of this process: building one costs discovery requests and would forget the token."""
    from partners.traffic import SharedTraffic  # it raises what this package means by "later"

    return Graph(entra_session(), settings.ENTRA, SharedTraffic())
