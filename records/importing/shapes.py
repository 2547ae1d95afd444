"""Whether a resource is built as FHIR R4 says: its elements in the right kinds of JSON, its narrative with a text.

Pages, labels and rules read these elements; what has another shape could be read wrongly by one of them, so the
resource is refused as a whole. The kinds are data (shapes.toml). Only the first level is looked at, which costs a
hundredth of what full models do. What FHIR does not name (extensions of a vendor, elements of a later version) is let
through and kept, and so is what lacks an element that FHIR wants: half a record is better than none.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from records.importing.parsing import Reason, Unreadable

DATA = Path(__file__).with_name("shapes.toml")
KINDS: dict[str, type] = {"texts": str, "numbers": float, "booleans": bool, "objects": dict}


@cache
def all_shapes() -> dict[str, dict[str, tuple[type, type]]]:
    """For each type: its elements, each with the Python type of its value and, for a list, of its items."""
    tables = tomllib.loads(DATA.read_text())
    everywhere = elements(tables.pop("every-type"))
    return {name: {**everywhere, **elements(table)} for name, table in tables.items()}


def elements(table: dict[str, str]) -> dict[str, tuple[type, type]]:
    found = {}
    for kind, names in table.items():
        one = KINDS[kind.removeprefix("lists_of_")]
        outer = list if kind.startswith("lists_of_") else one
        found.update(dict.fromkeys(names.split(), (outer, one)))
    return found


def check(resource: dict[str, Any]) -> None:
    """Raises Unreadable, with the name of the element and never its value."""
    kind = resource["resourceType"]
    expected = all_shapes()[kind]
    for name, value in resource.items():
        shape = expected.get(name)
        if shape is not None and value is not None:
            outer, one = shape
            if type(value) is not outer and not (outer is float and type(value) is int):
                raise wrong(kind, name)
            if one is dict and outer is list:
                for item in resource[name]:
                    if type(item) is not dict:
                        raise wrong(kind, name)
    if (narrative := resource.get("text")) and type(narrative.get("div")) is not str:
        raise wrong(kind, "text.div")
    if kind == "Questionnaire":
        check_links(resource)


def check_links(questionnaire: dict[str, Any]) -> None:
    """An answer names its question by linkId: without one, answers stand beside the wrong words."""
    items = list(questionnaire.get("item") or ())
    while items:
        item = items.pop()
        if not isinstance(item.get("linkId"), str):
            raise wrong("Questionnaire", "item.linkId")
        items += item.get("item") or ()


def wrong(kind: str, name: str) -> Unreadable:
    return Unreadable(Reason.WRONG_SHAPE, f"{kind}.{name} has not the shape that FHIR R4 gives it")
