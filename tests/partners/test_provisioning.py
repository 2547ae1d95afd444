"""The job against a directory in memory: order, retries, leases, and the narrow windows."""

from __future__ import annotations

import datetime as dt
import inspect
import smtplib
from typing import Any
from unittest.mock import patch

import pytest
from django.core.mail import EmailMessage
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import User
from partners import decisions, entra, invitations, provisioning, queue, tasks
from partners.models import AccessRequest, Guest, Invitation, ProvisioningJob, Step
from tests import factories as make
from tests.partners.conftest import as_worker
from tests.partners.fake import Directory

NURSE = "nurse@northfield.example"


def advance(job: ProvisioningJob, directory: Directory) -> Any:
    with as_worker():
        return provisioning.advance(job.pk, directory)  # type: ignore[arg-type]


def make_due(job: ProvisioningJob) -> None:
    """Time passes: what waits is due, and leases of the dead have ended."""
    past = timezone.now() - dt.timedelta(seconds=1)
    job.steps.filter(state=Step.State.WAITING).update(due_at=past, leased_until=None)


def current(job: ProvisioningJob) -> Step:
    return job.steps.exclude(state__in=[Step.State.DONE, Step.State.LATER]).get()


def test_the_fake_has_the_signatures_of_graph():
    for name in (name for name in vars(Directory) if not name.startswith("_") and name in vars(entra.Graph)):
        real, fake = (inspect.signature(getattr(which, name)).parameters.values() for which in (entra.Graph, Directory))
        assert [(p.name, p.kind, p.default) for p in fake] == [(p.name, p.kind, p.default) for p in real], name


def test_the_door_is_open_before_anyone_is_told_to_come_in(job, directory, outbox):
    assert advance(job, directory) is None
    job.refresh_from_db()
    person = directory.people[NURSE]
    assert job.status == ProvisioningJob.Status.DONE
    assert job.request.status == AccessRequest.Status.FULFILLED
    assert directory.calls == ["find_users", "invite", "add_member", "is_member"]
    user = job.guest.user
    assert (str(user.tenant_id), user.object_id) == ("11111111-1111-4111-8111-111111111111", person.id)
    assert job.guest.created_by_us
    [mail] = outbox
    assert mail.to == [NURSE]
    invitation = Invitation.objects.get()
    assert invitation.status == Invitation.Status.SENT
    assert invitation.expires_at
    assert timezone.now() + dt.timedelta(days=14) < invitation.expires_at < timezone.now() + dt.timedelta(days=16)
    types = [event.type for event in audit.trail()]
    assert types[:2] == [audit.Type.PROVISIONED, audit.Type.INVITATION_SENT]


def test_running_the_task_twice_invites_once(job, directory, outbox):
    advance(job, directory)
    advance(job, directory)
    assert (directory.count("invite"), len(outbox)) == (1, 1)


def test_no_mail_leaves_while_a_step_is_open(job, directory, outbox):
    directory.faults["is_member"] = [entra.TryLater("throttled")]
    assert advance(job, directory) is not None
    assert (current(job).kind, len(outbox)) == (Step.Kind.VERIFY, 0)
    make_due(job)
    advance(job, directory)
    assert len(outbox) == 1


def test_two_workers_never_have_the_same_step(job, directory):
    with as_worker():
        assert queue.take() is not None
        assert queue.take() is None
        assert queue.take_of(job.pk) is None
        assert provisioning.advance(job.pk, directory) is None
    assert directory.calls == []


def test_a_lease_is_committed_and_nothing_is_held_while_graph_answers(job, directory):
    """Inside the call another connection sees the lease and can lock every row of the job."""
    from django.db import connection

    seen: list[Any] = []

    def look(answer: Any) -> Any:
        seen.append(connection.in_atomic_block)
        step = Step.objects.using("owner").select_related("job").get(job=job, position=1)
        seen.append((step.attempts, step.last_code, step.leased_until is not None))
        return answer

    directory.faults["find_users"] = [look]
    advance(job, directory)
    assert seen == [False, (1, Step.STARTED, True)]


def test_a_worker_that_was_overtaken_changes_nothing(job, directory):
    with as_worker():
        slow = queue.take_of(job.pk)
        make_due(job)
        quick = queue.take_of(job.pk)
        assert slow
        assert quick
        provisioning._finish(slow, lambda: pytest.fail("the slow one's outcome was written"))
        assert Step.objects.get(pk=quick.pk).state == Step.State.WAITING
        provisioning._finish(quick, provisioning._nothing)
    assert Step.objects.get(pk=quick.pk).state == Step.State.DONE


class Died(BaseException):
    """The process is gone: nothing after this runs."""


