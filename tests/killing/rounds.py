"""One round: people asked for and approved at the pages, kills meanwhile, then quiet, then the verdict."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.killing.crowd import Crowd, watching
from tests.killing.facts import Facts, gather
from tests.killing.kills import HOWS, Kill, Killer
from tests.killing.portal import VICTIMS, Portal, Trouble, eventually
from tests.killing.verdict import breaches
from tests.killing.windows import WINDOWS, Hit, Window, strike

SAY = Callable[[str], None]
LAST = next(window for window in WINDOWS if window.victim == "worker" and window.name.startswith("250"))
RUNNING = "SELECT count(*) FROM partners_provisioningjob WHERE status = 'running'"
END_LEASES = "UPDATE partners_step SET leased_until = now() WHERE leased_until > now()"
END_PAUSES = "UPDATE partners_step SET due_at = now() WHERE state = 'waiting' AND due_at > now() + interval '3 seconds'"
GRAPH = ("users", "invitations", "groups", "directory")


@dataclass(frozen=True)
class Plan:
    """`kills` are random ones besides the windows. `lag` is what a new guest takes to show, and up to as much again;
    `limits` are the directory's, as (count, seconds). With `time_passes` the clock is put forward where a lease of the
    dead or a pause would only be waited for: the sample has no two minutes."""

    seed: int
    people: int
    kills: int
    asking_seconds: float
    approving_seconds: float
    pause: tuple[float, float]
    lag: float
    limits: dict[str, tuple[int, float]]
    drain_seconds: float
    window_seconds: float
    windows: tuple[Window, ...] = tuple(WINDOWS)
    time_passes: bool = False


def sample(seed: int = 1) -> Plan:
    return Plan(
        seed=seed, people=14, kills=4, asking_seconds=4, approving_seconds=4, pause=(0.1, 0.6), lag=0.5,
        limits={"invitations": (3, 2.0), "resource_units": (30, 5.0)}, drain_seconds=120, window_seconds=90,
        windows=tuple(window for window in WINDOWS if window.in_sample), time_passes=True,
    )  # fmt: skip


def soak(seed: int, people: int = 200) -> Plan:
    return Plan(
        seed=seed, people=people, kills=20, asking_seconds=20, approving_seconds=90, pause=(0.5, 6.0), lag=1.0,
        limits={"invitations": (10, 5.0), "resource_units": (150, 10.0)}, drain_seconds=900, window_seconds=180,
    )  # fmt: skip


@dataclass
class Outcome:
    plan: Plan
    facts: Facts
    breaches: list[str]
    kills: list[Kill]
    hits: list[Hit]
    figures: dict[str, Any] = field(default_factory=dict)


def schedule(plan: Plan, rng: random.Random) -> list[tuple[str, str] | Window]:
    """What to do, in order: web first, while people ask; then random kills and windows, mixed; last a window that ends
    the worker, so that nobody is left who holds a lease."""
    bag = [VICTIMS[number % len(VICTIMS)] for number in range(plan.kills)]
    mixed: list[tuple[str, str] | Window] = [(victim, rng.choice(HOWS[victim])) for victim in bag]
    mixed += [window for window in plan.windows if window is not LAST]
    rng.shuffle(mixed)
    return [("web", "whole"), ("web", rng.choice(("main", "child"))), *mixed, LAST]


def run(portal: Portal, plan: Plan, say: SAY) -> Outcome:
    """Play one round. Raises Trouble when it cannot be played to its end, which is a failure as well."""
    began = time.time()
    killer, rng = Killer(portal, random.Random(plan.seed)), random.Random(plan.seed)  # noqa: S311 - no secret
    prepare_tenant(portal, plan, rng)
    crowd = Crowd(
        portal, people=plan.people, reserve=min(plan.people // 2, 2 * len(plan.windows)), prefix=f"k{plan.seed}"
    )
    crowd.start(asking_seconds=plan.asking_seconds, approving_seconds=plan.approving_seconds)
    early: set[str] = set()
    with watching(portal, early):
        hits = [hit for act in schedule(plan, rng) if (hit := play(act, killer, crowd, plan, rng, say))]
        crowd.finish()
        killed_at = time.time()
        drained = drain(portal, plan)
    cuts = [kill.cut for kill in killer.kills if kill.cuts_work_short]
    facts = gather(portal, asked=crowd.asked, accepted=crowd.accepted, early=early, cuts=cuts)
    outcome = Outcome(plan, facts, breaches(facts), killer.kills, hits)
    outcome.figures = figures(outcome, crowd) | {
        "drain": round(drained - killed_at, 1),
        "seconds": round(time.time() - began, 1),
    }
    return outcome


def play(
    act: tuple[str, str] | Window, killer: Killer, crowd: Crowd, plan: Plan, rng: random.Random, say: SAY
) -> Hit | None:
    time.sleep(rng.uniform(*plan.pause))
    hit = None
    if isinstance(act, Window):
        hit = strike(killer, act, crowd.approve_next, seconds=plan.window_seconds)
    else:
        killer.wait_back(killer.kill(*act))
    crowd.check()
    if isinstance(act, Window) and not act.victim:
        say(f"  nobody in “{act.name}”")
        return hit
    kill = killer.kills[-1]
    say(f"  {kill}")
    if plan.time_passes and kill.victim == "worker" and kill.how in ("whole", "main"):
        execute(killer.portal, END_LEASES)  # of the dead: the new worker is not up yet
    return hit


def prepare_tenant(portal: Portal, plan: Plan, rng: random.Random) -> None:
    """A directory that lags, each object by a time of its own, and limits so low that they bite."""
    portal.tell(
        "settings",
        lag=plan.lag,
        lag_jitter=plan.lag,
        lag_seed=plan.seed,
        membership_lag=plan.lag / 2,
        limits={name: list(limit) for name, limit in plan.limits.items()},
        retry_after=rng.choice(("fractional", "whole", "date", "none")),
    )


def drain(portal: Portal, plan: Plan) -> float:
    """Until no job is at work. Returns when (epoch seconds)."""

    def quiet() -> bool:
        if plan.time_passes:
            portal.tell("advance", seconds=60)
            execute(portal, END_PAUSES)
        return portal.rows(RUNNING)[0][0] == 0

    try:
        eventually(quiet, seconds=plan.drain_seconds, what="the end of all jobs", every=0.5)
    except Trouble as trouble:
        raise Trouble(f"{trouble}; still at [{Killer(portal, random.Random()).point()}]") from None  # noqa: S311
    return time.time()


def execute(portal: Portal, statement: str) -> None:
    with portal.connect() as connection:
        connection.execute(statement)


def figures(outcome: Outcome, crowd: Crowd) -> dict[str, Any]:
    facts = outcome.facts
    graph = [call for call in facts.calls if call["path"].removeprefix("/v1.0/").split("/")[0] in GRAPH]
    mails = Counter(address for mail in facts.mails for address in mail["to"])
    fulfilled = sum((entry.status, entry.job) == ("fulfilled", "done") for entry in facts.entries)
    return {
        "seed": outcome.plan.seed,
        "people": len(crowd.addresses),
        "provisioned": fulfilled,
        "parked": sum(entry.job == "needs_help" for entry in facts.entries),
        "kills": dict(sorted(Counter(kill.victim for kill in outcome.kills).items())),
        "windows": len(outcome.hits),
        "second mails": sum(number - 1 for number in mails.values()),
        "invited again": len(facts.invitations) - len({item["user"] for item in facts.invitations}),
        "calls": round(len(graph) / max(1, fulfilled), 1),
        "429": sum(call["status"] == 429 for call in graph),
        "no answer at the pages": crowd.failures,
        "breaches": len(outcome.breaches),
    }
