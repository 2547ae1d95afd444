"""Rejected lines as a file to mend and feed again: one JSON object a line, with the line's own text in it.

    {"rejection": 17, "file": "Observation.ndjson", "line": 4, "reason": "broken-json", "detail": "…", "raw": "…"}

Mend what stands in `raw` (or in `raw_base64`, for bytes that are no text), leave `rejection` as it is, and import the
file into the same source: a line that can be taken now closes its rejection, with a pointer to that import.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator

import orjson

from records.models import Rejection

START = b'{"rejection":'
AT_ONCE = 5
"""Rejections in memory: each may have 16 MB."""


def is_packed(line: bytes) -> bool:
    """Whether this is a line of an export, perhaps written anew by a tool that has its own order and spaces."""
    if line.startswith(START):
        return True
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and "rejection" in document and bool({"raw", "raw_base64"} & document.keys())


def pack(rejections: Iterable[Rejection]) -> Iterator[bytes]:
    """The lines of an export."""
    for one in rejections:
        raw = bytes(one.raw)
        detail = one.detail if one.whole else f"{one.detail} (only the start is kept: ask the source for the rest)"
        facts = {"rejection": one.pk, "file": one.file, "line": one.line, "reason": one.reason, "detail": detail}
        try:
            text = {"raw": raw.decode()}
        except UnicodeDecodeError:
            text = {"raw_base64": base64.b64encode(raw).decode()}
        yield orjson.dumps({**facts, **text}) + b"\n"


def up_to(size: int, lines: Iterable[bytes]) -> Iterator[bytes]:
    """The first of `lines` that are no more than `size` bytes together, and one in any case."""
    for number, line in enumerate(lines):
        size -= len(line)
        if size < 0 and number:
            return
        yield line


def unpack(line: bytes) -> tuple[int, bytes]:
    """The number of the rejection and the mended text. Raises ValueError, without values of the record."""
    try:
        packed = orjson.loads(line)
        number, raw, encoded = packed["rejection"], packed.get("raw"), packed.get("raw_base64")
    except (orjson.JSONDecodeError, KeyError):
        raise ValueError("it is not JSON") from None
    if not isinstance(number, int) or not isinstance(raw if encoded is None else encoded, str):
        raise ValueError("it lacks a number or a text")
    try:
        return number, raw.encode() if encoded is None else base64.b64decode(encoded, validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("its text is not base64") from None
