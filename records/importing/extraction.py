"""What is taken out of a resource's text into columns: whose it is, when, what, how it stands, how sensitive.

A resource may have any of these in another shape than FHIR R4 gives it; then it is refused as a whole
(`wrong-shape`), since what cannot be read cannot be labelled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from django.utils import timezone

from records import labels, tokens
from records.display import names
from records.ids import texts_of_ids
from records.importing import medication, shapes
from records.importing.columns import OTHER, PATIENT_FIELDS, SHAPES, Shape
from records.importing.contents import CONTENTS, MOST_HELD, NAMING, contents_of
from records.importing.elements import one_or_many, target_of, text
from records.importing.outside import may_be_flagged
from records.importing.parsing import Reason, Unreadable
from records.importing.reading import Arrived
from records.importing.references import DIRECTORY_TYPES, Addresses, by_token, conditional, in_text
from records.label_rules import classes_by_code, rules
from records.models import Patient, Source
from records.sections import section_of
from records.times import start_of

RULES = b"4"
"""Part of every digest. Raise it when this module, columns.py, contents.py, sections.py or labels.py read the same text
differently: the next import of the same files then brings the columns up to date."""


@dataclass(slots=True)
class Taken:
    """All that one resource adds to the database. References to patients are `Type/id` or conditional."""

    id: str
    type: str
    fhir_id: str
    section: str | None
    patient_id: str | None
    labelled_by: frozenset[str]
    """What sets each of its own labels (records/labels.py)."""
    holds: str
    """As PostgreSQL writes an array: it is empty for nearly all, and compared more than read."""
    version_id: str
    last_updated: datetime | None
    digest: bytes
    raw: bytes
    line: bytes
    """The columns of LINE, as COPY reads them."""
    patient: Patient | None = None
    tokens: frozenset[str] = frozenset()
    links: tuple[tuple[str, str], ...] = ()
    """(kind, `Patient/id`) of a Patient's links, as it says them."""
    about: str | None = None
    """`Patient/id` of the patient whose resource it is."""
    others: frozenset[str] = frozenset()
    """`Patient/id` of further patients whom it names."""
    awaits: frozenset[str] = frozenset()
    """Conditional references that point at nothing we know yet."""
    called: tuple[str, str] | None = None
    """Of an entry of a directory: its name, and `Type/id` of whom to ask for one."""
    consent: dict[str, Any] | None = field(default=None, repr=False)
    digest_as_sent: bytes = b""
    """Before references were written anew whose targets an earlier run brought; empty when none were."""

    def further(self) -> set[str]:
        """`Patient/id` of everybody whom it names, its own patient apart."""
        return {*self.others, *(target for _, target in self.links)} if self.others or self.links else set()


LINE = (
    "id", "type", "fhir_id", "section", "code", "label", "time", "status", "may_be_flagged", "encounter_id", "holds",
    "version_id", "last_updated", "rules", "medication", "digest", "raw",
)  # fmt: skip


