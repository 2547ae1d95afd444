"""The chart and My patients: at a hundredth of the data and at all of it, for three guests, against the bare thing.

    BENCH_PATIENTS=1000,10000 python -m bench chart      # others than 1,000 and 100,000 patients

A set of 100,000 patients has 5 million resources; each is built once and kept in `.bench/` (bench/many.py). Both are
asked in turns, so what is told of one against the other was measured side by side.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.place import ROOT, environment_for, free_ports

SIZES = "1000,100000"
KEPT, BUILT = ROOT / ".bench", "set-is-built"
MADE = 3
"""Raise it when bench/many.py makes the set otherwise: then those that are kept are built again."""
ROUNDS, WARM_UP, CLIENTS = 60, 10, 8
SPELLS, SECONDS = 5, 2
"""Of the eight clients: a set gets so many, each so long, and the sets take turns."""
Asked = tuple[str, list[str], bytes]
"""A session, paths to ask in turn, and a body if they are posted to."""


def run() -> None:
    sizes = [int(size) for size in os.environ.get("BENCH_PATIENTS", SIZES).split(",")]
    with ExitStack() as stack:
        sets = [stack.enter_context(serving(size)) for size in sorted(sizes)]
        times, eight = all_times(sets), eight_clients(sets)
        found = [figures_of(one, times[one.size], eight[one.size]) for one in sets]
    for one, measured in zip(sets, found, strict=True):
        report(one, measured)
    if len(sets) > 1:
        small, large = found[0]["times"], found[-1]["times"]
        print(f"{sets[-1].size:,} patients against {sets[0].size:,}, asked in turns (aim 1.2)")
        for name in small:
            print(f"  {name:<32} {large[name][0] / small[name][0]:5.2f}")


@dataclass
class Standing:
    """A set whose servers run: where to ask it, whose processor time to count, and what `prepare_reading` told."""

    size: int
    port: int
    web: int  # process ids
    postgres: int
    facts: dict[str, Any]


@contextmanager
def serving(size: int) -> Iterator[Standing]:
    """The set, built unless it is here, behind a web server; both in a process with the environment of the set."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.chart", str(size)], cwd=ROOT, env=environment_of(size),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        said = process.stdout.readline()
        if not said:
            raise SystemExit(f"the set of {size:,} patients did not start")
        yield Standing(size, **json.loads(said))
    finally:
        process.stdin.close()
        process.wait(timeout=60)


def environment_of(size: int) -> dict[str, str]:
    data = KEPT / f"{size}-{MADE}"
    for old in KEPT.glob(f"{size}-*"):
        if old != data:
            shutil.rmtree(old, ignore_errors=True)
    data.mkdir(parents=True, exist_ok=True)
    for folder in (data.parent, data):
        folder.chmod(0o755)
    return environment_for(data, free_ports(4))


def report(one: Standing, found: dict[str, Any]) -> None:
    facts, times = one.facts, found["times"]
    print(f"{one.size:,} patients with records, {facts['resources']:,} resources")
    for page, (status, number) in facts["queries"].items():
        print(f"  {page:<15} {number:2} SQL statements{'' if status == 200 else f' (answered {status})'}")
    for sql, median in facts["baseline"]:
        print(f"  baseline: {sql}")
        print(f"  {'baseline, no wall':<32} median {median:6.1f} ms")
    for name, (median, p95) in times.items():
        print(f"  {name:<32} median {median:6.1f} ms   p95 {p95:6.1f} ms")
    for name, (web, postgres) in found["cpu"].items():
        print(f"  {'CPU, ' + name:<32} web {web:6.1f} ms   PostgreSQL {postgres:6.1f} ms")
    print(f"  {'load generator':<32} {found['generator']:6.1f} ms of CPU for a request; load {found['load']:.1f}")
    for page in ("summary", "results"):
        ratio = times[f"{page}, 10,000 observations"][0] / times[f"{page}, 100 observations"][0]
        print(f"  {f'{page}: 10,000 against 100 observations':<44} {ratio:5.2f} (aim 1.3)")
    ratio = times["summary, guest with many"][0] / times["empty page"][0]
    print(f"  {'summary against empty page':<44} {ratio:5.2f}")


# --------------------------------------------------------------------------------------------------- measuring


