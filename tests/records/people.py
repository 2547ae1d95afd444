"""Patients with names, birth dates and numbers to be found by, and what a person types to look one up."""

from __future__ import annotations

import uuid
from typing import Any

from clinicportal.models import User
from records import lookup, tokens
from records.models import Facility, LookUp, Patient, PatientToken, Source
from tests import factories as make

NHS = "https://fhir.nhs.uk/Id/nhs-number"
REASON = "Came to our walk-in clinic today"


def make_person(
    source: Source, family: str = "Testpatient", given: str = "Alpha", *, born: str = "1958-02-02",
    mrn: str = "9000001", national: str = "", identifiers: list[dict[str, str]] | None = None, **fields: Any,
) -> Patient:  # fmt: skip
    """A patient with the tokens that the importer would have written."""
    held = [{"system": source.mrn_system, "value": mrn}, *(identifiers or [])]
    held += [{"system": NHS, "value": national}] if national else []
    patient = make.make_patient(source, family, given, birth_date=born, mrn=mrn, **fields)
    name = {"family": family, "given": given.split()}
    found = tokens.of_patient({"name": [name], "birthDate": born, "identifier": held})
    folded = {"sort_name": " ".join(tokens.words(f"{family} {given}")), "found_by": tokens.line(found)}
    Patient.objects.using("worker").filter(pk=patient.pk).update(**folded)
    PatientToken.objects.using("worker").bulk_create(PatientToken(patient=patient, token=token) for token in found)
    return patient


def typed(
    facility: Facility, name: str = "Alpha Testpatient", born: str = "1958-02-02", number: str = "9000001",
    *, national: bool = False,
) -> lookup.Asked:  # fmt: skip
    return lookup.Asked(lookup.names_of(name), born, lookup.number_of(number), facility.pk, national)


def looks_up(user: User, what: lookup.Asked, *, reason: str = REASON, attempt: uuid.UUID | None = None) -> LookUp:
    return lookup.find(what, by=user, reason=reason, attempt=attempt or uuid.uuid4())
