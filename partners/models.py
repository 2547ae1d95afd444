"""How a person outside comes to have access: organisation, sponsor, request, decision, job, invitation, guest."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from clinicportal.models import StaffRole, User
from clinicportal.rules import IllegalTransition
from records.models import Caseload, Grant, Organisation, classes_field, sections_field


class Stateful(models.Model):
    """A row with a `status` that moves along the model's TRANSITIONS and loses races politely."""

    TRANSITIONS: dict[str, set[str]]
    status: Any

    class Meta:
        abstract = True

    def move_to(self, status: str, **fields: Any) -> None:
        """Change status and save `fields` in one write. Raises IllegalTransition when the table forbids
        it, or when another process moved this row since it was read."""
        if status not in self.TRANSITIONS[self.status]:
            raise IllegalTransition(f"{self._meta.label_lower} {self.pk}: {self.status} -> {status}")
        rows = type(self)._default_manager.filter(pk=self.pk, status=self.status)  # type: ignore[misc]
        if not rows.update(status=status, **fields):  # type: ignore[misc]
            raise IllegalTransition(f"{self._meta.label_lower} {self.pk} is no longer {self.status}")
        self.refresh_from_db(fields=["status", *fields])


# ---------------------------------------------------------------- the register


class PartnerOrganisation(models.Model):
    """Who the outsiders work for: the register entry of a `records.Organisation`."""

    class Kind(models.TextChoices):
        PRACTICE = "practice", _("GP practice")
        HOSPITAL = "hospital", _("hospital")
        NURSING_HOME = "nursing_home", _("nursing home")

    organisation = models.OneToOneField(
        Organisation, primary_key=True, on_delete=models.PROTECT, related_name="partner"
    )
    kind = models.CharField(max_length=20, choices=Kind.choices)
    internal_sponsor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    usual_sections = sections_field()
    usual_months = models.PositiveSmallIntegerField(default=12)

    def __str__(self) -> str:
        return self.organisation.name


class Domain(models.Model):
    """A mail domain of an organisation. One domain can serve several (a shared mail system); then it proves less."""

    organisation = models.ForeignKey(PartnerOrganisation, on_delete=models.PROTECT, related_name="domains")
    name = models.CharField(max_length=253)  # lower case, ASCII form

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "name"], name="domain_once")]

    def __str__(self) -> str:
        return self.name


class IdentityProvider(models.Model):
    """An `idp` claim that guests of an organisation may come with, e.g. https://sts.windows.net/{home tenant}/."""

    organisation = models.ForeignKey(PartnerOrganisation, on_delete=models.PROTECT, related_name="identity_providers")
    issuer = models.CharField(max_length=300)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "issuer"], name="identity_provider_once")]

    def __str__(self) -> str:
        return self.issuer


class SponsorQuerySet(models.QuerySet):
    def active(self) -> Self:
        return self.filter(ended_at=None)


class Sponsor(models.Model):
    """Someone at the partner who may ask for colleagues and answers for them."""

    class Kind(models.TextChoices):
        SPONSOR = "sponsor", _("sponsor")
        DEPUTY = "deputy", _("deputy")

    organisation = models.ForeignKey(PartnerOrganisation, on_delete=models.PROTECT, related_name="sponsors")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="sponsorships")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    objects = SponsorQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "user"], condition=Q(ended_at=None), name="sponsor_once_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.organisation}"


# ---------------------------------------------------------------- request and decision


