"""Folded words: how names, birth dates and identifiers are written down to be found again.

What is typed is folded with the same functions. Kinds of token: a word of a name ("odonnell"), a birth date as precise
as it is known ("1990-05"), an identifier's letters and digits ("9434765919"), and an identifier with its system
("https://fhir.nhs.uk/Id/nhs-number|9434765919"). Each is a row of `PatientToken`, compared by equality to find one
patient among all; those that people type are a `line` beside the patient, too, to find some among those of a list.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

LENGTH = 100  # of PatientToken.token
LONGEST, MOST = 500, 1_000
"""Characters of one name or number that are looked at, and tokens of one patient: people have a few dozen."""

# Letters that Unicode does not decompose but people type without their strokes.
STROKES = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ħ": "h", "ı": "i"})
APOSTROPHES = re.compile("['’ʼ‘`´]")
BETWEEN_WORDS = re.compile(r"[\W_]+")
BIRTH_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")


def fold(text: str) -> str:
    """`text` without case, marks and apostrophes: "O’Donnéll" and "odonnell" become the same."""
    decomposed = unicodedata.normalize("NFKD", APOSTROPHES.sub("", text).casefold())
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", bare.translate(STROKES))


def words(text: str) -> list[str]:
    """The folded words of a name, in their order: "Smith-Jones, Zoë" gives smith, jones, zoe."""
    return [word[:LENGTH] for word in BETWEEN_WORDS.split(fold(text[:LONGEST])) if word]


def identifier(value: str) -> str:
    """An identifier's letters and digits: "943 476 5919" and "943-476-5919" are one number."""
    return "".join(letter for letter in fold(value[:LONGEST]) if letter.isalnum())[:LENGTH]


def identifier_in_system(system: str, value: str) -> str:
    """An identifier exactly as its issuer writes it, with the system; by digest when it is too long for the column."""
    token = f"{system}|{value}"
    return token if len(token) <= LENGTH else "sha256:" + hashlib.sha256(token.encode()).hexdigest()


DOUBLED = re.compile(r"(\w)\1+")
DIGITS = re.compile(r"\d")  # made-up names carry them


def name_key(family: str, given: str) -> str:
    """What two people share who could be taken for each other: family name and first given name; empty without a name.

    Accents, case, spaces and doubled letters do not tell two people apart in a hurry, so they are left out.
    """
    last, first = (words(DIGITS.sub("", name[:LONGEST])) for name in (family, given))
    key = f"{''.join(last)},{first[0] if first else ''}"
    return DOUBLED.sub(r"\1", key)[:LENGTH] if last or first else ""


def of_patient(patient: dict[str, Any]) -> set[str]:
    """The tokens of a FHIR Patient: the birth date, all identifiers and all names, also former ones, up to MOST."""
    return set(islice(every_token(patient), MOST)) - {""}


def every_token(patient: dict[str, Any]) -> Iterator[str]:
    birth_date = patient.get("birthDate")
    if birth_date and BIRTH_DATE.fullmatch(birth_date):
        yield birth_date
    for one in patient.get("identifier") or ():
        if value := one.get("value"):
            yield identifier(value)
            yield identifier_in_system(one.get("system", ""), value)
    for text in name_texts(patient):
        yield from words(text)


def line(found: Iterable[str]) -> str:
    """Those of a patient's tokens that people type, each behind a space: " 1990-05 odonnell"."""
    return "".join(f" {token}" for token in sorted(found) if is_typed(token))


def is_typed(token: str) -> bool:
    """Whether it is a word, a date or a bare number, not an identifier with its system."""
    return "|" not in token and not token.startswith("sha256:")


def name_texts(patient: dict[str, Any]) -> Iterator[str]:
    for name in patient.get("name") or ():
        yield name.get("family") or ""
        yield name.get("text") or ""
        yield from (given for given in name.get("given") or () if given)
