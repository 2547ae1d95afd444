"""Feeds: what lies in a folder is imported once, lateness is said, wrong patients are hidden at once."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connections
from django.utils import timezone

from clinicportal import audit
from clinicportal.rules import Denied
from clinicportal.viewing import viewing
from records import access, feeds
from records.importing import drops, storing
from records.importing.storing import AlreadyRunning, Stopped, only_import_of
from records.models import FeedStop, Import, Membership, Move, Patient, Resource, ResourceVersion, Section, Source
from tests import factories as make
from tests.factories import WORKER, days
from tests.records.feeds import (
    Feed,
    about,
    counts,
    import_in_a_process,
    ndjson,
    observation,
    organization,
    patient,
    ref,
)

LONG_AGO = time.time() - 3600


@pytest.fixture
def drop(source, settings, tmp_path) -> Path:
    settings.FEEDS_DIR = tmp_path / "feeds"
    folder = drops.folder(source)
    folder.mkdir(parents=True)
    return folder


def put(folder: Path, name: str, *resources, quiet: bool = True) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ndjson(*resources))
    if quiet:
        os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def operator(db):
    return make.signed_in(make.make_user("Operator", staff_roles=["operator"]), None)


@pytest.fixture
def second(db):
    return make.signed_in(make.make_user("Second Operator", staff_roles=["operator"]), None)


MEDICINE = {"resourceType": "Medication", "id": "d1", "code": {"text": "The right medicine"}}


def test_the_name_of_a_medicine_that_a_stopped_feed_brought_is_hidden_with_what_it_is_prescribed_by(
    feed, source, organisation, facility, guest
):
    prescribed = {"medicationReference": ref("Medication/d1"), "status": "active", "intent": "order"}
    feed.send(patient(), MEDICINE, about("MedicationRequest", "m1", **prescribed), organization("o"))
    Resource.objects.using(WORKER).update(received_at=days(-2))
    Patient.objects.using(WORKER).update(received_at=days(-2))
    make.make_agreement(organisation, facility)
    make.make_grant(guest, make.make_caseload(organisation, facility, feed.patient("p1")), sections=Section.values)

    def shown() -> list[str]:
        with viewing(guest):
            return list(Resource.objects.visible_to(guest).filter(section="medicines").values_list("label", flat=True))

    feed.send(MEDICINE)
    assert shown() == ["The right medicine"]
    assert feed.resource("MedicationRequest/m1").received_at < days(-1), "nothing has changed"
    feed.send({**MEDICINE, "code": {"text": "A wrong medicine"}})
    assert shown() == ["A wrong medicine"]
    FeedStop.objects.using(WORKER).create(
        source=source, hidden_since=days(-1), reason="wrong medicines", stopped_by=make.make_user("Operator")
    )
    assert shown() == []


# ---------------------------------------------------------------- the folder


def test_what_lies_in_the_folder_is_imported_and_moved_aside(drop, source):
    put(drop, "Patient.ndjson", patient())
    put(drop, "2024/Observation.ndjson", observation())
    (run,) = drops.take_what_arrived(source, using=WORKER)
    assert (run.created, run.files, run.fraction) == (2, 2, 1)
    assert not drops.has_work(source)
    kept = sorted(path.name for path in (drop / ".done").rglob("*.ndjson"))
    assert kept == ["Observation.ndjson", "Patient.ndjson"]
    assert drops.take_what_arrived(source, using=WORKER) == []


@pytest.mark.parametrize("name", [".hidden.ndjson", "a.ndjson.part", "a.TMP", "a.filepart"])
def test_a_file_that_is_still_on_its_way_is_left_alone(drop, source, name):
    put(drop, name, patient())
    put(drop, "still-growing.ndjson", patient("p2"), quiet=False)
    assert not drops.has_work(source)


def test_a_link_out_of_the_folder_is_not_followed(drop, source, tmp_path):
    (drop / "link.ndjson").symlink_to(put(tmp_path, "elsewhere.ndjson", patient()))
    assert not drops.has_work(source)


def test_a_file_sent_again_under_its_name_is_not_lost(drop, source, monkeypatch):
    put(drop, "a.ndjson", patient("p1"))
    finish = drops.put_aside

    def meanwhile(taken, of):
        put(drop, "a.ndjson", patient("p2"))
        finish(taken, of)

    with monkeypatch.context() as patched:
        patched.setattr(drops, "put_aside", meanwhile)
        drops.take_what_arrived(source, using=WORKER)
    drops.take_what_arrived(source, using=WORKER)
    assert set(Patient.objects.using(WORKER).values_list("fhir_id", flat=True)) == {"p1", "p2"}


def test_what_a_killed_import_had_taken_is_taken_again(drop, source, monkeypatch):
    put(drop, "a.ndjson", patient())
    with monkeypatch.context() as patched:
        patched.setattr(drops, "put_aside", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            drops.take_what_arrived(source, using=WORKER)
    assert drops.has_work(source)
    assert not drops.waiting(source)
    drops.take_what_arrived(source, using=WORKER)
    assert not drops.has_work(source)


def test_one_importer_a_source(drop, source):
    connections["second"] = connections.create_connection(WORKER)
    put(drop, "a.ndjson", patient())
    try:
        with only_import_of(source, using="second"), pytest.raises(AlreadyRunning):
            drops.take_what_arrived(source, using=WORKER)
    finally:
        connections["second"].close()
        del connections["second"]
    assert drops.waiting(source)


def test_a_feed_that_fails_is_tried_again_later_each_time(drop, source):
    assert not drops.is_pausing(source, using=WORKER)
    Import.objects.using(WORKER).create(source=source, failed="OperationalError")
    assert drops.is_pausing(source, using=WORKER)
    Import.objects.using(WORKER).update(started_at=days(-1))
    assert not drops.is_pausing(source, using=WORKER)


def test_what_was_imported_long_ago_is_swept_away(drop, source):
    put(drop, ".done/20200101T000000.000000/a.ndjson", patient())
    put(drop, f".done/{timezone.now():%Y%m%d}T000000.000000/b.ndjson", patient())
    drops.take_what_arrived(source, using=WORKER)
    assert [path.name for path in drop.rglob("*.ndjson")] == ["b.ndjson"]


# ---------------------------------------------------------------- how current


def test_a_facility_is_as_current_as_the_feed_that_is_furthest_behind(source, facility):
    hour = timedelta(hours=1)
    assert [(one.facility, one.up_to, one.late) for one in feeds.standing([facility.pk])] == [
        (facility.name, None, False)
    ]
    now = timezone.now()
    Source.objects.using(WORKER).update(expected_within=2 * hour, imported_up_to=now - hour)
    other = make.make_source(facility, "laboratory")
    Source.objects.using(WORKER).filter(pk=other.pk).update(expected_within=2 * hour, imported_up_to=now - 3 * hour)
    make.make_source(facility, "once")
    make.make_source(make.make_facility("North site"), "north")
    (standing,) = feeds.standing([facility.pk])
    assert (standing.up_to, standing.late, standing.stopped) == (now - 3 * hour, True, False)


# ---------------------------------------------------------------- stopping


def test_stopping_hides_what_came_since_from_that_moment(feed, guest, organisation, facility, agreement, operator):
    feed.send(patient(), observation("before"))
    Resource.objects.using(WORKER).update(received_at=days(-2))
    Patient.objects.using(WORKER).update(received_at=days(-2))
    feed.send(observation("since"))
    make.make_grant(guest, make.make_caseload(organisation, facility, feed.patient()))

    def seen() -> set[str]:
        with viewing(guest):
            return set(Resource.objects.visible_to(guest).values_list("fhir_id", flat=True))

    assert seen() == {"p1", "before", "since"}
    feeds.stop(feed.source, hidden_since=days(-1), reason="wrong patients", by=operator)
    assert seen() == {"p1", "before"}
    assert [one.stopped for one in feeds.standing([facility.pk])] == [True]


def test_nothing_is_taken_from_a_stopped_feed(feed, operator, drop):
    feeds.stop(feed.source, hidden_since=days(-1), reason="wrong patients", by=operator)
    put(drop, "a.ndjson", patient())
    with pytest.raises(Stopped):
        feed.send(patient())
    with pytest.raises(Stopped):
        drops.take_what_arrived(feed.source, using=WORKER)
    assert drops.has_work(feed.source)
    assert not Patient.objects.using(WORKER).exists()


def test_stopping_ends_an_import_that_is_under_way(feed, operator, monkeypatch):
    from records.importing import running

    monkeypatch.setattr(running, "ROWS", 10)
    write, written = storing.Store.write, []

    def stopped_after_two(store, batch, **how):
        write(store, batch, **how)
        written.append(batch)
        if len(written) == 2:
            feeds.stop(feed.source, hidden_since=days(-1), reason="wrong patients", by=operator)

    monkeypatch.setattr(storing.Store, "write", stopped_after_two)
    with pytest.raises(Stopped):
        feed.send(patient(), *(observation(f"o{number}") for number in range(99)))
    assert Resource.objects.using(WORKER).count() == 20
    assert Import.objects.using(WORKER).get().failed == "Stopped"


def test_memberships_that_rest_on_what_is_hidden_end_and_come_back(feed, organisation, facility, operator, second):
    organisation.key = "partner-b"
    organisation.save(using=WORKER)
    make.make_caseload(organisation, facility)
    feed.send(organization("b", "partner-b"), patient(managingOrganization=ref("Organization/b")))
    in_force = Membership.objects.using(WORKER).in_force
    assert in_force().count() == 1
    stopped = feeds.stop(feed.source, hidden_since=days(-1), reason="wrong patients", by=operator)
    assert feeds.settle(using=WORKER) == 1
    assert in_force().count() == 0
    stopped.refresh_from_db()
    assert stopped.patients == [feed.patient().pk]
    feeds.ask_to_resume(stopped, note="the hospital sent it again", by=operator)
    stopped.refresh_from_db()
    feeds.resume(stopped, by=second)
    assert (feeds.settle(using=WORKER), feeds.settle(using=WORKER)) == (1, 0)
    assert in_force().count() == 1


def test_resuming_takes_two_people(source, operator, second, guest):
    with pytest.raises(Denied, match="Only an operator"):
        feeds.stop(source, hidden_since=days(-1), reason="x", by=guest)
    stopped = feeds.stop(source, hidden_since=days(-1), reason="x", by=operator)
    with pytest.raises(Denied, match="stopped already"):
        feeds.stop(source, hidden_since=days(-1), reason="x", by=second)
    with pytest.raises(Denied, match="First one person"):
        feeds.resume(stopped, by=operator)
    feeds.ask_to_resume(stopped, note="right again", by=operator)
    with pytest.raises(Denied, match="Somebody else"):
        feeds.resume(stopped, by=operator)
    with pytest.raises(Denied, match="Only an operator"):
        feeds.resume(stopped, by=guest)
    assert feeds.is_stopped(source)
    feeds.resume(stopped, by=second)
    assert not feeds.is_stopped(source)
    types = [event.type for event in audit.trail()]
    assert types == ["feed-resumed", "feed-resume-asked", "feed-stopped"]


def test_a_stop_that_cannot_be_written_down_does_not_happen(source, operator, monkeypatch):
    monkeypatch.setattr(audit, "record", lambda *args, **facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        feeds.stop(source, hidden_since=days(-1), reason="x", by=operator)
    assert not FeedStop.objects.exists()


def test_who_had_seen_what_a_stopped_feed_brought(feed, guest, organisation, facility, agreement, operator):
    feed.send(patient("p1"), patient("p2"))
    make.make_grant(guest, make.make_caseload(organisation, facility, feed.patient("p1"), feed.patient("p2")))
    with viewing(guest):
        access.open_record(feed.patient("p1").pk, "results", by=guest)
    stopped = feeds.stop(feed.source, hidden_since=days(-1), reason="wrong patients", by=operator)
    feeds.settle(using=WORKER)
    stopped.refresh_from_db()
    (seen,) = feeds.who_saw(stopped.patients, since=stopped.hidden_since, by=operator, why="wrong patients")
    assert (seen.user_name, seen.patient_id, seen.section) == ("Practice Nurse", feed.patient("p1").pk, "results")
    assert audit.trail()[0].type == "audit-read"
    with pytest.raises(Denied):
        feeds.who_saw(stopped.patients, since=stopped.hidden_since, by=guest, why="curious")


# ---------------------------------------------------------------- moves


def test_a_resource_that_moves_to_another_patient_is_noted(feed):
    feed.send(patient("p1"), patient("p2"), observation("o1", "Patient/p1", meta={"versionId": "1"}))
    first_shown = feed.resource("Observation/o1").received_at
    feed.send(observation("o1", "Patient/p2", meta={"versionId": "2"}))
    move = Move.objects.using(WORKER).get()
    assert (move.from_patient, move.to_patient) == (feed.patient("p1").pk, feed.patient("p2").pk)
    assert (move.type, move.section, move.shown_from) == ("Observation", "results", first_shown)
    feed.run()
    assert Move.objects.using(WORKER).count() == 1


def test_staying_with_a_patient_is_no_move(feed):
    provenance = {"resourceType": "Provenance", "id": "v", "target": [ref("Observation/o1")]}
    feed.send(patient("p1"), observation("o1", status="preliminary"), observation("o2", "Patient/late"), provenance)
    feed.send(patient("late"), observation("o1", status="final"), {**provenance, "recorded": "2024-05-01T10:00:00Z"})
    assert not Move.objects.using(WORKER).exists()


# ---------------------------------------------------------------- killed for real

RESOURCES = 4_000


def state(feed: Feed) -> list[tuple]:
    rows = Resource.objects.using(WORKER).filter(source=feed.source).order_by("type", "fhir_id")
    return list(rows.values_list("type", "fhir_id", "patient__fhir_id", "classes", "settled", "number", "raw"))


def test_an_import_killed_at_any_point_goes_on_and_ends_as_if_it_was_not(feed, facility):
    reports = [
        {"resourceType": "DiagnosticReport", "id": f"r{n}", "subject": ref(f"Patient/p{n % 50}"),
         "result": [ref(f"Observation/o{n}")]}
        for n in range(0, RESOURCES, 8)
    ]  # fmt: skip
    label = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}]}
    labelled = [
        observation(f"o{n}", f"Patient/p{n % 50}", **({"meta": label} if n % 16 == 0 else {})) for n in range(RESOURCES)
    ]
    content = ndjson(*reports, *labelled, *(patient(f"p{n}") for n in range(50)))
    feed.write("all.ndjson", content)
    for _ in range(3):
        before = Resource.objects.using(WORKER).count()
        running = import_in_a_process(feed)
        deadline = time.monotonic() + 60
        while running.poll() is None and time.monotonic() < deadline:
            if Resource.objects.using(WORKER).count() > before + 600:
                break
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
        shown = Resource.objects.using(WORKER).filter(type="DiagnosticReport").exclude(classes__contains=["unknown"])
        assert not shown.filter(settled=False).exists()
    assert 0 < Resource.objects.using(WORKER).count() < RESOURCES + len(reports) + 50
    time.sleep(0.5)  # the lock goes with the connection of the killed one
    feed.run()
    other = Feed(feed.folder.parent / "clean", make.make_source(facility, "clean"))
    other.write("all.ndjson", content)
    assert counts(other.run())[0] == RESOURCES + len(reports) + 50
    assert state(feed) == state(other)
    assert not ResourceVersion.objects.using(WORKER).exists()