class AccessRequestQuerySet(models.QuerySet):
    def visible_to(self, user: User) -> Self:
        """All for an approver; for a sponsor those of the organisations they act for; none for anyone else."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if user.has_role(StaffRole.APPROVER):
            return self
        return self.filter(organisation__in=Sponsor.objects.active().filter(user=user).values("organisation"))

    def live(self) -> Self:
        return self.filter(status__in=AccessRequest.LIVE)

    def overdue(self) -> Self:
        """Live ones whose last day is over, be it the one asked for or the one given."""
        return self.live().annotate(over_at=Coalesce("granted_until", "ends_at")).filter(over_at__lte=Now())


class AccessRequest(Stateful):
    """Who, which caseloads, what for, until when: the single source of truth for "why"."""

    class Status(models.TextChoices):
        IN_REVIEW = "in_review", _("Being checked")
        NEEDS_INFO = "needs_info", _("A question for you")
        APPROVED = "approved", _("Being set up")
        FULFILLED = "fulfilled", _("Set up")
        DECLINED = "declined", _("Declined")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        LAPSED = "lapsed", _("Lapsed")
        ENDED = "ended", _("Ended")

    TRANSITIONS = {
        Status.IN_REVIEW: {Status.NEEDS_INFO, Status.APPROVED, Status.DECLINED, Status.WITHDRAWN, Status.LAPSED},
        Status.NEEDS_INFO: {Status.IN_REVIEW, Status.WITHDRAWN, Status.LAPSED, Status.DECLINED},
        Status.APPROVED: {Status.FULFILLED, Status.ENDED},
        Status.FULFILLED: {Status.ENDED},
        Status.DECLINED: set(),
        Status.WITHDRAWN: set(),
        Status.LAPSED: set(),
        Status.ENDED: set(),
    }
    LIVE = [Status.IN_REVIEW, Status.NEEDS_INFO, Status.APPROVED, Status.FULFILLED]

    id = models.BigAutoField(primary_key=True)
    organisation = models.ForeignKey(PartnerOrganisation, on_delete=models.PROTECT, related_name="requests")
    sponsor = models.ForeignKey(Sponsor, on_delete=models.PROTECT, related_name="requests")
    email = models.EmailField()  # as typed
    address = models.EmailField()  # canonical: what we compare
    first_name = models.CharField(max_length=100)
    last_name = models.CharField(max_length=100)
    caseloads = models.ManyToManyField(Caseload, related_name="+")
    sections = sections_field()
    classes = classes_field()
    why = models.CharField(max_length=300)
    ends_at = models.DateTimeField()  # exclusive, as asked
    granted_until = models.DateTimeField(null=True)  # exclusive, as approved: never later than asked
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.IN_REVIEW)
    question = models.TextField(blank=True)
    answer = models.TextField(blank=True)
    closed_because = models.CharField(max_length=300, blank=True)  # a sentence, for the end states without a decision
    asked_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())  # since when it is whose turn

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "address"],
                condition=Q(status__in=["in_review", "needs_info", "approved", "fulfilled"]),
                name="one_live_request_for_a_person",
            )
        ]
        ordering = ["asked_at"]

    def __str__(self) -> str:
        return f"request {self.pk}"

    @property
    def person_name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    @property
    def until(self) -> Any:
        """The exclusive end that counts: as given, or as asked while nothing is given."""
        return self.granted_until or self.ends_at

    def move_to(self, status: str, **fields: Any) -> None:
        super().move_to(status, changed_at=Now(), **fields)


class Decision(models.Model):
    """One approver's answer to a request."""

    class Kind(models.TextChoices):
        APPROVED = "approved", _("Approved")
        DECLINED = "declined", _("Declined")
        QUESTION = "question", _("Asked a question")

    request = models.ForeignKey(AccessRequest, on_delete=models.PROTECT, related_name="decisions")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=40, blank=True)  # code, see decisions.REASONS
    note_to_sponsor = models.TextField(blank=True)
    note_for_colleagues = models.TextField(blank=True)
    decided_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["decided_at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.request_id}"


# ---------------------------------------------------------------- the guest and the door


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


# ---------------------------------------------------------------- whether a second factor is asked for at all


class ContextCheck(models.Model):
    """What our tenant last said of an authentication context: whether a policy that asks for a second factor is
    bound to it. Only the worker writes it."""

    context = models.CharField(primary_key=True, max_length=10)
    bound = models.BooleanField(null=True)  # None: the tenant has not answered yet
    because = models.CharField(max_length=40, blank=True)  # why it is not bound (entra.why_not_bound)
    answered_at = models.DateTimeField(null=True)
    tried_at = models.DateTimeField(null=True)
    trouble = models.CharField(max_length=60, blank=True)  # why the last try brought no answer
    due_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(bound=None) | Q(answered_at__isnull=False), name="context_answer_has_a_time"
            )
        ]
        ordering = ["context"]

    def __str__(self) -> str:
        return f"{self.context} {'bound' if self.bound else self.because or 'unknown'}"


