"""Pages of a sponsor: their people, adding one, and where each request stands."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clinicportal.addresses import number_of
from clinicportal.requests import Request
from clinicportal.rules import Denied, IllegalTransition, permits
from clinicportal.sessions import BACKGROUND
from clinicportal.texts import span
from partners import access_requests, dates, decisions, failures, invitations, policies, progress, redemption, words
from partners.forms import AddressForm, AnswerForm, ColleagueForm, WithdrawForm, again
from partners.models import AccessRequest, Invitation, PartnerOrganisation, Reset
from partners.views.common import find, refuse, sponsors_only, too_late
from records import emergencies, lookup
from records.models import Agreement

PAGE = 50

EXPIRED, WRONG_ACCOUNT = Invitation.Status.EXPIRED, Invitation.Status.WRONG_ACCOUNT

get_or_post = require_http_methods(["GET", "HEAD", "POST"])


@require_safe
@sponsors_only
def people(request: Request, partner: PartnerOrganisation) -> HttpResponse:
    """Everybody whom the organisation has asked for and who may have access or get it."""
    live = listed(partner).live().order_by("last_name", "first_name", "pk")
    page = Paginator(live, PAGE).get_page(request.GET.get("page"))
    context = {
        "partner": partner,
        "page": page,
        "rows": [row(item) for item in page],
        "questions": listed(partner).filter(status=AccessRequest.Status.NEEDS_INFO),
        "may_ask": permits(policies.check_can_ask, request.user, partner),
    }
    return render(request, "partners/people.jinja", context)


@require_safe
@sponsors_only
def requests(request: Request, partner: PartnerOrganisation) -> HttpResponse:
    """All requests of the organisation, newest first, also those that ended."""
    page = Paginator(listed(partner).order_by("-asked_at", "-pk"), PAGE).get_page(request.GET.get("page"))
    context = {"partner": partner, "page": page, "rows": [row(item) for item in page]}
    return render(request, "partners/requests.jinja", context)


def listed(partner: PartnerOrganisation) -> Any:
    return progress.standing(AccessRequest.objects.filter(organisation=partner)).prefetch_related("caseloads")


def row(request: AccessRequest) -> dict[str, Any]:
    return {
        "request": request,
        "state": progress.state(request),
        "sections": words.sections(request.sections).capitalize(),
        "caseloads": words.listed(caseload.name for caseload in request.caseloads.all()),
        "until": dates.last_day(request.until),
    }


@get_or_post
@sponsors_only
def add(request: Request, partner: PartnerOrganisation) -> HttpResponse:
    """Add a colleague. A request by htmx asks for the effect of what is typed so far and for nothing else."""
    policies.check_can_ask(request.user, partner)
    agreement = Agreement.objects.in_force().filter(organisation=partner.pk).order_by("-ends_at").first()
    options: dict[str, Any] = {"user": request.user, "partner": partner, "agreement": agreement}
    if request.method != "POST":
        form = ColleagueForm(initial=earlier(request, partner), **options)
        return render(request, "partners/add.jinja", {"form": form, "partner": partner})
    form = ColleagueForm(corrected(request), **options)
    context = {"form": form, "partner": partner}
    if request.headers.get("HX-Request"):
        return render(request, "partners/_effect.jinja", context)
    asked = ask(request, partner, form) if form.is_valid() and not wants_correction(request) else None
    if asked:
        return redirect("partners:request", pk=asked.pk)
    return render(request, "partners/add.jinja", context)


def ask(request: Request, partner: PartnerOrganisation, form: ColleagueForm) -> AccessRequest | None:
    """Ask, or leave a sentence in the form."""
    data = dict(form.cleaned_data)
    for name in ("statement", "see"):
        data.pop(name)
    data["ends_at"] = dates.end_of(data.pop("until"))
    try:
        return access_requests.ask(partner, by=request.user, **data)
    except access_requests.AlreadyAsked as live:
        if live.request.status in (AccessRequest.Status.APPROVED, AccessRequest.Status.FULFILLED):
            sentence = _("%(name)s already has access. You find them under Your people.")
        else:
            sentence = _("%(name)s is already asked for. You find the request under Requests.")
        form.add_error("email", sentence % {"name": live.request.person_name})
    except Denied as reason:
        form.add_error(None, str(reason))
    return None


def corrected(request: Request) -> Any:
    """What was posted, with a suggestion taken over when its button was pressed."""
    data = request.POST.copy()
    for name in ("email", "until"):
        if suggestion := data.get(f"use-{name}"):
            data[name] = suggestion
    return data


def wants_correction(request: Request) -> bool:
    """A correction is shown first: the person pressed "Use …", not "Ask for access"."""
    return any(key.startswith("use-") for key in request.POST)


def earlier(request: Request, partner: PartnerOrganisation) -> dict[str, Any]:
    """What an earlier request of the organisation said, for asking once more."""
    number = number_of(request.GET.get("again", ""))
    found = AccessRequest.objects.filter(organisation=partner, pk=number).first() if number is not None else None
    return again(found) if found else {}


@require_safe
def status(request: Request, pk: int) -> HttpResponse:
    """Where one request stands. Approvers have their own page of it."""
    found = own(request, pk)
    if not request.headers.get("HX-Request"):
        return render(request, "partners/request.jinja", page_of(request, found))
    answer = render(request, "partners/_progress.jinja", {**live_progress(request, found), "live": True})
    if request.headers.get(SHOWN) not in (None, standing(found)):
        # There is something to do on the page now, or nothing any more: all of it has to be drawn anew.
        answer.headers["HX-Refresh"] = "true"
    return answer


SHOWN = "X-Shown"
"""What the sponsor's page was drawn for (`standing`), sent when it looks again."""


