"""Results: every kind of value, its range, its flag and its state."""

from decimal import Decimal

import pytest

from records.display import amounts, fhir, ranges, results
from records.display.marks import Kind, Step

UCUM = "http://unitsofmeasure.org"


def quantity(value, code="mmol/L", **more):
    return {"value": value, "unit": code, "system": UCUM, "code": code, **more}


def observation(**elements):
    coded = {"coding": [{"system": "http://loinc.org", "code": "2823-3", "display": "Potassium"}]}
    return {"resourceType": "Observation", "id": "k", "status": "final", "code": coded, **elements}


def interpretation(*codes):
    return [{"coding": [{"code": code}]} for code in codes]


RANGE = [{"low": quantity(Decimal("3.5")), "high": quantity(Decimal("5.3"))}]


@pytest.mark.parametrize(
    ("elements", "shown"),
    [
        ({"valueQuantity": quantity(Decimal("5.9"))}, "5.9\u00a0mmol/L"),
        ({"valueQuantity": quantity(Decimal("6.00"))}, "6.00\u00a0mmol/L"),
        ({"valueQuantity": quantity(2140, "ng/L")}, "2,140\u00a0ng/L"),
        ({"valueQuantity": quantity(Decimal("0.01"), comparator="<")}, "<0.01\u00a0mmol/L"),
        ({"valueQuantity": quantity(60, comparator=">=")}, "≥60\u00a0mmol/L"),
        ({"valueQuantity": quantity(Decimal("165.16912871855152"), "cm")}, "165.17\u00a0cm"),
        ({"valueQuantity": quantity(Decimal("0.000123456789"), "g")}, "0.000123\u00a0g"),
        ({"valueQuantity": {"value": 3}}, "3"),
        ({"valueCodeableConcept": {"text": "Not detected"}}, "Not detected"),
        ({"valueCodeableConcept": {"coding": [{"display": "Blood group A (finding)"}]}}, "Blood group A"),
        ({"valueCodeableConcept": {"coding": [{"code": "260385009"}]}}, "Code 260385009"),
        ({"valueString": "No growth after 24 hours"}, "No growth after 24 hours"),
        ({"valueBoolean": True}, "Yes"),
        ({"valueBoolean": False}, "No"),
        ({"valueInteger": 13}, "13"),
        ({"valueRange": {"low": quantity(5), "high": quantity(10)}}, "5 to 10\u00a0mmol/L"),
        ({"valueRange": {"low": quantity(5)}}, "5 or more\u00a0mmol/L"),
        ({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}}, "1:128"),
        (
            {"valueRatio": {"numerator": quantity(1, "mg"), "denominator": quantity(2, "mL")}},
            "1\u00a0mg in 2\u00a0mL",
        ),
        ({"valueTime": "08:40:00"}, "08:40"),
        ({"valueDateTime": "2016-12-30"}, "30-Dec-2016"),
        ({"valuePeriod": {"start": "2016-12-30", "end": "2017"}}, "30-Dec-2016 to 2017"),
        ({"valueSampledData": {"data": "1 2 3"}}, "Waveform of 3 samples, not drawn here"),
        ({"valueAttachment": {"title": "ECG"}}, "Attached: ECG"),
        ({"dataAbsentReason": {"coding": [{"code": "not-performed"}]}}, "Not performed"),
        ({"dataAbsentReason": {"text": "Refused"}}, "Refused"),
        (
            {"_valueString": {"extension": [{"url": fhir.ABSENT_REASON, "valueCode": "asked-unknown"}]}},
            "Asked but not known",
        ),
        ({"valueQuantity": {"value": "5.9"}}, "Value can't be shown"),
        ({"valueQuantity": {"value": Decimal("1E+99999")}}, "Value can't be shown"),
        ({"valueQuantity": {"value": float("nan")}}, "Value can't be shown"),
        ({"valueQuantity": {"value": True}}, "Value can't be shown"),
        ({"valueQuantity": [1]}, "Value can't be shown"),
        ({"valueBoolean": "true"}, "Value can't be shown"),
        ({"valueUnheardOf": {"x": 1}}, "Value can't be shown"),
        ({}, "No value recorded"),
    ],
)
def test_every_kind_of_value_becomes_text(elements, shown):
    assert results.of(observation(**elements)).value.with_unit == shown


