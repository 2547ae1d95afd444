"""Reading FHIR JSON that may be anything: wrong types are read as absent, never as an error."""

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from records.display.words import clean

Json = dict[str, Any]

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

_LARGEST_POWER = 30
_MOST_DIGITS = 40


def load(raw: str | bytes) -> Json:
    """Parse one resource, keeping decimals as they were written: 6.0 and 6.00 are two statements of precision.

    Text that is no JSON object gives {}, which every function here shows as "not recorded".
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode(json.detect_encoding(raw))
        return mapping(_DECODER.decode(text))
    except (ValueError, RecursionError):
        return {}


def _decimal(written: str) -> Decimal | float:
    try:
        return Decimal(written)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        return float("nan")


def _integer(written: str) -> int | float:
    return int(written) if len(written) <= _MOST_DIGITS else float("nan")


_DECODER = json.JSONDecoder(parse_float=_decimal, parse_int=_integer)


def mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """`value` as a list: FHIR's lists are sometimes sent as the single thing in them."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def mappings(value: object) -> list[Json]:
    return [item for item in listed(value) if isinstance(item, dict)]


def first(value: object) -> Json:
    return next(iter(mappings(value)), {})


def texts(value: object) -> list[str]:
    return [line for line in map(clean, listed(value)) if line]


def number(value: object) -> Decimal | None:
    """The number in `value`, or None for anything that is not a number a clinic could mean."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        read = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if not read.is_finite() or len(read.as_tuple().digits) > _MOST_DIGITS:
            return None
    except (InvalidOperation, ValueError):
        return None
    return read if read == 0 or abs(read.adjusted()) <= _LARGEST_POWER else None


def whole(value: object) -> int | None:
    read = number(value)
    return int(read) if read is not None and read == read.to_integral_value() else None


def choice(resource: Json, stem: str) -> tuple[str, Any]:
    """The type and value of a `stem[x]` element: ("Quantity", {...}); ("", None) when there is none."""
    for key, value in resource.items():
        if value is not None and key.startswith(stem) and key[len(stem) : len(stem) + 1].isupper():
            return key[len(stem) :], value
    return "", None


def codings(concept: object) -> Iterator[tuple[str, str]]:
    """(system, code) of each coding that has a code."""
    for coding in mappings(mapping(concept).get("coding")):
        code = clean(coding.get("code"))
        if code:
            yield clean(coding.get("system")), code


def codes(concept: object) -> set[str]:
    return {code for _, code in codings(concept)}


def status_code(concept: object) -> str:
    """The code of a concept that holds one status, such as Condition.clinicalStatus ("" when there is none)."""
    return next((code for _, code in codings(concept)), "").lower()


def plain_code(value: object) -> str:
    """A `code` element such as Observation.status, in lower case."""
    return clean(value).lower()


def extension(element: object, url: str) -> Json:
    return next((e for e in mappings(mapping(element).get("extension")) if e.get("url") == url), {})


def absent_reason(element: object) -> str:
    """The code that says why an element has no value (the data-absent-reason extension), or ""."""
    return plain_code(extension(element, ABSENT_REASON).get("valueCode"))


def reference_key(reference: object) -> str:
    """`Type/id` (or `#id`) of a Reference, without server or version; "" when it holds none."""
    address = clean(mapping(reference).get("reference"))
    if address.startswith(("#", "urn:")):
        return address
    parts = address.split("?")[0].split("/_history/")[0].rstrip("/").split("/")
    return "/".join(parts[-2:]) if len(parts) >= 2 else ""


def plain_id(resource: Json) -> str:
    """The id of a resource at its source."""
    return clean(resource.get("id"))


def local_id(reference: object) -> str:
    """The id at the source that a Reference names, whichever way it is written: Type/id, an address, urn:uuid:id."""
    return reference_key(reference).removeprefix("urn:uuid:").rpartition("/")[2]


def referred_type(reference: object) -> str:
    """What kind of thing a Reference is about: its `type`, else the type in its address, else ""."""
    key = reference_key(reference)
    return clean(mapping(reference).get("type")) or (key.split("/")[0] if "/" in key else "")


def contained(resource: Json, reference: object) -> Json:
    """The contained resource that `reference` (`#id`) points at, or {}."""
    key = reference_key(reference)
    if not key.startswith("#"):
        return {}
    return next((r for r in mappings(resource.get("contained")) if clean(r.get("id")) == key[1:]), {})
