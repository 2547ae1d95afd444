"""Help with signing in: what Microsoft's number means, and what to do with a new phone. Public, about nobody.

Most sign-in errors are shown on Microsoft's own page and never come back to us (entra.md, section 13), so the person
looks the number up here.
"""

from __future__ import annotations

import datetime as dt

from django.contrib.auth.decorators import login_not_required
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from partners import failures, incidents
from partners.forms import HelpForm
from partners.models import Incident

UNKNOWN = "sign_in_unknown"
MOST_A_DAY = 5
"""Anyone can post numbers: so many new ones become incidents of their own in a day, the rest count as one."""
AT_MOST_EVERY = dt.timedelta(minutes=1)


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_help(request: HttpRequest) -> HttpResponse:
    form = HelpForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(request, "partners/signin/help.jinja", {"form": form})
    number = form.cleaned_data["number"]
    failure = failures.sign_in(number)
    if not failure.known:
        report_unknown(number)
    asks_it = failure.next.turn is failures.Turn.PARTNER_IT or not failure.known
    context = {"failure": failure, "number": number, "it_note": failures.note(number) if asks_it else ""}
    return render(request, "partners/signin/help.jinja", context)


@login_not_required
@require_safe
def new_phone(request: HttpRequest) -> HttpResponse:
    """Who can set up a second check again: that depends on who asks for it (entra.md, section 5)."""
    return render(request, "partners/signin/new_phone.jinja")


def report_unknown(code: str) -> None:
    """Tell the operator of a sign-in error without words, so sparingly that a stranger cannot fill the list."""
    met = Incident.objects.open().filter(code=UNKNOWN)
    if met.filter(detail=code, last_at__gt=Now() - AT_MOST_EVERY).exists():
        return
    today = Incident.objects.filter(code=UNKNOWN, first_at__gt=Now() - dt.timedelta(days=1))
    if today.exclude(detail=code).count() < MOST_A_DAY:
        incidents.report(UNKNOWN, detail=code[:60])
    elif not met.filter(detail="", last_at__gt=Now() - AT_MOST_EVERY).exists():
        incidents.report(UNKNOWN)
