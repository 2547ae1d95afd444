"""The list of patients and the pages of one record. What is read and shown is in records/chart.py."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from clinicportal.models import User
from records import chart, search


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
        return render(request, "records/patients.jinja", {"page": chart.found_page(text, by=request.user)})
    page = chart.patients_page(by=request.user, caseload=row_id(request, "caseload"), after=row_id(request, "after"))
    return render(request, "records/patients.jinja", {"page": page})


@require_safe
def summary(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/summary.jinja", {"page": chart.summary(pk, by=request.user)})


@require_safe
def results(request: SignedIn, pk: UUID) -> HttpResponse:
    asked = chart.Asked(
        group=request.GET.get("group", ""),
        period=request.GET.get("from", ""),
        only_flagged="flagged" in request.GET,
        before=row_id(request, "before"),
        trend=row_id(request, "trend"),
        trend_period=request.GET.get("over", "1y"),
    )
    return render(request, "records/chart/results.jinja", {"page": chart.results_page(pk, asked, by=request.user)})


@require_safe
def medicines(request: SignedIn, pk: UUID) -> HttpResponse:
    page = chart.medicines_page(pk, by=request.user, past="past" in request.GET)
    return render(request, "records/chart/medicines.jinja", {"page": page})


@require_safe
def problems(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/problems.jinja", {"page": chart.problems_page(pk, by=request.user)})


@require_safe
def allergies(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/allergies.jinja", {"page": chart.allergies_page(pk, by=request.user)})


@require_safe
def section(request: SignedIn, pk: UUID, here: str) -> HttpResponse:
    """A section that is a plain list: immunisations, procedures, encounters, documents."""
    page = chart.list_page(pk, here, by=request.user, before=row_id(request, "before"))
    return render(request, f"records/chart/{here}.jinja", {"page": page})


@require_safe
def document(request: SignedIn, pk: UUID, document: UUID) -> HttpResponse:
    page = chart.document_page(pk, document, by=request.user)
    return render(request, "records/chart/document.jinja", {"page": page})


@require_safe
def timeline(request: SignedIn, pk: UUID) -> HttpResponse:
    page = chart.timeline_page(pk, by=request.user, before=row_id(request, "before"))
    return render(request, "records/chart/timeline.jinja", {"page": page})


@require_safe
def access(request: SignedIn, pk: UUID) -> HttpResponse:
    return render(request, "records/chart/access.jinja", {"page": chart.access_page(pk, by=request.user)})
