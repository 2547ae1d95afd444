"""`make soak`: KILL_ROUNDS rounds (20) of KILL_PEOPLE people (200), from seed KILL_SEED (1) on, one after the other.

In pieces: KILL_ROUNDS=5 KILL_SEED=6 .venv/bin/python -m pytest tests/killing -m soak -n 0 -s
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from bench.place import DISK
from tests.killing import figures, rounds
from tests.killing.broken import FAULTS
from tests.killing.portal import VICTIMS, Trouble, memory, portal
from tests.killing.windows import WINDOWS

ROUNDS, FIRST, PEOPLE = (
    int(os.environ.get(name, usual)) for name, usual in (("KILL_ROUNDS", 20), ("KILL_SEED", 1), ("KILL_PEOPLE", 200))
)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
def test_a_round(seed):
    with portal(DISK) as running:
        outcome = rounds.run(running, rounds.soak(seed, PEOPLE), say=print)
    print(f"\n{outcome.figures}\nkept in {figures.keep(outcome)}")
    assert outcome.breaches == []
    assert len(outcome.facts.accepted) == PEOPLE
    assert {kill.victim for kill in outcome.kills} == set(VICTIMS)
    assert {hit.window for hit in outcome.hits} == set(WINDOWS)


BREACHES = {
    "leases_end_at_once": "a second mail, and no kill explains it",
    "the_broker_is_the_queue": "not within",
    "each_mail_is_another": "another Message-ID or link",
}


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_promise_is_found_out(fault):
    settings = {"DJANGO_SETTINGS_MODULE": "tests.killing.broken_settings", "KILL_FAULT": fault}
    with portal(memory(), **settings) as running:
        try:
            found = rounds.run(running, replace(rounds.sample(), windows=tuple(WINDOWS)), say=print).breaches
        except Trouble as trouble:
            found = [str(trouble)]
    print("\n".join(found))
    assert any(BREACHES[fault] in breach for breach in found), found
