"""Importing: once is as good as twice, newer replaces older, and two sources stay two."""

from __future__ import annotations

import json
import threading
import tracemalloc
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from clinicportal.viewing import viewing
from records.ids import resource_id, texts_of_ids
from records.importing import extraction, reading, running, statements, storing
from records.importing.bundles import read_bundle
from records.importing.references import Directory
from records.importing.storing import AlreadyRunning, only_import_of
from records.models import (
    AlsoAbout,
    Awaited,
    Facility,
    Import,
    Patient,
    PatientToken,
    Rejection,
    Resource,
    ResourceVersion,
    Section,
    Source,
)
from tests import factories as make
from tests.factories import WORKER
from tests.records.feeds import Feed, about, bundle, counts, labelled, line, ndjson, observation, patient, ref, refs

TABLES = (
    "records_patient", "records_patienttoken", "records_patientlink", "records_optout", "records_membership",
    "records_resource", "records_alsoabout", "records_awaited", "records_resourceversion",
)  # fmt: skip


def row_versions() -> dict[str, list[tuple[str, str]]]:
    """Which transaction wrote each row: any write, even of the same values, shows."""
    found = {}
    with connections[WORKER].cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT ctid::text, xmin::text FROM {table} ORDER BY 1")
            found[table] = cursor.fetchall()
    return found


DENY = {"type": "deny"}
EVERYTHING = [
    patient("p1", birthDate="1990-05-17", link=[{"other": ref("Patient/p2"), "type": "seealso"}]),
    patient("p2"),
    observation("o1", meta=labelled("R", "HIV")),
    observation("o2", subject="Patient/nobody"),
    about("DiagnosticReport", "r1", result=refs("Observation/o1", "Observation/gone")),
    about("Encounter", "e1", serviceProvider=ref("Organization?identifier=urn:x|1"), x=refs("Patient/p2")),
    {"resourceType": "Consent", "id": "c", "status": "active", "patient": ref("Patient/p2"), "provision": DENY},
    {"resourceType": "Organization", "id": "org", "identifier": [{"system": "urn:x", "value": "1"}]},
]  # fmt: skip


def test_importing_again_writes_nothing(feed):
    first = feed.send(*EVERYTHING)
    assert counts(first) == (len(EVERYTHING), 0, 0, 0, 0)
    before = row_versions()
    assert all(before[table] for table in TABLES if table not in ("records_membership", "records_resourceversion"))
    again = feed.run()
    assert counts(again) == (0, 0, len(EVERYTHING), 0, 0)
    assert row_versions() == before


def test_the_order_of_lines_makes_no_difference(feed, facility):
    other = Feed(feed.folder.parent / "reversed", make.make_source(facility, "reversed"))
    feed.send(*EVERYTHING)
    other.send(*reversed(EVERYTHING))

    def state(of: Feed):
        rows = (
            Resource.objects.using(WORKER)
            .filter(source=of.source)
            .select_related("patient")
            .order_by("type", "fhir_id")
        )
        return [
            (
                row.type,
                row.fhir_id,
                row.patient and row.patient.fhir_id,
                sorted(row.classes),
                row.settled,
                row.raw,
                row.number,
            )
            for row in rows
        ]

    assert state(feed) == state(other)
    assert [len(row_versions()[table]) % 2 for table in TABLES] == [0] * len(TABLES)


def test_a_change_keeps_the_version_before(feed):
    feed.send(patient(), observation(status="preliminary", meta={"versionId": "1"}))
    feed.send(observation(status="final", meta={"versionId": "2"}))
    result = feed.send(observation(status="entered-in-error", meta={"versionId": "3"}))
    assert counts(result) == (0, 1, 0, 0, 0)
    resource = feed.resource("Observation/o1")
    assert (resource.number, resource.status, resource.version_id) == (3, "entered-in-error", "3")
    versions = ResourceVersion.objects.using(WORKER).filter(resource=resource).order_by("number")
    assert [(one.number, one.status) for one in versions] == [(1, "preliminary"), (2, "final")]
    assert json.loads(versions[0].raw)["status"] == "preliminary"


