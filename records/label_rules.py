"""Labels by code: which classes a record has because of what it is about, whether or not its source labelled it.

The lists are data (label_rules.toml) with a version. A rule looks at where FHIR R4 resources name what they are
about (`ABOUT`), in all codings, contained resources included; not at what they mention in passing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from records.models import SensitiveClass

DATA = Path(__file__).with_name("label_rules.toml")
ABOUT = ("code", "medicationCodeableConcept", "type", "reasonCode", "category", "procedureCode", "serviceType")
VALUED = "valueCodeableConcept"
"""The answer counts too: "genetic disease assessed" says little, its value says which."""


class Rules(NamedTuple):
    version: int
    exact: dict[tuple[str, str], SensitiveClass]
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
        (address, code): SensitiveClass(name)
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
    found: set[SensitiveClass] = set()
    for system, code in codings(resource):
        found |= by_code(system, code)
    for contained in resource.get("contained") or ():
        found |= classes_by_code(contained)
    return found


def by_code(system: Any, code: Any) -> frozenset[SensitiveClass]:
    """The classes of a code: of each list that has it, in ICD-10 of each that has a beginning of it."""
    table = rules()
    if system in table.icd10 and isinstance(code, str):
        bare = code.replace(".", "").upper()
        return NONE.union(*(table.by_start.get(bare[:length], NONE) for length in table.lengths))
    one = table.exact.get((system, code))
    return frozenset({one}) if one else NONE


def codings(resource: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    for name in ABOUT:
        value = resource.get(name)
        if value:
            for concept in value if type(value) is list else (value,):
                if type(concept) is dict:
                    for coding in concept.get("coding") or ():
                        yield coding.get("system"), coding.get("code")
    if VALUED in resource:
        for coding in resource[VALUED].get("coding") or ():
            yield coding.get("system"), coding.get("code")
