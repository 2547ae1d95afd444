"""One test over time: points, band and table of the same rows."""

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.display import results, trend

TODAY = date(2026, 6, 1)


def result(day, value, low=3, high=5, **more):
    return results.of(
        {
            "status": "final",
            "code": {"text": "Potassium"},
            "effectiveDateTime": str(day),
            "valueQuantity": {"value": value, "unit": "mmol/L"},
            "referenceRange": [{"low": {"value": low}, "high": {"value": high}}] if low is not None else [],
            **more,
        }
    )


def draw(*column: Any) -> trend.Trend:
    drawn = trend.of(*column)
    assert drawn
    return drawn


def test_the_table_holds_the_same_rows_as_the_drawing_newest_first():
    drawn = draw([result("2026-01-12", 4), result("2026-06-01", 6), result("2020-01-01", 5)], TODAY)
    assert [r.when.text for r in drawn.rows] == ["01-Jun-2026", "12-Jan-2026"]
    assert [len(plot.dots) for plot in drawn.plots] == [2, 2]
    assert drawn.outside == 1
    assert drawn.previous
    assert (drawn.latest.value.text, drawn.previous.value.text) == ("6", "4")


def test_two_sizes_are_drawn():
    assert [(p.width, p.height) for p in draw([result("2026-06-01", 4)], TODAY).plots] == [(620, 320), (320, 270)]


def test_newest_is_at_the_right_and_higher_values_are_higher():
    plot = draw([result("2026-05-31", 6), result("2026-01-12", 4)], TODAY).plots[0]
    old, new = plot.dots
    assert old.x < new.x <= plot.right
    assert new.y < old.y


def test_the_reference_range_is_a_band_between_its_limits():
    plot = draw([result("2026-06-01", 6), result("2026-05-01", 3)], TODAY).plots[0]
    assert plot.band
    assert (plot.band.upper, plot.band.lower) == ("5", "3")
    assert plot.dots[1].y < plot.band.top < plot.band.bottom == plot.dots[0].y


def test_without_a_range_there_is_no_band():
    assert draw([result("2026-06-01", 6, low=None)], TODAY).plots[0].band is None


def test_a_rejected_specimen_is_a_cross_and_a_row_but_no_point():
    rejected = result("2026-03-03", None, status="cancelled", note=[{"text": "haemolysed"}])
    drawn = draw([result("2026-06-01", 6), rejected], TODAY)
    assert [c.label for c in drawn.plots[0].crosses] == ["Rejected"]
    assert len(drawn.plots[0].dots) == 1
    assert len(drawn.rows) == 2


def test_what_was_entered_in_error_is_not_drawn():
    drawn = draw([result("2026-06-01", 6), result("2026-05-01", 99, status="entered-in-error")], TODAY)
    assert len(drawn.plots[0].dots) == 1
    assert drawn.latest.value.text == "6"


def test_nothing_in_the_period_is_said_and_the_period_stays():
    drawn = draw([result("2020-01-01", 5)], TODAY, "3m")
    assert (drawn.rows, drawn.plots, drawn.outside, drawn.summary) == ((), (), 1, "No values in this period")


@pytest.mark.parametrize(
    "column", [[], [results.of({"valueString": "x", "effectiveDateTime": "2026-01-01"})], [result("", 5)]]
)
def test_without_a_number_on_a_day_there_is_no_trend(column):
    assert trend.of(column, TODAY) is None


def test_the_newest_flagged_point_is_labelled_with_its_word():
    plot = draw([result("2026-05-31", 6), result("2026-01-12", 4)], TODAY).plots[0]
    assert plot.dots[-1].label == "High, computed 6"


def test_labels_never_lie_on_each_other():
    crowd = [result(TODAY - timedelta(days=n), 4 + n % 3) for n in range(60)]
    for plot in draw(crowd, TODAY).plots:
        spans = sorted(
            (
                d.label_x - 7 * len(d.label) / (1 if d.anchor == "end" else 2),
                d.label_x + (0 if d.anchor == "end" else 7 * len(d.label) / 2),
            )
            for d in plot.dots
            if d.label
        )
        assert plot.dots[-1].label
        assert all(left[1] <= right[0] for left, right in pairwise(spans))


def pressure(day, upper, lower):
    parts = [
        {"code": {"coding": [{"code": code}]}, "valueQuantity": {"value": value, "unit": "mmHg"}}
        for code, value in (("8480-6", upper), ("8462-4", lower))
    ]
    return results.of({"status": "final", "code": {"text": "BP"}, "effectiveDateTime": day, "component": parts})


def test_a_blood_pressure_is_two_points_joined_by_a_bar():
    drawn = draw([pressure("2026-06-01", 120, 80), pressure("2026-05-01", 140, 90)], TODAY)
    plot = drawn.plots[0]
    assert drawn.pair
    assert len(plot.lines) == 2
    assert len(plot.dots) == 4
    assert all(bar.top < bar.bottom for bar in plot.bars)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.dates(), st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**40), 10**40)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["3m", "1y", "5y", "all", "junk", ""]),
    st.floats(),
    st.floats(),
)
def test_any_numbers_on_any_days_stay_inside_the_drawing(points, period, low, high):
    drawn = trend.of([result(day, value, low, high) for day, value in points], TODAY, period)
    for plot in drawn.plots if drawn else ():
        for dot in plot.dots:
            assert plot.left <= dot.x <= plot.right
            assert plot.top <= dot.y <= plot.bottom
        assert all(plot.top <= tick.at <= plot.bottom for tick in plot.values)
        assert 2 <= len(plot.values) <= 12
