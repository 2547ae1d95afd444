"""Short mails to the sponsor: written with what they tell of, told once, sent by the worker."""

from __future__ import annotations

import smtplib

import pytest
from django.core import mail
from django.utils import timezone

from partners import decisions, incidents, invitations, notices, provisioning
from partners.models import AccessRequest, Decision, Invitation, Notice
from partners.notices import Kind
from tests import factories as make
from tests.partners.conftest import as_worker

SPONSOR = "sponsor@northfield.example"


@pytest.fixture
def sent(job, directory) -> Invitation:
    with as_worker():
        provisioning.advance(job.pk, directory)
    mail.outbox.clear()
    return Invitation.objects.select_related("guest__user", "request__sponsor__user").get()


def deliver() -> list:
    with as_worker():
        notices.deliver_due()
    return mail.outbox


def test_a_question_leaves_with_the_worker_and_not_in_the_request(asked, approver):
    decisions.ask_question(asked, by=approver, question="Will they work at the second site, too?")
    assert mail.outbox == []
    [message] = deliver()
    assert message.to == [SPONSOR]
    assert message.subject == "A question about Practice Nurse's access"
    assert "second site" in message.body
    assert f"/requests/{asked.pk}/" in message.body
    assert "Access Approver" not in message.body
    assert deliver() == [message], "once"


def test_a_shorter_approval_and_a_refusal_are_told_with_their_reason(ask, approver):
    shorter, declined = ask(), ask(email="doctor@northfield.example")
    decisions.approve(shorter, by=approver, until=make.days(20))
    decisions.decline(declined, by=approver, reason="other", note_to_sponsor="Please call us.")
    first, second = deliver()
    assert "with one change" in first.subject
    assert "instead of" in first.body
    assert "We could not give" in second.subject
    assert "Please call us." in second.body


def test_an_approval_as_asked_needs_no_mail(approved):
    assert not Notice.objects.exists()


def test_expiry_wrong_account_and_silence_are_told_once(sent):
    Invitation.objects.update(sent_at=make.days(-8))
    for _ in range(2):
        with as_worker():
            invitations.tell_of_silence()
    invitations.wrong_account(sent.guest, identity_provider="live.com")
    invitations.wrong_account(sent.guest, identity_provider="live.com")
    Invitation.objects.update(status="sent", expires_at=make.days(-0.1))
    for _ in range(2):
        with as_worker():
            invitations.expire_overdue()
    about = f"-{sent.request_id}-1"
    assert keys() == [f"expired{about}", f"not-signed-in{about}", f"wrong-account{about}"]
    Invitation.objects.update(status="sent", sent_at=make.days(-8), generation=2)
    invitations.tell_of_silence()
    assert len(keys()) == 4, "a new link has its own week"


def keys() -> list[str]:
    return sorted(Notice.objects.values_list("key", flat=True))


def test_a_mail_server_that_is_away_delays_and_loses_nothing(asked, approver, settings):
    decisions.ask_question(asked, by=approver, question="Why?")
    settings.EMAIL_BACKEND, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", 1
    assert deliver() == []
    notice = Notice.objects.get()
    assert (notice.attempts, notice.sent_at) == (1, None)
    assert notice.due_at > timezone.now()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    Notice.objects.update(due_at=timezone.now())
    [message] = deliver()
    assert message.extra_headers["Message-ID"] == notice.message_id


def test_an_address_that_the_server_refuses_for_good_is_an_incident(asked, approver, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise smtplib.SMTPRecipientsRefused({SPONSOR: (550, b"no such user")})

    decisions.ask_question(asked, by=approver, question="Why?")
    monkeypatch.setattr("django.core.mail.message.EmailMessage.send", refuse)
    deliver()
    assert Notice.objects.get().refused_at is not None
    assert incidents.is_open("notice_refused")


def test_what_is_undone_is_not_told(asked, approver, monkeypatch):
    monkeypatch.setattr("clinicportal.audit.record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        decisions.ask_question(asked, by=approver, question="Why?")
    assert not Notice.objects.exists()
    assert not Decision.objects.exists()


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_is_a_mail_without_a_header_to_smuggle(asked, kind):
    AccessRequest.objects.update(last_name="Nurse\r\nBcc: all@elsewhere.example")
    asked.refresh_from_db()
    notices.tell(kind, asked, about=1, reason="Because %s %(name)s")
    notices.tell(kind, asked, about=1, reason="again")
    [message] = deliver()
    assert message.message()["Bcc"] is None
    assert f"/requests/{asked.pk}/" in message.body
    assert "%(" not in message.subject
