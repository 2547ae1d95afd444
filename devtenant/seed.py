"""A fresh tenant: organisations, accounts, the first guests, the two apps, one group, two policies."""

from __future__ import annotations

import datetime as dt

from .identities import (
    ACCESS_GROUP,
    APP_ROLES,
    COLLEAGUES,
    ELSEWHERE,
    GRAPH_CLIENT,
    GRAPH_PERMISSIONS,
    GRAPH_SECRET,
    GUESTS_FROM_THE_START,
    ORGANISATIONS,
    OUR_DOMAIN,
    OUR_TENANT,
    PARTNERS,
    SIGNIN_CLIENT,
    SIGNIN_SECRET,
    STAFF,
    app_role_id,
    home_id,
    object_id,
    service_principal_id,
)
from .store import Json, Store
from .throttling import SETTINGS as THROTTLING

SETTINGS: Json = {
    "lag": 2.0,
    "write_lag": None,  # None: the same as lag
    "membership_lag": 0.0,
    "clock_offset": 0.0,
    "allow_unknown_accounts": True,
    "allow_invites_from": "everyone",
    "blocked_domains": [],
    "allowed_domains": [],
    "unfindable_addresses": [],  # inviting them ends in "Unable to find target address"
    "blocked_user_status": 400,
    "passcodes": True,  # one-time passcodes by email, on by default (entra.md §8)
    "refuse_used_assertions": False,  # MSAL sends one assertion for nine minutes, so Entra cannot mind (entra.md §16)
    "suspicious": False,  # True: every invitation is refused; setting it to False lifts that
    "invitations_per_day": None,
    "counted_from": 0.0,
    "lag_jitter": 0.0,
    "lag_seed": 0,
    "lag_of": {},  # address: [seconds until reads, until writes]
    "index_lag": 0.0,
    "not_there_code": "Request_ResourceNotFound",
    "delta_page": 200,
    "delta_replays": False,
    **THROTTLING,
}
GUEST_ROLE_ID = app_role_id("guest access")


def federated_credential(name: str, issuer: str, subject: str, audience: str = "api://AzureADTokenExchange") -> Json:
    """Trust in a token of another issuer, instead of a secret (entra.md §16)."""
    return {"name": name, "issuer": issuer, "subject": subject, "audiences": [audience]}


def authentication_context(context: str, name: str, description: str | None = None, available: bool = True) -> Json:
    """An authentication context; `isAvailable` shows it to apps (entra.md §5)."""
    return {"id": context, "displayName": name, "description": description, "isAvailable": available}


# What an app registration may have besides its name; "{PORT}" is the portal's.
APP_DEFAULTS: Json = {
    "certificates": [],
    "federatedCredentials": [],
    "logoutUrl": None,
    "optionalClaims": [],
}
WORKLOAD_ISSUER = "/_federated/cluster"  # at whichever of our own addresses
PORTAL_DEFAULTS: dict[str, Json] = {
    SIGNIN_CLIENT: {
        "logoutUrl": "http://portal.localhost:{PORT}/sign-out/front-channel/",
        "optionalClaims": ["auth_time", "email"],
        "federatedCredentials": [federated_credential("web", WORKLOAD_ISSUER, "system:serviceaccount:clinic:web")],
    },
    GRAPH_CLIENT: {
        "federatedCredentials": [
            federated_credential("worker", WORKLOAD_ISSUER, "system:serviceaccount:clinic:worker")
        ],
    },
}
CONTEXTS = {"c1": "Sign-in", "c2": "Emergency access, approving and export"}
FEDERATION: Json = {
    "domain": "lakeside.example",
    "issuer": "https://sso.lakeside.example/saml",
    "name": "Lakeside Clinic",
}


def fill(store: Store) -> None:
    store.put("settings", "all", dict(SETTINGS))
    for organisation in ORGANISATIONS:
        store.put("organisations", organisation.id, _organisation(organisation))
    _add_staff(store)
    _add_partners(store)
    _add_apps(store)
    _add_group(store)
    for context, frequency in (("c1", None), ("c2", "everyTime")):
        policy = context_policy(context, frequency)
        store.put("policies", policy["id"], policy)
    complete(store)


