"""Medicine lines: whole, in order, in long forms."""

import json
from datetime import date
from decimal import Decimal

import pytest

from records.display import amounts, medicines, timing
from records.display.dates import of_day

TODAY = date(2026, 6, 1)
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def request(text="furosemide", *, dosage=None, system="", **more):
    return {
        "resourceType": "MedicationRequest",
        "id": "m",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": text, "coding": [{"system": system, "code": "1"}]},
        "authoredOn": "2026-05-20",
        "dosageInstruction": [dosage] if dosage else [],
        **more,
    }


def line(resource):
    return medicines.of(resource, TODAY).spoken.replace("\u00a0", " ")


def mg(value, unit="mg"):
    return {"doseAndRate": [{"doseQuantity": {"value": value, "unit": unit}}]}


DAILY = {"timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}}
ORAL = {"route": {"coding": [{"display": "Oral route (qualifier value)"}]}}


def test_a_line_goes_name_strength_form_dose_route_frequency():
    held = request("Furosemide 20 MG Oral Tablet [Lasix]", system=RXNORM, dosage={**mg(40), **DAILY, **ORAL})
    assert line(held) == "Furosemide — LASIX — 20 mg — oral tablet — DOSE 40 mg — oral — once a day"
    roles = [part.role for part in medicines.of(held, TODAY).line]
    assert roles == ["drug", "brand", "strength", "form", "dose", "route", "frequency"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Digoxin 0.125 MG Oral Tablet", ["Digoxin", "125 micrograms", "oral tablet"]),
        ("Vitamin B 12 5 MG/ML Injectable Solution", ["Vitamin B 12", "5 mg per mL", "injectable solution"]),
        ("Clonazepam [Klonopin]", ["Clonazepam", "KLONOPIN"]),
        ("predniSONE 5 MG Oral Tablet", ["predniSONE", "5 mg", "oral tablet"]),
        ("Hydrochlorothiazide 25 MG", ["Hydrochlorothiazide", "25 mg"]),
        # Names that do not match RxNorm's order wholly are left alone.
        (
            "Amoxicillin 250 MG / Clavulanate 125 MG Oral Tablet",
            ["Amoxicillin 250 MG / Clavulanate 125 MG Oral Tablet"],
        ),
        ("10 ML Furosemide 10 MG/ML Injection", ["10 ML Furosemide 10 MG/ML Injection"]),
        ("Jolivette 28 Day Pack", ["Jolivette 28 Day Pack"]),
        ("Lasix 40mg", ["Lasix 40mg"]),
    ],
)
def test_rxnorm_names_are_taken_apart_only_where_they_match_wholly(text, parts):
    held = medicines.of(request(text, system=RXNORM), TODAY)
    assert [part.text.replace("\u00a0", " ") for part in held.name] == parts


def test_a_name_in_another_vocabulary_is_printed_as_it_is():
    assert (
        medicines.of(request("Digoxin 0.125 MG Oral Tablet", system="urn:local"), TODAY).drug
        == "Digoxin 0.125 MG Oral Tablet"
    )


def test_a_long_name_is_never_cut():
    assert medicines.of(request("Verylongname " * 60), TODAY).drug == ("Verylongname " * 60).strip()


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (Decimal("0.50"), "tablet", "0.5 tablets"),
        (Decimal("2.50"), "mg", "2.5 mg"),
        (1000, "mg", "1,000 mg"),
        (Decimal("0.5"), "g", "500 mg"),
        (Decimal("0.125"), "mg", "125 micrograms"),
        (Decimal("0.1234567"), "mg", "0.1234567 mg"),
        (75, "mcg", "75 micrograms"),
        (10, "U", "10 units"),
        (1, "TAB", "1 tablet"),
        (2, "tabs", "2 tablets"),
        (4, "ug/kg/min", "4 micrograms per kg per minute"),
        (50, "ml/h", "50 mL per hour"),
        (5, "mg.", "5 mg"),
        (1, "VAGTAB", "1 VAGTAB"),
    ],
)
def test_doses_are_written_so_that_they_cannot_be_misread(value, unit, shown):
    amount = amounts.dose({"value": value, "unit": unit})
    assert amount is not None
    assert amount.text.replace("\u00a0", " ") == shown


