"""The privacy officer's pages: what is in the audit trail. Reading it is audited, too."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django import forms
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from clinicportal import audit
from clinicportal.models import AuditEvent, AuditSubject, StaffRole, User
from clinicportal.requests import Request
from clinicportal.rules import Denied

PAGE = 100


class Filter(forms.Form):
    person = forms.CharField(label=gettext_lazy("Name of the person"), required=False, max_length=200)
    patient = forms.UUIDField(
        label=gettext_lazy("Patient id"),
        required=False,
        help_text=gettext_lazy("The id in the address of the patient's record."),
        error_messages={"invalid": gettext_lazy("Enter the id as it stands in the address, for example 0b1c…")},
    )


@dataclass(frozen=True)
class Line:
    """An event and the patients it concerns, as the page shows them."""

    event: AuditEvent
    what: str
    patients: tuple[UUID, ...]


def check_can_read_the_trail(user: User) -> None:
    if not user.has_role(StaffRole.PRIVACY):
        raise Denied(_("Only a privacy officer can read the audit trail"))


@require_http_methods(["GET", "HEAD", "POST"])
def trail(request: Request) -> HttpResponse:
    """The newest events. A filter is posted: names and patient ids do not belong into addresses."""
    check_can_read_the_trail(request.user)
    form = Filter(request.POST or None)
    person, patient = ("", None)
    if form.is_valid():
        person, patient = form.cleaned_data["person"], form.cleaned_data["patient"]
    lines = read(person=person, patient=patient)
    subjects = [audit.Subject(patient)] if patient else []
    with transaction.atomic():
        audit.record(audit.Type.AUDIT_READ, by=request.user, subjects=subjects, detail={"shown": len(lines)})
    return render(request, "clinicportal/privacy.jinja", {"form": form, "lines": lines, "page": PAGE})


def read(*, person: str = "", patient: UUID | None = None, before: datetime | None = None) -> list[Line]:
    """At most PAGE events, newest first, of a person (part of the name) and about a patient."""
    events = audit.trail()
    if person:
        events = events.filter(user_name__icontains=person)
    if patient:
        concerned = AuditSubject.objects.using("auditor").filter(patient_id=patient).order_by("-recorded")
        events = events.filter(id__in=[subject.event_id for subject in concerned[: 10 * PAGE]])
    if before:
        events = events.filter(recorded__lt=before)
    found = list(events[:PAGE])
    patients: dict[UUID, list[UUID]] = defaultdict(list)
    if found:
        subjects = AuditSubject.objects.using("auditor").filter(
            recorded__range=(found[-1].recorded, found[0].recorded), event_id__in=[event.id for event in found]
        )
        for subject in subjects:
            patients[subject.event_id].append(subject.patient_id)
    return [Line(event, audit.in_words(event.type), tuple(patients[event.id])) for event in found]
