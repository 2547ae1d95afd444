"""The Graph exchanges of late, with their bodies: for contract tests, and for whoever wonders what was sent.

Kept in memory, bounded in number and size. Tokens are never kept; tickets are kept as they were and never shown.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from .store import Json

MAX_EXCHANGES = 2000
MAX_BYTES = 16 * 1024 * 1024
REQUEST_HEADERS = ("content-type", "consistencylevel", "prefer", "client-request-id", "x-ms-throttle-priority")
ANSWER_HEADERS = (
    *("content-type", "request-id", "client-request-id", "retry-after", "location", "preference-applied"),
    *("x-ms-resource-unit", "x-ms-throttle-limit-percentage", "x-ms-throttle-scope", "x-ms-throttle-information"),
)
ODD_REQUEST = "x-odd-request"
"""A test that breaks the contract on purpose says so with this header; nothing else sends it."""
NOT_SHOWN = "(not shown)"
_TICKET = re.compile(r"(ticket(?:=|%3D))[^&%\"\s]+", re.IGNORECASE)


class Exchanges:
    """The last exchanges, oldest first. `dropped` counts those that made room for newer ones."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.dropped, self._bytes = 0, 0
        self._kept: deque[Json] = deque()

    def keep(self, request: Request, body: bytes, response: Response) -> None:
        fault = request.scope.get("devtenant.fault")
        self._kept.append(
            {
                "call": request.scope["devtenant.call"],
                "query": request.url.query,
                "status": response.status_code,
                "request": body,
                "response": bytes(response.body),
                "request_headers": _of_interest(request.headers, REQUEST_HEADERS),
                "response_headers": _of_interest(response.headers, ANSWER_HEADERS),
                "fault": fault.mode if fault else None,
                "odd_answer": bool(fault and fault.odd),
                "odd_request": ODD_REQUEST in request.headers,
            }
        )
        self._bytes += len(body) + len(response.body)
        while len(self._kept) > MAX_EXCHANGES or self._bytes > MAX_BYTES:
            oldest = self._kept.popleft()
            self._bytes -= len(oldest["request"]) + len(oldest["response"])
            self.dropped += 1

    def shown(self) -> list[Json]:
        return [_shown(kept) for kept in self._kept]

    def find(self, request_id: str) -> Json | None:
        """One exchange by the request id of its answer."""
        return next((_shown(kept) for kept in self._kept if kept["call"]["request_id"] == request_id), None)


def _shown(kept: Json) -> Json:
    """An exchange as it may be read: nothing that admits anybody."""
    bodies = {"request": _readable(kept["request"]), "response": _readable(kept["response"])}
    return {**kept["call"], **{k: v for k, v in kept.items() if k != "call"}, **bodies}


def _readable(body: bytes) -> Any:
    """The JSON of a body, its text when it is none, None when it is empty."""
    if not body:
        return None
    try:
        return _without_links(json.loads(body))
    except ValueError:
        return _TICKET.sub(rf"\1{NOT_SHOWN}", body.decode(errors="replace"))


def _without_links(value: Any) -> Any:
    """Redeem links are bearer secrets (entra.md §1)."""
    if isinstance(value, dict):
        return {k: NOT_SHOWN if k == "inviteRedeemUrl" and v else _without_links(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_links(item) for item in value]
    return _TICKET.sub(rf"\1{NOT_SHOWN}", value) if isinstance(value, str) else value


def _of_interest(headers: Headers, names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}