def test_a_rounded_value_keeps_the_exact_one_beside_it():
    value = results.of(observation(valueQuantity=quantity(Decimal("165.16912871855152"), "cm"))).value
    assert value.exact == "165.16912871855152"
    assert results.of(observation(valueQuantity=quantity(Decimal("5.90")))).value.exact == ""


def test_that_something_is_masked_is_never_said():
    read = results.of(
        observation(dataAbsentReason={"coding": [{"code": "masked", "display": "Masked"}], "text": "Masked"})
    )
    assert (read.value.text, read.reason) == ("Not known", "")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("mm[Hg]", "mmHg"),
        ("umol/L", "µmol/L"),
        ("ug/mL", "µg/mL"),
        ("10*3/uL", "10³/µL"),
        ("10*9/L", "10⁹/L"),
        ("mL/min/{1.73_m2}", "mL per min per 1.73 m²"),
        ("/min", "per min"),
        ("{beats}/min", "beats per min"),
        ("{score}", ""),
        ("1", ""),
        ("Cel", "°C"),
        ("kg/m2", "kg/m²"),
        ("%", "%"),
        ("U/L", "U/L"),
        ("m[iU]/L", "mIU/L"),
        ("/a", "per year"),
        ("[pH]", "pH"),
        ("fL", "fL"),
    ],
)
def test_units_are_written_as_a_clinician_reads_them(code, text):
    assert amounts.result_unit({"system": UCUM, "code": code, "unit": "as written"}).text == text


def test_results_in_different_units_have_different_columns():
    first = results.of(observation(valueQuantity=quantity(5)))
    second = results.of(observation(valueQuantity=quantity(5, "mg/dL")))
    spelled = results.of(observation(valueQuantity={**quantity(5), "unit": "mmol/l"}))
    assert first.column != second.column
    assert first.column == spelled.column


@pytest.mark.parametrize(
    ("value", "step", "word"),
    [
        (Decimal("5.9"), Step.HIGH, "High, computed"),
        (Decimal("3.4"), Step.LOW, "Low, computed"),
        (Decimal("5.3"), Step.NORMAL, "Normal, computed"),
        (Decimal("3.5"), Step.NORMAL, "Normal, computed"),
    ],
)
def test_without_an_interpretation_the_flag_is_computed_and_says_so(value, step, word):
    flag = results.of(observation(valueQuantity=quantity(value), referenceRange=RANGE)).flag
    assert (flag.step, flag.word, flag.computed) == (step, word, True)


@pytest.mark.parametrize(
    ("code", "step", "word"),
    [
        ("LL", Step.CRITICAL_LOW, "Critically low"),
        ("L", Step.LOW, "Low"),
        ("N", Step.NORMAL, "Normal"),
        ("H", Step.HIGH, "High"),
        ("HH", Step.CRITICAL_HIGH, "Critically high"),
        ("<", Step.OFF_LOW, "Below scale"),
        (">", Step.OFF_HIGH, "Above scale"),
        ("A", Step.ABNORMAL, "Abnormal"),
        ("AA", Step.CRITICAL, "Critically abnormal"),
        ("POS", Step.OTHER, "Positive"),
        ("R", Step.OTHER, "Resistant"),
    ],
)
def test_the_sources_interpretation_comes_before_our_comparison(code, step, word):
    read = results.of(observation(valueQuantity=quantity(4), referenceRange=RANGE, interpretation=interpretation(code)))
    assert (read.flag.step, read.flag.word, read.flag.computed) == (step, word, False)


def test_of_several_interpretations_the_gravest_is_shown():
    assert (
        results.of(observation(valueInteger=1, interpretation=interpretation("N", "HH", "H"))).flag.step
        is Step.CRITICAL_HIGH
    )


