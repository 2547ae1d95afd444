"""The link and the mail: what each is worth in every state."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography.fernet import Fernet
from django.core import signing
from django.utils import timezone

from clinicportal import audit
from clinicportal.rules import Denied
from partners import decisions, invitations, provisioning, redemption
from partners.invitations import Link
from partners.models import AccessRequest, Guest, IdentityProvider, Invitation, ProvisioningJob, Step
from records.models import Grant
from tests import factories as make
from tests.partners.conftest import HOME, as_worker, make_partner, make_sponsor

Status = Invitation.Status
NURSE = "nurse@northfield.example"


def run(job: ProvisioningJob, directory) -> None:
    with as_worker():
        provisioning.advance(job.pk, directory)


@pytest.fixture
def sent(job, directory) -> Invitation:
    """An invitation whose mail is in the guest's mailbox."""
    run(job, directory)
    return Invitation.objects.get(request=job.request_id)


def state_of(invitation: Invitation) -> Link:
    return invitations.open_link(invitations.token(invitation)).state


STATES = {
    Status.NOT_SENT: Link.CLOSED,
    Status.SENT: Link.READY,
    Status.OPENED: Link.READY,
    Status.ACCEPTED: Link.ACCEPTED,
    Status.HELD: Link.HELD,
    Status.COMPLETED: Link.USED,
    Status.WRONG_ACCOUNT: Link.WRONG_ACCOUNT,
    Status.DECLINED: Link.DECLINED,
    Status.EXPIRED: Link.EXPIRED,
    Status.REVOKED: Link.CLOSED,
}


@pytest.mark.parametrize("status", Status)
def test_what_a_link_is_worth_in_each_state(sent, status):
    Invitation.objects.update(status=status)
    sent.refresh_from_db()
    assert state_of(sent) is STATES[status]


@pytest.mark.parametrize("status", [Status.SENT, Status.OPENED])
def test_a_link_ends_with_its_last_day_even_before_the_sweep(sent, status):
    Invitation.objects.update(status=status, expires_at=make.days(-0.001))
    sent.refresh_from_db()
    assert state_of(sent) is Link.EXPIRED
    assert invitations.expire_overdue() == 1
    sent.refresh_from_db()
    assert sent.status == Status.EXPIRED


def test_only_the_newest_link_works(sent):
    old = invitations.token(sent)
    Invitation.objects.update(generation=2)
    sent.refresh_from_db()
    assert invitations.open_link(old).state is Link.REPLACED
    assert state_of(sent) is Link.READY


@pytest.mark.parametrize("change", [
    lambda t: "", lambda t: "x", lambda t: t[:-1], lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"),
    lambda t: ("0" if t[0] != "0" else "1") + t[1:],
    lambda t: t.replace("-1.", "-2."), lambda t: t + "x", lambda t: "\x00", lambda t: t.upper(),
    lambda t: signing.Signer(salt="another", sep=".").sign(t.rsplit(".", 1)[0]),
])  # fmt: skip
def test_a_link_that_we_did_not_make_is_unknown(sent, change):
    token = invitations.token(sent)
    changed = change(token)
    assert changed != token
    assert invitations.open_link(changed) == invitations.Opened(Link.UNKNOWN)


def test_opening_a_link_changes_nothing(sent):
    state_of(sent)
    again = Invitation.objects.get()
    assert (again.status, again.opened_at) == (Status.SENT, None)


def test_entras_link_is_kept_encrypted_and_old_keys_still_open_it(sent, settings):
    url = invitations.redeem_url(sent)
    assert url.startswith("https://login.example/redeem")
    assert b"redeem" not in bytes(sent.redeem_url)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.ENCRYPTION_KEYS]
    assert invitations.redeem_url(sent) == url
    assert invitations.redeem_url(Invitation(redeem_url=invitations.sealed("x"))) == "x"


def test_the_link_ends_with_the_access_when_that_is_sooner(job, directory):
    soon = timezone.now() + dt.timedelta(days=3)
    AccessRequest.objects.update(granted_until=soon)
    run(job, directory)
    assert Invitation.objects.get().expires_at == soon


# ---------------------------------------------------------------- what the guest does


def test_continuing_is_noted_once(sent):
    invitations.opened(sent)
    invitations.opened(Invitation.objects.get())
    assert Invitation.objects.get().status == Status.OPENED
    assert audit.trail().filter(type=audit.Type.INVITATION_OPENED).count() == 1


def test_declining_takes_all_of_it_away(sent):
    invitations.decline(sent, reason="wrong_person")
    again = Invitation.objects.select_related("request").get()
    assert (again.status, again.declined_because) == (Status.DECLINED, "I am not the person it is meant for")
    assert again.redeem_url is None
    assert again.request.status == AccessRequest.Status.ENDED
    assert Grant.objects.get().ended_at is not None


def test_the_expected_sign_in_completes(sent):
    guest = Guest.objects.get(address=NURSE)
    invitations.complete(guest, identity_provider=HOME)
    invitations.complete(guest, identity_provider=HOME)
    again, guest = Invitation.objects.get(), Guest.objects.get(address=NURSE)
    assert (again.status, again.redeem_url) == (Status.COMPLETED, None)
    assert guest.redeemed_at is not None
    assert guest.identity_provider == HOME
    assert audit.trail().filter(type=audit.Type.INVITATION_REDEEMED).count() == 1


