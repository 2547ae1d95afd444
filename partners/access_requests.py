"""Asking for a colleague: ask, answer, withdraw; and what time does to requests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from clinicportal import audit
from clinicportal.models import User
from clinicportal.rules import Denied, IllegalTransition
from partners import addresses, grants, policies
from partners.models import AccessRequest, PartnerOrganisation, Sponsor
from partners.models.requests import AccessRequestQuerySet
from records.models import Caseload, Section

Status = AccessRequest.Status


class AlreadyAsked(Exception):
    """This organisation has a live request for the person; `request` is that one."""

    def __init__(self, request: AccessRequest) -> None:
        super().__init__(f"request {request.pk} is live")
        self.request = request


@transaction.atomic
def ask(
    organisation: PartnerOrganisation,
    *,
    by: User,
    email: str,
    first_name: str,
    last_name: str,
    caseloads: Iterable[Caseload],
    sections: Iterable[str],
    ends_at: dt.datetime,
    why: str,
) -> AccessRequest:
    """Ask for access for one person. Raises addresses.Unusable, and AlreadyAsked for a person with a live request
    of the same organisation: nobody is invited twice. What other organisations asked for plays no part."""
    policies.check_can_ask(by, organisation)
    domains = organisation.domains.values_list("name", flat=True)
    address = addresses.belonging(email, domains, str(organisation))
    policies.check_can_ask_for(by, address)
    close_overdue(AccessRequest.objects.filter(organisation=organisation, address=address))
    caseloads = list(caseloads)
    if not caseloads or any(caseload.organisation_id != organisation.pk for caseload in caseloads):
        raise Denied(_("Choose patients that %(name)s looks after with us.") % {"name": organisation})
    request = AccessRequest(
        organisation=organisation,
        sponsor=Sponsor.objects.active().get(organisation=organisation, user=by),
        email=email,
        address=address,
        first_name=first_name,
        last_name=last_name,
        sections=[section for section in Section.values if section in {*sections, Section.DEMOGRAPHICS}],
        why=why,
        ends_at=ends_at,
    )
    try:
        with transaction.atomic():
            request.save()
    except IntegrityError:  # one_live_request_for_a_person
        raise AlreadyAsked(AccessRequest.objects.live().get(organisation=organisation, address=address)) from None
    request.caseloads.set(caseloads)
    audit.record(audit.Type.ACCESS_ASKED, request, by=by, organisation_id=organisation.pk, reason=why)
    return request


@transaction.atomic
def answer(request: AccessRequest, *, by: User, text: str) -> None:
    """Answer the approver's question: their turn again."""
    policies.check_can_answer_for(by, request)
    request.move_to(Status.IN_REVIEW, answer=text)
    audit.record(audit.Type.QUESTION_ANSWERED, request, by=by, organisation_id=request.organisation_id)


@transaction.atomic
def withdraw(request: AccessRequest, *, by: User, reason: str = "") -> None:
    """Take a request back before it is decided. The same person can be asked for again at once."""
    policies.check_can_answer_for(by, request)
    request.move_to(Status.WITHDRAWN, closed_because=reason)
    audit.record(audit.Type.ACCESS_WITHDRAWN, request, by=by, organisation_id=request.organisation_id, reason=reason)


def close_overdue(requests: AccessRequestQuerySet | None = None) -> int:
    """Close what time has ended among `requests` (all unless told), so that it never blocks a new one.

    Undecided ones lapse; given ones end. Returns how many. A request that moves meanwhile is left alone.
    """
    closed = 0
    for request in (AccessRequest.objects.all() if requests is None else requests).overdue():
        try:
            with transaction.atomic():
                _close(request)
        except IllegalTransition:
            continue
        closed += 1
    return closed


def _close(request: AccessRequest) -> None:
    decided = request.status in (Status.APPROVED, Status.FULFILLED)
    reason = _("The last day was over.")
    request.move_to(Status.ENDED if decided else Status.LAPSED, closed_because=reason)
    if decided:
        grants.end(request, because=reason)
    audit.record(
        audit.Type.ACCESS_ENDED, request, organisation_id=request.organisation_id, reason=reason, detail={"by": "time"}
    )
