"""Short mails to a sponsor or a guest when something changes: rows, written with what they tell of, sent by the worker.

No patient data, and no name in a subject but the colleague's (onboarding, section 8.1).
"""

from __future__ import annotations

import datetime as dt
import enum
import smtplib

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from partners import incidents
from partners.models import AccessRequest, Notice

log = structlog.get_logger(__name__)

AT_ONCE = 20
LEASE = dt.timedelta(minutes=2)
FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(minutes=1), dt.timedelta(hours=1)


class Kind(enum.Enum):
    QUESTION = "question"
    CHANGED = "changed"
    DECLINED = "declined"
    WRONG_ACCOUNT = "wrong-account"
    NOT_SIGNED_IN = "not-signed-in"
    EXPIRED = "expired"
    PAUSED = "paused"
    NOT_CONFIRMED = "not-confirmed"
    RIGHTS = "rights"
    YOUR_RIGHTS = "your-rights"


TEXTS: dict[Kind, tuple[str | Promise, str | Promise]] = {
    Kind.QUESTION: (
        gettext_lazy("A question about %(name)s's access"),
        gettext_lazy("Our access team asks: “%(reason)s”\n\nAnswer here: %(link)s\nNothing else is needed. We have "
                     "paused the clock."),
    ),
    Kind.CHANGED: (
        gettext_lazy("%(name)s gets access, with one change"),
        gettext_lazy("%(reason)s\n\nSee how far it is: %(link)s"),
    ),
    Kind.DECLINED: (
        gettext_lazy("We could not give %(name)s access"),
        gettext_lazy("Reason: %(reason)s\n\nYou can ask again, with everything filled in: %(link)s"),
    ),
    Kind.WRONG_ACCOUNT: (
        gettext_lazy("%(name)s used another account"),
        gettext_lazy("Somebody opened the invitation with another account than the one we invited. No records were "
                     "opened.\n\nIf it was your colleague, let them start again with the right account: %(link)s\nIf "
                     "the mail was forwarded, please ask for each person on their own."),
    ),
    Kind.NOT_SIGNED_IN: (
        gettext_lazy("%(name)s has not signed in yet"),
        gettext_lazy("We wrote to your colleague seven days ago, and nobody has signed in since. Perhaps the mail did "
                     "not arrive, or your organisation's sign-in does not let them through.\n\nThree ways in, and a "
                     "note for your IT team: %(link)s"),
    ),
    Kind.EXPIRED: (
        gettext_lazy("The link for %(name)s has run out"),
        gettext_lazy("Nobody signed in with it in time. Nothing is lost: you can send a new one.\n\n%(link)s"),
    ),
    Kind.PAUSED: (
        gettext_lazy("Access of %(name)s is paused"),
        gettext_lazy("%(reason)s\n\nWhat happens next: %(link)s"),
    ),
    Kind.NOT_CONFIRMED: (
        gettext_lazy("We could not confirm the change for %(name)s"),
        gettext_lazy("Reason: %(reason)s\n\nNothing was changed. Your colleague can sign in with the account they had. "
                     "%(link)s"),
    ),
    Kind.RIGHTS: (
        gettext_lazy("%(name)s's access has changed"),
        gettext_lazy("%(reason)s\n\nWhat it includes now: %(link)s"),
    ),
    Kind.YOUR_RIGHTS: (
        gettext_lazy("Your access to patient records has changed"),
        gettext_lazy("%(reason)s\n\nWhat you have, and whom to ask: %(link)s"),
    ),
}  # fmt: skip


def tell(kind: Kind, request: AccessRequest, *, about: object = "", reason: str = "") -> None:
    """Write down a mail to the sponsor of `request`, in the transaction of what it tells of.

    `about` tells apart what may happen several times (a generation, a decision): the same thing is told once.
    """
    _write(kind, request, request.sponsor.user.email, link(request), about=about, reason=reason)


def tell_guest(kind: Kind, request: AccessRequest, *, about: object = "", reason: str = "") -> None:
    """The same to the person whose access it is."""
    to = request.invitation.guest.address
    _write(kind, request, to, settings.BASE_URL + reverse("account"), about=about, reason=reason)


def _write(kind: Kind, request: AccessRequest, to: str, link: str, *, about: object, reason: str) -> None:
    if not to:
        log.warning("a sponsor without an address", request=request.pk)
        return
    facts = {"name": request.person_name, "reason": reason, "link": link}
    subject, body = TEXTS[kind]
    lines = [_("Hello,"), "", body % facts, "", settings.HELP_TEXT]
    notice = Notice(
        key=f"{kind.value}-{request.pk}-{about}",
        request=request,
        to=to,
        subject=" ".join((subject % facts).split())[:250],
        body="\n".join(lines),
    )
    Notice.objects.bulk_create([notice], ignore_conflicts=True)


def link(request: AccessRequest) -> str:
    return settings.BASE_URL + reverse("partners:request", args=[request.pk])


def deliver_due() -> int:
    """Send what is due, one after the other. Returns how many left.

    Each is leased and committed before the mail server is asked; one that dies after the server took it says the same
    once more, under the same Message-ID.
    """
    sent = 0
    for _number in range(AT_ONCE):
        notice = _lease()
        if notice is None or not _deliver(notice):
            break
        sent += 1
    return sent


def _lease() -> Notice | None:
    with transaction.atomic(durable=True):
        due = Notice.objects.filter(sent_at=None, refused_at=None, due_at__lte=Now()).order_by("due_at")
        notice = due.select_for_update(skip_locked=True).first()
        if notice:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(notice.attempts, 10))
            Notice.objects.filter(pk=notice.pk).update(due_at=Now() + max(pause, LEASE), attempts=F("attempts") + 1)
    return notice


def _deliver(notice: Notice) -> bool:
    """Whether it left, or never will. False: the mail server is away, so that the others need not try."""
    message = EmailMessage(
        subject=notice.subject,
        body=notice.body,
        to=[notice.to],
        headers={"Message-ID": notice.message_id, "Auto-Submitted": "auto-generated"},
    )
    try:
        message.send()
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as refusal:
        if _code(refusal) < 500:
            return False
        Notice.objects.filter(pk=notice.pk).update(refused_at=Now())
        about = f"request {notice.request_id}" if notice.request_id else "to our staff"
        incidents.report("notice_refused", detail=about)
    except (smtplib.SMTPException, OSError) as problem:
        log.warning("no notice", notice=notice.pk, problem=type(problem).__name__)
        return False
    else:
        Notice.objects.filter(pk=notice.pk).update(sent_at=Now())
    return True


def _code(refusal: smtplib.SMTPRecipientsRefused | smtplib.SMTPResponseException) -> int:
    """4xx means later, 5xx means never (RFC 5321, section 4.2.1)."""
    if isinstance(refusal, smtplib.SMTPResponseException):
        return refusal.smtp_code
    return next(iter(refusal.recipients.values()))[0]
