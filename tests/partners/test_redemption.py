"""Starting anew: what holds from the asking on, who confirms, and what lifts it. The ways out, one by one."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import Session, Terms, TermsAcceptance, User
from clinicportal.proofs import Unproved
from clinicportal.rules import Denied
from clinicportal.viewing import viewing
from partners import entra, grants, invitations, provisioning, redemption, signin
from partners.models import AccessRequest, Guest, Invitation, ProvisioningJob, Reset, Step
from partners.signin import Identity, TurnedAway, admit
from records.models import Patient, Suspension
from tests import factories as make
from tests.devtenant.conftest import Person
from tests.factories import client_for
from tests.partners.conftest import HOME, as_worker, make_approver, make_partner, make_sponsor
from tests.partners.pages import heading, text

pytestmark = pytest.mark.usefixtures("assured")

NURSE, NEW = "nurse@northfield.example", "practice.nurse@northfield.example"
Status, Because = Invitation.Status, Reset.Because


def run(job: ProvisioningJob, directory) -> None:
    job.steps.filter(state=Step.State.WAITING).update(due_at=timezone.now() - dt.timedelta(seconds=1))
    with as_worker():
        provisioning.advance(job.pk, directory)


@pytest.fixture
def sent(job, directory) -> Invitation:
    run(job, directory)
    return Invitation.objects.select_related("guest__user").get(request=job.request_id)


def identity_of(guest: Guest, **changes: Any) -> Identity:
    user = User.objects.get(pk=guest.pk)
    assert user.tenant_id
    assert user.object_id
    usual = Identity(user.tenant_id, user.object_id, HOME, "Practice Nurse", NURSE, frozenset(), frozenset({"c1"}))
    return replace(usual, **changes)


def sign_in(guest: Guest, **changes: Any) -> User:
    """What a verified token does, without the protocol. Raises TurnedAway."""
    identity = identity_of(guest, **changes)
    user = admit(identity)
    invitations.complete(guest, identity_provider=identity.identity_provider)
    redemption.release(guest)
    return user


def accept_terms(user: User) -> None:
    TermsAcceptance.objects.create(user=user, terms=Terms.in_force().get())


@pytest.fixture
def admitted(sent) -> Guest:
    """A nurse who has been in: signed in, terms accepted, a session open."""
    accept_terms(sign_in(sent.guest))
    return Guest.objects.select_related("user").get(pk=sent.guest_id)


def sees(guest: Guest, organisation) -> int:
    """How many patients the guest sees in a session, by the queryset and by the wall alike."""
    user = make.signed_in(User.objects.get(pk=guest.pk), organisation)
    with viewing(user):
        by_rule = Patient.objects.visible_to(user).count()
        by_wall = Patient.objects.count()
    assert by_rule == by_wall
    return by_rule


def invitation_of(guest: Guest) -> Invitation:
    return Invitation.objects.select_related("request", "guest__user").get(guest=guest)


def start_anew_confirmed(invitation: Invitation, *, by: User, **why: Any) -> None:
    redemption.confirm(redemption.start_anew(invitation, by=by, **why), by=by)


# ---------------------------------------------------------------- the hold


def test_from_the_asking_on_nothing_is_shown_until_the_expected_person_signed_in_and_accepted(
    admitted, organisation, sponsor, approver, directory, outbox
):
    client_for(make.signed_in(admitted.user, organisation))
    assert sees(admitted, organisation) == 1
    old = invitations.token(invitation_of(admitted))
    outbox.clear()

    reset = redemption.start_anew(invitation_of(admitted), by=sponsor, because=Because.NEW_ACCOUNT)
    assert not Session.objects.filter(user=admitted.user).exists()
    assert sees(admitted, organisation) == 0
    assert invitations.open_link(old).state is invitations.Link.HELD
    with pytest.raises(TurnedAway, match="identity-check"):
        sign_in(admitted)
    run(reset.request.job, directory)
    assert directory.count("invite") == 1, "the directory is asked only once the person is confirmed"
    assert outbox == []

    redemption.confirm(reset, by=approver)
    with pytest.raises(TurnedAway, match="identity-check"):
        sign_in(admitted)  # the old binding still holds in the directory
    run(reset.request.job, directory)
    assert directory.people[NURSE].is_pending
    assert [mail.to for mail in outbox] == [[NURSE]]
    assert "Your access stays the same" in outbox[0].body
    assert invitations.open_link(old).state is invitations.Link.REPLACED
    assert sees(admitted, organisation) == 0

    user = sign_in(admitted)
    assert sees(admitted, organisation) == 0, "the terms were accepted by whoever was there before"
    accept_terms(user)
    assert sees(admitted, organisation) == 1
    assert invitation_of(admitted).status == Status.COMPLETED
    assert Reset.objects.get().status == Reset.Status.DONE
    types = [event.type for event in audit.trail()]
    assert {audit.Type.REDEMPTION_RESET, audit.Type.RESET_CONFIRMED} <= set(types)


def test_terms_ended_by_a_reset_stay_as_evidence(admitted, sponsor):
    redemption.start_anew(invitation_of(admitted), by=sponsor, because=Because.NEW_ACCOUNT)
    ended = TermsAcceptance.objects.get(user=admitted.user)
    assert ended.ended_at is not None
    accept_terms(admitted.user)
    assert TermsAcceptance.objects.filter(user=admitted.user).count() == 2


@pytest.mark.parametrize("changes", [{"identity_provider": "live.com"}, {"address": "doctor@northfield.example"}])
def test_only_the_expected_person_lifts_the_hold(admitted, approver, directory, changes):
    start_anew_confirmed(invitation_of(admitted), by=approver, because=Because.NEW_ACCOUNT)
    run(invitation_of(admitted).request.job, directory)
    with pytest.raises(TurnedAway, match="wrong-account"):
        sign_in(admitted, **changes)
    assert Suspension.objects.open().get(user=admitted.user).reason == Suspension.Reason.IDENTITY
    sign_in(admitted)
    assert not Suspension.objects.open().filter(user=admitted.user).exists()


def test_the_sign_in_lifts_no_other_reason(admitted, approver, directory):
    start_anew_confirmed(invitation_of(admitted), by=approver, because=Because.NEW_ACCOUNT)
    run(invitation_of(admitted).request.job, directory)
    Suspension.objects.create(user=admitted.user, reason=Suspension.Reason.SECURITY)
    with pytest.raises(TurnedAway, match="suspended"):
        sign_in(admitted)
    assert Suspension.objects.open().count() == 2


def test_who_signs_in_by_the_old_binding_at_the_last_moment_is_held_again(admitted, approver, directory):
    """Between our question and the directory's answer: the sign-in proved the binding that is gone a moment later."""
    start_anew_confirmed(invitation_of(admitted), by=approver, because=Because.NEW_ACCOUNT)

    def signs_in(answer: Any) -> Any:
        Guest.objects.update(redeemed_at=timezone.now(), identity_provider=HOME)
        Suspension.objects.update(lifted_at=timezone.now())
        return answer

    directory.faults["invite"] = [signs_in]
    run(invitation_of(admitted).request.job, directory)
    assert Guest.objects.get(pk=admitted.pk).redeemed_at is None
    assert Suspension.objects.open().filter(user=admitted.user).exists()


