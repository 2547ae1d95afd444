"""A chart's summary, against an empty page for somebody signed in, under the same server."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.place import ROOT, SYNTHEA, Place, free_ports, place

ROUNDS = 300
WARM_UP = 40
PREPARE = "import django; django.setup(); from bench.people import prepare_reading; prepare_reading()"


def run() -> None:
    settings = {"FHIR_DATA": str(SYNTHEA)} if SYNTHEA.is_dir() else {}
    with place(**settings) as here:
        facts = json.loads(here.python("-c", PREPARE).splitlines()[-1])
        print(f"{len(facts['patients'])} patients in the caseload, {'Synthea' if settings else 'made-up'} records")
        for page, (status, number) in facts["queries"].items():
            print(f"  {page:<15} {number:2} SQL statements{'' if status == 200 else f' (answered {status})'}")
        with server(here) as port:
            chart, empty = alternate(port, facts["session"], facts["patients"])
    ratio = statistics.median(chart) / statistics.median(empty)
    print(f"chart summary   {figures(chart)}")
    print(f"empty page      {figures(empty)}   (session and person loaded, nothing else)")
    print(f"ratio           {ratio:.1f}")


@contextmanager
def server(here: Place) -> Iterator[int]:
    port = free_ports(1)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "granian", "--interface", "wsgi", "bench.wsgi:application", "--host", "127.0.0.1",
            "--port", str(port), "--workers", "1", "--blocking-threads", "2", "--no-ws", "--no-access-log",
        ],
        cwd=ROOT, env={**here.environment, "CLINICPORTAL_PROCESS": "web"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait(port: int) -> None:
    for _ in range(100):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the server did not start")


def alternate(port: int, session: str, patients: list[str]) -> tuple[list[float], list[float]]:
    """Milliseconds of each chart and of each empty page, asked for in turn by one client."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    chart: list[float] = []
    empty: list[float] = []
    for number in range(ROUNDS + WARM_UP):
        paths = (f"/patients/{patients[number % len(patients)]}/", chart), ("/bench/empty/", empty)
        for path, times in paths:
            start = time.perf_counter()
            connection.request("GET", path, headers={"Cookie": f"session={session}", "Host": "portal.localhost"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"{path} answered {answer.status}")
            if number >= WARM_UP:
                times.append((time.perf_counter() - start) * 1000)
    return chart, empty


def figures(times: list[float]) -> str:
    ordered = sorted(times)
    return f"median {statistics.median(ordered):6.1f} ms   p95 {ordered[int(len(ordered) * 0.95)]:6.1f} ms"
