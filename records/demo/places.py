"""Who keeps the records: our group with its three facilities, and the partners beside them.

Each facility is a source of its own, with its own record numbers and its own copy of every
organisation, as feeds are in life. Partner organisations carry a fixed identifier, so that an
importer knows them in every feed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .fhir import TEST_DATA, Json, identity, ref

GROUP = "Harbour Hospital Group"
PARTNER_SYSTEM = "urn:clinicportal:partner"
FACILITY_SYSTEM = "urn:clinicportal:facility"
STAFF_SYSTEM = "urn:clinicportal:staff"


@dataclass(frozen=True)
class Source:
    """One feed: `name` is its folder and its key, `prefix` opens every record number it gives out."""

    name: str
    title: str
    prefix: str

    @property
    def mrn_system(self) -> str:
        return f"urn:clinicportal:mrn:{self.name}"


MAIN = Source("main", "Harbour Main Site", "90")
NORTH = Source("north", "Harbour North Site", "91")
CLINIC = Source("clinic", "Harbour Clinic", "92")
SOURCES = (MAIN, NORTH, CLINIC)
BY_NAME = {source.name: source for source in SOURCES}

PARTNERS = {"northfield": "Northfield Practice", "riverside": "Riverside Hospital", "willowcourt": "Willow Court"}
PARTNER_KINDS = {"northfield": "General practice", "riverside": "Hospital", "willowcourt": "Nursing home"}

STAFF = (
    ("Okafor", "Ngozi", "female", "General physician"),
    ("Lindqvist", "Per", "male", "General physician"),
    ("Haddad", "Rania", "female", "Emergency physician"),
    ("Moreau", "Luc", "male", "Cardiologist"),
    ("Tanaka", "Yuki", "female", "Paediatrician"),
    ("Brennan", "Aoife", "female", "Specialist nurse"),
)
PARTNER_STAFF = {
    "northfield": ("Ashworth", "Helen", "female", "General practitioner"),
    "riverside": ("Petrov", "Ilya", "male", "Consultant physician"),
    "willowcourt": ("Mbeki", "Thandi", "female", "Senior nurse"),
}
ROOMS = (("ward", "Ward 3"), ("outpatients", "Outpatient rooms"), ("emergency", "Emergency department"))


@dataclass(frozen=True)
class Places:
    """What every patient of one source refers to."""

    facility: Json
    partners: dict[str, Json]
    elsewhere: Json  # a practice that is nobody's partner
    staff: list[Json]
    partner_roles: dict[str, Json]
    rooms: dict[str, Json]
    everything: list[Json]


def display(practitioner: Json) -> str:
    name = practitioner["name"][0]
    return f"{name['given'][0]} {name['family']}"


def build(source: Source, seed: int, stamp: str) -> Places:
    """The organisations, people and rooms of `source`; `stamp` is when the feed last touched them."""
    made: list[Json] = []

    def add(kind: str, slug: str, **fields: object) -> Json:
        meta = {"versionId": "1", "lastUpdated": stamp, "tag": [TEST_DATA]}
        made.append({"resourceType": kind, "id": identity(seed, "place", slug), "meta": meta, **fields})
        return made[-1]

    organisation = partial(add, "Organization", active=True)
    group = organisation("group", name=GROUP, identifier=[{"system": FACILITY_SYSTEM, "value": "group"}])
    facility = organisation(
        f"facility {source.name}",
        name=source.title,
        partOf=ref(group, GROUP),
        identifier=[{"system": FACILITY_SYSTEM, "value": source.name}],
    )
    partners = {
        key: organisation(
            f"partner {key}",
            name=name,
            identifier=[{"use": "official", "system": PARTNER_SYSTEM, "value": key}],
            type=[{"text": PARTNER_KINDS[key]}],
        )
        for key, name in PARTNERS.items()
    }
    elsewhere = organisation("elsewhere", name="Hillside Surgery", type=[{"text": "General practice"}])
    staff = [employee(add, f"{source.name} {number}", facility, *who)[0] for number, who in enumerate(STAFF)]
    roles = {key: employee(add, f"partner {key}", partners[key], *who)[1] for key, who in PARTNER_STAFF.items()}
    rooms = {
        key: add(
            "Location",
            f"room {source.name} {key}",
            status="active",
            name=f"{name}, {source.title}",
            mode="instance",
            managingOrganization=ref(facility, source.title),
        )
        for key, name in ROOMS
    }
    return Places(facility, partners, elsewhere, staff, roles, rooms, made)


def employee(
    add: Callable[..., Json], slug: str, organisation: Json, family: str, given: str, gender: str, work: str
) -> tuple[Json, Json]:
    """A practitioner, and the role that ties them to the organisation."""
    name: Json = {"use": "official", "family": family, "given": [given]}
    if "nurse" not in work:
        name["prefix"] = ["Dr"]
    person = add(
        "Practitioner",
        f"practitioner {slug}",
        active=True,
        identifier=[{"system": STAFF_SYSTEM, "value": slug.replace(" ", "-")}],
        name=[name],
        gender=gender,
    )
    role = add(
        "PractitionerRole",
        f"role {slug}",
        active=True,
        practitioner=ref(person, display(person)),
        organization=ref(organisation, organisation["name"]),
        code=[{"text": work}],
    )
    return person, role
