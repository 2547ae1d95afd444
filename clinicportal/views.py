"""Pages that belong to no one: home, probes, errors, terms."""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clinicportal import audit
from clinicportal.models import StaffRole, Terms, TermsAcceptance, User
from clinicportal.requests import AnyRequest, Request
from clinicportal.tasks import HEARTBEAT_LATE_SECONDS, heartbeat_age


@require_safe
@login_not_required
def live(request: HttpRequest) -> HttpResponse:
    """This process answers. Says nothing about anything else."""
    return HttpResponse("ok", content_type="text/plain")


@require_safe
@login_not_required
def ready(request: HttpRequest) -> JsonResponse:
    """Whether requests should be sent here: the database answers. A broker or worker that is away delays work,
    it stops no page, so it is told and does not fail the probe."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"database": "away"}, status=503)
    age = heartbeat_age()
    worker = "unknown" if age is None else "late" if age > HEARTBEAT_LATE_SECONDS else "ok"
    return JsonResponse({"database": "ok", "worker": worker, "version": settings.VERSION})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "csrf.jinja", status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    return render(request, "500.jinja", status=500)


@require_POST
def stay(request: Request) -> HttpResponse:
    """The person pressed "Stay signed in": the session middleware has recorded it."""
    return HttpResponse(status=204)


WORK_PLACES = {
    StaffRole.APPROVER: "/approvals/",
    StaffRole.REVIEWER: "/reviews/",
    StaffRole.PRIVACY: "/privacy/",
    StaffRole.OPERATOR: "/incidents/",
}

Step = dict[str, str]
first_steps: list[Callable[[User], list[Step]]] = []
"""What other apps want a person to do before all else (their `ready`): "text" and "href" of each."""


@require_safe
def home(request: Request) -> HttpResponse:
    """The next thing for this person to do."""
    user = request.user
    for role, place in WORK_PLACES.items():
        if user.has_role(role):
            return redirect(place)
    if "guest" in user.capacities and not accepted(user):
        return redirect("terms")
    if user.acting_for is None and len(request.session.get("organisations", [])) > 1:
        return redirect("choose-organisation")
    steps = {
        "guest": {"text": _("Go to my patients"), "href": "/patients/"},
        "sponsor": {"text": _("Your people"), "href": "/people/"},
    }
    urgent = [step for steps_of in first_steps for step in steps_of(user)]
    next_steps = urgent + [step for capacity, step in steps.items() if capacity in user.capacities]
    return render(request, "clinicportal/home.jinja", {"next": next_steps})


class TermsForm(forms.Form):
    accept = forms.BooleanField(
        label=gettext_lazy("I have read and accept the terms of use"),
        error_messages={"required": gettext_lazy("Tick the box to accept the terms, or sign out")},
    )


def accepted(user: User) -> TermsAcceptance | None:
    return TermsAcceptance.objects.filter(user=user, terms__in=Terms.in_force(), ended_at=None).first()


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def terms(request: AnyRequest) -> HttpResponse:
    """The terms in force; who is signed in and has not accepted them does so here."""
    current = Terms.in_force().get()
    person = request.user if isinstance(request.user, User) else None
    acceptance = accepted(person) if person else None
    form = TermsForm(request.POST or None) if person and not acceptance else None
    if person and form and form.is_valid():
        with transaction.atomic():
            TermsAcceptance.objects.get_or_create(user=person, terms=current, ended_at=None)
            audit.record(audit.Type.TERMS_ACCEPTED, current, by=person)
        return redirect("home")
    context = {"terms": current, "form": form, "accepted_at": acceptance and acceptance.accepted_at}
    return render(request, "clinicportal/terms.jinja", context, status=422 if form and form.is_bound else 200)


NOTICES = {
    "privacy": (
        gettext_lazy("Privacy"),
        [
            gettext_lazy("We keep your name, your work address, your organisation and what you do in this portal."),
            gettext_lazy("We keep it as evidence of who read which record, by whose leave, as long as the law asks."),
            gettext_lazy("The portal sets one cookie, which holds your session. It loads nothing from other sites."),
        ],
    ),
    "accessibility": (
        gettext_lazy("Accessibility"),
        [
            gettext_lazy("Every page works with a keyboard, with a screen reader, at 320 pixels and without scripts."),
            gettext_lazy("We aim at WCAG 2.2 level AA. If something stands in your way, call us: we want to mend it."),
        ],
    ),
}


@login_not_required
@require_safe
def notice(request: HttpRequest, name: str) -> HttpResponse:
    title, paragraphs = NOTICES[name]
    return render(request, "clinicportal/notice.jinja", {"title": title, "paragraphs": paragraphs})
