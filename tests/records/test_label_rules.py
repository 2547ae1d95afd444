"""Labels by code: the blocks of ICD-10 and of its modifications, each with what lies beside it and is not meant."""

from __future__ import annotations

import tomllib

import pytest

from records.label_rules import DATA, classes_by_code, rules
from records.models import SensitiveClass

WHO, CM, GM = (f"http://hl7.org/fhir/sid/{name}" for name in ("icd-10", "icd-10-cm", "icd-10-gm"))


def by_code(system: str, code: str) -> set[SensitiveClass]:
    return classes_by_code({"code": {"coding": [{"system": system, "code": code}]}})


@pytest.mark.parametrize(
    ("codes", "classes"),
    [
        ("B20 B24 B23.8 Z21 R75 Z20.6 Z11.4 Z71.7 U60.9 U61.1 O98.7 B97.35", "hiv"),
        ("F02.4", "hiv mental_health"),
        ("F10 F10.2 F16.1 F18.9 F19.20 F55.8 Z71.5 K70.3 T40.2X1A Y91.1 R78.0 Z72.2", "substance_use"),
        ("F00.1 F03 F20.0 F32.1 F33 F41.9 F48 F50.0 F53 F60.31 F63 F70 F84.0 F90.0 F99", "mental_health"),
        ("X60 X64.9 X71.0XXA X78 X79 X84 T14.91XA R45.851 Z91.5 Z91.51", "mental_health"),
        ("A50.9 A56.2 A60 A63.0 A64 O04.8 O07.4 Z33.2 Z30.430 Z64.0 F52.4 F64.0 N52.9 N97 Z72.51", "sexual_health"),
        ("X85 X91 X92.0XXA X99 Y00 Y04.0 Y05 Y07.01 Y09 T74.11XA T76.2 Z69.11 Z62.810 O9A.311 Z04.4", "violence"),
        ("G10 Z14.1 Z15.01 D57.1 Z13.71", "genetic"),
        ("Z31.5", "sexual_health genetic"),
        # what lies beside them
        ("F17.210 B19 B25 B97.7 O03 O08 O80 A49 A65 A69.2 X59 Y10 Y35 R45.1 Z91.1 T39 Z72.0 Z13.6 N39 E11 I10", ""),
        ("F FX 86406008 B2", ""),
    ],
)
@pytest.mark.parametrize("system", [WHO, CM, GM])
def test_icd10_counts_by_its_beginning_and_nothing_beside_it(codes, classes, system):
    for code in codes.split():
        assert by_code(system, code) == set(classes.split()), code
        assert by_code(system, code.replace(".", "").lower()) == set(classes.split()), code


def test_other_systems_count_by_the_whole_code():
    snomed = "http://snomed.info/sct"
    assert by_code(snomed, "86406008") == {"hiv"}
    assert by_code(snomed, "8640600") == by_code(snomed, "864060081") == by_code("urn:other", "86406008") == set()


HIV = {"coding": [{"system": "urn:other", "code": "1"}, {"system": "http://snomed.info/sct", "code": "86406008"}]}


@pytest.mark.parametrize(
    "content",
    [
        {"conclusionCode": [HIV]},
        {"component": [{}, {"code": HIV}]},
        {"component": [{"code": {"text": "Answer"}, "valueCodeableConcept": HIV}]},
        {"ingredient": [{"itemCodeableConcept": HIV}]},
        {"condition": [{"code": HIV}]},
        {"activity": [{"detail": {"code": HIV}}]},
        {"activity": [{"detail": {"reasonCode": [HIV]}}]},
        {"finding": [{"itemCodeableConcept": HIV}]},
        {"event": [{"code": [HIV]}]},
        {"contained": [{"component": [{"code": HIV}]}]},
    ],
)
def test_parts_that_are_content_count(content):
    assert classes_by_code(content) == {"hiv"}


def test_what_is_mentioned_in_passing_does_not_count():
    passing = [
        {"resourceType": "PractitionerRole", "specialty": [HIV]},
        {"bodySite": HIV},
        {"component": [{"dataAbsentReason": HIV}]},
        {"condition": {"display": "HIV"}},
    ]
    assert [classes_by_code(one) for one in passing] == [set()] * 4


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Medication", "ingredient": [{}, {"itemCodeableConcept": HIV}]},
        {"resourceType": "FamilyMemberHistory", "condition": [{"code": HIV}]},
        {"resourceType": "ClinicalImpression", "finding": [{"itemCodeableConcept": HIV}]},
        {"resourceType": "ClinicalImpression", "prognosisCodeableConcept": [HIV]},
        {"resourceType": "Appointment", "specialty": [HIV]},
        {"resourceType": "ImmunizationRecommendation", "recommendation": [{"targetDisease": HIV}]},
        {"resourceType": "Composition", "section": [{"section": [{"code": HIV}]}]},
        {
            "resourceType": "QuestionnaireResponse",
            "item": [{"item": [{"answer": [{"item": [{"answer": [{"valueCoding": HIV["coding"][1]}]}]}]}]}],
        },
    ],
    ids=lambda resource: resource["resourceType"],
)
def test_a_type_that_says_further_in_what_it_is_about_is_looked_into(resource):
    assert classes_by_code(resource) == {"hiv"}


def test_a_form_of_loinc_and_its_questions_count():
    form = {"resourceType": "QuestionnaireResponse", "questionnaire": "http://loinc.org/q/44249-1|2.1"}
    assert classes_by_code(form) == {"mental_health"}
    asked = {"resourceType": "QuestionnaireResponse", "item": [{"linkId": "1", "item": [{"linkId": "/44249-1"}]}]}
    assert classes_by_code(asked) == {"mental_health"}
    assert classes_by_code({**form, "questionnaire": "Questionnaire/falls"}) == set()


def test_the_lists_are_of_classes_that_can_be_granted_and_say_nothing_twice():
    tables = tomllib.loads(DATA.read_text())
    named = set(tables) - {"version", "systems"}
    assert named <= set(SensitiveClass.values) - {"restricted", "unknown"}
    for name in named:
        for system, codes in tables[name].items():
            assert system in tables["systems"]
            assert len(codes) == len(set(codes)), (name, system)
    icd10 = [(name, code.replace(".", "")) for name in named for code in tables[name].get("icd10", ())]
    for name, code in icd10:
        shorter = [other for list_, other in icd10 if list_ == name and other != code and code.startswith(other)]
        assert not shorter, f"{name}: {code} is in {shorter} already"
    assert rules().version >= 3
