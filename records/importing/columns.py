"""Where resources keep what the columns hold: code, time, status, and whose they are."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """Where a type keeps what the columns hold: the first that is there counts."""

    code: tuple[str, ...] = ("code",)
    time: tuple[str, ...] = ()
    status: tuple[str, ...] = ("status",)
    patient: str = "subject"


MEDICATION = ("medicationCodeableConcept",)
EFFECTIVE = ("effectiveDateTime", "effectivePeriod", "effectiveInstant")
PERFORMED = ("performedDateTime", "performedPeriod")
ONSET = ("onsetDateTime", "onsetPeriod")

SHAPES: dict[str, Shape] = {
    "AllergyIntolerance": Shape(time=(*ONSET, "recordedDate"), status=("clinicalStatus",), patient="patient"),
    "Appointment": Shape(code=("serviceType", "appointmentType", "description"), time=("start", "created")),
    "CarePlan": Shape(code=("category", "title"), time=("period", "created")),
    "CareTeam": Shape(code=("category", "name"), time=("period",)),
    "ClinicalImpression": Shape(time=(*EFFECTIVE, "date")),
    "Composition": Shape(code=("type", "title"), time=("date",)),
    "Condition": Shape(time=(*ONSET, "recordedDate"), status=("clinicalStatus",)),
    "Consent": Shape(code=("scope",), time=("dateTime",), patient="patient"),
    "Device": Shape(code=("type",), time=("manufactureDate",), patient="patient"),
    "DeviceUseStatement": Shape(code=("reasonCode",), time=("timingDateTime", "timingPeriod", "recordedOn")),
    "DiagnosticReport": Shape(time=(*EFFECTIVE, "issued")),
    "DocumentReference": Shape(code=("type", "description"), time=("date",)),
    "Encounter": Shape(code=("type", "class"), time=("period",)),
    "EpisodeOfCare": Shape(code=("type",), time=("period",), patient="patient"),
    "FamilyMemberHistory": Shape(code=("relationship", "name"), time=("date",), patient="patient"),
    "Goal": Shape(code=("description",), time=("startDate", "statusDate"), status=("lifecycleStatus",)),
    "ImagingStudy": Shape(code=("procedureCode", "modality", "description"), time=("started",)),
    "Immunization": Shape(code=("vaccineCode",), time=("occurrenceDateTime", "recorded"), patient="patient"),
    "ImmunizationRecommendation": Shape(time=("date",), patient="patient"),
    "List": Shape(code=("code", "title"), time=("date",)),
    "Medication": Shape(),
    "MedicationAdministration": Shape(code=MEDICATION, time=EFFECTIVE),
    "MedicationDispense": Shape(code=MEDICATION, time=("whenHandedOver", "whenPrepared")),
    "MedicationRequest": Shape(code=MEDICATION, time=("authoredOn",)),
    "MedicationStatement": Shape(code=MEDICATION, time=(*EFFECTIVE, "dateAsserted")),
    "NutritionOrder": Shape(code=(), time=("dateTime",), patient="patient"),
    "Observation": Shape(time=(*EFFECTIVE, "issued")),
    "Patient": Shape(code=()),
    "Procedure": Shape(time=(*PERFORMED,)),
    "Provenance": Shape(code=("activity",), time=("occurredDateTime", "occurredPeriod", "recorded")),
    "QuestionnaireResponse": Shape(code=(), time=("authored",)),
    "RelatedPerson": Shape(code=("relationship",), time=("period",), patient="patient"),
    "ServiceRequest": Shape(time=("authoredOn", "occurrenceDateTime", "occurrencePeriod")),
}
OTHER = Shape()
PATIENT_FIELDS = ("subject", "patient", "beneficiary", "individual", "for")
"""Where types without a Shape say whose they are."""