def test_an_interpretation_in_words_is_shown_as_written():
    assert results.of(observation(valueInteger=1, interpretation=[{"text": "Borderline"}])).flag.word == "Borderline"


def test_no_range_is_said():
    assert results.of(observation(valueQuantity=quantity(5))).flag.word == "No range given"


@pytest.mark.parametrize(
    ("comparator", "value", "low", "high", "step"),
    [
        ("<", 3, None, 14, Step.NORMAL),
        ("<", 20, None, 14, Step.NONE),
        ("<", 3, 5, 14, Step.LOW),
        ("<", 5, 5, 14, Step.LOW),
        ("<", 6, 5, 14, Step.NONE),
        (">", 60, 60, None, Step.NORMAL),
        (">", 90, 5, 14, Step.HIGH),
        (">", 14, 5, 14, Step.HIGH),
        (">", 6, 5, 14, Step.NONE),
    ],
)
def test_a_comparator_is_flagged_only_where_it_leaves_no_doubt(comparator, value, low, high, step):
    limits = {end: {"value": v} for end, v in (("low", low), ("high", high)) if v is not None}
    read = results.of(observation(valueQuantity={"value": value, "comparator": comparator}, referenceRange=[limits]))
    assert read.flag.step is step


@pytest.mark.parametrize(
    ("held", "text"),
    [
        ({"low": {"value": Decimal("3.5")}, "high": {"value": Decimal("5.3")}}, "3.5 to 5.3"),
        ({"low": {"value": 60}}, "60 or more"),
        ({"high": {"value": 14}}, "14 or less"),
        ({"text": "below 400"}, "below 400"),
        ({}, ""),
        ({"low": {"value": "x"}}, ""),
    ],
)
def test_ranges_are_written_in_one_style(held, text):
    assert ranges.of([held]).text.replace("\u00a0", " ") == text


def test_a_range_names_its_population():
    held = {"low": {"value": 1}, "appliesTo": [{"text": "female"}], "age": {"low": {"value": 18, "unit": "years"}}}
    assert ranges.of([held]).whole.replace("\u00a0", " ") == "1 or more (female, aged 18 or more years)"


def test_the_range_for_this_person_is_picked_and_another_sexs_is_not():
    male = {"low": {"value": 130}, "appliesTo": [{"coding": [{"code": "male"}]}]}
    female = {"low": {"value": 115}, "appliesTo": [{"coding": [{"code": "248152002"}]}]}
    assert ranges.of([male, female], person=ranges.Person(Decimal(40), "female")).low == 115
    assert ranges.of([male, female], person=ranges.Person(Decimal(40), "male")).low == 130
    both = ranges.of([male, female])
    assert both.text.replace("\u00a0", " ") == "Code male: 130 or more; Code 248152002: 115 or more"
    assert not both.measurable


def test_the_range_for_this_age_is_picked():
    child = {"low": {"value": 1}, "age": {"high": {"value": 17, "unit": "years"}}}
    adult = {"low": {"value": 2}, "age": {"low": {"value": 18, "unit": "years"}}}
    assert ranges.of([child, adult], person=ranges.Person(Decimal("17.9"))).low == 1
    assert ranges.of([child, adult], person=ranges.Person(Decimal(18))).low == 2


def test_a_range_upside_down_is_printed_and_flags_nothing():
    held = [{"low": {"value": 46}, "high": {"value": 38}}]
    read = results.of(observation(valueQuantity={"value": 43}, referenceRange=held))
    assert (read.range.text, read.flag.step) == ("46\u00a0to\u00a038", Step.NONE)


def test_a_range_in_another_unit_is_printed_with_it_and_flags_nothing():
    read = results.of(observation(valueQuantity=quantity(5, "mg/dL"), referenceRange=RANGE))
    assert (read.range.text.replace("\u00a0", " "), read.flag.step) == ("3.5 to 5.3 mmol/L", Step.NONE)


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        ("preliminary", Kind.PRELIMINARY, "Preliminary"),
        ("corrected", Kind.CORRECTED, "Corrected"),
        ("amended", Kind.AMENDED, "Amended"),
        ("registered", Kind.REGISTERED, "Awaited"),
        ("entered-in-error", Kind.ERROR, "Entered in error"),
        ("unknown", Kind.UNKNOWN, "Status not known"),
        (None, Kind.UNKNOWN, "Status not known"),
    ],
)
def test_anything_but_final_is_marked(status, kind, word):
    marks = results.of(observation(status=status, valueInteger=1)).marks
    assert [(m.kind, m.word) for m in marks] == [(kind, word)]


