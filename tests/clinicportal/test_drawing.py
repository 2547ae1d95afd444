"""Markup that is made in Python is escaped like a template's."""

import pytest

from clinicportal.drawing import cell_class, drawn_when
from records.display import dates

HOSTILE = '<script>alert("x")</script>'


def test_a_date_has_its_long_form_and_its_time_only_where_it_is_asked_for():
    moment = dates.read("2026-06-01T08:40:00Z")
    assert drawn_when(moment) == (
        '<time class="cp-date" datetime="2026-06-01T08:40+00:00"><span aria-hidden="true">01-Jun-2026</span>'
        '<span class="nhsuk-u-visually-hidden">1 June 2026</span></time>'
    )
    assert drawn_when(moment, time=True).endswith("</span> 08:40</time>")


def test_a_date_that_is_not_known_is_its_words():
    assert drawn_when(dates.read(None)) == '<span class="cp-none">Date not recorded</span>'


def test_nothing_in_a_date_becomes_markup():
    of_all = dates.When(text=HOSTILE, spoken=HOSTILE, time=HOSTILE, zone=HOSTILE, machine=HOSTILE)
    for when in (of_all, dates.words(HOSTILE)):
        assert "<script" not in drawn_when(when, time=True)
        assert '"x"' not in drawn_when(when, time=True)


NOTHING = {"title": False, "num": False, "small": False, "wide": False}


@pytest.mark.parametrize(
    ("body", "asked", "classes"),
    [
        ("7.4", {}, ""),
        ("\n  ", {}, "cp-cell--empty"),
        ('\n<span class="cp-flag cp-flag--high">', {}, "cp-cell--flag"),
        ("7.4", {"num": True}, "cp-num"),
        ("", {"title": True, "wide": True}, "cp-cell--title cp-cell--wide cp-cell--empty"),
        (7, {"small": True}, "cp-cell--small"),
    ],
)
def test_the_classes_of_a_cell_say_what_it_is_and_what_it_holds(body, asked, classes):
    assert cell_class(body, **(NOTHING | asked)) == classes