MAY_2 = "2024-05-02T10:00:00Z"


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ({"lastUpdated": MAY_2}, {"lastUpdated": "2024-05-01T10:00:00Z"}),
        ({"lastUpdated": "2024-05-02T10:00:00+02:00"}, {"lastUpdated": "2024-05-02T07:59:59Z"}),
        ({"versionId": "10"}, {"versionId": "9"}),
        ({"lastUpdated": MAY_2, "versionId": "2"}, {"lastUpdated": MAY_2, "versionId": "1"}),
        ({"lastUpdated": MAY_2, "versionId": "1"}, {"lastUpdated": "2024-05-01T10:00:00Z", "versionId": "2"}),
    ],
)
def test_time_never_runs_backwards(feed, newer, older):
    feed.send(patient(), observation(status="final", meta=newer))
    result = feed.send(observation(status="preliminary", meta=older))
    assert counts(result) == (0, 0, 0, 1, 0)
    assert feed.resource("Observation/o1").status == "final"
    assert not ResourceVersion.objects.using(WORKER).exists()


@pytest.mark.parametrize("correct", [{"lastUpdated": MAY_2}, {"lastUpdated": MAY_2, "versionId": "8"}])
def test_a_time_to_come_keeps_no_correction_away(feed, correct):
    """A clock that was wrong once: everything right that comes after would count as older, until that time."""
    wrong = {"lastUpdated": "2999-01-01T00:00:00Z", **({"versionId": "7"} if "versionId" in correct else {})}
    feed.send(patient(), observation(status="final", meta=wrong))
    assert counts(feed.send(observation(status="entered-in-error", meta=correct))) == (0, 1, 0, 0, 0)
    assert feed.resource("Observation/o1").status == "entered-in-error"
    feed.send(observation(status="final", meta={"lastUpdated": "2024-05-01T10:00:00Z"}))
    assert feed.resource("Observation/o1").status == "entered-in-error"


def test_an_older_patient_does_not_rename_anybody(feed):
    feed.send(patient(meta={"versionId": "2"}, name=[{"family": "New"}]))
    feed.send(patient(meta={"versionId": "1"}, name=[{"family": "Old"}]))
    assert (feed.patient().family, feed.patient().found_by) == ("New", " new")
    assert set(PatientToken.objects.using(WORKER).values_list("token", flat=True)) == {"new"}


def test_a_history_in_one_file_is_taken_oldest_first_or_not_at_all(feed):
    history = [observation(status=status, meta={"versionId": str(n)}) for n, status in enumerate(("a", "b", "c"), 1)]
    feed.send(patient(), *history)
    assert (feed.resource("Observation/o1").number, feed.resource("Observation/o1").status) == (3, "c")
    feed.send(*reversed(history))
    assert (feed.resource("Observation/o1").number, feed.resource("Observation/o1").status) == (3, "c")


def test_columns_follow_a_patient_who_changes(feed):
    feed.send(patient(birthDate="1990", identifier=[{"system": "urn:test:mrn", "value": "12 34"}]))
    feed.send(
        patient(
            name=[{"family": "Ångström", "given": ["Zoë"], "prefix": ["Dr"]}], deceasedDateTime="2024-05-01T10:00:00Z"
        )
    )
    found = feed.patient()
    assert (found.family, found.given, found.title, found.sort_name) == ("Ångström", "Zoë", "Dr", "angstrom zoe")
    assert found.found_by == " angstrom zoe"
    assert (found.deceased, found.deceased_date, found.birth_date, found.mrn) == (True, "2024-05-01", "", "")
    tokens = PatientToken.objects.using(WORKER).filter(patient=found).values_list("token", flat=True)
    assert set(tokens) == {"angstrom", "zoe"}


def test_the_number_of_the_sources_own_system_is_the_record_number(feed):
    type_mr = {"coding": [{"code": "MR"}]}
    numbers = [{"type": type_mr, "system": "urn:other", "value": "9"}, {"system": "urn:test:mrn", "value": "12 34"}]
    feed.send(patient(identifier=numbers))
    assert feed.patient().mrn == "12 34"
    assert feed.patient().found_by == " 1234 9 alpha testpatient"
    assert {"1234", "urn:test:mrn|12 34"} <= set(PatientToken.objects.using(WORKER).values_list("token", flat=True))


def test_two_sources_with_the_same_ids_are_two_people(feed, facility):
    other = Feed(feed.folder.parent / "north", make.make_source(facility, "north"))
    feed.send(patient(name=[{"family": "Here"}]), observation())
    other.send(patient(name=[{"family": "There"}]), observation(status="preliminary"))
    assert (feed.patient().family, other.patient().family) == ("Here", "There")
    assert feed.patient().pk != other.patient().pk
    assert feed.resource("Observation/o1").patient_id == feed.patient().pk
    assert other.resource("Observation/o1").patient_id == other.patient().pk
    assert (feed.resource("Observation/o1").status, other.resource("Observation/o1").status) == ("final", "preliminary")


