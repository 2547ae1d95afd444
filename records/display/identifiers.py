"""Which number names a patient on the page, and how it is grouped [NUM-0001..0003]."""

import re
from dataclasses import dataclass

from clinicportal.texts import gettext as _
from records.display import codes, fhir
from records.display.words import clean

_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
_NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
# A passport or a driving licence is in the record, but nobody finds a chart by it and it invites theft.
_NOT_FOR_SHOW = {"SS", "DL", "PPN", "SB", "TAX", "MC", "MA"}


@dataclass(frozen=True)
class Identifier:
    """A patient's number: `label` names who gave it, `shown` is grouped, `value` is what a copy should hold."""

    label: str
    shown: str
    value: str = ""


def of_patient(patient: fhir.Json, facility: str = "", *, system: str = "") -> Identifier:
    """The number that the facility knows the patient by: of `system`, else a medical record number, else the first."""
    held = [i for i in fhir.mappings(patient.get("identifier")) if clean(i.get("value"))]
    held = [i for i in held if not fhir.codes(i.get("type")) & _NOT_FOR_SHOW and fhir.plain_code(i.get("use")) != "old"]
    if not held:
        return Identifier(label=_label(_("MRN"), facility), shown=_("Not known"))
    best = min(held, key=lambda identifier: _rank(identifier, system))
    value = clean(best.get("value"))
    issuer = codes.referred(best.get("assigner")) or facility
    return Identifier(label=_label(_kind(best, system), issuer), shown=group(value), value=value)


def _rank(identifier: fhir.Json, system: str) -> int:
    if system and identifier.get("system") == system:
        return 0
    if "MR" in fhir.codes(identifier.get("type")):
        return 1
    return 2 if fhir.plain_code(identifier.get("use")) in ("official", "usual") else 3


def _kind(identifier: fhir.Json, system: str) -> str:
    if identifier.get("system") == _NHS_NUMBER:
        return _("NHS number")
    ours = bool(system) and identifier.get("system") == system
    return _("MRN") if ours or "MR" in fhir.codes(identifier.get("type")) else _("Number")


def _label(kind: str, issuer: str) -> str:
    return f"{kind}, {issuer}" if issuer and kind != _("NHS number") else kind


def group(value: str) -> str:
    """Ten digits as 3 3 4; anything else as it was given.

    With plain spaces, which a copy keeps as what people type; that it stays on one line is up to the page [NUM-0015].
    """
    digits = re.sub(r"[\s-]", "", value)
    if re.fullmatch(r"[0-9]{10}", digits):
        return " ".join((digits[:3], digits[3:6], digits[6:]))
    return value
