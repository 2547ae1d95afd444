"""People who sign in, what they agreed to, their sessions, and the audit trail's tables."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _


class StaffRole(models.TextChoices):
    """What a member of our staff may do here; an app role of the sign-in registration (`Portal.…`) each."""

    APPROVER = "approver", _("approver")
    PRIVACY = "privacy", _("privacy officer")
    OPERATOR = "operator", _("operator")
    REVIEWER = "reviewer", _("reviewer")


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(pk=str(username))


class User(AbstractBaseUser):
    """Someone who can sign in: staff of ours, or a guest. Known by tenant id + object id, never by email.

    There are no passwords. `email` and `display_name` are what we show; they never admit anyone.
    """

    # Entra proves who someone is; a password column would be a second way in.
    password = None  # type: ignore[assignment]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant_id = models.UUIDField(null=True)
    object_id = models.UUIDField(null=True)
    display_name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    is_active = models.BooleanField(default=True)
    staff_roles = ArrayField(models.CharField(max_length=20, choices=StaffRole.choices), default=list, blank=True)
    roles_checked_at = models.DateTimeField(null=True)
    # Part of every session's authentication hash: raising it ends all sessions of this person at once.
    session_epoch = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    USERNAME_FIELD = "id"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["display_name"]
    objects = UserManager()

    # Facts of the session, set on request.user by the session middleware and never stored with the person.
    acting_for: uuid.UUID | None = None
    """The partner organisation that the person chose in this session."""
    mfa_proved = False
    """Whether this session carries proof of a second factor (authentication context of sign-in)."""
    proofs: Mapping[str, datetime] = MappingProxyType({})
    """Authentication context -> when this session's person last met it afresh (partners/stepup.py). Nothing else makes
    one: a user as the database has them has proved nothing."""
    emergencies: frozenset[uuid.UUID] = frozenset()
    """Patients of whom the rule has to ask further, in this transaction: an emergency access, or a review, of this
    person may open them. Nearly always empty (clinicportal/viewing.py asks once)."""
    capacities: frozenset[str] = frozenset()
    """"guest", "look_up", "sponsor": what the person came to do, as found at sign-in, for menus. Policies ask the
    database."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "object_id"], name="user_known_by_tenant_and_object"),
        ]

    def __str__(self) -> str:
        return self.display_name

    @property
    def is_staff_member(self) -> bool:
        return bool(self.staff_roles)

    def has_role(self, role: StaffRole) -> bool:
        return self.is_active and role in self.staff_roles

    def get_session_auth_hash(self) -> str:
        return self._epoch_hash(None)

    def get_session_auth_fallback_hash(self):
        from django.conf import settings

        for secret in settings.SECRET_KEY_FALLBACKS:
            yield self._epoch_hash(secret)

    def _epoch_hash(self, secret: str | None) -> str:
        value = f"{self.pk}:{self.session_epoch}"
        return salted_hmac("clinicportal.session", value, secret=secret, algorithm="sha256").hexdigest()

    def set_password(self, raw_password: str | None) -> None:
        raise TypeError("There are no passwords: people sign in through Entra ID")

    def set_unusable_password(self) -> None:
        """allauth calls this for every account it makes; there is nothing to unset."""

    def has_usable_password(self) -> bool:
        return False

    def check_password(self, raw_password: str | None) -> bool:
        return False


class Terms(models.Model):
    """A published version of the terms of use. The newest published one is in force."""

    version = models.PositiveIntegerField(primary_key=True)
    published_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "terms"

    def __str__(self) -> str:
        return f"terms {self.version}"

    @classmethod
    def in_force(cls) -> models.QuerySet[Terms]:
        """The one version in force (or none), as a queryset to compare with."""
        return cls.objects.filter(published_at__lte=Now()).order_by("-published_at")[:1]


class TermsAcceptance(models.Model):
    """Who accepted which version, when: evidence, and a condition of seeing anything.

    It holds for the person who was proved then. Once somebody has to be proved anew it ends, and stays as evidence.
    """

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="acceptances")
    terms = models.ForeignKey(Terms, on_delete=models.PROTECT, related_name="+")
    accepted_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "terms"], condition=Q(ended_at=None), name="terms_accepted_once")
        ]

    def __str__(self) -> str:
        return f"{self.user_id} accepted {self.terms_id}"


class Session(AbstractBaseSession):
    """A signed-in browser. In PostgreSQL, so that ending one is a DELETE that holds from the next request on."""

    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="sessions")
    # The tenant's name for the browser's sign-in there (claim `sid`): its front-channel sign-out sends it.
    sid = models.CharField(max_length=64, blank=True, db_default="")

    class Meta:
        db_table = "clinicportal_session"
        indexes = [models.Index(fields=["sid"], condition=~models.Q(sid=""), name="session_of_the_tenant")]

    @classmethod
    def get_session_store_class(cls):
        from clinicportal.sessions import SessionStore

        return SessionStore


class AuditEvent(models.Model):
    """One thing somebody did or was refused (clinicportal/audit.py writes it; nothing changes it).

    Text and ids, no foreign keys: an event outlives what it describes. No clinical values. The table is
    partitioned by month of `recorded`, append-only by trigger and by privilege.
    """

    pk = models.CompositePrimaryKey("recorded", "id")
    id = models.UUIDField(default=uuid.uuid4)
    recorded = models.DateTimeField()
    type = models.TextField()
    outcome = models.TextField()
    user_id = models.UUIDField(null=True)
    identity = models.TextField(blank=True)  # "tid:oid"
    user_name = models.TextField(blank=True)
    organisation_id = models.UUIDField(null=True)
    object_type = models.TextField(blank=True)
    object_id = models.TextField(blank=True)
    section = models.TextField(blank=True)
    basis = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    detail = models.JSONField(default=dict)
    source_ip = models.TextField(blank=True)
    request_id = models.TextField(blank=True)
    session = models.TextField(blank=True)  # a hash, so that the trail holds no session key
    software = models.TextField()
    format = models.SmallIntegerField()

    class Meta:
        managed = False  # partitioned: made by SQL in the migration
        db_table = "clinicportal_auditevent"

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class AuditSubject(models.Model):
    """One patient whom an event concerns, and on what basis. One row for each patient."""

    pk = models.CompositePrimaryKey("recorded", "event_id", "patient_id")
    recorded = models.DateTimeField()
    event_id = models.UUIDField()
    patient_id = models.UUIDField()
    grant_id = models.UUIDField(null=True)
    basis = models.TextField(blank=True)

    class Meta:
        managed = False
        db_table = "clinicportal_auditsubject"

    def __str__(self) -> str:
        return f"{self.event_id} {self.patient_id}"
