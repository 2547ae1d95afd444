"""The partner register, to read: who the outsiders work for and what they may be given."""

from __future__ import annotations

from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.text import capfirst
from django.views.decorators.http import require_safe

from clinicportal.requests import Request
from partners import dates, policies, progress, words
from partners.models import AccessRequest, PartnerOrganisation
from partners.views.common import refuse, staff_only
from records.models import Agreement, Caseload, Suspension

PAGE = 50
register_readers_only = staff_only(policies.check_can_see_register)


@require_safe
@register_readers_only
def organisations(request: Request) -> HttpResponse:
    found = (
        PartnerOrganisation.objects.select_related("organisation")
        .prefetch_related("domains")
        .annotate(
            people=Count("requests", filter=Q(requests__status__in=AccessRequest.LIVE), distinct=True),
            sponsor_count=Count("sponsors", filter=Q(sponsors__ended_at=None), distinct=True),
        )
        .order_by("organisation__name")
    )
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    ends = {
        agreement.organisation_id: dates.last_day(agreement.ends_at)
        for agreement in Agreement.objects.in_force().filter(organisation__in=[p.pk for p in page]).order_by("ends_at")
    }
    paused = set(Suspension.objects.open().exclude(organisation=None).values_list("organisation", flat=True))
    return render(request, "partners/organisations.jinja", {"page": page, "ends": ends, "paused": paused})


@require_safe
@register_readers_only
def organisation(request: Request, pk: UUID) -> HttpResponse:
    partner = PartnerOrganisation.objects.select_related("organisation", "internal_sponsor").filter(pk=pk).first()
    if partner is None:
        refuse(request)
    live = progress.standing(AccessRequest.objects.filter(organisation=partner).live())
    people = live.order_by("last_name", "first_name", "pk")
    page = Paginator(people, PAGE).get_page(request.GET.get("page"))
    agreements = Agreement.objects.filter(organisation=partner.pk).prefetch_related("facilities").order_by("-ends_at")
    context = {
        "partner": partner,
        "kind": capfirst(partner.get_kind_display()),
        "agreements": [
            {
                "row": agreement,
                "sections": words.sections(agreement.sections),
                "from": dates.first_day(agreement.starts_at),
                "until": dates.last_day(agreement.ends_at),
                "facilities": words.listed(agreement.facilities.all()),
                "classes": words.classes(agreement.classes),
            }
            for agreement in agreements
        ],
        "caseloads": [
            (caseload, words.exact(caseload.people))  # type: ignore[attr-defined]
            for caseload in words.sized(Caseload.objects.filter(organisation=partner.pk))
        ],
        "usual": words.sections(partner.usual_sections) if partner.usual_sections else "",
        "sponsors": partner.sponsors.active().select_related("user").order_by("kind", "user__display_name"),
        "page": page,
        "rows": [(item, progress.state(item, for_staff=True), dates.last_day(item.until)) for item in page],
        "paused": Suspension.objects.open().filter(organisation=partner.pk).first(),
        # An operator keeps the register; who decides on people is the approvers' page.
        "links_people": request.user.has_role("approver"),  # type: ignore[arg-type]
    }
    return render(request, "partners/organisation.jinja", context)
