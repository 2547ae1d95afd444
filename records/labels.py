"""What security labels mean here: `meta.security` of a FHIR resource to the classes that a grant must name.

Systems: HL7 v3-Confidentiality, v3-ActCode (sensitivities, policies, compartments), v3-ActReason,
v3-ObservationValue. Whatever is not understood hides the resource: an unknown code, an unknown system, a
label without a code, a label of another shape than FHIR's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from records.models import SensitiveClass

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
CONFIDENTIALITY = "v3-Confidentiality"
ACT_CODE = "v3-ActCode"
ACT_REASON = "v3-ActReason"
OBSERVATION_VALUE = "v3-ObservationValue"

# The same code systems under the names that older feeds use.
SYSTEMS = {
    **{TERMINOLOGY + name: name for name in (CONFIDENTIALITY, ACT_CODE, ACT_REASON, OBSERVATION_VALUE)},
    "http://hl7.org/fhir/v3/Confidentiality": CONFIDENTIALITY,
    "http://hl7.org/fhir/v3/ActCode": ACT_CODE,
    "http://hl7.org/fhir/v3/ActReason": ACT_REASON,
    "http://hl7.org/fhir/v3/ObservationValue": OBSERVATION_VALUE,
    "urn:oid:2.16.840.1.113883.5.25": CONFIDENTIALITY,
    "urn:oid:2.16.840.1.113883.5.4": ACT_CODE,
    "urn:oid:2.16.840.1.113883.5.8": ACT_REASON,
    "urn:oid:2.16.840.1.113883.5.1063": OBSERVATION_VALUE,
}

RAISED = {"R", "V"}
"""Confidentiality that wants a reason: with a sensitivity beside it that class counts, alone it is RESTRICTED."""

SENSITIVITY: dict[str, SensitiveClass] = {
    code: sensitive_class
    for sensitive_class, codes in {
        SensitiveClass.MENTAL_HEALTH: "BH PSY MH COGN DVD EMOTDIS",
        SensitiveClass.PSYCHOTHERAPY: "PSYTHPN",
        SensitiveClass.SUBSTANCE_USE: "ETH SUD ETHUD OPIOIDUD 42CFRPart2",
        SensitiveClass.SEXUAL_HEALTH: "SEX STD",
        SensitiveClass.HIV: "HIV",
        SensitiveClass.VIOLENCE: "SDV VIO MST",
        SensitiveClass.GENETIC: "GDIS SCA SICKLE",
        SensitiveClass.OTHER: "SPI TBOO DIA DRGIS ADOL CEL EMP PDS PHY PRS DEMO DOB GENDER LIVARG MARST RACE REL"
        " B EMPL LOCIS SSP",
    }.items()
    for code in codes.split()
}

# Labels that ask nothing of who may read: how a recipient treats what it has (no redisclosure, no further use,
# marks to keep), duties that this portal fulfils for everyone (a legitimate relationship, an agreement, our
# organisation's leave), integrity, and that it is test data or meant for treatment. Not here, so hidden: NODSCLCD
# and NOAUTH (no disclosure without consent), ORCON, the care-team and research compartments, other purposes.
HANDLING: dict[str, set[str]] = {
    CONFIDENTIALITY: {"U", "L", "M", "N"},
    ACT_CODE: {
        "NORDSCLCD", "NORDSCLW", "NOINTEGRATE", "NOPERSISTP", "NOREUSE", "NOVIP", "NOPAT", "NOMOU", "NOORGPOL",
        "DELAU", "PRIVMARK", "PERSISTLABEL", "LRCOMPT",
    },
    ACT_REASON: {"TREAT", "ETREAT", "BTG", "HTEST"},
    OBSERVATION_VALUE: {"REDACTED", "MASKED", "SUBSETTED"},
}  # fmt: skip


def classes_of_labels(labels: Any) -> set[SensitiveClass]:
    """The classes that the value of `meta.security` stands for; empty for none."""
    if labels is None:
        return set()
    if not isinstance(labels, list):
        return {SensitiveClass.UNKNOWN}
    classes: set[SensitiveClass] = set()
    raised = False
    for label in labels:
        system, code = system_and_code(label)
        if system == CONFIDENTIALITY and code in RAISED:
            raised = True
        elif system == ACT_CODE and code in SENSITIVITY:
            classes.add(SENSITIVITY[code])
        elif code not in HANDLING.get(system, ()):
            classes.add(SensitiveClass.UNKNOWN)
    if raised and not classes:
        classes.add(SensitiveClass.RESTRICTED)
    return classes


def system_and_code(label: Any) -> tuple[str, str]:
    """The code system's short name and the code; empty text for what cannot be read."""
    if not isinstance(label, dict):
        return "", ""
    system, code = label.get("system"), label.get("code")
    return (SYSTEMS.get(system, "") if isinstance(system, str) else ""), (code if isinstance(code, str) else "")


INLINE_LABEL = "inline-sec-label"
"""Last part of the url of HL7 DS4P's extension that labels a single element."""


def own_classes(resource: dict[str, Any], *, inline: bool = False) -> set[SensitiveClass]:
    """The classes of a resource by the labels in its text, those of contained resources included.

    `inline` also looks for labels on single elements (HL7 DS4P), wherever they are; it walks the whole resource.
    """
    classes = classes_of_meta(resource)
    for contained in resource.get("contained") or ():
        classes |= classes_of_meta(contained)
    if inline:
        classes |= classes_of_labels(inline_labels(resource))
    return classes


def classes_of_meta(resource: dict[str, Any]) -> set[SensitiveClass]:
    meta = resource.get("meta")
    return classes_of_labels(meta.get("security")) if meta else set()


def inline_labels(resource: dict[str, Any]) -> list[Any]:
    """The codings of every inline label in `resource`. Not recursive: depth is the sender's choice."""
    found: list[Any] = []
    waiting: list[Any] = [resource]
    while waiting:
        element = waiting.pop()
        if isinstance(element, dict):
            if str(element.get("url", "")).endswith(INLINE_LABEL):
                found.append(element.get("valueCoding"))
            waiting.extend(element.values())
        elif isinstance(element, list):
            waiting.extend(element)
    return found


# ---------------------------------------------------------------- what sets a label

BUNDLE, REQUEST = "bundle", "request"
"""Ways that the text alone does not show: they outlast a new reading of it."""
NOBODY: frozenset[str] = frozenset()


def set_by(
    *, text: Iterable[str], bundle: Iterable[str], source: Iterable[str], code: Iterable[str], version: str
) -> frozenset[str]:
    """What `Resource.labelled_by` says: how each label came ("text: hiv", "rules 3: hiv", "source: hiv")."""
    if not (text or bundle or source or code):
        return NOBODY
    return frozenset(
        [
            *(f"text: {name}" for name in text),
            *(f"{BUNDLE}: {name}" for name in bundle),
            *(f"source: {name}" for name in source),
            *(f"rules {version}: {name}" for name in code),
        ]
    )


def named(labelled_by: Iterable[str]) -> list[str]:
    """The classes in `labelled_by`, sorted, as `own_classes` holds them."""
    return sorted({how.rsplit(": ", 1)[1] for how in labelled_by})


def united(*several: Iterable[str]) -> list[str]:
    """One sorted list of classes without doubles, as the columns hold it."""
    return sorted({str(name) for names in several for name in names})
