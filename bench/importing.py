"""Importing the Synthea set, against a bare COPY of the same lines into one jsonb column.

    BENCH_PATIENTS=100000 python -m bench import

then also fills the database with a light set of so many patients (45 resources each) and imports the same files again,
beside all those.
"""

from __future__ import annotations

import gzip
import os
import re
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psycopg

from bench.place import SYNTHEA, Place, place

TABLE = "CREATE TABLE bench_bare (line jsonb NOT NULL)"
COPY = "COPY bench_bare (line) FROM STDIN"
ROUNDS = 5
SETTLE = "import django; django.setup(); from django.db import connection as c; c.cursor().execute('VACUUM ANALYZE')"
"""What was just written is settled before anything is measured beside it, as in bench/chart.py."""
BUILD = "import django; django.setup(); from bench.many import build; build({})"


class Took(NamedTuple):
    """One measurement, in seconds."""

    wall: float
    client: float
    """Processor time of the process that sends, and of its children."""
    postgres: float
    """Processor time of all of PostgreSQL meanwhile, checkpoints included."""
    itself: float = 0.0
    """Of the import by its own account: without the start of Python."""

    @property
    def processor(self) -> float:
        return self.client + self.postgres

    def said(self, seconds: float) -> str:
        return f"{seconds:5.2f} s ({self.client:.2f} + {self.postgres:.2f})"


def files() -> list[Path]:
    return sorted(SYNTHEA.glob("*.ndjson.gz"))  # not the folder: below it are Bundles


def blocks() -> tuple[list[bytes], int, int]:
    """All lines in memory, escaped for COPY's text format, a thousand to a block; how many, and how many bytes."""
    lines: list[bytes] = []
    for path in files():
        with gzip.open(path) as file:
            lines += [line.rstrip(b"\n") for line in file if line.strip()]
    escaped = [line.replace(b"\\", b"\\\\") + b"\n" for line in lines]
    return [b"".join(escaped[n : n + 1000]) for n in range(0, len(escaped), 1000)], len(lines), sum(map(len, lines))


def measured(here: Place, work: Callable[[], float]) -> Took:
    postgres, client, start = here.cpu()["postgres"], processor(), time.perf_counter()
    itself = work()
    wall = time.perf_counter() - start
    return Took(wall, processor() - client, (here.cpu()["postgres"] - postgres) / 1000, itself)


def processor() -> float:
    """Seconds of processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def bare(here: Place, url: str, ready: list[bytes]) -> Took:
    """COPY alone, committed, on the same server with the same settings."""
    with psycopg.connect(url) as owner:
        owner.execute("DROP TABLE IF EXISTS bench_bare")
        owner.execute(TABLE)
        owner.commit()

        def work() -> float:
            with owner.cursor().copy(COPY) as copy:
                for block in ready:
                    copy.write(block)
            owner.commit()
            return 0.0

        took = measured(here, work)
        owner.execute("DROP TABLE bench_bare")
    return took


SAID = re.compile(r"in ([\d,.]+) s \(")


def imported(here: Place, source: str) -> Took:
    command = ["manage.py", "import_fhir", "--source", source, "--facility", "Bench", *map(str, files())]

    def work() -> float:
        said = SAID.search(here.python(*command, process="worker"))
        if said is None:
            raise SystemExit("import_fhir did not say how long it took")
        return float(said[1].replace(",", ""))

    return measured(here, work)


def run() -> None:
    if not SYNTHEA.is_dir():
        print("Not run: ../shared/fhir/synthea is not here.")
        return
    ready, number, size = blocks()
    print(f"{number:,} resources, {size / 1e6:.0f} MB; baseline: {TABLE}; {COPY}")
    with place() as here:
        owner = here.services()["database_owner_url"]
        small = rounds(here, owner, ready, number, "empty")
        again = [imported(here, "empty-1") for _ in range(2)]
        print(f"import again   {speed(number, again, 'itself')}   (nothing changed)")
        if patients := os.environ.get("BENCH_PATIENTS"):
            here.python("-c", BUILD.format(int(patients)), process="worker", quiet=False)
            here.python("-c", SETTLE, process="owner")
            large = rounds(here, owner, ready, number, f"beside-{int(patients)}-patients")
            print(f"a resource takes {large / small:.2f} of its time in an empty portal (aim below 1.20)")


def rounds(here: Place, owner: str, ready: list[bytes], number: int, where: str) -> float:
    """Baseline and import in turn, each into a source of its own; return the median seconds of an import."""
    print(f"\n{where}: by the clock, and processor time of client + PostgreSQL")
    print(f"{'round':<7}{'bare COPY':<25}{'import':<25}load")
    pairs: list[tuple[Took, Took]] = []
    for one in range(1, ROUNDS + 1):
        copy, brought = bare(here, owner, ready), imported(here, f"{where}-{one}")
        pairs.append((copy, brought))
        print(
            f"{one:<7}{copy.said(copy.wall):<25}{brought.said(brought.itself):<25}{os.getloadavg()[0]:4.1f}", flush=True
        )
    copies, imports = zip(*pairs, strict=True)
    print(f"bare COPY      {speed(number, copies, 'wall')}   (lines unpacked and in memory)")
    print(f"import         {speed(number, imports, 'itself')}   (as import_fhir says: unpacking, caseloads and all)")
    print(f"whole command  {speed(number, imports, 'wall')}   (start of Python included)")
    wall = statistics.median(copy.wall / one.itself for copy, one in pairs)
    time_used = statistics.median(copy.processor / one.processor for copy, one in pairs)
    print(f"ratio          {wall:.2f} of the bare COPY by the clock (aim 0.33), import against it in the same round")
    print(f"               {time_used:.2f} by processor time of all processes (the start of Python included)")
    print(f"load           {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: above 2 the clock tells little")
    return statistics.median(one.itself for one in imports)


def speed(number: int, taken: list[Took] | tuple[Took, ...], which: str) -> str:
    seconds = statistics.median(getattr(one, which) for one in taken)
    return f"{number / seconds:9,.0f} resources/s  {seconds:6.2f} s"
