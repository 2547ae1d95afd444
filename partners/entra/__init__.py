"""Microsoft Graph, as far as inviting guests and one group need it. Nothing outside of this package knows Graph."""

from partners.entra.client import Change, Changes, Graph, Invited, User, client
from partners.entra.errors import Refused, TryLater

__all__ = ["Change", "Changes", "Graph", "Invited", "Refused", "TryLater", "User", "client"]
