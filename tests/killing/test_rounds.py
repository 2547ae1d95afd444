"""`make soak`: KILL_ROUNDS rounds (20) of KILL_PEOPLE people (200), from seed KILL_SEED (1) on, one after the other.

In pieces: KILL_ROUNDS=5 KILL_SEED=6 .venv/bin/python -m pytest tests/killing -m soak -n 0 -s
"""

from __future__ import annotations

import os

import pytest

from bench.place import DISK
from tests.killing import figures, rounds
from tests.killing.portal import VICTIMS, portal
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