def test_a_converted_dose_says_how_it_was_recorded():
    dose = medicines.of(request(dosage=mg(Decimal("0.125"))), TODAY).dosages[0].parts[0]
    assert (dose.text, dose.remark) == ("125\u00a0micrograms", "recorded as 0.125\u00a0mg")


def test_amount_and_unit_never_break_apart():
    for part in medicines.of(request(dosage={**mg(1000), **DAILY}), TODAY).line:
        if part.role == "dose":
            assert " " not in part.text


@pytest.mark.parametrize("dosage", [None, {}, {"text": "as directed"}, mg(None), mg("5"), {"doseAndRate": "junk"}])
def test_a_missing_dose_is_said_and_never_null_or_nothing(dosage):
    assert "Dose not recorded" in line(request(dosage=dosage))
    assert "None" not in line(request(dosage=dosage))


def test_a_dose_without_a_unit_says_so():
    dose = medicines.of(request(dosage={"doseAndRate": [{"doseQuantity": {"value": 1}}]}), TODAY).dosages[0].parts[0]
    assert (dose.text, dose.remark) == ("1", "unit not recorded")


def test_the_sources_sentence_stays_beside_what_it_coded():
    held = medicines.of(request(dosage={**mg(5), "text": "5 mg with food,\n not after 6 pm"}), TODAY)
    assert held.dosages[0].written == "5 mg with food,\n not after 6 pm"


def test_every_step_of_the_instructions_is_kept_in_order():
    steps = [{"sequence": 2, **mg(2)}, {"sequence": 1, **mg(4)}]
    held = medicines.of(request(dosageInstruction=steps), TODAY)
    assert [d.parts[0].text for d in held.dosages] == ["4\u00a0mg", "2\u00a0mg"]


@pytest.mark.parametrize(
    ("repeat", "words"),
    [
        ({"frequency": 1, "period": 1, "periodUnit": "d"}, "once a day"),
        ({"frequency": 2, "period": 1, "periodUnit": "d"}, "twice a day"),
        ({"frequency": 3, "period": 1, "periodUnit": "wk"}, "3 times a week"),
        ({"frequency": 1, "period": 6, "periodUnit": "h"}, "every 6 hours"),
        ({"frequency": 1, "period": 1, "periodUnit": "h"}, "every hour"),
        ({"frequency": 1, "period": 4, "periodMax": 6, "periodUnit": "h"}, "every 4 to 6 hours"),
        ({"frequency": 1, "period": 2, "periodUnit": "d"}, "once every 2 days"),
        ({"frequency": 1, "frequencyMax": 2, "period": 1, "periodUnit": "d"}, "1 to 2 times a day"),
        ({"frequency": 1, "period": 1, "periodUnit": "d", "when": ["MORN"]}, "once a day in the morning"),
        (
            {"frequency": 1, "period": 1, "periodUnit": "d", "when": ["ACM"], "offset": 10},
            "once a day 10 minutes before breakfast",
        ),
        ({"when": ["MORN", "HS"]}, "in the morning and at bedtime"),
        ({"timeOfDay": ["09:00:00", "21:00:00"]}, "at 09:00 and 21:00"),
        (
            {"frequency": 1, "period": 1, "periodUnit": "d", "dayOfWeek": ["mon", "thu"]},
            "once a day on Monday and Thursday",
        ),
        ({"period": Decimal("0.5"), "frequency": 1, "periodUnit": "d"}, "once every 0.5 days"),
        ({"frequency": "1", "period": None, "periodUnit": ["d"], "when": [7], "dayOfWeek": "x"}, ""),
        ({}, ""),
    ],
)
def test_frequency_is_said_in_words(repeat, words):
    assert timing.in_words({"repeat": repeat}).replace("\u00a0", " ") == words


