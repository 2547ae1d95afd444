"""Cross-tenant access: what our side and a partner's side allow each other (entra.md §7).

Our side is one default configuration and one for each partner tenant that was given one; a null in a partner's
configuration inherits the default. The partner's own side is two words in its organisation here.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from .errors import Mistake
from .homes import domain_of
from .identities import OUR_TENANT
from .store import Json

if TYPE_CHECKING:
    from .tenant import Tenant

DEFAULT = "default"


def _target(kind: str, name: str, access: str) -> Json:
    return {"accessType": access, "targets": [{"target": name, "targetType": kind}]}


def _b2b(access: str) -> Json:
    """One direction of collaboration or direct connect, for everybody and every app."""
    return {
        "usersAndGroups": _target("user", "AllUsers", access),
        "applications": _target("application", "AllApplications", access),
    }


# Collaboration open both ways, nothing trusted, direct connect blocked (entra.md §7, factory defaults).
FACTORY: Json = {
    "b2bCollaborationInbound": _b2b("allowed"),
    "b2bCollaborationOutbound": _b2b("allowed"),
    "b2bDirectConnectInbound": _b2b("blocked"),
    "b2bDirectConnectOutbound": _b2b("blocked"),
    "inboundTrust": {
        "isMfaAccepted": False,
        "isCompliantDeviceAccepted": False,
        "isHybridAzureADJoinedDeviceAccepted": False,
    },
    "automaticUserConsentSettings": {"inboundAllowed": False, "outboundAllowed": False},
    "invitationRedemptionIdentityProviderConfiguration": {
        "primaryIdentityProviderPrecedenceOrder": [
            "azureActiveDirectory",
            "externalFederation",
            "socialIdentityProviders",
        ],
        "fallbackIdentityProvider": "defaultConfiguredIdp",
    },
}
PARTNER_PROPERTIES = tuple(name for name in FACTORY if name != "invitationRedemptionIdentityProviderConfiguration")


# -- our side -----------------------------------------------------------------------------------------------------


def default(tenant: Tenant) -> Json:
    stored = tenant.store.get("crossTenant", DEFAULT)
    return stored or {"id": DEFAULT, "isServiceDefault": True, **copy.deepcopy(FACTORY)}


def partner(tenant: Tenant, tenant_id: str) -> Json | None:
    return tenant.store.get("crossTenant", tenant_id.lower()) if tenant_id.lower() != DEFAULT else None


def partners(tenant: Tenant) -> list[Json]:
    return [item for item in tenant.store.all("crossTenant") if item["id"] != DEFAULT]


def change_default(tenant: Tenant, changes: Json) -> None:
    known = default(tenant)
    merged = {name: _inherit(value, known[name]) for name, value in changes.items()}
    tenant.store.put("crossTenant", DEFAULT, {**known, **merged, "isServiceDefault": False})


def reset_default(tenant: Tenant) -> None:
    tenant.store.remove("crossTenant", DEFAULT)


def change_partner(tenant: Tenant, tenant_id: str, changes: Json) -> Json:
    """Make or change a partner's configuration; what was never named is null and inherits."""
    key = tenant_id.lower()
    known = partner(tenant, key) or {"id": key, "tenantId": key, **dict.fromkeys(PARTNER_PROPERTIES)}
    return tenant.store.put("crossTenant", key, {**known, **changes})


def effective(tenant: Tenant, tenant_id: str) -> Json:
    """What holds for one partner: its own words, and the default's where it says nothing."""
    ours, theirs = default(tenant), partner(tenant, tenant_id) or {}
    return {name: _inherit(theirs.get(name), ours[name]) for name in PARTNER_PROPERTIES}


def _inherit(own: object, base: object) -> object:
    if own is None:
        return base
    if isinstance(own, dict) and isinstance(base, dict):
        return {name: _inherit(own.get(name), base.get(name)) for name in {**base, **own}}
    return own


# -- what it decides ------------------------------------------------------------------------------------------------


def allows_inviting(tenant: Tenant, address: str) -> bool:
    """Whether our inbound settings let anyone of the address's tenant in (entra.md §1, §7).

    Addresses without a tenant are a matter of domain lists, not of these settings.
    """
    home = tenant.organisation_of(address)
    if home is None or home["id"] == OUR_TENANT:
        return True
    inbound = effective(tenant, home["id"])["b2bCollaborationInbound"]
    return _allows(inbound["usersAndGroups"], "AllUsers") and _allows(inbound["applications"], "AllApplications")


def allows_entering(tenant: Tenant, account: Json, app: Json | None) -> bool:
    """Whether our inbound settings let this person in, to this app (AADSTS500213, entra.md §13)."""
    if not _is_foreign(account):
        return True
    inbound = effective(tenant, account["tenant"])["b2bCollaborationInbound"]
    users = _allows(inbound["usersAndGroups"], "AllUsers", account["id"])
    apps = _allows(inbound["applications"], "AllApplications", app["id"] if app else None)
    return users and apps


