"""The chart and My patients: at a hundredth of the data and at all of it, for three guests, against the bare thing.

    BENCH_PATIENTS=1000,10000 python -m bench chart      # others than 1,000 and 100,000 patients

A set of 100,000 patients has 5 million resources; each is built once and kept in `.bench/` (bench/many.py).
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.place import ROOT, environment_for, free_ports

SIZES = "1000,100000"
MADE = 1
"""Raise it when bench/many.py makes the set otherwise: then those that are kept are built again."""
ROUNDS, WARM_UP, CLIENTS, SECONDS = 60, 10, 8, 8
NAMES = {
    "summary": "chart summary",
    "results": "results",
    "list": "my patients",
    "search": "search",
    "empty": "empty page",
}


def run() -> None:
    found = {}
    for size in [int(size) for size in os.environ.get("BENCH_PATIENTS", SIZES).split(",")]:
        measured = subprocess.run(
            [sys.executable, "-m", "bench.chart", str(size)], cwd=ROOT, env=environment_of(size),
            stdout=subprocess.PIPE, check=True, text=True,
        )  # fmt: skip
        found[size] = json.loads(measured.stdout.splitlines()[-1])
        report(size, found[size])
    small, large = min(found), max(found)
    if small != large:
        print(f"{large:,} patients against {small:,} (aim 1.2)")
        for name in found[small]["medians"]:
            ratio = found[large]["medians"][name] / found[small]["medians"][name]
            print(f"  {name:<32} {ratio:5.2f}")


def environment_of(size: int) -> dict[str, str]:
    kept = ROOT / ".bench"
    data = kept / f"{size}-{MADE}"
    for old in kept.glob(f"{size}-*"):
        if old != data:
            shutil.rmtree(old, ignore_errors=True)
    data.mkdir(parents=True, exist_ok=True)
    for folder in (data.parent, data):
        folder.chmod(0o755)
    return environment_for(data, free_ports(4))


def report(size: int, found: dict[str, Any]) -> None:
    print(f"{size:,} patients with records, {found['resources']:,} resources")
    for page, (status, number) in found["queries"].items():
        print(f"  {page:<15} {number:2} SQL statements{'' if status == 200 else f' (answered {status})'}")
    for sql, median in found["baseline"]:
        print(f"  baseline: {sql}")
        print(f"  {'baseline, no wall':<32} median {median:6.1f} ms")
    for name, (median, p95) in found["times"].items():
        print(f"  {name:<32} median {median:6.1f} ms   p95 {p95:6.1f} ms")
    for name, (web, postgres) in found["cpu"].items():
        print(f"  {'CPU, ' + name:<32} web {web:6.1f} ms   PostgreSQL {postgres:6.1f} ms")
    print(f"  {'load generator':<32} {found['generator']:6.1f} ms of CPU for a request; load {found['load']:.1f}")
    print(f"  {'10,000 against 100 observations':<32} {found['long']:5.2f} (aim 1.3)")
    print(f"  {'summary against empty page':<32} {found['over_empty']:5.1f}")


# ------------------------------------------------------------------------------------- in a process of its own


def measure(size: int) -> None:
    """Print what was found as one line of JSON. Runs with the environment of the set."""
    from clinicportal import embedded

    embedded.ensure()
    set_up(size)
    facts = json.loads(python("-c", "from bench.people import prepare_reading; prepare_reading()").splitlines()[-1])
    with server() as (port, process):
        times, medians = all_times(port, facts)
        many = facts["guests"]["many"]
        charts = [f"/patients/{patient}/" for patient in many["patients"]]
        cpu = {name: cpu_of_page(port, process, *asked) for name, asked in pages_of(many).items()}
        before, own = cpu_of(process), cpu_of_children()
        at_8 = at_once(port, many["session"], charts)
        cpu[f"summary, {CLIENTS} clients"] = per_request(before, cpu_of(process), len(at_8))
        generator = (cpu_of_children() - own) * 1000 / max(1, len(at_8))
    times[f"summary, {CLIENTS} clients"] = at_8
    times_of = {name: figures(values) for name, values in times.items()}
    print(
        json.dumps(
            {
                **{name: facts[name] for name in ("resources", "queries", "baseline")},
                "times": times_of,
                "medians": medians,
                "cpu": cpu,
                "generator": generator,
                "load": os.getloadavg()[0],
                "long": medians["summary, 10,000 observations"] / medians["summary, 100 observations"],
                "over_empty": medians["summary, guest with many"] / medians["empty page"],
            }
        )
    )


def all_times(port: int, facts: dict[str, Any]) -> tuple[dict[str, list[float]], dict[str, float]]:
    guests = facts["guests"]
    many = guests["many"]
    asked: dict[str, tuple[str, list[str], bytes]] = {"empty page": (many["session"], ["/bench/empty/"], b"")}
    for name, guest in guests.items():
        charts = [f"/patients/{patient}/" for patient in guest["patients"]]
        asked[f"summary, guest with {name}"] = guest["session"], charts, b""
        asked[f"my patients, guest with {name}"] = guest["session"], ["/patients/"], b""
        asked[f"search, guest with {name}"] = guest["session"], ["/patients/"], guest["search"].encode()
    asked["results, guest with many"] = many["session"], [f"/patients/{p}/results/" for p in many["patients"]], b""
    for number, patient in facts["long"].items():
        asked[f"summary, {int(number):,} observations"] = many["session"], [f"/patients/{patient}/"], b""
        asked[f"results, {int(number):,} observations"] = many["session"], [f"/patients/{patient}/results/"], b""
    # In turns, so that what else the machine does falls on all alike.
    times: dict[str, list[float]] = {name: [] for name in asked}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for number in range(ROUNDS + WARM_UP):
        for name, (session, paths, body) in asked.items():
            took = ask(connection, paths[number % len(paths)], session, body)
            if number >= WARM_UP:
                times[name].append(took)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return times, medians


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
    done = Path(os.environ["CLINICPORTAL_DATA_DIR"]) / "set-is-built"
    python("manage.py", "migrate", "-v0", "--skip-checks", process="owner")
    if done.exists():
        return
    print(f"building {size:,} patients", file=sys.stderr)
    python("-c", f"from bench.many import build; build({size})", process="worker")
    python("-c", "from bench.many import accept_terms; accept_terms()")
    python("-c", "from django.db import connection; connection.cursor().execute('VACUUM ANALYZE')", process="owner")
    done.touch()


def pages_of(guest: dict[str, Any]) -> dict[str, tuple[str, list[str], bytes]]:
    """What the processor's time is given for; the empty page is what every page costs."""
    session, charts = guest["session"], [f"/patients/{patient}/" for patient in guest["patients"]]
    return {
        "empty page": (session, ["/bench/empty/"], b""),
        "summary": (session, charts, b""),
        "my patients": (session, ["/patients/"], b""),
        "search": (session, ["/patients/"], guest["search"].encode()),
    }


def cpu_of_page(port: int, process: int, session: str, paths: list[str], body: bytes) -> tuple[float, float]:
    """Milliseconds of the processor that web and PostgreSQL need for one request, of 100 one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    before = cpu_of(process)
    for number in range(100):
        ask(connection, paths[number % len(paths)], session, body)
    return per_request(before, cpu_of(process), 100)


def per_request(before: tuple[float, float], after: tuple[float, float], requests: int) -> tuple[float, float]:
    web, postgres = ((end - start) * 1000 / max(1, requests) for start, end in zip(before, after, strict=True))
    return web, postgres


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of(server: int) -> tuple[float, float]:
    """Seconds of CPU that web and PostgreSQL have used, with their children; what else runs is left out."""
    postmaster = Path(os.environ["CLINICPORTAL_DATA_DIR"]) / "postgres" / "postmaster.pid"
    roots, parents, used = [server, int(postmaster.read_text().split()[0])], {}, {}
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
    measure(int(sys.argv[1]))