def test_a_worker_that_dies_between_graphs_answer_and_our_commit_leaves_one_guest_and_one_mail(job, directory, outbox):
    def dies(answer: Any) -> Any:
        raise Died

    directory.faults["invite"] = [dies]
    with pytest.raises(Died):
        advance(job, directory)
    assert (current(job).kind, current(job).last_code) == (Step.Kind.INVITE, Step.STARTED)
    assert advance(job, directory) is None  # leased: nobody else takes it yet
    make_due(job)
    advance(job, directory)
    job.refresh_from_db()
    assert job.status == ProvisioningJob.Status.DONE
    assert len(directory.people) == 1
    assert job.guest.user.object_id == directory.people[NURSE].id
    assert len(outbox) == 1
    # The second invitation finds the same guest: Entra gives the link only in answer to one.
    assert directory.count("invite") == 2


def test_a_lost_answer_is_looked_up_before_inviting_again(job, directory):
    """Nobody found at once: the directory may not show the guest yet. Ask again after a minute, then repeat."""
    directory.faults["invite"] = [entra.TryLater("no_answer")]
    advance(job, directory)
    assert current(job).last_code == Step.UNANSWERED
    make_due(job)
    wait = advance(job, directory)
    assert 50 < wait < 70
    assert (current(job).last_code, directory.count("invite")) == ("not_found_after_lost_answer", 1)
    make_due(job)
    advance(job, directory)
    assert directory.count("invite") == 2
    job.refresh_from_db()
    assert job.status == ProvisioningJob.Status.DONE


def test_trouble_while_looking_does_not_make_us_forget_the_lost_answer(job, directory):
    directory.faults["invite"] = [entra.TryLater("no_answer")]
    advance(job, directory)
    directory.faults["find_users"] = [entra.TryLater("throttled")]
    make_due(job)
    advance(job, directory)
    assert current(job).last_code == Step.UNANSWERED
    make_due(job)
    assert advance(job, directory) > 50
    assert directory.count("invite") == 1


def test_lag_is_waited_for_and_has_an_end(job, directory):
    slow = entra.TryLater("not_there_yet")
    directory.faults["add_member"] = [slow, slow]
    first = advance(job, directory)
    assert 0.3 < first < 0.7
    make_due(job)
    assert 0.7 < advance(job, directory) < 1.3
    directory.faults["add_member"] = [slow]
    job.steps.filter(kind=Step.Kind.JOIN_GROUP).update(first_tried_at=timezone.now() - dt.timedelta(minutes=16))
    make_due(job)
    assert advance(job, directory) is None
    job.refresh_from_db()
    assert (job.status, current(job).last_code) == (ProvisioningJob.Status.NEEDS_HELP, "not_there_yet")


def test_the_directory_is_asked_as_often_as_it_likes(job, directory):
    directory.faults["find_users"] = [entra.TryLater("throttled", timezone.now() + dt.timedelta(seconds=40))]
    assert 38 < advance(job, directory) < 41


@pytest.mark.parametrize(("attempts", "code", "least", "most"), [
    (1, "not_there_yet", 0.4, 0.6), (2, "throttled", 0.8, 1.2), (1, "unanswered", 4, 6), (30, "throttled", 480, 720),
    (30, "not_there_yet", 12, 18), (10_000, "throttled", 480, 720),
])  # fmt: skip
def test_pauses_double_up_to_a_limit(attempts, code, least, most):
    assert least <= provisioning.pause(attempts, code) <= most


PARKING = {
    "a member of our own": ({"is_guest": False}, "member_exists"),
    "a blocked account": ({"enabled": False}, "account_blocked"),
}


@pytest.mark.parametrize(("person", "code"), PARKING.values(), ids=PARKING)
def test_whoever_we_must_not_touch_is_a_persons_turn(job, directory, outbox, person, code):
    directory.has(NURSE, **person)
    advance(job, directory)
    job.refresh_from_db()
    assert (job.status, current(job).last_code) == (ProvisioningJob.Status.NEEDS_HELP, code)
    assert (directory.count("invite"), outbox) == (0, [])
    [event] = audit.trail().filter(type=audit.Type.PROVISIONING_PARKED)
    assert event.reason == code


def test_an_accepted_guest_of_others_is_used_and_stays_theirs(job, directory, outbox):
    person = directory.has(NURSE)
    advance(job, directory)
    job.refresh_from_db()
    assert job.status == ProvisioningJob.Status.DONE
    assert (job.guest.created_by_us, job.guest.user.object_id) == (False, person.id)
    assert directory.count("invite") == 0
    assert invitations.redeem_url(Invitation.objects.get()) == ""
    assert "Microsoft will ask" not in outbox[0].body


def test_a_pending_guest_of_others_is_invited_for_the_link(job, directory, outbox):
    directory.has(NURSE, is_pending=True)
    advance(job, directory)
    job.refresh_from_db()
    assert not job.guest.created_by_us
    assert directory.count("invite") == 1
    assert invitations.redeem_url(Invitation.objects.get()).startswith("https://login.example/redeem")
    assert "Microsoft will ask" in outbox[0].body


def test_an_account_that_we_know_by_another_address_is_a_persons_turn(job, directory):
    person = directory.has(NURSE)
    make.make_user("Somebody", tenant_id="11111111-1111-4111-8111-111111111111", object_id=person.id)
    advance(job, directory)
    job.refresh_from_db()
    assert (job.status, current(job).last_code) == (ProvisioningJob.Status.NEEDS_HELP, "known_otherwise")
    assert job.guest.user.object_id is None


