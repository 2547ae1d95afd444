"""Everything that records.display can make of one resource, for the tests that feed it whatever there is."""

from dataclasses import fields, is_dataclass
from datetime import date
from zoneinfo import ZoneInfo

from records.display import (
    allergies,
    banner,
    documents,
    encounters,
    fhir,
    flowsheet,
    immunisations,
    medicines,
    problems,
    procedures,
    results,
    timeline,
    trend,
)

TODAY = date(2026, 6, 1)
ZONE = ZoneInfo("Europe/London")


def person(resource: fhir.Json) -> list[object]:
    return [
        banner.of(resource, TODAY, ZONE),
        banner.person(resource, TODAY),
        banner.address_and_contacts(resource),
    ]


def observation(resource: fhir.Json) -> list[object]:
    read = results.of(resource, ZONE, earlier=resource)
    return [read, flowsheet.arrange([read, read]), *(trend.of([read], TODAY, p) for p in trend.PERIODS)]


READERS = {
    "Patient": person,
    "Observation": observation,
    "MedicationRequest": lambda r: [medicines.sort([medicines.of(r, TODAY, ZONE)], TODAY)],
    "MedicationStatement": lambda r: [medicines.sort([medicines.of(r, TODAY, ZONE)], TODAY)],
    "Condition": lambda r: [problems.sort([problems.of(r, ZONE)])],
    "AllergyIntolerance": lambda r: [allergies.summarise([allergies.of(r, ZONE)])],
    "Immunization": lambda r: [immunisations.of(r, ZONE)],
    "Procedure": lambda r: [procedures.of(r, ZONE)],
    "Encounter": lambda r: [encounters.of(r, ZONE)],
    "DocumentReference": lambda r: [documents.of(r, ZONE)],
    "DiagnosticReport": lambda r: [documents.of(r, ZONE)],
}


def read(resource: fhir.Json) -> list[object]:
    """What the chart draws of `resource`, whatever type it says it is."""
    made = READERS.get(str(resource.get("resourceType")), lambda _resource: [])(resource)
    return [*made, timeline.of(resource, TODAY, ZONE)]


def strings(thing: object) -> list[str]:
    """Every text in what was made."""
    if isinstance(thing, str):
        return [thing]
    if is_dataclass(thing) and not isinstance(thing, type):
        return [s for field in fields(thing) for s in strings(getattr(thing, field.name))]
    if isinstance(thing, list | tuple):
        return [s for item in thing for s in strings(item)]
    return []
