"""Addresses and days as people type them."""

from __future__ import annotations

import datetime as dt

import pytest

from partners import addresses, dates

DOMAINS = {"northfield.example", "nf-surgery.example"}


@pytest.mark.parametrize(
    "typed",
    [
        "practice.nurse@northfield.example",
        " Practice.Nurse@Northfield.EXAMPLE ",
        "practice.\u200bnurse@northfield.example",
        "ｐｒａｃｔｉｃｅ.nurse@northfield.example",
        "practice.nurse@northfield.example\n",
    ],
)
def test_an_address_is_the_same_however_it_is_typed(typed):
    assert addresses.belonging(typed, DOMAINS, "Northfield") == "practice.nurse@northfield.example"


@pytest.mark.parametrize(
    ("typed", "says", "suggests"),
    [
        ("", "correct format", ""),
        ("nurse", "correct format", ""),
        ("@northfield.example", "correct format", ""),
        ("nurse+new@northfield.example", "plus sign", "nurse@northfield.example"),
        ("nurse!@northfield.example", "cannot contain !", ""),
        ("nu rse@northfield.example", "cannot contain a space", ""),
        ("nurse\t@northfield.example", "cannot contain a space", ""),
        ("nurse@north field.example", "after the @", ""),
        ("o'nurse@northfield.example", "cannot contain '", ""),
        ("a@b@northfield.example", "cannot contain @", ""),
        (".nurse@northfield.example", "dot or a dash", ""),
        ("nurse-@northfield.example", "dot or a dash", ""),
        ("nur..se@northfield.example", "dot or a dash", ""),
        ("nurse@northfield", "after the @", ""),
        ("nurse@north..field", "after the @", ""),
        ("reception@northfield.example", "shared mailbox", ""),
        ("ward3@northfield.example", "shared mailbox", ""),
        ("Ward-12@northfield.example", "shared mailbox", ""),
        ("nurse@northfeild.example", "Did you mean northfield.example", "nurse@northfield.example"),
        ("nurse@northfieldexample.example", "does not belong to Northfield", ""),
        ("nurse@northfield.exampl", "Did you mean northfield.example", "nurse@northfield.example"),
        ("nurse@gmail.com", "personal addresses", ""),
        ("nurse@gmial.com", "personal addresses", ""),
        ("nurse@elsewhere.example", "does not belong to Northfield", ""),
        ("nurse@ward.northfield.example", "does not belong to Northfield", ""),
        ("nursе@northfield.example", "look like others", ""),  # a Cyrillic е
        ("nurse@nоrthfield.example", "look like others", ""),  # a Cyrillic о
        ("n" * 250 + "@northfield.example", "too long", ""),
    ],
)
def test_an_address_that_cannot_be_invited_is_refused_with_a_sentence(typed, says, suggests):
    with pytest.raises(addresses.Unusable) as refusal:
        addresses.belonging(typed, DOMAINS, "Northfield")
    assert says in refusal.value.sentence
    assert refusal.value.suggestion == suggests


@pytest.mark.parametrize("role", ["nurse", "doctor", "pharmacist", "locum", "sponsor", "deputy", "practice.nurse"])
def test_a_role_in_an_address_is_still_one_person(role):
    assert addresses.belonging(f"{role}@northfield.example", DOMAINS, "Northfield")


def test_a_domain_in_another_alphabet_is_compared_in_its_ascii_form():
    assert addresses.belonging("nurse@prüfung.example", {"xn--prfung-4ya.example"}, "P").endswith(
        "@xn--prfung-4ya.example"
    )


@pytest.mark.parametrize(
    ("a", "b", "near"),
    [
        ("abc", "abc", False), ("abc", "abd", True), ("abc", "ab", True), ("ab", "abc", True), ("abc", "acb", True),
        ("abc", "xbc", True), ("abcd", "abdc", True), ("abcd", "badc", False), ("abc", "xyc", False),
        ("bac", "abc", True), ("abc", "a", False), ("", "a", True),
    ],
)  # fmt: skip
def test_one_slip(a, b, near):
    assert addresses.one_slip_apart(a, b) is near
    assert addresses.one_slip_apart(b, a) is near


@pytest.mark.parametrize(
    "typed",
    [
        "30 June 2027", "30 june 2027", "30 Jun 2027", "30th June 2027", "June 30, 2027", "june 30 2027", "30/6/2027",
        "30/06/2027", "30/6/27", "30.6.2027", "30. 6. 2027", "30-6-2027", "30 6 2027", "2027-06-30", "2027-6-30",
        "  30   June   2027 ", "30-Jun-2027",
    ],
)  # fmt: skip
def test_a_day_is_read_as_people_write_it(typed):
    assert dates.read_day(typed) == dt.date(2027, 6, 30)


@pytest.mark.parametrize(
    ("typed", "says", "suggests"),
    [
        ("", "Enter a day", ""),
        ("soon", "Enter a day", ""),
        ("30 June", "Enter a day", ""),
        ("June 2027", "Enter a day", ""),
        ("30 Juno 2027", "Enter a day", ""),
        ("30 ju 2027", "Enter a day", ""),
        ("31.2.2027", "does not exist", "28 February 2027"),
        ("30/2/2028", "does not exist", "29 February 2028"),
        ("31 April 2027", "does not exist", "30 April 2027"),
        ("6/30/2027", "does not exist", ""),
        ("0/6/2027", "does not exist", ""),
        ("2027-13-01", "does not exist", ""),
        ("99999999", "Enter a day", ""),
    ],
)
def test_what_is_no_day_is_refused_with_a_sentence(typed, says, suggests):
    with pytest.raises(dates.NoDay) as refusal:
        dates.read_day(typed)
    assert says in refusal.value.sentence
    assert refusal.value.suggestion == suggests


def test_until_a_day_means_to_its_end_where_the_portal_is():
    assert dates.end_of(dt.date(2027, 6, 30)) == dt.datetime(2027, 6, 30, 23, 0, tzinfo=dt.UTC)  # summer time
    assert dates.end_of(dt.date(2027, 1, 30)) == dt.datetime(2027, 1, 31, 0, 0, tzinfo=dt.UTC)
    assert dates.last_day(dates.end_of(dt.date(2027, 6, 30))) == dt.date(2027, 6, 30)


@pytest.mark.parametrize(
    ("day", "months", "then"),
    [
        (dt.date(2027, 1, 31), 1, dt.date(2027, 2, 28)),
        (dt.date(2027, 6, 30), 12, dt.date(2028, 6, 30)),
        (dt.date(2027, 12, 15), 1, dt.date(2028, 1, 15)),
    ],
)
def test_months_after(day, months, then):
    assert dates.months_after(day, months) == then
    assert dates.months_between(day, then) == months
