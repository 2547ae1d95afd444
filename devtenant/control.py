"""/_control/: what tests read and set. JSON in, JSON out; the README lists it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import credentials, crosstenant, mail, people, registrations, scenarios, seed, throttling
from .conditional_access import STATES
from .errors import GraphError, Mistake
from .faults import MODES, Fault
from .graph import conditional_access
from .identities import GRAPH_CLIENT, SIGNIN_CLIENT
from .pages import tenant_of
from .store import Json
from .tenant import Tenant

SETTABLE: dict[str, Callable[[Any], bool]] = {
    "lag": lambda v: _is_time(v),
    "write_lag": lambda v: v is None or _is_time(v),
    "membership_lag": lambda v: _is_time(v),
    "index_lag": lambda v: _is_time(v),
    "lag_jitter": lambda v: _is_time(v),
    "lag_seed": lambda v: type(v) is int,
    "not_there_code": lambda v: v in ("Request_ResourceNotFound", "Directory_ObjectNotFound"),
    "allow_unknown_accounts": lambda v: isinstance(v, bool),
    "allow_invites_from": lambda v: (
        v in ("none", "adminsAndGuestInviters", "adminsGuestInvitersAndAllMembers", "everyone")
    ),
    "blocked_domains": lambda v: _are_words(v),
    "allowed_domains": lambda v: _are_words(v),
    "unfindable_addresses": lambda v: _are_words(v),
    "blocked_user_status": lambda v: v in (400, 412),
    "passcodes": lambda v: isinstance(v, bool),
    "refuse_used_assertions": lambda v: isinstance(v, bool),
    "suspicious": lambda v: isinstance(v, bool),
    "invitations_per_day": lambda v: v is None or (type(v) is int and v > 0),
    "delta_page": lambda v: type(v) is int and 0 < v <= 999,
    "delta_replays": lambda v: isinstance(v, bool),
    **throttling.SETTABLE,
}


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word == word.lower() for word in value)


def _json_endpoint(verb: Callable[[Tenant, Json], Any]) -> Callable[[Request], Any]:
    """A POST whose body is one JSON object of arguments for `verb`."""

    async def answer(request: Request) -> Response:
        if _comes_from_a_page(request):
            return JSONResponse({"error": "Pages may not control the stand-in."}, status_code=403)
        try:
            asked = json.loads(await request.body() or b"{}")
            if not isinstance(asked, dict):
                raise Mistake("Send one JSON object.")
            return JSONResponse(verb(tenant_of(request), asked) or {"ok": True})
        except (Mistake, ValueError) as mistake:
            return JSONResponse({"error": str(mistake)}, status_code=400)

    return answer


def _comes_from_a_page(request: Request) -> bool:
    """A web page of anywhere can post to this machine through its reader's browser; browsers then say Origin."""
    return "origin" in request.headers


# -- reading ----------------------------------------------------------------------------------------------------


async def summary(request: Request) -> Response:
    tenant = tenant_of(request)
    return JSONResponse(
        {
            "settings": tenant.settings,
            "permissions": tenant.permissions(),
            "limits": tenant.throttle.used(tenant.settings, tenant.store.count("users"), tenant.now()),
            "mfa": {p["displayName"]: p["state"] for p in tenant.store.all("policies")},
            "faults": [asdict(fault) for fault in tenant.faults.waiting],
            "counts": {
                name: tenant.store.count(name)
                for name in ("accounts", "users", "deleted", "groups", "invitations", "mails", "sessions")
            },
            "calls": len(tenant.calls),
        }
    )


async def users(request: Request) -> Response:
    """Every user, replicated or not, with home account and sponsors."""
    return JSONResponse(tenant_of(request).store.all("users"))


async def groups(request: Request) -> Response:
    """Every group, with the ids of its members as "_members", shown to Graph already or not."""
    store = tenant_of(request).store
    members = {g["id"]: [m["member"] for m in store.find("members", "group", g["id"])] for g in store.all("groups")}
    return JSONResponse([{**group, "_members": members[group["id"]]} for group in store.all("groups")])


async def invitations(request: Request) -> Response:
    """Every invitation without its ticket: who wants the link reads the mail."""
    found = tenant_of(request).store.all("invitations")
    return JSONResponse([{k: v for k, v in item.items() if k != "ticket"} for item in found])


