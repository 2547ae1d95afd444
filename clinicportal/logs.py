"""Logs are JSON lines with ids; never a name, an address or an identifier of a patient."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from typing import Any

import structlog


def frames_only(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Replace an exception by its type and where it came from: messages quote values (PostgreSQL's DETAIL does)."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    elif isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if info and info[0] is not None:
        event["exception"] = info[0].__name__
        event["frames"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(info[2])[-12:]
        ]
    return event


LINK = re.compile(r"(/welcome/)[^/\s]+")


def hide_links(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Django's own warnings name the path of a request; the path of an invitation is its secret."""
    event["event"] = LINK.sub(r"\1...", str(event["event"]))
    return event


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    frames_only,
    hide_links,
]


def formatter() -> logging.Formatter:
    """For LOGGING: lines of the standard library's loggers (Django, Celery) and of ours look the same."""
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        foreign_pre_chain=SHARED,
    )


structlog.configure(
    processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
