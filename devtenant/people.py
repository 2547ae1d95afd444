"""Control over home accounts: who they are, and what has become of them (entra.md §5, §7, §8)."""

from __future__ import annotations

from typing import Any

from .errors import Mistake
from .homes import KINDS
from .identities import OUR_TENANT
from .second_factor import STATES
from .store import Json
from .tenant import Tenant

# What may be said of an account, and how it is checked.
PROPERTIES: dict[str, Any] = {
    "name": lambda v: isinstance(v, str),
    "enabled": lambda v: isinstance(v, bool),
    "second_factor": lambda v: v in STATES,
    "mfa_at_home": lambda v: isinstance(v, bool),
}


def set_account(tenant: Tenant, asked: Json) -> Json:
    """Make a home account, or change the one that is there.

    {"address", "kind"?: entra|saml|google|msa|mail, "name"?, "enabled"?, "second_factor"?: registered|lost|none,
    "mfa_at_home"?, "new_address"?}. Without a kind it is what redemption would use (entra.md §8). `second_factor` lost
    means a phone that nobody answers; `mfa_at_home` that the home tenant asks for a second factor at every sign-in.
    """
    address = _address(asked, "address")
    if unknown := set(asked) - set(PROPERTIES) - {"address", "kind", "new_address"}:
        raise Mistake(f"An account has no {', '.join(sorted(unknown))}; it has {', '.join(PROPERTIES)}.")
    for name, check in PROPERTIES.items():
        if name in asked and not check(asked[name]):
            raise Mistake(f"{asked[name]!r} is not a value for {name}.")
    kind = asked.get("kind")
    if kind not in (None, *KINDS):
        raise Mistake(f"There is no kind of account called {kind}; there are {', '.join(KINDS)}.")
    account = tenant.account_by_address(address, kind) or _made(tenant, address, kind)
    changes = {name: asked[name] for name in PROPERTIES if name in asked and name != "name"}
    if "name" in asked:
        changes["displayName"] = asked["name"]
    if "new_address" in asked:
        changes["address"] = _address(asked, "new_address").lower()
    return tenant.store.put("accounts", account["id"], {**account, **changes})


def _made(tenant: Tenant, address: str, kind: str | None) -> Json:
    try:
        return tenant.add_account(address, purpose="Made by control", kind=kind)
    except ValueError as refusal:
        raise Mistake(str(refusal)) from None


def recreate_account(tenant: Tenant, asked: Json) -> Json:
    """{"address"}: deleted at home and made anew. The guest it was cannot sign in until redemption is reset (§8)."""
    account = tenant.account_by_address(_address(asked, "address"))
    if account is None or account["tenant"] == OUR_TENANT:
        raise Mistake(f"There is no account {asked['address']} of another organisation.")
    return tenant.recreate_account(account)


def set_federation(tenant: Tenant, asked: Json) -> Json:
    """{"domain", "issuer", "name"?}: SAML or WS-Fed federation for a domain without an Entra tenant (entra.md §8)."""
    domain, issuer = asked.get("domain"), asked.get("issuer")
    if not isinstance(domain, str) or not isinstance(issuer, str) or not domain or not issuer:
        raise Mistake('Send {"domain": "clinic.example", "issuer": "https://sso.clinic.example/saml"}.')
    if tenant.organisation_of(f"x@{domain}"):
        raise Mistake(f"{domain} belongs to an Entra tenant here, and its people use that.")
    federation = {"domain": domain.lower(), "issuer": issuer, "name": str(asked.get("name") or domain)}
    return tenant.store.put("federations", federation["domain"], federation)


def _address(asked: Json, name: str) -> str:
    address = asked.get(name)
    if not isinstance(address, str) or "@" not in address:
        raise Mistake(f'Send {{"{name}": "someone@partner.example"}}.')
    return address


CONTROLS = {"accounts": set_account, "recreate-account": recreate_account, "federations": set_federation}
