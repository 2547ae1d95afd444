"""Emergency access: the page that says what it is, begins it after a fresh proof, ends it, and takes an explanation.

Asked for from the pages of looking up a patient, by a POST with what was typed there; from then on only our own id of
the row is in an address.
"""

from __future__ import annotations

from typing import NoReturn
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from clinicportal import audit
from clinicportal.middleware import Refused
from clinicportal.proofs import Unproved
from clinicportal.requests import Request
from clinicportal.rules import IllegalTransition
from clinicportal.texts import span
from records import emergencies, policies
from records.ids import uuid_of
from records.lookup_views import LookUpForm, OneLine
from records.models import EmergencyAccess
from records.models.emergencies import LASTS, MOST_UNREVIEWED, REASON_AT_LEAST

Status = EmergencyAccess.Status


class ReasonForm(forms.Form):
    reason = OneLine(
        label=gettext_lazy("What is the emergency, and what do you need to know?"),
        help_text=gettext_lazy("A sentence or two. A reviewer of ours reads it. Do not name the patient."),
        max_length=emergencies.LONGEST,
        min_length=REASON_AT_LEAST,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
        error_messages={
            "required": gettext_lazy("Say what the emergency is and what you need to know"),
            "min_length": gettext_lazy("Say in a sentence what the emergency is and what you need to know"),
            "max_length": gettext_lazy("Say it in at most 2000 letters"),
        },
    )

    def clean_reason(self) -> str:
        reason: str = self.cleaned_data["reason"]
        if len(set(reason.lower().split())) < 3:
            raise forms.ValidationError(self.fields["reason"].error_messages["min_length"], "min_length")
        return reason


class AnswerForm(forms.Form):
    answer = OneLine(
        label=gettext_lazy("Your answer"),
        help_text=gettext_lazy("Do not name the patient."),
        max_length=emergencies.LONGEST,
        widget=forms.Textarea(attrs={"rows": 4}),
        error_messages={
            "required": gettext_lazy("Answer our reviewer's question"),
            "max_length": gettext_lazy("Say it in at most 2000 letters"),
        },
    )


@require_POST
def ask(request: Request) -> HttpResponse:
    """Pressed on a page of looking up: with what was typed, or with a search that found somebody."""
    policies.check_can_use_emergency_access(request.user)
    if search := uuid_of(request.POST.get("search", "")):
        asked = emergencies.ask_for_found(search, by=request.user)
        return redirect("emergency", asked.pk) if asked else redirect("look-up")
    form = LookUpForm(request.POST, user=request.user)
    form.fields["reason"].required = False  # this page asks for a reason of its own
    if not form.is_valid() and form.errors.keys() - {"reason"}:
        messages.warning(request, _("Fill in the search first, then press Emergency access again."))
        return redirect("look-up")
    asked = emergencies.ask(form.asked(), by=request.user)
    return redirect("emergency", asked.pk)


@require_http_methods(["GET", "HEAD", "POST"])
def emergency(request: Request, pk: UUID) -> HttpResponse:
    """One emergency access of the guest: before it begins the page that begins it, later how it stands."""
    held = find(request, pk)
    if held.status != Status.ASKED:
        return told(request, held)
    policies.check_can_use_emergency_access(request.user)
    policies.check_has_reviews_left(request.user)
    form = ReasonForm(request.POST if request.method == "POST" else None, initial={"reason": held.reason})
    if form.is_valid():
        emergencies.give_reason(held, form.cleaned_data["reason"], by=request.user)
        return begin(request, pk)
    left = MOST_UNREVIEWED - EmergencyAccess.objects.unreviewed().filter(guest=request.user).count()
    context = {"form": form, "until": timezone.now() + LASTS, "lasts": span(LASTS), "left": left}
    return render(request, "records/emergency.jinja", context, status=422 if form.is_bound else 200)


def begin(request: Request, pk: UUID, *, weaker: bool = False) -> HttpResponse:
    """Begin it and open the record. Without a fresh proof the person confirms first, and comes back here."""
    try:
        begun = emergencies.begin(pk, by=request.user, weaker=weaker)
    except EmergencyAccess.DoesNotExist:
        refuse(request, pk)
    except Unproved as unproved:
        unproved.page, unproved.about = reverse("emergency", args=[pk]), str(pk)
        raise
    if begun.status == Status.NOBODY:
        messages.warning(
            request, _("Nobody has all that you typed, so nothing was opened. Check it and look them up again.")
        )
        return redirect("look-up")
    return redirect("records:summary", begun.patient_id)


def told(request: Request, held: EmergencyAccess) -> HttpResponse:
    """How it stands, with the reviewer's question if there is one."""
    form = None
    if held.status == Status.QUESTIONED:
        form = AnswerForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                emergencies.explain(held, form.cleaned_data["answer"], by=request.user)
            except IllegalTransition:
                messages.info(request, _("The review was closed while you wrote."))
            else:
                messages.success(request, _("Sent to our reviewer."))
            return redirect("emergency", held.pk)
    running = emergencies.under_way(by=request.user).filter(pk=held.pk).exists()
    context = {"held": held, "form": form, "running": running}
    return render(request, "records/emergency_told.jinja", context, status=422 if form and form.is_bound else 200)


@require_POST
def end(request: Request, pk: UUID) -> HttpResponse:
    find(request, pk)
    if emergencies.end(pk, by=request.user):
        messages.success(request, _("The emergency access has ended. A reviewer will look at it."))
    return redirect("records:patients")


def find(request: Request, pk: UUID) -> EmergencyAccess:
    """One of the person's own, for whichever organisation; anybody else's is a 404."""
    found = EmergencyAccess.objects.select_related("organisation").filter(pk=pk, guest=request.user).first()
    if found is None:
        refuse(request, pk)
    return found


def refuse(request: Request, pk: UUID) -> NoReturn:
    raise Refused(audit.Entry(audit.Type.REFUSED, by=request.user, object_id=str(pk)))
