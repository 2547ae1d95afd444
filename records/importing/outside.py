"""Which results a page may flag: all that it flags, and some more, since ranges are for whom they say (ranges.py)."""

from __future__ import annotations

from typing import Any


def may_be_flagged(observation: dict[str, Any]) -> bool:
    """Whether an Observation, or a component of it, says that it is unusual or lies outside a range that it gives.

    Of an element in a shape that nobody expects it is True: a page looks at it, and shows it if there is something.
    """
    try:
        return judged(observation) or any(judged(part) for part in observation.get("component") or ())
    except (AttributeError, TypeError):
        return True


def judged(element: dict[str, Any]) -> bool:
    if interpretations := element.get("interpretation"):
        return not all(is_normal(concept) for concept in interpretations)
    ranges = element.get("referenceRange")
    if not ranges:
        return False
    quantity = element.get("valueQuantity")
    if quantity is None:
        return "valueInteger" in element or "valueDecimal" in element
    value = quantity.get("value")
    return value is not None and any(beyond(value, one) for one in ranges)


def is_normal(concept: dict[str, Any]) -> bool:
    return [coding.get("code") for coding in concept.get("coding") or ()] == ["N"]


def beyond(value: Any, given: dict[str, Any]) -> bool:
    """Whether it is on a limit or outside: "<5" is below 5. Raises TypeError for what is no number."""
    low, high = (limit_of(given, end) for end in ("low", "high"))
    return (low is not None and value - low <= 0) or (high is not None and value - high >= 0)


def limit_of(given: dict[str, Any], end: str) -> Any:
    limit = given.get(end)
    return limit.get("value") if limit else None
