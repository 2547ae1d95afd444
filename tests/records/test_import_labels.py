"""Sensitive from the first day: a label counts for all that tells of it, and until that is known nothing is seen."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command

from records import label_rules, requested
from records.importing import extraction, running, storing
from records.importing.storing import Store
from records.management.commands import relabel as relabel_command
from records.models import Resource, ResourceVersion, SensitiveClass, Source
from tests.factories import WORKER
from tests.records.feeds import about, bundle, labelled, observation, patient, ref, refs

HIV = labelled("R", "HIV")
PSY = labelled("PSY")


def test_a_label_that_nobody_knows_hides_the_resource(feed):
    feed.send(patient(), observation(meta=labelled("FUTURECODE")), observation("o2", meta=labelled("R")))
    assert feed.classes("Observation/o1") == {"unknown"}
    assert feed.classes("Observation/o2") == {"restricted"}


def test_contained_and_inline_labels_count(feed):
    url = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"
    inline = [{"extension": [{"url": url, "valueCoding": HIV["security"][1]}]}]
    feed.send(
        patient(),
        about("Condition", "c1", contained=[{"resourceType": "Observation", "id": "x", "meta": PSY}]),
        about("Condition", "c2", note=inline),
    )
    assert feed.classes("Condition/c1") == {"mental_health"}
    assert feed.classes("Condition/c2") == {"hiv"}


def test_the_labels_of_a_bundle_count_for_all_in_it(feed):
    feed.write("b.json", bundle(patient(), observation(), meta=HIV))
    feed.run()
    assert feed.classes("Observation/o1") == {"hiv"}
    assert feed.patient().classes == ["hiv"]


def test_a_patients_labels_count_for_the_whole_record(feed):
    feed.send(observation(), patient(meta=labelled("V")), about("Condition", "c1", meta=PSY))
    assert feed.patient().classes == ["restricted"]
    assert feed.classes("Observation/o1") == {"restricted"}
    assert feed.classes("Condition/c1") == {"mental_health", "restricted"}


def test_a_patients_label_that_comes_later_counts_and_can_be_taken_back(feed):
    feed.send(patient(), observation(), about("DiagnosticReport", "r1", result=refs("Observation/o1")))
    feed.send(patient(meta=PSY))
    assert feed.patient().classes == ["mental_health"]
    assert feed.classes("Observation/o1") == feed.classes("DiagnosticReport/r1") == {"mental_health"}
    feed.send(patient(meta=labelled("N")))
    assert feed.patient().classes == []
    assert feed.classes("Observation/o1") == feed.classes("DiagnosticReport/r1") == set()


CONTAINERS = {
    "DiagnosticReport": {"result": refs("Observation/o1")},
    "List": {"entry": [{"item": ref("Observation/o1")}]},
    "Composition": {"section": [{"section": [{"entry": refs("Observation/o1")}]}]},
    "Provenance": {"target": refs("Patient/p1", "Observation/o1")},
    "DocumentReference": {"context": {"related": refs("Observation/o1")}},
    "DocumentManifest": {"content": refs("Observation/o1")},
    "CarePlan": {"activity": [{"reference": ref("Observation/o1")}]},
    "Observation": {"hasMember": refs("Observation/o1")},
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_container_carries_what_it_holds(feed, kind, order):
    container = about(kind, "x", **CONTAINERS[kind])
    feed.send(*[patient(), observation(meta=HIV), container][::order])
    assert feed.classes(f"{kind}/x") == {"hiv"}
    assert feed.resource(f"{kind}/x").own_classes == []


NAMED = {"reference": "Condition/c1", "display": "What the problem is called"}
NAMING = {
    "MedicationRequest": {"reasonReference": [NAMED]},
    "Procedure": {"reasonReference": [NAMED]},
    "Encounter": {"diagnosis": [{"condition": NAMED}]},
    "CarePlan": {"addresses": [NAMED]},
    "Condition": {"evidence": [{"detail": [NAMED]}]},
    "Observation": {"focus": [NAMED]},
    "Composition": {"event": [{"detail": [NAMED]}]},
    "DocumentReference": {"context": {"encounter": [NAMED]}},
    "DiagnosticReport": {"specimen": [NAMED]},
    "MedicationDispense": {"statusReasonReference": NAMED},
    "QuestionnaireResponse": {"item": [{"linkId": "1", "item": [{"answer": [{"valueReference": NAMED}]}]}]},
}


@pytest.mark.parametrize("order", [False, True])
@pytest.mark.parametrize("kind", NAMING)
def test_what_says_in_words_what_it_points_at_carries_the_labels_of_that(feed, kind, order):
    """A medicine "for HIV infection" tells the problem, whose own entry is withheld."""
    named = about("Condition", "c1", meta=labelled("HIV"))
    naming = about(kind, "naming", **NAMING[kind])
    without = json.loads(json.dumps(naming).replace(', "display": "What the problem is called"', ""))
    without["id"] = "without"
    resources = [patient(), named, naming, without]
    feed.send(*(resources if order else reversed(resources)))
    assert feed.classes(f"{kind}/naming") == {"hiv"}
    assert feed.classes(f"{kind}/without") == set()
    feed.send({**named, "meta": {}})
    assert feed.classes(f"{kind}/naming") == set()


def test_a_prescription_carries_the_labels_of_its_medicine(feed):
    feed.send(
        patient(),
        about("MedicationRequest", "m1", medicationReference=ref("Medication/d1")),
        {"resourceType": "Medication", "id": "d1", "meta": HIV, "code": {"text": "Dolutegravir"}},
    )
    assert feed.classes("MedicationRequest/m1") == {"hiv"}


def test_labels_travel_up_through_containers_of_containers(feed):
    feed.send(
        patient(),
        about("Composition", "c1", section=[{"entry": refs("DiagnosticReport/r1")}]),
        about("DiagnosticReport", "r1", result=refs("Observation/panel")),
        observation("panel", hasMember=refs("Observation/o1")),
        observation(meta=HIV),
    )
    assert feed.classes("Composition/c1") == feed.classes("Observation/panel") == {"hiv"}


def test_containers_that_hold_each_other_do_not_go_round_for_ever(feed):
    feed.send(
        patient(),
        about("DocumentReference", "d1", context={"related": refs("Composition/c1")}),
        about("Composition", "c1", section=[{"entry": refs("DocumentReference/d1", "Observation/o1")}]),
        observation(meta=HIV),
    )
    assert feed.classes("DocumentReference/d1") == feed.classes("Composition/c1") == {"hiv"}


def test_a_label_that_arrives_later_reaches_what_is_there(feed):
    feed.send(patient(), about("DiagnosticReport", "r1", result=refs("Observation/o1")))
    assert feed.classes("DiagnosticReport/r1") == set()
    feed.send(observation(meta=HIV))
    assert feed.classes("DiagnosticReport/r1") == {"hiv"}
    feed.send(observation(meta=labelled("N")))
    assert feed.classes("DiagnosticReport/r1") == set()


def test_a_container_is_hidden_until_its_content_is_known(feed, monkeypatch):
    """Between two batches, as another connection would see it."""
    monkeypatch.setattr("records.importing.running.ROWS", 2)
    seen = []
    write = storing.Store.write

    def watched(store, batch, **how):
        write(store, batch, **how)
        rows = Resource.objects.using("owner_view").filter(type="DiagnosticReport")
        seen.extend(set(row.classes) for row in rows)

    from django.db import connections

    connections["owner_view"] = connections.create_connection(WORKER)
    monkeypatch.setattr(storing.Store, "write", watched)
    try:
        feed.send(
            patient(), about("DiagnosticReport", "r1", result=refs("Observation/o1")), observation("o2"),
            observation("o3"), observation(meta=HIV),
        )  # fmt: skip
    finally:
        connections["owner_view"].close()
        del connections["owner_view"]
    assert seen[0] == {"unknown"}
    assert all("unknown" in classes or "hiv" in classes for classes in seen)
    assert feed.classes("DiagnosticReport/r1") == {"hiv"}


def test_a_binary_is_of_the_document_that_it_is_the_content_of(feed):
    content = [{"attachment": {"url": "Binary/b1", "contentType": "application/pdf"}}]
    feed.send(
        patient(),
        {"resourceType": "Binary", "id": "b1", "contentType": "application/pdf", "data": "QUJD"},
        {"resourceType": "Binary", "id": "b2", "contentType": "application/pdf", "data": "QUJD"},
        about("DocumentReference", "d1", meta=PSY, content=content),
    )
    binary = feed.resource("Binary/b1")
    assert (binary.patient_id, binary.section, binary.classes) == (feed.patient().pk, "documents", ["mental_health"])
    assert feed.resource("Binary/b2").patient_id is None
    feed.send(about("DocumentReference", "d1", meta=HIV, content=content))
    assert feed.classes("Binary/b1") == {"hiv"}


@pytest.mark.parametrize(
    ("targets", "section"),
    [
        (("Patient/p1",), "demographics"),
        (("Observation/o1", "DiagnosticReport/r1"), "results"),
        (("Observation/o1", "Condition/c1"), None),
        (("Observation/o1", "Claim/x"), None),
        (("Observation/o1", "Observation/gone"), None),
        (("Patient/p1", "Patient/p2"), "demographics"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_a_provenance_is_in_the_section_of_what_it_is_about(feed, targets, section, order):
    resources = [
        patient(), patient("p2"), observation(meta=HIV), about("DiagnosticReport", "r1"), about("Condition", "c1"),
        about("Claim", "x"), {"resourceType": "Provenance", "id": "v1", "target": refs(*targets)},
    ]  # fmt: skip
    feed.send(*resources[::order])
    found = feed.resource("Provenance/v1")
    assert found.section == section
    assert ("hiv" in found.classes) == ("Observation/o1" in targets)
    if "Patient/p2" in targets:
        assert found.patient_id is None, "of two patients: shown to no one"
    elif section:
        assert found.patient_id == feed.patient().pk


def test_a_binary_of_two_patients_documents_is_nobodys(feed):
    content = [{"attachment": {"url": "Binary/b1"}}]
    feed.send(
        patient(),
        patient("p2"),
        {"resourceType": "Binary", "id": "b1"},
        about("DocumentReference", "d1", content=content),
        about("DocumentReference", "d2", "Patient/p2", content=content),
    )
    assert feed.resource("Binary/b1").patient_id is None


def test_the_labels_of_an_earlier_version_stay_with_it(feed):
    feed.send(patient(), observation(meta=HIV))
    feed.send(observation(meta=labelled("N")))
    (version,) = feed.resource("Observation/o1").versions.using(WORKER).all()
    assert version.classes == ["hiv"]


# ---------------------------------------------------------------- by code, by source, by request

HIV_CODE = {"coding": [{"system": "http://snomed.info/sct", "code": "86406008"}]}


@pytest.mark.parametrize(
    ("concept", "classes"),
    [
        ([("http://snomed.info/sct", "86406008")], {"hiv"}),
        ([("urn:other", "1"), ("http://loinc.org", "20447-9")], {"hiv"}),
        ([("http://hl7.org/fhir/sid/icd-10-cm", "F32.1")], {"mental_health"}),
        ([("http://hl7.org/fhir/sid/icd-10", "f10.2")], {"substance_use"}),
        ([("http://hl7.org/fhir/sid/icd-10", "F17.2")], set()),
        ([("http://hl7.org/fhir/sid/icd-10", "B2")], set()),
        ([("urn:other", "86406008")], set()),
        ([("http://www.nlm.nih.gov/research/umls/rxnorm", "864706")], {"substance_use"}),
    ],
)
def test_codes_label_what_their_source_did_not(feed, concept, classes):
    code = {"coding": [{"system": system, "code": value} for system, value in concept]}
    listed = about("List", "l1", entry=[{"item": ref("Condition/c1")}])
    feed.send(patient(), about("Condition", "c1", code=code), listed)
    assert feed.classes("Condition/c1") == classes
    assert feed.classes("List/l1") == classes
    version = label_rules.rules().version
    assert feed.resource("Condition/c1").labelled_by == [f"rules {version}: {one}" for one in sorted(classes)]


def test_codes_of_contained_resources_and_of_answers_count(feed):
    drug = {"resourceType": "Medication", "id": "m", "code": {
        "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "1433873"}]}}  # fmt: skip
    feed.send(
        patient(),
        about("MedicationRequest", "m1", medicationReference=ref("#m"), contained=[drug]),
        observation("o1", valueCodeableConcept=HIV_CODE),
    )
    assert feed.classes("MedicationRequest/m1") == {"hiv"}
    assert feed.classes("Observation/o1") == {"hiv"}


def test_each_label_says_what_set_it(feed):
    Source.objects.using(WORKER).filter(pk=feed.source.pk).update(classes=["substance_use"])
    feed.source.refresh_from_db(using=WORKER)
    feed.write("b.json", bundle(patient(), about("Condition", "c1", code=HIV_CODE, meta=labelled("R", "SDV")),
                                meta=labelled("GDIS")))  # fmt: skip
    feed.run()
    assert feed.classes("Condition/c1") == {"hiv", "violence", "genetic", "substance_use"}
    version = label_rules.rules().version
    assert set(feed.resource("Condition/c1").labelled_by) == {
        f"rules {version}: hiv", "text: violence", "bundle: genetic", "source: substance_use",
    }  # fmt: skip
    assert set(feed.patient().classes) == {"genetic", "substance_use"}


def test_relabelling_follows_the_rules_and_keeps_what_they_do_not_say(feed, monkeypatch, capsys):
    feed.write("b.json", bundle(patient(), about("Condition", "c1", code=HIV_CODE), meta=labelled("GDIS")))
    feed.write("c.json", about("Condition", "c2", code={"coding": [{"system": "urn:x", "code": "1"}]}))
    feed.run()
    now = label_rules.rules()
    later = now._replace(version=now.version + 1, exact={("urn:x", "1"): frozenset({SensitiveClass.VIOLENCE})})
    for module in (label_rules, extraction, running, relabel_command):
        monkeypatch.setattr(module, "rules", lambda: later)
    monkeypatch.setattr(running, "RELABEL_AT_ONCE", 2)
    call_command("relabel", "--database", WORKER)
    assert "3 records read again" in capsys.readouterr().out
    assert feed.classes("Condition/c1") == {"genetic"}
    assert feed.classes("Condition/c2") == {"violence", "genetic"}  # the patient's own too
    assert feed.resource("Condition/c2").labelled_by == [f"rules {later.version}: violence"]
    assert not ResourceVersion.objects.using(WORKER).exists()
    call_command("relabel", "--database", WORKER)
    assert "0 records read again" in capsys.readouterr().out


def test_relabelling_that_was_killed_goes_on(feed, monkeypatch):
    feed.send(patient(), *(observation(f"o{number}") for number in range(20)))
    Resource.objects.using(WORKER).update(rules=0)
    monkeypatch.setattr(running, "RELABEL_AT_ONCE", 5)
    write, written = Store.write, []

    def killed(store, batch, **how):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(batch)
        write(store, batch, **how)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            running.relabel(feed.source, using=WORKER)
    assert running.relabel(feed.source, using=WORKER) == 11


def test_a_patient_can_ask_that_a_section_is_held_back(feed):
    feed.send(patient(), observation("o1"), about("Condition", "c1"))
    asked = requested.request(feed.patient(), section="results", evidence="letter of 1 May", using=WORKER)
    assert feed.classes("Observation/o1") == {"other"}
    assert feed.classes("Condition/c1") == set()
    feed.send(observation("o1", status="amended"), observation("o2"))  # what comes later, too
    assert feed.classes("Observation/o1") == feed.classes("Observation/o2") == {"other"}
    assert feed.resource("Observation/o2").labelled_by == [f"request {asked.pk}: other"]
    requested.withdraw(asked, using=WORKER)
    assert feed.classes("Observation/o1") == feed.classes("Observation/o2") == set()


def test_a_patient_can_ask_that_all_of_it_or_one_thing_is_held_back(feed):
    feed.send(patient(), observation("o1"), observation("o2"))
    one = requested.request(
        feed.patient(), resource=feed.resource("Observation/o1"), evidence="form", sensitive_class="hiv", using=WORKER
    )
    assert (feed.classes("Observation/o1"), feed.classes("Observation/o2")) == ({"hiv"}, set())
    everything = requested.request(feed.patient(), evidence="form", using=WORKER)
    assert feed.classes("Observation/o2") == {"other"}
    assert feed.patient().classes == ["other"]
    requested.withdraw(everything, using=WORKER)
    requested.withdraw(one, using=WORKER)
    assert feed.patient().classes == []
    assert feed.classes("Observation/o1") == set()
