"""The ids of resources and patients: derived from where they come from, so references resolve without a look-up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from uuid import UUID, uuid5


def resource_id(source_id: UUID, target: str) -> UUID:
    """The id here of `target` (`Type/id`, without a version) in a source; a Patient's is its resource's too."""
    return uuid5(source_id, target)


VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""Of a UUID: two bits of its 17th digit are given."""


def texts_of_ids(source_id: UUID) -> Callable[[str], str]:
    """`resource_id` for one source, as text: for the importer, to which making UUID objects is a tenth of its work."""
    namespace = hashlib.sha1(source_id.bytes, usedforsecurity=False)

    @lru_cache(maxsize=8192)  # neighbouring lines name the same patient and encounter
    def text_of_id(target: str) -> str:
        digest = namespace.copy()
        digest.update(target.encode())
        text = digest.hexdigest()
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{VARIANTS[text[16]]}{text[17:20]}-{text[20:32]}"

    return text_of_id


def uuid_of(text: str) -> UUID | None:
    """An id of ours that somebody typed or that stands in an address; None for anything else."""
    try:
        return UUID(text)
    except ValueError:
        return None