class Extraction:
    """Takes resources of one source apart."""

    def __init__(self, source: Source) -> None:
        self.source_id, self.mrn_system = source.pk, source.mrn_system
        self.of_source = frozenset(source.classes)
        self.id_of = texts_of_ids(source.pk)
        self.moment_of = lru_cache(maxsize=8192)(moment_of)
        self.version = str(rules().version)
        self.rules = b"%s|%s|%s" % (RULES, self.version.encode(), ",".join(sorted(self.of_source)).encode())
        self.unlabelled = hashlib.sha256(self.rules + b"||")

    def take(self, arrived: Arrived) -> Taken:
        """Raises Unreadable when an element has not the shape that FHIR R4 gives it."""
        try:
            return self._take(arrived)
        except (AttributeError, TypeError, KeyError, IndexError, ValueError):
            detail = f"{arrived.type}: an element has not the shape that FHIR R4 gives it"
            raise Unreadable(Reason.WRONG_SHAPE, detail) from None

    def _take(self, arrived: Arrived) -> Taken:
        resource, raw, kind = arrived.document, arrived.raw, arrived.type
        shapes.check(resource)
        shape = SHAPES.get(kind, OTHER)
        section = section_of(resource)
        escapes = b"\\" in raw and b"\\u" in raw  # any word may hide behind one
        labelled_by = labels.set_by(
            text=labels.own_classes(resource, inline=escapes or INLINE_LABEL in raw), bundle=arrived.classes,
            source=self.of_source, code=classes_by_code(resource), version=self.version,
        )  # fmt: skip
        about, awaits = about_of(resource, arrived, shape)
        others = NO_ONE
        plain = orjson.dumps(resource) if escapes else raw
        if names_others(plain, kind, about):
            logical = by_identifiers(resource) if b'"Patient"' in plain else []
            # What is in no section is shown to no one, whoever else it is about; a Provenance gets its section later.
            if section or kind == "Provenance":
                others = others_in(plain, logical, arrived.addresses, about)
            if logical:
                awaits |= waiting_for(logical, arrived.addresses)
        if b"?" in plain and b"?identifier=" in plain:
            awaits |= waiting_for(in_text(plain), arrived.addresses)
        refuse_crowd(len(awaits) + len(others))
        system, code, label = code_of(resource, shape.code)
        meta = resource.get("meta") or NOTHING
        version_id, last_updated = text(meta.get("versionId"))[:64], start_of(meta.get("lastUpdated"))
        holds = "{}"
        if kind in CONTENTS or not NAMING.isdisjoint(resource):
            contents = [self.id_of(target) for target in contents_of(resource, arrived.addresses)]
            if len(contents) > MOST_HELD:
                detail = f"refers to more than {MOST_HELD:,} resources that it may repeat"
                raise Unreadable(Reason.TOO_LARGE, detail)
            holds = as_array(contents)
        digest = self.digest_of(raw, arrived.classes)
        id = self.id_of(f"{kind}/{arrived.fhir_id}")
        columns = "\t".join((
            id,
            kind,
            arrived.fhir_id,
            section or NULL,
            escaped(f"{system}|{code}"[:120]) if code else "",
            escaped(label[:300]),
            first_time(resource, shape.time, self.moment_of),
            escaped(status_of(resource, shape.status)[:40]),
            "t" if kind == "Observation" and may_be_flagged(resource) else "f",
            self.encounter_of(resource, arrived) or NULL,
            holds,
            escaped(version_id),
            last_updated.isoformat() if last_updated else NULL,
            self.version,
            escaped(medication.said(resource)) if kind == "Medication" else "",
            f"\\\\x{digest.hex()}\t",
        ))  # fmt: skip
        taken = Taken(
            id, kind, arrived.fhir_id, section, self.id_of(about) if about else None, labelled_by, holds, version_id,
            last_updated, digest, raw, columns.encode() + escaped_bytes(raw), about=about, others=others, awaits=awaits,
        )  # fmt: skip
        if arrived.type == "Patient":
            taken.tokens = frozenset(tokens.of_patient(resource))
            taken.patient = patient_columns(resource, taken, self.source_id, self.mrn_system)
            taken.links = tuple(links_of(resource, arrived.addresses))
            refuse_crowd(len(taken.links))
        elif arrived.type == "Consent":
            taken.consent = resource
        elif arrived.type in DIRECTORY_TYPES:
            taken.called = names.of_directory(resource)
        return taken

    def digest_of(self, raw: bytes, outer: Iterable[str]) -> bytes:
        """Of the text and of all else that decides the columns: the rules, and labels on the Bundle around it."""
        if outer:
            digest = hashlib.sha256(b"%s|%s|" % (self.rules, ",".join(sorted(outer)).encode()))
        else:
            digest = self.unlabelled.copy()
        digest.update(raw)
        return digest.digest()

    def encounter_of(self, resource: dict[str, Any], arrived: Arrived) -> str | None:
        context = resource.get("encounter") or resource.get("context")
        if isinstance(context, dict) and isinstance(context.get("encounter"), list):  # DocumentReference.context
            context = (context["encounter"] or [None])[0]
        target = target_of(context, arrived.addresses) if isinstance(context, dict) else None
        return self.id_of(target) if target and target.startswith("Encounter/") else None


INLINE_LABEL = labels.INLINE_LABEL.encode()
NULL = "\\N"
"""As COPY reads it."""
NO_ONE: frozenset[str] = frozenset()
NOTHING: dict[str, Any] = {}


def escaped(value: str) -> str:
    """`value` as COPY reads it back."""
    if value.isprintable() and "\\" not in value:
        return value
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def escaped_bytes(raw: bytes) -> bytes:
    if b"\\" in raw:
        raw = raw.replace(b"\\", b"\\\\")
    if b"\t" in raw or b"\r" in raw:  # white space between tokens; line ends are gone already
        raw = raw.replace(b"\t", b"\\t").replace(b"\r", b"\\r")
    return raw


def moment_of(value: Any) -> str:
    """A FHIR date or time as COPY reads it; empty for what is none."""
    time = start_of(value)
    return time.isoformat() if time else ""


def as_array(items: Collection[object]) -> str:
    """A PostgreSQL array of words that need no quotes (classes, UUIDs)."""
    return "{" + ",".join(sorted({str(item) for item in items})) + "}" if items else "{}"


