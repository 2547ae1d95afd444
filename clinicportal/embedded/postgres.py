"""PostgreSQL from its wheel: own cluster, SCRAM for everyone, one private socket."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from clinicportal import roles
from clinicportal.embedded import binaries
from clinicportal.embedded.account import Account, CannotRunServers, preparation
from clinicportal.embedded.children import Child
from clinicportal.embedded.paths import Paths, hand_over, make_private

SUPERUSER = "postgres"
SOCKET_PORT = 5432  # only a part of the socket's name

# On the command line, so that ALTER SYSTEM can't undo them. A failed statement is not logged, nor are its values, nor
# the detail of an error, which quotes the row that broke a constraint: they can be about people.
OPTIONS = {
    "listen_addresses": "",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "max_wal_size": "2GB",  # fewer checkpoints, after each of which every page that changes is logged whole
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class Postgres:
    """The cluster in `.data/postgres`, listening in a private folder and, when `port` is set, on 127.0.0.1."""

    paths: Paths
    passwords: dict[str, str]
    port: int | None = None

    @property
    def sockets(self) -> Path:
        return self.paths.sockets("postgres")

    @property
    def cluster(self) -> Path:
        return self.paths.data / "postgres"

    def child(self, account: Account) -> Child:
        """Return the server, not yet started. SIGINT is its fast shutdown: clients are sent away, data is safe."""
        return Child(
            name="postgres",
            argv=[str(binaries.postgres()), "-D", str(self.cluster), *self._options()],
            log=self.paths.log("postgres"),
            lock=self.paths.run / "postgres.lock",
            cwd=self.cluster,
            account=account,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            stop_timeout=15,
            ready=self._answers,
            healthy=self._answers,
        )

    def _options(self) -> list[str]:
        options = {
            **OPTIONS,
            "shared_buffers": f"{shared_megabytes()}MB",
            "unix_socket_directories": str(self.sockets),
            "port": str(self.port or SOCKET_PORT),
        }
        if self.port:
            options["listen_addresses"] = "127.0.0.1"
        return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]

    def initialise(self, account: Account) -> None:
        """Make the cluster, unless there is one. One that was interrupted half-way is not taken for whole."""
        make_private(self.sockets, account.uid)
        if (self.cluster / "PG_VERSION").exists():
            return
        partial = self.cluster.with_name("postgres.new")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        hand_over(partial, account.uid)
        with tempfile.NamedTemporaryFile("w", dir=self.sockets, prefix="pw-") as password:
            password.write(self.passwords["postgres"])
            password.flush()
            hand_over(Path(password.name), account.uid)
            self._initdb(partial, password.name, account)
        partial.replace(self.cluster)

    def _initdb(self, target: Path, password_file: str, account: Account) -> None:
        command = [str(binaries.postgres("initdb")), "--pgdata", str(target), "--username", SUPERUSER]
        command += ["--pwfile", password_file, "--auth", "scram-sha-256", "--encoding", "UTF8", "--data-checksums"]
        command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"]
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=target,
            start_new_session=True,
            preexec_fn=preparation(account, signal.SIGKILL),
        )
        if done.returncode != 0:
            raise CannotRunServers(f"PostgreSQL could not make its cluster in {target}:\n{done.stderr.strip()}")

    def adopt_superuser_password(self, account: Account) -> None:
        """Set the superuser's password to the one we have, in single-user mode (secrets.json was lost)."""
        statement = f"ALTER ROLE {SUPERUSER} PASSWORD {roles.literal(self.passwords['postgres'])}\n"
        subprocess.run(  # noqa: S603
            [str(binaries.postgres()), "--single", "-D", str(self.cluster), "postgres"],
            input=statement,
            capture_output=True,
            text=True,
            check=True,
            cwd=self.cluster,
            start_new_session=True,
            preexec_fn=preparation(account, signal.SIGKILL),
        )

    def arrange_roles(self) -> None:
        """Make the database and bring its roles, passwords and privileges into line."""
        with self._connect() as superuser:
            verifiers = {kind: self._verifier(superuser, kind) for kind in roles.KINDS}
            _run(superuser, roles.role_statements(verifiers, create_databases=True))
            if superuser.execute(roles.database_exists()).fetchone() is None:
                _run(superuser, [roles.create_database()])
            _run(superuser, roles.database_statements())
        with self._connect(roles.DATABASE) as superuser:
            _run(superuser, roles.schema_statements())

    def _verifier(self, connection: psycopg.Connection, kind: str) -> str:
        """Return the password as the server would store it, so that it never crosses the wire or a log."""
        password, user = self.passwords[kind].encode(), roles.role(kind).encode()
        return roles.literal(connection.pgconn.encrypt_password(password, user, b"scram-sha-256").decode())

    def _connect(self, database: str = "postgres", *, timeout: int = 5) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.sockets),
            port=self.port or SOCKET_PORT,
            user=SUPERUSER,
            password=self.passwords["postgres"],
            dbname=database,
            autocommit=True,
            connect_timeout=timeout,
        )

    def _answers(self) -> bool:
        try:
            with self._connect(timeout=2):
                return True
        except psycopg.OperationalError as error:
            # It lives; whether we know its password is another question, asked by arrange_roles.
            return "password authentication failed" in str(error)

    def url(self, kind: str, database: str = roles.DATABASE) -> str:
        """Return the address for a role, as psycopg and Django read it."""
        user, password = roles.role(kind), self.passwords[kind]
        if self.port:
            return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"
        return f"postgresql://{user}:{password}@/{database}?host={quote(str(self.sockets))}"


def shared_megabytes() -> int:
    """For pages of tables and indexes: a quarter of the machine's memory, 1 GB at most.

    The indexes that an import of millions writes to should stay in it. It is taken when it is used, not at the start.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(128, min(1024, memory // 4 // 2**20))


def _run(connection: psycopg.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.execute(statement.encode())