class Attestation(models.Model):
    """An operator's word, until a date, that a policy is bound to a context. The newest one for a context counts."""

    LONGEST = timedelta(days=90)

    id = models.BigAutoField(primary_key=True)
    context = models.CharField(max_length=10)
    until = models.DateTimeField()  # exclusive
    by_name = models.CharField(max_length=200)
    made_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                # A day more than LONGEST: it ends with the day.
                condition=Q(until__lte=F("made_at") + timedelta(days=91)),
                name="attestation_ends",
            )
        ]
        indexes = [models.Index(fields=["context", "-made_at"], name="attestation_newest")]
        ordering = ["-made_at"]

    def __str__(self) -> str:
        return f"{self.context} attested until {self.until:%Y-%m-%d}"


# ---------------------------------------------------------------- what the operator has to look at


class IncidentQuerySet(models.QuerySet):
    def open(self) -> Self:
        return self.filter(closed_at=None)


class Incident(models.Model):
    """One cause that our operator has to look at, however often it shows itself and however many jobs it stops."""

    id = models.BigAutoField(primary_key=True)
    code = models.CharField(max_length=60)  # of the failure dictionary
    detail = models.CharField(max_length=300, blank=True)  # operation, status, code of theirs; never a person or a link
    times = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(db_default=Now())
    last_at = models.DateTimeField(db_default=Now())
    last_request_id = models.CharField(max_length=64, blank=True)  # theirs: what their support asks for
    alerted_at = models.DateTimeField(null=True)  # when the operator was written to
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=300, blank=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "detail"], condition=Q(closed_at=None), name="incident_open_once")
        ]
        ordering = ["-last_at"]

    def __str__(self) -> str:
        return f"incident {self.pk}: {self.code}"


# ---------------------------------------------------------------- a person who has to be proved anew


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


class DirectoryWatch(models.Model):
    """How far we have followed the directory (partners/directory.py): one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    link = models.TextField(blank=True)  # where Graph goes on telling; opaque, without a right of its own
    look_again = ArrayField(models.UUIDField(), default=list)  # object ids to read once more
    compared_at = models.DateTimeField(null=True)  # when we last read everybody
    held = models.PositiveIntegerField(default=0)  # how many changes the guard stopped
    held_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(db_default=Now())
    leased_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_directory_watch")]

    def __str__(self) -> str:
        return "directory watch"


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


# ---------------------------------------------------------------- traffic to the directory, shared by all workers


class GateQuerySet(models.QuerySet):
    def shut(self) -> Self:
        return self.exclude(code="")


class Gate(models.Model):
    """Whether calls of one kind may go out: open, or shut for all workers until one probe finds that it is mended.

    `name` is "graph" for every call, an operation ("POST /invitations"), or a partner's domain ("domain:..."). A gate
    that was never shut has no row. partners/gates.py moves it, and the function partners_enter lets calls through.
    """

    name = models.CharField(primary_key=True, max_length=300)
    code = models.CharField(max_length=60, blank=True)  # why it is shut, of the failure dictionary; empty: open
    failures = models.PositiveIntegerField(default=0)  # in a row, while open
    probes = models.PositiveSmallIntegerField(default=0)  # that failed since it was shut: the pauses grow
    shut_at = models.DateTimeField(null=True)
    probe_at = models.DateTimeField(null=True)  # when one call may try; none: only after the operator's word

    objects = GateQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Lane(models.Model):
    """How much of one limit was used lately: a sliding window in slices, and until when nobody may go.

    Written by the function partners_enter alone, in one statement for all workers.
    """

    name = models.CharField(primary_key=True, max_length=30)
    slice_seconds = models.FloatField()
    used = ArrayField(models.IntegerField())  # by slice, a ring: slice n is at n modulo its length
    newest = models.BigIntegerField()  # number of the newest slice: seconds of the epoch / slice_seconds
    opens_at = models.DateTimeField(null=True)  # when there is room again; none: there is
    closed_until = models.DateTimeField(null=True)  # Graph's own word (Retry-After)
    strikes = models.PositiveSmallIntegerField(default=0)  # refusals in a row without such a word
    slowed_by = models.FloatField(default=1)  # what x-ms-throttle-limit-percentage said, until `slowed_until`
    slowed_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class DirectoryLag(models.Model):
    """How long the directory lately took until a new guest could be added to a group: one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    seconds = models.FloatField()
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_lag")]

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s"
