"""The list of patients and the pages of one record. What is read and shown is in records/chart.py."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from clinicportal.models import User
from records import search
from records.chart import access as access_pages
from records.chart import care as care_pages
from records.chart import documents, lists
from records.chart import medicines as medicine_pages
from records.chart import patients as patient_lists
from records.chart import results as result_pages
from records.chart import summary as summaries
from records.chart import timeline as timelines


class SignedIn(HttpRequest):
    """A request as views see it: the middleware turned everyone else away."""

    user: User


def row_id(request: SignedIn, name: str) -> UUID | None:
    """One of our ids from the address, None for anything else: an address that was cut leads to the first page."""
    try:
        return UUID(request.GET.get(name, ""))
    except ValueError:
        return None


@require_http_methods(["GET", "HEAD", "POST"])
def patients(request: SignedIn) -> HttpResponse:
    """My patients. What is searched for is posted: names and numbers do not belong into addresses."""
    text = request.POST.get("find", "").strip()[: search.LONGEST]
    if text:
        return render(request, "records/patients.jinja", {"page": patient_lists.found_page(text, by=request.user)})
    page = patient_lists.list_page(
        by=request.user, caseload=row_id(request, "caseload"), after=row_id(request, "after")
    )
    return render(request, "records/patients.jinja", {"page": page})


@require_safe
def summary(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/summary.jinja", {"page": summaries.page(pk, by=request.user)})


@require_safe
def results(request: SignedIn, pk: UUID, here: str = "results") -> HttpResponse:
    """Results, or vitals, which are laid out alike."""
    asked = result_pages.Asked(
        group=request.GET.get("group", ""),
        period=request.GET.get("from", ""),
        only_flagged="flagged" in request.GET,
        before=row_id(request, "before"),
        trend=row_id(request, "trend"),
        trend_period=request.GET.get("over", "1y"),
    )
    return render(
        request, "records/chart/results.jinja", {"page": result_pages.page(pk, asked, here=here, by=request.user)}
    )


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
def care(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/care.jinja", {"page": care_pages.page(pk, by=request.user)})


@require_safe
def document(request: SignedIn, pk: UUID, document: UUID) -> HttpResponse:
    page = documents.page(pk, document, by=request.user)
    return render(request, "records/chart/document.jinja", {"page": page})


@require_safe
def timeline(request: SignedIn, pk: UUID) -> HttpResponse:
    page = timelines.page(pk, by=request.user, before=row_id(request, "before"))
    return render(request, "records/chart/timeline.jinja", {"page": page})


@require_safe
def access(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/access.jinja", {"page": access_pages.page(pk, by=request.user)})
