"""Emergency access as verbs: how it begins, for whom, with which proof, and three unreviewed at most."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from clinicportal.models import (
    AuditSubject,
)
from clinicportal.proofs import Unproved
from clinicportal.rules import Denied
from records import emergencies
from records.models import (
    Agreement,
    EmergencyAccess,
    FeedStop,
)
from tests import factories as make
from tests.records.emergency.acts import REASON, WORKER, Status, asks, begins, events, sees
from tests.records.people import make_person
from tests.records.test_wall import save

# ---------------------------------------------------------------- beginning


def test_it_opens_whom_a_look_up_does_not_find_for_an_hour(proved, facility, hidden):
    assert not sees(proved, hidden)
    begun = begins(proved, facility)
    assert begun.status == Status.OPENED
    assert begun.proof == EmergencyAccess.Proof.STRONGER
    assert begun.ends_at - begun.started_at == timedelta(hours=1)
    assert begun.facilities == [facility.pk]
    assert sees(proved, hidden)
    [asked, started] = events("emergency-asked", "emergency-begun")
    assert (started.user_id, started.reason, started.basis) == (proved.pk, REASON, "Emergency access")
    assert started.object_id == asked.object_id == str(begun.pk)
    assert AuditSubject.objects.using("auditor").get(event_id=started.id).patient_id == hidden.pk


def test_an_agreement_without_a_facility_beside_it_changes_nothing(proved, organisation, facility, hidden):
    make.make_agreement(organisation, may_use_emergency_access=True)
    assert begins(proved, facility).facilities == [facility.pk]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda c: save(c, classes=["psychotherapy", "hiv"]), False),
        (lambda c: save(c, classes=["unknown"]), False),
        (lambda c: save(c, classes=["restricted"]), True),
        (lambda c: make.make_agreement(make.make_organisation("Partner C"), c.source.facility), True),
        (lambda c: Agreement.objects.get().facilities.set([make.make_facility("North site")]), False),
        (
            lambda c: FeedStop.objects.using(WORKER).create(
                source=c.source, hidden_since=make.days(-1), reason="x", stopped_by=make.make_user("Operator")
            ),
            False,
        ),
    ],
    ids=["psychotherapy", "not judged", "restricted", "agreement of another", "another facility", "feed stopped"],
)
def test_whom_it_finds(proved, facility, hidden, change, found):
    change(hidden)
    assert asks(proved, facility).patient_id == (hidden.pk if found else None)


def test_several_or_the_wrong_number_find_nobody_and_that_is_told_after_the_proof(proved, facility, hidden):
    asked = asks(proved, facility, number="9000002")
    assert (asked.patient_id, asked.status) == (None, Status.ASKED)
    begun = emergencies.begin(asked.pk, by=proved)
    assert (begun.status, begun.started_at) == (Status.NOBODY, None)
    assert [event.outcome for event in events("emergency-begun")] == ["failed"]


def test_who_finds_nobody_all_day_is_stopped(proved, facility, settings):
    settings.LOOK_UP_TRIES_PER_DAY = 2
    for number in ("1", "2"):
        assert begins(proved, facility, number=number).status == Status.NOBODY
    with pytest.raises(Denied, match="too many patients"):
        begins(proved, facility, number="3")


def without_proof(c) -> None:
    c.proofs = {}


def proof_of_sign_in_only(c) -> None:
    c.proofs = {"c1": timezone.now()}


def stale_proof(c) -> None:
    c.proofs = {"c2": timezone.now() - timedelta(minutes=16)}


@pytest.mark.parametrize("change", [without_proof, proof_of_sign_in_only, stale_proof])
def test_the_verb_itself_demands_the_fresh_stronger_proof(proved, facility, hidden, change):
    asked = asks(proved, facility)
    change(proved)
    with pytest.raises(Unproved):
        emergencies.begin(asked.pk, by=proved)
    assert not sees(proved, hidden)


def test_the_weaker_way_needs_a_fresh_sign_in_and_says_so(proved, facility, hidden):
    asked = asks(proved, facility)
    proved.proofs = {}
    with pytest.raises(Unproved):
        emergencies.begin(asked.pk, by=proved, weaker=True)
    proved.proofs = {"c1": timezone.now()}
    assert emergencies.begin(asked.pk, by=proved, weaker=True).proof == EmergencyAccess.Proof.SIGN_IN
    assert events("emergency-begun")[0].detail == {"proof": "sign-in"}


def no_right_in_the_grant(right) -> None:
    save(right, may_use_emergency_access=False)


def no_right_in_the_agreement(right) -> None:
    save(Agreement.objects.get(), may_use_emergency_access=False)


@pytest.mark.parametrize("change", [no_right_in_the_grant, no_right_in_the_agreement])
def test_without_the_right_nothing_is_asked_or_begun(proved, facility, hidden, right, change):
    asked = asks(proved, facility)
    change(right)
    with pytest.raises(Denied):
        asks(proved, facility)
    with pytest.raises(Denied):
        emergencies.begin(asked.pk, by=proved)


def test_another_guest_cannot_begin_it(proved, facility, hidden, caseload, organisation):
    asked = asks(proved, facility)
    other = make.signed_in(make.make_user("Other Nurse"), organisation)
    make.make_grant(other, caseload, may_use_emergency_access=True)
    other.proofs = {"c2": timezone.now()}
    with pytest.raises(EmergencyAccess.DoesNotExist):
        emergencies.begin(asked.pk, by=other)


def test_a_search_of_long_ago_begins_nothing(proved, facility, hidden):
    asked = asks(proved, facility)
    save(asked, asked_at=timezone.now() - timedelta(minutes=16))
    with pytest.raises(Denied, match="15 minutes"):
        emergencies.begin(asked.pk, by=proved)


def test_pressed_twice_it_is_one(proved, facility, hidden):
    asked, again = asks(proved, facility), asks(proved, facility)
    begun = emergencies.begin(asked.pk, by=proved)
    assert emergencies.begin(asked.pk, by=proved) == begun
    assert emergencies.begin(again.pk, by=proved) == begun
    assert len(events("emergency-begun")) == 1


def test_a_failed_audit_write_begins_nothing(proved, facility, hidden, monkeypatch):
    asked = asks(proved, facility)
    monkeypatch.setattr(emergencies.audit, "record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        emergencies.begin(asked.pk, by=proved)
    assert EmergencyAccess.objects.get(pk=asked.pk).status == Status.ASKED


# ---------------------------------------------------------------- three unreviewed


def test_three_unreviewed_leave_no_fourth(proved, facility, hidden):
    for _ in range(3):
        make.make_emergency(proved, uuid.uuid4())
    asked = asks(proved, facility)
    with pytest.raises(Denied, match="wait for their review"):
        emergencies.begin(asked.pk, by=proved)
    last = EmergencyAccess.objects.filter(status=Status.OPENED).first()
    save(last, status=Status.JUSTIFIED, reviewed_by=make.make_user("Reviewer"), reviewed_at=timezone.now())
    assert emergencies.begin(asked.pk, by=proved).status == Status.OPENED


def test_the_database_says_so_by_itself(proved):
    for _ in range(3):
        make.make_emergency(proved, uuid.uuid4())
    with pytest.raises(IntegrityError, match="wait for review"):
        make.make_emergency(proved, uuid.uuid4())


def at_once(number: int, act) -> list[Any]:
    def run(place: int) -> Any:
        try:
            return act(place)
        except (Denied, IntegrityError) as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


def test_five_at_once_begin_three(proved, facility, source):
    asked = []
    for number in range(5):
        make_person(source, mrn=f"91{number}")
        asked.append(asks(proved, facility, number=f"91{number}"))
    found = at_once(5, lambda place: emergencies.begin(asked[place].pk, by=proved))
    assert sum(isinstance(one, EmergencyAccess) for one in found) == 3
    assert EmergencyAccess.objects.unreviewed().count() == 3


def test_the_database_lets_the_fourth_wait_for_the_third(proved):
    """Without the verb's lock: the trigger has its own, so that two at once are not both the third."""
    for _ in range(2):
        make.make_emergency(proved, uuid.uuid4())

    def fourth() -> Any:
        try:
            return make.make_emergency(proved, uuid.uuid4())
        except IntegrityError as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(using=WORKER):
            make.make_emergency(proved, uuid.uuid4())
            waiting = pool.submit(fourth)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=1)
        assert isinstance(waiting.result(timeout=10), IntegrityError)
    assert EmergencyAccess.objects.unreviewed().count() == 3


def test_what_has_begun_is_not_changed(proved, hidden):
    begun = make.make_emergency(proved, hidden)
    for change in (
        {"ends_at": begun.ends_at + timedelta(seconds=1)},
        {"patient_id": uuid.uuid4()},
        {"guest_id": make.make_user("Other").pk},
        {"reason": "Something else"},
    ):
        with pytest.raises(IntegrityError):
            EmergencyAccess.objects.filter(pk=begun.pk).update(**change)
    EmergencyAccess.objects.filter(pk=begun.pk).update(ended_at=timezone.now())
    with pytest.raises(IntegrityError):
        EmergencyAccess.objects.filter(pk=begun.pk).update(ended_at=None)
    with pytest.raises(IntegrityError):
        make.make_emergency(proved, uuid.uuid4(), ends_at=begun.started_at + timedelta(minutes=61))
