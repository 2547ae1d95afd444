"""The real servers on one machine: PostgreSQL and Valkey from their wheels, and the supervisor of `make run`.

Nothing here needs Django, and nothing is used when DATABASE_URL and REDIS_URL name servers elsewhere.
"""

from clinicportal.embedded.account import CannotRunServers
from clinicportal.embedded.services import Services
from clinicportal.embedded.sharing import ensure, services

__all__ = ["CannotRunServers", "Services", "ensure", "services"]
