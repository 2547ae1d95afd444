"""The list of patients and the pages of one record. What is read and shown is in records/chart/."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from csp.decorators import csp_exempt, csp_update
from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clinicportal import audit
from clinicportal.addresses import number_of
from clinicportal.models import User
from clinicportal.proofs import Unproved
from clinicportal.viewing import viewing
from records import filters, policies, reports, search
from records.chart import access as access_pages
from records.chart import care as care_pages
from records.chart import documents, lists, trends
from records.chart import every_test as test_pages
from records.chart import frame as frames
from records.chart import further as further_pages
from records.chart import medicines as medicine_pages
from records.chart import patients as patient_lists
from records.chart import results as result_pages
from records.chart import summary as summaries
from records.chart import timeline as timelines
from records.chart.frame import MENU
from records.ids import uuid_of
from records.models import Patient, RecordReport, SavedFilter


class SignedIn(HttpRequest):
    """A request as views see it: the middleware turned everyone else away."""

    user: User


def row_id(request: SignedIn, name: str) -> UUID | None:
    """One of our ids from the address, None for anything else: an address that was cut leads to the first page."""
    return uuid_of(request.GET.get(name, ""))


def several_ids(request: SignedIn, name: str, most: int) -> tuple[UUID, ...]:
    """The first `most` of our ids under one name in the address, each once."""
    given = filter(None, map(uuid_of, request.GET.getlist(name)))
    return tuple(dict.fromkeys(given))[:most]


def moment_of(text: str) -> datetime | None:
    """An aware time from the address, None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # In the first and the last year a zone may lead out of what there is.
    return moment if moment.tzinfo and 1 < moment.year < 9999 else None


@require_http_methods(["GET", "HEAD", "POST"])
def patients(request: SignedIn) -> HttpResponse:
    """My patients. What is searched for is posted: names and numbers do not belong into addresses."""
    text = request.POST.get("find", "").strip()[: search.LONGEST]
    if text:
        return render(request, "records/patients.jinja", {"page": patient_lists.found_page(text, by=request.user)})
    asked, after = filters.filter_of(request.GET), row_id(request, "after")
    page = patient_lists.list_page(by=request.user, asked=asked, after=after)
    choices = {
        "shows": SavedFilter.Show.choices,
        "ages": SavedFilter.Age.choices,
        "genders": [("", _("Any gender")), *Patient.Gender.choices],
    }
    return render(request, "records/patients.jinja", {"page": page, **choices})