@pytest.mark.parametrize(
    ("code", "words"), [("BID", "twice a day"), ("Q6H", "every 6 hours"), ("bed", "once a day at bedtime")]
)
def test_latin_abbreviations_are_written_out(code, words):
    assert timing.in_words({"code": {"coding": [{"code": code}]}}) == words
    assert timing.in_words({"code": {"text": code}}) == words


@pytest.mark.parametrize(
    ("dosage", "words"),
    [
        ({"asNeededBoolean": True}, "when needed"),
        ({"asNeededBoolean": True, **DAILY}, "once a day when needed"),
        ({"asNeededCodeableConcept": {"text": "pain"}}, "when needed for pain"),
        ({"asNeededBoolean": False}, ""),
    ],
)
def test_as_needed_is_part_of_the_frequency(dosage, words):
    parts = medicines.of(request(dosage=dosage), TODAY).dosages[0].parts
    assert "".join(part.text for part in parts if part.role == "frequency") == words


def test_limit_course_and_rate_are_parts_of_the_line():
    dosage = {
        "doseAndRate": [
            {
                "doseRange": {"low": {"value": 1, "unit": "g"}, "high": {"value": 2, "unit": "g"}},
                "rateQuantity": {"value": 50, "unit": "mL/h"},
            }
        ],
        "maxDosePerPeriod": {"numerator": {"value": 8, "unit": "g"}, "denominator": {"value": 1, "unit": "d"}},
        "timing": {"repeat": {"boundsDuration": {"value": 7, "code": "d"}, "duration": 30, "durationUnit": "min"}},
    }
    assert line(request(dosage=dosage)) == (
        "furosemide — DOSE 1 to 2 g — 50 mL per hour — over 30 minutes — for 7 days — MAXIMUM 8 g in 24 hours"
    )


def bounded(end):
    return {"timing": {"repeat": {"boundsPeriod": {"start": "2026-01-01", "end": end}}}}


@pytest.mark.parametrize(
    ("changes", "standing", "words"),
    [
        ({}, "current", []),
        ({"status": "on-hold"}, "current", ["On hold"]),
        ({"status": "draft"}, "current", ["Draft, not ordered"]),
        ({"intent": "proposal"}, "current", ["Proposed"]),
        ({"intent": "plan"}, "current", ["Planned"]),
        ({"status": None}, "current", ["Status not known"]),
        ({"status": "stopped"}, "past", ["Stopped"]),
        ({"status": "completed"}, "past", ["Completed"]),
        ({"status": "cancelled"}, "past", ["Cancelled"]),
        ({"status": "entered-in-error"}, "error", ["Entered in error"]),
        ({"dosageInstruction": [bounded("2026-05-31")]}, "past", ["Ended by its dates"]),
        ({"dosageInstruction": [bounded("2026-06-01")]}, "current", []),
        # How long it can be dispensed is not how long it is taken: a current medicine must not be hidden as past.
        ({"dispenseRequest": {"validityPeriod": {"end": "2020-01-01"}}}, "current", []),
        ({"doNotPerform": True}, "current", ["Do not give"]),
    ],
)
def test_current_and_past_follow_status_and_dates(changes, standing, words):
    held = medicines.of({**request(), **changes}, TODAY)
    assert (held.standing, [mark.word for mark in held.marks]) == (standing, words)


def test_a_medicine_not_to_be_given_has_no_dose_and_stands_apart():
    refused = medicines.of(request("penicillin", doNotPerform=True, authoredOn="1990"), TODAY)
    assert refused.dosages == ()
    held = medicines.sort([medicines.of(request(), TODAY), refused], TODAY)
    assert held.not_to_give == (refused,)
    assert refused not in held.current


def test_current_goes_by_newest_start_and_past_by_newest_end():
    held = [
        medicines.of(request(name, status=status, authoredOn=start, dosageInstruction=[bounded(end)]), TODAY)
        for name, status, start, end in [("a", "stopped", "2020", "2025-01-01"), ("b", "stopped", "2021", "2026-05-28")]
    ]
    held += [
        medicines.of(request(name, authoredOn=start), TODAY)
        for name, start in [("c", "2020-01-01"), ("d", "2026-01-01")]
    ]
    arranged = medicines.sort(held, TODAY)
    assert [m.drug for m in arranged.current] == ["d", "c"]
    assert [m.drug for m in arranged.past] == ["b", "a"]
    assert [m.drug for m in arranged.recently_stopped] == ["b"]


