"""Importing the Synthea set, against a bare COPY of the same lines into one jsonb column."""

from __future__ import annotations

import gzip
import os
import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from bench.place import SYNTHEA, Place, place

TABLE = "CREATE TABLE bench_bare (line jsonb NOT NULL)"
COPY = "COPY bench_bare (line) FROM STDIN"
ROUNDS = 3


def files() -> list[Path]:
    return sorted(SYNTHEA.glob("*.ndjson.gz"))  # not the folder: below it are Bundles


def lines() -> list[bytes]:
    found: list[bytes] = []
    for path in files():
        with gzip.open(path) as file:
            found += [line for line in file if line.strip()]
    return found


def bare(url: str, rows: list[bytes]) -> float:
    """Seconds for COPY alone: the lines are in memory, escaped for COPY's text format."""
    blocks = [row.rstrip(b"\n").replace(b"\\", b"\\\\") + b"\n" for row in rows]
    with psycopg.connect(url) as owner:
        owner.execute("DROP TABLE IF EXISTS bench_bare")
        owner.execute(TABLE)
        owner.commit()
        start = time.perf_counter()
        with owner.cursor().copy(COPY) as copy:
            for index in range(0, len(blocks), 1000):
                copy.write(b"".join(blocks[index : index + 1000]))
        owner.commit()
        seconds = time.perf_counter() - start
        owner.execute("DROP TABLE bench_bare")
    return seconds


def run() -> None:
    if not SYNTHEA.is_dir():
        print("Not run: ../shared/fhir/synthea is not here.")
        return
    rows = lines()
    size = sum(map(len, rows)) / 1e6
    bares: list[float] = []
    runs: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    with place() as here:
        owner = here.services()["database_owner_url"]
        for number in range(ROUNDS):
            bares.append(bare(owner, rows))
            command = ["manage.py", "import_fhir", "--source", f"bench-{number}", "--facility", f"Bench {number}"]
            command += map(str, files())
            runs.append(timed(here, command))
            if number == 0:
                again.append(timed(here, command))
    whole, itself = zip(*runs, strict=True)
    print(f"{len(rows):,} resources, {size:.0f} MB; baseline: {TABLE}; {COPY}")
    print(f"bare COPY      {rate(rows, bares)}   (lines unpacked and in memory)")
    print(f"import         {rate(rows, itself)}   (as import_fhir says: unpacking, caseloads and all)")
    print(f"whole command  {rate(rows, whole)}   (start of Python included)")
    print(f"import again   {rate(rows, [seconds for _, seconds in again])}   (nothing changed)")
    ratio = statistics.median(b / o for b, o in zip(bares, itself, strict=True))
    print(f"ratio          {ratio:.2f} of the bare COPY (aim 0.33), import against it in the same round")
    print(f"load           {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: above 2 the ratio tells little")


TOOK = re.compile(r"in ([\d,.]+) s \(")


def timed(here: Place, command: list[str]) -> tuple[float, float]:
    """Seconds of the whole command, and of the import by its own account."""
    start = time.perf_counter()
    said = TOOK.search(here.python(*command, process="worker"))
    if said is None:
        raise SystemExit("import_fhir did not say how long it took")
    return time.perf_counter() - start, float(said[1].replace(",", ""))


def rate(rows: list[bytes], seconds: Sequence[float]) -> str:
    return f"{len(rows) / statistics.median(seconds):9,.0f} resources/s  {statistics.median(seconds):6.2f} s"