def complete(store: Store) -> None:
    """Add what a journal of an earlier version does not have."""
    store.put("settings", "all", {**SETTINGS, **(store.get("settings", "all") or {})})
    for app in store.all("apps"):
        store.put("apps", app["id"], {**APP_DEFAULTS, **PORTAL_DEFAULTS.get(app["id"], {}), **app})
    if not store.all("contexts"):
        for context, name in CONTEXTS.items():
            store.put("contexts", context, authentication_context(context, name))
    if not store.all("federations"):
        store.put("federations", FEDERATION["domain"], dict(FEDERATION))


def _organisation(organisation) -> Json:
    return {
        "id": organisation.id,
        "name": organisation.name,
        "domain": organisation.domain,
        "kind": organisation.kind,
    }


def _add_staff(store: Store) -> None:
    for local, (name, role, purpose) in STAFF.items():
        address = f"{local}@{OUR_DOMAIN}"
        store.put("accounts", object_id(address), account(address, OUR_TENANT, name, purpose))
        store.put("users", object_id(address), member(address, name))
        if role:
            assign(store, object_id(address), "User", name, app_role_id(role))


def _add_partners(store: Store) -> None:
    for organisation in PARTNERS:
        for local, (role, purpose) in COLLEAGUES.items():
            address, name = f"{local}@{organisation.domain}", f"{organisation.short} {role}"
            store.put("accounts", home_id(address), account(address, organisation.id, name, purpose))
            if local in GUESTS_FROM_THE_START:
                store.put("users", object_id(address), accepted_guest(address, name))
    address = f"stranger@{ELSEWHERE.domain}"
    purpose = "Has nothing to do with us: try a forwarded invitation"
    store.put("accounts", home_id(address), account(address, ELSEWHERE.id, "Elsewhere Stranger", purpose))


def _add_apps(store: Store) -> None:
    roles: list[Json] = [
        {"id": app_role_id(value), "value": value, "displayName": value.partition(".")[2]} for value in APP_ROLES
    ]
    # A role without a value: assigned to the group, it admits guests without adding to their `roles` claim.
    roles.append({"id": GUEST_ROLE_ID, "value": None, "displayName": "Guest access"})
    store.put(
        "apps",
        SIGNIN_CLIENT,
        {
            "id": SIGNIN_CLIENT,
            "displayName": "Clinic portal",
            "secrets": [SIGNIN_SECRET],
            "redirectHosts": ["portal.localhost", "localhost", "127.0.0.1"],
            "redirectUris": [],
            "appRoleAssignmentRequired": True,
            "appRoles": roles,
            "permissions": [],
        },
    )
    store.put(
        "apps",
        GRAPH_CLIENT,
        {
            "id": GRAPH_CLIENT,
            "displayName": "Clinic portal: directory job",
            "secrets": [GRAPH_SECRET],
            "redirectHosts": [],
            "redirectUris": [],
            "appRoleAssignmentRequired": False,
            "appRoles": [],
            "permissions": list(GRAPH_PERMISSIONS),
        },
    )


def _add_group(store: Store) -> None:
    made = group(ACCESS_GROUP, "Clinic portal guests", "Members may sign in to the clinic portal")
    store.put("groups", ACCESS_GROUP, made)
    for organisation in PARTNERS:
        for local in GUESTS_FROM_THE_START:
            record = membership(ACCESS_GROUP, object_id(f"{local}@{organisation.domain}"))
            store.put("members", record["id"], record)
    assign(store, ACCESS_GROUP, "Group", made["displayName"], GUEST_ROLE_ID)


def assign(store: Store, principal: str, kind: str, name: str, role: str) -> Json:
    """Assign a user or a group to the sign-in app (entra.md §4)."""
    key = f"{principal}.{role}"
    return store.put(
        "assignments",
        key,
        {
            "id": key,
            "appRoleId": role,
            "createdDateTime": _now(),
            "principalDisplayName": name,
            "principalId": principal,
            "principalType": kind,
            "resourceDisplayName": "Clinic portal",
            "resourceId": service_principal_id(SIGNIN_CLIENT),
        },
    )


