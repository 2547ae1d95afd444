"""Changes by hand: who may make them, that two people make what opens something, and what the worker does of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError, ProgrammingError
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import AuditSubject
from clinicportal.proofs import Unproved
from clinicportal.rules import Denied, IllegalTransition
from clinicportal.viewing import viewing
from records import byhand, links
from records.models import ByHand, Membership, OptOut, Patient, PatientLink, RequestedLabel, Resource
from records.models.byhand import Status
from tests import factories as make
from tests.factories import WORKER, days
from tests.records.feeds import Feed, labelled, observation, patient

Kind = ByHand.Kind


def staff(name: str, *roles: str, proved: bool = True, **fields):
    """One of our staff; `proved`: who has confirmed a moment ago that it is them."""
    user = make.make_user(name, staff_roles=list(roles), roles_checked_at=timezone.now(), accepts_terms=False, **fields)
    user.proofs = {settings.STEP_UP[byhand.ACT]: timezone.now()} if proved else {}
    return make.signed_in(user, None)


@pytest.fixture
def officer(db):
    return staff("Privacy Officer", "privacy")


@pytest.fixture
def approver(db):
    return staff("Approver", "approver")


@pytest.fixture
def operator(db):
    return staff("Operator", "operator")


def sees(guest, patient) -> bool:
    with viewing(guest):
        return Patient.objects.visible_to(guest).filter(pk=patient.pk).exists()


def fresh(entry: ByHand) -> ByHand:
    return ByHand.objects.get(pk=entry.pk)


# ---------------------------------------------------------------- a patient into a caseload


@pytest.fixture
def entered(stranger, caseload, approver) -> ByHand:
    return byhand.enter(
        Kind.LIST, by=approver, patient_id=stranger.pk, caseload=caseload, evidence="Letter of 1 June", ends_at=days(30)
    )  # fmt: skip


def test_a_patient_is_in_a_caseload_when_two_people_say_so_until_the_day(guest, grant, stranger, entered, operator):
    assert byhand.work(using=WORKER) == 0
    assert not sees(guest, stranger)
    byhand.confirm(entered, by=operator)
    assert not sees(guest, stranger), "the worker writes it"
    assert byhand.work(using=WORKER) == 1
    assert sees(guest, stranger)
    made = Membership.objects.using(WORKER).get(patient=stranger)
    assert (made.basis, made.evidence, made.ends_at) == ("by_hand", f"by hand {entered.pk}", entered.ends_at)
    assert byhand.work(using=WORKER) == 0
    byhand.withdraw(fresh(entered), by=operator, reason="Moved away")
    byhand.work(using=WORKER)
    assert not sees(guest, stranger)
    assert fresh(entered).status == Status.OVER


def test_one_person_is_not_enough(entered, approver, officer, guest):
    with pytest.raises(Denied, match="Somebody else"):
        byhand.confirm(entered, by=approver)
    for other in (officer, guest):
        with pytest.raises(Denied):
            byhand.confirm(entered, by=other)
    with pytest.raises(IntegrityError):  # nor for a bug of ours
        ByHand.objects.filter(pk=entered.pk).update(status=Status.CONFIRMED, confirmed_by=approver)
    with pytest.raises(IntegrityError):
        ByHand.objects.filter(pk=entered.pk).update(status=Status.IN_FORCE)


def test_a_declined_entry_does_nothing_and_stays_declined(guest, grant, stranger, entered, operator):
    byhand.decline(entered, by=operator, reason="Another person of that name")
    byhand.work(using=WORKER)
    assert not sees(guest, stranger)
    with pytest.raises(IllegalTransition):
        byhand.confirm(fresh(entered), by=operator)


def test_of_two_who_decide_at_once_one_is_too_late(entered, operator):
    mine, theirs = fresh(entered), fresh(entered)
    byhand.decline(mine, by=operator, reason="no")
    with pytest.raises(IllegalTransition):
        byhand.confirm(theirs, by=operator)


def test_its_day_ends_it_and_then_it_can_be_entered_again(
    guest, grant, stranger, caseload, entered, approver, operator
):
    facts = {"patient_id": stranger.pk, "caseload": caseload, "evidence": "Letter of 2 June"}
    with pytest.raises(Denied, match="already"):
        byhand.enter(Kind.LIST, by=approver, **facts)
    byhand.confirm(entered, by=operator)
    byhand.work(using=WORKER)
    ByHand.objects.filter(pk=entered.pk).update(ends_at=days(-1))
    Membership.objects.using(WORKER).filter(patient=stranger).update(ends_at=days(-1))
    assert byhand.work(using=WORKER) == 1
    again = byhand.enter(Kind.LIST, by=approver, **facts)
    byhand.confirm(again, by=operator)
    byhand.work(using=WORKER)
    assert sees(guest, stranger)
    assert Membership.objects.using(WORKER).get(patient=stranger).ends_at is None


def test_the_second_person_confirms_afresh_that_it_is_them(entered, operator):
    for operator.proofs in ({}, {settings.STEP_UP[byhand.ACT]: timezone.now() - timedelta(minutes=16)}):
        with pytest.raises(Unproved):
            byhand.confirm(entered, by=operator)
    assert fresh(entered).status == Status.ENTERED


def test_an_audit_that_fails_leaves_nothing_entered_or_confirmed(entered, stranger, officer, operator, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(audit, "record", fails)
    with pytest.raises(RuntimeError):
        byhand.confirm(entered, by=operator)
    with pytest.raises(RuntimeError):
        byhand.enter(Kind.OPT_OUT, by=officer, patient_id=stranger.pk, evidence="Form")
    assert fresh(entered).status == Status.ENTERED
    assert not OptOut.objects.using(WORKER).exists()


def test_each_step_is_in_the_trail_with_its_patient_and_no_name(entered, stranger, approver, operator):
    byhand.confirm(entered, by=operator)
    byhand.work(using=WORKER)
    events = list(audit.trail().filter(type__startswith="by-hand"))[::-1]
    assert [event.type for event in events] == ["by-hand-entered", "by-hand-confirmed", "by-hand-done"]
    assert [event.user_id for event in events] == [approver.pk, operator.pk, None]
    subjects = AuditSubject.objects.using("auditor").filter(event_id__in=[event.id for event in events])
    assert {one.patient_id for one in subjects} == {stranger.pk}


# ---------------------------------------------------------------- opt-outs


def test_an_opt_out_holds_at_once_and_for_all_records_of_the_person(guest, grant, patient, source, officer):
    other = make.make_patient(source, fhir_id="other")
    make.make_membership(grant.caseload, other)
    links.link(patient.pk, other.pk, kind="seealso", evidence="by test", using=WORKER)
    assert sees(guest, patient)
    entry = byhand.enter(Kind.OPT_OUT, by=officer, patient_id=patient.pk, evidence="Form of 1 June")
    assert not sees(guest, patient), "before the worker was there"
    byhand.work(using=WORKER)
    assert not sees(guest, other)
    assert OptOut.objects.using(WORKER).filter(patient=patient).count() == 1
    byhand.withdraw(fresh(entry), by=officer, reason="Wants to be shared again")
    byhand.work(using=WORKER)
    assert sees(guest, patient)
    assert sees(guest, other)
    assert OptOut.objects.using(WORKER).filter(ends_at=None).count() == 0


def test_an_opt_out_may_be_about_one_organisation(guest, grant, patient, organisation, officer):
    entry = byhand.enter(
        Kind.OPT_OUT, by=officer, patient_id=patient.pk, evidence="Form", organisation=make.make_organisation("Other")
    )  # fmt: skip
    byhand.work(using=WORKER)
    assert sees(guest, patient)
    byhand.withdraw(fresh(entry), by=officer, reason="no")
    byhand.enter(Kind.OPT_OUT, by=officer, patient_id=patient.pk, evidence="Form", organisation=organisation)
    assert not sees(guest, patient)


def test_nobody_but_a_privacy_officer_enters_opt_outs_and_labels(patient, approver, operator, guest, officer):
    for user in (approver, operator, guest):
        for kind in (Kind.OPT_OUT, Kind.LABEL):
            with pytest.raises(Denied):
                byhand.enter(kind, by=user, patient_id=patient.pk, evidence="x")
        with viewing(user), pytest.raises(ProgrammingError):  # nor past our own rules
            OptOut.objects.create(patient=patient, evidence="by hand x")
    with viewing(officer), pytest.raises(ProgrammingError):
        OptOut.objects.using("default").filter(patient=patient).update(ends_at=days(0))


def test_nobody_is_no_patient(officer):
    with pytest.raises(byhand.NoSuchPatient):
        byhand.enter(Kind.OPT_OUT, by=officer, patient_id=byhand.UUID(int=7), evidence="Form")
    entry = byhand.enter(Kind.LABEL, by=officer, patient_id=byhand.UUID(int=7), evidence="Form", section="documents",
                         sensitive_class="other")  # fmt: skip
    byhand.work(using=WORKER)
    assert fresh(entry).status == Status.DECLINED
    assert "no such patient" in fresh(entry).ended_because


# ---------------------------------------------------------------- labels


def hold_back_results(patient: Patient, by) -> ByHand:
    facts = {"section": "results", "sensitive_class": "other"}
    return byhand.enter(Kind.LABEL, by=by, patient_id=patient.pk, evidence="Form", **facts)


def test_a_label_of_a_section_holds_for_every_record_of_the_person_and_what_comes_later(feed, facility, officer):
    other = Feed(feed.folder.parent / "north", make.make_source(facility, "north"))
    feed.send(patient(), observation())
    other.send(patient(), observation())
    links.link(feed.patient().pk, other.patient().pk, kind="seealso", evidence="by test", using=WORKER)
    entry = hold_back_results(feed.patient(), officer)
    byhand.work(using=WORKER)
    assert feed.classes("Observation/o1") == other.classes("Observation/o1") == {"other"}
    assert feed.patient().classes == other.patient().classes == []
    other.send(observation("o2"))
    assert other.classes("Observation/o2") == {"other"}
    byhand.withdraw(fresh(entry), by=officer, reason="no longer")
    byhand.work(using=WORKER)
    assert feed.classes("Observation/o1") == other.classes("Observation/o1") == other.classes("Observation/o2") == set()
    assert not RequestedLabel.objects.using(WORKER).filter(withdrawn_at=None).exists()


def test_a_label_of_one_entry_is_of_that_entry(feed, officer):
    feed.send(patient(), observation("o1"), observation("o2"))
    entry = byhand.enter(
        Kind.LABEL, by=officer, patient_id=feed.patient().pk, evidence="Form", sensitive_class="hiv",
        entry_id=feed.resource("Observation/o1").pk,
    )  # fmt: skip
    byhand.work(using=WORKER)
    assert feed.classes("Observation/o1") == {"hiv"}
    assert feed.classes("Observation/o2") == set()
    assert fresh(entry).status == Status.IN_FORCE


def test_undoing_a_link_gives_back_what_was_held_back_because_of_it(feed, facility, officer):
    other = Feed(feed.folder.parent / "north", make.make_source(facility, "north"))
    feed.send(patient(), observation())
    other.send(patient(), observation())
    hold_back_results(feed.patient(), officer)
    byhand.work(using=WORKER)
    made = links.link(feed.patient().pk, other.patient().pk, kind="seealso", evidence="by test", using=WORKER)
    assert other.classes("Observation/o1") == {"other"}
    links.undo(made, using=WORKER)
    assert other.classes("Observation/o1") == set()
    assert feed.classes("Observation/o1") == {"other"}


# ---------------------------------------------------------------- links


def test_two_people_link_two_records_and_what_protects_one_protects_both(feed, facility, operator, officer):
    other = Feed(feed.folder.parent / "north", make.make_source(facility, "north"))
    feed.send(patient(meta=labelled("HIV")))
    other.send(patient())
    pair = {"patient_id": feed.patient().pk, "other_id": other.patient().pk}
    entry = byhand.enter(Kind.LINK, by=operator, replaced=True, evidence="Passport", **pair)
    byhand.work(using=WORKER)
    assert not PatientLink.objects.using(WORKER).exists()
    byhand.confirm(entry, by=officer)
    byhand.work(using=WORKER)
    assert other.patient().classes == ["hiv"]
    assert feed.patient().replaced_by == other.patient()
    byhand.withdraw(fresh(entry), by=operator, reason="Two people after all")
    byhand.work(using=WORKER)
    assert other.patient().classes == []
    assert feed.patient().replaced_by is None
    assert PatientLink.objects.using(WORKER).get().undone_at


@pytest.fixture
def north(organisation, agreement):
    facility = make.make_facility("North site")
    agreement.facilities.add(facility)
    return make.make_patient(make.make_source(facility, "north"), family="Elsewhere")


def test_after_a_link_a_caseload_gets_the_other_record_when_it_was_reviewed(
    guest, grant, patient, north, organisation, approver, operator
):  # fmt: skip
    there = make.make_caseload(organisation, north.source.facility)
    make.make_grant(guest, there)
    made = links.link(patient.pk, north.pk, kind="seealso", evidence="by test", using=WORKER)
    proposed = ByHand.objects.get()
    assert (proposed.kind, proposed.caseload, proposed.patient_id, proposed.link) == (
        "review",
        there,
        north.pk,
        made.pk,
    )
    byhand.work(using=WORKER)
    assert not sees(guest, north)
    with pytest.raises(Denied):
        byhand.confirm(proposed, by=operator)
    byhand.confirm(proposed, by=approver)
    byhand.work(using=WORKER)
    assert sees(guest, north)
    links.undo(made, using=WORKER)
    assert not sees(guest, north), "at once"
    assert fresh(proposed).status == Status.OVER


def test_a_proposal_falls_with_its_link_and_none_is_made_for_nothing(patient, caseload, north, organisation, source):
    made = links.link(patient.pk, north.pk, kind="seealso", evidence="by test", using=WORKER)
    assert not ByHand.objects.exists(), "the organisation has no caseload there"
    links.undo(made, using=WORKER)
    member = make.make_patient(source, fhir_id="member")
    make.make_membership(caseload, member)
    links.link(patient.pk, member.pk, kind="seealso", evidence="by test", using=WORKER)
    assert not ByHand.objects.exists(), "both are in it"
    other = make.make_patient(source, fhir_id="other")
    made = links.link(patient.pk, other.pk, kind="seealso", evidence="by test", using=WORKER)
    assert ByHand.objects.get().status == Status.ENTERED
    links.undo(made, using=WORKER)
    assert ByHand.objects.get().status == Status.DECLINED
    byhand.work(using=WORKER)
    assert not Membership.objects.using(WORKER).filter(patient=other).exists()


def test_what_one_change_breaks_does_not_hold_up_the_others(patient, source, officer, monkeypatch):
    bad, good = patient, make.make_patient(source, fhir_id="good")
    first = byhand.enter(Kind.OPT_OUT, by=officer, patient_id=bad.pk, evidence="Form")
    second = byhand.enter(Kind.OPT_OUT, by=officer, patient_id=good.pk, evidence="Form")
    unite = links.unite

    def breaks(ids, *, using):
        if bad.pk in ids:
            raise RuntimeError
        unite(ids, using=using)

    monkeypatch.setattr(links, "unite", breaks)
    assert byhand.work(using=WORKER) == 1
    assert (fresh(first).status, fresh(second).status) == (Status.CONFIRMED, Status.IN_FORCE)
    monkeypatch.undo()
    byhand.work(using=WORKER)
    assert fresh(first).status == Status.IN_FORCE
    assert not Resource.objects.using(WORKER).exists()
