"""What an approver should look at before deciding: each check passed, or with the reason in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count
from django.utils.translation import gettext as _

from clinicportal.models import User
from clinicportal.rules import Denied
from partners import addresses, dates, decisions, policies, words
from partners.models import AccessRequest, Domain, Guest
from records.models import Section


@dataclass(frozen=True)
class Check:
    passed: bool
    text: str
    strong: str = ""

    @property
    def state(self) -> str:
        return "passed" if self.passed else "look"


class Known:
    """What requests are compared with, read once, however many there are. `by` is who decides."""

    def __init__(self, requests: Sequence[AccessRequest], *, by: User) -> None:
        self.deciding = policies.Deciding(by)
        self.agreements = decisions.agreements_of(requests)
        domains = {addresses.domain_of(request.address) for request in requests}
        self.serves: dict[str, set[UUID]] = defaultdict(set)
        """Domain -> the organisations that have it."""
        for domain in Domain.objects.filter(name__in=domains):
            self.serves[domain.name].add(domain.organisation_id)
        people = {request.address for request in requests}
        live = AccessRequest.objects.live()
        self.live: dict[str, list[AccessRequest]] = defaultdict(list)
        """Address -> the requests for this person."""
        for other in live.filter(address__in=people).select_related("organisation__organisation"):
            self.live[other.address].append(other)
        guests = Guest.objects.filter(address__in=people, redeemed_at__isnull=False)
        self.been_here = set(guests.values_list("address", flat=True))
        sponsors = {request.sponsor.user_id for request in requests}
        answering = live.filter(sponsor__user__in=sponsors).order_by().values_list("sponsor__user")
        self.answers_for: dict[UUID, int] = dict(answering.annotate(Count("pk")))
        """Sponsor -> for how many people they answer."""


def checks(request: AccessRequest, known: Known) -> list[Check]:
    """All of them, in the order of the page. They inform; what must not happen is refused by policies and the rule."""
    found = [
        _address(request, known),
        _agreement(request, known),
        _other_access(request, known),
        _sponsor(request, known),
        _tie(request, known),
        _length(request),
        _sections(request),
    ]
    return [check for check in found if check]


def first_concern(request: AccessRequest, known: Known) -> Check | None:
    """What the queue says about the request; None: routine."""
    return next((check for check in checks(request, known) if not check.passed), None)


def shorter_end(request: AccessRequest) -> dates.dt.date | None:
    """The last day that is usual for the organisation, when more was asked for."""
    usual = dates.months_after(dates.today(), request.organisation.usual_months)
    return usual if usual < dates.last_day(request.ends_at) else None


def _address(request: AccessRequest, known: Known) -> Check:
    domain = addresses.domain_of(request.address)
    organisations = known.serves[domain]
    name = {"name": request.organisation, "domain": domain}
    if request.organisation_id not in organisations:
        return Check(False, _("%(domain)s is no longer a domain of %(name)s") % name, _("Other address:"))
    if len(organisations) > 1:
        text = _("%(domain)s serves several organisations, so the address proves less") % name
        return Check(False, text, _("Shared domain:"))
    return Check(True, _("The address belongs to %(name)s") % name)


def _agreement(request: AccessRequest, known: Known) -> Check:
    agreement = known.agreements.get(request.organisation_id)
    if agreement is None:
        return Check(False, _("nothing could be seen"), _("No agreement in force:"))
    ends = dates.words_for(dates.last_day(agreement.ends_at))
    if agreement.ends_at < request.ends_at:
        return Check(False, _("access will end with it, on %(ends)s") % {"ends": ends}, _("Longer than the agreement:"))
    facilities = {caseload.facility_id for caseload in request.caseloads.all()}
    covered = {facility.pk for facility in agreement.facilities.all()}
    if facilities - covered or set(request.sections) - set(agreement.sections):
        text = _("some of this will stay hidden until the agreement covers it")
        return Check(False, text, _("More than the agreement covers:"))
    return Check(True, _("The agreement is in force until %(ends)s and covers all of this") % {"ends": ends})


def _other_access(request: AccessRequest, known: Known) -> Check:
    if other := next((other for other in known.live[request.address] if other.pk != request.pk), None):
        text = _("%(name)s has asked for this person too (request %(number)s)")
        return Check(
            False, text % {"name": other.organisation, "number": other.pk}, _("One person, two organisations:")
        )
    if request.address in known.been_here:
        return Check(False, _("this person signed in here before"), _("Known:"))
    return Check(True, _("No other account or request for this person"))


def _sponsor(request: AccessRequest, known: Known) -> Check:
    if request.sponsor.ended_at is not None:
        return Check(False, _("nobody answers for this person at the organisation now"), _("No longer a sponsor:"))
    people = _people(known.answers_for.get(request.sponsor.user_id, 0))
    return Check(True, _("The sponsor is active and answers for %(count)s") % {"count": people})


def _people(count: int) -> str:
    return _("1 person") if count == 1 else _("%(count)s people") % {"count": count}


def _tie(request: AccessRequest, known: Known) -> Check:
    try:
        known.deciding.check_not_tied(request)
    except Denied as tie:
        return Check(False, str(tie), _("Not yours:"))
    return Check(True, _("You have no tie to %(name)s") % {"name": request.organisation})


def _length(request: AccessRequest) -> Check | None:
    if shorter_end(request) is None:
        return None
    months = dates.months_between(dates.today(), dates.last_day(request.ends_at))
    facts = {"months": months, "usual": request.organisation.usual_months, "name": request.organisation}
    return Check(False, _("%(months)s months; %(usual)s is usual for %(name)s") % facts, _("Longer than usual:"))


def _sections(request: AccessRequest) -> Check | None:
    more = set(request.sections) - set(request.organisation.usual_sections) - {Section.DEMOGRAPHICS}
    if Section.DOCUMENTS in more:
        return Check(False, _("letters may contain anything"), _("Asks for documents:"))
    if more and request.organisation.usual_sections:
        return Check(False, words.sections(more), _("More than usual:"))
    return None
