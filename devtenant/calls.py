"""/calls/: every call that this stand-in got, with its verdict, and the bodies of the Graph ones.

The list names operations, never addresses: a path may hold one. What a call said is on its own page.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .pages import page, problem, tenant_of

SHOWN = 200


async def index(request: Request) -> Response:
    """Newest first; ?operation= and ?verdict= narrow it."""
    calls = list(tenant_of(request).calls)[::-1]
    operation, verdict = request.query_params.get("operation", ""), request.query_params.get("verdict", "")
    found = [c for c in calls if operation in ("", c["operation"]) and verdict in ("", kind_of(c["verdict"]))]
    return page(
        request,
        "calls.jinja",
        calls=found[:SHOWN],
        found=len(found),
        there_are_any=bool(calls),
        operation=operation,
        verdict=verdict,
        operations=sorted({c["operation"] for c in calls} | ({operation} if operation else set())),
        verdicts=sorted({kind_of(c["verdict"]) for c in calls} | ({verdict} if verdict else set())),
    )


async def read(request: Request) -> Response:
    """One call; for Graph with what was sent and answered, redeem links left out."""
    tenant, key = tenant_of(request), request.path_params["request_id"]
    call = next((c for c in tenant.calls if c["request_id"] == key), None)
    if call is None:
        return problem(request, "There is no such call", "Only the latest calls are kept.", status=404)
    exchange = tenant.exchanges.find(key)
    bodies = [("What was sent", exchange["request"]), ("What was answered", exchange["response"])] if exchange else []
    return page(
        request,
        "call.jinja",
        call=call,
        exchange=exchange,
        bodies=[(title, _pretty(body)) for title, body in bodies if body is not None],
    )


def kind_of(verdict: str) -> str:
    """The verdict without what makes it this one: "Refused", "Throttled", "Done"…"""
    return verdict.partition(":")[0]


def _pretty(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
