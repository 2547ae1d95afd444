"""A CodeableConcept as the words a reader sees."""

import re

from clinicportal.texts import gettext as _
from records.display import fhir
from records.display.words import clean

# SNOMED CT's fully specified names end in the kind of thing they name: of use to terminologists.
_SEMANTIC_TAG = re.compile(
    r" \((disorder|finding|situation|procedure|regime/therapy|substance|product|medicinal product|clinical drug|"
    r"body structure|qualifier value|observable entity|morphologic abnormality|event|organism|physical object|"
    r"environment|person|occupation|dose form|record artifact|context-dependent category)\)$",
    re.IGNORECASE,
)


def text_of(concept: object, *, missing: str = "") -> str:
    """What a concept is called: its text, else the display that its author picked, else any display, else its code.

    `missing` is said when it has none of them.
    """
    held = fhir.mapping(concept)
    return _plain(clean(held.get("text"))) or _coded_name(held) or missing


def _coded_name(concept: fhir.Json) -> str:
    codings = fhir.mappings(concept.get("coding"))
    # False sorts first: the coding that a person picked.
    for coding in sorted(codings, key=lambda coding: coding.get("userSelected") is not True):
        if clean(coding.get("display")):
            return _plain(clean(coding.get("display")))
    code = next((code for _system, code in fhir.codings(concept)), "")
    return _("Code %(code)s") % {"code": code} if code else ""


def _plain(name: str) -> str:
    return _SEMANTIC_TAG.sub("", name)


def coding_text(coding: object) -> str:
    """Like `text_of`, for an element that is one Coding (Encounter.class)."""
    return text_of({"coding": [coding]}) if isinstance(coding, dict) else ""


def texts_of(concepts: object) -> tuple[str, ...]:
    return tuple(filter(None, map(text_of, fhir.mappings(concepts))))


def referred(reference: object) -> str:
    """The name that a Reference gives for what it points at, or ""."""
    held = fhir.mapping(reference)
    return clean(held.get("display")) or clean(fhir.mapping(held.get("identifier")).get("value"))


def names_of(references: object) -> str:
    """The names of several referenced people or places, as one text; "" without references.

    A reference may come without a name, to something that a reader of charts does not see: then that is said, since
    "not recorded" would be untrue.
    """
    held = fhir.mappings(references)
    named = list(dict.fromkeys(filter(None, (without_synthetic_digits(referred(one)) for one in held))))
    return joined(named) or (_("Name not sent") if any(map(fhir.reference_key, held)) else "")


def joined(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return _("%(most)s and %(last)s") % {"most": ", ".join(parts[:-1]), "last": parts[-1]}


# Synthea ends each part of a name with digits (Emery884 Johnston597), so that nobody takes them for real.
SYNTHETIC_PART = re.compile(r"\b([^\W\d_]{2,})\d{1,4}\b")


def without_synthetic_digits(display: str) -> str:
    """A name in one text, fit for show. One part with digits may be a code or a ward; two are Synthea's."""
    return SYNTHETIC_PART.sub(r"\1", display) if len(SYNTHETIC_PART.findall(display)) >= 2 else display


def notes(resource: fhir.Json) -> tuple[str, ...]:
    """The annotations of a resource, in their order."""
    return tuple(filter(None, (clean(note.get("text")) for note in fhir.mappings(resource.get("note")))))
