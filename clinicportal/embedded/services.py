"""Where PostgreSQL and Valkey answer."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Services:
    """Addresses, as the settings of the same names hold them; an empty one is not known here."""

    database_url: str = ""
    database_owner_url: str = ""
    database_worker_url: str = ""
    database_auditor_url: str = ""
    redis_url: str = ""
    cache_url: str = ""

    @classmethod
    def from_environment(cls, found: Mapping[str, str]) -> "Services":
        """Return `found`, except that what the environment names itself stands."""
        values = {name: os.environ.get(name.upper(), found.get(name, "")) for name in cls.__dataclass_fields__}
        # One store serves both when somebody names only one.
        values["cache_url"] = values["cache_url"] or values["redis_url"]
        return cls(**values)

    def as_environment(self) -> dict[str, str]:
        return {name.upper(): value for name, value in asdict(self).items() if value}
