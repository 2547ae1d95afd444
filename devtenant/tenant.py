"""The directory of our tenant and the rules that it keeps, apart from any protocol."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import secrets
import time
import uuid
from collections import deque

from . import crosstenant, homes, seed
from .faults import Faults
from .identities import GRAPH_CLIENT, OUR_DOMAIN, OUR_TENANT, service_principal_id
from .keys import Keys
from .store import Json, Store

HOUR = 3600
DAY = 24 * HOUR


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
        self.bad_tokens: deque[Json] = deque()
        self.signins: deque[Json] = deque(maxlen=1000)
        if not store.get("settings", "all"):
            self.reset()
        seed.complete(store)
        self._drop_the_ephemeral()

    def reset(self) -> None:
        """Back to a fresh tenant; signing keys and certificates stay, since clients hold on to them."""
        self.store.forget()
        self.faults.clear()
        self.calls.clear()
        self.bad_tokens.clear()
        self.signins.clear()
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

    def set_settings(self, **changes: object) -> None:
        self.store.put("settings", "all", {**self.settings, **changes})

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
        wanted = address.strip().lower()
        return [a for a in self.store.all("accounts") if a["address"].lower() == wanted]

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
        found = self.store.get("users", user_id.lower())
        if found:
            return found
        wanted = user_id.lower()
        return next((u for u in self.store.all("users") if u["userPrincipalName"].lower() == wanted), None)

    def users_with_address(self, address: str) -> list[Json]:
        wanted = address.lower()
        return [u for u in self.store.all("users") if wanted in addresses_of(u)]

    def save_user(self, user: Json) -> Json:
        return self.store.put("users", user["id"], user)

    def is_readable(self, user: Json) -> bool:
        """Whether a new object has reached the replica that answers reads (entra.md §1, eventual consistency)."""
        return user.get("_readable_at", 0) <= self.now()

    def is_writable(self, user: Json) -> bool:
        """Whether writes that refer to a new object find it; may come later than reads (entra.md §1)."""
        return user.get("_writable_at", 0) <= self.now()

    def add_guest(self, address: str, *, name: str | None, user_type: str) -> Json:
        """A guest object for an invited address, not yet redeemed (entra.md §2)."""
        settings, now = self.settings, self.now()
        guest = seed.guest(address, str(uuid.uuid4()), name or address.partition("@")[0])
        write_lag = settings["lag"] if settings["write_lag"] is None else settings["write_lag"]
        guest.update(userType=user_type, _readable_at=now + settings["lag"], _writable_at=now + write_lag)
        return self.save_user(guest)

    def guest_of(self, account: Json) -> Json | None:
        """The guest that a home account *is* in our tenant: linked at redemption, never matched by address."""
        return next((u for u in self.store.all("users") if u.get("_home_account") == account["id"]), None)

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
        for invitation in self.store.all("invitations"):
            if invitation["user"] == guest["id"] and invitation["status"] == "PendingAcceptance":
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

    def cross_tenant_allows_inviting(self, address: str) -> bool:
        """Whether cross-tenant access lets the address's home tenant in (entra.md §1, §7)."""
        return crosstenant.allows_inviting(self, address)

    def delete_user(self, user: Json) -> None:
        """Soft delete: restorable for 30 days with the same id and memberships (entra.md §2)."""
        self.store.remove("users", user["id"])
        self.store.put("deleted", user["id"], {**user, "deletedDateTime": timestamp(self.now())})

    def restore_user(self, user: Json) -> Json:
        self.store.remove("deleted", user["id"])
        return self.save_user({**user, "deletedDateTime": None})

    def members_of(self, group: Json) -> list[Json]:
        """Living members; a deleted user stays on the list, so that restoring brings the membership back."""
        users = (self.store.get("users", member) for member in group["_members"] if self._has_arrived(group, member))
        return [user for user in users if user is not None]

    def groups_of(self, user: Json) -> list[Json]:
        return [g for g in self.store.all("groups") if user["id"] in g["_members"] and self._has_arrived(g, user["id"])]

    def set_members(self, group: Json, members: list[str]) -> None:
        """Change a group. With a membership lag, who came in shows up later (entra.md §1, eventual consistency)."""
        arrives = self.now() + self.settings["membership_lag"]
        arrivals = {m: group["_arrivals"].get(m, arrives) for m in members if m not in group["_members"]}
        kept = {m: moment for m, moment in group["_arrivals"].items() if m in members and moment > self.now()}
        self.store.put("groups", group["id"], {**group, "_members": members, "_arrivals": kept | arrivals})

    def _has_arrived(self, group: Json, member: str) -> bool:
        return group["_arrivals"].get(member, 0) <= self.now()

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
