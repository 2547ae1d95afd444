"""What a type and a label mean: which section, which classes, and that what is not known stays hidden."""

from __future__ import annotations

import pytest

from records.labels import classes_of_labels, own_classes
from records.models import Section, SensitiveClass
from records.sections import BY_TYPE, section_of
from tests.records.feeds import ACT_CODE, CONFIDENTIALITY, label, labelled

VITALS = [{"coding": [{"code": "vital-signs"}]}]
LAB = [{"coding": [{"code": "laboratory"}]}]


@pytest.mark.parametrize(
    ("resource", "section"),
    [
        ({"resourceType": "Condition"}, Section.PROBLEMS),
        ({"resourceType": "MedicationRequest"}, Section.MEDICINES),
        ({"resourceType": "Immunization"}, Section.IMMUNISATIONS),
        ({"resourceType": "ServiceRequest"}, Section.CARE_PLANS),
        ({"resourceType": "Observation", "category": VITALS}, Section.VITALS),
        ({"resourceType": "Observation", "category": LAB}, Section.RESULTS),
        ({"resourceType": "Observation"}, Section.RESULTS),
        ({"resourceType": "Observation", "code": {"coding": [{"code": "8867-4"}]}}, Section.VITALS),
        ({"resourceType": "DiagnosticReport", "result": [{}], "presentedForm": [{}]}, Section.RESULTS),
        ({"resourceType": "DiagnosticReport", "presentedForm": [{}]}, Section.DOCUMENTS),
        ({"resourceType": "List", "code": {"coding": [{"code": "10160-0"}]}}, Section.MEDICINES),
        ({"resourceType": "List"}, None),
        ({"resourceType": "Claim"}, None),
        ({"resourceType": "ExplanationOfBenefit"}, None),
        ({"resourceType": "Consent"}, None),
        ({"resourceType": "Provenance"}, None),
        ({"resourceType": "Basic"}, None),
    ],
)
def test_a_type_belongs_to_one_section_or_to_none(resource, section):
    assert section_of(resource) == section


def test_every_section_can_be_reached():
    assert {*BY_TYPE.values(), Section.RESULTS, Section.VITALS} == set(Section)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (None, set()),
        ([], set()),
        (["N"], set()),
        (["L"], set()),
        (["PSY"], {"mental_health"}),
        (["PSYTHPN"], {"psychotherapy"}),
        (["SUD"], {"substance_use"}),
        (["42CFRPart2"], {"substance_use"}),
        (["STD"], {"sexual_health"}),
        (["HIV"], {"hiv"}),
        (["SDV"], {"violence"}),
        (["GDIS"], {"genetic"}),
        (["CEL"], {"other"}),
        (["R", "HIV"], {"hiv"}),
        (["V", "HIV", "SUD"], {"hiv", "substance_use"}),
        (["R"], {"restricted"}),
        (["V"], {"restricted"}),
        (["R", "NORDSCLCD"], {"restricted"}),
        (["NORDSCLCD"], set()),
        (["NODSCLCD"], {"unknown"}),
        (["CTCOMPT"], {"unknown"}),
        (["HIV", "NEWCODE"], {"hiv", "unknown"}),
    ],
)
def test_labels_mean_classes(labels, classes):
    assert classes_of_labels(labels and labelled(*labels)["security"]) == classes


@pytest.mark.parametrize(
    "labels",
    [
        [label("HIV", "https://elsewhere.example/labels")],
        [{"code": "HIV"}],
        [{"system": ACT_CODE}],
        [{"system": ACT_CODE, "display": "HIV"}],
        [{"system": [], "code": {}}],
        [label("hiv")],
        [None],
        ["HIV"],
        {"system": ACT_CODE, "code": "HIV"},
        "R",
        [label("HIV", CONFIDENTIALITY)],
    ],
)
def test_a_label_that_is_not_understood_hides(labels):
    assert SensitiveClass.UNKNOWN in classes_of_labels(labels)


def test_test_data_and_names_of_older_systems_are_understood():
    reason = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
    assert classes_of_labels([label("HTEST", reason), label("N", "http://hl7.org/fhir/v3/Confidentiality")]) == set()
    assert classes_of_labels([label("HIV", "urn:oid:2.16.840.1.113883.5.4")]) == {"hiv"}


def test_contained_resources_and_single_elements_count_for_the_whole():
    url = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"
    resource = {
        "meta": labelled("N"),
        "contained": [{"meta": labelled("PSY")}],
        "note": [{"extension": [{"url": url, "valueCoding": label("HIV")}]}],
    }
    assert own_classes(resource) == {"mental_health"}
    assert own_classes(resource, inline=True) == {"mental_health", "hiv"}
