"""My access: what, until when, by whom; and for whom this session acts."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth import logout
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from clinicportal import audit
from clinicportal.middleware import ORGANISATION
from clinicportal.models import TermsAcceptance
from clinicportal.requests import Request
from clinicportal.rules import Denied
from clinicportal.texts import span
from partners import redemption
from partners.forms import AddressForm
from partners.models import AccessRequest, Invitation, PartnerOrganisation, Reset
from records import emergencies, lookup
from records.models import Grant, Section


@require_safe
def account(request: Request) -> HttpResponse:
    grants = (
        Grant.objects.filter(guest=request.user, ended_at=None, ends_at__gt=Now(), under=None)
        .select_related("caseload__facility", "organisation", "request__request__sponsor__user")
        .order_by("organisation__name", "caseload__name")
    )
    context = {
        "grants": [(grant, named(grant.sections)) for grant in grants],
        "looked_up": Grant.objects.in_force_for(request.user, Q(under__isnull=False))
        .select_related("organisation")
        .order_by("-ends_at")
        .distinct(),
        "acceptance": TermsAcceptance.objects.filter(user=request.user, ended_at=None).order_by("-terms").first(),
        "look_up_lasts": span(lookup.LASTS),
        "emergency_lasts": span(emergencies.LASTS),
        "several": len(request.session.get("organisations", [])) > 1,
    }
    return render(request, "partners/account.jinja", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new_address(request: Request) -> HttpResponse:
    """My work address has changed: our team confirms it, then a new link goes there. Ends this session."""
    invitation = (
        Invitation.objects.filter(guest=request.user.pk, status=Invitation.Status.COMPLETED)
        .filter(request__in=AccessRequest.objects.live())
        .select_related("request__organisation__organisation", "guest__user")
        .order_by("-completed_at")
        .first()
    )
    if invitation is None:
        raise Denied(_("Ask your sponsor to report your new address. Nothing here depends on it."))
    form = AddressForm(request.POST if request.method == "POST" else None, partner=invitation.request.organisation)
    if form.is_valid():
        address = form.cleaned_data["email"]
        try:
            redemption.start_anew(invitation, by=request.user, because=Reset.Because.NEW_ADDRESS, address=address)
        except Denied as reason:
            form.add_error("email", str(reason))
        else:
            logout(request)  # the session is gone already; the page after it belongs to nobody
            return render(request, "partners/welcome/started_again.jinja", {"waits": True})
    return render(request, "partners/new_address.jinja", {"form": form, "address": invitation.guest.address})


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
