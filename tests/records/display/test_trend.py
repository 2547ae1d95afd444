"""One test over time: points, band and table of the same rows."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinicportal import plots
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


def draw(*column: Any) -> Any:
    drawn = trend.of(*column)
    assert drawn
    return drawn


def test_the_table_holds_the_same_rows_as_the_drawing_newest_first():
    drawn = draw([result("2026-01-12", 4), result("2026-06-01", 6), result("2020-01-01", 5)], TODAY)
    assert [r.when.text for r in drawn.rows] == ["01-Jun-2026", "12-Jan-2026"]
    assert [len(frame.points) for frame in (drawn.plot.wide, drawn.plot.narrow)] == [2, 2]
    assert drawn.outside == 1
    assert drawn.previous
    assert (drawn.latest.value.text, drawn.previous.value.text) == ("6", "4")


def test_newest_is_at_the_right_and_higher_values_are_higher():
    old, new = draw([result("2026-05-31", 6), result("2026-01-12", 4)], TODAY).plot.wide.points
    assert old["x"] < new["x"]
    assert new["y"] < old["y"]


def test_the_reference_range_is_a_band_between_its_limits():
    frame = draw([result("2026-06-01", 6), result("2026-05-01", 3)], TODAY).plot.wide
    assert [limit["text"] for limit in frame.limits] == ["5", "3"]
    assert frame.points[1]["y"] < frame.band["top"] < frame.band["bottom"] == frame.points[0]["y"]


def test_without_a_range_there_is_no_band():
    assert draw([result("2026-06-01", 6, low=None)], TODAY).plot.wide.band is None


def test_a_rejected_specimen_is_a_cross_and_a_row():
    rejected = result("2026-03-03", None, status="cancelled", note=[{"text": "haemolysed"}])
    drawn = draw([result("2026-06-01", 6), rejected], TODAY)
    assert [(p["shape"], p["text"]) for p in drawn.plot.wide.points] == [
        ("cross", "Rejected"),
        ("up", "High 6, computed"),
    ]
    assert len(drawn.rows) == 2


def test_what_was_entered_in_error_is_no_value():
    drawn = draw([result("2026-06-01", 6), result("2026-05-01", 99, status="entered-in-error")], TODAY)
    assert [p["shape"] for p in drawn.plot.wide.points] == ["cross", "up"]
    assert drawn.latest.value.text == "6"


def test_nothing_in_the_period_is_said_and_the_period_stays():
    drawn = draw([result("2020-01-01", 5)], TODAY, "3m")
    assert (drawn.rows, drawn.plot, drawn.outside, drawn.period) == ((), None, 1, "3m")


@pytest.mark.parametrize(
    "column", [[], [results.of({"valueString": "x", "effectiveDateTime": "2026-01-01"})], [result("", 5)]]
)
def test_without_a_number_on_a_day_there_is_no_trend(column):
    assert trend.of(column, TODAY) is None


def test_labels_never_lie_on_each_other():
    crowd = [result(TODAY - timedelta(days=n), 4 + n % 3) for n in range(60)]
    plot = draw(crowd, TODAY).plot
    for frame in (plot.wide, plot.narrow):
        assert frame.points[-1]["text"]
        spans = []
        for point in frame.points:
            if point["text"]:
                width = plots.CHARACTER * len(point["text"])
                start = point["text_x"] - {"start": 0, "middle": width / 2, "end": width}[point["anchor"]]
                spans.append((start, start + width, point["text_y"]))
        for n, (left, right, height) in enumerate(spans):
            for other_left, other_right, other_height in spans[n + 1 :]:
                assert right <= other_left or other_right <= left or abs(height - other_height) >= plots.LINE


def pressure(day, upper, lower):
    parts = [
        {"code": {"coding": [{"code": code}]}, "valueQuantity": {"value": value, "unit": "mmHg"}}
        for code, value in (("8480-6", upper), ("8462-4", lower))
    ]
    return results.of({"status": "final", "code": {"text": "BP"}, "effectiveDateTime": day, "component": parts})


def test_a_blood_pressure_is_two_points_joined_by_a_bar():
    drawn = draw([pressure("2026-06-01", 120, 80), pressure("2026-05-01", 140, 90)], TODAY)
    frame = drawn.plot.wide
    assert drawn.pair
    assert len(frame.line.split()) == len(frame.second_line.split()) == len(frame.bars) == 2
    assert all(bar["top"] < bar["bottom"] for bar in frame.bars)


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
    for frame in (drawn.plot.wide, drawn.plot.narrow) if drawn and drawn.plot else ():
        assert frame.left < frame.right
        for point in frame.points:
            assert frame.left <= point["x"] <= frame.right
            assert frame.top <= point["y"] <= frame.bottom
        assert all(frame.top <= tick["y"] <= frame.bottom for tick in frame.y_ticks)
        assert 1 <= len(frame.y_ticks) <= 12
