"""Conditional Access: which policies a sign-in meets and what they ask (entra.md §5, §6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .store import Json
from .tenant import DAY, HOUR, Tenant, is_guest

EVERY_TIME_TOLERANCE = 5 * 60  # signInFrequency everyTime has a tolerance of 5 minutes (entra.md §5)
REPORT_ONLY = "enabledForReportingButNotEnforced"
STATES = ("enabled", "disabled", REPORT_ONLY)
BLOCKED, DEVICE_NOT_COMPLIANT, DEVICE_NOT_JOINED = 53003, 53000, 53001
# Strengths that no method of the resource tenant meets for a guest (entra.md §5): passwordless, phishing-resistant.
STRONG = {f"00000000-0000-0000-0000-00000000000{number}" for number in (3, 4)}


@dataclass(frozen=True)
class SignIn:
    """One person at one app, asking for these authentication contexts."""

    user: Json
    account: Json
    app: Json
    contexts: tuple[str, ...]
    trusted: bool  # whether the second factor of the home tenant counts here (entra.md §7, inboundTrust)


@dataclass(frozen=True)
class Demand:
    """What one policy asks of one sign-in: a second factor, at most `max_age` seconds old, or an AADSTS error."""

    policy: Json
    mfa: bool
    refused: int
    max_age: float | None

    @property
    def enforced(self) -> bool:
        return self.policy["state"] == "enabled"


def demands(tenant: Tenant, signin: SignIn) -> list[Demand]:
    """What the policies in force and in report-only mode ask. A context without a policy asks for nothing."""
    policies = (p for p in tenant.store.all("policies") if p["state"] != "disabled")
    return [_demand(p, signin) for p in policies if _targets(p, signin) and _covers(tenant, p, signin)]


def youngest(asked: Iterable[Demand]) -> float | None:
    """Seconds that a second factor may be old to satisfy all demands, or None for as long as the session lasts."""
    return min((demand.max_age for demand in asked if demand.max_age is not None), default=None)


def report(tenant: Tenant, asked: list[Demand], *, has_mfa: bool) -> list[Json]:
    """appliedConditionalAccessPolicies of the sign-in log: every policy, applied or not (entra.md §15)."""
    found = {demand.policy["id"]: demand for demand in asked}
    return [_reported(policy, found.get(policy["id"]), has_mfa) for policy in tenant.store.all("policies")]


def _reported(policy: Json, demand: Demand | None, has_mfa: bool) -> Json:
    controls = (policy.get("grantControls") or {}).get("builtInControls") or []
    session = ["SignInFrequency"] if _frequency(policy) else []
    return {
        "id": policy["id"],
        "displayName": policy["displayName"],
        "enforcedGrantControls": controls if demand else [],
        "enforcedSessionControls": session if demand else [],
        "result": _result(policy, demand, has_mfa),
    }


def _result(policy: Json, demand: Demand | None, has_mfa: bool) -> str:
    if policy["state"] == "disabled":
        return "notEnabled"
    reporting = policy["state"] == REPORT_ONLY
    if demand is None:
        return "reportOnlyNotApplied" if reporting else "notApplied"
    if demand.refused:
        return "reportOnlyFailure" if reporting else "failure"
    if demand.mfa and not has_mfa:
        return "reportOnlyInterrupted" if reporting else "failure"
    return "reportOnlySuccess" if reporting else "success"


# -- what a policy asks ---------------------------------------------------------------------------------------------


def _demand(policy: Json, signin: SignIn) -> Demand:
    grants = policy.get("grantControls") or {}
    wanted = [_need(control) for control in grants.get("builtInControls") or []]
    if strength := grants.get("authenticationStrength"):
        wanted.append(_strength_need(strength["id"], signin))
    needs = [need for need in wanted if need is not None]
    if grants.get("operator") == "OR" and "block" not in (grants.get("builtInControls") or []):
        needs = [min(needs)] if needs else []  # whichever is the easiest to meet
    return Demand(policy, mfa=0 in needs, refused=max(needs, default=0), max_age=_max_age(policy))


def _need(control: str) -> int | None:
    """0 for a second factor, else the error: this stand-in has no devices, and guests can meet nothing more (§5)."""
    known = {"mfa": 0, "compliantDevice": DEVICE_NOT_COMPLIANT, "domainJoinedDevice": DEVICE_NOT_JOINED}
    return known.get(control, BLOCKED)


def _strength_need(strength: str, signin: SignIn) -> int:
    """Strengths are for people who sign in with Entra; strong ones need the home tenant's word (entra.md §5)."""
    if is_guest(signin.user) and (signin.account["kind"] != "entra" or (strength in STRONG and not signin.trusted)):
        return BLOCKED
    return 0


def _frequency(policy: Json) -> Json | None:
    frequency = (policy.get("sessionControls") or {}).get("signInFrequency") or {}
    return frequency if frequency.get("isEnabled") else None


def _max_age(policy: Json) -> float | None:
    frequency = _frequency(policy)
    if frequency is None:
        return None
    if frequency.get("frequencyInterval") == "everyTime":
        return float(EVERY_TIME_TOLERANCE)
    return float(frequency["value"] * (DAY if frequency["type"] == "days" else HOUR))


# -- whom and what it is about --------------------------------------------------------------------------------------


def _targets(policy: Json, signin: SignIn) -> bool:
    """Whether it is about the app, or about one of the contexts that were asked for (entra.md §5)."""
    target = policy["conditions"].get("applications") or {}
    bound = target.get("includeAuthenticationContextClassReferences") or []
    if any(context in bound for context in signin.contexts):
        return True
    apps, without = target.get("includeApplications") or [], target.get("excludeApplications") or []
    return signin.app["id"] not in without and ("All" in apps or signin.app["id"] in apps)


def _covers(tenant: Tenant, policy: Json, signin: SignIn) -> bool:
    """Whether it is about the person. Directory roles are not modelled: nobody has one."""
    users = policy["conditions"].get("users") or {}
    return _names(tenant, users, "include", signin) and not _names(tenant, users, "exclude", signin)


def _names(tenant: Tenant, users: Json, how: str, signin: SignIn) -> bool:
    listed, user = users.get(f"{how}Users") or [], signin.user
    if "All" in listed or user["id"] in listed or ("GuestsOrExternalUsers" in listed and is_guest(user)):
        return True
    groups = set(users.get(f"{how}Groups") or [])
    if groups & {group["id"] for group in tenant.groups_of(user)}:
        return True
    return _names_external(users.get(f"{how}GuestsOrExternalUsers") or {}, signin)


def _names_external(named: Json, signin: SignIn) -> bool:
    """guestOrExternalUserTypes is a comma-separated word; tenants may be listed (entra.md §5, example)."""
    types = {kind.strip() for kind in (named.get("guestOrExternalUserTypes") or "").split(",")}
    if not external_type(signin.user) or external_type(signin.user) not in types:
        return False  # a member of ours, or another type
    tenants = named.get("externalTenants") or {}
    if tenants.get("membershipKind") != "enumerated":
        return True
    return signin.account["tenant"] in (tenants.get("members") or [])


def external_type(user: Json) -> str:
    """The type of a guest in a policy's words; "" for a member of ours."""
    if not is_guest(user):
        return "internalGuest" if user["userType"] == "Guest" else ""
    return "b2bCollaborationMember" if user["userType"] == "Member" else "b2bCollaborationGuest"
