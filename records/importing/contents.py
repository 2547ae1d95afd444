"""What a resource holds: other resources whose content it may repeat, so that it carries their labels too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from records.importing.columns import SHAPES
from records.importing.elements import one_or_many, target_of, text
from records.importing.references import Addresses

MOST_HELD = 50_000
"""Ids in `Resource.holds`: the largest Provenance of a whole record has a few thousand."""


def contents_of(resource: dict[str, Any], addresses: Addresses) -> Iterator[str]:
    """`Type/id` of the resources whose content this one may repeat, so that it carries their labels too."""
    found = CONTENTS.get(resource["resourceType"])
    for reference in found(resource) if found else ():
        if target := target_of(reference, addresses):
            yield target
    for reference in named_in(resource):
        target = target_of(reference, addresses)
        if target and target.partition("/")[0] in REPEATED:
            yield target


def named_in(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """References that say in words what they point at: why something was done, what a plan is about."""
    return saying([resource[name] for name in NAMING.intersection(resource)])


def saying(waiting: list[Any]) -> Iterator[dict[str, Any]]:
    """The references in these elements, however deep, that have words. Not recursive."""
    while waiting:
        element = waiting.pop()
        if isinstance(element, dict):
            if element.get("display") and element.get("reference"):
                yield element
            waiting.extend(element.values())
        elif isinstance(element, list):
            waiting.extend(element)


def is_patient(item: Any) -> bool:
    """Whether an entry lists a patient: a list of patients is shown to nobody, and repeats nothing of them."""
    return not item or text(item.get("reference")).startswith("Patient/")


def of_fields(*names: str) -> Any:
    return lambda resource: [one for name in names for one in one_or_many(resource.get(name))]


def of_report(report: dict[str, Any]) -> list[Any]:
    media = [one.get("link") for one in report.get("media") or ()]
    return [*of_fields("result", "imagingStudy")(report), *media, *binaries(report.get("presentedForm"))]


def of_document(document: dict[str, Any]) -> list[Any]:
    attachments = [one.get("attachment") for one in document.get("content") or () if isinstance(one, dict)]
    related = (document.get("context") or {}).get("related")
    return [*one_or_many(related), *binaries(attachments)]


def of_composition(composition: dict[str, Any]) -> list[Any]:
    found, sections = [], list(composition.get("section") or ())
    while sections:
        section = sections.pop()
        found += one_or_many(section.get("entry"))
        sections += section.get("section") or ()
    return found


def binaries(attachments: Any) -> list[Any]:
    return [{"reference": one["url"]} for one in attachments or () if one and "Binary/" in text(one.get("url"))]


def of_impression(impression: dict[str, Any]) -> list[Any]:
    found = [one.get("itemReference") for one in impression.get("finding") or ()]
    found += [item for one in impression.get("investigation") or () for item in one_or_many(one.get("item"))]
    return [*of_fields("problem", "prognosisReference")(impression), *found]


CONTENTS: dict[str, Any] = {
    "Appointment": of_fields("reasonReference"),
    "CarePlan": lambda plan: [one.get("reference") for one in plan.get("activity") or ()],
    "ClinicalImpression": of_impression,
    "Composition": of_composition,
    "DeviceUseStatement": of_fields("device", "reasonReference"),
    "DiagnosticReport": of_report,
    "DocumentManifest": of_fields("content"),
    "DocumentReference": of_document,
    "EpisodeOfCare": lambda episode: [one.get("condition") for one in episode.get("diagnosis") or ()],
    "FamilyMemberHistory": of_fields("reasonReference"),
    "ImagingStudy": of_fields("reasonReference"),
    "List": lambda listed: [one["item"] for one in listed.get("entry") or () if not is_patient(one.get("item"))],
    "MedicationAdministration": of_fields("medicationReference", "request", "reasonReference"),
    "MedicationDispense": of_fields("medicationReference", "authorizingPrescription"),
    "MedicationRequest": of_fields("medicationReference"),
    "MedicationStatement": of_fields("medicationReference"),
    "Medication": lambda medication: [one.get("itemReference") for one in medication.get("ingredient") or ()],
    "Media": lambda media: binaries([media.get("content")]),
    "Observation": of_fields("hasMember"),
    "Provenance": of_fields("target"),
    "QuestionnaireResponse": lambda response: saying([response.get("item")]),
}

NAMING = frozenset({
    "addresses", "basedOn", "complicationDetail", "context", "derivedFrom", "device", "diagnosis", "encounter",
    "event", "evidence", "finding", "focus", "goal", "outcomeReference", "partOf", "problem", "reasonReference",
    "specimen", "statusReasonReference", "supportingInfo", "supportingInformation",
})  # fmt: skip
"""Elements of any type whose references may carry the name of a problem, a result or a procedure ("display")."""
REPEATED = SHAPES.keys() - {"Patient", "RelatedPerson"}