def from_array(array: str) -> list[str]:
    return array[1:-1].split(",") if array != "{}" else []


# ---------------------------------------------------------------- whose


def about_of(resource: dict[str, Any], arrived: Arrived, shape: Shape) -> tuple[str | None, frozenset[str]]:
    """`Patient/id` of the patient whose resource this is, or the conditional reference that must be known first."""
    if arrived.type == "Patient":
        return f"Patient/{arrived.fhir_id}", NO_ONE
    for reference in subjects_of(resource, shape):
        target, awaited = patient_in(reference, arrived.addresses)
        if target or awaited:
            return target, frozenset({awaited}) if awaited else NO_ONE
    return None, NO_ONE


def subjects_of(resource: dict[str, Any], shape: Shape) -> Iterator[dict[str, Any]]:
    """The References that may say whose a resource is."""
    kind = resource["resourceType"]
    if kind == "Provenance":
        targets = [target for target in resource.get("target") or () if "Patient/" in target.get("reference", "")]
        yield from targets if len(targets) == 1 else ()
    elif kind == "Appointment":
        yield from (one["actor"] for one in resource.get("participant") or () if one.get("actor"))
    elif kind == "Binary":
        yield from one_or_many(resource.get("securityContext"))
    elif kind in SHAPES:
        yield from one_or_many(resource.get(shape.patient))
    else:
        for name in PATIENT_FIELDS:
            yield from (one for one in one_or_many(resource.get(name)) if isinstance(one, dict))


def patient_in(reference: dict[str, Any], addresses: Addresses) -> tuple[str | None, str | None]:
    """(`Patient/id`, None), or (None, a conditional reference) for a patient known by identifier only."""
    asked = reference.get("reference") or by_identifier(reference)
    if not asked:
        return None, None
    target = addresses.find(asked)
    if target:
        return (target, None) if target.startswith("Patient/") else (None, None)
    key = conditional(asked)
    return None, by_token(*key)[:500] if key and key[0] == "Patient" else None


def by_identifier(reference: dict[str, Any]) -> str | None:
    """The conditional reference that a logical reference to a patient amounts to."""
    identifier = reference.get("identifier")
    if not identifier or reference.get("type", "Patient") != "Patient":
        return None
    return by_token("Patient", f"{identifier.get('system', '')}|{identifier.get('value', '')}")


def names_others(raw: bytes, kind: str, about: str | None) -> bool:
    """Whether the text may name a patient other than `about`; almost always answered by counting one word."""
    if kind == "Patient":  # its links are rows of their own
        return False
    mentions = raw.count(b"Patient")
    if mentions != 1 or not about:
        return mentions > 0
    name = about.encode()
    return name + b'"' not in raw and name + b"/_history/" not in raw


MOST_NAMED = 10_000
"""Further patients, links, or references that wait for what they point at, of one resource: each is a row."""


def refuse_crowd(number: int) -> None:
    if number > MOST_NAMED:
        raise Unreadable(Reason.TOO_LARGE, f"names more than {MOST_NAMED:,} patients besides its own")


def others_in(raw: bytes, logical: list[str], addresses: Addresses, about: str | None) -> frozenset[str]:
    """`Patient/id` of the patients anywhere in the text, or named by what `by_identifiers` found, but for `about`."""
    asked = [*in_text(raw), *logical]
    targets = {target for one in asked if (target := addresses.find(one)) and target.startswith("Patient/")}
    return frozenset(targets - {about})


def waiting_for(asked: Iterable[str], addresses: Addresses) -> frozenset[str]:
    """Those of the references `asked` that are conditional and whose targets are not known."""
    keys = {key for one in asked if (key := conditional(one)) and not addresses.find(one)}
    return frozenset(by_token(*key)[:500] for key in keys)


def by_identifiers(resource: dict[str, Any]) -> list[str]:
    """What `by_identifier` says of every reference that says it is of a patient."""
    return [asked for reference in logical_references(resource) if (asked := by_identifier(reference))]


