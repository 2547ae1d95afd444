"""The directory of our tenant and the rules that it keeps, apart from any protocol."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import random
import secrets
import time
import uuid
from collections import deque

from . import changes, crosstenant, homes, seed
from .exchanges import Exchanges
from .faults import Faults
from .identities import GRAPH_CLIENT, OUR_DOMAIN, OUR_TENANT, service_principal_id
from .keys import Keys
from .store import Json, Store
from .throttling import Throttle

HOUR = 3600
DAY = 24 * HOUR
DAYS_IN_THE_BIN = 30  # a deleted user can be restored for so long (entra.md §2)


class Tenant:
    """Everything this process knows: accounts, guests, groups, apps, policies, browser sessions and mails.

    Objects are plain dicts in Graph's spelling; keys that start with "_" are ours and never leave through Graph.
    """

    def __init__(self, store: Store, keys: Keys, port: int) -> None:
        self.store = store
        self.keys = keys
        self.port = port
        self.faults = Faults()
        self.calls: deque[Json] = deque(maxlen=5000)
        self.exchanges = Exchanges()
        self.throttle = Throttle()
        self.bad_tokens: deque[Json] = deque()
        self.signins: deque[Json] = deque(maxlen=1000)
        self.delta_epoch = new_token(6)
        self._dice = random.Random()  # noqa: S311 - makes up delays, no secrets
        for collection, name, words_of in INDEXES:
            store.index(collection, name, words_of)
        self.changes = changes.follow(store)
        if not store.get("settings", "all"):
            self.reset()
        self._take_over_older_journal()
        self._drop_the_ephemeral()

    def reset(self) -> None:
        """Back to a fresh tenant; signing keys and certificates stay, since clients hold on to them."""
        self.store.forget()
        self.faults.clear()
        self.calls.clear()
        self.exchanges.clear()
        self.throttle.clear()
        self.bad_tokens.clear()
        self.signins.clear()
        self.expire_delta()
        self._dice.seed(0)
        seed.fill(self.store)
        self.store.flush()

    @property
    def browser_base(self) -> str:
        return f"http://login.localhost:{self.port}"

    @property
    def settings(self) -> Json:
        found = self.store.get("settings", "all")
        assert found is not None  # noqa: S101 - seeded in __init__
        return found

    def set_settings(self, **changed: object) -> None:
        self.store.put("settings", "all", {**self.settings, **changed})
        if "lag_seed" in changed:
            self._dice.seed(self.settings["lag_seed"])
        if changed.get("suspicious") is False:  # lifted: the day's count begins anew
            self.set_settings(counted_from=self.now())

    def now(self) -> float:
        """The directory's clock: real time, moved ahead by /_control/advance. Tokens use real time."""
        return time.time() + self.settings["clock_offset"]

    # -- accounts and home tenants ------------------------------------------------------------------------------

    def organisation(self, tenant_id: str) -> Json | None:
        return self.store.get("organisations", tenant_id)

    def organisation_of(self, address: str) -> Json | None:
        """The home tenant that owns the address's domain."""
        domain = address.rpartition("@")[2].lower()
        return next((o for o in self.store.all("organisations") if o["domain"] == domain), None)

    def account(self, account_id: str | None) -> Json | None:
        return self.store.get("accounts", account_id)

    def accounts_by_address(self, address: str) -> list[Json]:
        """Every home account with this address: one may be a work account and another a personal one."""
        return self.store.find("accounts", "address", address.strip().lower())

    def account_by_address(self, address: str, kind: str | None = None) -> Json | None:
        """The account that redemption would find for an address, or the one of a kind (entra.md §8).

        What a guest redeemed with once stays their identity, even if a better account came later.
        """
        found = [a for a in self.accounts_by_address(address) if kind in (None, a["kind"])]
        linked = [a for a in found if self.guest_of(a)]
        return min(linked or found, key=lambda a: homes.KINDS.index(a["kind"]), default=None)

    def federation_of(self, address: str) -> Json | None:
        """The SAML or WS-Fed federation that is set up for the address's domain (entra.md §8)."""
        return self.store.get("federations", homes.domain_of(address))

    def kind_for(self, address: str) -> str:
        """The kind that a new account with this address would be (entra.md §8)."""
        home, federated = self.organisation_of(address), self.federation_of(address)
        passcodes = self.settings["passcodes"]
        return homes.kind_for(address, has_tenant=bool(home), is_federated=bool(federated), passcodes=passcodes)

    def add_account(self, address: str, *, name: str | None = None, purpose: str = "", kind: str | None = None) -> Json:
        """Give a person an account: `kind` is one of homes.KINDS, or None for what redemption would choose.

        A work account needs a home tenant and a federated one a federation that own the domain (entra.md §8). Raises
        ValueError with a sentence when they are missing.
        """
        address = address.strip().lower()
        kind = kind or self.kind_for(address)
        home, federation = self.organisation_of(address), self.federation_of(address)
        if kind == "entra" and home is None:
            raise ValueError(f"No organisation that this stand-in knows owns the domain of {address}.")
        if kind == "saml" and federation is None:
            raise ValueError(f"No federation is set up for the domain of {address}.")
        if home and home["id"] == OUR_TENANT:
            raise ValueError("Members of our own tenant are fixed.")
        found = self.account_by_address(address, kind)
        if found:
            return found
        tenant = home["id"] if home and kind == "entra" else None
        account = seed.account(address, tenant, name or seed.name_from(address), purpose, kind)
        account["issuer"] = federation["issuer"] if federation and kind == "saml" else None
        if self.account(account["id"]):
            account["id"] = str(uuid.uuid4())
        return self.store.put("accounts", account["id"], account)

    def recreate_account(self, account: Json) -> Json:
        """Delete an account at home and make it anew: same address, another identity (entra.md §8)."""
        self.store.remove("accounts", account["id"])
        fresh = {**account, "id": str(uuid.uuid4())}
        return self.store.put("accounts", fresh["id"], fresh)

    # -- users --------------------------------------------------------------------------------------------------

    def user(self, user_id: str) -> Json | None:
        """A user by id or user principal name, whether or not it has been replicated yet."""
        wanted = user_id.lower()
        return self.store.get("users", wanted) or next(iter(self.store.find("users", "principal", wanted)), None)

    def users_with_address(self, address: str) -> list[Json]:
        return self.store.find("users", "address", address.lower())

    def save_user(self, user: Json) -> Json:
        return self.store.put("users", user["id"], user)

    def revoke_sessions(self, user: Json) -> None:
        """Every session and refresh token of before is worth nothing at the next look (entra.md §2)."""
        now = time.time()
        self.save_user({**user, "signInSessionsValidFromDateTime": timestamp(now), "_sessions_valid_from": now})

    def is_readable(self, user: Json, *, from_index: bool = False) -> bool:
        """Whether a new object has reached the replica that answers reads (entra.md §1, eventual consistency).

        Advanced queries are answered from an index that is later still (entra.md §2).
        """
        return user.get("_readable_at", 0) + (self.settings["index_lag"] if from_index else 0) <= self.now()

    def is_writable(self, user: Json) -> bool:
        """Whether writes that refer to a new object find it; may come later than reads (entra.md §1)."""
        return user.get("_writable_at", 0) <= self.now()

    def add_guest(self, address: str, *, name: str | None, user_type: str) -> Json:
        """A guest object for an invited address, not yet redeemed (entra.md §2)."""
        guest = seed.guest(address, str(uuid.uuid4()), name or address.partition("@")[0])
        read, write = self._lag_for(address)
        guest.update(userType=user_type, _readable_at=self.now() + read, _writable_at=self.now() + write)
        return self.save_user(guest)

    def _lag_for(self, address: str) -> tuple[float, float]:
        """Seconds until reads and until writes know a new object: its own, or the usual with a die thrown for each."""
        settings = self.settings
        read, write = settings["lag"], settings["write_lag"]
        if address.lower() in settings["lag_of"]:
            read, write = settings["lag_of"][address.lower()]
        elif settings["lag_jitter"]:
            read += self._dice.uniform(0, settings["lag_jitter"])
            write = None if write is None else write + self._dice.uniform(0, settings["lag_jitter"])
        return read, read if write is None else write

    def set_lag(self, user: Json, read: float, write: float) -> Json:
        """From now on this object alone is away for so many seconds."""
        return self.save_user({**user, "_readable_at": self.now() + read, "_writable_at": self.now() + write})

    def guest_of(self, account: Json) -> Json | None:
        """The guest that a home account *is* in our tenant: linked at redemption, never matched by address."""
        return next(iter(self.store.find("users", "home", account["id"])), None)

    def pending_guest_for(self, account: Json) -> Json | None:
        """The guest that this account may become by just signing in: just-in-time redemption (entra.md §8)."""
        return next((u for u in self.users_with_address(account["address"]) if is_pending(u)), None)

    def link(self, guest: Json, account: Json) -> None:
        """Redeem: from now on this account signs in as this guest, whoever was meant (entra.md §1, §8)."""
        issuer = homes.identity_issuer(account)
        guest.update(
            externalUserState="Accepted",
            externalUserStateChangeDateTime=timestamp(self.now()),
            identities=[{"signInType": "federated", "issuer": issuer, "issuerAssignedId": None}],
            _home_account=account["id"],
        )
        self.save_user(guest)
        for invitation in self.store.find("invitations", "user", guest["id"]):
            if invitation["status"] == "PendingAcceptance":
                self.store.put("invitations", invitation["id"], {**invitation, "status": "Completed"})

    def unlink(self, guest: Json, address: str) -> Json:
        """Take a redemption back: same object, pending anew, for whichever account comes next (entra.md §1, §2)."""
        principal = guest["userPrincipalName"]
        pending = {
            "externalUserState": "PendingAcceptance",
            "externalUserStateChangeDateTime": timestamp(self.now()),
            "identities": [{"signInType": "userPrincipalName", "issuer": OUR_DOMAIN, "issuerAssignedId": principal}],
        }
        return self.save_user({**guest, **pending, "_home_account": None, "_invited_address": address})

    def delete_user(self, user: Json) -> None:
        """Soft delete: restorable for 30 days with the same id and memberships (entra.md §2)."""
        self.store.remove("users", user["id"])
        self.store.put("deleted", user["id"], {**user, "deletedDateTime": timestamp(self.now()), "_bin": self.now()})

    def deleted_users(self) -> list[Json]:
        """The bin, without those whose 30 days are over: they are gone for good (entra.md §2)."""
        for user in self.store.all("deleted"):
            if user.get("_bin", 0) + DAYS_IN_THE_BIN * DAY < self.now():
                self.delete_for_good(user)
        return self.store.all("deleted")

    def delete_for_good(self, user: Json) -> None:
        self.store.remove("deleted", user["id"])
        for membership in self.store.find("members", "member", user["id"]):
            self.store.remove("members", membership["id"])
        for assignment in self.store.all("assignments"):
            if assignment["principalId"] == user["id"]:
                self.store.remove("assignments", assignment["id"])

    def restore_user(self, user: Json) -> Json:
        self.store.remove("deleted", user["id"])
        return self.save_user({**user, "deletedDateTime": None})

    # -- groups -------------------------------------------------------------------------------------------------

    def group(self, group_id: str) -> Json | None:
        return self.store.get("groups", group_id.lower())

    def members_of(self, group: Json) -> list[Json]:
        """Living members, users and groups; a deleted user's record stays, so that restoring brings it back."""
        arrived = (m["member"] for m in self.store.find("members", "group", group["id"]) if self._has_arrived(m))
        found = (self.store.get("users", key) or self.store.get("groups", key) for key in arrived)
        return [member for member in found if member is not None]

    def groups_of(self, member: Json) -> list[Json]:
        """Groups that somebody is a direct member of."""
        arrived = (m["group"] for m in self.store.find("members", "member", member["id"]) if self._has_arrived(m))
        return [group for group in (self.store.get("groups", key) for key in arrived) if group is not None]

    def all_groups_of(self, member: Json) -> list[Json]:
        """Groups that somebody is in, groups of groups included (entra.md §2, getMemberGroups)."""
        found: dict[str, Json] = {}
        waiting = self.groups_of(member)
        while waiting:
            group = waiting.pop(0)
            if group["id"] not in found:
                found[group["id"]] = group
                waiting += self.groups_of(group)
        return list(found.values())

    def is_member(self, group: Json, member: str) -> bool:
        """Whether the record is there, shown already or not."""
        return self.store.get("members", seed.membership(group["id"], member)["id"]) is not None

    def add_member(self, group: Json, member: str) -> None:
        """With a membership lag, who came in shows up later (entra.md §1, eventual consistency)."""
        record = seed.membership(group["id"], member, self.now() + self.settings["membership_lag"])
        self.store.put("members", record["id"], record)

    def remove_member(self, group: Json, member: str) -> None:
        self.store.remove("members", seed.membership(group["id"], member)["id"])

    def _has_arrived(self, membership: Json) -> bool:
        return membership["arrives"] <= self.now()

    # -- who may be invited -------------------------------------------------------------------------------------

    def cross_tenant_allows_inviting(self, address: str) -> bool:
        """Whether cross-tenant access settings let the address's home tenant in (entra.md §1, §7)."""
        return crosstenant.allows_inviting(self, address)

    def domain_is_allowed(self, address: str) -> bool:
        """By the one list that the tenant keeps: of allowed or of blocked domains (entra.md §1, §7)."""
        domain = address.rpartition("@")[2].lower()
        allowed, blocked = self.settings["allowed_domains"], self.settings["blocked_domains"]
        return (not allowed or domain in allowed) and domain not in blocked

    def is_suspicious(self) -> bool:
        """Whether Entra blocks all invitations until its support lifts it; reported, not documented ([I]).

        With a daily allowance (`invitations_per_day`) the block falls when a day's invitations reach it.
        """
        settings, allowance = self.settings, self.settings["invitations_per_day"]
        if allowance is not None and not settings["suspicious"]:
            since = max(self.now() - DAY, settings["counted_from"])
            latest = self.store.all("invitations")[-allowance:]
            if len(latest) == allowance and latest[0]["at"] > since:
                self.set_settings(suspicious=True)
        return self.settings["suspicious"]

    # -- delta --------------------------------------------------------------------------------------------------

    def expire_delta(self) -> None:
        """Every delta token given out so far answers 410 from now on (entra.md §11)."""
        self.delta_epoch = new_token(6)

    # -- apps ---------------------------------------------------------------------------------------------------

    def app(self, client_id: str | None) -> Json | None:
        return self.store.get("apps", client_id)

    def permissions(self) -> list[str]:
        """Application permissions that the Graph client holds now."""
        app = self.app(GRAPH_CLIENT)
        return app["permissions"] if app else []

    def assignments_of(self, user: Json, app: Json) -> list[Json]:
        """App role assignments that reach the user, directly or by a group it is a direct member of (entra.md §4)."""
        principals = {user["id"]} | {g["id"] for g in self.groups_of(user)}
        resource = service_principal_id(app["id"])
        return [
            a for a in self.store.all("assignments") if a["resourceId"] == resource and a["principalId"] in principals
        ]

    def roles_of(self, user: Json, app: Json) -> list[str]:
        """Values for the `roles` claim; a role without a value admits but says nothing (entra.md §4, §9)."""
        values = {role["id"]: role["value"] for role in app["appRoles"]}
        found = (values.get(a["appRoleId"]) for a in self.assignments_of(user, app))
        return sorted({value for value in found if value})

    # -- time -----------------------------------------------------------------------------------------------------

    def _take_over_older_journal(self) -> None:
        """What a journal written by an earlier version does not have: settings and their like, members as records."""
        seed.complete(self.store)
        for group in [group for group in self.store.all("groups") if "_members" in group]:
            for record in [seed.membership(group["id"], member) for member in group.pop("_members")]:
                self.store.put("members", record["id"], record)
            self.store.put("groups", group["id"], group)

    def _drop_the_ephemeral(self) -> None:
        """Forget half-done sign-ins and old sessions, so that the journal does not grow for ever."""
        for collection, age in (("flows", HOUR), ("codes", HOUR), ("assertions", HOUR), ("sessions", DAY)):
            for item in self.store.all(collection):
                if item["created"] < time.time() - age:
                    self.store.remove(collection, item["id"])
        self.store.flush()


