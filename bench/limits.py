"""Many approved people at once, against a directory with the published limits on: how near to the limits the job gets.

python -m bench limits            1,000 people (PEOPLE=… for another number)
"""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from typing import Any

import psycopg
import requests

from bench.place import Place, place

PEOPLE = int(os.environ.get("PEOPLE", "1000"))
LAG_SECONDS = 2
AIM, MOST_THROTTLED = 1.15, 0.01

# Runs as the web process, through the verbs that the pages call. One commit for all: they are approved at one moment.
DECIDE = """
import django, time; django.setup()
from django.db import transaction
from bench.people import ask_and_approve
with transaction.atomic():
    for number in range({people}):
        ask_and_approve(number)
    transaction.on_commit(lambda: None)
    committed = []
    connection = transaction.get_connection()
    connection.run_on_commit.insert(0, (set(), lambda: committed.append(time.time()), False))
print(committed[0])
"""
DONE = """
    SELECT count(*) FILTER (WHERE j.status = 'done'), count(*) FILTER (WHERE j.status NOT IN ('running', 'done'))
    FROM partners_provisioningjob j JOIN partners_accessrequest r ON r.id = j.request_id WHERE r.address LIKE 'bench%'
"""
MAILS = """
    SELECT extract(epoch FROM s.finished_at) FROM partners_step s
    JOIN partners_provisioningjob j ON j.id = s.job_id JOIN partners_accessrequest r ON r.id = j.request_id
    WHERE r.address LIKE 'bench%' AND s.kind = 'mail' AND s.state = 'done'
"""


def shortest(people: int) -> float:
    """Seconds that the limits leave: 150 invitations in any 5 s, 3,000 writes in any 150 s (two a guest), and the lag
    of the last one."""
    invitations = 5 * ((people - 1) // 150)
    writes = 150 * ((2 * people - 1) // 3000)
    return max(invitations, writes) + LAG_SECONDS


def run() -> None:
    with place() as here:
        control(here, "settings", lag=LAG_SECONDS, throttling=True)
        owner = here.services()["database_owner_url"]
        begun = time.time()
        decided = float(here.python("-c", DECIDE.format(people=PEOPLE)).split()[-1])
        calls, before = Calls(here, begun), here.cpu()
        parked = wait_for_all(owner, calls, decided)
        used = here.cpu() - before
        calls.read()
        with psycopg.connect(owner) as connection:
            mails = [float(moment) - decided for (moment,) in connection.execute(MAILS).fetchall()]
        report(mails, parked, calls, used)
        print(f"worker's log         {leaks(here)} lines that hold an address, a link, a ticket or a token (must be 0)")


def leaks(here: Place) -> int:
    """Lines of the worker's log that name or admit somebody."""
    canaries = ("@northfield", "northfield.example", "/welcome/", "ticket", "Bearer", "eyJ", "Bench Person")
    lines = (here.data / "logs" / "worker.log").read_text().splitlines()
    return sum(any(canary in line for canary in canaries) for line in lines)


def control(here: Place, verb: str, **facts: Any) -> None:
    requests.post(f"{here.tenant}/_control/{verb}", json=facts, timeout=10).raise_for_status()


class Calls:
    """What the directory was asked, read piece by piece: it remembers the last few thousand only."""

    def __init__(self, here: Place, since: float) -> None:
        self.url, self.since = f"{here.tenant}/_control/calls", since
        self.seen: dict[str, tuple[str, int]] = {}

    def read(self) -> None:
        answer = requests.get(self.url, params={"since": self.since}, timeout=30).json()
        for call in answer:
            if "/_control" not in call["path"] and call["operation"].partition(" ")[2].startswith("/"):
                self.seen[call["request_id"]] = (call["operation"], call["status"])
            self.since = max(self.since, call["at"] - 1)

    def graph(self) -> Counter[str]:
        known = ("/users", "/groups", "/invitations", "/policies")
        return Counter(name for name, _ in self.seen.values() if name.partition(" ")[2].startswith(known))

    def throttled(self) -> int:
        return sum(status == 429 for _, status in self.seen.values())


def wait_for_all(owner: str, calls: Calls, decided: float) -> int:
    """Until each job is done or parked; returns how many are parked."""
    deadline = decided + 10 * shortest(PEOPLE) + 120
    with psycopg.connect(owner, autocommit=True) as connection:
        for number in range(10**6):
            done, parked = connection.execute(DONE).fetchone() or (0, 0)
            if done + parked >= PEOPLE:
                return parked
            if time.time() > deadline:
                raise SystemExit(
                    f"after {time.time() - decided:.0f} s only {done} of {PEOPLE} are done, {parked} parked"
                )
            if number % 30 == 29:
                calls.read()
            time.sleep(0.5)
    return 0


def report(mails: list[float], parked: int, calls: Calls, used: Counter[str]) -> None:
    total, limit, asked = max(mails), shortest(PEOPLE), calls.graph()
    share = calls.throttled() / max(1, sum(asked.values()))
    print(
        f"{PEOPLE} people approved at one moment, directory lag {LAG_SECONDS} s, published limits on; {parked} parked"
    )
    print(f"the limits leave     {limit:6.1f} s   max(5 s × ⌊(N-1)/150⌋, 150 s × ⌊(2N-1)/3000⌋) + lag")
    print(f"decision to last mail{total:6.1f} s   ratio {total / limit:.2f} (aim {AIM})")
    print(f"decision to mail     median {statistics.median(mails):.1f} s, first {min(mails):.1f} s")
    print(f"calls per guest      {sum(asked.values()) / PEOPLE:.2f}")
    for name, number in asked.most_common():
        print(f"  {name:<42} {number / PEOPLE:.3f}")
    print(f"answered 429         {calls.throttled()} of {sum(asked.values())}: {share:.2%} (aim {MOST_THROTTLED:.0%})")
    parts = ", ".join(f"{part} {used_by / PEOPLE:.1f}" for part, used_by in used.most_common())
    print(f"processor, ms a guest {sum(used.values()) / PEOPLE:.1f}: {parts}")
    print(f"load average         {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
