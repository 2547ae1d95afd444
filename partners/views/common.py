"""Who gets a page at all. Absent and forbidden look the same: a 404, written down as refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _

from clinicportal import audit
from clinicportal.middleware import Refused
from clinicportal.requests import Request
from clinicportal.rules import Denied
from partners import policies
from partners.models import AccessRequest, PartnerOrganisation, Sponsor

View = Callable[..., HttpResponse]


def refuse(request: Request) -> NoReturn:
    raise Refused(audit.Entry(audit.Type.REFUSED, by=request.user, object_id=request.path))


def sponsors_only(view: View) -> View:
    """For sponsors, with `partner` in the view's arguments: the organisation they act for in this session."""

    @functools.wraps(view)
    def wrapped(request: Request, **kwargs: Any) -> HttpResponse:
        partner = organisation_of(request)
        return view(request, partner=partner, **kwargs) if partner else refuse(request)

    return wrapped


def organisation_of(request: Request) -> PartnerOrganisation | None:
    """The organisation that the person chose in this session, or the first of those they are a sponsor of."""
    mine = PartnerOrganisation.objects.filter(
        pk__in=Sponsor.objects.active().filter(user=request.user).values("organisation")
    ).select_related("organisation")
    if request.user.is_staff_member:
        return None
    return mine.filter(pk=request.user.acting_for).first() or mine.order_by("organisation__name").first()


def staff_only(check: Callable[..., None]) -> Callable[[View], View]:
    """For staff who pass `check`, a policy about the user alone."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def wrapped(request: Request, **kwargs: Any) -> HttpResponse:
            try:
                check(request.user)
            except Denied:
                refuse(request)
            return view(request, **kwargs)

        return wrapped

    return decorate


approvers_only = staff_only(policies.check_is_approver)


def find(request: Request, pk: int) -> AccessRequest:
    """The access request, if this person may see it; refused otherwise."""
    found = (
        AccessRequest.objects.visible_to(request.user)
        .select_related("organisation__organisation", "sponsor__user", "job__guest__user", "invitation")
        .filter(pk=pk)
        .first()
    )
    return found or refuse(request)


def too_late(request: Request) -> None:
    """Say that somebody else moved the thing meanwhile; the page that follows shows how it stands."""
    messages.info(request, _("This changed while you were looking at it. Here is how it stands now."))
