"""How the worker proves itself to the tenant: by a secret, a certificate, or a token from the platform's file."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msal
import requests
import structlog

from clinicportal.http import Session
from partners.entra.errors import Scope, TryLater

log = structlog.get_logger(__name__)

FRESH_SECONDS = 300
"""A token is replaced this long before its end."""
KINDS = {
    "secret": "graph_client_secret",
    "certificate": "graph_certificate_file",
    "federated token": "graph_federated_token_file",
}


def kind(config: Mapping[str, str]) -> str:
    """Which of KINDS the settings name; settings refuse several. Empty: none."""
    return next((name for name, setting in KINDS.items() if config.get(setting)), "")


def credential(config: Mapping[str, str]) -> Any:
    """What MSAL takes as `client_credential`. Raises OSError when a file cannot be read.

    A certificate without a thumbprint makes MSAL (1.35) sign with PS256 and name it by x5t#S256. The federated token is
    a callable: the platform writes a new one every hour or so, and MSAL asks for it with each request.
    """
    match kind(config):
        case "certificate":
            return {
                "private_key": Path(config["graph_certificate_key_file"]).read_text(),
                "public_certificate": Path(config["graph_certificate_file"]).read_text(),
            }
        case "federated token":
            file = Path(config["graph_federated_token_file"])
            return {"client_assertion": lambda: file.read_text().strip()}
    return config["graph_client_secret"]


class Tokens:
    """App-only tokens for Graph, kept until shortly before their end. One per process, made after the fork.

    MSAL answers a repeated request from its memory: HTTP 400 for a minute, 5xx for seconds (throttled_http_client.py).
    A client that was refused is therefore thrown away; the next one asks the tenant, and reads the files anew.
    """

    def __init__(self, session: Session, config: Mapping[str, str]) -> None:
        self._session, self._config = session, config
        self._app: msal.ConfidentialClientApplication | None = None
        self._token, self._until = "", 0.0
        self._lock = threading.Lock()

    def get(self) -> str:
        """A token. Raises TryLater: "unreachable", or "credentials" where the tenant refuses ours."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._token, lifetime = self._acquire()
                self._until = time.monotonic() + max(1.0, lifetime - FRESH_SECONDS)
            return self._token

    def forget(self) -> None:
        """Graph refused the token before its end (a new policy, a revoked secret): ask for another."""
        with self._lock:
            self._app, self._until = None, 0.0

    def _acquire(self) -> tuple[str, float]:
        try:
            self._app = self._app or self._new_app()
            answer = self._app.acquire_token_for_client(scopes=[scope(self._config)])
        except OSError as problem:  # requests' exceptions are OSErrors, too
            self._app = None
            log.warning("token", problem=type(problem).__name__)
            raise self._trouble(problem) from None
        except ValueError as problem:  # MSAL: no authority there, or a key that it cannot read
            self._app = None
            log.warning("token", problem=type(problem).__name__)
            raise TryLater("unreachable") from None
        if "access_token" not in answer:
            self._app = None
            log.error("token", error=answer.get("error"), codes=answer.get("error_codes"))
            raise TryLater("credentials", scope=Scope.ALL)
        return answer["access_token"], float(answer.get("expires_in", 0))

    def _trouble(self, problem: OSError) -> TryLater:
        if isinstance(problem, requests.RequestException):
            return TryLater("unreachable")
        return TryLater("credentials", scope=Scope.ALL)  # a file of ours cannot be read

    def _new_app(self) -> msal.ConfidentialClientApplication:
        """Without instance discovery: the authority comes from the settings, and discovery would ask a host of
        Microsoft's public cloud about it, which another cloud has no business with."""
        return msal.ConfidentialClientApplication(
            self._config["graph_client_id"],
            client_credential=credential(self._config),
            authority=self._config["token_authority"],
            instance_discovery=False,
            http_client=self._session,
        )


def scope(config: Mapping[str, str]) -> str:
    """The scope belongs to the Graph host: each national cloud has its own (entra.md §14)."""
    return f"https://{urlsplit(config['graph_url']).netloc}/.default"
