"""Mails to our staff about emergency access: that one began, and that one was not right.

Reviewers and privacy officers work on it; the partner's internal sponsor, who answers for the partner here, is told.

The row of the emergency access is the alert; the worker's sweep writes the mails for each that nobody was told of, in
one transaction with the mark that they were. No patient, no reason, no name of a person in them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _

from clinicportal.models import StaffRole, User
from partners import words
from partners.models import Notice, PartnerOrganisation
from records.models import EmergencyAccess

AT_ONCE = 50
Proof, Status = EmergencyAccess.Proof, EmergencyAccess.Status


def tell() -> int:
    """Write the mails that are due. Returns how many emergency accesses they tell of."""
    begun = EmergencyAccess.objects.filter(started_at__isnull=False, alerted_at=None).order_by("started_at")
    wrong = EmergencyAccess.objects.filter(status=Status.NOT_JUSTIFIED, outcome_told_at=None).order_by("reviewed_at")
    told = [_told(one, "alerted_at", tell_of_beginning) for one in begun.select_related("organisation")[:AT_ONCE]]
    told += [_told(one, "outcome_told_at", tell_of_outcome) for one in wrong.select_related("organisation")[:AT_ONCE]]
    return sum(told)


@transaction.atomic
def _told(emergency: EmergencyAccess, mark: str, write: Callable[[EmergencyAccess], None]) -> bool:
    mine = EmergencyAccess.objects.filter(pk=emergency.pk, **{mark: None})
    if not mine.update(**{mark: Now()}):
        return False  # another worker a moment ago
    write(emergency)
    return True


def tell_of_beginning(emergency: EmergencyAccess) -> None:
    weaker = emergency.proof == Proof.SIGN_IN
    roles = [StaffRole.PRIVACY, StaffRole.REVIEWER, *([StaffRole.OPERATOR] if weaker else [])]
    subject = _("Look at once: emergency access with a weaker proof") if weaker else _("Emergency access has begun")
    assert emergency.started_at is not None  # noqa: S101 - for the type checker
    assert emergency.due_at is not None  # noqa: S101
    facts = {
        "organisation": emergency.organisation,
        "at": words.moment(emergency.started_at),
        "due": words.moment(emergency.due_at),
        "link": link(emergency),
    }
    lines = [
        _("Somebody of %(organisation)s opened the record of one patient in an emergency, %(at)s.") % facts,
        _("Review it until %(due)s: %(link)s") % facts,
    ]
    if weaker:
        lines.insert(
            1,
            _(
                "The stronger sign-in could not be had, so the person confirmed with an ordinary one. Make sure at "
                "once that it was them: call them at the number we have."
            ),
        )
    known = addresses_of(roles)
    write("begun", emergency, subject, lines, known)
    told = [
        lines[0],
        _(
            "You answer for this partner here. Our reviewers look at it until %(due)s; you need to do nothing now. If "
            "they find that it was not right, you hear from us again."
        )
        % facts,
    ]
    write("begun", emergency, _("Emergency access has begun"), told, internal_sponsor_of(emergency) - known)


def tell_of_outcome(emergency: EmergencyAccess) -> None:
    facts = {"organisation": emergency.organisation, "link": settings.BASE_URL + reverse("alerts")}
    lines = [
        _("A reviewer found an emergency access of %(organisation)s not justified.") % facts,
        _("What they wrote, and who it was: %(link)s") % facts,
    ]
    subject = _("An emergency access was not justified")
    known = addresses_of([StaffRole.PRIVACY])
    write("outcome", emergency, subject, lines, known)
    told = [
        lines[0],
        _("You answer for this partner here: ask a privacy officer what happened, then call the partner."),
    ]
    write("outcome", emergency, subject, told, internal_sponsor_of(emergency) - known)


def link(emergency: EmergencyAccess) -> str:
    return settings.BASE_URL + reverse("review", args=[emergency.pk])


def addresses_of(roles: Iterable[StaffRole]) -> set[str]:
    """Of our staff with one of these roles, or the operators' where we know of nobody."""
    staff = User.objects.filter(is_active=True, staff_roles__overlap=list(roles)).exclude(email="")
    return set(staff.values_list("email", flat=True)) or {settings.OPERATIONS_MAIL}


def internal_sponsor_of(emergency: EmergencyAccess) -> set[str]:
    """The address of who answers for the partner here; empty where nobody does, who has left or has none."""
    partners = PartnerOrganisation.objects.filter(organisation=emergency.organisation_id)
    answering = partners.filter(internal_sponsor__is_active=True).exclude(internal_sponsor__email="")
    return set(answering.values_list("internal_sponsor__email", flat=True))


def write(kind: str, emergency: EmergencyAccess, subject: str, lines: list[str], to: Iterable[str]) -> None:
    """One mail for each address; the key lets none be written twice."""
    body = "\n\n".join([*lines, settings.HELP_TEXT])
    Notice.objects.bulk_create(
        [Notice(key=key(kind, emergency, address), to=address, subject=subject, body=body) for address in sorted(to)],
        ignore_conflicts=True,
    )


def key(kind: str, emergency: EmergencyAccess, address: str) -> str:
    return f"{kind}-{emergency.pk.hex}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"
