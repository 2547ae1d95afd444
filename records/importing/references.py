"""What a reference in a feed points at: every style in use, to `Type/id` within the source.

Styles: `Type/id`, `Type/id/_history/n`, absolute URLs (the source's own base, or an entry of the same Bundle),
`urn:uuid:…` (an entry of the same Bundle), conditional `Type?identifier=system|value`, `#contained`.

References that nobody outside of the Bundle or the request could follow are rewritten in the text, as FHIR asks
of every server that takes a transaction; nothing else in the text changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote

import orjson

IN_TEXT = re.compile(rb'("reference"\s*:\s*")([^"\\]*+(?:\\.[^"\\]*+)*+)(?=")', re.DOTALL)
FOREIGN = re.compile(rb'"reference"\s*:\s*"(?:urn:|https?:|[A-Za-z]+\?)')
LITERAL = re.compile(r"([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?identifier=([^&]*)")

DIRECTORY_TYPES = frozenset({"Organization", "Practitioner", "PractitionerRole", "Location", "HealthcareService"})
"""Named by nearly everything, and mostly few: their identifiers are kept in memory while an import runs."""
MOST_IN_MEMORY = 50_000
"""Identifiers, 12 MB. References to others wait for the process that writes, which asks the database."""


LONGEST = 250
"""Characters of a reference of our own style: two ids of 64, a type, `_history`. None that is kept is longer."""


def literal(reference: str) -> str | None:
    """`Type/id` of a literal reference, without a version; None for every other style."""
    return found_literal(reference) if len(reference) <= LONGEST else None


@lru_cache(maxsize=8192)  # neighbouring lines name the same patient and encounter
def found_literal(reference: str) -> str | None:
    match = LITERAL.fullmatch(reference)
    return match[1] if match else None


LONGEST_TOKEN = 2_000
"""Characters of a conditional reference, and of an identifier with its system that one can name."""
MOST = 1_000
"""Identifiers of one resource by which it can be named."""


@dataclass
class Directory:
    """Which resource has which identifier, of the types in DIRECTORY_TYPES: by `key_of`, the id at its source."""

    targets: dict[bytes, str | None] = field(default_factory=dict)
    """None: several have it, and a conditional reference must name exactly one."""
    found: dict[bytes, str | None] = field(default_factory=dict)
    """What the database says of those that are being read again: that counts before `targets`."""

    def add(self, resource: dict[str, Any]) -> None:
        fhir_id = resource["id"]
        for key in keys_of(resource):
            if key in self.targets:
                if self.targets[key] != fhir_id:
                    self.targets[key] = None
            elif len(self.targets) < MOST_IN_MEMORY:
                self.targets[key] = fhir_id

    def find(self, reference: str) -> str | None:
        """`Type/id` of a conditional reference, or None while there is no such resource, or several."""
        named = conditional(reference)
        if named is None:
            return None
        key = key_of(*named)
        fhir_id = self.found[key] if key in self.found else self.targets.get(key)
        return f"{named[0]}/{fhir_id}" if fhir_id else None


def keys_of(resource: dict[str, Any]) -> list[bytes]:
    """The keys of a resource's identifiers."""
    kind = resource["resourceType"]
    tokens = (
        f"{one.get('system', '')}|{one.get('value', '')}" for one in islice(resource.get("identifier") or (), MOST)
    )
    return [key_of(kind, token) for token in tokens if len(token) <= LONGEST_TOKEN]


def key_of(kind: str, token: str) -> bytes:
    """What stands for a type and an identifier ("system|value"), in memory and in the database."""
    return blake2b(f"{kind}?{token}".encode(), digest_size=16).digest()


def conditional(reference: str) -> tuple[str, str] | None:
    """(type, "system|value") of a conditional reference by identifier; None for others, and for too long ones."""
    match = CONDITIONAL.fullmatch(reference) if len(reference) <= LONGEST_TOKEN else None
    return (match[1], unquote(match[2])) if match else None


def by_token(kind: str, token: str) -> str:
    """The conditional reference to the one of `kind` with the identifier `token` ("system|value")."""
    return f"{kind}?identifier={quote(token, safe=':/|')}"


@dataclass
class Addresses:
    """How the references of one document are read: by its Bundle's entries, its source's base and directory."""

    directory: Directory
    bases: tuple[str, ...] = ()
    entries: dict[str, str] = field(default_factory=dict)  # fullUrl: Type/id

    def within(self, entries: dict[str, str]) -> Addresses:
        """The same for the entries of a Bundle. Entries at `base/Type/id` say what the Bundle's own base is."""
        bases = {url.removesuffix("/" + target) for url, target in entries.items() if url.endswith("/" + target)}
        return Addresses(self.directory, (*self.bases, *bases), entries)

    def find(self, reference: str) -> str | None:
        """`Type/id` of a reference of any style but `#contained`; None when it points at nothing we know."""
        if reference in self.entries:
            return self.entries[reference]
        for base in self.bases:
            if reference.startswith(base + "/"):
                return literal(reference[len(base) + 1 :])
        return literal(reference) or self.directory.find(reference)

    def localise(self, raw: bytes) -> bytes:
        """`raw` with `Type/id` for every reference that needs its Bundle, the base or the directory to be read."""
        if not FOREIGN.search(raw):
            return raw
        return IN_TEXT.sub(lambda match: rewritten(match, self.find), raw)


def rewritten(match: re.Match[bytes], find: Callable[[str], str | None]) -> bytes:
    """The matched part of the text, with the reference in it as `find` knows it or as it was."""
    reference = text_of(match[2])
    target = find(reference)
    if target is None or reference.startswith(target):  # the second: it is `Type/id` or a version of it already
        return match[0]
    return match[1] + target.encode()


def text_of(escaped: bytes) -> str:
    """The inside of a JSON string as text; empty for what is no JSON string."""
    if b"\\" not in escaped:
        return escaped.decode(errors="replace")
    try:
        return orjson.loads(b'"' + escaped + b'"')
    except orjson.JSONDecodeError:
        return ""


def in_text(raw: bytes) -> Iterable[str]:
    """Every reference in the text of a resource."""
    return (text_of(match[2]) for match in IN_TEXT.finditer(raw))
