"""GET /users/delta and /groups/delta: what changed since the last time (entra.md §11).

A token is opaque to clients and encodes the query: kind, properties, ids, the revision from which on changes are new,
and when it was given out. Pages are cut by revision, so that what changes between two pages comes with the next round.
Memberships show in the delta at once, whatever `membership_lag` says.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from ..changes import Entry
from ..errors import GraphError
from ..pages import base_of, tenant_of
from ..store import Json
from .groups import GROUP_PROPERTIES
from .users import READ_USERS, selected_names, user_body
from .wire import GRAPH, bad_request, graph_operation, reply

TOKEN_LIFETIME = 7 * 24 * 3600
MAX_IDS = 50
_IDS = re.compile(r"id eq '([^']+)'(?: or id eq '[^']+')*", re.IGNORECASE)
_ID = re.compile(r"id eq '([^']+)'", re.IGNORECASE)
_OPTIONS = {"$select", "$filter", "$deltatoken", "$skiptoken", "$expand"}


@graph_operation("GET /users/delta", *READ_USERS)
async def users(request: Request) -> Response:
    """Does not report sponsors or groups ([K])."""
    return _answer(request, "users")


@graph_operation("GET /groups/delta", "Group.ReadBasic.All", "GroupMember.Read.All", "GroupMember.ReadWrite.All")
async def groups(request: Request) -> Response:
    """With members@delta, unless $select leaves members out."""
    return _answer(request, "groups")


def _answer(request: Request, kind: str) -> Response:
    tenant = tenant_of(request)
    state = _state(request, kind)
    changes = tenant.changes[kind]
    body: Json = {"@odata.context": f"{GRAPH}/$metadata#{kind}/$delta"}
    if state.pop("latest", False):
        body |= {"@odata.deltaLink": _link(request, "$deltatoken", {**state, "from": changes.last}), "value": []}
        return reply(request, body)
    size = int(tenant.settings["delta_page"])
    upto = state.setdefault("upto", changes.last)
    cursor = int(state.get("cursor") or state["from"])
    fresh = [entry for entry in changes.newer_than(cursor) if entry.revision <= upto]
    page, rest = fresh[:size], fresh[size:]
    late = [] if "cursor" in state else _became_readable(request, kind, state)
    shown = [_shape(request, entry, state) for entry in [*late, *page] if _is_shown(request, entry, state)]
    if tenant.settings["delta_replays"] and shown:
        shown.append(shown[0])
    if rest:
        link = _link(request, "$skiptoken", {**state, "cursor": page[-1].revision})
        body["@odata.nextLink"] = link
    else:
        kept = {name: state[name] for name in ("kind", "names", "ids")}
        body["@odata.deltaLink"] = _link(request, "$deltatoken", {**kept, "from": upto, **_given_out(request)})
    body["value"] = shown
    minimal = _is_minimal(request)
    return reply(request, body, headers={"Preference-Applied": "return=minimal"} if minimal else None)


# -- the query and its token ------------------------------------------------------------------------------------


def _state(request: Request, kind: str) -> Json:
    """What the token says, or else the query; a token stands for its whole query."""
    asked = request.query_params
    token = asked.get("$skiptoken") or asked.get("$deltatoken")
    if token and token != "latest":  # noqa: S105 - a word of the protocol
        return _read(request, kind, token)
    if unknown := {name for name in asked if name.startswith("$")} - _OPTIONS:
        raise bad_request(f"The query option {sorted(unknown)[0]} is not supported by delta.")
    if "$expand" in asked:
        raise GraphError(501, "notImplemented", "devtenant does not model $expand.", verdict="Not modelled here")
    names = _names(kind, asked.get("$select"))
    state: Json = {"kind": kind, "names": names, "ids": _ids(asked.get("$filter")), "from": 0, **_given_out(request)}
    return {**state, "latest": True} if token else state


def _given_out(request: Request) -> Json:
    tenant = tenant_of(request)
    return {"at": tenant.now(), "epoch": tenant.delta_epoch}


def _names(kind: str, asked: str | None) -> list[str]:
    if kind == "users":
        return selected_names(asked)
    if not asked:
        return [*sorted(GROUP_PROPERTIES), "members"]
    names = [name.strip() for name in asked.split(",")]
    if unknown := set(names) - GROUP_PROPERTIES - {"members"}:
        text = f"Could not find a property named '{min(unknown)}' on type 'microsoft.graph.group'."
        raise GraphError(400, "BadRequest", text)
    return names


def _ids(text: str | None) -> list[str] | None:
    """Of all filters, only `id eq` is answered, for 50 objects at most (entra.md §11)."""
    if text is None:
        return None
    if not _IDS.fullmatch(text.strip()):
        raise GraphError(400, "Request_UnsupportedQuery", "Delta queries filter by id eq only.")
    found = [key.lower() for key in _ID.findall(text)]
    if len(found) > MAX_IDS:
        raise GraphError(400, "Request_UnsupportedQuery", f"Delta queries filter by {MAX_IDS} ids at most.")
    return found


def _link(request: Request, option: str, state: Json) -> str:
    packed = json.dumps(state, separators=(",", ":")).encode()
    token = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return f"{base_of(request)}/v1.0/{state['kind']}/delta?{quote(option, safe='$')}={token}"


def _read(request: Request, kind: str, token: str) -> Json:
    """The state of a token of ours. Raises 410 for one that is too old, or that a control took back."""
    tenant = tenant_of(request)
    try:
        state = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        given, epoch, names = state["at"], state["epoch"], state["names"]
    except (ValueError, KeyError, TypeError):
        raise bad_request("Badly formed token.") from None
    if state["kind"] != kind:
        raise bad_request("Badly formed token.")
    if epoch != tenant.delta_epoch or given + TOKEN_LIFETIME < tenant.now():
        query = {"$select": ",".join(names)}
        if state["ids"]:
            query["$filter"] = " or ".join(f"id eq '{key}'" for key in state["ids"])
        again = f"{base_of(request)}/v1.0/{kind}/delta?{urlencode(query, safe='$,')}"
        text = "The sync state generation is not found; sync from the start again."
        raise GraphError(410, "syncStateNotFound", text, {"Location": again}, verdict="Gone: sync from the start")
    return state


# -- entries ----------------------------------------------------------------------------------------------------


def _became_readable(request: Request, kind: str, state: Json) -> list[Entry]:
    """Users whose change is older than the token, but whom reads have shown only since."""
    if kind != "users" or not state["from"]:
        return []
    tenant, entries = tenant_of(request), []
    for user in tenant.store.all("users"):
        if state["at"] < user.get("_readable_at", 0) <= tenant.now():
            entry = tenant.changes[kind].entry(user["id"])
            if entry and entry.revision <= state["from"]:
                entries.append(entry)
    return entries


def _is_shown(request: Request, entry: Entry, state: Json) -> bool:
    """Not those of other ids, nor the not yet replicated; a first round has no use for the removed."""
    if state["ids"] is not None and entry.id not in state["ids"]:
        return False
    if entry.removed:
        return bool(state["from"])
    user = tenant_of(request).store.get("users", entry.id)
    return user is None or tenant_of(request).is_readable(user)


def _shape(request: Request, entry: Entry, state: Json) -> Json:
    """A tombstone, the asked properties, or with Prefer: return=minimal the changed ones only."""
    if entry.removed:
        return {"id": entry.id, "@removed": {"reason": entry.removed}}
    names = [name for name in state["names"] if name != "members"]
    values = user_body(entry.value, names) if state["kind"] == "users" else {n: entry.value.get(n) for n in names}
    if _is_minimal(request) and entry.created <= state["from"]:
        values = {name: value for name, value in values.items() if entry.since.get(name, 0) > state["from"]}
    shape: Json = {"id": entry.id, **values}
    if "members" in state["names"]:
        shape |= _members(entry, state["from"])
    return shape


def _members(entry: Entry, since: int) -> Json:
    """Who came and who left since; in a first round nobody left."""
    found: list[dict[str, Any]] = []
    for member, (revision, here) in entry.members.items():
        if revision > since and here:
            found.append({"@odata.type": "#microsoft.graph.user", "id": member})
        elif revision > since and since:
            found.append({"@odata.type": "#microsoft.graph.user", "id": member, "@removed": {"reason": "deleted"}})
    return {"members@delta": found} if found else {}


def _is_minimal(request: Request) -> bool:
    return "return=minimal" in request.headers.get("prefer", "").replace(" ", "")
