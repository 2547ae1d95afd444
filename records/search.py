"""Finding a patient in a list by what a person types: part of a name, a birth date, a number.

Behind the wall only `=`, `<` and `>=` use an index, so what was typed is folded like the tokens that the importer
wrote (records/tokens.py) and compared as a prefix.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from django.db.models import Exists, OuterRef, QuerySet

from records import tokens
from records.models import Patient, PatientToken

LONGEST = 100
MOST_TERMS = 6

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ISO = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_NAMED_MONTH = re.compile(rf"\b(\d\d?)[ ./-]?({'|'.join(_MONTHS)})[a-z]*[ ./-]?(\d{{4}})\b", re.IGNORECASE)
_NUMBERED = re.compile(r"\b(\d\d?)[./-](\d\d?)[./-](\d{4})\b")
_NUMBER = re.compile(r"\b\d(?:[ -]?\d){2,}\b")
_AFTER_ALL = "\U0010ffff"


def terms(text: str) -> list[str]:
    """The folded terms in `text`, of which a patient must have all: dates as 1945-07-14, numbers without spaces, words.

    A date is read as day, month, year, as it stands on our pages. Nothing readable gives an empty list.
    """
    text, found = text[:LONGEST], []
    for pattern, order in ((_ISO, (1, 2, 3)), (_NAMED_MONTH, (3, 2, 1)), (_NUMBERED, (3, 2, 1))):
        for match in pattern.finditer(text):
            day = _date(*(match[part] for part in order))
            if day:
                found.append(day)
                text = text.replace(match[0], " ")
    for match in _NUMBER.finditer(text):
        found.append(tokens.identifier(match[0]))
        text = text.replace(match[0], " ")
    return [*found, *tokens.words(text)][:MOST_TERMS]


def _date(year: str, month: str, day: str) -> str:
    number = _MONTHS.index(month.lower()) + 1 if month.isalpha() else int(month)
    try:
        return date(int(year), number, int(day)).isoformat()
    except ValueError:
        return ""


def bounds(term: str) -> dict[str, str]:
    """Between which two texts lie those that begin with `term`."""
    return {"from": term, "to": term + _AFTER_ALL}


def matching(patients: QuerySet[Patient], wanted: Sequence[tuple[str, str]]) -> QuerySet[Patient]:
    """Those of `patients` that have, for each pair of bounds, a name, birth date or number between them."""
    for first, end in wanted:
        held = PatientToken.objects.filter(patient=OuterRef("pk"), token__gte=first, token__lt=end)
        patients = patients.filter(Exists(held))
    return patients
