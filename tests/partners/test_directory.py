"""What happened in the directory without us is noticed, takes away at once, and gives nothing back by itself."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import Session, User
from clinicportal.proofs import Unproved
from clinicportal.rules import Denied
from partners import directory as follower
from partners import entra, incidents, invitations, notices, provisioning
from partners.models import DirectoryWatch, Guest, Incident, Invitation, Notice, ProvisioningJob
from records.models import Suspension
from tests import factories as make
from tests.factories import client_for
from tests.partners.conftest import HOME, as_worker, make_approver, make_sponsor
from tests.partners.fake import Directory
from tests.partners.pages import text

NURSE = "nurse@northfield.example"
Status = Invitation.Status


def follow(directory: Any) -> None:
    """One round, as the worker, whenever the last one was."""
    DirectoryWatch.objects.using("worker").update(due_at=timezone.now(), leased_until=None)
    with as_worker():
        follower.follow(directory)


def age() -> None:
    """What we made a moment ago is old now, in the directory and here."""
    User.objects.update(created_at=make.days(-2))
    Guest.objects.exclude(redeemed_at=None).update(redeemed_at=make.days(-1))


@pytest.fixture
def known(sponsor, directory: Directory) -> None:
    """The sponsor is in the directory, too."""
    directory.has("sponsor@northfield.example", id=sponsor.object_id)
    User.objects.filter(pk=sponsor.pk).update(created_at=make.days(-30))


@pytest.fixture
def sent(job: ProvisioningJob, directory: Directory, known: None) -> Invitation:
    with as_worker():
        provisioning.advance(job.pk, directory)  # type: ignore[arg-type]
    follow(directory)
    age()
    return Invitation.objects.select_related("guest__user").get()


@pytest.fixture
def admitted(sent: Invitation, directory: Directory) -> Guest:
    """A nurse who has signed in."""
    change(directory, sent.guest, is_pending=False)
    invitations.complete(sent.guest, identity_provider=HOME)
    age()
    follow(directory)
    return Guest.objects.select_related("user").get(pk=sent.guest_id)


def change(directory: Directory, guest: Guest, *, told: bool = True, **fields: Any) -> None:
    """The account reads differently from now on, and (`told`) delta says so."""
    address = next(a for a, user in directory.people.items() if user.id == guest.user.object_id)
    user = directory.people[address] = replace(directory.people[address], **fields)
    if told:
        directory.log.append(entra.Change(user.id, removed=False, enabled=user.enabled, is_pending=user.is_pending))


def remove(directory: Directory, guest: Guest) -> entra.User:
    address = next(a for a, user in directory.people.items() if user.id == guest.user.object_id)
    gone = directory.people.pop(address)
    directory.log.append(entra.Change(gone.id, removed=True, enabled=None, is_pending=None))
    return gone


def reasons(guest: Guest) -> list[str]:
    return sorted(Suspension.objects.open().filter(user=guest.user).values_list("note", flat=True))


# ---------------------------------------------------------------- accepted


def test_an_accepted_guest_has_a_state_of_its_own_and_is_not_admitted_by_it(sent, directory, sponsor):
    change(directory, sent.guest, is_pending=False)
    follow(directory)
    follow(directory)
    sent.refresh_from_db()
    assert (sent.status, sent.redeem_url) == (Status.ACCEPTED, None)
    assert sent.accepted_at is not None
    assert Guest.objects.get(pk=sent.guest_id).redeemed_at is None
    assert audit.trail().filter(type=audit.Type.INVITATION_ACCEPTED).count() == 1
    page = text(client_for(sponsor, capacities=["sponsor"]).get(f"/requests/{sent.request_id}/"))
    assert "Accepted, not signed in yet" in page
    assert "nobody has signed in here yet" in page
    invitations.complete(sent.guest, identity_provider=HOME)
    sent.refresh_from_db()
    assert sent.status == Status.COMPLETED


def test_an_accepted_invitation_still_runs_out(sent, directory):
    change(directory, sent.guest, is_pending=False)
    follow(directory)
    Invitation.objects.update(expires_at=make.days(-0.001))
    assert invitations.expire_overdue() == 1


# ---------------------------------------------------------------- removed, disabled


@pytest.mark.parametrize(("what", "code", "says"), [
    (remove, "account_missing", "removed in our directory"),
    (lambda d, g: change(d, g, enabled=False), "account_disabled", "switched off in our directory"),
])  # fmt: skip
def test_a_lost_account_pauses_at_once_and_everybody_reads_why(
    admitted, directory, organisation, sponsor, approver, what, code, says
):
    client_for(make.signed_in(admitted.user, organisation))
    what(directory, admitted)
    follow(directory)
    follow(directory)  # told again, or read again: the same
    assert reasons(admitted) == [code]
    assert not Session.objects.filter(user=admitted.user).exists()
    [event] = audit.trail().filter(type=audit.Type.ACCESS_PAUSED)
    assert (event.object_id, event.reason) == (str(admitted.pk), code)
    [notice] = Notice.objects.filter(key__startswith="paused")
    assert says in notice.body
    request = Invitation.objects.get(guest=admitted).request_id
    desk = text(client_for(sponsor, capacities=["sponsor"]).get(f"/requests/{request}/"))
    assert "Access is paused" in desk
    assert says in desk
    assert "Paused" in text(client_for(sponsor, capacities=["sponsor"]).get("/people/"))
    office = text(client_for(approver).get(f"/approvals/{request}/"))
    assert "Changed in the directory" in office
    assert "Let them go on" not in office


def test_what_comes_back_is_let_in_by_our_staff_only(admitted, directory, approver):
    gone = remove(directory, admitted)
    follow(directory)
    with pytest.raises(Denied, match="restored or enabled"):
        follower.resume(Guest.objects.get(pk=admitted.pk), by=approver)
    directory.people[NURSE] = gone
    change(directory, admitted)
    follow(directory)
    assert reasons(admitted) == ["account_missing"], "nothing comes back by itself"
    request = Invitation.objects.get(guest=admitted).request_id
    office = client_for(approver)
    assert "Let them go on" in text(office.get(f"/approvals/{request}/"))
    office.post(f"/approvals/{request}/let-in/")
    assert reasons(admitted) == []
    assert audit.trail().filter(type=audit.Type.ACCESS_RESUMED).count() == 1


def test_who_is_tied_lets_nobody_in_and_other_reasons_stay(admitted, directory, approver):
    Suspension.objects.create(user=admitted.user, reason=Suspension.Reason.SECURITY, note="stolen laptop")
    change(directory, admitted, enabled=False)
    follow(directory)
    change(directory, admitted, enabled=True)
    follow(directory)
    guest = Guest.objects.get(pk=admitted.pk)
    with pytest.raises(Denied):
        follower.resume(guest, by=make_approver("Tied", email="x@northfield.example"))
    proofs, approver.proofs = approver.proofs, {}
    with pytest.raises(Unproved):
        follower.resume(guest, by=approver)
    approver.proofs = proofs
    follower.resume(guest, by=approver)
    assert reasons(admitted) == ["stolen laptop"]


def test_a_guest_whom_we_are_just_making_is_not_lost(job, directory, known):
    follow(directory)
    with as_worker():
        directory.faults["is_member"] = [entra.TryLater("not_a_member_yet")]
        provisioning.advance(job.pk, directory)
    hidden = directory.people.pop(NURSE)
    DirectoryWatch.objects.using("worker").update(compared_at=None)
    follow(directory)
    assert not Suspension.objects.exists()
    directory.people[NURSE] = hidden


def test_redemption_that_others_set_back_holds_the_person(admitted, directory):
    change(directory, admitted, is_pending=True)
    follow(directory)
    assert reasons(admitted) == ["redemption_reset"]
    guest = Guest.objects.get(pk=admitted.pk)
    assert (guest.redeemed_at, guest.admitted_at is not None) == (None, True)


# ---------------------------------------------------------------- the protocol of hints


def test_hints_repeat_and_come_out_of_order_and_what_counts_is_how_it_reads_now(admitted, directory):
    before = entra.Change(admitted.user.object_id, removed=False, enabled=False, is_pending=False)
    gone = entra.Change(admitted.user.object_id, removed=True, enabled=None, is_pending=None)
    directory.log += [gone, before, gone, before]
    follow(directory)
    assert reasons(admitted) == []
    assert DirectoryWatch.objects.get().look_again == [admitted.user.object_id]
    calls = directory.count("user")
    follow(directory)
    assert directory.count("user") == calls + 1, "read once more, in case the copy that answered was behind"
    assert DirectoryWatch.objects.get().look_again == []


def test_a_copy_of_the_directory_that_is_behind_is_read_again(admitted, directory):
    """Delta says disabled, the answer to the reading is older."""
    user = directory.people[NURSE]
    directory.log.append(entra.Change(user.id, removed=False, enabled=False, is_pending=False))
    follow(directory)
    assert reasons(admitted) == []
    change(directory, admitted, told=False, enabled=False)
    follow(directory)
    assert reasons(admitted) == ["account_disabled"]


def test_only_our_guests_matter(admitted, directory):
    calls = directory.count("user")
    directory.log += [entra.Change(uuid.uuid4(), removed=True, enabled=None, is_pending=None)] * 50
    follow(directory)
    assert directory.count("user") == calls
    assert not Suspension.objects.exists()


def test_a_forgotten_state_reads_everybody_anew(admitted, directory):
    change(directory, admitted, told=False, enabled=False)
    directory.faults["changes"] = [entra.Refused("sync_state_gone")]
    follow(directory)
    assert reasons(admitted) == ["account_disabled"]
    assert not Incident.objects.exists()


def test_everybody_is_read_once_a_day(admitted, directory):
    change(directory, admitted, told=False, enabled=False)
    follow(directory)
    assert reasons(admitted) == []
    DirectoryWatch.objects.using("worker").update(compared_at=make.days(-1.1))
    follow(directory)
    assert reasons(admitted) == ["account_disabled"]


@pytest.mark.parametrize("refusal", [entra.Refused("not_permitted"), entra.TryLater("not_permitted"),
                                     entra.Refused("unknown_refusal")])  # fmt: skip
def test_where_delta_is_refused_the_pending_are_read_instead(sent, directory, refusal):
    change(directory, sent.guest, told=False, is_pending=False)
    directory.faults["changes"] = [refusal]
    follow(directory)
    sent.refresh_from_db()
    assert sent.status == Status.ACCEPTED
    assert incidents.is_open("delta_refused")


def test_trouble_on_the_way_loses_nothing(admitted, directory):
    change(directory, admitted, enabled=False)
    directory.faults["user"] = [entra.TryLater("throttled", timezone.now() + dt.timedelta(hours=1))]
    link = DirectoryWatch.objects.get().link
    follow(directory)
    watch = DirectoryWatch.objects.get()
    assert (watch.link, watch.leased_until) == (link, None)
    assert watch.due_at > timezone.now() + dt.timedelta(minutes=50)
    follow(directory)
    assert reasons(admitted) == ["account_disabled"]


def test_one_worker_at_a_time_and_not_before_it_is_due(admitted, directory):
    calls = len(directory.calls)
    with as_worker():
        follower.follow(directory)
    assert len(directory.calls) == calls, "not due yet"
    DirectoryWatch.objects.using("worker").update(
        due_at=timezone.now(), leased_until=timezone.now() + dt.timedelta(minutes=1)
    )
    with as_worker():
        follower.follow(directory)
    assert len(directory.calls) == calls, "another worker has it"


def test_without_its_audit_event_nobody_is_paused_and_the_round_is_repeated(admitted, directory, monkeypatch):
    change(directory, admitted, enabled=False)
    link = DirectoryWatch.objects.get().link
    with monkeypatch.context() as patched:
        patched.setattr(audit, "record", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            follow(directory)
    assert (reasons(admitted), DirectoryWatch.objects.get().link) == ([], link)
    follow(directory)
    assert reasons(admitted) == ["account_disabled"]


# ---------------------------------------------------------------- the guard


@pytest.mark.parametrize(("losses", "guests", "mass"), [
    (1, 1, False), (3, 3, False), (4, 20, True), (4, 80, False), (5, 80, True), (10, 1000, False), (11, 1000, True),
])  # fmt: skip
def test_what_counts_as_many(losses, guests, mass):
    assert follower.is_a_mass(losses, guests) is mass


def test_many_at_once_stop_until_the_operator_has_looked(admitted, directory, partner):
    guests = [make_sponsor(partner, f"Northfield Sponsor{n}") for n in range(5)]
    for guest in guests:
        directory.has(guest.email, id=guest.object_id)
    age()
    for person in [*Guest.objects.filter(user__in=guests), admitted]:
        change(directory, person, enabled=False)
    follow(directory)
    follow(directory)
    assert not Suspension.objects.exists()
    incident = Incident.objects.get(code="mass_change")
    assert (incident.detail, incident.times) == ("6 of 7", 1)
    operator = make_approver("Portal Operator", staff_roles=["operator"])
    incidents.close(incident, by=operator, note="They closed a site")
    follow(directory)
    assert Suspension.objects.open().count() == 6
    follow(directory)
    assert Incident.objects.count() == 1


def test_more_than_the_operator_saw_stop_again(admitted, directory, partner):
    people = [make_sponsor(partner, f"Northfield Sponsor{n}") for n in range(5)]
    for person in people:
        directory.has(person.email, id=person.object_id)
    age()
    for person in Guest.objects.filter(user__in=people):
        change(directory, person, enabled=False)
    follow(directory)
    incidents.close(Incident.objects.get(), by=make_approver("O", staff_roles=["operator"]), note="x")
    change(directory, admitted, enabled=False)
    follow(directory)
    assert not Suspension.objects.exists()
    assert Incident.objects.open().get().detail == "6 of 7"


# ---------------------------------------------------------------- the real protocol


def test_the_real_delta_tells_accepted_disabled_and_removed(graph, tenant, job, sponsor, approver):
    with as_worker():
        provisioning.advance(job.pk, graph)
    follow(graph)
    age()
    guest = Guest.objects.select_related("user").get(address=NURSE)
    from tests.devtenant.conftest import Person

    browser = Person(tenant)
    browser.open(invitations.redeem_url(Invitation.objects.get())).press(NURSE).press("accept")
    follow(graph)
    assert Invitation.objects.get().status == Status.ACCEPTED
    tenant.do("enable-user", user=NURSE, enabled=False)
    follow(graph)
    assert reasons(guest) == ["account_disabled"]
    tenant.do("enable-user", user=NURSE, enabled=True)
    follow(graph)
    follower.resume(Guest.objects.get(pk=guest.pk), by=approver)
    tenant.do("delete-user", user=NURSE)
    follow(graph)
    assert reasons(guest) == ["account_missing"]


def test_the_real_delta_forgets_and_everybody_is_read(graph, tenant, job):
    with as_worker():
        provisioning.advance(job.pk, graph)
    follow(graph)
    age()
    tenant.do("enable-user", user=NURSE, enabled=False)
    tenant.do("expire-delta")
    follow(graph)
    assert reasons(Guest.objects.get(address=NURSE)) == ["account_disabled"]
    assert {call["operation"] for call in tenant.read("calls")} >= {"GET /users/delta", "GET /users"}


def test_the_sponsor_is_told_once(admitted, directory):
    change(directory, admitted, enabled=False)
    for _ in range(2):
        follow(directory)
    assert Notice.objects.filter(key__startswith=notices.Kind.PAUSED.value).count() == 1
