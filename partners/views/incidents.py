"""What the operator has to look at."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from clinicportal.requests import Request
from partners import assurance, failures, policies, words
from partners import incidents as verbs
from partners.forms import CloseIncidentForm
from partners.models import Incident
from partners.views.common import refuse, staff_only, too_late
from partners.views.sponsors import get_or_post

PAGE = 50
operators_only = staff_only(policies.check_is_operator)


@require_safe
@operators_only
def incidents(request: Request) -> HttpResponse:
    """Open ones, the latest first, and those that were closed."""
    closed = Incident.objects.exclude(closed_at=None).select_related("closed_by").order_by("-closed_at")
    page = Paginator(closed, PAGE).get_page(request.GET.get("page"))
    context = {
        "open": [_row(incident) for incident in Incident.objects.open()],
        "closed": [_row(incident) for incident in page],
        "page": page,
        "shaky": assurance.shaky(),
    }
    return render(request, "partners/incidents.jinja", context)


def _row(incident: Incident) -> dict[str, object]:
    return {
        "incident": incident,
        "sentence": failures.operator(incident.code),
        "first": words.moment(incident.first_at),
        "last": words.moment(incident.last_at),
        "closed": words.moment(incident.closed_at) if incident.closed_at else "",
    }


@get_or_post
@operators_only
def close(request: Request, pk: int) -> HttpResponse:
    """A page of its own: what was done about it is kept."""
    incident = Incident.objects.filter(pk=pk).first()
    if incident is None:
        refuse(request)
    if incident.closed_at is not None:  # by a colleague, or by the first press of two
        too_late(request)
        return redirect("partners:incidents")
    form = CloseIncidentForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(request, "partners/close_incident.jinja", {**_row(incident), "form": form})
    verbs.close(incident, by=request.user, note=form.cleaned_data["note"])
    messages.success(request, _("Closed. If it happens again, it comes back here and you get a mail."))
    return redirect("partners:incidents")
