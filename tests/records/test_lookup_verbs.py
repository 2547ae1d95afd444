"""What follows a search: counted, written down, opened once by the one who searched, looked at by a privacy officer."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import AuditEvent, AuditSubject, User
from clinicportal.rules import Denied
from clinicportal.viewing import viewing
from records import access, caseloads, lookup
from records.models import Grant, LookUp, Membership, Patient, Resource
from tests import factories as make
from tests.records.people import REASON, looks_up, make_person, typed

WORKER = "worker"


@pytest.fixture
def right(grant, agreement) -> Grant:
    for thing in (grant, agreement):
        type(thing).objects.using(WORKER).filter(pk=thing.pk).update(may_look_up=True)
    grant.refresh_from_db()
    return grant


@pytest.fixture
def absent(source) -> Patient:
    return make_person(source)


@pytest.fixture
def search(guest, right, source, absent) -> LookUp:
    return looks_up(guest, typed(source.facility))


def again(user: User) -> User:
    """`user` as the next request would load them."""
    fresh = User.objects.get(pk=user.pk)
    fresh.acting_for, fresh.mfa_proved = user.acting_for, user.mfa_proved
    return fresh


def sees(user: User, patient: Patient) -> bool:
    with viewing(user):
        return Patient.objects.visible_to(user).filter(pk=patient.pk).exists()


def events(*types: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.using("auditor").filter(type__in=types).order_by("recorded"))


# ---------------------------------------------------------------- opening


def test_finding_somebody_shows_nothing_yet(guest, search, absent):
    assert search.patient_id == absent.pk
    assert not sees(guest, absent)


def test_what_is_opened_is_readable_for_a_day_by_the_one_who_searched(guest, outsider, right, search, absent, caseload):
    make.make_grant(outsider, caseload)  # a colleague with the very same caseload
    resource = make.make_resource(absent)
    assert lookup.open_found(search.pk, by=guest) == absent.pk
    with viewing(guest):
        opened = access.open_record(absent.pk, "summary", by=guest)
        assert Resource.objects.visible_to(guest).filter(pk=resource.pk).exists()
    (basis,) = opened.bases
    assert basis.label == "Looked up by Practice Nurse"
    assert basis.purpose == REASON
    assert timedelta(hours=23) < basis.ends_at - timezone.now() <= lookup.LASTS
    assert opened.sections == frozenset(right.sections)
    assert not sees(outsider, absent)
    assert Membership.objects.using(WORKER).filter(patient=absent).count() == 0
    assert caseload.size() == 1


def test_what_is_opened_ends_with_the_grant_it_came_from(guest, right, search):
    Grant.objects.using(WORKER).filter(pk=right.pk).update(ends_at=make.days(0.1))
    lookup.open_found(search.pk, by=guest)
    given = Grant.objects.get(under=right)
    right.refresh_from_db()
    assert given.ends_at == right.ends_at


def test_it_gives_no_right_to_look_up_further(guest, right, search, source):
    lookup.open_found(search.pk, by=guest)
    Grant.objects.using(WORKER).filter(pk=right.pk).update(may_look_up=False)
    with pytest.raises(Denied):
        looks_up(again(guest), typed(source.facility))


def test_opening_twice_gives_one_grant(guest, search, absent):
    assert lookup.open_found(search.pk, by=guest) == lookup.open_found(search.pk, by=guest) == absent.pk
    assert Grant.objects.filter(under__isnull=False).count() == 1
    assert len(events("look-up-opened")) == 1


def test_looking_up_again_lasts_longer_and_shortens_nothing(guest, right, search, absent, source):
    lookup.open_found(search.pk, by=guest)
    (first,) = Grant.objects.filter(under=right)
    lookup.open_found(looks_up(guest, typed(source.facility)).pk, by=guest)
    assert Grant.objects.get(pk=first.pk).ends_at == first.ends_at
    with viewing(guest):
        longest, shorter = access.bases_of(absent, by=guest)
    assert (shorter.grant_id, shorter.ends_at) == (first.pk, first.ends_at)
    assert longest.ends_at > first.ends_at


def test_a_patient_of_the_caseload_keeps_the_longer_time(guest, right, search, absent, caseload):
    membership = make.make_membership(caseload, absent)
    lookup.open_found(search.pk, by=guest)
    with viewing(guest):
        assert access.bases_of(absent, by=guest)[0].label == "Registration"
    assert Membership.objects.using(WORKER).get(pk=membership.pk).ends_at is None


def test_sweeping_the_caseloads_neither_ends_nor_lengthens_it(guest, right, search, absent, source, organisation):
    type(organisation).objects.using(WORKER).filter(pk=organisation.pk).update(key="northfield")
    lookup.open_found(search.pk, by=guest)
    before = Grant.objects.filter(under=right).values_list("ends_at", "ended_at").get()
    caseloads.refresh(source, using=WORKER)
    assert Grant.objects.filter(under=right).values_list("ends_at", "ended_at").get() == before
    assert sees(guest, absent)


def test_only_the_one_who_searched_can_open_it(guest, outsider, right, search, caseload, organisation):
    make.make_grant(outsider, caseload, may_look_up=True)
    for somebody in (outsider, make.signed_in(again(guest), make.make_organisation("Partner C"))):
        with pytest.raises((LookUp.DoesNotExist, Denied)):
            lookup.open_found(search.pk, by=somebody)
    assert LookUp.objects.get(pk=search.pk).grant is None


def test_a_search_that_found_nobody_opens_nothing(guest, right, source):
    nobody = looks_up(guest, typed(source.facility))
    with pytest.raises(LookUp.DoesNotExist):
        lookup.open_found(nobody.pk, by=guest)


def test_after_a_while_it_has_to_be_looked_up_again(guest, search):
    LookUp.objects.filter(pk=search.pk).update(asked_at=timezone.now() - lookup.OPEN_WITHIN - timedelta(seconds=1))
    with pytest.raises(lookup.Over):
        lookup.open_found(search.pk, by=guest)
    assert not Grant.objects.filter(under__isnull=False).exists()


def test_the_grant_by_which_it_was_found_must_still_hold(guest, right, search, organisation, facility):
    other = make.make_caseload(organisation, facility, name="Another list")
    make.make_grant(guest, other, may_look_up=True)
    Grant.objects.using(WORKER).filter(pk=right.pk).update(may_look_up=False)
    with pytest.raises(lookup.Over):
        lookup.open_found(search.pk, by=guest)


# ---------------------------------------------------------------- counting


def test_the_same_form_sent_twice_is_one_search(guest, right, absent, source):
    attempt = uuid.uuid4()
    searches = {looks_up(guest, typed(source.facility), attempt=attempt).pk for _ in range(3)}
    assert len(searches) == LookUp.objects.count() == len(events("looked-up")) == 1
    for other in ({"born": "1958-02-03"}, {"name": "Beta Testpatient"}, {"number": "1"}, {"national": True}):
        assert looks_up(guest, typed(source.facility, **other), attempt=attempt).patient_id is None
    assert LookUp.objects.count() == 5


def test_a_day_has_so_many_patients_and_so_many_tries(guest, right, absent, source, settings):
    settings.LOOK_UPS_PER_DAY, settings.LOOK_UP_TRIES_PER_DAY = 2, 3
    fits, wrong = typed(source.facility), typed(source.facility, number="1")
    for what in (fits, wrong, fits):
        looks_up(guest, what)
    first = LookUp.objects.earliest("asked_at")
    for what in (fits, wrong):
        with pytest.raises(lookup.Capped) as capped:
            looks_up(guest, what)
        assert capped.value.until == first.asked_at + lookup.A_DAY
    LookUp.objects.filter(pk=first.pk).update(asked_at=timezone.now() - lookup.A_DAY)
    looks_up(guest, wrong)
    looks_up(guest, wrong)
    with pytest.raises(lookup.Capped):
        looks_up(guest, fits)
    assert LookUp.objects.count() == 5


def test_another_guest_has_a_count_of_their_own(guest, outsider, right, absent, caseload, source, settings):
    settings.LOOK_UPS_PER_DAY = 1
    make.make_grant(outsider, caseload, may_look_up=True)
    assert looks_up(guest, typed(source.facility)).patient_id == absent.pk
    assert looks_up(outsider, typed(source.facility)).patient_id == absent.pk


@pytest.mark.parametrize("number", ["9000001", "1"])
def test_two_at_once_cannot_both_be_the_last(guest, right, absent, source, settings, number):
    settings.LOOK_UPS_PER_DAY = settings.LOOK_UP_TRIES_PER_DAY = 1
    start, outcomes = threading.Barrier(4), []

    def look() -> None:
        try:
            start.wait()
            looks_up(again(guest), typed(source.facility, number=number))
            outcomes.append("searched")
        except lookup.Capped:
            outcomes.append("capped")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["capped"] * 3 + ["searched"]
    assert LookUp.objects.count() == 1


def test_the_same_form_twice_at_once_is_one_search(guest, right, absent, source):
    attempt, found = uuid.uuid4(), []

    def look() -> None:
        try:
            found.append(looks_up(again(guest), typed(source.facility), attempt=attempt).pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1


# ---------------------------------------------------------------- written down


def test_found_and_not_found_are_written_down_without_what_was_typed(guest, search, right, absent, source):
    looks_up(guest, typed(source.facility, name="Zebedee Nobody", number="777123"))
    lookup.open_found(search.pk, by=guest)
    found, nobody, opened = events("looked-up", "look-up-opened")
    assert [event.outcome for event in (found, nobody, opened)] == ["success", "failed", "success"]
    assert {event.reason for event in (found, nobody, opened)} == {REASON}
    subjects = AuditSubject.objects.using("auditor")
    assert subjects.get(event_id=found.id).patient_id == absent.pk
    assert not subjects.filter(event_id=nobody.id).exists()
    assert subjects.get(event_id=opened.id).grant_id == Grant.objects.get(under=right).pk
    kept = repr([vars(event) for event in (found, nobody, opened)]) + repr(list(LookUp.objects.values()))
    for word in ("Zebedee", "zebedee", "Nobody", "777123", "1958-02-02", "9000001", "Testpatient"):
        assert word not in kept


def fails(*_: Any, **__: Any) -> None:
    raise RuntimeError("the trail is full")


def test_what_cannot_be_written_down_does_not_happen(guest, right, search, source, monkeypatch):
    monkeypatch.setattr(audit, "record", fails)
    for act in (
        lambda: looks_up(guest, typed(source.facility)),
        lambda: lookup.open_found(search.pk, by=guest),
        lambda: lookup.review(search, by=make.make_user("Officer", staff_roles=["privacy"]), note="fine"),
    ):
        with pytest.raises(RuntimeError):
            act()
    assert LookUp.objects.get().reviewed_at is None
    assert not Grant.objects.filter(under__isnull=False).exists()


def test_a_privacy_officer_looks_at_it_once(guest, search, absent):
    officer, second = (make.make_user(name, staff_roles=["privacy"]) for name in ("Officer", "Second"))
    with pytest.raises(Denied):
        lookup.review(search, by=guest, note="mine")
    assert lookup.review(search, by=officer, note="Seen in clinic that day")
    assert not lookup.review(search, by=second, note="Me too")
    seen = LookUp.objects.get(pk=search.pk)
    assert (seen.reviewed_by, seen.note) == (officer, "Seen in clinic that day")
    (event,) = events("look-up-reviewed")
    assert AuditSubject.objects.using("auditor").get(event_id=event.id).patient_id == absent.pk
