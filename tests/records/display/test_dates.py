"""Dates, times and ages: what a clinic reads, whatever the source sent."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from records.display import dates

LONDON, NEW_YORK = ZoneInfo("Europe/London"), ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("written", "clinical", "spoken"),
    [
        ("2026-06-01", "01-Jun-2026", "1 June 2026"),
        ("2026-06", "Jun-2026", "June 2026"),
        ("2026", "2026", "2026"),
        ("2026-06-01T11:15:00+01:00", "01-Jun-2026", "1 June 2026"),
    ],
)
def test_a_date_is_no_more_precise_than_its_source(written, clinical, spoken):
    read = dates.read(written, LONDON)
    assert (read.text, read.spoken, read.known) == (clinical, spoken, True)


@pytest.mark.parametrize(
    "written",
    [
        "2026-02-30",
        "2026-13",
        "0000",
        "2026-06-01T25:00:00Z",
        "2026-06-01T24:00:00Z",
        "yesterday",
        "01/06/2026",
        "２０２６",
    ],
)
def test_an_impossible_date_says_that_it_cannot_be_shown(written):
    read = dates.read(written)
    assert (read.text, read.known, read.machine) == ("Date can't be shown", False, "")


@pytest.mark.parametrize("value", [None, "", " ", 2026, ["2026"], {"value": "2026"}, True])
def test_an_absent_date_is_said_in_words(value):
    assert dates.read(value).text == "Date not recorded"
    assert dates.read(value, missing="Not known").text == "Not known"


def test_times_are_on_the_facilitys_24_hour_clock():
    read = dates.read("2026-06-01T22:40:00-04:00", LONDON)
    assert (read.text, read.time, read.whole) == ("02-Jun-2026", "03:40", "02-Jun-2026 03:40")


def test_a_date_without_a_time_is_never_moved_to_another_day():
    assert dates.read("2026-06-01", NEW_YORK).text == "01-Jun-2026"


def test_a_time_without_an_offset_is_the_facilitys_own():
    assert dates.read("2026-06-01T08:40:00", NEW_YORK).time == "08:40"


def test_the_zone_is_named_only_to_a_reader_on_another_clock():
    moment = "2026-06-01T11:15:00Z"
    assert dates.read(moment, LONDON, reader=LONDON).zone == ""
    assert dates.read(moment, LONDON, reader=ZoneInfo("Europe/Lisbon")).zone == ""
    assert dates.read(moment, LONDON, reader=NEW_YORK).zone == "BST"


def test_a_leap_second_and_the_ends_of_the_calendar_are_dates():
    assert dates.read("2016-12-31T23:59:60Z", LONDON).time == "23:59"
    assert dates.read("0001-01-01T00:00:00Z", NEW_YORK).text == "01-Jan-0001"
    assert dates.read("9999-12-31T23:59:59Z", ZoneInfo("Asia/Tokyo")).text == "31-Dec-9999"


def test_what_is_less_precise_sorts_before_what_it_may_contain():
    written = ["2026", "2026-06", "2026-06-01", "2026-06-01T08:00:00Z", "2026-06-01T08:00:01Z", "2027"]
    orders = [dates.read(w).order for w in ("nonsense", *written)]
    assert orders == sorted(orders)


@pytest.mark.parametrize(
    ("born", "age"),
    [
        ("1945-07-14", "80y"),
        ("1945-06-01", "81y"),
        ("2008-06-02", "17y 11m"),
        ("2008-06-01", "18y"),
        ("2020-06-01", "6y"),
        ("2025-04-15", "13m 2w"),
        ("2025-05-02", "12m 4w"),
        ("2025-06-01", "12m"),
        ("2026-04-11", "7w 2d"),
        ("2026-05-04", "4w"),
        ("2026-05-05", "27d"),
        ("2026-06-01", "0d"),
        ("2026-06-02", ""),
        ("1945", "80y or 81y"),
        ("1945-06", "80y or 81y"),
        ("1945-05", "81y"),
        ("2026", "under 1y"),
        ("2025", "0y or 1y"),
        ("2027", ""),
        ("", ""),
        (None, ""),
        ("2026-02-30", ""),
    ],
)
def test_age_is_given_in_at_most_two_units_and_never_guessed(born, age):
    assert dates.age(born, date(2026, 6, 1)) == age


def test_someone_born_on_29_february_is_a_year_older_on_1_march():
    assert dates.age("2000-02-29", date(2026, 2, 28)) == "25y"
    assert dates.age("2000-02-29", date(2026, 3, 1)) == "26y"


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        ({"onsetDateTime": "2014"}, "2014"),
        ({"onsetPeriod": {"start": "2014-05", "end": "2015"}}, "May-2014"),
        ({"onsetPeriod": {"end": "2015"}}, "2015"),
        ({"onsetAge": {"value": 52, "code": "a", "unit": "years"}}, "at 52 years of age"),
        ({"onsetAge": {"value": 1, "unit": "a"}}, "at 1 year of age"),
        ({"onsetAge": {"value": "52"}}, "Date not recorded"),
        ({"onsetString": "as a child"}, "as a child"),
        ({"onsetRange": {"low": {"value": 5, "unit": "a"}}}, "at 5 years of age"),
        ({"onsetDateTime": {"junk": 1}}, "Date not recorded"),
        ({}, "Date not recorded"),
    ],
)
def test_every_kind_of_onset_becomes_words(resource, text):
    assert dates.occurrence(resource, "onset").text == text


@pytest.mark.parametrize(
    ("value", "shown"), [("08:40:00", "08:40"), ("25:00:00", ""), ("8:40", ""), (None, ""), (840, "")]
)
def test_a_time_of_day_is_hours_and_minutes(value, shown):
    assert dates.time_of_day(value) == shown
