"""Look up a patient: the search, "is this the person?", and the privacy officers' list of what was looked up."""

from __future__ import annotations

import re
import uuid
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from clinicportal import audit
from clinicportal.middleware import Refused
from clinicportal.models import StaffRole, User
from clinicportal.rules import permits
from clinicportal.texts import span
from records import lookup, policies, reviews, search
from records.display.words import clean
from records.ids import uuid_of
from records.models import EmergencyAccess, Facility, LookUp
from records.views import SignedIn

KEEPS_SHOWING = timedelta(days=30)
"""An emergency access that was not justified, among the alerts."""
RECORD, NATIONAL = "record", "national"
EARLIEST = date(1850, 1, 1)
_A_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class OneLine(forms.CharField):
    """Text of a person as one line, without what could hide or reorder it: null characters, direction marks."""

    def to_python(self, value: Any) -> str:
        # Not cut here: what is too long is refused, never searched for in part.
        text = super().to_python(value) or ""
        return clean(text) if len(text) <= (self.max_length or 0) else text


class LookUpForm(forms.Form):
    """After `is_valid()`, `asked()` is what to search for."""

    name = OneLine(
        label=gettext_lazy("Name"),
        help_text=gettext_lazy("First name and family name, as in their papers. Each word has to be right."),
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={
            "required": gettext_lazy("Enter the patient's first name and family name"),
            "max_length": gettext_lazy("Enter only the name, with at most 200 letters"),
        },
    )
    born = OneLine(
        label=gettext_lazy("Birth date"),
        help_text=gettext_lazy("For example, 14 July 1945 or 14/07/1945"),
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "nhsuk-input--width-10"}),
        error_messages={
            "required": gettext_lazy("Enter the patient's birth date"),
            "max_length": gettext_lazy("Enter one day, for example 14 July 1945"),
        },
    )
    facility = forms.ChoiceField(
        label=gettext_lazy("Where are they a patient?"),
        error_messages={
            "required": gettext_lazy("Choose the site where they are a patient"),
            "invalid_choice": gettext_lazy("Choose a site from the list"),
        },
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Which number do you have?"),
        choices=[
            (RECORD, gettext_lazy("The record number of that site")),
            (NATIONAL, gettext_lazy("The national number, such as the NHS number")),
        ],
        widget=forms.RadioSelect,
        error_messages={
            "required": gettext_lazy("Choose which number you have"),
            "invalid_choice": gettext_lazy("Choose which number you have"),
        },
    )
    number = OneLine(
        label=gettext_lazy("Number"),
        help_text=gettext_lazy("All of it. Spaces and dashes do not matter."),
        max_length=80,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "nhsuk-input--width-20"}),
        error_messages={
            "required": gettext_lazy("Enter the number"),
            "max_length": gettext_lazy("Enter only the number, with at most 80 letters and digits"),
        },
    )
    reason = OneLine(
        label=gettext_lazy("Why do you need this record?"),
        help_text=gettext_lazy("One sentence. Our privacy officers read it. Do not name the patient."),
        max_length=lookup.LONGEST_REASON,
        min_length=10,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={
            "required": gettext_lazy("Say why you need this record"),
            "min_length": gettext_lazy("Say in a sentence why you need this record"),
            "max_length": gettext_lazy("Say it in at most 500 letters"),
        },
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        agreed = policies.rights_to_look_up(user).values("organisation__agreements__facilities")
        self.sites = {str(pk): name for pk, name in Facility.objects.filter(pk__in=agreed).values_list("pk", "name")}
        chosen: Any = self.fields["facility"]
        chosen.choices = [*([("", _("Choose a site"))] if len(self.sites) > 1 else []), *self.sites.items()]
        if not settings.NATIONAL_SYSTEMS:
            self.fields["kind"].widget = forms.HiddenInput()
            self.fields["kind"].initial = RECORD

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not lookup.names_of(name):
            raise forms.ValidationError(_("Enter the patient's first name and family name"))
        return name

    def clean_born(self) -> date:
        terms = search.terms(self.cleaned_data["born"])
        if len(terms) != 1 or not _A_DAY.fullmatch(terms[0]):
            raise forms.ValidationError(_("Enter a day that exists, with month and year, for example 14 July 1945"))
        day = date.fromisoformat(terms[0])
        if not EARLIEST <= day <= timezone.localdate():
            raise forms.ValidationError(_("Check the year of the birth date"))
        return day

    def clean_number(self) -> str:
        number: str = self.cleaned_data["number"]
        if not lookup.number_of(number):
            raise forms.ValidationError(_("Enter the number"))
        return number

    def asked(self) -> lookup.Asked:
        typed = self.cleaned_data
        return lookup.Asked(
            lookup.names_of(typed["name"]),
            typed["born"].isoformat(),
            lookup.number_of(typed["number"]),
            UUID(typed["facility"]),
            national=typed["kind"] == NATIONAL,
        )


@require_http_methods(["GET", "HEAD", "POST"])
def look_up(request: SignedIn) -> HttpResponse:
    """The form, posted to itself: names and numbers do not belong into addresses.

    Whoever is found is shown in the answer to that POST, with what was typed and no more; the form sent again is the
    same search (records/lookup.py). Nobody, several, and whoever must not be found: one page.
    """
    form = LookUpForm(request.POST if request.method == "POST" else None, user=request.user)
    if not form.sites:
        policies.check_can_look_up(request.user)
    attempt = uuid_of(request.POST.get("attempt", "")) or uuid.uuid4()
    context: dict[str, Any] = {"form": form, "attempt": attempt, "nobody": False, "lasts": span(lookup.LASTS)}
    if not form.is_valid():
        return render(request, "records/look_up.jinja", context, status=422 if form.is_bound else 200)
    try:
        made = lookup.find(form.asked(), by=request.user, reason=form.cleaned_data["reason"], attempt=attempt)
    except lookup.Capped as capped:
        return full(request, capped, form)
    context["emergencies"] = permits(policies.check_can_use_emergency_access, request.user)
    if made.patient_id is None:
        return render(request, "records/look_up.jinja", {**context, "nobody": True, "attempt": uuid.uuid4()})
    until = min(timezone.now() + lookup.LASTS, made.right.ends_at) if made.right else None
    found = {
        "emergencies": context["emergencies"],
        "search": made,
        "typed": form.cleaned_data,
        "site": form.sites[form.cleaned_data["facility"]],
        "national": NATIONAL,
        "until": until,
    }
    return render(request, "records/looked_up.jinja", found)


def full(request: SignedIn, capped: lookup.Capped, form: LookUpForm) -> HttpResponse:
    """The day's searches are used up. Written down: somebody who reads names off a list comes here, too."""
    audit.record_refusal(audit.Entry(audit.Type.LOOK_UP_CAPPED, by=request.user))
    emergencies = permits(policies.check_can_use_emergency_access, request.user)
    window = span(lookup.A_DAY)
    context = {"until": capped.until, "window": window, "form": form, "emergencies": emergencies}
    return render(request, "records/look_up_full.jinja", context, status=429)


@require_http_methods(["GET", "HEAD", "POST"])
def opened(request: SignedIn, pk: UUID) -> HttpResponse:
    """ "Yes, open the record". Whoever comes here by an address finds the form."""
    if request.method != "POST":
        return redirect("look-up")
    try:
        patient = lookup.open_found(pk, by=request.user)
    except LookUp.DoesNotExist:
        raise Refused(audit.Entry(audit.Type.RECORD_REFUSED, by=request.user, object_id=str(pk))) from None
    except lookup.Over:
        messages.warning(request, _("That was too long ago, or the access behind it has changed. Look them up again."))
        return redirect("look-up")
    return redirect("records:summary", patient)


# ---------------------------------------------------------------- what privacy officers and reviewers are told


class NoteForm(forms.Form):
    note = OneLine(
        label=gettext_lazy("What did you find?"),
        help_text=gettext_lazy("One sentence: why it was right, or what you did about it. Do not name the patient."),
        max_length=lookup.LONGEST_NOTE,
        error_messages={
            "required": gettext_lazy("Say what you found, or what you did about it"),
            "max_length": gettext_lazy("Say it in at most 500 letters"),
        },
    )


@require_safe
def alerts(request: SignedIn) -> HttpResponse:
    """Each search outside of a caseload, those that nobody has looked at first. Reading them is written down."""
    policies.check_can_review_look_ups(request.user)
    waiting = list(lookup.waiting()[: lookup.PAGE])
    held = LookUp.objects.select_related("by", "organisation", "reviewed_by", "grant")
    seen = list(held.filter(reviewed_at__isnull=False).order_by(F("reviewed_at").desc())[:50])
    told([*waiting, *seen], by=request.user)
    recent = Q(status__in=EmergencyAccess.UNREVIEWED) | Q(
        status=EmergencyAccess.Status.NOT_JUSTIFIED, reviewed_at__gt=Now() - KEEPS_SHOWING
    )
    urgent = EmergencyAccess.objects.filter(recent).select_related("guest", "organisation", "reviewed_by")
    counts = {"open": LookUp.objects.unseen().count(), "page": lookup.PAGE}
    context = {"waiting": waiting, "seen": seen, "counts": counts, "emergencies": urgent.order_by("-started_at")[:100]}
    return render(request, "records/alerts.jinja", context)


@transaction.atomic
def told(look_ups: list[LookUp], *, by: User) -> list[LookUp]:
    """The same, and that they were read is written down."""
    subjects = {audit.Subject(one.patient_id) for one in look_ups if one.patient_id}
    if look_ups:
        audit.record(audit.Type.AUDIT_READ, by=by, subjects=subjects, detail={"look_ups": len(look_ups)})
    return look_ups


@require_http_methods(["GET", "HEAD", "POST"])
def review(request: SignedIn, pk: UUID) -> HttpResponse:
    """One search: who, why, what came of it, and what was read by it."""
    policies.check_can_review_look_ups(request.user)
    alert = get_object_or_404(lookup.waiting(), pk=pk)
    policies.check_can_review_look_up(request.user, alert)
    back = "alerts" if request.user.has_role(StaffRole.PRIVACY) else "reviews"
    form = NoteForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        if lookup.review(alert, by=request.user, note=form.cleaned_data["note"]):
            messages.success(request, _("Kept with your note."))
        else:
            messages.warning(request, _("A colleague was quicker. Their note is in the list."))
        return redirect(back)
    context = {"alert": alert, "form": form, "back_to": back, "seen": reviews.what_was_read(alert, by=request.user)}
    return render(request, "records/review_alert.jinja", context, status=422 if form.is_bound else 200)
