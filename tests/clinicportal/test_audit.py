"""The trail: what is in it, that nothing changes it, and who may read it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connections, transaction

from clinicportal import audit
from clinicportal.models import AuditEvent, AuditSubject
from clinicportal.viewing import viewing
from records import access


def events(type: str) -> list[AuditEvent]:
    return list(audit.trail().filter(type=type))


def test_an_opened_record_leaves_an_event_with_its_patient_and_basis(guest, grant, patient):
    with viewing(guest):
        access.open_record(patient.pk, "results", by=guest)
    (event,) = events("record-opened")
    assert (event.section, event.outcome, event.identity) == (
        "results",
        "success",
        f"{guest.tenant_id}:{guest.object_id}",
    )
    assert (event.organisation_id, event.basis) == (guest.acting_for, "Registration")
    subject = AuditSubject.objects.using("auditor").get(event_id=event.id)
    assert (subject.patient_id, subject.grant_id, subject.recorded) == (patient.pk, grant.pk, event.recorded)


@pytest.mark.parametrize("alias", ["default", "worker"])
@pytest.mark.parametrize(
    "verb", ["SELECT recorded FROM {0}", "UPDATE {0} SET recorded = now()", "DELETE FROM {0}", "TRUNCATE {0}"]
)
@pytest.mark.parametrize(
    "table", ["clinicportal_auditevent", "clinicportal_auditsubject", "clinicportal_auditevent_default"]
)
def test_web_and_worker_can_only_append(db, alias, verb, table):
    with connections[alias].cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"):
        cursor.execute(verb.format(table))


@pytest.mark.parametrize("verb", ["UPDATE {0} SET recorded = now()", "DELETE FROM {0}", "TRUNCATE {0}"])
def test_even_the_owner_is_refused_by_a_trigger(guest, patient, grant, verb):
    with viewing(guest):
        access.open_record(patient.pk, "results", by=guest)
    with connections["owner"].cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM clinicportal_auditevent LIMIT 1")
        partition = cursor.fetchone()[0]
    for table in ("clinicportal_auditevent", "clinicportal_auditsubject", partition):
        with connections["owner"].cursor() as cursor, pytest.raises(DatabaseError, match="append-only"):
            cursor.execute(verb.format(table))


def test_events_land_in_the_partition_of_their_month(guest):
    with transaction.atomic():
        audit.record(audit.Type.SIGNED_IN, by=guest)
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            """SELECT tableoid::regclass::text, to_char(recorded AT TIME ZONE 'UTC', '_YYYY_MM')
               FROM clinicportal_auditevent"""
        )
        partition, month = cursor.fetchone()
    assert partition == f"clinicportal_auditevent{month}"


def test_events_of_a_month_without_a_partition_are_kept_and_stop_no_migration(guest):
    from clinicportal import partitions

    with connections["owner"].cursor() as cursor:
        cursor.execute("SELECT to_char(now() AT TIME ZONE 'UTC', '_YYYY_MM')")
        (month,) = cursor.fetchone()
        for parent in ("clinicportal_auditevent", "clinicportal_auditsubject"):
            cursor.execute(f"DROP TABLE {parent}{month}")
    with transaction.atomic():
        audit.record(audit.Type.SIGNED_IN, by=guest)
    with connections["owner"].cursor() as cursor:
        cursor.execute(partitions.STATEMENT)
        cursor.execute("SELECT DISTINCT tableoid::regclass::text FROM clinicportal_auditevent")
        assert cursor.fetchall() == [("clinicportal_auditevent_default",)]
    assert len(events("signed-in")) == 1


def test_a_rolled_back_read_leaves_no_event(guest, grant, patient):
    def fails_while_drawing() -> None:
        with viewing(guest):
            access.open_record(patient.pk, "results", by=guest)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_while_drawing()
    assert events("record-opened") == []


def test_no_event_no_record(guest, grant, patient):
    with connections["owner"].cursor() as cursor:
        cursor.execute("REVOKE INSERT ON clinicportal_auditevent FROM clinicportal_web")
    with pytest.raises(DatabaseError), viewing(guest):
        access.open_record(patient.pk, "results", by=guest)


@pytest.mark.parametrize("who", ["stranger", "nobody"])
def test_absent_and_forbidden_are_refused_alike(guest, grant, stranger, who):
    patient_id = stranger.pk if who == "stranger" else uuid.uuid4()
    with pytest.raises(access.Refused) as refused, viewing(guest):
        access.open_record(patient_id, "results", by=guest)
    audit.record_refusal(refused.value.entry)
    (event,) = events("record-refused")
    assert (event.outcome, event.section) == ("refused", "results")
    assert AuditSubject.objects.using("auditor").get(event_id=event.id).patient_id == patient_id


def test_canonical_bytes_never_change():
    """A golden vector: these bytes are what seals and proofs will stand on."""
    event = AuditEvent(
        id=uuid.UUID(int=1), recorded=datetime(2026, 6, 1, 8, 40, 0, 5, tzinfo=UTC), type="record-opened",
        outcome="success", user_id=uuid.UUID(int=2), identity="t:o", user_name="Zoë", organisation_id=uuid.UUID(int=3),
        section="results", basis="Referral", detail={"b": 1, "a": "x"}, source_ip="127.0.0.1", request_id="r",
        session="s", software="0.1.0", format=1,
    )  # fmt: skip
    subjects = [audit.Subject(uuid.UUID(int=5)), audit.Subject(uuid.UUID(int=4), uuid.UUID(int=6), "Referral")]
    assert (
        audit.canonical(event, subjects)
        == (
            '{"basis":"Referral","detail":{"a":"x","b":1},"format":1,"id":"00000000-0000-0000-0000-000000000001",'
            '"identity":"t:o","object_id":"","object_type":"","organisation_id":"00000000-0000-0000-0000-000000000003",'
            '"outcome":"success","reason":"","recorded":"2026-06-01T08:40:00.000005Z","request_id":"r","section":"results",'
            '"session":"s","software":"0.1.0","source_ip":"127.0.0.1","subjects":[["00000000-0000-0000-0000-000000000004",'
            '"00000000-0000-0000-0000-000000000006","Referral"],["00000000-0000-0000-0000-000000000005","",""]],'
            '"type":"record-opened","user_id":"00000000-0000-0000-0000-000000000002","user_name":"Zoë"}'
        ).encode()
    )
    assert audit.canonical(event, reversed(subjects)) == audit.canonical(event, subjects)


def test_a_stored_event_has_the_same_bytes_when_read_twice(guest, patient, grant):
    with viewing(guest):
        access.open_record(patient.pk, "results", by=guest)
    first, again = events("record-opened")[0], events("record-opened")[0]
    subjects = [audit.Subject(patient.pk, grant.pk, "Registration")]
    assert audit.canonical(first, subjects) == audit.canonical(again, subjects)
    assert str(patient.pk).encode() in audit.canonical(first, subjects)
