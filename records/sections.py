"""Which section of the record a FHIR R4 resource belongs to.

What is mapped to no section is shown to no one: a type that we do not know, or that is not care (claims,
consents, tasks, audit), stays hidden until somebody decides otherwise here. A Provenance is in the section of all
that it is about, if that is one (settling.py); a Binary in that of its document.
"""

from __future__ import annotations

from typing import Any

from records.models import Section

BY_TYPE: dict[str, Section] = {
    "Patient": Section.DEMOGRAPHICS,
    "RelatedPerson": Section.DEMOGRAPHICS,
    "Condition": Section.PROBLEMS,
    "ClinicalImpression": Section.PROBLEMS,
    "FamilyMemberHistory": Section.PROBLEMS,
    "MedicationRequest": Section.MEDICINES,
    "MedicationStatement": Section.MEDICINES,
    "MedicationAdministration": Section.MEDICINES,
    "MedicationDispense": Section.MEDICINES,
    "AllergyIntolerance": Section.ALLERGIES,
    "ImagingStudy": Section.RESULTS,
    "Immunization": Section.IMMUNISATIONS,
    "ImmunizationRecommendation": Section.IMMUNISATIONS,
    "Procedure": Section.PROCEDURES,
    "Device": Section.PROCEDURES,
    "DeviceUseStatement": Section.PROCEDURES,
    "Encounter": Section.ENCOUNTERS,
    "EpisodeOfCare": Section.ENCOUNTERS,
    "Appointment": Section.ENCOUNTERS,
    "DocumentReference": Section.DOCUMENTS,
    "Composition": Section.DOCUMENTS,
    "QuestionnaireResponse": Section.DOCUMENTS,
    "CarePlan": Section.CARE_PLANS,
    "CareTeam": Section.CARE_PLANS,
    "Goal": Section.CARE_PLANS,
    "ServiceRequest": Section.CARE_PLANS,
    "NutritionOrder": Section.CARE_PLANS,
}

VITAL_SIGNS = {"vital-signs", "vital-sign"}  # Synthea writes the second

# LOINC codes of the FHIR vital signs profile and of US Core's additions to it: vitals, whatever the category says.
VITAL_SIGN_CODES = {
    "85353-1", "9279-1", "8867-4", "2708-6", "59408-5", "8310-5", "8302-2", "9843-4", "29463-7", "39156-5",
    "85354-9", "8480-6", "8462-4", "8289-1", "59576-9", "77606-2",
}  # fmt: skip

# What a List lists, by its LOINC code: the section headings of the International Patient Summary.
LIST_CODES = {
    "11450-4": Section.PROBLEMS,
    "11348-0": Section.PROBLEMS,
    "10160-0": Section.MEDICINES,
    "48765-2": Section.ALLERGIES,
    "11369-6": Section.IMMUNISATIONS,
    "47519-4": Section.PROCEDURES,
    "30954-2": Section.RESULTS,
    "8716-3": Section.VITALS,
    "18776-5": Section.CARE_PLANS,
}


def section_of(resource: dict[str, Any]) -> Section | None:
    """The section of a FHIR R4 resource, or None: shown to no one."""
    kind = resource["resourceType"]
    if kind == "Observation":
        return section_of_observation(resource)
    if kind == "DiagnosticReport":
        return section_of_report(resource)
    if kind == "List":
        return next((LIST_CODES[code] for code in codes_of(resource.get("code")) if code in LIST_CODES), None)
    return BY_TYPE.get(kind)


def section_of_observation(observation: dict[str, Any]) -> Section:
    """Vitals by category or by code; laboratory, imaging, survey and all others are results."""
    for category in observation.get("category") or ():
        if not VITAL_SIGNS.isdisjoint(codes_of(category)):
            return Section.VITALS
    if not VITAL_SIGN_CODES.isdisjoint(codes_of(observation.get("code"))):
        return Section.VITALS
    return Section.RESULTS


def section_of_report(report: dict[str, Any]) -> Section:
    """A report without single results but with a text of its own is a note: it may contain anything."""
    if report.get("presentedForm") and not report.get("result"):
        return Section.DOCUMENTS
    return Section.RESULTS


def codes_of(concept: dict[str, Any] | None) -> list[str]:
    """The codes of a CodeableConcept, of all its codings."""
    return [coding["code"] for coding in (concept or {}).get("coding") or () if "code" in coding]
