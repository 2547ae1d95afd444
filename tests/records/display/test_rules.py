"""docs/chart-rules.md names every rule of the reference, and tests that are there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RULE = re.compile(r"(PAB|MPB|NID|NUM|D\+Ta|D\+Tb|MEDi|MEDv|GTAB|PAL)-(\d+)(?:\.\.(\d+))?((?:, \d+(?:\.\.\d+)?)*)")


def rules_in(text: str) -> set[str]:
    """Every rule id, ranges and lists written out: "GTAB-027..030, 054" are five."""
    found = set()
    for family, first, last, more in RULE.findall(text):
        spans = [(first, last or first)] + [
            (part.split("..")[0], part.split("..")[-1]) for part in more.split(", ") if part
        ]
        for start, end in spans:
            found |= {f"{family}-{number}" for number in range(int(start), int(end) + 1)}
    return found


def document() -> str:
    return (ROOT / "docs" / "chart-rules.md").read_text()


def test_ids_are_read_in_ranges_and_lists():
    assert rules_in("[GTAB-027..029, 054] [NID-0005, MPB-0054]") == {
        "GTAB-27", "GTAB-28", "GTAB-29", "GTAB-54", "NID-5", "MPB-54",
    }  # fmt: skip


def test_every_named_test_exists():
    named = set(re.findall(r"`(test_\w+)`", document()))
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in named if f"def {name}(" not in sources} == set()
    assert len(named) > 40


def test_every_row_is_held_by_a_test_or_says_why_not():
    rows = [line for line in document().splitlines() if line.startswith("| ") and RULE.search(line.split("|")[1])]
    assert len(rows) > 30
    assert [row for row in rows if "`test_" not in row and "not held" not in row] == []


def test_every_rule_of_the_reference_is_in_the_document():
    here = Path(os.environ.get("CLINICPORTAL_SHARED") or ROOT.parent / "shared")
    reference = here / "reference" / "clinical.md"
    if not reference.is_file():
        pytest.skip("no reference: set CLINICPORTAL_SHARED to the folder that has reference/clinical.md")
    text = reference.read_text()
    text = text[text.index("## 3.") : text.index("## 4.")]
    assert rules_in(text) - rules_in(document()) == set()