def test_what_was_entered_in_error_has_no_flag_and_is_no_measurement():
    read = results.of(observation(status="entered-in-error", valueQuantity=quantity(99), referenceRange=RANGE))
    assert (read.flag.word, read.usable) == ("", False)


def test_a_rejected_specimen_says_why():
    read = results.of(observation(status="cancelled", note=[{"text": "Sample haemolysed"}]))
    assert (read.marks[0].word, read.reason, read.usable) == ("Rejected", "Sample haemolysed", False)
    absent = results.of(observation(dataAbsentReason={"text": "Specimen unsatisfactory"}))
    assert absent.marks[0].kind is Kind.REJECTED
    assert results.of(observation(status="cancelled")).marks[0].word == "Cancelled"


def test_a_correction_keeps_the_earlier_value():
    earlier = observation(valueQuantity=quantity(102, "g/L"))
    now = observation(status="corrected", valueQuantity=quantity(120, "g/L"))
    was = results.of(now, earlier=earlier).was
    assert was
    assert was.text == "102"
    assert results.of(now, earlier=now).was is None


def part(code, name, **elements):
    return {"code": {"coding": [{"system": "http://loinc.org", "code": code, "display": name}]}, **elements}


def test_blood_pressure_is_one_value():
    pair = [
        part("8480-6", "Systolic", valueQuantity=quantity(120, "mm[Hg]"), interpretation=interpretation("N")),
        part("8462-4", "Diastolic", valueQuantity=quantity(95, "mm[Hg]"), interpretation=interpretation("H")),
    ]
    read = results.of(observation(component=pair))
    assert (read.value.with_unit, read.flag.step, read.numeric) == ("120/95\u00a0mmHg", Step.HIGH, True)


def test_half_a_blood_pressure_says_which_half_is_missing():
    pair = [
        part("8480-6", "Systolic", valueQuantity=quantity(120, "mm[Hg]")),
        part("8462-4", "Diastolic", dataAbsentReason={"coding": [{"code": "not-performed"}]}),
    ]
    assert results.of(observation(component=pair)).value.with_unit == "120/not known\u00a0mmHg"


def test_other_components_are_listed_with_their_names():
    parts = [part("1", "First", valueInteger=1), part("2", "Second", valueString="two")]
    assert results.of(observation(component=parts)).value.text == "First: 1; Second: two"


def test_decimals_keep_the_precision_they_were_sent_with():
    raw = b'{"status":"final","code":{"text":"x"},"valueQuantity":{"value":6.00}}'
    assert results.of(fhir.load(raw)).value.text == "6.00"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"null", b'{"a":' * 5000, "{" * 100000])
def test_a_text_that_is_no_resource_reads_as_nothing(raw):
    assert fhir.load(raw) == {}


def test_numbers_that_no_clinic_means_spoil_nothing_else():
    read = fhir.load('{"id": "x", "a": 1e999999999999999999999, "b": ' + "9" * 5000 + ', "c": NaN}')
    assert read["id"] == "x"
    assert [fhir.number(read[key]) for key in "abc"] == [None, None, None]


@pytest.mark.parametrize(
    ("coded", "written", "alike"),
    [("mm[Hg]", "mmHg", True), ("umol/L", "µmol/L", True), ("mmol/L", "mg/dL", False), ("m[iU]/L", "[iU]/L", False)],
)
def test_units_that_read_alike_are_one_unit_and_others_are_not(coded, written, alike):
    by_code = amounts.result_unit({"unit": "whatever", "system": "http://unitsofmeasure.org", "code": coded})
    assert (by_code == amounts.result_unit({"unit": written})) is alike
