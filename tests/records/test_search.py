"""What a person types becomes terms; the list shows who has all of them."""

import pytest

from records import search


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("Testpatient", ["testpatient"]),
        ("testpatient, alpha", ["testpatient", "alpha"]),
        ("O’Donnéll", ["odonnell"]),
        ("14-Jul-1945", ["1945-07-14"]),
        ("14 July 1945", ["1945-07-14"]),
        ("14/07/1945", ["1945-07-14"]),
        ("1945-07-14", ["1945-07-14"]),
        ("Bravo 02-Feb-1958", ["1958-02-02", "bravo"]),
        ("1945", ["1945"]),
        ("000 000 0001", ["0000000001"]),
        ("943-476-5919", ["9434765919"]),
        ("AB60001", ["ab60001"]),
        ("31-Feb-1958", ["1958", "31", "feb"]),
        ("", []),
        ("  %_'\" ", []),
        ("\u202e\x00", []),
        ("a b c d e f g h", ["a", "b", "c", "d", "e", "f"]),
    ],
)
def test_what_is_typed_becomes_folded_terms(typed, terms):
    assert search.terms(typed) == terms


def test_a_very_long_text_is_cut():
    assert len("".join(search.terms("x" * 10_000))) <= search.LONGEST