def logical_references(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """References that say they are of a patient and carry an identifier only. Not recursive: depth is the sender's."""
    waiting: list[Any] = [resource]
    while waiting:
        element = waiting.pop()
        if isinstance(element, dict):
            if element.get("type") == "Patient" and "identifier" in element and "reference" not in element:
                yield element
            waiting.extend(element.values())
        elif isinstance(element, list):
            waiting.extend(element)


# ---------------------------------------------------------------- what, when, how it stands


def code_of(resource: dict[str, Any], paths: tuple[str, ...]) -> tuple[str, str, str]:
    """(system, code, words) of the first element in `paths` that says anything."""
    for path in paths:
        for concept in one_or_many(resource.get(path)):
            if isinstance(concept, str):
                return "", "", concept
            codings = concept.get("coding") or ([concept] if "code" in concept else ())
            first, words = NOTHING, concept.get("text")
            for coding in codings:
                if not first and coding.get("code"):
                    first = coding
                if not words:
                    words = coding.get("display")
            if first or words:
                code = text(first.get("code"))
                return text(first.get("system")), code, text(words) or code
    if "medicationReference" in resource:
        return medication_of(resource)
    return "", "", ""


def medication_of(resource: dict[str, Any]) -> tuple[str, str, str]:
    """The drug in a contained Medication; else what the reference says about it."""
    reference = resource["medicationReference"]
    for contained in resource.get("contained") or ():
        if reference.get("reference") == f"#{contained.get('id')}" and contained.get("resourceType") == "Medication":
            return code_of(contained, ("code",))
    return "", "", text(reference.get("display"))


def status_of(resource: dict[str, Any], paths: tuple[str, ...]) -> str:
    """The status as a code. A record entered in error or refuted is that, whatever its clinical status says."""
    if "verificationStatus" in resource:
        verification = code_in(resource["verificationStatus"])
        if verification in ("entered-in-error", "refuted"):
            return verification
    for path in paths:
        if code := code_in(resource.get(path)):
            return code
    return ""


def code_in(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and (codings := value.get("coding")):
        return text(codings[0].get("code"))
    return ""


LONGEST_TIME = 40
"""Characters of a dateTime: "2026-11-25T07:00:00.123456789+01:00" has 35. What is kept in memory is no longer."""


def first_time(resource: dict[str, Any], paths: tuple[str, ...], moment_of: Callable[[Any], str]) -> str:
    for path in paths:
        if value := resource.get(path):
            if type(value) is dict:
                value = value.get("start") or value.get("end")
            if type(value) is str and len(value) <= LONGEST_TIME and (time := moment_of(value)):
                return time
    return NULL


# ---------------------------------------------------------------- patients

NAME_ORDER = {"official": 0, "usual": 1, None: 2, "nickname": 3, "anonymous": 4, "temp": 5, "maiden": 6, "old": 7}


def patient_columns(resource: dict[str, Any], taken: Taken, source_id: UUID, mrn_system: str) -> Patient:
    """The columns of a FHIR Patient: the name in use, and dates as precise as they are known."""
    name: dict[str, Any] = min(resource.get("name") or ({},), key=lambda name: NAME_ORDER.get(name.get("use"), 2))
    family, given = text(name.get("family")), " ".join(part for part in name.get("given") or () if part)
    if not family and not given:
        family = text(name.get("text"))
    gender = resource.get("gender")
    died = resource.get("deceasedDateTime")
    return Patient(
        id=taken.id,
        source_id=source_id,
        fhir_id=taken.fhir_id,
        classes=labels.named(taken.labelled_by),
        active=resource.get("active") is not False,
        family=family[:200],
        given=given[:200],
        title=" ".join(part for part in name.get("prefix") or () if part)[:50],
        sort_name=" ".join(tokens.words(f"{family} {given}"))[:400],
        name_key=tokens.name_key(family, given),
        found_by=tokens.line(taken.tokens),
        birth_date=date_of(resource.get("birthDate")),
        gender=gender if gender in Patient.Gender.values else Patient.Gender.UNKNOWN,
        deceased=bool(died) or resource.get("deceasedBoolean") is True,
        deceased_date=date_of(text(died)[:10]),
        mrn=mrn_of(resource, mrn_system)[:64],
        received_at=timezone.now(),
    )


def date_of(value: Any) -> str:
    """A date as FHIR writes it (1990, 1990-05, 1990-05-17), or empty for what is no such date."""
    return value if isinstance(value, str) and tokens.BIRTH_DATE.fullmatch(value) and start_of(value) else ""


def mrn_of(patient: dict[str, Any], system: str) -> str:
    """Our number for the patient: of the source's own system, else the first of type MR."""
    numbers = [one for one in patient.get("identifier") or () if one.get("value")]
    for one in numbers:
        if system and one.get("system") == system:
            return one["value"]
    for one in numbers:
        if not system and any(coding.get("code") == "MR" for coding in (one.get("type") or {}).get("coding") or ()):
            return one["value"]
    return ""


def links_of(patient: dict[str, Any], addresses: Addresses) -> Iterator[tuple[str, str]]:
    for link in patient.get("link") or ():
        target = target_of(link.get("other"), addresses)
        if target and target.startswith("Patient/"):
            yield link.get("type", ""), target
