"""Microsoft Graph, as far as inviting guests and one group need it. Nothing outside of this package knows Graph."""

from partners.entra.client import Change, Changes, Graph, Invited, NoTraffic, Traffic, User, client, onlooker
from partners.entra.conditional_access import People, Policy, why_not_bound
from partners.entra.errors import Refused, Scope, TryLater

__all__ = [
    "Change", "Changes", "Graph", "Invited", "NoTraffic", "People", "Policy", "Refused", "Scope", "Traffic", "TryLater",
    "User", "client", "onlooker", "why_not_bound",
]  # fmt: skip
