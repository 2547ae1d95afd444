"""One way out: every call to another host goes through `session`, to named hosts only, without redirects."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter

TIMEOUT = (3.0, 10.0)
"""Seconds to connect, and to wait for each read."""


_ends: ContextVar[float | None] = ContextVar("ends", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All calls inside together may take this long: each waits for what is left, and none begins when nothing is."""
    token = _ends.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


def cut_to_what_is_left(timeout: tuple[float, float]) -> tuple[float, float]:
    """Raises requests.Timeout when nothing is left."""
    ends = _ends.get()
    if ends is None:
        return timeout
    left = ends - time.monotonic()
    if left <= 0:
        raise requests.Timeout("no time is left for this call")
    connect, read = timeout
    return min(connect, left), min(read, left)


class OutsideAllowlist(requests.exceptions.InvalidURL):
    """The host is not one that the settings name."""


class Session(requests.Session):
    """A requests session bound to `hosts` (host:port).

    Ignores proxies and CA bundles of the environment: REQUESTS_CA_BUNDLE would win over `verify`.
    Names under .localhost mean this machine (RFC 6761, section 6.3), which system resolvers may not know.
    """

    def __init__(self, hosts: set[str], ca_file: str = "", timeout: tuple[float, float] = TIMEOUT) -> None:
        super().__init__()
        self.hosts = hosts
        self.timeout = timeout
        self.trust_env = False
        self.verify = ca_file or True
        adapter = HTTPAdapter(max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(str(url))
        if parts.netloc not in self.hosts:
            raise OutsideAllowlist(f"No calls to {parts.hostname}: it is not among the configured hosts")
        if (parts.hostname or "").endswith(".localhost"):
            kwargs["headers"] = {**(kwargs.get("headers") or {}), "Host": parts.netloc}
            url = urlunsplit(parts._replace(netloc=f"127.0.0.1:{parts.port}" if parts.port else "127.0.0.1"))
        kwargs["timeout"] = cut_to_what_is_left(kwargs.get("timeout") or self.timeout)
        kwargs["allow_redirects"] = False
        return super().request(method, url, *args, **kwargs)


def entra_session(timeout: tuple[float, float] = TIMEOUT) -> Session:
    """A session for the hosts of the tenant: sign-in, tokens and Graph."""
    names = ("authority", "token_authority", "graph_url")
    hosts = {urlsplit(settings.ENTRA[name]).netloc for name in names}
    return Session(hosts, settings.ENTRA["ca_file"], timeout)
