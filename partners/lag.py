"""How long the directory lately took to know a new guest everywhere: so long a job waits before its next write.

Waiting too little wastes a write that counts against the limits, too much only makes one mail later. So the figure goes
half-way up to what was seen, and halves each hour in which nothing was.
"""

from __future__ import annotations

from django.db import connection

USUAL_SECONDS = 2.0
LEAST_SECONDS, MOST_SECONDS = 1.0, 10.0

EXPECTED = """
    SELECT seconds * 0.5 ^ greatest(0, extract(epoch FROM clock_timestamp() - seen_at) / 3600)
    FROM partners_directorylag
"""
SEEN = """
    INSERT INTO partners_directorylag (id, seconds, seen_at) VALUES (1, %(seconds)s, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET seconds = excluded.seconds, seen_at = excluded.seen_at
"""


def expected_seconds() -> float:
    with connection.cursor() as cursor:
        cursor.execute(EXPECTED)
        row = cursor.fetchone()
    return min(MOST_SECONDS, max(LEAST_SECONDS, row[0] if row else USUAL_SECONDS))


def saw(seconds: float) -> None:
    """A guest was known everywhere so long after the invitation, and not at an earlier try."""
    expected = expected_seconds()
    if seconds > expected:
        with connection.cursor() as cursor:
            cursor.execute(SEEN, {"seconds": (expected + min(seconds, MOST_SECONDS)) / 2})