def test_ids_are_made_from_source_type_and_id(feed):
    feed.send(patient(), observation())
    assert feed.resource("Observation/o1").pk == resource_id(feed.source.pk, "Observation/o1")
    assert feed.patient().pk == resource_id(feed.source.pk, "Patient/p1")
    for target in ("Patient/1", "Observation/" + "x" * 64, "Basic/ü"):
        assert UUID(texts_of_ids(feed.source.pk)(target)) == resource_id(feed.source.pk, target)


def test_the_text_is_kept_as_received(feed):
    raw = '{"resourceType": "Observation", "id": "o1",  "valueQuantity": {"value": 1.50}, "x": 165.16912871855152e0}'
    feed.send(raw.encode())
    assert feed.resource("Observation/o1").raw == raw


def test_digits_survive_a_bundle_over_many_lines(feed):
    text = json.dumps(bundle(patient(), observation(valueQuantity={"value": 7777})), indent=2).replace("7777", "1.50")
    feed.write("b.json", text.encode())
    feed.run()
    assert '"value":1.50' in feed.resource("Observation/o1").raw


def test_what_a_bundle_deletes_becomes_a_tombstone_and_can_come_back(feed):
    feed.send(patient(), observation())
    feed.write(
        "deleted.json",
        {"resourceType": "Bundle", "entry": [{"request": {"method": "DELETE", "url": "Observation/o1"}}]},
    )
    (feed.folder / "feed.ndjson").unlink()
    feed.write("other.ndjson", ndjson(patient("p2")))
    feed.run()
    assert feed.resource("Observation/o1").tombstoned_at is not None
    (feed.folder / "deleted.json").unlink()
    feed.send(observation())
    assert feed.resource("Observation/o1").tombstoned_at is None
    assert feed.resource("Observation/o1").number == 1


def test_columns_hold_what_lists_need(feed):
    coded = {"coding": [{"system": "urn:rx", "code": "1", "display": "A drug"}]}
    contained = [{"resourceType": "Medication", "id": "d", "code": {"text": "In here"}}]
    ambulatory = {"class": {"code": "AMB", "display": "ambulatory"}}
    feed.send(
        patient(),
        observation("o1", effectiveDateTime="2024-05-01T10:00:00Z", encounter=ref("Encounter/e1")),
        about("Condition", "c1", code={"text": "Asthma"}, verificationStatus={"coding": [{"code": "refuted"}]}),
        about("Encounter", "e1", status="finished", period={"start": "2024-05-01"}, **ambulatory),
        about("MedicationRequest", "m1", medicationCodeableConcept=coded),
        about("MedicationRequest", "m2", medicationReference=ref("#d"), contained=contained),
        about("MedicationRequest", "m3", medicationReference=ref("Medication/d3")),
        {
            "resourceType": "Medication",
            "id": "d3",
            "code": {"coding": [{"system": "urn:rx", "code": "3"}], "text": "Out"},
        },
    )
    o1 = feed.resource("Observation/o1")
    assert (o1.code, o1.label, o1.section) == ("http://loinc.org|718-7", "Hemoglobin", Section.RESULTS)
    assert o1.time.isoformat() == "2024-05-01T10:00:00+00:00"
    assert o1.encounter_id == feed.resource("Encounter/e1").pk
    assert feed.resource("Condition/c1").status == "refuted"
    assert feed.resource("Encounter/e1").label == "ambulatory"
    assert [feed.resource(f"MedicationRequest/m{n}").label for n in (1, 2, 3)] == ["A drug", "In here", "Out"]
    assert feed.resource("MedicationRequest/m3").code == "urn:rx|3"


def test_a_guest_sees_what_was_imported(feed, guest, organisation, facility, agreement):
    feed.send(patient(), observation(), {"resourceType": "Claim", "id": "x", "patient": ref("Patient/p1")})
    grant = make.make_grant(guest, make.make_caseload(organisation, facility, feed.patient()))
    assert grant.pk
    with viewing(guest):
        seen = Resource.objects.visible_to(guest).values_list("type", flat=True)
        assert set(seen) == {"Patient", "Observation"}


# ---------------------------------------------------------------- running


