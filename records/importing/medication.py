"""What a Medication says that it is: kept beside what refers to it, so that both have one rule and one reading.

Only that: not its batch, its maker, its narrative, nor anything that may name somebody.
"""

from __future__ import annotations

from typing import Any

import orjson

KEPT = ("code", "form", "ingredient", "amount")
DELETED_AT_SOURCE = "urn:clinicportal:deleted-at-source"
DELETED = f"""
'{{"extension":[{{"url":"{DELETED_AT_SOURCE}","valueBoolean":true}}]'
|| coalesce(',' || nullif(substr(medication, 2), ''), '}}')
"""
"""What is told of a Medication that its source has deleted: what it last was, and that it is deleted."""
LONGEST = 20_000
"""Characters; a product has a few hundred. A longer one is left to the name in the reference."""


def said(medication: dict[str, Any]) -> str:
    """JSON of the elements in KEPT, with labels, the substances that ingredients refer to, and that it is an error
    if it is; "" for nothing."""
    found = {name: medication[name] for name in KEPT if medication.get(name)}
    if substances := [
        {name: one[name] for name in ("resourceType", "id", "code") if name in one}
        for one in medication.get("contained") or ()
        if one.get("resourceType") in ("Substance", "Medication")
    ]:
        found["contained"] = substances
    if medication.get("status") == "entered-in-error":
        found["status"] = medication["status"]
    if security := (medication.get("meta") or {}).get("security"):
        found["meta"] = {"security": security}
    told = orjson.dumps(found).decode() if found else ""
    return told if len(told) <= LONGEST else ""