async def calls(request: Request) -> Response:
    """Calls oldest first; ?operation= names one, ?since= a moment (epoch seconds)."""
    wanted, since = request.query_params.get("operation"), float(request.query_params.get("since", "0"))
    found = [c for c in tenant_of(request).calls if c["at"] >= since and wanted in (None, c["operation"])]
    return JSONResponse(found)


async def signins(request: Request) -> Response:
    """The sign-in log, oldest first, in the words of Graph's signIn; `_contexts` were asked for (entra.md §15)."""
    return JSONResponse(list(tenant_of(request).signins))


async def exchanges(request: Request) -> Response:
    """The Graph exchanges that are still kept, oldest first, with bodies; `dropped` made room for them."""
    kept = tenant_of(request).exchanges
    return JSONResponse({"exchanges": kept.shown(), "dropped": kept.dropped})


async def scenario_list(_request: Request) -> Response:
    return JSONResponse([{"name": name, **found} for name, found in scenarios.known().items()])


async def mails(request: Request) -> Response:
    return JSONResponse(mail.newest_first(tenant_of(request), request.query_params.get("to", "")))


# -- changing ---------------------------------------------------------------------------------------------------


def set_settings(tenant: Tenant, asked: Json) -> Json:
    for name, value in asked.items():
        if name not in SETTABLE:
            raise Mistake(f"There is no setting {name}; there are {', '.join(SETTABLE)}.")
        if not SETTABLE[name](value):
            raise Mistake(f"{value!r} is not a value for {name}.")
    lists = {**tenant.settings, **asked}
    if lists["allowed_domains"] and lists["blocked_domains"]:  # one list type at a time (entra.md §7)
        raise Mistake("A tenant keeps a list of allowed domains or of blocked ones, not both.")
    tenant.set_settings(**asked)
    return tenant.settings


def fail_next(tenant: Tenant, asked: Json) -> Json:
    """{"operation", "mode": answer|answer_after|cut|delay|hold, "times", "status", "code", "message", "headers"}

    "body" replaces Graph's envelope (text, or anything JSON); "odd": true says that it breaks the contract on purpose.
    """
    try:
        fault = Fault(**asked)
    except TypeError as mistake:
        raise Mistake(str(mistake)) from None
    if fault.mode not in MODES:
        raise Mistake(f"There is no mode {fault.mode}; there are {', '.join(MODES)}.")
    tenant.faults.order(fault)
    return asdict(fault)


def clear_faults(tenant: Tenant, _asked: Json) -> None:
    tenant.faults.clear()


def set_mfa(tenant: Tenant, asked: Json) -> Json:
    """{"context": "c1", "required": false}, or {"app": true, ...} for every sign-in to the portal.

    Not required means that no policy is bound; the context is then still granted (entra.md §6). `every_time` asks
    again after five minutes; `state` is one of Graph's words, so that a policy can be there and not be enforced (§5).
    """
    if asked.get("app"):
        policy = seed.app_policy(SIGNIN_CLIENT)
    elif isinstance(asked.get("context"), str):
        policy = seed.context_policy(asked["context"], "everyTime" if asked.get("every_time") else None)
    else:
        raise Mistake('Name a "context", or say "app": true.')
    policy["state"] = asked.get("state", "enabled")
    if policy["state"] not in STATES:
        raise Mistake(f"There is no state {policy['state']}; there are {', '.join(STATES)}.")
    if asked.get("required", True):
        tenant.store.put("policies", policy["id"], policy)
    else:
        tenant.store.remove("policies", policy["id"])
    return {p["displayName"]: p["state"] for p in tenant.store.all("policies")}


def add_policy(tenant: Tenant, asked: Json) -> Json:
    """A Conditional Access policy as one would POST it to Graph, without the permissions (entra.md §5)."""
    try:
        return conditional_access.create(tenant, asked)
    except GraphError as refusal:
        raise Mistake(refusal.message) from None