def test_without_its_audit_event_nothing_is_held(admitted, approver, monkeypatch):
    monkeypatch.setattr(audit, "record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        redemption.start_anew(invitation_of(admitted), by=approver, because=Because.NEW_ACCOUNT)
    assert not Suspension.objects.exists()
    assert invitation_of(admitted).status == Status.COMPLETED


# ---------------------------------------------------------------- who confirms


def test_who_was_never_in_needs_no_confirmation(sent, sponsor, directory, outbox):
    reset = redemption.start_anew(sent, by=sponsor, because=Because.WRONG_ACCOUNT)
    assert reset.status == Reset.Status.RUNNING
    run(sent.request.job, directory)
    assert len(outbox) == 2


def test_our_staff_confirm_with_a_fresh_proof_even_what_they_asked_for_themselves(admitted, approver, directory):
    reset = redemption.start_anew(invitation_of(admitted), by=approver, because=Because.NEW_ACCOUNT)
    assert (reset.status, reset.decided_by) == (Reset.Status.AWAITS_STAFF, None)
    proofs, approver.proofs = approver.proofs, {}
    with pytest.raises(Unproved):
        redemption.confirm(reset, by=approver)
    run(reset.request.job, directory)
    assert directory.count("invite") == 1
    approver.proofs = proofs
    redemption.confirm(reset, by=approver)
    assert (reset.status, reset.decided_by) == (Reset.Status.RUNNING, approver)


def test_who_is_tied_to_the_organisation_confirms_nothing(admitted, sponsor):
    reset = redemption.start_anew(invitation_of(admitted), by=sponsor, because=Because.NEW_ACCOUNT)
    tied = make_approver("Tied Approver", email="tied@northfield.example")
    for act in (
        lambda: redemption.confirm(reset, by=tied),
        lambda: redemption.confirm(reset, by=sponsor),
        lambda: redemption.refuse(reset, by=sponsor, reason="x"),
    ):
        with pytest.raises(Denied):
            act()
    reset.refresh_from_db()
    assert reset.status == Reset.Status.AWAITS_STAFF


def test_what_is_not_confirmed_changes_nothing_and_the_known_person_can_come_back(
    admitted, sponsor, approver, directory, organisation
):
    reset = redemption.start_anew(invitation_of(admitted), by=sponsor, because=Because.NEW_ADDRESS, address=NEW)
    redemption.refuse(reset, by=approver, reason="The sponsor does not know of it")
    run(reset.request.job, directory)
    assert directory.count("invite") == 1
    assert Guest.objects.get(pk=admitted.pk).address == NURSE
    assert sees(admitted, organisation) == 0
    accept_terms(sign_in(admitted))
    assert sees(admitted, organisation) == 1


# ---------------------------------------------------------------- limits


def test_a_sponsor_of_another_organisation_starts_nobody_anew(sent, admitted):
    other = make_partner(make.make_organisation("Partner C"), domain="riverside.example")
    stranger = make_sponsor(other, "Riverside Sponsor")
    with pytest.raises(Denied):
        redemption.start_anew(sent, by=stranger, because=Because.NEW_ACCOUNT)
    assert not Reset.objects.exists()


def test_three_times_a_day_and_one_at_a_time(sent, directory):
    for number in range(redemption.MOST_A_DAY):
        sent.refresh_from_db()
        redemption.start_anew(sent, by=None, because=Because.WRONG_ACCOUNT)
        with pytest.raises(Denied, match=r"still setting this up|asked for already"):
            redemption.start_anew(sent, by=None, because=Because.WRONG_ACCOUNT)
        run(sent.request.job, directory)
        sign_in(sent.guest)
        Guest.objects.update(admitted_at=None)
        assert Reset.objects.filter(status=Reset.Status.DONE).count() == number + 1
    sent.refresh_from_db()
    with pytest.raises(Denied, match="too often"):
        redemption.start_anew(sent, by=None, because=Because.WRONG_ACCOUNT)


@pytest.mark.parametrize("status", [Status.DECLINED, Status.REVOKED])
def test_what_has_ended_does_not_start_again(sent, approver, status):
    Invitation.objects.update(status=status)
    sent.refresh_from_db()
    with pytest.raises(Denied, match="has ended"):
        redemption.start_anew(sent, by=approver, because=Because.NEW_ACCOUNT)


def test_who_is_paused_for_another_reason_does_not_start_again(sent, sponsor):
    Suspension.objects.create(user=sent.guest.user, reason=Suspension.Reason.SECURITY)
    with pytest.raises(Denied, match="paused"):
        redemption.start_anew(sent, by=sponsor, because=Because.NEW_ACCOUNT)


def test_the_end_of_the_access_closes_what_waited(admitted, sponsor):
    redemption.start_anew(invitation_of(admitted), by=sponsor, because=Because.NEW_ACCOUNT)
    request = AccessRequest.objects.get()
    grants.end(request, because="Has left")
    assert Reset.objects.get().status == Reset.Status.REFUSED
    assert invitation_of(admitted).status == Status.REVOKED


# ---------------------------------------------------------------- a changed address


def test_a_new_address_keeps_account_and_history(admitted, sponsor, approver, directory, outbox):
    before = (admitted.user.object_id, admitted.pk, AccessRequest.objects.get().pk)
    reset = redemption.start_anew(invitation_of(admitted), by=sponsor, because=Because.NEW_ADDRESS, address=NEW)
    assert AccessRequest.objects.get().address == NURSE, "nothing changes before it is confirmed"
    redemption.confirm(reset, by=approver)
    outbox.clear()
    run(reset.request.job, directory)
    guest = Guest.objects.select_related("user").get(pk=admitted.pk)
    assert (guest.user.object_id, guest.pk, AccessRequest.objects.get().pk) == before
    assert directory.others[guest.user.object_id] == [NEW]
    assert [mail.to for mail in outbox] == [[NEW]]
    with pytest.raises(TurnedAway, match="wrong-account"):
        sign_in(guest)  # by the old address
    guest.refresh_from_db()
    run(reset.request.job, directory)
    assert sign_in(guest, address=NEW) == guest.user


def test_without_the_permission_a_person_adds_the_address_and_the_job_goes_on(admitted, approver, directory, outbox):
    invitation = invitation_of(admitted)
    start_anew_confirmed(invitation, by=approver, because=Because.NEW_ADDRESS, address=NEW)
    directory.faults["set_other_addresses"] = [entra.Refused("not_permitted")]
    outbox.clear()
    run(invitation.request.job, directory)
    job = ProvisioningJob.objects.get()
    parked = job.steps.get(state=Step.State.PARKED)
    assert (parked.kind, parked.last_code) == (Step.Kind.ADD_ADDRESS, "address_not_writable")
    assert outbox == []
    directory.others[admitted.user.object_id] = [NEW.upper()]
    provisioning.resume(job, by=approver)
    run(job, directory)
    job.refresh_from_db()
    assert (job.status, [mail.to for mail in outbox]) == (ProvisioningJob.Status.DONE, [[NEW]])


@pytest.mark.parametrize("address", ["nurse@elsewhere.example", "sponsor@northfield.example"])
def test_an_address_elsewhere_or_of_somebody_else_is_refused(admitted, approver, address):
    with pytest.raises(Denied, match="by ourselves"):
        redemption.start_anew(invitation_of(admitted), by=approver, because=Because.NEW_ADDRESS, address=address)
    assert not Reset.objects.exists()


def test_an_address_that_only_one_of_two_organisations_has_is_refused_without_a_word_about_the_other(
    admitted, ask, approver, sponsor, facility, directory
):
    from partners import decisions
    from partners.models import Domain

    other = make_partner(make.make_organisation("Partner C"))
    make.make_agreement(other.organisation, facility)
    caseload = make.make_caseload(other.organisation, facility, name="Other")
    second = ask(organisation=other, by=make_sponsor(other, "Other Deputy"), caseloads=[caseload])
    decisions.approve(second, by=approver)
    run(second.job, directory)
    Domain.objects.create(organisation=AccessRequest.objects.order_by("pk")[0].organisation, name="nf.example")
    invitation = Invitation.objects.order_by("request")[0]
    with pytest.raises(Denied) as denied:
        redemption.start_anew(invitation, by=sponsor, because=Because.NEW_ADDRESS, address="nurse@nf.example")
    assert "Partner C" not in str(denied.value)


def test_a_mail_that_nobody_took_goes_to_the_corrected_address(job, sponsor, directory, outbox, monkeypatch):
    def refused(_: Invitation) -> None:
        raise entra.Refused("address_refused")

    with monkeypatch.context() as patched:
        patched.setattr(invitations, "deliver", refused)
        run(job, directory)
    invitation = Invitation.objects.get()
    assert ProvisioningJob.objects.get().status == ProvisioningJob.Status.NEEDS_HELP
    redemption.start_anew(invitation, by=sponsor, because=Because.NEW_ADDRESS, address=NEW)
    run(job, directory)
    job.refresh_from_db()
    assert job.status == ProvisioningJob.Status.DONE
    assert AccessRequest.objects.get().status == AccessRequest.Status.FULFILLED
    assert [mail.to for mail in outbox] == [[NEW]]
    assert [s.kind for s in job.steps.all()][-3:] == ["add_address", "set_back", "mail"]


@pytest.mark.parametrize(("code", "becomes"), [
    ("not_permitted", "reset_refused"), ("account_blocked", "account_blocked"),
])  # fmt: skip
def test_what_the_directory_refuses_waits_for_a_person(admitted, approver, directory, code, becomes):
    invitation = invitation_of(admitted)
    start_anew_confirmed(invitation, by=approver, because=Because.NEW_ACCOUNT)
    directory.faults["invite"] = [entra.Refused(code)]
    run(invitation.request.job, directory)
    assert invitation.request.job.steps.get(state=Step.State.PARKED).last_code == becomes


# ---------------------------------------------------------------- the pages


def test_a_wrong_account_can_start_again_and_is_told_no_address(sent, directory, outbox):
    guest = sent.guest
    invitations.wrong_account(guest, identity_provider="live.com")
    anyone = Client(headers={"host": "portal.localhost"})
    token = invitations.again_token(guest)
    page = anyone.post(reverse("partners:again"), {"again": token})
    assert heading(page) == "A new link is on its way"
    assert NURSE not in text(page)
    run(sent.request.job, directory)
    assert [mail.to for mail in outbox if "arranged access" in mail.subject] == [[NURSE], [NURSE]]
    anyone.post(reverse("partners:again"), {"again": token})
    assert Reset.objects.count() == 1, "once the new link is out, the page of the old attempt starts nothing"


@pytest.mark.parametrize("token", ["", "x", "YWJj:1tXyZ:abc"])
def test_a_made_up_token_starts_nothing(sent, token):
    answer = Client(headers={"host": "portal.localhost"}).post(reverse("partners:again"), {"again": token})
    assert answer.status_code == 302
    assert not Reset.objects.exists()


def test_the_guests_own_page_says_what_happened_and_starts_again(sent):
    Invitation.objects.update(status=Status.ACCEPTED, accepted_at=timezone.now(), redeem_url=None)
    sent.refresh_from_db()
    token = invitations.token(sent)
    anyone = Client(headers={"host": "portal.localhost"})
    page = anyone.get(reverse("partners:welcome", args=[token]))
    assert "It was not you who accepted" in text(page)
    assert anyone.post(reverse("partners:go", args=[token]))["Location"] == reverse("sign-in")
    anyone.post(reverse("partners:new-link", args=[token]))
    assert Reset.objects.get().because == Because.NOT_ME
    assert heading(anyone.get(reverse("partners:welcome", args=[token]))) == "A new link is on its way"


def test_a_sponsor_finds_the_ways_in(sent, sponsor):
    desk = client_for(sponsor, capacities=["sponsor"])
    page = text(desk.get(reverse("partners:ways-in", args=[sent.request_id])))
    for words in ("Send the link again", "signs in with " + NURSE, "Mails come from", "we call you back"):
        assert words in page
    Invitation.objects.update(sent_at=make.days(-4))
    assert "Show other ways in" in text(desk.get(reverse("partners:request", args=[sent.request_id])))


def test_a_sponsor_changes_the_address_and_our_team_confirms(admitted, sponsor, approver):
    request = AccessRequest.objects.get()
    desk, office = client_for(sponsor, capacities=["sponsor"]), client_for(approver)
    form = reverse("partners:address", args=[request.pk])
    refused = desk.post(form, {"email": "nurse@gmail.com"})
    assert "personal addresses" in text(refused)
    assert desk.post(form, {"email": NEW}).status_code == 302
    waiting = text(desk.get(reverse("partners:request", args=[request.pk])))
    assert "We make sure that it is the same person" in waiting
    decision = text(office.get(reverse("partners:decision", args=[request.pk])))
    assert "Confirm it is the same person" in decision
    assert NEW in decision
    office.post(reverse("partners:confirm", args=[request.pk]))
    assert Reset.objects.get().status == Reset.Status.RUNNING
    assert AccessRequest.objects.get().address == NEW


def test_our_team_can_refuse_with_a_sentence(admitted, sponsor, approver):
    request = AccessRequest.objects.get()
    redemption.start_anew(invitation_of(admitted), by=sponsor, because=Because.NEW_ACCOUNT)
    office, form = client_for(approver), reverse("partners:not-confirmed", args=[request.pk])
    assert "Enter why" in text(office.post(form, {"reason": ""}))
    office.post(form, {"reason": "Nobody there knows of it"})
    assert Reset.objects.get().status == Reset.Status.REFUSED
    desk = client_for(sponsor, capacities=["sponsor"])
    assert "could not confirm the change" in text(desk.get(reverse("partners:request", args=[request.pk])))


def test_a_guest_changes_their_address_and_is_signed_out(admitted, organisation):
    browser = client_for(make.signed_in(admitted.user, organisation))
    page = browser.post(reverse("new-address"), {"email": NEW})
    assert heading(page) == "We are making sure that it is you"
    assert browser.get("/account/").status_code == 302
    assert Reset.objects.get().status == Reset.Status.AWAITS_STAFF


def test_a_button_that_is_pressed_twice_is_no_dead_end(admitted, sponsor, approver):
    request = AccessRequest.objects.get()
    for browser, name in ((client_for(sponsor), "start-again"), (client_for(approver), "restart")):
        path = reverse(f"partners:{name}", args=[request.pk])
        ProvisioningJob.objects.update(status=ProvisioningJob.Status.RUNNING)  # as after a press a moment ago
        answer = browser.post(path, follow=True)
        assert answer.status_code == 200, name
        assert "This changed while you were looking at it" in text(answer), name
    assert not Reset.objects.exists()


def test_who_comes_second_reads_it_and_changes_nothing(sent, sponsor, monkeypatch):
    """The person signs in at the very moment in which their sponsor lets them start again."""
    real = redemption.hold

    def hold(guest: Guest) -> None:
        Invitation.objects.using("worker").update(status=Invitation.Status.REVOKED)
        real(guest)

    monkeypatch.setattr(redemption, "hold", hold)
    answer = client_for(sponsor).post(reverse("partners:start-again", args=[sent.request_id]))
    assert answer.status_code == 409
    assert heading(answer) == "This changed while you were looking at it"
    assert not Reset.objects.exists()


def test_outsiders_start_nothing(admitted, outsider):
    request = AccessRequest.objects.get()
    browser = client_for(outsider)
    for name in ("start-again", "address", "ways-in", "confirm", "not-confirmed", "restart", "let-in"):
        path = reverse(f"partners:{name}", args=[request.pk])
        answer = browser.get(path) if name == "ways-in" else browser.post(path, {"email": NEW, "reason": "x"})
        assert answer.status_code == 404, name
    assert not Reset.objects.exists()


def test_sign_in_codes_reach_their_pages(sent, rf):
    """The page of the wrong account carries the token of the new start; the others do not."""
    request = rf.get("/sign-in/callback/")
    request.id = "12345678-0000"
    away = TurnedAway("wrong-account", "partners/signin/wrong_account.jinja", guest=sent.guest)
    request.user, request.session = None, {}
    page = signin.turn_away(request, identity_of(sent.guest, identity_provider="live.com"), away)
    assert "Start again with the right account" in page.content.decode()
    assert "12345678" in page.content.decode()


# ---------------------------------------------------------------- through the real directory


def redeem(tenant, address: str, url: str) -> Identity:
    """Accept as `address` and sign in, in a browser of one's own. Returns what the token says."""
    browser = Person(tenant)
    browser.open(url).press(address)
    browser.press("accept")
    return Identity.of(browser.sign_in(address))


def test_a_stranger_redeems_then_the_invited_person_with_the_same_object(graph, tenant, job):
    run(job, graph)
    invitation = Invitation.objects.get()
    stranger = redeem(tenant, "stranger@elsewhere.example", invitations.redeem_url(invitation))
    with pytest.raises(TurnedAway, match="wrong-account") as away:
        admit(stranger)
    invitations.wrong_account(away.value.guest, identity_provider=stranger.identity_provider)
    redemption.new_link(Invitation.objects.get(), by=None)
    run(job, graph)
    nurse = redeem(tenant, NURSE, invitations.redeem_url(Invitation.objects.get()))
    assert nurse.object_id == stranger.object_id, "the object is the same, the human is another"
    assert admit(nurse) == away.value.guest.user
    with pytest.raises(TurnedAway, match="wrong-account"):
        admit(replace(nurse, identity_provider=stranger.identity_provider))


def test_a_colleague_redeems_a_forwarded_link(graph, tenant, job):
    """The same organisation and an allowed provider: only the address tells them apart."""
    run(job, graph)
    doctor = redeem(tenant, "doctor@northfield.example", invitations.redeem_url(Invitation.objects.get()))
    assert doctor.identity_provider == HOME
    with pytest.raises(TurnedAway, match="wrong-account") as away:
        admit(doctor)
    invitations.wrong_account(away.value.guest, identity_provider=HOME)
    redemption.new_link(Invitation.objects.get(), by=None)
    run(job, graph)
    nurse = redeem(tenant, NURSE, invitations.redeem_url(Invitation.objects.get()))
    assert admit(nurse).pk == away.value.guest.pk


@pytest.mark.parametrize("may_write", [True, False])
def test_a_changed_address_in_the_real_directory(graph, tenant, job, approver, may_write):
    """With User.ReadWrite.All the job adds the address; without it a person does, and the job finds it there."""
    permissions = ["User.Invite.All", "GroupMember.ReadWrite.All", "User.Read.All"]
    tenant.do("permissions", permissions=[*permissions, *["User.ReadWrite.All"] * may_write])
    tenant.do("accounts", address=NEW)
    run(job, graph)
    nurse = redeem(tenant, NURSE, invitations.redeem_url(Invitation.objects.get()))
    guest = Guest.objects.get(address=NURSE)
    invitations.complete(guest, identity_provider=nurse.identity_provider)
    start_anew_confirmed(invitation_of(guest), by=approver, because=Because.NEW_ADDRESS, address=NEW)
    run(job, graph)
    if not may_write:
        parked = job.steps.get(state=Step.State.PARKED)
        assert parked.last_code == "address_not_writable"
        tenant.do("permissions", permissions=[*permissions, "User.ReadWrite.All"])
        changed = tenant.graph("PATCH", f"/users/{nurse.object_id}", {"otherMails": [NURSE, NEW]})
        assert changed.status_code == 204
        tenant.do("permissions", permissions=permissions)
        job.refresh_from_db()
        provisioning.resume(job, by=approver)
        run(job, graph)
    job.refresh_from_db()
    assert job.status == ProvisioningJob.Status.DONE
    again = redeem(tenant, NEW, invitations.redeem_url(Invitation.objects.get()))
    assert (again.object_id, again.address) == (nurse.object_id, NEW)
    assert admit(again).pk == guest.pk