def addresses_of(user: Json) -> set[str]:
    """Every address by which the directory would find a user, in lower case."""
    proxies = (proxy.partition(":")[2] for proxy in user["proxyAddresses"])
    return {a.lower() for a in (user["userPrincipalName"], user["mail"], *user["otherMails"], *proxies) if a}


INDEXES = (
    ("users", "address", addresses_of),
    ("users", "principal", lambda user: [user["userPrincipalName"].lower()]),
    ("users", "home", lambda user: [user.get("_home_account")]),
    ("accounts", "address", lambda account: [account["address"].lower()]),
    ("invitations", "user", lambda invitation: [invitation["user"]]),
    ("members", "group", lambda membership: [membership["group"]]),
    ("members", "member", lambda membership: [membership["member"]]),
)
"""What is looked up often, so that a tenant of thousands answers as fast as one of ten."""


def is_guest(user: Json) -> bool:
    """Whether the person signs in somewhere else; userType says nothing of that (entra.md §2)."""
    return user["externalUserState"] is not None


def is_pending(user: Json) -> bool:
    return user["externalUserState"] == "PendingAcceptance"


def is_ours(address: str) -> bool:
    return address.lower().endswith("@" + OUR_DOMAIN)


def own_bases(tenant: Tenant) -> list[str]:
    """Scheme and host of every name that this process answers to."""
    hosts = ("localhost", "127.0.0.1", "login.localhost")
    return [
        f"{scheme}://{host}:{tenant.port + offset}" for scheme, offset in (("http", 0), ("https", 1)) for host in hosts
    ]


def timestamp(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pairwise_subject(user: Json, client_id: str) -> str:
    """`sub`: stable for one user at one app, different at every other (entra.md §9)."""
    digest = hashlib.sha256(f"{OUR_TENANT}:{client_id}:{user['id']}".encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def new_token(size: int = 24) -> str:
    return secrets.token_urlsafe(size)
