"""One connection to the mail server for many mails: to open one, with TLS, costs more than the mail."""

from __future__ import annotations

import smtplib
import threading
import time
from typing import Any

from django.core.mail import EmailMessage, get_connection

IDLE_SECONDS = 20
"""Older connections are not trusted: servers close them, and a mail into a closed one may be lost or doubled."""

_held = threading.local()


def send(message: EmailMessage) -> None:
    """Hand over one mail. Whatever goes wrong ends the connection, so that the next mail starts clean.

    Raises what smtplib and sockets raise.
    """
    message.connection = _connection()
    try:
        message.send()
    except BaseException:
        close()
        raise
    _held.used = time.monotonic()


def close() -> None:
    backend, _held.backend = getattr(_held, "backend", None), None
    if backend is not None:
        backend.close()


def _connection() -> Any:
    """The open one if the server still answers on it, else a new one."""
    backend = getattr(_held, "backend", None)
    if backend is not None and time.monotonic() - _held.used < IDLE_SECONDS and _answers(backend):
        return backend
    close()
    _held.backend = get_connection()
    _held.backend.open()
    return _held.backend


def _answers(backend: Any) -> bool:
    """Before the mail, so that a connection that was closed meanwhile is not one whose mail nobody answered for."""
    server = getattr(backend, "connection", None)  # backends of tests have none
    try:
        return server is not None and server.noop()[0] == 250
    except (smtplib.SMTPException, OSError):
        return False
