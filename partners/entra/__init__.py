"""Microsoft Graph, as far as inviting guests and one group need it. Nothing outside of this package knows Graph."""

from partners.entra.client import Change, Changes, Graph, Invited, NoTraffic, Traffic, User, client, onlooker
from partners.entra.errors import Refused, Scope, TryLater

__all__ = [
    "Change", "Changes", "Graph", "Invited", "NoTraffic", "Refused", "Scope", "Traffic", "TryLater", "User", "client",
    "onlooker",
]  # fmt: skip
