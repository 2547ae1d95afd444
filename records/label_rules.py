"""Labels by code: which classes a record has because of what it is about, whether or not its source labelled it.

The lists are data (label_rules.toml) with a version. A rule looks at where FHIR R4 resources name what they are
about (`ABOUT`, and `WITHIN` their parts), in all codings, contained resources included; not at what they mention in
passing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from records.models import SensitiveClass

DATA = Path(__file__).with_name("label_rules.toml")
ABOUT = (
    "code", "medicationCodeableConcept", "type", "reasonCode", "category", "procedureCode", "serviceType",
    "conclusionCode", "valueCodeableConcept",
)  # fmt: skip
"""The answer counts, too: "genetic disease assessed" says little, its value says which."""
WITHIN = {
    "component": ("code", "valueCodeableConcept"),  # one test of a panel, one answer of a questionnaire
    "ingredient": ("itemCodeableConcept",),  # of a Medication that has no name of its own
    "condition": ("code",),  # of a relative
    "activity": ("detail",),  # of a plan
    "detail": ("code", "reasonCode"),
    "finding": ("itemCodeableConcept",),
    "event": ("code",),  # what a Composition is about
}
"""Parts of a resource that are content of its own, and where they say what they are."""


class Rules(NamedTuple):
    version: int
    exact: dict[tuple[str, str], frozenset[SensitiveClass]]
    """(system, code) of the systems in which a code says nothing about those below it."""
    icd10: frozenset[str]
    """The addresses of ICD-10."""
    by_start: dict[str, frozenset[SensitiveClass]]
    """Codes of ICD-10, without the dot, and the lists that have them."""
    lengths: tuple[int, ...]
    """Of the keys of `by_start`."""


@cache
def rules() -> Rules:
    tables: dict[str, Any] = tomllib.loads(DATA.read_text())
    version, systems = tables.pop("version"), tables.pop("systems")
    exact = {
        (address, code): frozenset({SensitiveClass(name)})
        for name, lists in tables.items()
        for system, codes in lists.items()
        if system != "icd10"
        for address in systems[system]
        for code in codes
    }
    starts: dict[str, frozenset[SensitiveClass]] = {}
    for name, lists in tables.items():
        for code in lists.get("icd10", ()):
            bare = code.replace(".", "")
            starts[bare] = starts.get(bare, NONE) | {SensitiveClass(name)}
    return Rules(version, exact, frozenset(systems["icd10"]), starts, tuple(sorted({len(one) for one in starts})))


NONE: frozenset[SensitiveClass] = frozenset()


def classes_by_code(resource: dict[str, Any]) -> set[SensitiveClass]:
    """The classes of a resource by what it is about; empty for nearly all."""
    table = rules()
    found: set[SensitiveClass] = set()
    for system, code in codings(resource):
        found |= by_start(table, code) if system in table.icd10 else table.exact.get((system, code), NONE)
    for contained in resource.get("contained") or ():
        found |= classes_by_code(contained)
    return found


def by_start(table: Rules, code: Any) -> frozenset[SensitiveClass]:
    """The classes of a code of ICD-10: of each list that has a beginning of it."""
    bare = code.replace(".", "").upper() if isinstance(code, str) else ""
    return NONE.union(*(table.by_start[bare[:n]] for n in table.lengths if bare[:n] in table.by_start))


def codings(resource: dict[str, Any]) -> list[tuple[Any, Any]]:
    found = codings_in(resource, ABOUT)
    for name in WITHIN.keys() & resource.keys():
        found += codings_in(resource, (name,))
    return found


def codings_in(element: dict[str, Any], names: Iterable[str]) -> list[tuple[Any, Any]]:
    found = []
    for name in names:
        if value := element.get(name):
            for concept in value if type(value) is list else (value,):
                if type(concept) is dict:
                    for coding in concept.get("coding") or ():
                        found.append((coding.get("system"), coding.get("code")))
                    if name in WITHIN:
                        found += codings_in(concept, WITHIN[name])
    return found
