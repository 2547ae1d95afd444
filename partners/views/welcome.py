"""What the link in the mail opens. Public, and reading it changes nothing: scanners cannot use a link up."""

from __future__ import annotations

import contextlib
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clinicportal.requests import AnyRequest
from clinicportal.rules import Denied, IllegalTransition
from partners import dates, invitations, redemption, words
from partners.forms import NotForMeForm
from partners.invitations import Link, Opened
from partners.leaving import leave_for
from partners.models import Invitation, Reset

RENEWABLE = {Link.EXPIRED, Link.REPLACED, Link.WRONG_ACCOUNT, Link.ACCEPTED}


@login_not_required
@require_safe
def welcome(request: AnyRequest, token: str) -> HttpResponse:
    return page(request, token, invitations.open_link(token))


def page(request: AnyRequest, token: str, opened: Opened, **more: Any) -> HttpResponse:
    """The page that fits the link's state; for a link that is not ours a 404 that says what may have happened."""
    context: dict[str, Any] = {"token": token, "state": opened.state.value}
    if opened.invitation:
        context |= facts(opened.invitation)
    if opened.state is Link.READY:
        return private(render(request, "partners/welcome/ready.jinja", {**context, **more}))
    answer = render(
        request,
        "partners/welcome/other.jinja",
        {**context, "renewable": opened.state in RENEWABLE, **more},
        status=404 if opened.state is Link.UNKNOWN else 200,
    )
    return private(answer)


def facts(invitation: Invitation) -> dict[str, Any]:
    access = invitation.request
    return {
        "access": access,
        "partner": access.organisation,
        "sponsor": access.sponsor.user.display_name,
        "sections": words.sections(access.sections).capitalize(),
        "caseloads": words.listed(caseload.name for caseload in access.caseloads.all()),
        "until": dates.last_day(access.until),
        "works_until": dates.last_day(invitation.expires_at) if invitation.expires_at else None,
        "needs_consent": bool(invitation.redeem_url),
    }


def private(answer: HttpResponse) -> HttpResponse:
    """The address of the page is the link itself: it must not travel on.

    Not `no-referrer`: with it browsers send `Origin: null` with the form, which the CSRF check refuses.
    """
    answer.headers["Referrer-Policy"] = "same-origin"
    return answer


@login_not_required
@require_POST
def go(request: AnyRequest, token: str) -> HttpResponse:
    """ "Continue to sign in": on to Entra's redemption, or to our own sign-in for somebody whom it knows already."""
    opened = invitations.open_link(token)
    if opened.state not in (Link.READY, Link.ACCEPTED) or opened.invitation is None:
        return page(request, token, opened)
    try:
        invitations.opened(opened.invitation)
    except IllegalTransition:  # a second press, or it ended this moment
        return redirect("partners:welcome", token=token)
    url = invitations.redeem_url(opened.invitation)
    return leave_for(request, url) if url else redirect("sign-in")


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def not_for_me(request: AnyRequest, token: str) -> HttpResponse:
    """ "This is not for me": asks why, then ends the link and the access behind it."""
    opened = invitations.open_link(token)
    if opened.state is not Link.READY or opened.invitation is None:
        return page(request, token, opened)
    form = NotForMeForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        context = {"token": token, "form": form, **facts(opened.invitation)}
        return private(render(request, "partners/welcome/not_for_me.jinja", context))
    with contextlib.suppress(IllegalTransition):  # a second press
        invitations.decline(opened.invitation, reason=form.cleaned_data["reason"])
    return redirect("partners:welcome", token=token)


@login_not_required
@require_POST
def send_again(request: AnyRequest, token: str) -> HttpResponse:
    """ "Send me a new link": to the address that was invited, whoever presses."""
    opened = invitations.open_link(token)
    if opened.state not in RENEWABLE or opened.invitation is None:
        return page(request, token, opened)
    try:
        redemption.new_link(opened.invitation, by=None)
    except Denied as reason:
        return page(request, token, opened, refusal=str(reason))
    return private(render(request, "partners/welcome/sent.jinja", facts(opened.invitation)))


@login_not_required
@require_POST
def start_again(request: AnyRequest) -> HttpResponse:
    """From the page that turned a wrong account away: a new link, to the invited address and nobody else."""
    invitation = invitations.invitation_of(request.POST.get("again", "")[:300])
    if invitation is None:
        return redirect("sign-in")
    refusal, waits = "", False
    try:
        reset = redemption.start_anew(invitation, by=None, because=Reset.Because.WRONG_ACCOUNT)
        waits = reset.status == Reset.Status.AWAITS_STAFF
    except Denied as reason:
        refusal = str(reason)
    # The address is not shown: whoever reads this may be somebody else.
    return render(request, "partners/welcome/started_again.jinja", {"refusal": refusal, "waits": waits})


@login_not_required
@require_safe
def back(request: AnyRequest) -> HttpResponse:
    """Where Entra sends people after they accepted. It carries nothing: the sign-in starts here."""
    return render(request, "partners/welcome/back.jinja")