def test_a_stop_without_a_date_uses_when_the_source_changed_it():
    stopped = medicines.of(request(status="stopped"), TODAY, changed=of_day(date(2026, 5, 28)))
    assert stopped.ended.text == "28-May-2026"
    assert medicines.of(request(status="stopped"), TODAY).ended.text == "Date not recorded"


def test_why_it_was_stopped_is_kept():
    assert (
        medicines.of(request(status="stopped", statusReason={"text": "raised potassium"}), TODAY).stopped_because
        == "raised potassium"
    )


@pytest.mark.parametrize(
    ("more", "source"),
    [
        ({}, "Main site"),
        ({"informationSource": {"reference": "Patient/1"}}, "Stated by the patient"),
        ({"informationSource": {"reference": "RelatedPerson/1"}}, "Stated by a relative"),
        ({"reportedBoolean": True}, "Reported, not prescribed here"),
        ({"reportedReference": {"reference": "Practitioner/1", "display": "Dr A"}}, "Reported by Dr A"),
    ],
)
def test_the_source_of_a_medicine_is_named(more, source):
    assert medicines.of(request(**more), TODAY, facility="Main site").source == source


def test_a_medication_statement_reads_like_a_request():
    held = medicines.of(
        {
            "resourceType": "MedicationStatement",
            "status": "active",
            "contained": [
                {"resourceType": "Medication", "id": "x", "code": {"text": "apixaban"}, "form": {"text": "Tablet"}}
            ],
            "medicationReference": {"reference": "#x"},
            "effectivePeriod": {"start": "2024-01-09"},
            "dosage": [{**mg(5), **DAILY}],
        },
        TODAY,
    )
    assert held.spoken.replace("\u00a0", " ") == "apixaban — tablet — DOSE 5 mg — once a day"
    assert (held.started.text, held.ended.text) == ("09-Jan-2024", "Not ended")


def test_a_medication_elsewhere_names_the_medicine():
    held = request(medicationReference={"reference": "Medication/1"})
    del held["medicationCodeableConcept"]
    assert medicines.of(held, TODAY).drug == "Medicine not named"
    medication = {"ingredient": [{"itemCodeableConcept": {"text": "A"}}, {"itemCodeableConcept": {"text": "B"}}]}
    assert medicines.of(medicines.holding(held, json.dumps(medication)), TODAY).drug == "A and B"


@pytest.mark.parametrize(
    ("numerator", "denominator", "strength"),
    [
        ({"value": 500, "unit": "mg"}, {"value": 1, "unit": "Tab"}, "500 mg"),
        ({"value": 5, "unit": "mg"}, {"value": 1, "unit": "mL"}, "5 mg in 1 mL"),
        ({"value": Decimal("0.25"), "unit": "mg"}, None, "250 micrograms"),
        ({"value": "x"}, {"value": 1}, None),
    ],
)
def test_strength_is_read_from_a_single_ingredient(numerator, denominator, strength):
    ingredient = {
        "itemCodeableConcept": {"text": "x"},
        "strength": {"numerator": numerator, "denominator": denominator},
    }
    held = request(
        medicationReference={"reference": "#x"},
        contained=[{"id": "x", "code": {"text": "x"}, "ingredient": [ingredient]}],
    )
    del held["medicationCodeableConcept"]
    found = [part.text.replace("\u00a0", " ") for part in medicines.of(held, TODAY).name if part.role == "strength"]
    assert found == ([strength] if strength else [])


def test_no_known_medicines_is_a_statement_without_a_dose():
    held = request()
    held["medicationCodeableConcept"] = {
        "coding": [{"code": "787481004", "display": "No known medications (situation)"}]
    }
    assert line(held) == "No known medications"
