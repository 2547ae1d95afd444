"""The reviewer's pages: what waits, one emergency access with what was opened by it, and the judgement."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clinicportal import audit
from clinicportal.middleware import Refused
from clinicportal.requests import Request
from clinicportal.rules import IllegalTransition, permits
from clinicportal.texts import span
from records import lookup, lookup_views, policies, reviews
from records.lookup_views import OneLine
from records.models import EmergencyAccess, has_accepted_terms

Status = EmergencyAccess.Status
JUSTIFIED, NOT_JUSTIFIED, ASK = "justified", "not-justified", "ask"


class JudgementForm(forms.Form):
    outcome = forms.ChoiceField(
        label=gettext_lazy("What do you find?"),
        choices=[
            (JUSTIFIED, gettext_lazy("Justified")),
            (NOT_JUSTIFIED, gettext_lazy("Not justified: our privacy officers are told")),
            (ASK, gettext_lazy("It needs an explanation: ask the person")),
        ],
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose what you find")},
    )
    note = OneLine(
        label=gettext_lazy("Your note, or your question"),
        help_text=gettext_lazy("A question is shown to the person; a note is not. Do not name the patient."),
        max_length=reviews.LONGEST,
        widget=forms.Textarea(attrs={"rows": 4}),
        error_messages={
            "required": gettext_lazy("Say why, or ask your question"),
            "max_length": gettext_lazy("Say it in at most 2000 letters"),
        },
    )
    pause = forms.BooleanField(
        label=gettext_lazy("Pause all access of this person now (only where it was not justified)"), required=False
    )

    def clean(self) -> dict[str, object]:
        typed: dict[str, object] = super().clean() or {}
        if typed.get("pause") and typed.get("outcome") != NOT_JUSTIFIED:
            self.add_error("pause", _("Access is paused only where you find it not justified. Untick it, or say so"))
        return typed


@require_safe
def queue(request: Request) -> HttpResponse:
    policies.check_is_reviewer(request.user)
    waiting = list(reviews.waiting()[: reviews.MOST])
    context = {
        "waiting": [
            (one, reviews.due_words(one), permits(policies.check_can_review, request.user, one)) for one in waiting
        ],
        "look_ups_waiting": lookup_views.told(list(lookup.waiting()[: lookup.PAGE]), by=request.user),
        "look_ups_count": lookup.waiting().count(),
        "page": lookup.PAGE,
        "done": list(reviews.done()[:50]),
        "nobody": list(reviews.found_nobody()[:20]),
        "asks": Status.QUESTIONED,
    }
    return render(request, "records/reviews.jinja", context)


@require_http_methods(["GET", "HEAD", "POST"])
def review(request: Request, pk: UUID) -> HttpResponse:
    """One emergency access: who, why, by which proof, what was opened; and the judgement."""
    held = find(request, pk)
    policies.check_can_review(request.user, held)
    open_one = held.status in EmergencyAccess.UNREVIEWED
    form = JudgementForm(request.POST if request.method == "POST" else None) if open_one else None
    if form and form.is_valid():
        return judge(request, held, form)
    context = {
        "held": held,
        "form": form,
        "due": reviews.due_words(held) if open_one else "",
        "reads_for": span(reviews.READS_FOR),
        "seen": reviews.what_was_opened(held, by=request.user),
        "paused": reviews.pauses_of(held).exists(),
        "weaker": held.proof == EmergencyAccess.Proof.SIGN_IN,
    }
    return render(request, "records/review.jinja", context, status=422 if form and form.is_bound else 200)


def judge(request: Request, held: EmergencyAccess, form: JudgementForm) -> HttpResponse:
    typed = form.cleaned_data
    try:
        if typed["outcome"] == ASK:
            reviews.ask(held, typed["note"], by=request.user)
            messages.success(request, _("Asked. They see your question when they next sign in."))
        else:
            justified = typed["outcome"] == JUSTIFIED
            reviews.judge(held, by=request.user, justified=justified, note=typed["note"], pause=typed["pause"])
            messages.success(request, _("Kept with your note."))
    except IllegalTransition:
        messages.warning(request, _("This changed while you were looking at it. Here is how it stands now."))
        return redirect("review", held.pk)
    return redirect("reviews")


@require_POST
def open_record(request: Request, pk: UUID) -> HttpResponse:
    """Read, for a while, the record as far as the emergency access opened it."""
    held = find(request, pk)
    if not has_accepted_terms(request.user):
        messages.info(request, _("Accept the terms of use first, then open the record from the review again."))
        return redirect("terms")
    reviews.open_for_review(held, by=request.user)
    return redirect("records:summary", held.patient_id)


@require_POST
def lift_pause(request: Request, pk: UUID) -> HttpResponse:
    if reviews.lift_pause(find(request, pk), by=request.user):
        messages.success(request, _("They can go on. They have to sign in again."))
    return redirect("review", pk)


def find(request: Request, pk: UUID) -> EmergencyAccess:
    try:
        return reviews.of_reviewer(pk, by=request.user)
    except EmergencyAccess.DoesNotExist:
        raise Refused(audit.Entry(audit.Type.REFUSED, by=request.user, object_id=request.path)) from None
