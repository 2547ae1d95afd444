"""One patient's record in the making: it numbers, stamps and labels whatever the other modules add."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

from .cast import ORDINAL, patient_id
from .fhir import TEST_DATA, Json, identity, moment, ref
from .people import Person
from .places import Places, Source, display


@dataclass(frozen=True)
class Visit:
    """An encounter as the other modules need it."""

    kind: str  # AMB, EMER, IMP or VR
    start: datetime
    end: datetime | None  # None: still here
    reference: Json
    doctor: Json  # reference to a practitioner, with display

    @property
    def day(self) -> date:
        return self.start.date()


class Chart:
    """`resources` are the newest versions, `superseded` the earlier ones of some of them.

    `rng` depends on seed and ordinal only, so that a patient stays the same person however many
    others are generated.
    """

    def __init__(
        self, person: Person, source: Source, places: Places, *, patients: int, seed: int, today: date
    ) -> None:
        self.person = person
        self.source = source
        self.places = places
        self.patients = patients
        self.seed = seed
        self.today = today
        self.rng = Random(f"clinicportal demo {seed} {person.ordinal}")  # noqa: S311 - must repeat, must not be secret
        self.resources: list[Json] = []
        self.superseded: list[Json] = []
        self.visits: list[Visit] = []
        self.ills: dict[str, date] = {}
        self.condition_of: dict[str, Json] = {}
        self.patient: Json = {}
        self._numbers: Counter[str] = Counter()

    @property
    def last_day(self) -> date:
        """The last day on which something can have happened."""
        yesterday = self.today - timedelta(days=1)
        return min(self.person.died, yesterday) if self.person.died else yesterday

    def has(self, trait: str) -> bool:
        return trait in self.person.traits

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def age_on(self, day: date) -> float:
        return (day - self.person.born).days / 365.25

    def at(self, day: date, hour: int | None = None) -> datetime:
        """A plausible time on `day`, within working hours unless `hour` is given."""
        hour = self.rng.randrange(8, 17) if hour is None else hour
        return datetime.combine(day, time(hour, 5 * self.rng.randrange(12)), UTC)

    def doctor(self) -> Json:
        someone = self.rng.choice(self.places.staff)
        return ref(someone, display(someone))

    def add(self, kind: str, at: datetime, security: list[Json] | None = None, **fields: Any) -> Json:
        """Put a resource on the record, last changed `at`; fields that are None are left out."""
        number = self._numbers[kind]
        self._numbers[kind] += 1
        meta: Json = {"versionId": "1", "lastUpdated": moment(at)}
        if security := [*self.person.labels, *(security or ())]:
            meta["security"] = security
        meta["tag"] = [TEST_DATA]
        made = {"resourceType": kind, "id": identity(self.seed, self.person.ordinal, kind, number), "meta": meta}
        made.update((name, value) for name, value in fields.items() if value is not None)
        self.resources.append(made)
        return made

    def revise(self, resource: Json, at: datetime, **changes: Any) -> None:
        """Make a new version of `resource` in place and keep the one before it among the superseded."""
        self.superseded.append(dict(resource))
        version = int(resource["meta"]["versionId"]) + 1
        resource["meta"] = {**resource["meta"], "versionId": str(version), "lastUpdated": moment(at)}
        resource.update(changes)

    @property
    def subject(self) -> Json:
        return ref(self.patient)

    def member(self, key: str) -> Json | None:
        """Reference to a member of the cast, or None when so few patients are made that they are not there."""
        ordinal = ORDINAL[key]
        return {"reference": f"Patient/{patient_id(self.seed, ordinal)}"} if ordinal < self.patients else None