def test_a_sign_in_completes_only_where_the_identity_provider_is_allowed(sent, ask, approver, facility, directory):
    other = make_partner(make.make_organisation("Partner C"), provider="https://sts.windows.net/other/")
    make.make_agreement(other.organisation, facility)
    caseload = make.make_caseload(other.organisation, facility, name="Other")
    second = ask(organisation=other, by=make_sponsor(other, "Other Deputy"), caseloads=[caseload])
    decisions.approve(second, by=approver)
    run(second.job, directory)
    guest = Guest.objects.get(address=NURSE)
    invitations.complete(guest, identity_provider=HOME)
    assert Invitation.objects.get(request=sent.request).status == Status.COMPLETED
    assert Invitation.objects.get(request=second).status == Status.SENT
    IdentityProvider.objects.create(organisation=other, issuer=HOME)
    invitations.complete(guest, identity_provider=HOME)
    assert Invitation.objects.get(request=second).status == Status.COMPLETED


def test_a_wrong_account_is_a_state_with_a_way_out(sent, directory, outbox):
    guest = Guest.objects.get(address=NURSE)
    directory.has(NURSE, id=guest.user.object_id)  # redeemed, by somebody else
    invitations.wrong_account(guest, identity_provider="live.com")
    again = Invitation.objects.get()
    assert again.status == Status.WRONG_ACCOUNT
    assert again.redeem_url is None, "Entra's link has done its work"
    redemption.new_link(again, by=None)
    run(again.request.job, directory)
    again = Invitation.objects.get()
    assert (again.status, again.generation, len(outbox)) == (Status.SENT, 2, 2)
    assert directory.people[NURSE].is_pending  # redemption was set back
    assert invitations.redeem_url(again)


def test_a_wrong_account_later_does_not_undo_the_right_one(sent):
    guest = Guest.objects.get(address=NURSE)
    invitations.complete(guest, identity_provider=HOME)
    invitations.wrong_account(guest, identity_provider="live.com")
    assert Invitation.objects.get().status == Status.COMPLETED
    assert audit.trail().filter(type=audit.Type.WRONG_ACCOUNT).count() == 1


# ---------------------------------------------------------------- sending again


def test_sending_again_kills_the_old_link_at_once_and_mails_the_same_address(sent, sponsor, directory, outbox):
    Invitation.objects.update(status=Status.EXPIRED, sent_at=make.days(-20), expires_at=make.days(-6))
    old = invitations.token(sent)
    invitations.send_again(sent, by=sponsor)
    assert invitations.open_link(old).state is Link.REPLACED
    run(sent.request.job, directory)
    again = Invitation.objects.get()
    assert (again.status, again.generation) == (Status.SENT, 2)
    first, second = outbox
    assert first.to == second.to == [NURSE]
    assert first.extra_headers["Message-ID"] != second.extra_headers["Message-ID"]
    assert invitations.link(again) in second.body
    assert sent.request.job.steps.filter(state=Step.State.DONE).count() == len(provisioning.KINDS) + 2
    assert AccessRequest.objects.get().status == AccessRequest.Status.FULFILLED


@pytest.mark.parametrize(("fields", "says"), [
    ({}, "a moment ago"),
    ({"sent_at": make.days(-1), "generation": invitations.MOST_GENERATIONS}, "too many times"),
    ({"sent_at": make.days(-1), "status": Status.COMPLETED}, "no link"),
    ({"sent_at": make.days(-1), "status": Status.REVOKED}, "no link"),
    ({"sent_at": make.days(-1), "status": Status.DECLINED}, "no link"),
    ({"sent_at": make.days(-1), "status": Status.NOT_SENT}, "no link"),
])  # fmt: skip
def test_when_a_link_is_not_sent_again(sent, fields, says):
    Invitation.objects.update(**fields)
    with pytest.raises(Denied, match=says):
        invitations.send_again(Invitation.objects.get(), by=None)


def test_two_presses_send_one_link(sent, sponsor):
    Invitation.objects.update(sent_at=make.days(-1))
    invitations.send_again(sent, by=sponsor)
    with pytest.raises(Denied):
        invitations.send_again(sent, by=sponsor)
    assert Invitation.objects.get().generation == 2


def test_only_a_sponsor_of_the_organisation_sends_again(sent, outsider):
    Invitation.objects.update(sent_at=make.days(-1))
    with pytest.raises(Denied):
        invitations.send_again(sent, by=outsider)


# ---------------------------------------------------------------- the mail


def test_the_mail_says_who_asked_until_when_and_what_to_do_if_unexpected(sent, outbox):
    [mail] = outbox
    html, kind = mail.alternatives[0]
    assert kind == "text/html"
    for words in (
        "Practice Nurse",
        "Northfield Sponsor",
        "Partner B",
        NURSE,
        invitations.link(sent),
        "This is not for me",
    ):
        assert words in mail.body
        assert words in html
    assert mail.body.count("http") == 2, "the link, and the help page"
    assert "Northfield Sponsor" in mail.subject


def test_names_cannot_smuggle_headers_or_markup(ask, approver, directory, outbox):
    request = ask(first_name="<script>alert(1)</script>", last_name="A\r\nBcc: all@elsewhere.example")
    request.sponsor.user.__class__.objects.update(display_name="Spon\r\nBcc: x@elsewhere.example\r\n\r\nHi")
    decisions.approve(request, by=approver)
    run(request.job, directory)
    [mail] = outbox
    message = mail.message()
    assert message["Bcc"] is None
    assert "<script>" not in mail.alternatives[0][0]
    assert "<script>" in mail.body  # text is text
