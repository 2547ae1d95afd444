"""The figures of rounds: kept in a file for each seed, and put into docs/kill-matrix.md as a table.

python -m tests.killing.figures      writes what the last `make soak` found into the document
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.killing.portal import VICTIMS
from tests.killing.rounds import Outcome

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".data" / "kill-matrix"
DOCUMENT = ROOT / "docs" / "kill-matrix.md"
BEGIN, END = "<!-- figures: written by python -m tests.killing.figures -->", "<!-- end of figures -->"
COLUMNS = {
    "seed": "Seed",
    "people": "People",
    "provisioned": "Provisioned",
    "parked": "Parked",
    "kills": f"Kills of {', '.join(VICTIMS)}",
    "windows": "Windows hit",
    "second mails": "Second mails, all in the window",
    "invited again": "Invited again",
    "calls": "Calls per guest",
    "429": "429s",
    "no answer at the pages": "Pages without an answer",
    "drain": "Last kill to quiet, s",
    "seconds": "Round, s",
    "breaches": "Breaches",
}


def keep(outcome: Outcome) -> Path:
    """Write one round down: its figures, each kill with its kill point, and what was found wrong."""
    KEPT.mkdir(parents=True, exist_ok=True)
    file = KEPT / f"seed-{outcome.plan.seed:03}.json"
    hits = [{"window": hit.window.name, "people": len(hit.addresses)} for hit in outcome.hits]
    found = {
        "figures": outcome.figures,
        "kills": [str(kill) for kill in outcome.kills],
        "windows": hits,
        "breaches": outcome.breaches,
    }
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False))
    return file


def table(rounds: list[dict[str, Any]]) -> str:
    lines = [f"| {' | '.join(COLUMNS.values())} |", f"|{' --- |' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(cell(found, name) for name in COLUMNS)} |" for found in rounds]
    return "\n".join(lines)


def cell(found: dict[str, Any], name: str) -> str:
    if name == "kills":
        return ", ".join(str(found["kills"].get(victim, 0)) for victim in VICTIMS)
    return str(found[name])


def main() -> int:
    rounds = [json.loads(file.read_text())["figures"] for file in sorted(KEPT.glob("seed-*.json"))]
    if not rounds:
        print(f"No round has been played: make soak writes to {KEPT}.")
        return 1
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table(rounds)}\n\n{END}{rest.partition(END)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
