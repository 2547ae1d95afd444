"""Faults that tests order in advance, the list of calls, and the front that every request passes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .store import Json

if TYPE_CHECKING:
    from .tenant import Tenant

Endpoint = Callable[[Request], Awaitable[Response]]
Failure = Callable[[Request, "Fault"], Response]
MODES = ("answer", "answer_after", "cut", "delay", "hold")


@dataclass
class Fault:
    """One ordered fault.

    Modes: "answer" refuses without processing; "answer_after" processes, then refuses all the same; "cut"
    processes, then closes the connection without an answer; "delay" waits `seconds`, then processes; "hold"
    processes, then waits `seconds` before the answer leaves.

    `body` stands in Graph's place of the usual envelope: text, or what JSON has. `odd` says that the answer breaks
    the contract on purpose, so that contract tests leave it out.
    """

    operation: str
    mode: str = "answer"
    times: int = 1
    status: int = 503
    code: str = "ServiceUnavailable"
    message: str = "Ordered by a test."
    seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    odd: bool = False


class Faults:
    """Faults waiting for their operation, first ordered first used; "*" fits every operation."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def order(self, fault: Fault) -> None:
        self.waiting.append(fault)

    def take(self, operation: str) -> Fault | None:
        for fault in self.waiting:
            if fault.operation in (operation, "*"):
                fault.times -= 1
                if fault.times <= 0:
                    self.waiting.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        self.waiting.clear()


def operation(name: str, failure: Failure) -> Callable[[Endpoint], Endpoint]:
    """Name an endpoint, for the list of calls and for faults; `failure` answers in its protocol's shape."""

    def named(endpoint: Endpoint) -> Endpoint:
        async def answer(request: Request) -> Response:
            request.scope["devtenant.operation"] = name
            fault = request.app.state.tenant.faults.take(name)
            request.scope["devtenant.fault"] = fault
            if fault is None:
                return await endpoint(request)
            return await _with_fault(fault, request, endpoint, failure)

        return answer

    return named


async def _with_fault(fault: Fault, request: Request, endpoint: Endpoint, failure: Failure) -> Response:
    if fault.mode == "answer":
        return failure(request, fault)
    if fault.mode == "delay":
        await asyncio.sleep(fault.seconds)
        return await endpoint(request)
    response = await endpoint(request)
    if fault.mode == "hold":
        request.app.state.tenant.store.flush()
        await asyncio.sleep(fault.seconds)
        return response
    if fault.mode == "answer_after":
        return failure(request, fault)
    request.scope["devtenant.cut"] = True
    return response


class Front:
    """What every request passes: ids, the flush before the answer, the list of calls, the cut connection."""

    def __init__(self, app: ASGIApp, tenant: Tenant) -> None:
        self.app = app
        self.tenant = tenant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        call = _call(scope)
        scope["devtenant.call"] = call

        async def flush_then_send(message: Message) -> None:
            self.tenant.store.flush()  # whoever has an answer can rely on it after a kill
            if scope.get("devtenant.cut"):
                return
            if message["type"] == "http.response.start":
                call["status"] = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, flush_then_send)
        finally:
            call["operation"] = scope.get("devtenant.operation")
            call["seconds"] = round(time.time() - call["at"], 4)
            call["cut"] = bool(scope.get("devtenant.cut"))
            call["verdict"] = call["verdict"] or _verdict(call)
            if call["operation"]:
                self.tenant.calls.append(call)
            if scope.get("devtenant.cut"):
                _cut(send)


def _call(scope: Scope) -> Json:
    """One line of the list of calls. The path without its query: tickets, codes and addresses live there."""
    headers = dict(scope["headers"])
    request_id = str(uuid.uuid4())
    return {
        "at": time.time(),
        "method": scope["method"],
        "path": scope["path"],
        "status": None,
        "permission": None,
        "verdict": None,
        "request_id": request_id,
        "client_request_id": headers.get(b"client-request-id", request_id.encode()).decode("latin-1"),
    }


def _verdict(call: Json) -> str:
    """In words, where nothing more is known than how it ended."""
    if call["cut"]:
        return "As a test ordered: cut"
    if call["status"] is None:
        return "Not answered"
    if call["status"] < 400:
        return "Answered" if call["method"] == "GET" else "Done"
    return "Refused"


def _cut(send: Any) -> None:
    """Close the connection under an answer that was never sent.

    ASGI has no word for it, so this reaches for uvicorn's h11 cycle, whose bound method `send` is.
    """
    cycle = send.__self__
    cycle.disconnected = True  # or uvicorn would add a 500 of its own
    cycle.transport.abort()
