"""The page on which our staff ask why somebody can, or can't, see a patient."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from clinicportal import audit
from clinicportal.doorbell import ring
from clinicportal.models import User
from clinicportal.requests import Request
from clinicportal.sessions import BACKGROUND
from records import policies, tasks, why_words
from records.models import Question
from records.patient_forms import NamedPatientForm, id_field

LOOK_AGAIN_SECONDS = 1


class QuestionForm(NamedPatientForm):
    guest = forms.CharField(
        label=gettext_lazy("Who"),
        max_length=254,
        help_text=gettext_lazy("The work email address of their account, or its object id in the directory."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": gettext_lazy("Enter whose access you ask about")},
    )
    entry = id_field(
        gettext_lazy("One entry of the record"),
        gettext_lazy("Only to ask about a single document: its id, as it stands in its address."),
    )
    field_order: Sequence[str] = ("guest", "patient", "facility", "number", "born", "entry")

    def clean_guest(self) -> User:
        typed = self.cleaned_data["guest"].strip()
        found = list(accounts(typed)[:2])
        if not found:
            raise forms.ValidationError(_("Nobody here has this address or id. Check it against their request"))
        if len(found) > 1:
            raise forms.ValidationError(_("Several accounts have this address: enter the object id of one of them"))
        return found[0]


def accounts(typed: str) -> Any:
    try:
        return User.objects.filter(object_id=UUID(typed))
    except ValueError:
        return User.objects.filter(email__iexact=typed)


@require_http_methods(["GET", "HEAD", "POST"])
def ask(request: Request) -> HttpResponse:
    """Take a question; it is posted, since whom it is about does not belong into an address."""
    policies.check_can_ask_why(request.user)
    form = QuestionForm(request.POST or None)
    if form.is_valid():
        cleaned = form.cleaned_data
        return redirect(
            "why-answer", put(cleaned["guest"], cleaned["patient_id"], cleaned["entry"], by=request.user).pk
        )
    return render(request, "records/why.jinja", {"form": form}, status=422 if form.is_bound else 200)


@transaction.atomic
def put(guest: User, patient_id: UUID, entry_id: UUID | None, *, by: User) -> Question:
    policies.check_can_ask_why(by)
    question = Question.objects.create(asked_by=by, guest=guest, patient_id=patient_id, entry_id=entry_id)
    subjects, detail = [audit.Subject(patient_id)], {"guest": str(guest.pk)}
    audit.record(audit.Type.WHY_ASKED, question, by=by, subjects=subjects, detail=detail)
    transaction.on_commit(partial(ring, tasks.answer_questions))
    return question


@require_safe
def answer(request: Request, pk: UUID) -> HttpResponse:
    """The answer, for whoever asked; while there is none the page asks again by itself."""
    policies.check_can_ask_why(request.user)
    question = get_object_or_404(Question.objects.select_related("guest"), pk=pk, asked_by=request.user)
    context = {
        "question": question,
        "found": bool(question.answer and question.answer["found"]),
        "readings": why_words.readings(question.answer) if question.answer else [],
        "look_again": 0 if question.answered_at else LOOK_AGAIN_SECONDS,
        "background": BACKGROUND,
    }
    part = "_why_answer" if "HX-Request" in request.headers else "why_answer"
    return render(request, f"records/{part}.jinja", context)
