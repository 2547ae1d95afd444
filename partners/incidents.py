"""What our operator has to look at: one row for one cause, one mail when it is new, and a person who closes it."""

from __future__ import annotations

import smtplib

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from clinicportal import audit
from clinicportal.models import User
from partners import failures, gates, policies
from partners.models import Incident

log = structlog.get_logger(__name__)

REPORT = """
    INSERT INTO partners_incident (code, detail, times, last_request_id, note)
    VALUES (%s, %s, 1, %s, '')
    ON CONFLICT (code, detail) WHERE closed_at IS NULL
    DO UPDATE SET times = partners_incident.times + 1, last_at = clock_timestamp(),
                  last_request_id = EXCLUDED.last_request_id
    RETURNING id, times
"""


def report(code: str, *, detail: str = "", request_id: str = "") -> None:
    """Note that something happened which a person has to look at; the same cause again only counts up.

    `code` is one of the failure dictionary. `detail` tells causes of one code apart ("POST /invitations 403
    Forbidden") and is read by people: no person, address, link or token. `request_id` is the other side's.
    One statement, safe in any transaction and from many workers at once; the mail leaves later (`alert`).
    """
    with connection.cursor() as cursor:
        cursor.execute(REPORT, [code, detail[:300], request_id[:64]])
        number, times = cursor.fetchone()
    log.error("incident", incident=number, code=code, times=times)


def is_open(*codes: str) -> bool:
    return Incident.objects.open().filter(code__in=codes).exists()


@transaction.atomic
def close(incident: Incident, *, by: User, note: str) -> None:
    """The operator has seen to it: what waits behind the cause may try again, one call first.

    The same cause later is a new incident, with a new mail.
    """
    policies.check_is_operator(by)
    if Incident.objects.open().filter(pk=incident.pk).update(closed_at=Now(), closed_by=by, note=note):
        audit.record(audit.Type.INCIDENT_CLOSED, incident, by=by, reason=note, detail={"code": incident.code})
        gates.mended(incident.code, incident.detail)


@transaction.atomic
def resolve(code: str, *, detail: str) -> None:
    """The cause is gone by itself, as the portal sees: nobody has to do anything any more."""
    for incident in Incident.objects.open().filter(code=code, detail=detail):
        if Incident.objects.open().filter(pk=incident.pk).update(closed_at=Now(), note=_("It is back.")):
            audit.record(audit.Type.INCIDENT_CLOSED, incident, detail={"code": code})


def alert() -> int:
    """Write to the operator about each incident that they were not told of. Returns how many mails left.

    A mail that cannot leave is tried again at the next sweep; one that left just before a crash leaves twice, and
    says the same.
    """
    sent = 0
    for incident in Incident.objects.open().filter(alerted_at=None).order_by("first_at"):
        try:
            _compose(incident).send()
        except (smtplib.SMTPException, OSError) as problem:
            log.warning("no alert", incident=incident.pk, problem=type(problem).__name__)
            break
        Incident.objects.filter(pk=incident.pk).update(alerted_at=Now())
        sent += 1
    return sent


def _compose(incident: Incident) -> EmailMessage:
    sentence = failures.operator(incident.code)
    lines = [sentence, "", settings.BASE_URL + "/incidents/"]
    if incident.detail:
        lines[1:1] = ["", incident.detail]
    return EmailMessage(
        subject=_("To look at: %(what)s") % {"what": sentence.partition(". ")[0].rstrip(".")},
        body="\n".join(lines),
        to=[settings.OPERATIONS_MAIL],
        headers={"Message-ID": f"<incident-{incident.pk}@clinicportal>"},
    )