def set_permissions(tenant: Tenant, asked: Json) -> Json:
    """{"permissions": ["User.Invite.All", ...]}: what the next token of the Graph app carries."""
    wanted = asked.get("permissions")
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        raise Mistake('Send {"permissions": [...]}.')
    app = tenant.app(GRAPH_CLIENT)
    if app is None:
        raise Mistake("The Graph app is gone.")
    tenant.store.put("apps", GRAPH_CLIENT, {**app, "permissions": wanted})
    return {"permissions": wanted}


def enable_user(tenant: Tenant, asked: Json) -> Json:
    """{"user": id or address, "enabled": false}: block the sign-in of a user of our tenant."""
    return tenant.save_user({**_user(tenant, asked), "accountEnabled": bool(asked.get("enabled", False))})


def delete_user(tenant: Tenant, asked: Json) -> None:
    tenant.delete_user(_user(tenant, asked))


def set_lag(tenant: Tenant, asked: Json) -> Json:
    """{"user": id or address, "read": 5, "write": 30}: how long one object is away, from now or from its invitation."""
    read: Any = asked.get("read", 0)
    write: Any = asked.get("write", read)
    if not _is_time(read) or not _is_time(write):
        raise Mistake('Send {"user": …, "read": seconds, "write": seconds}.')
    key = str(asked.get("user", "")).lower()
    if found := tenant.user(key) or next(iter(tenant.users_with_address(key)), None):
        return tenant.set_lag(found, read, write)
    if "@" not in key:
        raise Mistake(f"There is no user {key}.")
    tenant.set_settings(lag_of={**tenant.settings["lag_of"], key: [read, write]})
    return {key: [read, write]}


def restore_user(tenant: Tenant, asked: Json) -> Json:
    """{"user": id}: take somebody out of the bin."""
    return tenant.restore_user(_deleted(tenant, asked))


def delete_for_good(tenant: Tenant, asked: Json) -> None:
    """{"user": id}: what 30 days in the bin do (entra.md §2)."""
    tenant.delete_for_good(_deleted(tenant, asked))


def _deleted(tenant: Tenant, asked: Json) -> Json:
    found = next((user for user in tenant.deleted_users() if user["id"] == asked.get("user")), None)
    if found is None:
        raise Mistake(f"There is no deleted user {asked.get('user')}.")
    return found


def revoke_sessions(tenant: Tenant, asked: Json) -> None:
    """{"user": id or address}: what an administrator does in Entra's own pages (entra.md §2)."""
    tenant.revoke_sessions(_user(tenant, asked))


def give_directory_role(tenant: Tenant, asked: Json) -> Json:
    """{"user": id or address, "role": "Global Reader"}: apps cannot touch such a user (entra.md §1 reset, §2)."""
    user, role = _user(tenant, asked), asked.get("role")
    if not isinstance(role, str) or not role:
        raise Mistake('Send {"user": …, "role": "Global Reader"}.')
    return tenant.save_user({**user, "_directory_roles": [*user.get("_directory_roles", []), role]})


def give_proxy_address(tenant: Tenant, asked: Json) -> Json:
    """{"address": …, "owner": "group" | "contact" | id or address of a user}: somebody else has the address already."""
    address, owner = asked.get("address"), asked.get("owner")
    if not isinstance(address, str) or "@" not in address:
        raise Mistake('Send {"address": …, "owner": "group" | "contact" | "user@…"}.')
    proxy = f"smtp:{address.lower()}"
    if owner == "contact":
        return tenant.store.put("contacts", address.lower(), {"id": address.lower(), "proxyAddresses": [proxy]})
    if owner == "group":
        group = tenant.store.all("groups")[0]
        return tenant.store.put("groups", group["id"], {**group, "proxyAddresses": [proxy]})
    user = _user(tenant, {"user": owner})
    return tenant.save_user({**user, "proxyAddresses": [*user["proxyAddresses"], proxy]})


def add_group(tenant: Tenant, asked: Json) -> Json:
    """{"name": …}: another group, for memberships in groups of groups."""
    name = asked.get("name")
    if not isinstance(name, str) or not name:
        raise Mistake('Send {"name": …}.')
    group = seed.group(seed.object_id(f"group:{name}"), name, "")
    return tenant.store.put("groups", group["id"], group)