def allows_leaving(tenant: Tenant, account: Json) -> bool:
    """Whether the home tenant's outbound settings let its people come to us (AADSTS500212, entra.md §13)."""
    home = tenant.organisation(account["tenant"])
    return not _is_foreign(account) or not (home or {}).get("blocks_outbound")


def trusts_home_mfa(tenant: Tenant, account: Json) -> bool:
    """inboundTrust.isMfaAccepted: the second factor of the home tenant counts here (entra.md §7)."""
    return _is_foreign(account) and bool(effective(tenant, account["tenant"])["inboundTrust"]["isMfaAccepted"])


def redeems_silently(tenant: Tenant, account: Json) -> bool:
    """Automatic redemption: their outbound and our inbound both say yes (entra.md §7)."""
    home = tenant.organisation(account["tenant"])
    if not _is_foreign(account) or not (home or {}).get("consents_outbound"):
        return False
    return bool(effective(tenant, account["tenant"])["automaticUserConsentSettings"]["inboundAllowed"])


def _is_foreign(account: Json) -> bool:
    return account["kind"] == "entra" and account["tenant"] != OUR_TENANT


def _allows(target: Json, everyone: str, *names: str | None) -> bool:
    """accessType with targets: "allowed" names who may, "blocked" names who may not; no name asks about everyone."""
    listed = {item["target"] for item in target.get("targets") or []}
    hit = everyone in listed or any(name in listed for name in names)
    if target.get("accessType") == "blocked":
        return not hit
    return hit or not names  # an invitation to a tenant of which only some may come is not refused yet


# -- control --------------------------------------------------------------------------------------------------------


def set_cross_tenant(tenant: Tenant, asked: Json) -> Json:
    """{"partner": "northfield.example"?, "inbound"?: "allowed"|"blocked"|null, "trust_mfa"?, "automatic_consent"?,
    "their_outbound"?: "allowed"|"blocked", "their_automatic_consent"?: true}

    Without "partner" it is the default that changes. Null inherits the default again.
    """
    ours, theirs = {"inbound", "trust_mfa", "automatic_consent"}, {"their_outbound", "their_automatic_consent"}
    if unknown := set(asked) - ours - theirs - {"partner"}:
        raise Mistake(f"There is no {', '.join(sorted(unknown))} here; there are {', '.join(sorted(ours | theirs))}.")
    changes = _changes(asked)
    if asked.get("partner") is None:
        if set(asked) & theirs:
            raise Mistake('Name the "partner" whose own settings these are.')
        if None in changes.values():
            raise Mistake("The default has nothing to inherit from.")
        change_default(tenant, changes)
        return default(tenant)
    home = _organisation(tenant, str(asked["partner"]))
    if changes:
        change_partner(tenant, home["id"], changes)
    if "their_outbound" in asked:
        home = {**home, "blocks_outbound": _access(asked["their_outbound"]) == "blocked"}
    if "their_automatic_consent" in asked:
        home = {**home, "consents_outbound": bool(asked["their_automatic_consent"])}
    tenant.store.put("organisations", home["id"], home)
    return {"effective": effective(tenant, home["id"]), "theirs": home}


def _changes(asked: Json) -> Json:
    changes: Json = {}
    if "inbound" in asked:
        access = asked["inbound"]
        changes["b2bCollaborationInbound"] = None if access is None else _b2b(_access(access))
    if "trust_mfa" in asked:
        trust = asked["trust_mfa"]
        changes["inboundTrust"] = None if trust is None else {**FACTORY["inboundTrust"], "isMfaAccepted": bool(trust)}
    if "automatic_consent" in asked:
        consent = asked["automatic_consent"]
        both = {"inboundAllowed": bool(consent), "outboundAllowed": False}
        changes["automaticUserConsentSettings"] = None if consent is None else both
    return changes


def _access(word: object) -> str:
    if word not in ("allowed", "blocked"):
        raise Mistake(f"{word!r} is neither 'allowed' nor 'blocked'.")
    return str(word)


def _organisation(tenant: Tenant, name: str) -> Json:
    """A partner by domain or tenant id."""
    found = tenant.organisation(name.lower()) or tenant.organisation_of(name if "@" in name else f"x@{name}")
    if found is None or found["id"] == OUR_TENANT:
        domains = ", ".join(o["domain"] for o in tenant.store.all("organisations") if o["id"] != OUR_TENANT)
        raise Mistake(f"There is no partner {domain_of(name)}; there are {domains}.")
    return found


CONTROLS = {"cross-tenant": set_cross_tenant}
