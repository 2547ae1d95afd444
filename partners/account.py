"""My access: what, until when, by whom; and for whom this session acts."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from clinicportal import audit
from clinicportal.middleware import ORGANISATION
from clinicportal.models import TermsAcceptance
from clinicportal.requests import Request
from partners.models import PartnerOrganisation
from records.models import Grant, Section


@require_safe
def account(request: Request) -> HttpResponse:
    grants = (
        Grant.objects.filter(guest=request.user, ended_at=None, ends_at__gt=Now())
        .select_related("caseload__facility", "organisation", "request__request__sponsor__user")
        .order_by("organisation__name", "caseload__name")
    )
    context = {
        "grants": [(grant, named(grant.sections)) for grant in grants],
        "acceptance": TermsAcceptance.objects.filter(user=request.user).order_by("-terms").first(),
        "several": len(request.session.get("organisations", [])) > 1,
    }
    return render(request, "partners/account.jinja", context)


def named(sections: list[str]) -> str:
    """ "problems, medicines, results": in the order that all pages use."""
    return ", ".join(str(label) for section, label in Section.choices if section in sections)


@require_http_methods(["GET", "HEAD", "POST"])
def choose_organisation(request: Request) -> HttpResponse:
    """A person with access through several organisations acts for one of them at a time."""
    mine = PartnerOrganisation.objects.filter(pk__in=request.session.get("organisations", [])).select_related(
        "organisation"
    )
    if request.method != "POST":
        return render(request, "partners/choose_organisation.jinja", {"organisations": mine})
    chosen = get_object_or_404(mine, pk=_uuid(request.POST.get("organisation", "")))
    with transaction.atomic():
        request.session[ORGANISATION] = str(chosen.pk)
        audit.record(audit.Type.ORGANISATION_CHOSEN, chosen, by=request.user, organisation_id=chosen.pk)
    return redirect("home")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
