"""One resource's bytes to a document, or the reason why not.

Sizes and depth are limited before anything is parsed. Details name what is wrong and never a value of
the record: they are shown to operators and written to logs.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any

import orjson

MAX_BYTES = 16 * 2**20
"""Of one resource: official examples carry attachments over 1 MB, and a list of all targets is large too."""
MOST_PARTS = 250_000
"""Objects, lists and values of one resource: in memory many small ones take twenty times their text."""
MAX_DEPTH = 64
"""Of nested objects and arrays: FHIR's deepest (questionnaires) stay below 30."""


class Reason(StrEnum):
    """Why a line cannot be taken. Stored: a value never changes its meaning."""

    TOO_LARGE = "too-large"
    TOO_DEEP = "too-deep"
    NOT_UTF8 = "not-utf8"
    BROKEN_JSON = "broken-json"
    NULL_CHARACTER = "null-character"
    DUPLICATE_KEY = "duplicate-key"
    NOT_A_RESOURCE = "not-a-resource"
    UNKNOWN_TYPE = "unknown-type"
    NO_ID = "no-id"
    BAD_ID = "bad-id"
    WRONG_SHAPE = "wrong-shape"
    UNSUPPORTED = "unsupported"
    BROKEN_FILE = "broken-file"


class Unreadable(Exception):
    """A resource that cannot be taken, by which reason; `detail` is a sentence without values of the record."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

# Resource types of FHIR R4 (4.0.1).
TYPES = frozenset(
    """
    Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic Binary
    BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem
    ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem Communication CommunicationRequest
    CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage CoverageEligibilityRequest
    CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement
    DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest
    EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit
    FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy Immunization
    ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List
    Location Measure MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationKnowledge
    MedicationRequest MedicationStatement MedicinalProduct MedicinalProductAuthorization
    MedicinalProductContraindication MedicinalProductIndication MedicinalProductIngredient
    MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
    MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition MessageHeader
    MolecularSequence NamingSystem NutritionOrder Observation ObservationDefinition OperationDefinition
    OperationOutcome Organization OrganizationAffiliation Parameters Patient PaymentNotice PaymentReconciliation
    Person PlanDefinition Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse
    RelatedPerson RequestGroup ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject
    RiskAssessment RiskEvidenceSynthesis Schedule SearchParameter ServiceRequest Slot Specimen SpecimenDefinition
    StructureDefinition StructureMap Subscription Substance SubstanceNucleicAcid SubstancePolymer SubstanceProtein
    SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest Task
    TerminologyCapabilities TestReport TestScript ValueSet VerificationResult VisionPrescription
    """.split()  # noqa: SIM905 - 148 quoted names are harder to read
)


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object that `raw` is. Raises Unreadable."""
    if len(raw) > MAX_BYTES:
        raise Unreadable(Reason.TOO_LARGE, f"{len(raw):,} bytes: a resource may have {MAX_BYTES:,}")
    if len(raw) > MOST_PARTS and parts_of(raw) > MOST_PARTS:
        raise Unreadable(Reason.TOO_LARGE, f"more than {MOST_PARTS:,} objects, lists and values")
    if nests_deeper_than(MAX_DEPTH, raw):
        raise Unreadable(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise why_not_json(raw, error) from None
    if not isinstance(document, dict):
        raise Unreadable(Reason.NOT_A_RESOURCE, "not a JSON object")
    escapes = b"\\" in raw and b"\\u" in raw
    if escapes:
        refuse_null_characters(raw)
    refuse_duplicate_keys(raw, document, escapes=escapes)
    return document


def why_not_json(raw: bytes, error: orjson.JSONDecodeError) -> Unreadable:
    try:
        raw.decode()
    except UnicodeDecodeError as undecodable:
        return Unreadable(Reason.NOT_UTF8, f"byte {undecodable.start + 1} is not UTF-8")
    return Unreadable(Reason.BROKEN_JSON, f"{error.msg} at character {error.pos + 1}")


NULL_CHARACTER = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def refuse_null_characters(raw: bytes) -> None:
    """PostgreSQL cannot store U+0000 in text; FHIR forbids it too."""
    if NULL_CHARACTER.search(raw):
        raise Unreadable(Reason.NULL_CHARACTER, "contains the character U+0000")


def refuse_duplicate_keys(raw: bytes, document: dict[str, Any], *, escapes: bool) -> None:
    """A key twice in one object means two readers may see two records: one with a security label, one without.

    A text that is written back as it came dropped nothing. Without escapes every dropped key shows as a missing
    colon, and nothing else does.
    """
    written = orjson.dumps(document)
    if written == raw:
        return
    if escapes:
        json.loads(raw, object_pairs_hook=without_duplicates)
    elif raw.count(b":") != written.count(b":"):
        raise duplicate_key


duplicate_key = Unreadable(Reason.DUPLICATE_KEY, "an object has the same key twice")


def without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise duplicate_key


NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
# Possessive: a string that does not end is given up once, not tried again in every way it could be shorter.
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# With an open string taken to the end of the text, which would be read again from each of its quotes otherwise.
BRACKET_OR_STRING = re.compile(STRING + rb"?+|[{}\[\]]", re.DOTALL)


PART_OR_STRING = re.compile(STRING + rb"?+|[{\[,]", re.DOTALL)


def parts_of(raw: bytes) -> int:
    """Objects, lists, and values behind a comma, in a text; its strings are left out when there seem to be too many."""
    number = sum(map(raw.count, (b"{", b"[", b",")))
    if number <= MOST_PARTS:
        return number
    return sum(token[0][:1] != b'"' for token in PART_OR_STRING.finditer(raw))


def nests_deeper_than(limit: int, raw: bytes) -> bool:
    """Whether objects and arrays nest deeper than `limit`; almost always answered without looking at strings."""
    if raw.count(b"{") + raw.count(b"[") <= limit:
        return False
    brackets = raw.translate(None, NOT_BRACKETS)
    for _ in range(limit):  # each round takes away the innermost level
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not brackets:
            return False
    depth = 0  # brackets inside of strings, or too deep: look exactly
    for token in BRACKET_OR_STRING.finditer(raw):
        first = token[0][:1]
        if first in b"{[":
            depth += 1
            if depth > limit:
                return True
        elif first in b"}]":
            depth -= 1
    return False


def identity(document: dict[str, Any]) -> tuple[str, str]:
    """The type and the id of a resource. Raises Unreadable when it has none that FHIR R4 allows."""
    kind = document.get("resourceType")
    if kind is None:
        raise Unreadable(Reason.NOT_A_RESOURCE, "has no resourceType")
    if kind not in TYPES:
        raise Unreadable(Reason.UNKNOWN_TYPE, "resourceType is no resource of FHIR R4")
    fhir_id = document.get("id")
    if fhir_id is None:
        raise Unreadable(Reason.NO_ID, f"{kind} has no id")
    if not isinstance(fhir_id, str) or not FHIR_ID.fullmatch(fhir_id):
        raise Unreadable(Reason.BAD_ID, f"{kind}.id is not 1 to 64 letters, digits, dots and hyphens")
    return kind, fhir_id