def standing(found: AccessRequest) -> str:
    """What decides which buttons and fields the page has."""
    if found.status == AccessRequest.Status.FULFILLED:
        return f"{found.status}-{found.invitation.status}-{progress.is_running(found)}"
    going_on = (AccessRequest.Status.IN_REVIEW, AccessRequest.Status.APPROVED)
    return "going-on" if found.status in going_on else found.status


def own(request: Request, pk: int) -> AccessRequest:
    """The request, for a sponsor of its organisation."""
    found = find(request, pk)
    if not permits(policies.check_can_answer_for, request.user, found):
        refuse(request)
    return found


def page_of(request: Request, found: AccessRequest, **more: Any) -> dict[str, Any]:
    caseloads = words.sized(found.caseloads.all())
    context = {
        "access": found,
        "caseloads": words.listed(caseload.name for caseload in caseloads),
        "counts": ", ".join(words.rounded(caseload.people) for caseload in caseloads),  # type: ignore[attr-defined]
        "sections": words.sections(found.sections).capitalize(),
        "looks_up": decisions.gave_look_up(found),
        "look_up_lasts": span(lookup.LASTS),
        "emergency_lasts": span(emergencies.LASTS),
        "emergencies": decisions.gave_emergency_access(found),
        "until": dates.last_day(found.until),
        "asked_until": dates.last_day(found.ends_at),
        "answer_form": AnswerForm() if found.status == AccessRequest.Status.NEEDS_INFO else None,
        "may_withdraw": AccessRequest.Status.WITHDRAWN in AccessRequest.TRANSITIONS[found.status],
        "may_ask_again": not AccessRequest.TRANSITIONS[found.status],
        "may_send_again": may_send_again(found),
        "waits_for_link": may_send_again(found) and found.invitation.status in (EXPIRED, WRONG_ACCOUNT),
        "ways_in": may_need_help(found),
        "not_opened": not_opened(found),
        **live_progress(request, found),
    }
    return {**context, **more}


def live_progress(request: Request, found: AccessRequest, *, for_staff: bool = False) -> dict[str, Any]:
    """What the part of the page needs that keeps itself up to date while the job is at work."""
    stages = progress.stages(found, for_staff=for_staff)
    return {
        "access": found,
        "stages": stages,
        "stage": progress.current(stages),
        "running": progress.is_running(found),
        "background": BACKGROUND,
        "look_again": progress.look_again_after(found) if progress.is_running(found) or not for_staff else 0,
        "shown": SHOWN,
        "standing": standing(found),
        "state": progress.state(found, for_staff=for_staff),
        "changed": words.moment(found.changed_at),
    }


def may_send_again(found: AccessRequest) -> bool:
    job = progress.job_of(found)
    if job is None or found.status != AccessRequest.Status.FULFILLED:
        return False
    return found.invitation.status in Invitation.UNREDEEMED and not progress.is_running(found)


