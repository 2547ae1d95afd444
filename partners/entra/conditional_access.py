"""Conditional Access policies, as far as they prove a second factor (entra.md §5, §6).

Entra issues an authentication context even when no policy is bound to it, so a token that carries one proves
nothing unless an enforced policy stands behind it, for everybody who signs in, wherever they are.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

ENFORCED = "enabled"
"""Not `enabledForReportingButNotEnforced`: report-only asks nobody for anything."""
MFA_STRENGTHS = {f"00000000-0000-0000-0000-00000000000{number}" for number in (2, 3, 4)}
"""The built-in authentication strengths, all of which need a second factor."""
GUEST = "b2bCollaborationGuest"
EVERYONE, OUTSIDERS = "All", "GuestsOrExternalUsers"
BROWSERS = {"all", "browser"}
NARROWING = (
    *("signInRiskLevels", "userRiskLevels", "insiderRiskLevels", "devices", "authenticationFlows"),
    "clientApplications",
)
"""Conditions that leave sign-ins out: a policy that has one asks some people and not others."""


@dataclass(frozen=True)
class People:
    """Whom a context has to hold for."""

    group_id: str = ""
    """The access group: leaving it out leaves all guests out."""
    home_tenants: frozenset[str] = frozenset()
    """Of the partners' people."""
    others: bool = False
    """Whether some come without an Entra account of their own (one-time passcode, Google, federation)."""


@dataclass(frozen=True)
class Policy:
    """What one policy does for one authentication context."""

    contexts: frozenset[str]
    enforced: bool
    asks: bool
    """For a second factor, with no other way out, whatever the place, the device and the risk."""
    plain: bool
    """By the plain requirement. Strengths do nothing for guests without an Entra account (entra.md §5)."""
    members: bool
    guests: bool

    @classmethod
    def of(cls, found: dict[str, Any], people: People) -> Policy:
        conditions = _object(found, "conditions")
        grants, users = _object(found, "grantControls"), _object(conditions, "users")
        plain = "mfa" in _list(grants, "builtInControls")
        return cls(
            contexts=frozenset(
                _list(_object(conditions, "applications"), "includeAuthenticationContextClassReferences")
            ),
            enforced=found.get("state") == ENFORCED,
            asks=_proves(grants) and _everywhere(conditions),
            plain=plain,
            members=_covers_members(users),
            guests=_covers_guests(users, people) and (plain or not people.others),
        )


def why_not_bound(policies: Iterable[Policy], context: str) -> str:
    """Empty when policies ask members and guests for a second factor in this context, else a code that says why not.

    One policy may cover the members and another the guests.
    """
    aimed = [policy for policy in policies if context in policy.contexts]
    if not aimed:
        return "no_policy"
    enforced = [policy for policy in aimed if policy.enforced]
    if not enforced:
        return "not_enforced"
    asking = [policy for policy in enforced if policy.asks]
    if not asking:
        return "asks_too_little"
    if not any(policy.members for policy in asking):
        return "members_left_out"
    if not any(policy.guests for policy in asking):
        return "guests_left_out"
    return ""


def _proves(grants: dict[str, Any]) -> bool:
    """Whether passing the policy takes a second factor: with "OR", every alternative has to be one."""
    controls = set(_list(grants, "builtInControls"))
    if "block" in controls:  # it lets nobody through: a token that came all the same came past it
        return False
    strength = _object(grants, "authenticationStrength")
    strong = strength.get("requirementsSatisfied") == "mfa" or str(strength.get("id")) in MFA_STRENGTHS
    ways = [control == "mfa" for control in controls] + ([strong] if strength else [])
    ways += [False for _ in (*_list(grants, "customAuthenticationFactors"), *_list(grants, "termsOfUse"))]
    return any(ways) if grants.get("operator") == "AND" else bool(ways) and all(ways)


def _everywhere(conditions: dict[str, Any]) -> bool:
    if any(_says_something(conditions.get(name)) for name in NARROWING):
        return False
    if not BROWSERS & set(_list(conditions, "clientAppTypes")):
        return False
    places, platforms = _object(conditions, "locations"), _object(conditions, "platforms")
    return _is_all(places, "Locations") and _is_all(platforms, "Platforms")


def _says_something(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_says_something(part) for name, part in value.items() if not name.startswith("@"))
    return bool(value) and value != "none"


def _is_all(condition: dict[str, Any], name: str) -> bool:
    included = {str(value).lower() for value in _list(condition, f"include{name}")}
    return included <= {"all"} and not _list(condition, f"exclude{name}")


def _covers_members(users: dict[str, Any]) -> bool:
    """Everybody, or those whom the policy names. Whether all our staff are among them only the tenant can tell."""
    if EVERYONE in _list(users, "excludeUsers"):
        return False
    named = [one for one in _list(users, "includeUsers") if one not in ("None", OUTSIDERS)]
    return bool(named or _list(users, "includeGroups") or _list(users, "includeRoles"))


def _covers_guests(users: dict[str, Any], people: People) -> bool:
    if {EVERYONE, OUTSIDERS} & set(_list(users, "excludeUsers")) or people.group_id in _list(users, "excludeGroups"):
        return False
    if GUEST in _types(_object(users, "excludeGuestsOrExternalUsers")):
        return False
    if {EVERYONE, OUTSIDERS} & set(_list(users, "includeUsers")) or people.group_id in _list(users, "includeGroups"):
        return True
    chosen = _object(users, "includeGuestsOrExternalUsers")
    return GUEST in _types(chosen) and _covers_tenants(_object(chosen, "externalTenants"), people)


def _covers_tenants(tenants: dict[str, Any], people: People) -> bool:
    """All of them, or at least each one that our partners' people come from."""
    members = {_lower(tenant) for tenant in _list(tenants, "members")}
    if tenants.get("membershipKind") != "enumerated":
        return True
    return not people.others and people.home_tenants <= members


def _types(chosen: dict[str, Any]) -> set[str]:
    return {part.strip() for part in str(chosen.get("guestOrExternalUserTypes") or "").split(",")}


def _lower(tenant: Any) -> str:
    try:
        return str(uuid.UUID(str(tenant)))
    except ValueError:
        return str(tenant)


def _object(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Graph writes null for what is not set."""
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _list(found: dict[str, Any], name: str) -> list[Any]:
    value = found.get(name)
    return value if isinstance(value, list) else []
