"""Whatever a source sends, a page can be drawn: no error, no text that reorders the page, no `None`."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from records.display.words import clean, clean_lines
from tests.records.display.readers import READERS, read, strings

ELEMENTS = [
    "resourceType", "id", "status", "code", "coding", "text", "display", "system", "value", "unit", "valueQuantity",
    "valueString", "valueRatio", "valueRange", "valueSampledData", "valueCodeableConcept", "numerator", "denominator",
    "component", "referenceRange", "low", "high", "age", "appliesTo", "interpretation", "dataAbsentReason", "extension",
    "effectiveDateTime", "effectivePeriod", "start", "end", "issued", "note", "category", "name", "family", "given",
    "prefix", "use", "period", "birthDate", "gender", "deceasedDateTime", "deceasedBoolean", "identifier", "type",
    "address", "telecom", "contact", "communication", "link", "clinicalStatus", "verificationStatus", "criticality",
    "reaction", "manifestation", "severity", "onsetAge", "onsetDateTime", "recordedDate", "vaccineCode",
    "occurrenceDateTime", "protocolApplied", "doseNumberPositiveInt", "performedPeriod", "performer", "actor",
    "class", "participant", "location", "hospitalization", "content", "attachment", "contentType", "data", "title",
    "presentedForm", "conclusion", "div", "relatesTo", "target", "reference", "author", "dosageInstruction", "timing",
    "repeat", "frequency", "period", "periodUnit", "when", "timeOfDay", "dayOfWeek", "boundsPeriod", "doseAndRate",
    "doseQuantity", "rateRatio", "asNeededBoolean", "maxDosePerPeriod", "route", "site", "sequence",
    "medicationCodeableConcept", "medicationReference", "contained", "intent", "doNotPerform", "dispenseRequest",
    "hasMember", "result", "_birthDate", "meta",
]  # fmt: skip
TEXTS = st.sampled_from(
    ["", " ", "active", "final", "2026-02-30", "2026-06-01T08:40:00Z", "9999-12-31T23:59:59-23:59", "8480-6", "H",
     "#x", "mg", "\ud800", "a\u202eb", "\u2066\u2066", "text/html", "<b>x", "PHNjcmlwdD4=", "x" * 5000, "e\u0301" * 9]
) | st.text(st.characters(exclude_categories=()), max_size=12)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | TEXTS
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ELEMENTS), inner, max_size=5),
    max_leaves=25,
)

UNSAFE = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\x00-\x08\x0e-\x1f\x7f]")


def check(resource):
    for text in strings(read(resource)):
        assert not UNSAFE.search(text), repr(text)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.sampled_from(sorted(READERS)), st.dictionaries(st.sampled_from(ELEMENTS), JUNK, max_size=12))
def test_any_elements_of_any_type_are_read_without_an_error(kind, elements):
    check({**elements, "resourceType": kind})


@pytest.mark.parametrize("kind", sorted(READERS))
@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1, 1e308, float("nan"), "", "x", [], [None], [[]], {}, {"coding": "x"}, [{}], [1, "x", {}]],
)
def test_every_element_of_a_type_may_be_of_the_wrong_kind(kind, value):
    check({**dict.fromkeys(ELEMENTS, value), "resourceType": kind})


@pytest.mark.parametrize("kind", sorted(READERS))
def test_a_resource_with_nothing_in_it_is_words_throughout(kind):
    drawn = strings(read({"resourceType": kind}))
    assert not [text for text in drawn if "None" in text.split()]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("a\u202eb\u2069", "ab"),
        ("\ud83d alone", "\ufffd alone"),
        ("a\x00\x1b[31mb", "a[31mb"),
        ("two\r\nlines\u2028here", "two lines here"),
        ("  much   room ", "much room"),
        ("\u0645\u062d\u0645\u062f", "\u0645\u062d\u0645\u062f"),
        ("e\u0301", "é"),
        ("x" + "\u0335" * 50, "x" + "\u0335" * 6),
        (None, ""),
        (5, ""),
        (["x"], ""),
    ],
)
def test_a_text_cannot_hide_reorder_or_overprint_others(sent, shown):
    assert clean(sent) == shown


def test_a_text_that_was_shortened_says_by_how_much():
    assert clean_lines("x" * 4100).endswith("x [… +100]")


@given(st.text() | TEXTS)
def test_a_plain_line_reads_the_same_on_the_short_way(text):
    assert clean(text) == " ".join(clean_lines(text).split())
