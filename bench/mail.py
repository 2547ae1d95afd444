"""From the approver's decision to the mail in the guest's mailbox, with a directory that lags 2 seconds."""

from __future__ import annotations

import statistics
import time

import requests

from bench.place import Place, place

PEOPLE = 12
LAG_SECONDS = 2

# Runs as the web process: asks for access and decides, through the verbs that the pages call.
DECIDE = """
import django, sys, time; django.setup()
from django.db import transaction
from bench.people import ask_and_approve
ask_and_approve({number})
print(time.time())
"""


def run() -> None:
    with place() as here:
        requests.post(f"{here.tenant}/_control/settings", json={"lag": LAG_SECONDS}, timeout=5).raise_for_status()
        seconds = [decision_to_mail(here, number) for number in range(PEOPLE)]
    print(f"{PEOPLE} people, one after the other; directory lag {LAG_SECONDS} s")
    print(
        f"decision to mail   median {statistics.median(seconds):.1f} s, slowest {max(seconds):.1f} s (aim: under 10 s)"
    )


def decision_to_mail(here: Place, number: int) -> float:
    decided = float(here.python("-c", DECIDE.format(number=number)).split()[-1])
    address = f"bench{number}@northfield.example"
    while time.time() - decided < 60:
        mails = requests.get(f"{here.tenant}/_control/mails", timeout=5).json()
        if any(address in mail["to"] for mail in mails):
            return time.time() - decided
        time.sleep(0.05)
    raise SystemExit(f"no mail for {address} after 60 s")
