"""Our mail and its link: send, open, decline, send again, complete.

The link is a signed name (invitation and generation), so nothing that admits anyone is stored for it; Entra's own
link behind it is kept encrypted. Reading the page that the link opens changes nothing: scanners cannot use it up.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import smtplib
import uuid
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core import signing
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat, Now
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clinicportal import audit
from clinicportal.models import User
from clinicportal.rules import Denied, IllegalTransition
from partners import dates, entra, grants, incidents, mailing, notices, policies, tasks
from partners.models import AccessRequest, Guest, Invitation, Notice, ProvisioningJob, Reset, Step

Status = Invitation.Status

SIGNER_SALT, AGAIN_SALT = "partners.invitation", "partners.start-again"
AGAIN_FOR = dt.timedelta(minutes=15)
SEND_AGAIN_AFTER = dt.timedelta(minutes=10)
MOST_GENERATIONS = 20
NOT_OPENED_FOR = dt.timedelta(days=3)
"""After so long the sponsor is shown other ways in."""
SILENT_FOR = dt.timedelta(days=7)
"""After so long without a sign-in the sponsor is told."""
SOME = 200
"""Rows that one sweep takes at most."""
REASONS = {
    "not_needed": gettext_lazy("I do not need this access"),
    "wrong_person": gettext_lazy("I am not the person it is meant for"),
    "not_expected": gettext_lazy("I do not know who asked for it"),
}
"""Why a person says "This is not for me": code -> sentence, also kept for the sponsor to read."""


# ---------------------------------------------------------------- the link


class Link(enum.Enum):
    """What the page behind a link has to say."""

    UNKNOWN = "unknown"  # not ours, or cut short
    REPLACED = "replaced"  # a newer one was sent
    READY = "ready"
    EXPIRED = "expired"
    ACCEPTED = "accepted"  # at Microsoft, by whomever; nobody has signed in here yet
    WRONG_ACCOUNT = "wrong_account"
    HELD = "held"  # a new link follows, or our team confirms the person first
    USED = "used"
    DECLINED = "declined"
    CLOSED = "closed"  # access ended, or not sent yet


LINK_STATES = {
    Status.NOT_SENT: Link.CLOSED,
    Status.SENT: Link.READY,
    Status.OPENED: Link.READY,
    Status.ACCEPTED: Link.ACCEPTED,
    Status.COMPLETED: Link.USED,
    Status.HELD: Link.HELD,
    Status.WRONG_ACCOUNT: Link.WRONG_ACCOUNT,
    Status.DECLINED: Link.DECLINED,
    Status.EXPIRED: Link.EXPIRED,
    Status.REVOKED: Link.CLOSED,
}


@dataclass(frozen=True)
class Opened:
    state: Link
    invitation: Invitation | None = None


def token(invitation: Invitation) -> str:
    """The end of the link. The same for the same generation, so that a repeated mail says the same."""
    return _signer().sign(f"{invitation.pk.hex}-{invitation.generation}")


def link(invitation: Invitation) -> str:
    return settings.BASE_URL + reverse("partners:welcome", args=[token(invitation)])


def open_link(text: str) -> Opened:
    """Say what the link is worth now. Changes nothing."""
    try:
        key, generation = _signer().unsign(text).split("-")
        invitation = Invitation.objects.select_related(
            "guest__user", "request__organisation__organisation", "request__sponsor__user"
        ).get(pk=uuid.UUID(key))
    except (signing.BadSignature, ValueError, Invitation.DoesNotExist):
        return Opened(Link.UNKNOWN)
    state = LINK_STATES[Status(invitation.status)]
    if state in (Link.READY, Link.ACCEPTED) and is_over(invitation):
        state = Link.EXPIRED
    if int(generation) != invitation.generation and state not in (Link.USED, Link.HELD, Link.DECLINED, Link.CLOSED):
        state = Link.REPLACED
    return Opened(state, invitation)


def is_over(invitation: Invitation) -> bool:
    return invitation.expires_at is not None and invitation.expires_at <= timezone.now()


def redeem_url(invitation: Invitation) -> str:
    """Entra's link for this person; empty for somebody whom our directory has already, who just signs in.

    Empty, too, when its key is gone: a sign-in redeems without the link (entra.md, section 8).
    """
    if not invitation.redeem_url:
        return ""
    try:
        return _fernet().decrypt(bytes(invitation.redeem_url)).decode()
    except InvalidToken:
        incidents.report("key_missing")
        return ""


def sealed(url: str) -> bytes:
    return _fernet().encrypt(url.encode())


def rotate_keys() -> tuple[int, int]:
    """Encrypt every redemption link anew with the newest key. Returns how many, and how many no key opens.

    Safe beside the portal, and to repeat: a link that was exchanged meanwhile is left alone, since whoever wrote it
    used the newest key.
    """
    rotated = lost = 0
    for invitation in Invitation.objects.exclude(redeem_url=None).only("pk", "redeem_url").iterator():
        before = bytes(invitation.redeem_url or b"")
        try:
            after = _fernet().rotate(before)
        except InvalidToken:
            lost += 1
            continue
        rotated += Invitation.objects.filter(pk=invitation.pk, redeem_url=before).update(redeem_url=after)
    return rotated, lost


def again_token(guest: Guest) -> str:
    """For the page that turns a wrong account away: its holder may ask for a new start, for a quarter of an hour."""
    return signing.dumps(guest.pk.hex, salt=AGAIN_SALT)


def invitation_of(again: str) -> Invitation | None:
    """The invitation that such a token is about: the one that waits, else the last one that was used."""
    try:
        guest_id = uuid.UUID(signing.loads(again, salt=AGAIN_SALT, max_age=AGAIN_FOR))
    except (signing.BadSignature, ValueError):
        return None
    used = [Status.WRONG_ACCOUNT, Status.HELD, Status.COMPLETED]
    found = Invitation.objects.filter(guest=guest_id, status__in=used).select_related("guest__user", "request")
    return min(found.order_by("-sent_at"), key=lambda one: used.index(Status(one.status)), default=None)


def _signer() -> signing.Signer:
    return signing.Signer(salt=SIGNER_SALT, sep=".")


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


# ---------------------------------------------------------------- what the guest does


@transaction.atomic
def opened(invitation: Invitation) -> None:
    """The person pressed "Continue to sign in"."""
    if invitation.status == Status.SENT:  # who accepted already just signs in
        invitation.move_to(Status.OPENED, opened_at=Now())
        _record(audit.Type.INVITATION_OPENED, invitation)


@transaction.atomic
def decline(invitation: Invitation, *, reason: str) -> None:
    """ "This is not for me": the link, the grants behind it and the request end. `reason` is a code of REASONS.

    Whoever holds the link can do it: it only takes access away, and only before somebody signed in by it.
    """
    request = AccessRequest.objects.select_for_update().get(pk=invitation.request_id)
    sentence = str(REASONS[reason])
    invitation.move_to(Status.DECLINED, declined_because=sentence, redeem_url=None)
    closed = _("The person pressed “This is not for me”: %(reason)s.") % {"reason": sentence}
    request.move_to(AccessRequest.Status.ENDED, closed_because=closed)
    grants.end(request, because=sentence)
    _record(audit.Type.INVITATION_DECLINED, invitation, reason=sentence)


@transaction.atomic
def complete(guest: Guest, *, identity_provider: str) -> None:
    """The expected person signed in, proved by their home organisation.

    Completes the invitations of those organisations that allow this identity provider; for another organisation
    the person may have to come another way. Safe to repeat at each sign-in.
    """
    first = Guest.objects.filter(pk=guest.pk, redeemed_at=None)
    first.update(redeemed_at=Now(), identity_provider=identity_provider, admitted_at=Coalesce("admitted_at", Now()))
    allowed = Q(request__organisation__identity_providers__issuer=identity_provider)
    awaited = [*Invitation.UNREDEEMED, Status.HELD]
    for invitation in Invitation.objects.filter(allowed, guest=guest, status__in=awaited):
        invitation.move_to(Status.COMPLETED, completed_at=Now(), redeem_url=None)
        _record(
            audit.Type.INVITATION_REDEEMED,
            invitation,
            by=guest.user,
            detail={"identity_provider": identity_provider},
        )


@transaction.atomic
def wrong_account(guest: Guest, *, identity_provider: str) -> None:
    """Somebody came with the expected object id from an organisation that nobody allowed: nothing is shown to them."""
    for invitation in Invitation.objects.filter(guest=guest, status__in=Invitation.IN_FORCE):
        invitation.move_to(Status.WRONG_ACCOUNT, redeem_url=None)
        notices.tell(notices.Kind.WRONG_ACCOUNT, invitation.request, about=invitation.generation)
    audit.record(
        audit.Type.WRONG_ACCOUNT,
        guest,
        outcome="refused",
        identity=f"{guest.user.tenant_id}:{guest.user.object_id}",
        detail={"identity_provider": identity_provider},
    )


# ---------------------------------------------------------------- sending again


@transaction.atomic
def send_again(invitation: Invitation, *, by: User | None) -> None:
    """Make a new link and mail it to the same address; links sent before die at once. Raises Denied with a sentence.

    `by` is the sponsor, or None for the guest, who asks from the page of an old link.
    """
    if by is not None:
        policies.check_can_answer_for(by, invitation.request)
    job = ProvisioningJob.objects.select_for_update().get(request=invitation.request_id)
    invitation.refresh_from_db()
    check_can_send_again(invitation, job)
    job.move_to(ProvisioningJob.Status.RUNNING)
    Invitation.objects.filter(pk=invitation.pk).update(generation=invitation.generation + 1)
    done = job.steps.count()
    # A fresh link of Entra's too: the old one may have ended.
    for number, kind in enumerate((Step.Kind.INVITE, Step.Kind.MAIL), start=done + 1):
        state = Step.State.WAITING if kind == Step.Kind.INVITE else Step.State.LATER
        Step.objects.create(job=job, position=number, kind=kind, state=state)
    audit.record(
        audit.Type.PROVISIONING_RESUMED,
        job,
        by=by,
        organisation_id=invitation.request.organisation_id,
        reason=_("A new link was asked for."),
    )
    transaction.on_commit(lambda: tasks.nudge(job.pk))


def check_can_send_again(invitation: Invitation, job: ProvisioningJob) -> None:
    if invitation.status == Status.WRONG_ACCOUNT:
        raise Denied(_("Another account was used, so this needs a new start, not the same link."))
    if invitation.status not in Invitation.UNREDEEMED or job.status != ProvisioningJob.Status.DONE:
        raise Denied(_("There is no link to send again."))
    if invitation.generation >= MOST_GENERATIONS:
        raise Denied(_("This link was sent too many times. Please call us."))
    if invitation.sent_at and invitation.sent_at > timezone.now() - SEND_AGAIN_AFTER:
        raise Denied(_("The last link was sent a moment ago. Please look in the mailbox, and wait ten minutes."))


def expire_overdue() -> int:
    """Close links whose days are over, and tell the sponsors. Returns how many."""
    over = Invitation.objects.filter(status__in=Invitation.IN_FORCE, expires_at__lte=Now())
    return sum(_expire(invitation) for invitation in over.select_related("request__sponsor__user")[:SOME])


def _expire(invitation: Invitation) -> bool:
    """Whether this worker did it, and not another one, or the guest by coming in."""
    with contextlib.suppress(IllegalTransition), transaction.atomic():
        invitation.move_to(Status.EXPIRED, redeem_url=None)
        notices.tell(notices.Kind.EXPIRED, invitation.request, about=invitation.generation)
        return True
    return False


def tell_of_silence() -> None:
    """Tell the sponsor once when nobody has signed in a week after the mail."""
    silent = Invitation.objects.filter(status__in=Invitation.IN_FORCE, sent_at__lt=Now() - SILENT_FOR)
    told = Notice.objects.filter(
        key=Concat(
            Value(f"{notices.Kind.NOT_SIGNED_IN.value}-"),
            Cast(OuterRef("request"), TextField()),
            Value("-"),
            Cast(OuterRef("generation"), TextField()),
            output_field=TextField(),
        )
    )
    for invitation in silent.exclude(Exists(told)).select_related("request__sponsor__user")[:SOME]:
        notices.tell(notices.Kind.NOT_SIGNED_IN, invitation.request, about=invitation.generation)


# ---------------------------------------------------------------- the mail


def deliver(invitation: Invitation) -> None:
    """Hand the mail to the mail server. Raises entra.TryLater or entra.Refused: to the job it is one more outside."""
    message = compose(invitation)
    try:
        mailing.send(message)
    except smtplib.SMTPRecipientsRefused as refusal:
        code, _text = next(iter(refusal.recipients.values()))
        raise _mail_problem(code, "address_refused") from None
    except smtplib.SMTPResponseException as refusal:
        raise _mail_problem(refusal.smtp_code, "mail_refused") from None
    except (smtplib.SMTPException, OSError):
        raise entra.TryLater("mail_server_away") from None


def _mail_problem(code: int, permanent: str) -> Exception:
    """4xx of SMTP means later, 5xx means never (RFC 5321, section 4.2.1)."""
    return entra.Refused(permanent) if code >= 500 else entra.TryLater("mail_server_away")


def compose(invitation: Invitation) -> EmailMultiAlternatives:
    """The mail of this generation: text and HTML, one link. The same each time, with the same Message-ID."""
    request = invitation.request
    facts = {
        "name": request.person_name,
        "sponsor": request.sponsor.user.display_name,
        "organisation": str(request.organisation),
        "address": request.address,
        "link": link(invitation),
        "until": dates.words_for(dates.last_day(request.until)),
        "works_until": dates.words_for(dates.last_day(expiry(invitation))),
        "needs_consent": bool(invitation.redeem_url),
        "again": request.resets.filter(status=Reset.Status.RUNNING).first(),
        "help_page": settings.BASE_URL + reverse("sign-in-help"),
        "help_text": settings.HELP_TEXT,
    }
    subject = _("%(sponsor)s at %(organisation)s has arranged access for you") % facts
    message = EmailMultiAlternatives(
        subject=" ".join(subject.split()),
        body=render_to_string("partners/emails/invitation.txt.jinja", facts),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[request.address],
        headers={"Message-ID": invitation.message_id, "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(render_to_string("partners/emails/invitation.html.jinja", facts), "text/html")
    return message


def expiry(invitation: Invitation) -> dt.datetime:
    """When a link sent now ends: after settings.INVITATION_DAYS whole days, or with the access itself."""
    whole_days = dates.end_of(dates.today() + dt.timedelta(days=settings.INVITATION_DAYS))
    return min(whole_days, invitation.request.until)


def mark_sent(invitation: Invitation) -> None:
    """The mail server has it. For use inside the job's commit."""
    invitation.refresh_from_db(fields=["status"])
    if invitation.status == Status.COMPLETED:  # signed in while we wrote: nothing to wait for
        return
    invitation.move_to(Status.SENT, sent_at=Now(), expires_at=expiry(invitation), opened_at=None, accepted_at=None)
    _record(audit.Type.INVITATION_SENT, invitation, detail={"generation": invitation.generation})


def _record(type: audit.Type, invitation: Invitation, **facts) -> None:
    audit.record(type, invitation, organisation_id=invitation.request.organisation_id, **facts)
