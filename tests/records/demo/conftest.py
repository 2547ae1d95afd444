"""The default patients, generated once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from records.demo import SOURCES, cast, generate

TODAY = date(2026, 11, 23)
Json = dict[str, Any]


def patient_of(resource: Json) -> str | None:
    """Id of the patient whom the resource is about, as far as the resource says so itself."""
    if resource["resourceType"] == "Patient":
        return resource["id"]
    owner = resource.get("subject") or resource.get("patient") or resource.get("securityContext") or {}
    kind, _, key = owner.get("reference", "").partition("/")
    return key if kind == "Patient" else None


def labels_of(resource: Json) -> list[str]:
    return [label.get("code", "") for label in resource["meta"].get("security", [])]


class World:
    """Everything generated: by source, by patient, and the cast by key."""

    def __init__(self, patients: int = 48, seed: int = 1) -> None:
        self.sources = {
            source.name: list(generate(source.name, patients=patients, seed=seed, today=TODAY)) for source in SOURCES
        }
        self.of_patient: dict[str, list[Json]] = defaultdict(list)
        for resource in self.all():
            if patient := patient_of(resource):
                self.of_patient[patient].append(resource)
        self.ids = {key: patient for key, _, patient, _ in list(cast(seed))[:patients]}

    def all(self) -> Iterator[Json]:
        for resources in self.sources.values():
            yield from resources

    def current(self) -> Iterator[Json]:
        """The newest version of each resource."""
        for name in self.sources:
            yield from {(made["resourceType"], made["id"]): made for made in self.sources[name]}.values()

    def patient(self, key: str) -> Json:
        return self.chart(key, "Patient")[0]

    def chart(self, key: str, kind: str = "") -> list[Json]:
        """The newest version of each resource of one member of the cast, or of one type of them."""
        newest = {(made["resourceType"], made["id"]): made for made in self.of_patient[self.ids[key]]}
        return [made for made in newest.values() if kind in ("", made["resourceType"])]


@pytest.fixture(scope="session")
def world() -> World:
    return World()
