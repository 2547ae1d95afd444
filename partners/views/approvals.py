"""Pages of an approver: the queue, one decision, and the end of an access."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import messages
from django.db.models import Prefetch, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from clinicportal.requests import Request
from clinicportal.rules import Denied, IllegalTransition, permits
from clinicportal.texts import span
from partners import (
    checks,
    dates,
    decisions,
    directory,
    failures,
    policies,
    progress,
    provisioning,
    redemption,
    rights,
    stepup,
    turns,
    words,
    working_hours,
)
from partners.forms import ChangeRightsForm, DecisionForm, DeclineForm, EndForm, NotConfirmedForm, QuestionForm
from partners.models import AccessRequest, Decision, Gate, Reset
from partners.views.common import approvers_only, find, refuse, too_late
from partners.views.sponsors import get_or_post, live_progress, may_need_help
from records import emergencies, lookup
from records.models import Caseload, Suspension

Status = AccessRequest.Status
RUNNING = (Status.APPROVED, Status.FULFILLED)
JUST_SET_UP = dt.timedelta(days=1)
MOST = 200
"""Rows of a pile on one page; more would be read by nobody."""


@require_safe
@approvers_only
def queue(request: Request) -> HttpResponse:
    """Three piles: yours to decide, waiting for the partner, being set up. Oldest first."""
    everything = AccessRequest.objects.select_related("organisation__organisation", "sponsor__user")
    sized = Prefetch("caseloads", words.with_sizes(Caseload.objects.all()))
    undecided = list(oldest_first(everything.filter(status=Status.IN_REVIEW).prefetch_related(sized)))
    known, shut = checks.Known(undecided, by=request.user), turns.shut_gates()
    yours = [item for item in undecided if permits(known.deciding.check, item)]
    recent = Q(status=Status.FULFILLED, changed_at__gt=timezone.now() - JUST_SET_UP)
    begun = progress.standing(everything.filter(recent | Q(status=Status.APPROVED)))
    begun = begun.prefetch_related(progress.with_decisions(), "job__steps")
    context = {
        "yours": [to_decide(item, known) for item in yours],
        "passed_on": [why_not(known.deciding, item) for item in undecided if item not in yours],
        "waiting": [waiting(item) for item in oldest_first(everything.filter(status=Status.NEEDS_INFO))],
        "set_up": [being_set_up(item, shut) for item in oldest_first(begun)],
        "oldest": max((working_hours.between(item.changed_at, timezone.now()) for item in yours), default=None),
        "target": working_hours.TARGET,
        "now": words.clock(timezone.now()),
        "notices": turns.notices(shut),
    }
    return render(request, "partners/approvals.jinja", context)


def oldest_first(requests: Any) -> Any:
    return requests.order_by("changed_at")[:MOST]


def to_decide(item: AccessRequest, known: checks.Known) -> dict[str, Any]:
    caseloads = item.caseloads.all()
    return {
        "access": item,
        "asked": words.moment(item.asked_at),
        "sections": words.sections(item.sections).capitalize(),
        "patients": words.listed(f"{words.exact(c.people)}, {c.name}" for c in caseloads),  # type: ignore[attr-defined]
        "until": dates.last_day(item.ends_at),
        "concern": checks.first_concern(item, known),
        "left": working_hours.left(item.changed_at),
    }


def why_not(deciding: policies.Deciding, item: AccessRequest) -> str:
    """Why it has to be decided by a colleague, as a sentence; empty: it does not."""
    try:
        deciding.check(item)
    except Denied as reason:
        return str(reason)
    return ""


def waiting(item: AccessRequest) -> dict[str, Any]:
    return {"access": item, "since": words.moment(item.changed_at)}


def being_set_up(item: AccessRequest, shut: list[Gate]) -> dict[str, Any]:
    stages = progress.stages(item, for_staff=True, brief=True)
    active = next((stage for stage in stages if stage.get("state") in ("current", "stopped")), stages[-1])
    approved = next((decision for decision in item.decisions.all() if decision.kind == Decision.Kind.APPROVED), None)
    done = item.status == Status.FULFILLED and not progress.is_running(item)
    state = progress.state(item, for_staff=True)
    blocked = progress.blocked_by(item, shut)
    text = _("Mail sent: %(state)s") % {"state": state.text} if done else active["title"]
    return {
        "access": item,
        "by": approved.by.display_name if approved else "",
        "check": "look" if blocked or active.get("state") == "stopped" else "passed" if done else "doing",
        "text": _("%(step)s. Waits: %(why)s.") % {"step": text, "why": failures.waiting(blocked)} if blocked else text,
        "since": words.moment(item.changed_at),
    }


@require_safe
@approvers_only
def decision(request: Request, pk: int) -> HttpResponse:
    """One request: effect, checks, the request, and the decision or what became of it."""
    found = find(request, pk)
    if request.headers.get("HX-Request"):
        return render(request, "partners/_progress.jinja", live_progress(request, found, for_staff=True))
    more = typed_before(request, found)
    return render(request, "partners/decision.jinja", page_of(request, found, **more))


def typed_before(request: Request, found: AccessRequest) -> dict[str, Any]:
    """The form as it was when the approver went to confirm and could not, with the reason on top."""
    back = stepup.kept(request, "approve")
    if back is None or back[0]["pk"] != found.pk or found.status != Status.IN_REVIEW:
        return {}
    intention, why = back
    form = DecisionForm(intention["notes"], request=found)
    form.add_error(None, why)
    return {"form": form}


def page_of(request: Request, found: AccessRequest, **more: Any) -> dict[str, Any]:
    undecided = found.status in (Status.IN_REVIEW, Status.NEEDS_INFO)
    caseloads = words.sized(found.caseloads.all())
    known = checks.Known([found], by=request.user)
    context: dict[str, Any] = {
        "access": found,
        "asked": words.moment(found.asked_at),
        "state": progress.state(found, for_staff=True),
        "effect_title": effect_title(found),
        "left": working_hours.left(found.changed_at) if found.status == Status.IN_REVIEW else None,
        "target": working_hours.TARGET,
        "sections_not": words.sections_not(found.sections),
        "rights_not": rights_not(found),
        "looks_up": decisions.gave_look_up(found),
        "look_up_lasts": span(lookup.LASTS),
        "emergency_lasts": span(emergencies.LASTS),
        "emergencies": decisions.gave_emergency_access(found),
        "earlier": AccessRequest.objects.filter(address=found.address, organisation=found.organisation)
        .exclude(pk=found.pk)
        .order_by("-asked_at")[:5],
        "notes": found.decisions.exclude(note_for_colleagues="").select_related("by"),
        "checks": checks.checks(found, known) if undecided else [],
        "tie": why_not(known.deciding, found) if undecided else "",
        "form": DecisionForm(request=found) if found.status == Status.IN_REVIEW else None,
        "shorter": checks.shorter_end(found) if undecided else None,
        "may_end": found.status in RUNNING,
        "may_change_rights": found.status in RUNNING and may_change_rights(found),
        "reset": open_reset(found),
        "may_start_again": may_need_help(found),
        "drift": drift_of(found),
        "may_resume": progress.job_of(found) is not None and found.job.status == "needs_help",
        **live_progress(request, found, for_staff=True),
    }
    until = dates.last_day(granted_end(found) if undecided else found.until)
    context["effect"] = words.effect(found.person_name, found.sections, caseloads, until, to_sponsor=False)
    return {**context, **more}


def open_reset(found: AccessRequest) -> Reset | None:
    """The reset of this request that waits for one of us."""
    return found.resets.filter(status=Reset.Status.AWAITS_STAFF).select_related("asked_by").first()


def drift_of(found: AccessRequest) -> dict[str, Any] | None:
    """Why the directory paused the person, and whether the account is back."""
    paused = next((s for s in progress.suspensions(found) if s.reason == Suspension.Reason.DRIFT), None)
    if paused is None:
        return None
    guest = found.job.guest
    return {"text": failures.paused(paused.note).staff, "is_back": guest.in_directory == guest.InDirectory.PRESENT}


def effect_title(found: AccessRequest) -> str:
    if found.status in (Status.IN_REVIEW, Status.NEEDS_INFO):
        return _("If you approve")
    return _("What was given") if found.granted_until else _("What was asked for")


def granted_end(found: AccessRequest) -> dt.datetime:
    """The end that an approval would give, or as asked where there is no agreement to give by."""
    try:
        return decisions.end_if_approved(found)
    except Denied:
        return found.ends_at


def rights_not(found: AccessRequest) -> str:
    if decisions.gave_emergency_access(found):
        return _("export")
    if decisions.gave_look_up(found):
        return _("emergency access, export")
    if found.status == Status.IN_REVIEW and decisions.may_give_emergency_access(found):
        return _("looking up other patients and emergency access unless you tick them, export")
    if found.status == Status.IN_REVIEW and decisions.may_give_look_up(found):
        return _("looking up other patients unless you tick it, emergency access, export")
    return _("looking up other patients, emergency access, export")


@require_POST
@approvers_only
def approve(request: Request, pk: int) -> HttpResponse:
    """Approve as asked, or until the usual last day. The approver may have to confirm first that it is them."""
    found = find(request, pk)
    form = DecisionForm(request.POST, request=found)
    if not form.is_valid():
        return render(request, "partners/decision.jinja", page_of(request, found, form=form))
    policies.check_can_decide(request.user, found)
    shorter = checks.shorter_end(found) if "shorter" in request.POST else None
    intention = {
        "pk": pk,
        "until": dates.end_of(shorter).isoformat() if shorter else None,
        "notes": form.cleaned_data,
        "as_of": found.changed_at.isoformat(),
    }
    return stepup.go(request, "approve", intention)


def approve_now(request: Request, intention: stepup.Intention) -> HttpResponse:
    """What was pressed before the approver confirmed, unless the request changed while they did."""
    found = find(request, intention["pk"])
    until = dt.datetime.fromisoformat(intention["until"]) if intention["until"] else None
    try:
        if found.changed_at.isoformat() != intention["as_of"]:
            raise IllegalTransition("the request is no longer what was looked at")
        decisions.approve(found, by=request.user, until=until, **intention["notes"])
    except IllegalTransition:
        too_late(request)
    else:
        messages.success(request, _("Approved. We are setting it up now."))
    return redirect("partners:decision", pk=found.pk)


stepup.register(
    "approve",
    stepup.Act(approve_now, lambda intention: reverse("partners:decision", args=[intention["pk"]]), typed=True),
)


@get_or_post
@approvers_only
def question(request: Request, pk: int) -> HttpResponse:
    return _with_form(
        request,
        pk,
        "partners/question.jinja",
        QuestionForm,
        lambda found, data: decisions.ask_question(found, by=request.user, **data),
    )


@get_or_post
@approvers_only
def decline(request: Request, pk: int) -> HttpResponse:
    return _with_form(
        request,
        pk,
        "partners/decline.jinja",
        DeclineForm,
        lambda found, data: decisions.decline(found, by=request.user, **data),
    )


@get_or_post
@approvers_only
def end(request: Request, pk: int) -> HttpResponse:
    """A page of its own before an access ends: what will happen, and why."""
    return _with_form(
        request,
        pk,
        "partners/end.jinja",
        EndForm,
        lambda found, data: decisions.end_access(found, by=request.user, **data),
        done=_("Access has ended."),
    )


def may_change_rights(found: AccessRequest) -> bool:
    """Whether there is one to give or to take away."""
    return decisions.may_give_look_up(found) or any(rights.held(found).values())


@get_or_post
@approvers_only
def change_rights(request: Request, pk: int) -> HttpResponse:
    """Other rights for an access that is there. The approver may have to confirm first that it is them."""
    found = find(request, pk)
    if found.status not in RUNNING or not may_change_rights(found):
        return redirect("partners:decision", pk=pk)
    seen, back = rights.held(found), stepup.kept(request, "rights")
    if back and back[0]["pk"] == pk:
        form = ChangeRightsForm({**back[0]["wanted"], "reason": back[0]["reason"]}, request=found)
        form.add_error(None, back[1])
    else:
        form = ChangeRightsForm(request.POST if request.method == "POST" else None, request=found, initial=seen)
    if request.method == "POST" and form.is_valid():
        intention = {"pk": pk, "seen": seen, "wanted": form.rights(), "reason": form.cleaned_data["reason"]}
        return stepup.go(request, "rights", intention)
    context = {"access": found, "form": form}
    return render(request, "partners/rights.jinja", context, status=422 if form.is_bound else 200)


def change_rights_now(request: Request, intention: stepup.Intention) -> HttpResponse:
    """What was pressed, unless the access changed while the approver confirmed."""
    found = find(request, intention["pk"])
    wanted, seen, reason = intention["wanted"], intention["seen"], intention["reason"]
    try:
        changed = rights.change(found, wanted, seen=seen, by=request.user, reason=reason)
    except IllegalTransition:
        too_late(request)
    except Denied as refusal:
        messages.warning(request, str(refusal))
    else:
        said = _("Changed. It holds from now on, and those concerned get a mail.") if changed else _("Nothing changed.")
        messages.success(request, said)
    return redirect("partners:decision", pk=found.pk)


stepup.register(
    "rights",
    stepup.Act(change_rights_now, lambda intention: reverse("partners:rights", args=[intention["pk"]]), typed=True),
)


@require_POST
@approvers_only
def resume(request: Request, pk: int) -> HttpResponse:
    """Try a parked step again."""
    found = find(request, pk)
    if progress.job_of(found) is None:
        refuse(request)
    try:
        provisioning.resume(found.job, by=request.user)
    except IllegalTransition:
        too_late(request)
    return redirect("partners:decision", pk=pk)


@require_POST
@approvers_only
def confirm(request: Request, pk: int) -> HttpResponse:
    """ "Confirm it is the same person": the new link may go out. Asks for a fresh proof, as approving does."""
    reset = open_reset(find(request, pk))
    return stepup.go(request, "confirm", {"pk": pk, "reset": reset.pk if reset else None})


def confirm_now(request: Request, intention: stepup.Intention) -> HttpResponse:
    """What was pressed, unless it is another reset by now."""

    def act(found: AccessRequest, reset: Reset) -> None:
        if reset.pk != intention["reset"]:
            raise IllegalTransition("this is no longer the reset that was looked at")
        redemption.confirm(reset, by=request.user)

    return _about_the_person(request, intention["pk"], act)


stepup.register(
    "confirm", stepup.Act(confirm_now, lambda intention: reverse("partners:decision", args=[intention["pk"]]))
)


@get_or_post
@approvers_only
def not_confirmed(request: Request, pk: int) -> HttpResponse:
    """A page of its own: what the sponsor reads, and what stays as it was."""
    found = find(request, pk)
    form = NotConfirmedForm(request.POST if request.method == "POST" else None)
    if open_reset(found) is None:
        return redirect("partners:decision", pk=pk)
    if not form.is_valid():
        return render(request, "partners/not_confirmed.jinja", {"access": found, "form": form})
    reason = form.cleaned_data["reason"]
    return _about_the_person(request, pk, lambda _, reset: redemption.refuse(reset, by=request.user, reason=reason))


def _about_the_person(request: Request, pk: int, act: Any) -> HttpResponse:
    """Do something with the reset that waits for us, if it still does."""
    found = find(request, pk)
    reset = open_reset(found)
    if reset is None:
        too_late(request)
        return redirect("partners:decision", pk=pk)
    try:
        act(found, reset)
    except IllegalTransition:
        too_late(request)
    return redirect("partners:decision", pk=pk)


@require_POST
@approvers_only
def start_again(request: Request, pk: int) -> HttpResponse:
    """Let the person accept and sign in anew. Where they were ever admitted, "Confirm" has to follow."""
    found = find(request, pk)
    if not may_need_help(found):
        too_late(request)
        return redirect("partners:decision", pk=pk)
    try:
        redemption.start_anew(found.invitation, by=request.user, because=Reset.Because.NEW_ACCOUNT)
    except Denied as reason:
        messages.warning(request, str(reason))
    return redirect("partners:decision", pk=pk)


@require_POST
@approvers_only
def let_in(request: Request, pk: int) -> HttpResponse:
    """The account is back in the directory, and that is right. Asks for a fresh proof: access comes back by it."""
    if progress.job_of(find(request, pk)) is None:
        refuse(request)
    return stepup.go(request, "let_in", {"pk": pk})


def let_in_now(request: Request, intention: stepup.Intention) -> HttpResponse:
    found = find(request, intention["pk"])
    try:
        directory.resume(found.job.guest, by=request.user)
    except Denied as reason:
        messages.warning(request, str(reason))
    return redirect("partners:decision", pk=found.pk)


stepup.register(
    "let_in", stepup.Act(let_in_now, lambda intention: reverse("partners:decision", args=[intention["pk"]]))
)


def _with_form(request: Request, pk: int, template: str, form_class: Any, act: Any, done: str = "") -> HttpResponse:
    """A form page of a request: show it, or do it and go back to the request."""
    found = find(request, pk)
    form = form_class(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        context = {"access": found, "form": form, "until": dates.last_day(found.until)}
        return render(request, template, context)
    try:
        act(found, form.cleaned_data)
    except IllegalTransition:
        too_late(request)
    else:
        if done:
            messages.success(request, done)
    return redirect("partners:decision", pk=pk)
