"""The guest, the work in the directory that lets them in, and their invitation."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from clinicportal.states import Stateful
from partners.models.requests import AccessRequest
from records.models import Grant


class Guest(models.Model):
    """A person outside: the account here, and what we know of their object in our directory.

    The account's `tenant_id` and `object_id` are empty until the directory has the person. Only a token with
    that pair *and* an allowed `idp` (or, for one-time passcodes, the invited address) is this person.
    """

    class InDirectory(models.TextChoices):
        """How the directory last showed the account; `partners/directory.py` keeps it up to date."""

        PRESENT = "present", _("there")
        DISABLED = "disabled", _("switched off")
        MISSING = "missing", _("removed")

    user = models.OneToOneField(settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.PROTECT)
    address = models.EmailField(unique=True)  # canonical invited address; shown, compared on asking, never admits
    created_by_us = models.BooleanField(default=False)
    # Since when, and from where, as the first accepted token said. Empty while the person has to be proved (anew).
    redeemed_at = models.DateTimeField(null=True)
    identity_provider = models.CharField(max_length=300, blank=True)
    admitted_at = models.DateTimeField(null=True)  # the first time ever: from then on records may have been read
    in_directory = models.CharField(max_length=10, choices=InDirectory.choices, default=InDirectory.PRESENT)

    def __str__(self) -> str:
        return f"guest {self.pk}"


class RequestGrant(models.Model):
    """The grants that a request led to: one for each caseload."""

    request = models.ForeignKey(AccessRequest, on_delete=models.PROTECT, related_name="given")
    grant = models.OneToOneField(Grant, on_delete=models.PROTECT, related_name="request")

    def __str__(self) -> str:
        return f"{self.request_id} gave {self.grant_id}"


class ProvisioningJob(Stateful):
    """The saved, resumable work in the directory for one approved request."""

    class Status(models.TextChoices):
        RUNNING = "running", _("Being set up")
        DONE = "done", _("Set up")
        NEEDS_HELP = "needs_help", _("Needs help")
        CANCELLED = "cancelled", _("Cancelled")

    TRANSITIONS = {
        Status.RUNNING: {Status.DONE, Status.NEEDS_HELP, Status.CANCELLED},
        Status.NEEDS_HELP: {Status.RUNNING, Status.CANCELLED},
        Status.DONE: {Status.RUNNING, Status.CANCELLED},  # a further mail
        Status.CANCELLED: set(),
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.OneToOneField(AccessRequest, on_delete=models.PROTECT, related_name="job")
    guest = models.ForeignKey(Guest, on_delete=models.PROTECT, related_name="jobs")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.RUNNING)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"job {self.pk}"


class StepQuerySet(models.QuerySet):
    def due(self) -> Self:
        """Waiting steps whose time has come and that no worker holds."""
        return self.filter(
            Q(leased_until=None) | Q(leased_until__lt=Now()),
            state=Step.State.WAITING,
            due_at__lte=Now(),
            job__status=ProvisioningJob.Status.RUNNING,
        )


class Step(models.Model):
    """One call to the directory or the mail server, with its lease. Only a job's first unfinished step is due."""

    STARTED, UNANSWERED = "started", "unanswered"
    # What the last attempt left when nobody can tell whether the other side did it.
    OUTCOME_UNKNOWN = {STARTED, UNANSWERED}

    code_before = ""
    """What the attempt before this one left; set by partners.queue.take."""

    class Kind(models.TextChoices):
        INVITE = "invite", _("Looked in our directory and made the invitation, without sending it")
        JOIN_GROUP = "join_group", _("Added to the access group")
        VERIFY = "verify", _("Checked all of it once more")
        MAIL = "mail", _("Wrote to the person. The mail goes last")
        ADD_ADDRESS = "add_address", _("Added the new address in our directory")
        SET_BACK = "set_back", _("Let the person accept again, with a new link")

    class State(models.TextChoices):
        LATER = "later", _("later")  # an earlier step is not finished
        WAITING = "waiting", _("waiting")  # due at `due_at`, or leased
        DONE = "done", _("done")
        PARKED = "parked", _("needs help")

    job = models.ForeignKey(ProvisioningJob, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=20, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.LATER)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    leased_until = models.DateTimeField(null=True)
    first_tried_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    last_code = models.CharField(max_length=100, blank=True)

    objects = StepQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "position"], name="step_position_once")]
        indexes = [models.Index(fields=["due_at"], condition=Q(state="waiting"), name="step_due")]
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.kind} of {self.job_id}"

    @property
    def outcome_unknown(self) -> bool:
        """Whether an earlier attempt may have done it, and nobody was told."""
        return self.code_before in self.OUTCOME_UNKNOWN

    def release(self, **fields: Any) -> bool:
        """Give the lease back and save `fields`, if it is still ours. `attempts` is the fence: another worker that
        took the step over counted it up, and then its word holds, not ours."""
        mine = Step.objects.filter(pk=self.pk, state=Step.State.WAITING, attempts=self.attempts)
        return bool(mine.update(leased_until=None, **fields))