@require_safe
def summary(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/summary.jinja", {"page": summaries.page(pk, by=request.user)})


@require_safe
def printed(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/print.jinja", {"page": summaries.page(pk, by=request.user, printed=True)})


@require_POST
def taken(request: SignedIn, pk: UUID) -> HttpResponse:
    """The summary as a FHIR document. Posted: taking something away is an act, and no link or prefetch may do it."""
    try:
        taken = summaries.take(pk, by=request.user)
    except Unproved as unproved:
        unproved.page = reverse("records:print", args=[pk])
        raise
    answer = HttpResponse(taken, content_type="application/fhir+json; charset=utf-8")
    answer.headers["Content-Disposition"] = 'attachment; filename="summary.json"'
    return answer


# A file of a source runs nothing, wherever it is opened: not as a page of ours, not in a frame, not as another type.
# Only a page of the record may frame it; the browser's own viewer shows a PDF under this policy.
FILE_POLICY = "sandbox; default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"


@csp_exempt()  # type: ignore[arg-type]
@xframe_options_sameorigin
@require_safe
def file(request: SignedIn, pk: UUID, document: UUID, place: int, here: str = "documents") -> HttpResponse:
    """A picture or a PDF of a document, to be seen in its page; with `take` to be kept, which is another event."""
    take = "take" in request.GET
    held = documents.file(pk, document, place, by=request.user, here=here, take=take)
    answer = HttpResponse(held.content, content_type=held.type)
    answer.headers["Content-Security-Policy"] = FILE_POLICY
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    disposition = "attachment" if take else "inline"
    answer.headers["Content-Disposition"] = f'{disposition}; filename="document.{held.ending}"'
    return answer


class ReportForm(forms.Form):
    kind = forms.ChoiceField(
        label=gettext_lazy("What is wrong?"),
        choices=RecordReport.Kind.choices,
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose what is wrong")},
    )
    text = forms.CharField(
        label=gettext_lazy("Say what you see and what you expected"),
        max_length=reports.LONGEST,
        widget=forms.Textarea(attrs={"rows": 5}),
        error_messages={"required": gettext_lazy("Say what is wrong, so that we can find it")},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def report(request: SignedIn, pk: UUID) -> HttpResponse:
    """Something is wrong with this record."""
    form = ReportForm(request.POST or None)
    section = request.GET.get("page", "")
    section = section if section in {name for name, _title, _sections in MENU} else "summary"
    if form.is_valid():
        with viewing(request.user):
            reports.file(pk, by=request.user, section=section, **form.cleaned_data)
        messages.success(request, _("Sent to our privacy officers. If it is urgent, call the help line as well."))
        return redirect("records:summary", pk)
    page = frames.page(pk, "report", by=request.user)
    context = {"page": page, "form": form, "about": section}
    return render(request, "records/chart/report.jinja", context, status=422 if form.is_bound else 200)


class OutcomeForm(forms.Form):
    outcome = forms.CharField(
        label=gettext_lazy("What was done"),
        max_length=reports.LONGEST,
        widget=forms.Textarea(attrs={"rows": 4}),
        error_messages={"required": gettext_lazy("Say what was done, or why nothing needed to be")},
    )


@require_safe
def report_queue(request: SignedIn) -> HttpResponse:
    """What readers reported, for privacy officers: open ones first, the oldest on top."""
    policies.check_can_judge_reports(request.user)
    held = RecordReport.objects.select_related("reported_by", "organisation", "closed_by")
    waiting = list(held.filter(closed_at=None).order_by("reported_at")[:200])
    closed = list(held.exclude(closed_at=None).order_by("-closed_at")[:50])
    with transaction.atomic():
        subjects = {audit.Subject(one.patient_id) for one in (*waiting, *closed)}
        audit.record(audit.Type.AUDIT_READ, by=request.user, subjects=subjects, detail={"reports": len(waiting)})
    return render(request, "records/reports.jinja", {"waiting": waiting, "closed": closed})


@require_http_methods(["GET", "HEAD", "POST"])
def close_report(request: SignedIn, pk: UUID) -> HttpResponse:
    policies.check_can_judge_reports(request.user)
    held = get_object_or_404(RecordReport.objects.select_related("reported_by", "organisation"), pk=pk, closed_at=None)
    form = OutcomeForm(request.POST or None)
    if form.is_valid():
        reports.close(held, by=request.user, outcome=form.cleaned_data["outcome"])
        messages.success(request, _("Closed. What was done is kept with it."))
        return redirect("reports")
    context = {"report": held, "form": form}
    return render(request, "records/close_report.jinja", context, status=422 if form.is_bound else 200)


@require_POST
def keep_filter(request: SignedIn) -> HttpResponse:
    """Keep the filter at hand under a name, or drop one."""
    if "drop" in request.POST:
        if (dropped := number_of(request.POST["drop"])) is not None:
            filters.drop(dropped, by=request.user)
        return redirect("records:patients")
    asked = filters.filter_of(request.POST)
    filters.keep(request.POST.get("name", ""), by=request.user, asked=asked)
    return redirect(f"{reverse('records:patients')}?{urlencode(asked.query)}")


@require_safe
def results(request: SignedIn, pk: UUID, here: str = "results") -> HttpResponse:
    """Results, or vitals, which are laid out alike."""
    asked = result_pages.Asked(
        group=row_id(request, "group"),
        test=row_id(request, "test"),
        period=request.GET.get("from", ""),
        only_flagged="flagged" in request.GET,
        before=row_id(request, "before"),
        trends=several_ids(request, "trend", trends.MOST),
        trend_period=request.GET.get("over", ""),
    )
    page = result_pages.page(pk, asked, here=here, by=request.user)
    part = "_results" if "HX-Request" in request.headers else "results"
    return render(request, f"records/chart/{part}.jinja", {"page": page})


@require_safe
def every_test(request: SignedIn, pk: UUID, here: str = "results") -> HttpResponse:
    """Every test of the record, to find one, or to draw some on one time axis."""
    page = test_pages.page(pk, here=here, by=request.user)
    return render(request, "records/chart/tests.jinja", {"page": page})


@require_safe
def medicines(request: SignedIn, pk: UUID) -> HttpResponse:
    page = medicine_pages.page(pk, by=request.user, past="past" in request.GET)
    return render(request, "records/chart/medicines.jinja", {"page": page})


@require_safe
def problems(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/problems.jinja", {"page": lists.problems_page(pk, by=request.user)})


@require_safe
def allergies(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/allergies.jinja", {"page": lists.allergies_page(pk, by=request.user)})


@require_safe
def section(request: SignedIn, pk: UUID, here: str) -> HttpResponse:
    """A section that is a plain list: immunisations, procedures, encounters, documents."""
    page = lists.list_page(pk, here, by=request.user, before=row_id(request, "before"))
    return render(request, f"records/chart/{here}.jinja", {"page": page})


@require_safe
def further(request: SignedIn, pk: UUID, name: str) -> HttpResponse:
    """All entries of a kind that stands beside a page's main list: appointments, devices, family history."""
    page = further_pages.page(pk, name, by=request.user, before=row_id(request, "before"))
    return render(request, "records/chart/further.jinja", {"page": page})


@require_safe
def entry(request: SignedIn, pk: UUID, here: str, entry: UUID) -> HttpResponse:
    page = further_pages.entry_page(pk, here, entry, by=request.user)
    return render(request, "records/chart/entry.jinja", {"page": page})


@require_safe
def care(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/care.jinja", {"page": care_pages.page(pk, by=request.user)})


@csp_update({"frame-src": ["'self'"]})  # type: ignore[arg-type]
@require_safe
def document(request: SignedIn, pk: UUID, document: UUID, here: str = "documents") -> HttpResponse:
    """A document, or a report among the results."""
    page = documents.page(pk, document, by=request.user, here=here)
    return render(request, "records/chart/document.jinja", {"page": page})


@require_safe
def timeline(request: SignedIn, pk: UUID) -> HttpResponse:
    page = timelines.page(pk, by=request.user, before=row_id(request, "before"))
    return render(request, "records/chart/timeline.jinja", {"page": page})


@require_safe
def access(request: SignedIn, pk: UUID) -> HttpResponse:
    page = access_pages.page(pk, by=request.user, before=moment_of(request.GET.get("before", "")))
    return render(request, "records/chart/access.jinja", {"page": page})
