"""Words people are found by, and dates as vague as they come."""

from __future__ import annotations

from datetime import datetime

import pytest

from records import tokens
from records.times import end_of, start_of


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Zoë Ångström-Łukasiewicz", ["zoe", "angstrom", "lukasiewicz"]),
        ("O’Shaughnessy D'Arcy", ["oshaughnessy", "darcy"]),
        ("Straße", ["strasse"]),
        ("Søren", ["soren"]),
        ("  ", []),
        ("王 小明", ["王", "小明"]),
        ("ﬁne", ["fine"]),
    ],
)
def test_names_are_folded_to_words(name, words):
    assert tokens.words(name) == words
    assert tokens.words(name.upper()) == words


def test_a_patient_is_found_by_all_names_birth_date_and_identifiers():
    found = tokens.of_patient(
        {
            "name": [{"family": "Novák", "given": ["Irena", None]}, {"use": "maiden", "family": "Ó Briain"}],
            "birthDate": "1990-05",
            "identifier": [{"system": "urn:nhs", "value": "943 476 5919"}, {"value": "AB-12"}],
        }
    )
    assert found == {
        "novak", "irena", "o", "briain", "1990-05", "9434765919", "urn:nhs|943 476 5919", "ab12", "|AB-12",
    }  # fmt: skip


def test_every_token_fits_its_column():
    long = "x" * 300
    found = tokens.of_patient({"name": [{"family": long}], "identifier": [{"system": "urn:" + long, "value": long}]})
    assert max(map(len, found)) <= tokens.LENGTH


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ("2024", "2024-01-01T00:00:00+00:00"),
        ("2024-07", "2024-07-01T00:00:00+01:00"),
        ("2024-07-31", "2024-07-31T00:00:00+01:00"),
        ("2024-07-31T10:00:00Z", "2024-07-31T10:00:00+00:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59+00:00"),
        ("2024-07-31T10:00:00.1234567-05:00", "2024-07-31T10:00:00.123456-05:00"),
    ],
)
def test_a_date_starts_in_the_portals_zone(value, start):
    assert start_of(value) == datetime.fromisoformat(start)


@pytest.mark.parametrize("value", ["", "yesterday", "2024-13-01", "2019-02-30", "0001", "9999-12-31", None, 2024, []])
def test_what_is_no_date_is_no_time(value):
    assert start_of(value) is None
    assert end_of(value) is None


@pytest.mark.parametrize(
    ("value", "end"),
    [
        ("2024", "2025-01-01T00:00:00+00:00"),
        ("2024-12", "2025-01-01T00:00:00+00:00"),
        ("2024-06-30", "2024-07-01T00:00:00+01:00"),
        ("2024-10-27", "2024-10-28T00:00:00+00:00"),  # a day of 25 hours
        ("2024-07-31T10:00:00Z", "2024-07-31T10:00:01+00:00"),
    ],
)
def test_a_period_ends_after_its_last_moment(value, end):
    assert end_of(value) == datetime.fromisoformat(end)
