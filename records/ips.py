"""The International Patient Summary (2.0.1) as a FHIR document: what this reader may see, and nothing else.

A required section without entries says "unavailable", whether nothing was recorded, it is not in the access, or it is
withheld within it: the three look the same. References to what is not in the document are reduced to their type, and
to the name of a person or place of a directory, so that no id and no words of anything hidden leave with it. https://hl7.org/fhir/uv/ips/
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any

from clinicportal.texts import gettext as _
from records.chart.rows import Row
from records.display import codes, fhir
from records.importing.references import DIRECTORY_TYPES
from records.models import Section

LOINC = "http://loinc.org"


@dataclass(frozen=True)
class Part:
    """A section of the document: its LOINC code, its title, and which resources it holds."""

    code: str
    display: str
    section: Section
    types: frozenset[str]
    required: bool = False


def _part(code: str, display: str, section: Section, *types: str, required: bool = False) -> Part:
    return Part(code, display, section, frozenset(types), required)


PARTS = (
    _part("11450-4", "Problem list", Section.PROBLEMS, "Condition", required=True),
    _part("48765-2", "Allergies and adverse reactions", Section.ALLERGIES, "AllergyIntolerance", required=True),
    _part("10160-0", "Medication use", Section.MEDICINES, "MedicationRequest", "MedicationStatement", required=True),
    _part("11369-6", "Immunizations", Section.IMMUNISATIONS, "Immunization"),
    _part("30954-2", "Relevant diagnostic tests", Section.RESULTS, "Observation"),
    _part("47519-4", "Procedures", Section.PROCEDURES, "Procedure"),
    _part("46264-8", "History of medical device use", Section.PROCEDURES, "DeviceUseStatement", "Device"),
    _part("8716-3", "Vital signs", Section.VITALS, "Observation"),
    _part("18776-5", "Plan of care", Section.CARE_PLANS, "CarePlan"),
)
"""In the order of the guide; history, pregnancy and the rest have no section of ours."""


def document(rows: Iterable[Row], *, facility: str, now: datetime, document_id: uuid.UUID) -> str:
    """The Bundle as text. `rows` are the Patient and what goes into the sections."""
    held = list(rows)
    known = {f"{row.type}/{fhir.plain_id(row.fhir)}": f"urn:uuid:{row.id}" for row in held}
    patient = next(row for row in held if row.type == "Patient")
    organisation = f"urn:uuid:{uuid.uuid5(document_id, 'organisation')}"
    sections = [made for part in PARTS if (made := _section(part, held))]
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"coding": [{"system": LOINC, "code": "60591-5", "display": "Patient summary Document"}]},
        "subject": {"reference": f"urn:uuid:{patient.id}"},
        "date": now.isoformat(timespec="seconds"),
        "author": [{"reference": organisation}],
        "title": _("International Patient Summary"),
        "custodian": {"reference": organisation},
        "section": sections,
    }
    named = {"resourceType": "Organization", "active": True, "name": facility}
    entries = [(f"urn:uuid:{uuid.uuid5(document_id, 'composition')}", composition), (organisation, named)]
    entries += [(f"urn:uuid:{row.id}", _with_references(row.fhir, known)) for row in [patient, *_listed(held)]]
    return dump(
        {
            "resourceType": "Bundle",
            "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{document_id}"},
            "type": "document",
            "timestamp": now.isoformat(timespec="seconds"),
            "entry": [{"fullUrl": address, "resource": resource} for address, resource in entries],
        }
    )


def _belongs(row: Row, part: Part) -> bool:
    return row.section == part.section and row.type in part.types


def _listed(rows: list[Row]) -> list[Row]:
    return [row for row in rows if any(_belongs(row, part) for part in PARTS)]


def _section(part: Part, rows: list[Row]) -> dict[str, Any] | None:
    held = [row for row in rows if _belongs(row, part)]
    if not held and not part.required:
        return None
    code = {"coding": [{"system": LOINC, "code": part.code, "display": part.display}]}
    made: dict[str, Any] = {"title": part.display, "code": code, "text": _narrative(held)}
    if held:
        return {**made, "entry": [{"reference": f"urn:uuid:{row.id}"} for row in held]}
    system = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
    reason = {"coding": [{"system": system, "code": "unavailable", "display": "Unavailable"}]}
    return {**made, "emptyReason": reason}


def _narrative(rows: list[Row]) -> dict[str, str]:
    lines = "".join(f"<li>{escape(_name(row))}</li>" for row in rows)
    listed = f"<ul>{lines}</ul>" if lines else f"<p>{escape(_('Unavailable.'))}</p>"
    note = escape(_("This view may be incomplete. Check with the patient or the source before you prescribe."))
    return {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{note}</p>{listed}</div>',
    }


def _name(row: Row) -> str:
    for element in ("code", "medicationCodeableConcept", "vaccineCode"):
        if name := codes.text_of(row.fhir.get(element)):
            return name
    return codes.referred(row.fhir.get("medicationReference")) or row.label or row.type


def _with_references(value: Any, known: Mapping[str, str]) -> Any:
    """A copy in which references lead to entries of the document, or to nothing but a type."""
    if isinstance(value, list):
        return [_with_references(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {key: _with_references(item, known) for key, item in value.items()}
    if isinstance(copy.get("reference"), str) and not copy["reference"].startswith("#"):
        key = fhir.reference_key(value)
        if key in known:
            copy["reference"] = known[key]
        else:
            copy = _without_target(value)
    return copy


def _without_target(reference: dict[str, Any]) -> dict[str, Any]:
    kind = fhir.referred_type(reference)
    named = reference.get("display") if kind in DIRECTORY_TYPES else None
    kept = {key: value for key, value in (("type", kind), ("display", named)) if value}
    return kept or {"display": _("Not in this document")}


def dump(value: Any) -> str:
    """JSON in which decimals stand as they were written: 6.0 and 6.00 are two statements of precision."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(key))}:{dump(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dump, value)) + "]"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float):  # what was no number: fhir.load reads all others as Decimal
        return "null"
    return json.dumps(value)
