"""Microsoft Graph, as far as inviting guests and one group need it. Nothing outside of this package knows Graph."""

from partners.entra.client import Graph, Invited, User, client
from partners.entra.conditional_access import People, Policy, why_not_bound
from partners.entra.errors import Refused, TryLater

__all__ = ["Graph", "Invited", "People", "Policy", "Refused", "TryLater", "User", "client", "why_not_bound"]
