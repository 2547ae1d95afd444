"""python -m devtenant: run the stand-in until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from aiosmtpd.smtp import SMTP
from starlette.types import ASGIApp

from . import app, control, mail, registrations, scenarios
from .errors import Mistake
from .keys import KEY_FILES, Keys, ensure_certificate
from .store import JOURNAL, Json, Store, StoreError, take_lock
from .tenant import Tenant

ADDRESS = "127.0.0.1"
EPILOG = """\
It listens on 127.0.0.1 only and stops on Ctrl-C. Browsers use http://login.localhost:PORT/, MSAL and Graph clients
https://localhost:PORT+1 with the certificate authority in FOLDER/ca.pem. What is there to sign in with, and every
control, is in devtenant/README.md and on the start page.

examples:
  python -m devtenant                                    the tenant of the clinic portal's `make run`
  python -m devtenant --port 9400 --data /tmp/tenant     another one beside it
  python -m devtenant --apps my-apps.toml                with an app registration of your own
  python -m devtenant --scenario partner-blocked         in a situation that is hard to get by hand
"""


class Server(uvicorn.Server):
    """A server that leaves signals alone: two of them share this process, and one handler stops both."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main() -> int:
    options = _options()
    data = Path(options.data)
    if options.scenario == "list":
        print(scenarios.listed())
        return 0
    if options.reset:
        return _reset(data)
    try:
        apps = registrations.read_file(Path(options.apps)) if options.apps else []
        listeners = [_listen(options.port + offset) for offset in range(3)]
        store = Store(data)
        tenant = Tenant(store, Keys(data), options.port)
        _set_up(tenant, apps, options.scenario)
    except (StoreError, Mistake) as refusal:
        print(refusal, file=sys.stderr)
        return 2
    asyncio.run(_serve(tenant, data, listeners))
    store.close()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m devtenant",
        description="A local stand-in for one Microsoft Entra tenant, Microsoft Graph and a mail server.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=int,
        default=int(os.environ.get("TENANT_PORT", "8400")),
        help="http; https is the next port and SMTP the one after (default: TENANT_PORT or 8400)",
    )
    parser.add_argument(
        "--data",
        default=str(Path(os.environ.get("CLINICPORTAL_DATA_DIR", ".data")) / "tenant"),
        metavar="FOLDER",
        help="where the tenant is kept (default: CLINICPORTAL_DATA_DIR/tenant, or .data/tenant)",
    )
    parser.add_argument(
        "--apps",
        default=os.environ.get("TENANT_APPS", ""),
        metavar="FILE",
        help="register the [[app]] tables of this TOML file at the start (default: TENANT_APPS)",
    )
    parser.add_argument(
        "--scenario",
        metavar="NAME",
        help="begin with a fresh tenant in a scripted situation; 'list' says which there are",
    )
    parser.add_argument("--reset", action="store_true", help="forget everything in the data folder, and end")
    return parser.parse_args()


def _set_up(tenant: Tenant, apps: list[Json], scenario: str | None) -> None:
    """What the command line asks for, by the same verbs as /_control/. Raises Mistake."""
    if scenario:
        found = control.apply_scenario(tenant, {"name": scenario})
        print(f"Scenario {scenario}: {found['about']}.\nTry: {found['try']}", file=sys.stderr)
    for registration in apps:
        registrations.register(tenant, registration)
    tenant.store.flush()


def _reset(data: Path) -> int:
    """Forget the tenant with its keys: our own files only, whatever directory was named."""
    try:
        lock = take_lock(data) if data.is_dir() else None
    except StoreError as refusal:
        print(refusal, file=sys.stderr)
        return 2
    for name in (JOURNAL, *KEY_FILES):
        (data / name).unlink(missing_ok=True)
    if lock is not None:
        os.close(lock)
    print(f"devtenant has forgotten {data}.")
    return 0


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio turns Nagle's algorithm off; without it each answer with a body waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen(128)
    except (OSError, OverflowError):
        raise StoreError(
            f"Port {port} is taken (devtenant needs three in a row); set TENANT_PORT to the first of three free ones."
        ) from None
    listener.setblocking(False)
    return listener


async def _serve(tenant: Tenant, data: Path, listeners: list[socket.socket]) -> None:
    certificate, key = ensure_certificate(data)
    front = app.make(tenant)
    servers = [Server(_config(front)), Server(_config(front, certificate, key))]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, servers)
    smtp = await loop.create_server(lambda: _smtp(tenant), sock=listeners[2])
    print(
        f"devtenant ready at {tenant.browser_base}/ "
        f"(https://localhost:{tenant.port + 1} for apps, smtp://{ADDRESS}:{tenant.port + 2} for mail)",
        flush=True,
    )
    await asyncio.gather(*(s.serve(sockets=[listener]) for s, listener in zip(servers, listeners, strict=False)))
    smtp.close()


def _config(front: ASGIApp, certificate: Path | None = None, key: Path | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        front,
        http="h11",  # the cut connection of faults.py is written against it
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,  # queries carry tickets and codes
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        timeout_graceful_shutdown=2,
        server_header=False,
    )


def _stop(servers: list[Server]) -> None:
    for server in servers:
        server.should_exit = True


def _smtp(tenant: Tenant) -> SMTP:
    return SMTP(mail.Sink(tenant), hostname="devtenant", data_size_limit=mail.MAX_SIZE, enable_SMTPUTF8=True)


if __name__ == "__main__":
    sys.exit(main())
