"""Finding a patient in a list by what a person types: part of a name, a birth date, a number.

What was typed is folded like the words that the importer wrote (records/tokens.py) and compared with their beginnings.
"""

from __future__ import annotations

import re
from datetime import date

from records import tokens

LONGEST = 100
MOST_TERMS = 6

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ISO = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_NAMED_MONTH = re.compile(rf"\b(\d\d?)[ ./-]?({'|'.join(_MONTHS)})[a-z]*[ ./-]?(\d{{4}})\b", re.IGNORECASE)
_NUMBERED = re.compile(r"\b(\d\d?)[./-](\d\d?)[./-](\d{4})\b")
_NUMBER = re.compile(r"\b\d(?:[ -]?\d){2,}\b")


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


def beginning(term: str) -> str:
    """What stands in a patient's `tokens.line` where one of their words, dates or numbers begins with `term`."""
    return f" {term}"


HOLDS = "strpos(found_by, %s) > 0"
"""In SQL: whether a patient's line holds what stands for %s.

It stands in the row that a list reads anyway: a search costs what the list does, whatever the portal holds.
"""
