"""What an approver should look at before deciding: each check passed, or with the reason in words."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from clinicportal.models import User
from clinicportal.rules import Denied
from partners import addresses, dates, decisions, policies, words
from partners.models import AccessRequest, Domain, Guest, Sponsor
from records.models import Facility, Section


@dataclass(frozen=True)
class Check:
    passed: bool
    text: str
    strong: str = ""

    @property
    def state(self) -> str:
        return "passed" if self.passed else "look"


def checks(request: AccessRequest, *, by: User) -> list[Check]:
    """All of them, in the order of the page. They inform; what must not happen is refused by policies and the rule."""
    found = [
        _address(request),
        _agreement(request),
        _other_access(request),
        _sponsor(request),
        _tie(request, by),
        _length(request),
        _sections(request),
    ]
    return [check for check in found if check]


def first_concern(request: AccessRequest, *, by: User) -> Check | None:
    """What the queue says about the request; None: routine."""
    return next((check for check in checks(request, by=by) if not check.passed), None)


def shorter_end(request: AccessRequest) -> dates.dt.date | None:
    """The last day that is usual for the organisation, when more was asked for."""
    usual = dates.months_after(dates.today(), request.organisation.usual_months)
    return usual if usual < dates.last_day(request.ends_at) else None


def _address(request: AccessRequest) -> Check:
    domain = addresses.domain_of(request.address)
    organisations = Domain.objects.filter(name=domain)
    name = {"name": request.organisation, "domain": domain}
    if not organisations.filter(organisation=request.organisation).exists():
        return Check(False, _("%(domain)s is no longer a domain of %(name)s") % name, _("Other address:"))
    if organisations.count() > 1:
        text = _("%(domain)s serves several organisations, so the address proves less") % name
        return Check(False, text, _("Shared domain:"))
    return Check(True, _("The address belongs to %(name)s") % name)


def _agreement(request: AccessRequest) -> Check:
    agreement = decisions.agreement_of(request)
    if agreement is None:
        return Check(False, _("nothing could be seen"), _("No agreement in force:"))
    ends = dates.words_for(dates.last_day(agreement.ends_at))
    if agreement.ends_at < request.ends_at:
        return Check(False, _("access will end with it, on %(ends)s") % {"ends": ends}, _("Longer than the agreement:"))
    facilities = Facility.objects.filter(pk__in=request.caseloads.values("facility"))
    uncovered = set(request.sections) - set(agreement.sections)
    if uncovered or facilities.exclude(pk__in=agreement.facilities.all()).exists():
        text = _("some of this will stay hidden until the agreement covers it")
        return Check(False, text, _("More than the agreement covers:"))
    return Check(True, _("The agreement is in force until %(ends)s and covers all of this") % {"ends": ends})


def _other_access(request: AccessRequest) -> Check:
    others = AccessRequest.objects.live().filter(address=request.address).exclude(pk=request.pk)
    if other := others.select_related("organisation__organisation").first():
        text = _("%(name)s has asked for this person too (request %(number)s)")
        return Check(
            False, text % {"name": other.organisation, "number": other.pk}, _("One person, two organisations:")
        )
    if Guest.objects.filter(address=request.address, redeemed_at__isnull=False).exists():
        return Check(False, _("this person signed in here before"), _("Known:"))
    return Check(True, _("No other account or request for this person"))


def _sponsor(request: AccessRequest) -> Check:
    people = AccessRequest.objects.live().filter(sponsor__user=request.sponsor.user).count()
    if not Sponsor.objects.active().filter(pk=request.sponsor_id).exists():
        return Check(False, _("nobody answers for this person at the organisation now"), _("No longer a sponsor:"))
    return Check(True, _("The sponsor is active and answers for %(count)s") % {"count": _people(people)})


def _people(count: int) -> str:
    return _("1 person") if count == 1 else _("%(count)s people") % {"count": count}


def _tie(request: AccessRequest, by: User) -> Check:
    try:
        policies.check_not_tied(by, request)
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
