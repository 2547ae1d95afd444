"""Microsoft Graph, as far as inviting guests and one group need it. Nothing outside of this package knows Graph."""

from partners.entra.client import Graph, Invited, NoTraffic, Traffic, User, client
from partners.entra.errors import Refused, Scope, TryLater

__all__ = ["Graph", "Invited", "NoTraffic", "Refused", "Scope", "Traffic", "TryLater", "User", "client"]
