"""The people, organisations and apps that exist in a fresh tenant, with ids that never change."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

OUR_TENANT = "11111111-1111-4111-8111-111111111111"
OUR_DOMAIN = "hospital.example"
OWN_TENANT_DOMAIN = "hospital.onmicrosoft.example"
"""The domain that every tenant has from the start; nobody has a mailbox there (entra.md §1, own-tenant user)."""
OUR_NAME = "Hospital"
SIGNIN_CLIENT = "22222222-2222-4222-8222-222222222222"
SIGNIN_SECRET = "devtenant-signin-secret"  # noqa: S105 - a published value: it opens nothing but this stand-in
GRAPH_CLIENT = "33333333-3333-4333-8333-333333333333"
GRAPH_SECRET = "devtenant-graph-secret"  # noqa: S105 - as above
ACCESS_GROUP = "44444444-4444-4444-8444-444444444444"
GRAPH_APP = "00000003-0000-0000-c000-000000000000"  # Microsoft Graph's own application id, the same in every tenant

GRAPH_PERMISSIONS = ("User.Invite.All", "GroupMember.ReadWrite.All", "User.Read.All", "Policy.Read.All")


@dataclass(frozen=True)
class Organisation:
    """A home tenant: the directory that an account belongs to."""

    id: str
    name: str
    domain: str
    kind: str
    short: str


ORGANISATIONS = (
    Organisation(OUR_TENANT, OUR_NAME, OUR_DOMAIN, "our own organisation", "Hospital"),
    Organisation(
        "aaaaaaaa-0000-4000-8000-000000000001",
        "Northfield Practice",
        "northfield.example",
        "partner, GP practice",
        "Northfield",
    ),
    Organisation(
        "aaaaaaaa-0000-4000-8000-000000000002",
        "Riverside Hospital",
        "riverside.example",
        "partner, hospital",
        "Riverside",
    ),
    Organisation(
        "aaaaaaaa-0000-4000-8000-000000000003", "Willow Court", "willowcourt.example", "partner, nursing home", "Willow"
    ),
    Organisation(
        "aaaaaaaa-0000-4000-8000-000000000009", "Elsewhere", "elsewhere.example", "no partner of ours", "Elsewhere"
    ),
)
PARTNERS = ORGANISATIONS[1:4]
ELSEWHERE = ORGANISATIONS[4]

# local part -> (display name, app role or None, what the role is for)
STAFF = {
    "approver": ("Access Approver", "Portal.Approver", "Decides requests for access"),
    "second.approver": ("Second Approver", "Portal.Approver", "The second pair of eyes, where two are needed"),
    "privacy": ("Privacy Officer", "Portal.Privacy", "Sees who opened which record, and why"),
    "operator": ("Portal Operator", "Portal.Operator", "Runs the portal and keeps the partner register"),
    "reviewer": ("Clinical Reviewer", "Portal.Reviewer", "Reviews emergency access"),
}
# local part -> (name after the organisation's, what the role is for)
COLLEAGUES = {
    "sponsor": ("Sponsor", "Asks for access for colleagues and answers for them"),
    "deputy": ("Deputy Sponsor", "Stands in for the sponsor"),
    "nurse": ("Nurse", "A colleague to ask access for"),
    "doctor": ("Doctor", "A colleague to ask access for"),
    "pharmacist": ("Pharmacist", "A colleague to ask access for"),
    "registrar": ("Registrar", "A colleague to ask access for"),
    "locum": ("Locum", "A colleague to ask access for, for a short time"),
}
GUESTS_FROM_THE_START = ("sponsor", "deputy")

APP_ROLES = ("Portal.Approver", "Portal.Privacy", "Portal.Operator", "Portal.Reviewer")


def object_id(address: str) -> str:
    """The id in our directory of a person who is there from the start."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"devtenant:{address}"))


def home_id(address: str) -> str:
    """The id of an account in its home tenant: never the same as its guest's id in ours (entra.md §9)."""
    domain = address.rpartition("@")[2]
    return object_id(address) if domain == OUR_DOMAIN else str(uuid.uuid5(uuid.NAMESPACE_URL, f"home:{address}"))


def app_role_id(value: str) -> str:
    """The id of an app role of the sign-in app."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"devtenant:role:{value}"))


def service_principal_id(client_id: str) -> str:
    """The object id of an app's service principal in our tenant."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"devtenant:sp:{client_id}"))