def test_a_run_that_was_killed_goes_on_where_it_was(feed, monkeypatch):
    monkeypatch.setattr(running, "ROWS", 10)
    feed.write("feed.ndjson", ndjson(patient(), *(observation(f"o{number}") for number in range(99))))
    write, batches = storing.Store.write, []

    def killed(store, batch, **how):
        if len(batches) == 4:
            raise KeyboardInterrupt
        batches.append(batch)
        write(store, batch, **how)

    with monkeypatch.context() as patched:
        patched.setattr(storing.Store, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            feed.run()
    assert Resource.objects.using(WORKER).count() == 40
    assert counts(feed.run()) == (60, 0, 40, 0, 0)
    assert [one.finished_at is None for one in Import.objects.using(WORKER).order_by("started_at")] == [True, False]
    assert threading.active_count() < 5


def test_a_killed_run_leaves_nothing_open(feed, monkeypatch):
    """Its containers lack labels of what has not come yet: they stay hidden until a run has ended."""
    report = about("DiagnosticReport", "r1", result=refs("Observation/o1"))
    feed.write("a.ndjson", ndjson(patient(), report))
    with monkeypatch.context() as patched:
        patched.setattr(running, "settle_source", lambda *args, **options: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            feed.run()
    assert feed.classes("DiagnosticReport/r1") == {"unknown"}
    feed.run()
    assert feed.classes("DiagnosticReport/r1") == set()


def test_one_import_of_a_source_at_a_time(feed):
    with connections["worker"].cursor() as cursor:
        cursor.execute("SELECT 1")
    other = connections.create_connection(WORKER)
    connections["second"] = other
    try:
        with only_import_of(feed.source, using="second"):
            feed.write("feed.ndjson", ndjson(patient()))
            with pytest.raises(AlreadyRunning):
                feed.run()
        assert counts(feed.run()) == (1, 0, 0, 0, 0)
    finally:
        other.close()
        del connections["second"]


def test_a_batch_that_fails_leaves_nothing_of_itself(feed, monkeypatch):
    feed.write("feed.ndjson", ndjson(patient(), observation()))
    with monkeypatch.context() as patched:
        patched.setattr(storing.Store, "count", lambda *args, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            feed.run()
    assert not Patient.objects.using(WORKER).exists()
    assert not Resource.objects.using(WORKER).exists()
    assert counts(feed.run()) == (2, 0, 0, 0, 0)


def test_the_manifest_says_how_current_a_source_is(feed):
    feed.write(
        "manifest.json",
        {"transactionTime": "2024-05-01T10:00:00Z", "request": "https://ehr.example/fhir/Group/1/$export"},
    )
    feed.write("Patient.ndjson", ndjson(patient(), observation(subject="https://ehr.example/fhir/Patient/p1")))
    feed.run()
    source = Source.objects.using(WORKER).get(pk=feed.source.pk)
    assert source.imported_up_to.isoformat() == "2024-05-01T10:00:00+00:00"
    assert feed.resource("Observation/o1").patient_id == feed.patient().pk


def test_an_import_is_in_the_audit_trail_with_counts_and_no_values(feed):
    feed.send(patient(name=[{"family": "Geheimnis"}]), observation())
    with connections["auditor"].cursor() as cursor:
        cursor.execute("SELECT detail::text FROM clinicportal_auditevent WHERE type = 'imported'")
        ((detail,),) = cursor.fetchall()
    assert '"created": 2' in detail
    assert "Geheimnis" not in detail


# ---------------------------------------------------------------- the command


def run_command(capsys, *arguments: object) -> tuple[str, str]:
    call_command("import_fhir", *map(str, arguments), "--database", WORKER)
    return tuple(capsys.readouterr())


def test_the_command_says_in_words_what_it_did(feed, capsys):
    feed.write("feed.ndjson", ndjson(patient(), observation(), b"{broken", line(patient("p2"))[:-1]))
    feed.write("log.txt", b"nothing")
    out, err = run_command(capsys, "--source", "main", feed.folder)
    assert "2 new, 0 changed, 0 unchanged, 0 older than what is here, 2 rejected" in out
    assert "feed.ndjson:3" in out
    assert "2 broken-json" in out
    assert "log.txt" in out
    assert "100%" in err
    assert "feed.ndjson" in err
    assert Rejection.objects.using(WORKER).count() == 2


def test_the_command_makes_a_source_and_asks_whose_it_is(feed, capsys):
    feed.write("feed.ndjson", ndjson(patient()))
    make.make_facility("North site")
    with pytest.raises(CommandError, match="--facility"):
        run_command(capsys, "--source", "new", feed.folder)
    out, _ = run_command(capsys, "--source", "new", "--facility", "South site", "--mrn-system", "urn:x", feed.folder)
    assert "“new” is a new source of South site" in out
    assert Source.objects.using(WORKER).get(name="new").mrn_system == "urn:x"
    assert Facility.objects.using(WORKER).filter(name="South site").exists()
    with pytest.raises(CommandError, match="cannot change its facility"):
        run_command(capsys, "--source", "new", "--facility", "North site", feed.folder)


def test_the_command_refuses_what_it_cannot_do_with_a_sentence(feed, capsys):
    with pytest.raises(CommandError, match="no such file"):
        run_command(capsys, "--source", "main", feed.folder / "nowhere")
    feed.write("notes.txt", b"nothing")
    with pytest.raises(CommandError, match="no FHIR resource"):
        run_command(capsys, "--source", "main", feed.folder)
    with pytest.raises(CommandError, match="CLINICPORTAL_PROCESS=worker"):
        call_command("import_fhir", "--source", "main", str(feed.folder))
    assert connection.alias == "default"


def test_rows_beside_a_resource_go_with_its_version(feed):
    feed.send(patient(), patient("p2"), observation(performer=refs("Patient/p2"), focus=refs("Patient/nobody")))
    assert AlsoAbout.objects.using(WORKER).get().patient == feed.patient("p2")
    assert Awaited.objects.using(WORKER).get().reference == "Patient/nobody"
    assert feed.classes("Observation/o1") == {"unknown"}
    feed.send(observation())
    assert not AlsoAbout.objects.using(WORKER).exists()
    assert not Awaited.objects.using(WORKER).exists()
    assert feed.classes("Observation/o1") == set()


def test_memory_does_not_grow_with_the_feed(feed, monkeypatch):
    monkeypatch.setattr(running, "ROWS", 200)
    text = [{"text": "x" * 2_000}]
    peaks = []
    for number in (1_000, 8_000):
        feed.write("feed.ndjson.gz", ndjson(patient(), *(observation(f"o{n}", note=text) for n in range(number))))
        files, _ = reading.find_files([feed.folder])
        tracemalloc.start()
        for batch, _ in running.Reading(feed.source, files, Directory()).batches():
            assert batch is None or len(batch.taken) <= 200
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]  # eight times as much; a cache of ids fills up once


def test_a_newer_reading_of_the_rules_brings_columns_up_to_date_without_a_version(feed, monkeypatch):
    feed.send(patient(), observation(effectiveDateTime="2024-05-01"))
    Resource.objects.using(WORKER).filter(type="Observation").update(section="documents", label="old")
    assert counts(feed.run()) == (0, 0, 2, 0, 0)
    assert feed.resource("Observation/o1").label == "old"
    monkeypatch.setattr(extraction, "RULES", b"next")
    assert counts(feed.run()) == (0, 0, 2, 0, 0)
    found = feed.resource("Observation/o1")
    assert (found.section, found.label, found.number) == ("results", "Hemoglobin", 1)


def test_the_first_import_of_a_source_knows_what_it_brought_itself(feed, monkeypatch):
    """It asks the database for no id that cannot have come before, and for every one that has."""
    monkeypatch.setattr(running, "ROWS", 2)
    asked = []
    known = statements.KNOWN
    with connections[WORKER].execute_wrapper(
        lambda execute, sql, params, many, context: (
            asked.append(params[0]) if sql == known else None,
            execute(sql, params, many, context),
        )[1]
    ):
        first = feed.send(
            patient(), observation("o1"), observation("o2"), observation("o3"), observation("o1", status="amended"),
            observation("o2"),
        )  # fmt: skip
    assert counts(first) == (4, 1, 1, 0, 0)
    assert feed.resource("Observation/o1").number == 2
    ids = {resource_id(feed.source.pk, f"Observation/{one}") for one in ("o1", "o2")}
    assert {UUID(id) for ids in asked for id in ids.strip("{}").split(",")} == ids
    assert counts(feed.send(observation("o3"))) == (0, 0, 1, 0, 0)


def test_ids_that_begin_alike_are_asked_for():
    seen = storing.Seen()
    assert seen.perhaps(["aaaaaa01-", "aaaaab01-", "aaaaaa02-"]) == ["aaaaaa02-"]
    assert seen.perhaps(["aaaaab01-", "aaaaac01-"]) == ["aaaaab01-"]


def test_a_bundle_takes_little_memory_for_each_entry():
    number = 20_000
    text = b'{"resourceType":"Bundle","entry":[%s]}' % b",".join([b'{"fullUrl":"urn:x","resource":{"a":1}}'] * number)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    bundle = read_bundle(text)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(bundle.entries) == number
    assert {bundle.small(one.parts[b"resource"]) for one in bundle.each()} == {b'{"a":1}'}
    assert used < 100 * number
