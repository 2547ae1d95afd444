"""Labels by code: which classes a record has because of what it is about, whether or not its source labelled it.

The lists are data (label_rules.toml) with a version. A rule looks at where FHIR R4 resources name what they are
about (`ABOUT`, and `WITHIN` their parts), in all codings, contained resources included; not at what they mention in
passing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
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
MORE_ABOUT = {"Appointment": ("specialty", "appointmentType"), "ClinicalImpression": ("prognosisCodeableConcept",)}
"""Of types in which it says what the entry is about; a PractitionerRole's specialty is not about a patient."""
WITHIN = {
    "component": ("code", "valueCodeableConcept"),  # one test of a panel, one answer of a questionnaire
    "ingredient": ("itemCodeableConcept",),  # of a Medication that has no name of its own
    "condition": ("code",),  # of a relative
    "activity": ("detail",),  # of a plan
    "detail": ("code", "reasonCode"),
    "finding": ("itemCodeableConcept",),
    "investigation": ("code",),
    "recommendation": ("targetDisease",),  # of a vaccine
    "event": ("code",),  # what a Composition is about
}
"""Parts of a resource that are content of its own, and where they say what they are."""
LOINC, LOINC_CODE = "http://loinc.org", re.compile(r"\d{1,7}-\d")


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
    kind = resource.get("resourceType")
    if kind in MORE_ABOUT:
        found += codings_in(resource, MORE_ABOUT[kind])
    elif kind == "Composition":
        for section in every(resource, "section"):
            found += codings_in(section, ("code",))
    elif kind == "QuestionnaireResponse":
        found += of_answers(resource)
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


def of_answers(response: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Forms and questions of LOINC ("http://loinc.org/q/44249-1", "/44250-9"), and coded answers."""
    asked = [response.get("questionnaire")]
    found: list[tuple[Any, Any]] = []
    for item in every(response, "item"):
        asked.append(item.get("linkId"))
        for answer in item.get("answer") or ():
            if coding := answer.get("valueCoding"):
                found.append((coding.get("system"), coding.get("code")))
    codes = [one.split("|")[0].rpartition("/")[2] for one in asked if isinstance(one, str)]
    return found + [(LOINC, code) for code in codes if LOINC_CODE.fullmatch(code)]


def every(resource: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Items of the list `name`, with those within them and their answers. Not recursive: depth is the sender's."""
    waiting = list(resource.get(name) or ())
    while waiting:
        item = waiting.pop()
        yield item
        waiting += item.get(name) or ()
        for answer in item.get("answer") or ():
            waiting += answer.get(name) or ()