def test_a_parked_job_goes_on_after_somebody_mended_it(job, directory, approver, outbox):
    directory.faults["invite"] = [entra.Refused("cross_tenant")]
    advance(job, directory)
    job.refresh_from_db()
    provisioning.resume(job, by=approver)
    advance(job, directory)
    job.refresh_from_db()
    assert (job.status, len(outbox)) == (ProvisioningJob.Status.DONE, 1)


def test_ending_the_access_stops_the_work(job, approved, directory, approver, outbox):
    directory.faults["add_member"] = [entra.TryLater("throttled")]
    advance(job, directory)
    decisions.end_access(approved, by=approver, reason="Has left")
    make_due(job)
    advance(job, directory)
    assert (directory.count("is_member"), outbox) == (0, [])


def test_access_that_ends_while_graph_answers_stays_ended(job, approved, directory, approver, outbox):
    def ends(answer: Any) -> Any:
        decisions.end_access(AccessRequest.objects.get(pk=approved.pk), by=approver, reason="Has left")
        return answer

    directory.faults["is_member"] = [ends]
    advance(job, directory)
    job.refresh_from_db()
    assert (job.status, job.request.status) == (ProvisioningJob.Status.CANCELLED, AccessRequest.Status.ENDED)
    assert outbox == []


# ---------------------------------------------------------------- the mail


SMTP = {
    "connection refused": (ConnectionRefusedError(), "mail_server_away", False),
    "connection lost": (smtplib.SMTPServerDisconnected(), "mail_server_away", False),
    "mailbox busy": (smtplib.SMTPRecipientsRefused({NURSE: (450, b"busy")}), "mail_server_away", False),
    "no such mailbox": (smtplib.SMTPRecipientsRefused({NURSE: (550, b"no")}), "address_refused", True),
    "message refused": (smtplib.SMTPDataError(554, b"no"), "mail_refused", True),
    "message not now": (smtplib.SMTPDataError(451, b"later"), "mail_server_away", False),
}


@pytest.mark.parametrize(("problem", "code", "parked"), SMTP.values(), ids=SMTP)
def test_trouble_with_the_mail_server(job, directory, outbox, problem, code, parked):
    with patch.object(EmailMessage, "send", side_effect=problem):
        advance(job, directory)
    assert current(job).last_code == code
    assert (current(job).state == Step.State.PARKED) is parked
    assert Invitation.objects.get().status == Invitation.Status.NOT_SENT
    if not parked:
        make_due(job)
        advance(job, directory)
        assert len(outbox) == 1


def test_a_mail_sent_twice_says_the_same_under_one_message_id(job, directory, outbox):
    send = EmailMessage.send

    def sends_then_dies(message: EmailMessage, *args: Any) -> None:
        send(message)
        raise Died

    with patch.object(EmailMessage, "send", sends_then_dies), pytest.raises(Died):
        advance(job, directory)
    make_due(job)
    advance(job, directory)
    first, second = outbox
    assert first.extra_headers["Message-ID"] == second.extra_headers["Message-ID"]
    assert (first.subject, first.body, first.alternatives) == (second.subject, second.body, second.alternatives)


# ---------------------------------------------------------------- the doorbell


def test_a_nudge_with_the_broker_away_fails_quickly_and_quietly(job):
    started = timezone.now()
    assert tasks.nudge(job.pk) is False  # the tests' broker address has nobody behind it
    assert timezone.now() - started < dt.timedelta(seconds=3)


def test_the_sweep_rings_for_what_is_due_and_only_for_that(ask, approver, monkeypatch):
    due, later, leased = (ask(email=f"{name}@northfield.example") for name in ("due", "later", "leased"))
    for request in (due, later, leased):
        decisions.approve(request, by=approver)
    later.job.steps.filter(position=1).update(due_at=make.days(1))
    leased.job.steps.filter(position=1).update(leased_until=make.days(1))
    rung: Any = []
    monkeypatch.setattr(tasks, "nudge", lambda job_id, **_: not rung.append(job_id))
    with as_worker():
        tasks.sweep()
    assert rung == [due.job.pk]


def test_run_job_rings_again_for_a_short_wait(job, directory, monkeypatch):
    rung: Any = []
    monkeypatch.setattr(tasks, "nudge", lambda job_id, after: rung.append((job_id, round(after))))
    monkeypatch.setattr(entra, "client", lambda: directory)
    directory.faults["find_users"] = [entra.TryLater("throttled", timezone.now() + dt.timedelta(seconds=7))]
    with as_worker():
        tasks.run_job(str(job.pk))
    assert rung == [(job.pk, 7)]


def test_the_guest_of_one_person_is_one_row(ask, approver):
    decisions.approve(ask(), by=approver)
    assert Guest.objects.filter(address=NURSE).count() == 1
    assert User.objects.filter(email=NURSE).count() == 1
