"""Real resources, spoilt: elements replaced by what a feed with a defect, or an attacker, might put in their place."""

from __future__ import annotations

import copy
import gzip
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.records.samples import SAMPLES, sample

Json = dict[str, Any]
Path_ = tuple[str | int, ...]

SHARED = Path(os.environ.get("CLINICPORTAL_SHARED") or Path(__file__).parents[3] / "shared") / "fhir"

DRAWN = (
    "AllergyIntolerance", "Appointment", "CarePlan", "CareTeam", "ClinicalImpression", "Composition", "Condition",
    "Device", "DeviceUseStatement", "DiagnosticReport", "DocumentReference", "Encounter", "EpisodeOfCare",
    "FamilyMemberHistory", "Goal", "ImagingStudy", "Immunization", "ImmunizationRecommendation",
    "MedicationAdministration", "MedicationDispense", "MedicationRequest", "MedicationStatement", "Observation",
    "Patient", "Procedure", "QuestionnaireResponse", "RelatedPerson", "ServiceRequest",
)  # fmt: skip
"""Types that a page reads an element of."""

LONG = "\u0627" * 300
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 0.5, 10**18, 10**39, 10**70, 1e308, 5e-324, "", " ", "x", "#", "/", "//", "%s %(x)d {0}",
    [], [None], [[]], [[[{}]]], [0, "x", None, {}], {}, {"": ""}, {"x": {"y": []}}, [{}],
    "active", "entered-in-error", "corrected", "2026-02-30", "0000", "0001-01-01T00:00:00+14:00", "9999-12-31",
    "9999-12-31T23:59:59.999-14:00", "2026-06-01T24:00:00Z", "2026-06-01T12:00:00+99:99", "2026-6-1", "-2026",
    "\u0662\u0660\u0662\u0666", "١", "²", "1e5", "NaN", "Infinity", "-0",
    "\u202egnp.exe", "\u2066x", "a\u0301" * 20, LONG, "\ufeff", "<script>alert(1)</script>", "{{ 7*7 }}",
    "data:text/html;base64,PHNjcmlwdD4=", "javascript:alert(1)", "urn:uuid:", "http://[", "Patient/../x",
    {"reference": []}, {"reference": "#"}, {"coding": "x"}, {"coding": [{"code": []}]}, {"value": "x", "unit": 7},
    {"value": 1e308}, {"start": 7, "end": []}, {"start": "9999-12-31", "end": "0001"}, {"low": {"value": 9}, "high": 1},
)  # fmt: skip


def paths(value: Any, here: Path_ = ()) -> Iterator[Path_]:
    """Where something can be replaced: every key and every item, at any depth."""
    children: Iterator[tuple[str | int, Any]]
    children = (
        iter(value.items())
        if isinstance(value, dict)
        else iter(enumerate(value))
        if isinstance(value, list)
        else iter(())
    )
    for key, child in children:
        yield (*here, key)
        yield from paths(child, (*here, key))


def replaced(resource: Json, path: Path_, value: Any) -> Json:
    """A copy of `resource` with `value` at `path`."""
    made = copy.deepcopy(resource)
    held: Any = made
    for step in path[:-1]:
        held = held[step]
    held[path[-1]] = copy.deepcopy(value)
    return made


def without(resource: Json, path: Path_) -> Json:
    made = copy.deepcopy(resource)
    held: Any = made
    for step in path[:-1]:
        held = held[step]
    del held[path[-1]]
    return made


def moved(resource: Json, path: Path_) -> Json:
    """With a list around one thing, or one thing out of its list."""
    held: Any = resource
    for step in path:
        held = held[step]
    return replaced(resource, path, held[0] if isinstance(held, list) and held else [held])


UNREAD = {"resourceType", "id", "text", "meta", "contained", "extension", "modifierExtension", "implicitRules"}
CODED = {"resourceType", "id", "reference", "system", "code", "status", "url", "contentType", "div", "start", "end"}
HOSTILE = """"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}\u202e"""


def spoilt_once(resources: list[Json], seed: int) -> list[Json]:
    """Each element that any of `resources` has, spoilt once, in one that has it; items of a list are one element."""
    chance = random.Random(seed)  # noqa: S311 - a test that is the same each time
    found: dict[tuple[str, ...], list[tuple[Json, Path_]]] = {}
    for resource in resources:
        for path in paths(resource):
            if path[0] not in UNREAD:
                found.setdefault(tuple(step for step in path if isinstance(step, str)), []).append((resource, path))
    return [spoilt(*chance.choice(held), chance) for held in found.values()]


def spoilt(resource: Json, path: Path_, chance: random.Random) -> Json:
    match chance.randrange(len(WRONG) + 2):
        case 0:
            return without(resource, path)
        case 1:
            return moved(resource, path)
        case other:
            return replaced(resource, path, WRONG[other - 2])


def hostile(resource: Any) -> Any:
    """`resource` with markup in every text that is no code, no reference and no date."""
    if isinstance(resource, dict):
        kept = {key for key, held in resource.items() if key in CODED and isinstance(held, str)}
        return {key: held if key in kept else hostile(held) for key, held in resource.items()}
    if isinstance(resource, list):
        return [hostile(item) for item in resource]
    return HOSTILE if isinstance(resource, str) and not resource[:4].isdecimal() else resource


def real_resources(*types: str, longest: int = 20_000) -> dict[str, list[Json]]:
    """HL7's examples of each type, a few of Synthea's, and our own where they have hardly any."""
    found: dict[str, list[Json]] = {type: [] for type in types}
    for path in sorted(SHARED.glob("hl7-examples/*/*.json")):
        raw = path.read_bytes()
        resource = json.loads(raw)
        if resource.get("resourceType") in found and len(raw) <= longest:
            found[resource["resourceType"]].append(resource)
    for type in types:
        path = SHARED / f"synthea/{type}.ndjson.gz"
        if path.exists():
            with gzip.open(path) as file:
                held = [line for line, _ in zip(file, range(2000), strict=False)]
            found[type] += [json.loads(line) for line in held[:: max(1, len(held) // 6)] if len(line) <= longest]
        if type in SAMPLES:
            found[type].append(sample(type))
    return found