def group(group_id: str, name: str, description: str) -> Json:
    """A cloud security group (entra.md §3)."""
    return {
        "id": group_id,
        "displayName": name,
        "description": description or None,
        "createdDateTime": _now(),
        "deletedDateTime": None,
        "groupTypes": [],
        "mail": None,
        "mailEnabled": False,
        "mailNickname": name.lower().replace(" ", "-"),
        "proxyAddresses": [],
        "securityEnabled": True,
        "visibility": None,
    }


def membership(group: str, member: str, arrives: float = 0) -> Json:
    """One member of a group, a record of its own; `arrives` is when reads show it, by the directory's clock."""
    return {"id": f"{group}/{member}", "group": group, "member": member, "arrives": arrives}


def account(address: str, tenant: str | None, name: str, purpose: str, kind: str = "entra") -> Json:
    """A person's account at home. `tenant` is None for a passcode or personal account (entra.md §8)."""
    return {
        "id": home_id(address),
        "tenant": tenant,
        "address": address,
        "displayName": name,
        "purpose": purpose,
        "kind": kind,
        "issuer": None,
        "enabled": True,
        "second_factor": "registered",
        "mfa_at_home": False,
    }


def member(address: str, name: str) -> Json:
    """A user whose home is our tenant."""
    return _user(object_id(address), name, address, address) | {"userType": "Member"}


def guest(address: str, user_id: str, name: str) -> Json:
    """A guest as an invitation makes it: address in mail, otherMails and proxyAddresses (entra.md §2)."""
    principal = f"{address.replace('@', '_')}#EXT#@{OUR_DOMAIN}"
    return _user(user_id, name, principal, address) | {
        "userType": "Guest",
        "otherMails": [address],
        "externalUserState": "PendingAcceptance",
        "externalUserStateChangeDateTime": _now(),
        "creationType": "Invitation",
        "showInAddressList": False,
        "_invited_address": address,
    }


def accepted_guest(address: str, name: str) -> Json:
    return guest(address, object_id(address), name) | {
        "externalUserState": "Accepted",
        "identities": [{"signInType": "federated", "issuer": "ExternalAzureAD", "issuerAssignedId": None}],
        "_home_account": home_id(address),
    }


def _user(user_id: str, name: str, principal: str, mail: str) -> Json:
    now = _now()
    return {
        "id": user_id,
        "displayName": name,
        "givenName": None,
        "surname": None,
        "userPrincipalName": principal,
        "mail": mail,
        "otherMails": [],
        "proxyAddresses": [f"SMTP:{mail}"],
        "accountEnabled": True,
        "createdDateTime": now,
        "deletedDateTime": None,
        "creationType": None,
        "externalUserState": None,
        "externalUserStateChangeDateTime": None,
        "showInAddressList": None,
        "signInSessionsValidFromDateTime": now,
        "identities": [{"signInType": "userPrincipalName", "issuer": OUR_DOMAIN, "issuerAssignedId": principal}],
        "_home_account": None,
        "_sponsors": [],
    }


def context_policy(context: str, frequency: str | None) -> Json:
    """A Conditional Access policy that binds MFA to an authentication context (entra.md §5, §6)."""
    session = {
        "signInFrequency": {
            "isEnabled": True,
            "type": None,
            "value": None,
            "authenticationType": "primaryAndSecondaryAuthentication",
            "frequencyInterval": frequency,
        }
    }
    now = _now()
    return {
        "id": object_id(f"policy:{context}"),
        "displayName": f"MFA for authentication context {context}",
        "state": "enabled",
        "createdDateTime": now,
        "modifiedDateTime": now,
        "conditions": {
            "clientAppTypes": ["all"],
            "applications": {
                "includeApplications": [],
                "includeAuthenticationContextClassReferences": [context],
            },
            "users": {"includeUsers": ["All"]},
        },
        "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
        "sessionControls": session if frequency else None,
    }


def app_policy(client_id: str) -> Json:
    """A Conditional Access policy that asks MFA for every sign-in to one app (entra.md §5)."""
    policy = context_policy(client_id, None)
    policy["displayName"] = "MFA for the clinic portal"
    policy["conditions"]["applications"] = {
        "includeApplications": [client_id],
        "includeAuthenticationContextClassReferences": [],
    }
    return policy


def name_from(address: str) -> str:
    """A display name for an address that nobody named: "night.nurse@x" is "Night Nurse"."""
    return address.partition("@")[0].replace(".", " ").replace("-", " ").title()


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
