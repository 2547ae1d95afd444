"""Which types are drawn as entries beside the main lists, and how each is read."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, tzinfo

from records.display import bookings, devices, fhir, histories, supplies
from records.display.entry import Entry
from records.display.words import clean

MAKERS: dict[str, Callable[[fhir.Json, date, tzinfo], Entry]] = {
    "Appointment": bookings.appointment,
    "ClinicalImpression": histories.impression,
    "Device": devices.device,
    "DeviceUseStatement": devices.use,
    "EpisodeOfCare": bookings.episode,
    "FamilyMemberHistory": histories.family,
    "ImagingStudy": devices.study,
    "ImmunizationRecommendation": bookings.recommendation,
    "MedicationAdministration": supplies.administration,
    "MedicationDispense": supplies.dispense,
    "RelatedPerson": bookings.relative,
}


def of(resource: fhir.Json, today: date, zone: tzinfo = UTC, *, row: str = "") -> Entry:
    """`row` is our id of it. Raises KeyError for a type that is no entry."""
    type = str(resource.get("resourceType"))
    made = MAKERS[type](resource, today, zone)
    return replace(made, row=row, type=type, key=f"{type}/{clean(resource.get('id'))}")


def sort(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Newest first, undated last. Uses of a device that say no name get it from the device, where it is among them."""
    held = list(entries)
    named = {entry.key: entry.title for entry in held if entry.type == "Device"}
    told = (replace(one, title=named[one.about]) if one.about in named else one for one in held)
    return tuple(sorted(told, key=lambda entry: entry.when.order, reverse=True))
