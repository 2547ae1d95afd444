"""How long something holds, in words that come from the number that decides it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from clinicportal.texts import span


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (timedelta(hours=24), "24 hours"),
        (timedelta(hours=1), "one hour"),
        (timedelta(minutes=15), "15 minutes"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(minutes=1), "1 minute"),
    ],
)
def test_a_span_is_told_in_the_largest_whole_unit(value, words):
    assert span(value) == words
