"""Collections: $filter, $search, $orderby, $count, $top and pages, with the rules of advanced queries (entra.md §2)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from .. import odata
from ..errors import GraphError
from ..pages import base_of, tenant_of
from ..store import Json
from .wire import GRAPH, bad_request, reply, reply_text

MAX_PAGE = 999
ORDERED_BY_DEFAULT = {"displayName", "userPrincipalName"}
_SEARCH = re.compile(r'"(\w+):([^"]+)"')

Shape = Callable[[Json], Json]


def collection(request: Request, kind: str, found: list[Json], shape: Shape) -> Response:
    """One page; the rest by @odata.nextLink, to be followed verbatim. There is no $skip (entra.md §2)."""
    if "$skip" in request.query_params:
        raise bad_request("'$skip' is not supported by the service.")
    size, start = _page_size(request), _start(request)
    body: Json = {"@odata.context": f"{GRAPH}/$metadata#{kind}"}
    if is_advanced(request):  # without the header $count=true is ignored without a word (entra.md §2)
        body["@odata.count"] = len(found)
    if start + size < len(found):
        query = {**request.query_params, "$skiptoken": _skip_token(request, start + size)}
        body["@odata.nextLink"] = f"{base_of(request)}{request.url.path}?{urlencode(query)}"
    body["value"] = [shape(item) for item in found[start : start + size]]
    return reply(request, body)


def directory_query(request: Request, found: list[Json], properties: set[str]) -> list[Json]:
    """Apply $filter, $search and $orderby to directory objects, or refuse as the directory does."""
    check_advanced(request)
    found = searched(request, filtered(request, found, properties))
    return _ordered(request, found, properties)


def count(request: Request, found: list[Json], properties: set[str]) -> Response:
    """/$count, a number as text; without the header it is refused (entra.md §2)."""
    if not is_eventual(request):
        raise bad_request("$count is not currently supported.")
    return reply_text(request, str(len(searched(request, filtered(request, found, properties)))))


def condition(request: Request, properties: set[str]) -> odata.Condition | None:
    """What $filter asks, or None without one."""
    text = request.query_params.get("$filter")
    if text is None:
        return None
    try:
        return odata.condition(text, properties, advanced=is_advanced(request) or _is_count(request))
    except odata.BadFilter as refusal:
        raise GraphError(400, refusal.code, str(refusal)) from None


def filtered(request: Request, found: list[Json], properties: set[str]) -> list[Json]:
    asked = condition(request, properties)
    return found if asked is None else [item for item in found if asked.test(item)]


def searched(request: Request, found: list[Json]) -> list[Json]:
    """$search="displayName:word": needs the header (entra.md §2)."""
    text = request.query_params.get("$search")
    if text is None:
        return found
    if not is_eventual(request):
        text = "Request with $search query parameter only works through MSGraph with a special request header: "
        raise GraphError(400, "Request_UnsupportedQuery", text + "'ConsistencyLevel: eventual'")
    match = _SEARCH.fullmatch(text)
    if match is None:
        raise GraphError(400, "BadRequest", f"Syntax error: {text} is no search clause.")
    name, word = match[1], match[2].lower()
    return [item for item in found if word in (item.get(name) or "").lower()]


def is_eventual(request: Request) -> bool:
    return request.headers.get("consistencylevel", "").lower() == "eventual"


def is_advanced(request: Request) -> bool:
    return is_eventual(request) and request.query_params.get("$count") == "true"


def check_advanced(request: Request) -> None:
    """$filter with $orderby is an advanced query, and those do not go with $expand (entra.md §2)."""
    asked = request.query_params
    if "$expand" in asked:
        if is_advanced(request):
            raise _unsupported("$expand is not supported with advanced query capabilities.")
        raise GraphError(501, "notImplemented", "devtenant does not model $expand.", verdict="Not modelled here")
    if "$filter" in asked and "$orderby" in asked and not is_advanced(request):
        raise _unsupported("Sorting not supported for current query.")


def needs_eventual(request: Request, what: str) -> None:
    """Casts on transitive lists are advanced queries (entra.md §2)."""
    if not is_advanced(request):
        raise _unsupported(f"{what} needs the header ConsistencyLevel: eventual and $count=true.")


def _ordered(request: Request, found: list[Json], properties: set[str]) -> list[Json]:
    text = request.query_params.get("$orderby")
    if text is None:
        return found
    name, _, way = text.strip().partition(" ")
    if name not in properties or way.strip() not in ("", "asc", "desc"):
        raise GraphError(400, "BadRequest", f"Invalid $orderby clause: {text}.")
    if name not in ORDERED_BY_DEFAULT and not is_advanced(request):
        raise _unsupported(f"Sorting by {name} is not supported for current query.")
    return sorted(found, key=lambda item: str(item.get(name) or "").lower(), reverse=way.strip() == "desc")


def _unsupported(text: str) -> GraphError:
    return GraphError(400, "Request_UnsupportedQuery", text)


def _is_count(request: Request) -> bool:
    return request.url.path.endswith("/$count") and is_eventual(request)


# -- pages ------------------------------------------------------------------------------------------------------


def _page_size(request: Request) -> int:
    """100 unless told, 999 at most (entra.md §2)."""
    text = request.query_params.get("$top", "100")
    if not text.isdigit():
        raise GraphError(400, "BadRequest", f"'{text}' is not a number.")
    if not 0 < int(text) <= MAX_PAGE:
        raise _unsupported(f"Invalid page size specified: '{text}'. Must be between 1 and {MAX_PAGE} inclusive.")
    return int(text)


def _skip_token(request: Request, start: int) -> str:
    return base64.urlsafe_b64encode(f"{start}.{_digest(request)}".encode()).decode().rstrip("=")


def _start(request: Request) -> int:
    """Where the page begins. A link that was taken apart and put together differently is refused."""
    token = request.query_params.get("$skiptoken")
    if token is None:
        return 0
    try:
        start, _, digest = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().partition(".")
    except ValueError:
        start, digest = "", ""
    if not start.isdigit() or digest != _digest(request):
        raise GraphError(400, "Request_BadRequest", "The specified page token value is invalid or has expired.")
    return int(start)


def _digest(request: Request) -> str:
    """Of the query that a page belongs to."""
    query = sorted((k, v) for k, v in request.query_params.items() if k != "$skiptoken")
    tenant = tenant_of(request)
    return hashlib.sha256(f"{tenant.port} {request.url.path} {query}".encode()).hexdigest()[:12]
