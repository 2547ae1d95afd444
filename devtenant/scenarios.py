"""Scripted set-ups: named lists of control calls, so that a situation is one word away (README, Scenarios)."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .errors import Mistake
from .store import Json
from .tenant import Tenant

FILE = Path(__file__).with_name("scenarios.toml")
Verb = Callable[[Tenant, Json], Any]


@cache
def known() -> dict[str, Json]:
    """Each scenario: `about`, `try` (what to do to see it) and `steps`, a list of [verb, arguments]."""
    return tomllib.loads(FILE.read_text())


def listed() -> str:
    """All scenarios, for people."""
    width = max(len(name) for name in known())
    return "\n".join(f"{name:<{width}}  {scenario['about']}" for name, scenario in known().items())


def apply(tenant: Tenant, name: str, verbs: Mapping[str, Verb], *, keep: bool = False) -> Json:
    """Do a scenario's steps, in a fresh tenant unless told to `keep` this one. Raises Mistake.

    Nothing is changed when a step names a verb that is not there; a step that is refused says which one it was.
    """
    scenario = known().get(name)
    if scenario is None:
        raise Mistake(f"There is no scenario {name}; there are {', '.join(known())}.")
    for verb, _arguments in scenario["steps"]:
        if verb not in verbs:
            raise Mistake(f"Scenario {name} wants {verb}, which is no control verb.")
    if not keep:
        tenant.reset()
    for verb, arguments in scenario["steps"]:
        try:
            verbs[verb](tenant, dict(arguments))
        except (Mistake, ValueError) as mistake:
            raise Mistake(f"Scenario {name} stopped at {verb}: {mistake}") from None
    return {"name": name, "about": scenario["about"], "try": scenario["try"]}
