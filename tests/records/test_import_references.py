"""Every style of reference finds its target, and never somebody else's."""

from __future__ import annotations

import json

import pytest

from records.importing import identifiers, references, running
from records.importing.references import Addresses, Directory, literal
from records.models import AlsoAbout, Awaited, Source
from tests.factories import WORKER
from tests.records.feeds import about, bundle, counts, observation, organization, patient, ref, refs

UUID = "f924fd7f-5920-5bdc-cd40-bb434aff1051"
NUMBER = {"system": "https://ids.example/mrn", "value": "12|34 & more"}
BY_NUMBER = "https://ids.example/mrn|12%7C34%20%26%20more"


def text_of(feed, target: str) -> dict:
    return json.loads(feed.resource(target).raw)


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("Patient/p1", "Patient/p1"),
        ("Patient/p1/_history/3", "Patient/p1"),
        ("https://ehr.example/fhir/Patient/p1", "Patient/p1"),
        ("https://ehr.example/fhir/Patient/p1/_history/3", "Patient/p1"),
        ("https://other.example/fhir/Patient/p1", None),
        ("https://ehr.example/fhir2/Patient/p1", None),
        (f"urn:uuid:{UUID}", f"Patient/{UUID}"),
        ("urn:uuid:00000000-0000-0000-0000-000000000000", None),
        ("urn:oid:1.2.3", "Organization/o"),
        ("http://bundle.example/x/Patient/p2", "Patient/p2"),
        ("http://bundle.example/x/Observation/o9", "Observation/o9"),
        ("Organization?identifier=urn:x|1", "Organization/o"),
        ("Organization?identifier=urn:x%7C1", "Organization/o"),
        ("Organization?identifier=urn:x|2", None),
        ("Organization?identifier=urn:x|twice", None),
        ("Practitioner?identifier=urn:x|1", None),
        ("Organization?name=Acme", None),
        ("#p1", None),
        ("Patient", None),
        ("Patient/", None),
        ("Patient/../Patient/p1", None),
        ("", None),
    ],
)
def test_references_of_every_style(reference, target):
    directory = Directory()
    directory.add(organization("o", identifier=[{"system": "urn:x", "value": "1"}]))
    for id in ("a", "b"):
        directory.add(organization(id, identifier=[{"system": "urn:x", "value": "twice"}]))
    entries = {
        f"urn:uuid:{UUID}": f"Patient/{UUID}",
        "urn:oid:1.2.3": "Organization/o",
        "http://bundle.example/x/Patient/p2": "Patient/p2",
    }
    assert Addresses(directory, ("https://ehr.example/fhir",)).within(entries).find(reference) == target


def test_a_version_is_not_part_of_the_target():
    assert literal("Observation/o1/_history/2") == "Observation/o1"
    assert literal("Observation/o1/history/2") is None


