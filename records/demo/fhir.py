"""The few shapes that FHIR R4 resources are made of, and the code systems the demo speaks.

Concepts are made once and shared between resources: never change one in place.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid5

Json = dict[str, Any]

NAMESPACE = UUID("5d0a7c3e-8f41-5b6e-9a53-0c1f5b6d2e77")  # ours; never change it, or every demo id changes

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CVX = "http://hl7.org/fhir/sid/cvx"
UCUM = "http://unitsofmeasure.org"
HL7 = "http://terminology.hl7.org/CodeSystem/"
ACT_CODE = HL7 + "v3-ActCode"
CONFIDENTIALITY = HL7 + "v3-Confidentiality"
EXTENSION = "http://hl7.org/fhir/StructureDefinition/"


def coding(system: str, code: str, display: str = "") -> Json:
    made = {"system": system, "code": code}
    if display:
        made["display"] = display
    return made


def concept(system: str, code: str, display: str) -> Json:
    return {"coding": [coding(system, code, display)], "text": display}


def snomed(code: str, display: str) -> Json:
    return concept(SNOMED, code, display)


def loinc(code: str, display: str) -> Json:
    return concept(LOINC, code, display)


def rxnorm(code: str, display: str) -> Json:
    return concept(RXNORM, code, display)


def hl7(system: str, code: str, display: str = "") -> Json:
    """A concept of one of HL7's own code systems, by its short name."""
    return {"coding": [coding(HL7 + system, code, display)]}


def quantity(value: float, unit: str, code: str | None = None, comparator: str | None = None) -> Json:
    made: Json = {"value": value, "unit": unit, "system": UCUM, "code": code or unit}
    if comparator:
        made["comparator"] = comparator
    return made


def ref(resource: Json, display: str = "") -> Json:
    made = {"reference": f"{resource['resourceType']}/{resource['id']}"}
    if display:
        made["display"] = display
    return made


def moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def absent(reason: str) -> Json:
    """The extension that stands where a primitive value is missing."""
    return {"extension": [{"url": EXTENSION + "data-absent-reason", "valueCode": reason}]}


def identity(seed: int, *names: object) -> str:
    """The same id for the same seed and names, in every run and on every machine."""
    return str(uuid5(NAMESPACE, ":".join(map(str, (seed, *names)))))


def years_before(day: date, years: float) -> date:
    """The day that lies so many years before `day`; whole years keep month and day."""
    whole = int(years)
    rest = round((years - whole) * 365.25)
    month_day = (day.month, 28) if (day.month, day.day) == (2, 29) else (day.month, day.day)
    return date.fromordinal(date(day.year - whole, *month_day).toordinal() - rest)


# Every resource says that it is about nobody real.
TEST_DATA = coding(HL7 + "v3-ActReason", "HTEST", "test health data")

CONFIDENTIALITY_WORDS = {"N": "normal", "R": "restricted", "V": "very restricted"}
SENSITIVITY_WORDS = {
    "HIV": "HIV/AIDS information sensitivity",
    "SUD": "substance use disorder information sensitivity",
    "ETH": "substance abuse information sensitivity",
    "PSY": "psychiatry disorder information sensitivity",
    "PSYTHPN": "psychotherapy note information sensitivity",
    "SEX": "sexuality and reproductive health information sensitivity",
    "STD": "sexually transmitted disease information sensitivity",
    "SDV": "sexual assault, abuse, or domestic violence information sensitivity",
    "GDIS": "genetic disease information sensitivity",
}


def labels(confidentiality: str, *sensitivities: str) -> list[Json]:
    """Security labels as a source writes them: how confidential, and why."""
    level = coding(CONFIDENTIALITY, confidentiality, CONFIDENTIALITY_WORDS[confidentiality])
    return [level, *(coding(ACT_CODE, code, SENSITIVITY_WORDS[code]) for code in sensitivities)]