def expire_delta(tenant: Tenant, _asked: Json) -> None:
    """Delta tokens given out so far are gone (entra.md §11)."""
    tenant.expire_delta()


def _user(tenant: Tenant, asked: Json) -> Json:
    key = str(asked.get("user", ""))
    found = tenant.user(key) or next(iter(tenant.users_with_address(key)), None)
    if found is None:
        raise Mistake(f"There is no user {key}.")
    return found


def advance(tenant: Tenant, asked: Json) -> Json:
    """{"seconds": 10}: move the directory's clock, so that replication and second factors age.

    Tokens keep real time, or no one would accept them.
    """
    seconds = asked.get("seconds")
    if not isinstance(seconds, int | float) or seconds < 0:
        raise Mistake('Send {"seconds": 10}.')
    tenant.set_settings(clock_offset=tenant.settings["clock_offset"] + seconds)
    return {"clock_offset": tenant.settings["clock_offset"]}


def rotate_keys(tenant: Tenant, _asked: Json) -> Json:
    return {"kid": tenant.keys.rotate()}


def drop_old_keys(tenant: Tenant, _asked: Json) -> Json:
    """Publish only the newest key: what ends some time after a rotation (entra.md §9)."""
    return {"dropped": tenant.keys.drop_old()}


def bad_token(tenant: Tenant, asked: Json) -> None:
    """{"claims": {"aud": "other", "iat": null}, "sign": "none", "user": "…"}: what is wrong with the next ID token.

    A claim set to null is left out; `sign` is one of Keys.sign_badly's ways, or absent for a good signature; `user`
    makes it a token of somebody else.
    """
    how = asked.get("sign")
    if how not in (None, "none", "hs256", "foreign", "unknown-kid", "no-kid"):
        raise Mistake(f"There is no way to sign called {how}.")
    other = _user(tenant, asked)["id"] if asked.get("user") else None
    tenant.bad_tokens.append({"claims": asked.get("claims") or {}, "sign": how, "user": other})


def clear_mails(tenant: Tenant, _asked: Json) -> None:
    for item in tenant.store.all("mails"):
        tenant.store.remove("mails", item["id"])


def clear_calls(tenant: Tenant, _asked: Json) -> None:
    tenant.calls.clear()
    tenant.exchanges.clear()


def reset(tenant: Tenant, _asked: Json) -> None:
    tenant.reset()


READING = {
    "": summary,
    "users": users,
    "groups": groups,
    "invitations": invitations,
    "calls": calls,
    "exchanges": exchanges,
    "mails": mails,
    "scenarios": scenario_list,
    "signins": signins,
}
VERBS: dict[str, Callable[[Tenant, Json], Any]] = {
    "settings": set_settings,
    "fail-next": fail_next,
    "clear-faults": clear_faults,
    "mfa": set_mfa,
    "policies": add_policy,
    "permissions": set_permissions,
    "enable-user": enable_user,
    "delete-user": delete_user,
    "delete-for-good": delete_for_good,
    "restore-user": restore_user,
    "revoke-sessions": revoke_sessions,
    "directory-role": give_directory_role,
    "proxy-address": give_proxy_address,
    "groups": add_group,
    "lag": set_lag,
    "expire-delta": expire_delta,
    "advance": advance,
    "rotate-keys": rotate_keys,
    "drop-old-keys": drop_old_keys,
    "bad-token": bad_token,
    "clear-mails": clear_mails,
    "clear-calls": clear_calls,
    "reset": reset,
    **credentials.CONTROLS,
    **crosstenant.CONTROLS,
    **people.CONTROLS,
    **registrations.CONTROLS,
}


def apply_scenario(tenant: Tenant, asked: Json) -> Json:
    """{"name": "slow-directory", "keep": false}: a scripted set-up, in a fresh tenant unless told to keep it."""
    return scenarios.apply(tenant, str(asked.get("name", "")), VERBS, keep=bool(asked.get("keep")))


def routes() -> list[Route]:
    changing = {**VERBS, "scenario": apply_scenario}
    made = [Route(f"/_control/{name}", endpoint, methods=["GET"]) for name, endpoint in READING.items()]
    made += [Route(f"/_control/{name}", _json_endpoint(verb), methods=["POST"]) for name, verb in changing.items()]
    return made