class Invitation(Stateful):
    """Our mail and link to one person, and the Graph invitation behind it."""

    class Status(models.TextChoices):
        NOT_SENT = "not_sent", _("Not sent yet")
        SENT = "sent", _("Sent")
        OPENED = "opened", _("Opened")
        ACCEPTED = "accepted", _("Accepted at Microsoft, not signed in here yet")
        COMPLETED = "completed", _("Signed in")
        WRONG_ACCOUNT = "wrong_account", _("Signed in with another account")
        DECLINED = "declined", _("Declined by the person")
        EXPIRED = "expired", _("Expired")
        REVOKED = "revoked", _("Withdrawn")
        HELD = "held", _("Has to sign in anew")  # a new link follows

    TRANSITIONS = {
        Status.NOT_SENT: {Status.SENT, Status.REVOKED, Status.COMPLETED, Status.HELD},
        Status.SENT: {
            Status.SENT, Status.OPENED, Status.ACCEPTED, Status.COMPLETED, Status.WRONG_ACCOUNT, Status.DECLINED,
            Status.EXPIRED, Status.REVOKED, Status.HELD,
        },
        Status.OPENED: {
            Status.SENT, Status.ACCEPTED, Status.COMPLETED, Status.WRONG_ACCOUNT, Status.DECLINED, Status.EXPIRED,
            Status.REVOKED, Status.HELD,
        },
        Status.ACCEPTED: {
            Status.SENT, Status.COMPLETED, Status.WRONG_ACCOUNT, Status.DECLINED, Status.EXPIRED, Status.REVOKED,
            Status.HELD,
        },
        Status.WRONG_ACCOUNT: {Status.COMPLETED, Status.REVOKED, Status.SENT, Status.HELD},
        Status.EXPIRED: {Status.SENT, Status.COMPLETED, Status.REVOKED, Status.HELD},
        Status.COMPLETED: {Status.REVOKED, Status.HELD},
        Status.HELD: {Status.SENT, Status.COMPLETED, Status.REVOKED, Status.HELD},
        Status.DECLINED: set(),
        Status.REVOKED: set(),
    }  # fmt: skip
    UNREDEEMED = [Status.SENT, Status.OPENED, Status.ACCEPTED, Status.WRONG_ACCOUNT, Status.EXPIRED]
    IN_FORCE = [Status.SENT, Status.OPENED, Status.ACCEPTED]
    """The link is out and its days count."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.OneToOneField(AccessRequest, on_delete=models.PROTECT, related_name="invitation")
    guest = models.ForeignKey(Guest, on_delete=models.PROTECT, related_name="invitations")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.NOT_SENT)
    generation = models.PositiveSmallIntegerField(default=1)  # only the newest link works
    redeem_url = models.BinaryField(null=True)  # encrypted: whoever has it can redeem
    sent_at = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    accepted_at = models.DateTimeField(null=True)  # noticed in the directory
    completed_at = models.DateTimeField(null=True)
    declined_because = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"invitation {self.pk}"

    @property
    def message_id(self) -> str:
        """One mail has one Message-ID: a second delivery says the same."""
        return f"<{self.pk}.{self.generation}@clinicportal>"


class Reset(Stateful):
    """Somebody asked that the person behind an account accepts and signs in anew (partners/redemption.py).

    Between the asking and the new link nobody is admitted; between the asking and the verified sign-in nothing is
    shown.
    """

    class Because(models.TextChoices):
        WRONG_ACCOUNT = "wrong_account", _("another account was used")
        NOT_ME = "not_me", _("somebody else accepted the invitation")
        NEW_ACCOUNT = "new_account", _("the account at work was replaced")
        NEW_ADDRESS = "new_address", _("the work address has changed")

    class Status(models.TextChoices):
        AWAITS_STAFF = "awaits_staff", _("Our team has to confirm the person")
        RUNNING = "running", _("Under way")
        DONE = "done", _("Done")  # the expected person has signed in
        REFUSED = "refused", _("Refused")

    TRANSITIONS = {
        Status.AWAITS_STAFF: {Status.RUNNING, Status.REFUSED},
        Status.RUNNING: {Status.DONE, Status.REFUSED},
        Status.DONE: set(),
        Status.REFUSED: set(),
    }
    OPEN = [Status.AWAITS_STAFF, Status.RUNNING]

    guest = models.ForeignKey(Guest, on_delete=models.PROTECT, related_name="resets")
    request = models.ForeignKey(AccessRequest, on_delete=models.PROTECT, related_name="resets")
    because = models.CharField(max_length=20, choices=Because.choices)
    new_address = models.EmailField(blank=True)  # canonical
    status = models.CharField(max_length=20, choices=Status.choices)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(db_default=Now())
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    set_back_at = models.DateTimeField(null=True)  # when the directory did it

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["guest"], condition=Q(status__in=["awaits_staff", "running"]), name="one_open_reset_for_a_guest"
            )
        ]

    def __str__(self) -> str:
        return f"reset {self.pk}"


class Notice(models.Model):
    """A short mail to a sponsor, written with what it tells of and sent by the worker (partners/notices.py)."""

    key = models.CharField(max_length=80, unique=True)  # what it is about: the same thing is told once
    request = models.ForeignKey(AccessRequest, on_delete=models.PROTECT, related_name="notices")
    to = models.EmailField()
    subject = models.CharField(max_length=250)
    body = models.TextField()
    written_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    refused_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(sent_at=None, refused_at=None), name="notice_due")]

    def __str__(self) -> str:
        return f"notice {self.pk}"

    @property
    def message_id(self) -> str:
        return f"<notice-{self.pk}@clinicportal>"
