"""Elements of a resource, whatever shape they have."""

from __future__ import annotations

from typing import Any

from records.importing.references import Addresses


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def one_or_many(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def target_of(reference: Any, addresses: Addresses) -> str | None:
    """`Type/id` of a Reference element; None when it has none that we know."""
    literal = reference.get("reference") if reference else None
    return addresses.find(literal) if literal else None