def test_references_between_the_entries_of_a_bundle_become_those_of_the_source(feed):
    resources = bundle(
        observation(subject="urn:uuid:p1", derivedFrom=refs("urn:uuid:o2", "urn:uuid:gone")),  # forward, and dangling
        patient(),
        observation("o2", subject="urn:uuid:p1", identifier=[{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:p1"}]),
    )
    feed.write("b.json", resources)
    feed.run()
    o1, o2 = text_of(feed, "Observation/o1"), text_of(feed, "Observation/o2")
    assert o1["subject"] == ref("Patient/p1")
    assert o1["derivedFrom"] == refs("Observation/o2", "urn:uuid:gone")
    assert o2["identifier"][0]["value"] == "urn:uuid:p1"  # no reference: left as it is
    assert feed.resource("Observation/o1").patient_id == feed.patient().pk


def test_an_entry_without_an_id_has_that_of_its_address(feed):
    resource = observation(subject=f"urn:uuid:{UUID}")
    del resource["id"]
    nameless = {key: value for key, value in patient().items() if key != "id"}
    entries = [{"fullUrl": f"urn:uuid:{UUID}", "resource": nameless}, {"fullUrl": "urn:uuid:o7", "resource": resource}]
    feed.write("b.json", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    feed.run()
    assert feed.resource("Observation/o7").patient_id == feed.patient(UUID).pk
    assert text_of(feed, "Observation/o7")["id"] == "o7"


def test_a_bundles_own_base_and_no_other(feed):
    entries = [
        {"fullUrl": "https://a.example/fhir/Patient/p1", "resource": patient()},
        {"fullUrl": "https://a.example/fhir/Observation/o1", "resource": observation(subject="https://a.example/fhir/Patient/p1")},
        {"fullUrl": "https://a.example/fhir/Observation/o2", "resource": observation("o2", "https://b.example/fhir/Patient/p1")},
    ]  # fmt: skip
    feed.write("b.json", {"resourceType": "Bundle", "type": "collection", "entry": entries})
    feed.run()
    assert feed.resource("Observation/o1").patient_id == feed.patient().pk
    assert feed.resource("Observation/o2").patient_id is None


def test_the_sources_own_base_is_left_out_of_references(feed):
    Source.objects.using(WORKER).update(base="https://ehr.example/fhir")
    feed.source.refresh_from_db(using=WORKER)
    feed.send(patient(), observation(subject="https://ehr.example/fhir/Patient/p1/_history/2"))
    assert feed.resource("Observation/o1").patient_id == feed.patient().pk
    assert text_of(feed, "Observation/o1")["subject"] == ref("Patient/p1")


@pytest.mark.parametrize("order", [1, -1])
def test_conditional_references_are_resolved_when_the_whole_folder_is_in(feed, order):
    encounter = about("Encounter", "e1", serviceProvider=ref("Organization?identifier=urn:x|1"))
    target = organization("org", identifier=[{"system": "urn:x", "value": "1"}])
    feed.send(*[patient(), encounter, target][::order])
    assert text_of(feed, "Encounter/e1")["serviceProvider"] == ref("Organization/org")
    assert feed.resource("Encounter/e1").number == 1
    assert not Awaited.objects.using(WORKER).exists()
    assert counts(feed.run()) == (0, 0, 3, 0, 0)


def test_conditional_references_are_resolved_in_a_later_import(feed):
    encounter = about("Encounter", "e1", serviceProvider=ref("Organization?identifier=urn:x|1"))
    assert feed.send(patient(), encounter).awaiting == 1
    assert feed.classes("Encounter/e1") == set()  # nobody's privacy hangs on it
    feed.send(organization("org", identifier=[{"system": "urn:x", "value": "1"}]))
    assert text_of(feed, "Encounter/e1")["serviceProvider"] == ref("Organization/org")
    assert counts(feed.send(patient(), encounter)) == (0, 0, 2, 0, 0)


@pytest.mark.parametrize(
    ("fits", "how"),
    [(0, "together"), (2, "together"), (2, "one by one"), (0, "one by one, practitioners last"), (50_000, "together")],
)
def test_identifiers_that_do_not_fit_into_memory_are_found_in_the_database(feed, monkeypatch, fits, how):
    """What a conditional reference leads to does not hang on how many there are: one, nobody, or several."""
    monkeypatch.setattr(references, "MOST_IN_MEMORY", fits)
    monkeypatch.setattr(identifiers, "MOST_IN_MEMORY", fits)
    monkeypatch.setattr(running, "ROWS", 2)
    people = [
        {"resourceType": "Practitioner", "id": f"d{number}", "identifier": [{"system": "urn:x", "value": value}]}
        for number, value in enumerate(["1", "2", "2", "3", "4", "5"])
    ]
    visits = [
        about("Encounter", f"e{value}", participant=[{"individual": ref(f"Practitioner?identifier=urn:x|{value}")}])
        for value in range(7)
    ]
    sent = [[patient(), *people, *visits]] if how == "together" else [[one] for one in (patient(), *people, *visits)]
    for lines in sent if not how.endswith("last") else [*sent[:1], *sent[7:], people]:
        feed.send(*lines)
    assert {value: who(feed, value) for value in range(7)} == {
        0: "?", 1: "Practitioner/d0", 2: "?", 3: "Practitioner/d3", 4: "Practitioner/d4", 5: "Practitioner/d5", 6: "?"
    }  # fmt: skip
    assert {feed.resource(f"Encounter/e{value}").number for value in range(7)} == {1}
    assert counts(feed.send(patient(), *people, *visits)) == (0, 0, 14, 0, 0)
    feed.send(visits[3])  # now the directory is loaded and not read
    assert who(feed, 3) == "Practitioner/d3"
    feed.send({**people[3], "identifier": [{"system": "urn:x", "value": "6"}]})
    assert (who(feed, 3), who(feed, 6)) == ("Practitioner/d3", "Practitioner/d3")
    feed.send(about("Encounter", "new", participant=visits[3]["participant"]))
    assert who(feed, "new") == "?"  # nobody has that number any more


def who(feed, visit: object) -> str:
    reference = text_of(feed, f"Encounter/e{visit}" if visit != "new" else "Encounter/new")["participant"]
    found = reference[0]["individual"]["reference"]
    return "?" if "?" in found else found


def test_a_deleted_target_is_led_to_until_another_has_its_identifier(feed):
    """Else a snapshot without it would change what refers to it, with the import after the one that deleted it."""
    doctor = {"resourceType": "Practitioner", "id": "d1", "identifier": [{"system": "urn:x", "value": "1"}]}
    visit = about("Encounter", "e1", participant=[{"individual": ref("Practitioner?identifier=urn:x|1")}])
    feed.send(patient(), doctor, visit)
    feed.send({"resourceType": "Bundle", "type": "batch",
               "entry": [{"request": {"method": "DELETE", "url": "Practitioner/d1"}}]})  # fmt: skip
    assert counts(feed.send(patient(), visit)) == (0, 0, 2, 0, 0)
    feed.send({**doctor, "id": "d2"}, {**visit, "id": "e2"})
    assert who(feed, 2) == "Practitioner/d2"
    feed.send(doctor)  # back: now two have it
    feed.send({**visit, "id": "e3"})
    assert who(feed, 3) == "?"


def test_types_that_are_many_are_found_by_identifier_too(feed):
    feed.send(
        patient(),
        observation(encounter=ref("Encounter?identifier=urn:visit|7")),
        about("Encounter", "e1", identifier=[{"system": "urn:visit", "value": "7"}]),
    )
    assert text_of(feed, "Observation/o1")["encounter"] == ref("Encounter/e1")
    assert feed.resource("Observation/o1").encounter_id == feed.resource("Encounter/e1").pk


@pytest.mark.parametrize("subject", [ref(f"Patient?identifier={BY_NUMBER}"), {"identifier": NUMBER}])
@pytest.mark.parametrize("order", [1, -1])
def test_a_patient_known_by_number_only(feed, subject, order):
    feed.send(*[patient(identifier=[NUMBER]), {**observation(), "subject": subject}][::order])
    resource = feed.resource("Observation/o1")
    assert (resource.patient_id, resource.classes, resource.number) == (feed.patient().pk, [], 1)
    assert counts(feed.run()) == (0, 0, 2, 0, 0)


def test_a_number_of_two_patients_is_nobodys(feed):
    subject = {"identifier": NUMBER}
    feed.send(patient(identifier=[NUMBER]), patient("p2", identifier=[NUMBER]), {**observation(), "subject": subject})
    assert feed.resource("Observation/o1").patient_id is None
    assert feed.classes("Observation/o1") == {"unknown"}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("Observation", {"focus": refs("Patient/p2")}),
        ("Observation", {"extension": [{"url": "x", "valueReference": ref("Patient/p2/_history/1")}]}),
        ("DocumentReference", {"context": {"related": refs("Patient/p2")}}),
        ("Encounter", {"participant": [{"individual": {"type": "Patient", "identifier": NUMBER}}]}),
        ("Condition", {"contained": [{"resourceType": "RelatedPerson", "id": "r", "patient": ref("Patient/p2")}]}),
        ("List", {"code": {"coding": [{"code": "11450-4"}]}, "entry": [{"item": ref("Patient/p2")}]}),
    ],
)
def test_a_further_patient_anywhere_in_a_resource(feed, kind, fields):
    feed.send(patient(), patient("p2", identifier=[NUMBER]), about(kind, "x", **fields))
    assert [one.patient for one in AlsoAbout.objects.using(WORKER).all()] == [feed.patient("p2")]
    assert feed.resource(f"{kind}/x").patient_id == feed.patient().pk


def test_a_further_patient_whom_nobody_knows_hides_the_resource(feed):
    feed.send(patient(), observation(focus=refs("Patient/elsewhere")))
    assert feed.classes("Observation/o1") == {"unknown"}
    feed.send(patient("elsewhere"))
    assert feed.classes("Observation/o1") == set()
    assert AlsoAbout.objects.using(WORKER).get().patient == feed.patient("elsewhere")


def test_a_group_is_not_a_patient(feed):
    feed.send(patient(), observation(subject="Group/p1"), about("Observation", "o2", subject="Location/p1"))
    assert feed.resource("Observation/o1").patient_id is None
    assert feed.resource("Observation/o2").patient_id is None


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("AllergyIntolerance", {"patient": ref("Patient/p1")}),
        ("Coverage", {"beneficiary": ref("Patient/p1")}),
        ("Task", {"for": ref("Patient/p1")}),
        ("ResearchSubject", {"individual": ref("Patient/p1")}),
        ("Account", {"subject": refs("Patient/p1")}),
        ("Appointment", {"participant": [{"actor": ref("Practitioner/d")}, {"actor": ref("Patient/p1")}]}),
        ("Provenance", {"target": refs("Patient/p1", "Observation/o1")}),
        ("Binary", {"securityContext": ref("Patient/p1")}),
    ],
)
def test_whose_a_resource_is(feed, kind, fields):
    feed.send(patient(), {"resourceType": kind, "id": "x", **fields})
    assert feed.resource(f"{kind}/x").patient_id == feed.patient().pk


def test_slashes_that_a_writer_escaped_are_slashes(feed):
    raw = b'{"resourceType":"Observation","id":"o1","subject":{"reference":"Patient\\/p1"},"note":[{"text":"a\\\\/b"}]}'
    feed.send(patient(), raw)
    assert feed.resource("Observation/o1").patient_id == feed.patient().pk
    assert '"Patient/p1"' in feed.resource("Observation/o1").raw
    assert text_of(feed, "Observation/o1")["note"][0]["text"] == "a\\/b"