def all_times(sets: list[Standing]) -> dict[int, dict[str, list[float]]]:
    """Milliseconds of each page, for each size: in turns, so that what else the machine does falls on all alike."""
    asked = {one.size: pages_to_time(one.facts) for one in sets}
    times: dict[int, dict[str, list[float]]] = {size: {name: [] for name in pages} for size, pages in asked.items()}
    connections = {one.size: http.client.HTTPConnection("127.0.0.1", one.port, timeout=30) for one in sets}
    for number in range(ROUNDS + WARM_UP):
        for name in asked[sets[0].size]:
            for size, connection in connections.items():
                session, paths, body = asked[size][name]
                took = ask(connection, paths[number % len(paths)], session, body)
                if number >= WARM_UP:
                    times[size][name].append(took)
    return times


def pages_to_time(facts: dict[str, Any]) -> dict[str, Asked]:
    many = facts["guests"]["many"]
    asked: dict[str, Asked] = {"empty page": (many["session"], ["/bench/empty/"], b"")}
    for name, guest in facts["guests"].items():
        charts = [f"/patients/{patient}/" for patient in guest["patients"]]
        asked[f"summary, guest with {name}"] = guest["session"], charts, b""
        asked[f"my patients, guest with {name}"] = guest["session"], ["/patients/"], b""
        asked[f"search, guest with {name}"] = guest["session"], ["/patients/"], guest["search"].encode()
    asked["results, guest with many"] = many["session"], [f"/patients/{p}/results/" for p in many["patients"]], b""
    for number, patient in facts["long"].items():
        asked[f"summary, {int(number):,} observations"] = many["session"], [f"/patients/{patient}/"], b""
        asked[f"results, {int(number):,} observations"] = many["session"], [f"/patients/{patient}/results/"], b""
    return asked


@dataclass
class Eight:
    """What eight clients at once met with."""

    times: list[float] = field(default_factory=list)
    """Milliseconds of each summary."""
    web: float = 0.0  # seconds of processor time
    postgres: float = 0.0
    generator: float = 0.0

    def per_request(self, seconds: float) -> float:
        return seconds * 1000 / max(1, len(self.times))


def eight_clients(sets: list[Standing]) -> dict[int, Eight]:
    found = {one.size: Eight() for one in sets}
    for _spell in range(SPELLS):
        for one in sets:
            many, eight = one.facts["guests"]["many"], found[one.size]
            before, own = cpu_of(one), cpu_of_children()
            eight.times += at_once(one.port, many["session"], [f"/patients/{patient}/" for patient in many["patients"]])
            web, postgres = (after - start for start, after in zip(before, cpu_of(one), strict=True))
            eight.web, eight.postgres = eight.web + web, eight.postgres + postgres
            eight.generator += cpu_of_children() - own
    return found


def figures_of(one: Standing, times: dict[str, list[float]], eight: Eight) -> dict[str, Any]:
    """Median and p95 of all times, and the processor's time, of which that of single pages is measured here."""
    many, together = one.facts["guests"]["many"], f"summary, {CLIENTS} clients"
    cpu = {name: cpu_of_page(one, *asked) for name, asked in pages_of(many).items()}
    cpu[together] = eight.per_request(eight.web), eight.per_request(eight.postgres)
    every = {**times, together: eight.times}
    return {
        "times": {name: figures(values) for name, values in every.items()},
        "cpu": cpu,
        "generator": eight.per_request(eight.generator),
        "load": os.getloadavg()[0],
    }


def ask(connection: http.client.HTTPConnection, path: str, session: str, body: bytes = b"") -> float:
    """Milliseconds until the whole answer is there."""
    headers = {"Cookie": f"session={session}; csrf={'c' * 32}", "Host": "portal.localhost"}
    if body:
        headers |= {"Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": "c" * 32}
    start = time.perf_counter()
    connection.request("POST" if body else "GET", path, body=body or None, headers=headers)
    answer = connection.getresponse()
    answer.read()
    took = (time.perf_counter() - start) * 1000
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}")
    return took


