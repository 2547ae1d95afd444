"""Putting it together: one source after the other, patient by patient, to memory, NDJSON or bundles.

Layout: `<directory>/<source>/<Type>.ndjson`, one resource a line; `00-history.ndjson` holds the
versions that others have replaced and comes first by name, so that a reader who goes through the
folder in order meets every resource oldest version first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import TextIO

from . import (
    beside,
    care,
    conditions,
    consents,
    documents,
    labs,
    medicines,
    oddities,
    people,
    prevention,
    sensitive,
    visits,
    vitals,
)
from .chart import Chart
from .fhir import Json
from .places import BY_NAME, SOURCES, Places, build

HISTORY = "00-history"
# No offset of the reference date: organisations changed once, long before any patient did.
STAMP = "2015-01-05T09:00:00+00:00"


def chart(ordinal: int, places: Places, *, patients: int, seed: int, today: date) -> Chart:
    """One patient's whole record."""
    who = people.person(ordinal, seed=seed, today=today)
    made = Chart(who, who.source, places, patients=patients, seed=seed, today=today)
    people.add_patient(made)
    conditions.fall_ill(made)
    visits.add_visits(made)
    conditions.add_conditions(made)
    vitals.add_vitals(made)
    labs.add_labs(made)
    oddities.add_oddities(made)
    medicines.add_medicines(made)
    prevention.add_allergies(made)
    prevention.add_immunizations(made)
    care.add_care(made)
    documents.add_documents(made)
    sensitive.add_sensitive(made)
    consents.add_relations(made)
    consents.add_consents(made)
    consents.add_provenance(made)
    beside.add_beside(made)
    return made


def charts(source: str, *, patients: int = 48, seed: int = 1, today: date) -> Iterator[Chart]:
    """The records of one source, one patient at a time."""
    places = build(BY_NAME[source], seed, STAMP)
    for ordinal in range(patients):
        if people.source_of(ordinal).name == source:
            yield chart(ordinal, places, patients=patients, seed=seed, today=today)


def generate(source: str, *, patients: int = 48, seed: int = 1, today: date) -> Iterator[Json]:
    """Every resource of one source (`main`, `north`, `clinic`): places first, then each patient, older versions first.

    `patients` counts the Patient resources of all three sources together. Nothing but the arguments
    decides what comes out.
    """
    yield from build(BY_NAME[source], seed, STAMP).everything
    for made in charts(source, patients=patients, seed=seed, today=today):
        yield from made.superseded
        yield from made.resources


# One encoder for all lines, and no search for cycles: a third of the time otherwise.
line = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def write_ndjson(directory: Path, *, patients: int = 48, seed: int = 1, today: date) -> Counter[str]:
    """Write all three sources, a folder each; returns how many resources of each type there are."""
    counts: Counter[str] = Counter()
    for source in SOURCES:
        folder = directory / source.name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.ndjson"):
            old.unlink()  # a type that this run does not make must not remain from another run
        with ExitStack() as open_files:
            files: dict[str, TextIO] = {}

            def put(
                resource: Json,
                name: str,
                folder: Path = folder,
                files: dict[str, TextIO] = files,
                stack: ExitStack = open_files,
            ) -> None:
                if name not in files:
                    path = folder / f"{name}.ndjson"
                    files[name] = stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
                files[name].write(line(resource) + "\n")
                counts[name] += 1

            for resource in build(source, seed, STAMP).everything:
                put(resource, resource["resourceType"])
            for made in charts(source.name, patients=patients, seed=seed, today=today):
                for resource in made.superseded:
                    put(resource, HISTORY)
                for resource in made.resources:
                    put(resource, resource["resourceType"])
    return counts


def bundle(resources: list[Json]) -> Json:
    """A transaction that puts each resource under its own id, so that sending it twice changes nothing."""
    entries = [
        {
            "fullUrl": f"urn:uuid:{resource['id']}",
            "resource": resource,
            "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
        }
        for resource in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def write_bundles(directory: Path, *, patients: int = 48, seed: int = 1, today: date) -> int:
    """Write `<source>/bundles/`: the places first, then a transaction for each patient (newest versions only)."""
    count = 0
    for source in SOURCES:
        folder = directory / source.name / "bundles"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()
        places = build(source, seed, STAMP).everything
        (folder / "000000-places.json").write_text(line(bundle(places)) + "\n", encoding="utf-8", newline="\n")
        for made in charts(source.name, patients=patients, seed=seed, today=today):
            path = folder / f"{made.person.mrn}.json"
            path.write_text(line(bundle(made.resources)) + "\n", encoding="utf-8", newline="\n")
            count += 1
    return count