@get_or_post
def answer(request: Request, pk: int) -> HttpResponse:
    found = own(request, pk)
    form = AnswerForm(request.POST or None)
    if not form.is_valid():
        return render(request, "partners/request.jinja", page_of(request, found, answer_form=form, form=form))
    try:
        access_requests.answer(found, by=request.user, text=form.cleaned_data["answer"])
    except IllegalTransition:
        too_late(request)
    return redirect("partners:request", pk=pk)


@get_or_post
def withdraw(request: Request, pk: int) -> HttpResponse:
    found = own(request, pk)
    form = WithdrawForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(request, "partners/withdraw.jinja", {"access": found, "form": form})
    try:
        access_requests.withdraw(found, by=request.user, reason=form.cleaned_data["reason"])
    except IllegalTransition:
        too_late(request)
    return redirect("partners:request", pk=pk)


@require_POST
def send_again(request: Request, pk: int) -> HttpResponse:
    """A new link to the same address."""
    found = own(request, pk)
    if progress.job_of(found) is None:
        refuse(request)
    try:
        redemption.new_link(found.invitation, by=request.user)
    except Denied as reason:
        return render(request, "partners/request.jinja", page_of(request, found, refusal=str(reason)), status=409)
    return redirect(reverse("partners:request", args=[pk]))


def may_need_help(found: AccessRequest) -> bool:
    """Whether there is a link or an account that somebody may have trouble with."""
    live = (AccessRequest.Status.APPROVED, AccessRequest.Status.FULFILLED)
    return found.status in live and progress.job_of(found) is not None and not progress.is_running(found)


def not_opened(found: AccessRequest) -> bool:
    """Whether the mail has been out for days and nobody opened it."""
    if not may_need_help(found):
        return False
    sent_at = found.invitation.sent_at
    return (
        found.invitation.status == Invitation.Status.SENT
        and sent_at is not None
        and sent_at < timezone.now() - invitations.NOT_OPENED_FOR
    )


@require_safe
def ways_in(request: Request, pk: int) -> HttpResponse:
    """What a sponsor can do for a colleague who cannot come in, or whose address or account changed."""
    found = own(request, pk)
    if not may_need_help(found):
        return nothing_to_do(request, found)
    return render(request, "partners/ways_in.jinja", ways_in_page(found))


def ways_in_page(found: AccessRequest, **more: Any) -> dict[str, Any]:
    context = {
        "access": found,
        "may_send_again": may_send_again(found),
        "sign_in_address": settings.BASE_URL + reverse("sign-in"),
        "mail_note": failures.note_about_mail(),
        "been_in": found.invitation.status == Invitation.Status.COMPLETED,
        "held": found.invitation.status == Invitation.Status.HELD,
    }
    return {**context, **more}


def nothing_to_do(request: Request, found: AccessRequest) -> HttpResponse:
    """The job is at work, perhaps since the first press of a button that was pressed twice, or it is over."""
    too_late(request)
    return redirect("partners:request", pk=found.pk)


@require_POST
def start_again(request: Request, pk: int) -> HttpResponse:
    """ "Let them start again": the account at work was replaced, or somebody else used the link."""
    found = own(request, pk)
    if not may_need_help(found):
        return nothing_to_do(request, found)
    try:
        redemption.start_anew(found.invitation, by=request.user, because=Reset.Because.NEW_ACCOUNT)
    except Denied as reason:
        return render(request, "partners/ways_in.jinja", ways_in_page(found, refusal=str(reason)), status=409)
    return redirect("partners:request", pk=pk)


@get_or_post
def address(request: Request, pk: int) -> HttpResponse:
    """A colleague has a new work address."""
    found = own(request, pk)
    if not may_need_help(found):
        return nothing_to_do(request, found)
    form = AddressForm(request.POST if request.method == "POST" else None, partner=found.organisation)
    if form.is_valid():
        try:
            redemption.start_anew(
                found.invitation,
                by=request.user,
                because=Reset.Because.NEW_ADDRESS,
                address=form.cleaned_data["email"],
            )
        except Denied as reason:
            form.add_error("email", str(reason))
        else:
            return redirect("partners:request", pk=pk)
    return render(request, "partners/address.jinja", {"access": found, "form": form})
