"""What cannot be taken: rows in the database, and a file to mend and feed again.

The file has one JSON object a line, with the line's own text in it.

    {"rejection": 17, "file": "Observation.ndjson", "line": 4, "reason": "broken-json", "detail": "…", "raw": "…"}

Mend what stands in `raw` (or in `raw_base64`, for bytes that are no text), leave `rejection` as it is, and import the
file into the same source: a line that can be taken now closes its rejection, with a pointer to that import.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import psycopg
from django.db import connections
from django.db.models.functions import Now

from records.models import Import, Rejection

if TYPE_CHECKING:
    from records.importing.reading import Refused

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


# ---------------------------------------------------------------- as rows

KEPT_BEFORE = """
SELECT DISTINCT r.id, r.file, r.line, r.reason, sha256(r.raw)
FROM unnest(%s::varchar[], %s::int[]) AS asked (file, line)
JOIN records_rejection r ON r.file = asked.file AND r.line = asked.line AND r.mended_at IS NULL
JOIN records_import i ON i.id = r.imported_id
WHERE i.source_id = %s
"""


INSERT = """
INSERT INTO records_rejection (imported_id, file, line, reason, detail, raw, whole) VALUES (%s, %s, %s, %s, %s, %b, %s)
"""


class Line(NamedTuple):
    """What makes two rejections the same."""

    file: str
    number: int
    reason: str
    digest: bytes


def same_line(refused: Refused) -> Line:
    digest = hashlib.sha256(refused.raw).digest()
    return Line(refused.file[-500:], refused.number, refused.reason, digest)


def keep(refused: list[Refused], run: Import, *, using: str) -> None:
    """Keep what cannot be taken. What is kept already (the same bytes at the same place, not mended yet) becomes a
    rejection of this run: one line is one row, however often it is sent or an import is begun again."""
    if not refused:
        return
    rows = Rejection.objects.using(using)
    kept = kept_before(refused, run, using=using)
    again, new = [], []
    for one in refused:
        if ids := kept.get(same_line(one)):
            again.append(ids.pop())
        else:
            new.append(one)
    rows.filter(pk__in=again).update(imported=run)
    # Bound by the server: written into the statement, 16 MB take 200 for a moment.
    with psycopg.Cursor(connections[using].connection) as cursor:
        cursor.executemany(INSERT, [(run.pk, *facts_of(one)) for one in new])


def kept_before(refused: list[Refused], run: Import, *, using: str) -> dict[Line, list[int]]:
    """The open rejections of the same source at the same places, by what makes them the same."""
    found: dict[Line, list[int]] = {}
    with connections[using].cursor() as cursor:
        places = [one.file[-500:] for one in refused], [one.number for one in refused]
        cursor.execute(KEPT_BEFORE, [*places, run.source_id])
        for id, *line in cursor.fetchall():
            found.setdefault(Line(*line), []).append(id)
    return found


def facts_of(one: Refused) -> tuple[Any, ...]:
    return one.file[-500:], one.number, one.reason, one.detail[:300], one.raw, one.whole


def close(mended: list[int], run: Import, *, using: str) -> None:
    """Point from rejections to the run that took their mended lines."""
    rows = Rejection.objects.using(using).filter(pk__in=mended, imported__source=run.source_id, mended_at=None)
    rows.update(mended_at=Now(), mended_by=run)
