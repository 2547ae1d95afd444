"""Results in tables: dates down, tests across, units never mixed."""

from decimal import Decimal

import pytest

from records.display import flowsheet, results
from records.display.flowsheet import Panel

UCUM = "http://unitsofmeasure.org"


def result(day, value, *, code="2823-3", name="Potassium", unit="mmol/L", identity="", **more):
    return results.of(
        {
            "id": identity or f"{code}-{day}",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": name}]},
            "effectiveDateTime": day,
            "valueQuantity": {"value": value, "system": UCUM, "code": unit},
            **more,
        }
    )


def only(held):
    sheets, others = held
    assert len(sheets) == 1
    return sheets[0], others


def test_dates_go_down_newest_first_and_tests_across_in_their_usual_order():
    sheet, others = only(
        flowsheet.arrange(
            [
                result("2026-03-03", 5),
                result("2026-06-01", Decimal("5.9")),
                result("2026-06-01", 138, code="2951-2", name="Sodium"),
            ]
        )
    )
    assert sheet.title == "Kidney function"
    assert [c.name for c in sheet.columns] == ["Sodium", "Potassium"]
    assert [row.when.text for row in sheet.rows] == ["01-Jun-2026", "03-Mar-2026"]
    assert [[r.value.text for r in cell.results] for cell in sheet.rows[1].cells] == [[], ["5"]]
    assert others == ()


def test_a_column_never_mixes_units():
    sheet, _ = only(flowsheet.arrange([result("2026-06-01", 5), result("2026-05-01", 20, unit="mg/dL")]))
    assert [(c.full_name, c.unit) for c in sheet.columns] == [("Potassium", "mmol/L"), ("Potassium", "mg/dL")]
    for row in sheet.rows:
        for cell in row.cells:
            assert all(r.value.unit.key == cell.column.unit_key for r in cell.results)


def test_a_rejected_specimen_stands_in_the_column_of_its_test():
    rejected = result("2026-03-03", None, status="cancelled", note=[{"text": "haemolysed"}])
    sheet, others = only(flowsheet.arrange([result("2026-06-01", 5), rejected]))
    assert sheet.rows[1].cells[0].results[0].marks[0].word == "Rejected"
    assert others == ()


def test_the_report_that_lists_a_result_names_its_panel():
    held = [result("2026-06-01", 5), result("2026-06-01", 7, code="x", name="Rare test")]
    panels = {r.reference: Panel("Metabolic panel", place) for place, r in enumerate(reversed(held))}
    sheet, _ = only(flowsheet.arrange(held, panels))
    assert (sheet.title, [c.name for c in sheet.columns]) == ("Metabolic panel", ["Rare test", "Potassium"])


def test_words_and_tests_of_no_panel_are_listed_newest_first():
    text = {"id": "c", "status": "final", "code": {"text": "Urine culture"}, "valueString": "No growth"}
    old = results.of({**text, "effectiveDateTime": "2020"})
    new = results.of({**text, "effectiveDateTime": "2026"})
    sheets, others = flowsheet.arrange([old, new, result("2026-06-01", 7, code="x", name="Rare test")])
    assert sheets == ()
    assert [r.when.text for r in others] == ["01-Jun-2026", "2026", "2020"]


def test_a_wide_panel_becomes_several_tables():
    held = [result("2026-06-01", n, code=f"c{n}", name=f"Test {n}") for n in range(8)]
    sheets, _ = flowsheet.arrange(held, {r.reference: Panel("Wide", n) for n, r in enumerate(held)})
    assert [(s.title, len(s.columns)) for s in sheets] == [("Wide, 1 of 2", 6), ("Wide, 2 of 2", 2)]


def test_the_dates_that_are_left_out_are_counted():
    sheet, _ = only(flowsheet.arrange([result(f"20{n:02}-01-01", n) for n in range(10, 26)], most_dates=10))
    assert (len(sheet.rows), sheet.dates, sheet.earlier) == (10, 16, 6)
    assert sheet.rows[0].when.text == "01-Jan-2025"


def test_a_cell_whose_range_differs_from_the_header_shows_its_own():
    limits = [{"low": {"value": 3}}]
    sheet, _ = only(
        flowsheet.arrange(
            [
                result("2026-06-01", 5, referenceRange=limits),
                result("2026-05-01", 5, referenceRange=[{"low": {"value": 4}}]),
            ]
        )
    )
    assert sheet.columns[0].range.text == "3\u00a0or\u00a0more"
    assert [cell.own_range(r) for row in sheet.rows for cell in row.cells for r in cell.results] == [
        "",
        "4\u00a0or\u00a0more",
    ]


@pytest.mark.parametrize(
    ("code", "given", "computed"),
    [([{"coding": [{"code": "H"}]}], True, False), (None, False, True)],
)
def test_a_table_knows_where_its_flags_come_from(code, given, computed):
    sheet, _ = only(
        flowsheet.arrange([result("2026-06-01", 9, referenceRange=[{"high": {"value": 5}}], interpretation=code)])
    )
    assert (sheet.flags_are_given, sheet.flags_are_computed) == (given, computed)


def test_two_values_of_one_minute_both_stand_in_the_cell():
    sheet, _ = only(flowsheet.arrange([result("2026-06-01", 5, identity="a"), result("2026-06-01", 6, identity="b")]))
    assert [r.value.text for r in sheet.rows[0].cells[0].results] == ["5", "6"]


def test_a_loinc_name_is_shortened_only_while_it_stays_unique():
    held = [
        result("2026-06-01", 1, code="718-7", name="Hemoglobin [Mass/volume] in Blood"),
        result("2026-06-01", 1, code="777-3", name="Platelets [#/volume] in Blood"),
        result("2026-06-01", 1, code="x", name="Platelets [#/area] in Blood"),
    ]
    sheet, _ = only(flowsheet.arrange(held, {r.reference: Panel("P", n) for n, r in enumerate(held)}))
    assert [c.name for c in sheet.columns] == [
        "Hemoglobin",
        "Platelets [#/volume] in Blood",
        "Platelets [#/area] in Blood",
    ]


def test_the_heading_of_a_panel_is_not_a_result():
    heading = results.of({"status": "final", "code": {"text": "Panel"}, "hasMember": [{"reference": "Observation/1"}]})
    assert flowsheet.arrange([heading]) == ((), ())


def test_points_stand_below_each_other_without_invented_zeros():
    held = [result("2026-06-01", 5), result("2026-05-01", Decimal("4.75")), result("2026-04-01", Decimal("10.5"))]
    sheet, _ = only(flowsheet.arrange(held))
    cells = [(row.cells[0], row.cells[0].results[0]) for row in sheet.rows]
    assert [r.value.text + cell.padding(r) for cell, r in cells] == ["5\u2008\u2007\u2007", "4.75", "10.5\u2007"]
