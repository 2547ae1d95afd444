"""The embedded servers of one data folder, as a set: which are needed, where they answer."""

import os
import shutil
from dataclasses import dataclass

import psycopg

from clinicportal.embedded import binaries, secrets
from clinicportal.embedded.account import Account, CannotRunServers, server_account
from clinicportal.embedded.children import Child, rotate
from clinicportal.embedded.paths import Paths
from clinicportal.embedded.postgres import Postgres
from clinicportal.embedded.services import Services
from clinicportal.embedded.valkey import Valkey

SERVERS = ("postgres", "valkey")


@dataclass(frozen=True)
class Servers:
    """PostgreSQL and Valkey, each only when no address of another one is set."""

    paths: Paths
    postgres: Postgres | None
    valkey: Valkey | None

    @classmethod
    def needed(cls, paths: Paths) -> "Servers":
        """Return those needed here. Starts nothing, but makes the passwords, so that the addresses are known."""
        wants_postgres, wants_valkey = "DATABASE_URL" not in os.environ, "REDIS_URL" not in os.environ
        if not (wants_postgres or wants_valkey):
            return cls(paths, None, None)
        paths.create()
        passwords = secrets.load(paths.secrets)
        return cls(
            paths,
            Postgres(paths, passwords, _tcp_port()) if wants_postgres else None,
            Valkey(paths, passwords) if wants_valkey else None,
        )

    def start(self) -> list[Child]:
        """Start them, wait until they answer and arrange the roles; return them. Raises CannotRunServers."""
        programs = [binaries.postgres()] if self.postgres else []
        programs += [binaries.valkey()] if self.valkey else []
        account = server_account([*programs, self.paths.data / "postgres"])
        children: list[Child] = []
        try:
            for server in (self.postgres, self.valkey):
                if server is not None:
                    server.initialise(account)
                    children.append(server.child(account))
                    _started(children[-1])
            if self.postgres is not None:
                self._arrange_roles(self.postgres, children[0], account)
        except BaseException:
            for child in children:
                child.stop()
            raise
        return children

    def _arrange_roles(self, postgres: Postgres, child: Child, account: Account) -> None:
        try:
            postgres.arrange_roles()
        except psycopg.OperationalError as error:
            if "password authentication failed" not in str(error):
                raise
            # secrets.json was lost and made anew; the cluster is ours, so it learns the new password.
            child.stop()
            postgres.adopt_superuser_password(account)
            _started(child)
            postgres.arrange_roles()

    def clean_up(self) -> None:
        """Remove the folders for sockets that are not in the data folder. To be called when they have stopped."""
        for server in (self.postgres, self.valkey):
            if server is not None and server.sockets.parent != self.paths.run:
                shutil.rmtree(server.sockets, ignore_errors=True)

    def services(self) -> Services:
        """Where they answer; what is not ours comes from the environment."""
        addresses: dict[str, str] = {}
        if self.postgres is not None:
            addresses["database_url"] = self.postgres.url("web")
            addresses |= {f"database_{kind}_url": self.postgres.url(kind) for kind in ("owner", "worker", "auditor")}
        if self.valkey is not None:
            addresses |= {"redis_url": self.valkey.broker_url, "cache_url": self.valkey.cache_url}
        return Services.from_environment(addresses)


def _started(child: Child) -> None:
    rotate(child.log, above=5_000_000)
    child.start()
    if not child.wait_ready():
        child.stop()
        raise CannotRunServers(f"{child.name} did not start. The end of {child.log}:\n{child.last_words()}")


def _tcp_port() -> int | None:
    """The port PostgreSQL shall also have on 127.0.0.1 (for a database browser); None: socket only."""
    wanted = os.environ.get("CLINICPORTAL_POSTGRES_PORT", "")
    if not wanted:
        return None
    if not wanted.isdigit() or not 0 < int(wanted) < 65536:
        raise CannotRunServers(f"CLINICPORTAL_POSTGRES_PORT is {wanted!r}: set it to a free port, or unset it.")
    return int(wanted)