def at_once(port: int, session: str, paths: list[str]) -> list[float]:
    """Milliseconds of each answer to 8 clients that ask without a pause."""
    with multiprocessing.get_context("fork").Pool(CLIENTS) as pool:
        found = pool.starmap(
            one_client, [(port, session, paths[number:] + paths[:number]) for number in range(CLIENTS)]
        )
    return [took for times in found for took in times]


def one_client(port: int, session: str, paths: list[str]) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    times: list[float] = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        times.append(ask(connection, paths[len(times) % len(paths)], session))
    return times


def figures(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.95)]


def pages_of(guest: dict[str, Any]) -> dict[str, Asked]:
    """What the processor's time is given for; the empty page is what every page costs."""
    session, charts = guest["session"], [f"/patients/{patient}/" for patient in guest["patients"]]
    return {
        "empty page": (session, ["/bench/empty/"], b""),
        "summary": (session, charts, b""),
        "my patients": (session, ["/patients/"], b""),
        "search": (session, ["/patients/"], guest["search"].encode()),
    }


def cpu_of_page(one: Standing, session: str, paths: list[str], body: bytes) -> tuple[float, float]:
    """Milliseconds of the processor that web and PostgreSQL need for one request, of 100 one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=30)
    before = cpu_of(one)
    for number in range(100):
        ask(connection, paths[number % len(paths)], session, body)
    return per_request(before, cpu_of(one), 100)


def per_request(before: tuple[float, float], after: tuple[float, float], requests: int) -> tuple[float, float]:
    web, postgres = ((end - start) * 1000 / max(1, requests) for start, end in zip(before, after, strict=True))
    return web, postgres


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of(one: Standing) -> tuple[float, float]:
    """Seconds of CPU that web and PostgreSQL have used, with their children; what else runs is left out."""
    roots, parents, used = [one.web, one.postgres], {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, fields = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[pid], used[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    lines = {pid: set(line_of(pid, parents)) for pid in parents}
    ticks = os.sysconf("SC_CLK_TCK")
    web, postgres = (sum(used[pid] for pid, line in lines.items() if root in line) / ticks for root in roots)
    return web, postgres


def line_of(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid > 1:
        yield pid
        pid = parents.get(pid, 0)


# ------------------------------------------------------------------------------------- in a process of its own


def stand(size: int) -> None:
    """Say as one line of JSON where the set is served, until standard input ends. With the environment of the set."""
    from clinicportal import embedded

    embedded.ensure()
    set_up(size)
    facts = json.loads(python("-c", "from bench.people import prepare_reading; prepare_reading()").splitlines()[-1])
    postmaster = Path(os.environ["CLINICPORTAL_DATA_DIR"]) / "postgres" / "postmaster.pid"
    with server() as (port, process):
        place = {"port": port, "web": process, "postgres": int(postmaster.read_text().split()[0])}
        print(json.dumps({**place, "facts": facts}), flush=True)
        sys.stdin.read()


def python(*arguments: str, process: str = "web") -> str:
    if arguments[0] == "-c":
        arguments = ("-c", f"import django; django.setup(); {arguments[1]}")
    environment = {**os.environ, "CLINICPORTAL_PROCESS": process}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)[:200]} failed")
    return done.stdout


def set_up(size: int) -> None:
    """Build the set, unless it is here. A half-built one is refused: it would be measured for a whole one."""
    done = Path(os.environ["CLINICPORTAL_DATA_DIR"]) / BUILT
    python("manage.py", "migrate", "-v0", "--skip-checks", process="owner")
    if done.exists():
        return
    print(f"building {size:,} patients", file=sys.stderr)
    python("-c", f"from bench.many import build; build({size})", process="worker")
    python("-c", "from bench.many import accept_terms; accept_terms()")
    python("-c", "from django.db import connection; connection.cursor().execute('VACUUM ANALYZE')", process="owner")
    done.touch()


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    port = free_ports(1)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "granian", "--interface", "wsgi", "bench.wsgi:application", "--host", "127.0.0.1",
            "--port", str(port), "--workers", "2", "--blocking-threads", "2", "--no-ws", "--no-access-log",
        ],
        cwd=ROOT, env={**os.environ, "CLINICPORTAL_PROCESS": "web"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait(port)
        yield port, process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def wait(port: int) -> None:
    for _ in range(400):  # on a busy machine the imports take their time
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    stand(int(sys.argv[1]))
