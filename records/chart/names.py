"""Names that references don't say: of people, organisations and places, as their source's directory has them.

One statement for a page, and none for one on which every reference says its name. A name is put where the source would
have put it (`Reference.display`), so what draws a reference need not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from clinicportal.models import User
from clinicportal.texts import gettext as _
from clinicportal.viewing import must_be_viewer
from records.compiled import run
from records.display import fhir, names
from records.ids import resource_id
from records.importing.references import DIRECTORY_TYPES

NAMES = """
SELECT n.id, coalesce(nullif(n.name, ''), whose.name, ''), n.gone OR coalesce(whose.gone, false)
FROM records_referredname n
LEFT JOIN records_referredname whose ON whose.id = n.leads_to WHERE n.id = ANY (%s)
"""


def put(bodies: Iterable[fhir.Json], source_id: UUID, *, by: User) -> None:
    """Name what the resources of a source refer to without a name. Runs inside `viewing(by)`."""
    must_be_viewer(by)
    asked: dict[UUID, list[fhir.Json]] = {}
    for body in bodies:
        for reference, key in unnamed(body):
            if key.startswith("#"):
                name(reference, names.of_directory(fhir.contained(body, reference))[0])
            else:
                asked.setdefault(resource_id(source_id, key), []).append(reference)
    for id, found, gone in run(NAMES, [list(asked)]) if asked else ():
        for reference in asked[id]:
            name(reference, _("%(name)s (no longer in the directory)") % {"name": found} if found and gone else found)


def name(reference: fhir.Json, found: str) -> None:
    if found:
        reference["display"] = found


def unnamed(body: fhir.Json) -> Iterator[tuple[fhir.Json, str]]:
    """References to a directory or something contained that don't say a name. Not recursive: depth is the sender's."""
    waiting: list[Any] = [held for element, held in body.items() if element not in ("contained", "text")]
    while waiting:
        held = waiting.pop()
        if isinstance(held, dict):
            if isinstance(held.get("reference"), str) and not held.get("display"):
                key = fhir.reference_key(held)
                if key.startswith("#") or key.split("/")[0] in DIRECTORY_TYPES:
                    yield held, key
            waiting += held.values()
        elif isinstance(held, list):
            waiting += held
