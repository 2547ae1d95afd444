"""Sign-in safety: whether a second factor is asked for, by whose word, and the operator's own word."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from clinicportal.requests import Request
from partners import assurance, dates, policies, tasks, words
from partners.assurance import State
from partners.forms import AttestForm
from partners.models import Attestation
from partners.views.common import staff_only
from partners.views.sponsors import get_or_post

operators_only = staff_only(policies.check_is_operator)
EARLIER = 10

STATES = {
    State.CHECKED: ("done", gettext_lazy("Checked")),
    State.ATTESTED: ("wait", gettext_lazy("Attested, not checked")),
    State.UNBOUND: ("wait", gettext_lazy("Not bound: nobody can pass")),
    State.UNKNOWN: ("wait", gettext_lazy("Unknown: nobody can pass")),
}
BECAUSE = {
    "no_policy": gettext_lazy("No policy has this authentication context as its target."),
    "not_enforced": gettext_lazy("The policy is off or in report-only mode, so it asks nobody for anything."),
    "asks_too_little": gettext_lazy(
        "The policy can be passed without a second factor: by another control, or because a place, a device or a risk "
        "level is left out."
    ),
    "members_left_out": gettext_lazy("The policy does not apply to our own staff."),
    "guests_left_out": gettext_lazy(
        "The policy does not apply to all guests: they are excluded, their tenants are not named, or it asks for an "
        "authentication strength, which does nothing for guests with a one-time passcode."
    ),
}
TROUBLE = {
    "not_permitted": gettext_lazy("The Graph registration lacks the permission Policy.Read.All."),
    "credentials": gettext_lazy("The tenant does not accept the credentials of the Graph registration."),
}


@get_or_post
@operators_only
def safety(request: Request) -> HttpResponse:
    """How each context stands, and a form to attest it."""
    form = AttestForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        until = dates.end_of(form.cleaned_data["until"])
        assurance.attest(form.cleaned_data["context"], until=until, by=request.user)
        messages.success(request, _("Attested. It is in the audit trail with your name."))
        return redirect("partners:safety")
    context = {
        "rows": [row(assurance.standing(name)) for name in assurance.contexts()],
        "form": form,
        "attestations": [
            {
                "context": one.context,
                "until": dates.last_day(one.until),
                "by": one.by_name,
                "made": words.moment(one.made_at),
            }
            for one in Attestation.objects.all()[:EARLIER]
        ],
    }
    return render(request, "partners/safety.jinja", context)


@require_POST
@operators_only
def check_now(request: Request) -> HttpResponse:
    """Ring for the worker, which alone may read the tenant."""
    if tasks.ring(tasks.check_contexts_now):
        messages.success(request, _("We are asking the tenant. Load this page again in a few seconds."))
    else:
        messages.error(request, _("The worker cannot be reached just now. It asks by itself each hour."))
    return redirect("partners:safety")


def row(standing: assurance.Standing) -> dict[str, Any]:
    check, attestation = standing.check, standing.attestation
    kind, state = STATES[standing.state]
    return {
        "context": standing.context,
        "purpose": assurance.purpose(standing.context),
        "kind": kind,
        "state": state,
        "answered": words.moment(check.answered_at) if check and check.answered_at else _("never"),
        "why": BECAUSE.get(check.because, "") if check else "",
        "trouble": trouble(check.trouble) if check and check.trouble else "",
        "until": dates.last_day(attestation.until) if attestation else None,
        "by": attestation.by_name if attestation else "",
    }


def trouble(code: str) -> Any:
    return TROUBLE.get(code, _("The tenant could not be read."))
