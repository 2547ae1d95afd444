"""The pages of what our staff change by hand. They show ids, never a name or anything of a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from clinicportal.proofs import Unproved, check_proved
from clinicportal.requests import Request
from clinicportal.rules import Denied, IllegalTransition, permits
from records import byhand, policies
from records.byhand_forms import ADD, CONFIRM, ReasonForm
from records.models import ByHand
from records.models.byhand import Status

get_or_post = require_http_methods(["GET", "HEAD", "POST"])
OVER_SHOWN = 50
NAMES = ("entered_by", "confirmed_by", "ended_by", "caseload__organisation", "caseload__facility", "organisation")
Kind = ByHand.Kind

TITLES = {
    Kind.LIST: gettext_lazy("Add a patient to a caseload"),
    Kind.LINK: gettext_lazy("Join two records of one person"),
    Kind.OPT_OUT: gettext_lazy("Enter an opt-out"),
    Kind.LABEL: gettext_lazy("Hold something back for a patient"),
}
LEDES = {
    Kind.LIST: gettext_lazy("A second person confirms it from the evidence. Until then nobody sees more than before."),
    Kind.LINK: gettext_lazy(
        "A second person confirms it from the evidence. Opt-outs and labels of one then hold for both; whether the"
        " caseloads of one get the other is reviewed apart."
    ),
    Kind.OPT_OUT: gettext_lazy("It holds at once, for all records of the person."),
    Kind.LABEL: gettext_lazy("It holds for what is here and for what comes later, in all records of the person."),
}


@require_safe
def index(request: Request) -> HttpResponse:
    """What waits, what is in force and what is over, of the kinds that this person looks after."""
    kinds = policies.kinds_by_hand(request.user)
    if not kinds:
        raise Denied(_("Only an approver, an operator or a privacy officer can change something by hand"))
    rows = ByHand.objects.filter(kind__in=kinds).select_related(*NAMES).order_by("-entered_at")
    context = {
        "waiting": list(rows.filter(status=Status.ENTERED)),
        "standing": list(rows.filter(status__in=[Status.CONFIRMED, Status.IN_FORCE, Status.WITHDRAWN])),
        "over": list(rows.filter(status__in=[Status.OVER, Status.DECLINED])[:OVER_SHOWN]),
        "add": [(kind, TITLES[Kind(kind)]) for kind in kinds if kind in ADD],
    }
    return render(request, "records/by_hand.jinja", context)


@get_or_post
def add(request: Request, kind: str) -> HttpResponse:
    """Enter a change. What was typed is posted and, but for the evidence, not kept: the row has ids."""
    if kind not in ADD:
        raise Http404
    policies.check_can_change_by_hand(request.user, kind)
    form = ADD[kind](request.POST or None)
    if form.is_valid() and (entered := enter(form, kind, request)):
        return redirect("by-hand:entry", entered.pk)
    context = {"form": form, "title": TITLES[Kind(kind)], "lede": LEDES[Kind(kind)]}
    return render(request, "records/by_hand_add.jinja", context, status=422 if form.is_bound else 200)


def enter(form: Any, kind: str, request: Request) -> ByHand | None:
    cleaned = form.cleaned_data
    facts = {"patient_id": cleaned["patient_id"], "evidence": cleaned["evidence"], **form.facts()}
    try:
        return byhand.enter(kind, by=request.user, **facts)
    except (byhand.AlreadyThere, byhand.NoSuchPatient) as problem:
        form.add_error("patient" if "patient" in form.fields else "number", str(problem))
        return None


@get_or_post
def entry(request: Request, pk: UUID) -> HttpResponse:
    """One change: what it is, and what this person may do about it."""
    found = ByHand.objects.select_related(*NAMES).filter(pk=pk, kind__in=policies.kinds_by_hand(request.user)).first()
    if found is None:
        raise Http404
    act = request.POST.get("act", "")
    if act == "prove":
        return prove(request, pk)
    confirm_form, reason_form = forms_of(found, request, act)
    if request.method == "POST":
        done = acted(found, act, confirm_form, reason_form, request)
        if done:
            return redirect("by-hand:entry", pk)
    context = {
        "entry": found,
        "confirm_form": confirm_form if permits(policies.check_can_confirm_by_hand, request.user, found) else None,
        "proved": permits(check_proved, request.user, byhand.ACT),
        "reason_form": reason_form,
        "forms": [one for one in (confirm_form, reason_form) if one is not None and one.is_bound],
        "ending": "decline" if found.status == Status.ENTERED else "withdraw",
        "may_end": found.status in (Status.ENTERED, Status.CONFIRMED, Status.IN_FORCE),
    }
    return render(request, "records/by_hand_entry.jinja", context, status=422 if context["forms"] else 200)


def prove(request: Request, pk: UUID) -> HttpResponse:
    """The second person confirms that it is them before they type whom the evidence names: no step keeps that."""
    with proved_on(reverse("by-hand:entry", args=[pk])):
        check_proved(request.user, byhand.ACT)
    return redirect("by-hand:entry", pk)


@contextmanager
def proved_on(page: str) -> Iterator[None]:
    """Whoever has to confirm first that it is them comes back to this page of ours."""
    try:
        yield
    except Unproved as unproved:
        unproved.page = page
        raise


def forms_of(found: ByHand, request: Request, act: str) -> tuple[Any, ReasonForm]:
    confirm_form = None
    if found.status == Status.ENTERED and found.kind in CONFIRM:
        confirm_form = CONFIRM[found.kind](request.POST if act == "confirm" else None, entry=found)
    return confirm_form, ReasonForm(request.POST if act in ("decline", "withdraw") else None)


def acted(found: ByHand, act: str, confirm_form: Any, reason_form: ReasonForm, request: Request) -> bool:
    """Whether the verb that was asked for was called; else the page is drawn again with what is missing."""
    verbs: dict[str, Callable[..., None]] = {"decline": byhand.decline, "withdraw": byhand.withdraw}
    try:
        if act == "confirm" and confirm_form is not None:
            policies.check_can_confirm_by_hand(request.user, found)
            if not confirm_form.is_valid():
                return False
            with proved_on(request.path):
                byhand.confirm(found, by=request.user)
            messages.success(request, _("Confirmed. It is in force in a moment."))
        elif act in verbs:
            if not reason_form.is_valid():
                return False
            verbs[act](found, by=request.user, reason=reason_form.cleaned_data["reason"])
            messages.success(request, _("Declined.") if act == "decline" else _("Taken back. It ends in a moment."))
        else:
            raise Http404
    except IllegalTransition:
        messages.error(request, _("Somebody else was quicker. Look at how it stands now."))
    return True
