"""Where a request stands: stages and job steps, in words, for the page that keeps itself up to date."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from partners import dates, failures, gates, turns, words, working_hours
from partners.models import AccessRequest, Decision, Gate, Invitation, ProvisioningJob, Reset, Step
from records.models import Suspension

Status = AccessRequest.Status
Item = dict[str, Any]
"""One stage or step as components/steps.jinja takes it."""


class Words(NamedTuple):
    todo: Any
    doing: Any
    done: Any


STEPS = {
    Step.Kind.INVITE: Words(
        gettext_lazy("Look in our directory, and make the invitation without sending it"),
        gettext_lazy("Looking in our directory, and making the invitation without sending it"),
        gettext_lazy("Looked in our directory, and made the invitation without sending it"),
    ),
    Step.Kind.JOIN_GROUP: Words(
        gettext_lazy("Add to the access group, once the directory knows the person"),
        gettext_lazy("Waiting until the directory knows the person, then adding to the access group"),
        gettext_lazy("Added to the access group"),
    ),
    Step.Kind.VERIFY: Words(
        gettext_lazy("Check all of it once more"),
        gettext_lazy("Checking all of it once more"),
        gettext_lazy("Checked all of it once more"),
    ),
    Step.Kind.MAIL: Words(
        gettext_lazy("Write to the person. The mail goes last"),
        gettext_lazy("Writing to the person. The mail goes last"),
        gettext_lazy("Wrote to the person"),
    ),
}


STEPS |= {
    Step.Kind.ADD_ADDRESS: Words(
        gettext_lazy("Add the new address in our directory"),
        gettext_lazy("Adding the new address in our directory"),
        gettext_lazy("Added the new address in our directory"),
    ),
    Step.Kind.SET_BACK: Words(
        gettext_lazy("Let the person accept again, with a new link"),
        gettext_lazy("Letting the person accept again, with a new link"),
        gettext_lazy("Let the person accept again, with a new link"),
    ),
}


class State(NamedTuple):
    kind: str  # as components/page.jinja's tag() takes it
    text: failures.Text


INVITATION_STATES = {
    Invitation.Status.SENT: State("wait", gettext_lazy("Waiting for them")),
    Invitation.Status.OPENED: State("wait", gettext_lazy("Waiting for them")),
    Invitation.Status.ACCEPTED: State("wait", gettext_lazy("Accepted, not signed in yet")),
    Invitation.Status.WRONG_ACCOUNT: State("wait", gettext_lazy("Other account used")),
    Invitation.Status.HELD: State("wait", gettext_lazy("Has to sign in anew")),
    Invitation.Status.EXPIRED: State("wait", gettext_lazy("Link expired")),
    Invitation.Status.COMPLETED: State("done", gettext_lazy("Has access")),
}
STATES = {
    Status.IN_REVIEW: State("now", gettext_lazy("Being checked")),
    Status.NEEDS_INFO: State("wait", gettext_lazy("A question for you")),
    Status.APPROVED: State("now", gettext_lazy("Being set up")),
    Status.DECLINED: State("over", gettext_lazy("Declined")),
    Status.WITHDRAWN: State("over", gettext_lazy("Withdrawn")),
    Status.LAPSED: State("over", gettext_lazy("Lapsed")),
    Status.ENDED: State("over", gettext_lazy("Ended")),
}


def state(request: AccessRequest, *, for_staff: bool = False) -> State:
    """The request in a word or two."""
    job = job_of(request)
    if job and job.status == ProvisioningJob.Status.NEEDS_HELP:
        return State("wait", _("Needs help") if for_staff else _("Our team is on it"))
    if for_staff and request.status == Status.NEEDS_INFO:
        return State("wait", _("Waiting for the sponsor"))
    if request.status == Status.FULFILLED and suspensions(request):
        return State("wait", _("Paused"))
    if request.status == Status.FULFILLED:
        return INVITATION_STATES.get(Invitation.Status(request.invitation.status), State("done", _("Set up")))
    return STATES[Status(request.status)]


def suspensions(request: AccessRequest) -> list[Suspension]:
    """Why the person is paused now, but for the sign-in that everybody waits for."""
    job = job_of(request)
    if job is None:
        return []
    found = getattr(job.guest.user, PAUSES, None)  # read for many requests at once (`standing`)
    return list(_pauses().filter(user=job.guest_id)) if found is None else found


PAUSES = "pauses"


def _pauses() -> QuerySet[Suspension]:
    waits = {"reason": Suspension.Reason.IDENTITY, "note": "identity"}
    return Suspension.objects.open().exclude(**waits).order_by("started_at")


def standing(requests: QuerySet[AccessRequest]) -> QuerySet[AccessRequest]:
    """The requests with what `state` needs of each, in two statements for however many."""
    pauses = Prefetch("job__guest__user__suspensions", _pauses(), to_attr=PAUSES)
    return requests.select_related("sponsor__user", "job__guest__user", "invitation").prefetch_related(pauses)


def with_decisions() -> Prefetch:
    """To read the decisions on many requests in one statement, with who made them."""
    return Prefetch("decisions", Decision.objects.select_related("by"))


def job_of(request: AccessRequest) -> ProvisioningJob | None:
    return getattr(request, "job", None)  # a reverse one-to-one: absent before the decision


def is_running(request: AccessRequest) -> bool:
    """Whether the job is at work and will change something soon."""
    job = job_of(request)
    return job is not None and job.status == ProvisioningJob.Status.RUNNING


def blocked_by(request: AccessRequest, shut: list[Gate]) -> str:
    """The code of what shuts the directory to this job and to others (`turns.held_by`); empty when nothing does."""
    job = job_of(request)
    if job is None or not is_running(request):
        return ""
    waiting = next((step for step in job.steps.all() if step.state == Step.State.WAITING), None)
    return turns.held_by(waiting, request.address, shut) if waiting else ""


def look_again_after(request: AccessRequest) -> int:
    """Seconds until the sponsor's page should look again by itself; 0: nothing will change without them."""
    job = job_of(request)
    if job is not None and is_running(request):
        waiting = next((step for step in job.steps.all() if step.state == Step.State.WAITING), None)
        return 30 if waiting and turns.words_for(waiting, request.address) else 2
    return 10 if request.status in (Status.IN_REVIEW, Status.APPROVED) else 0


def stages(request: AccessRequest, *, for_staff: bool = False, brief: bool = False) -> list[Item]:
    """The five stages, or fewer where the request ended early. With `brief`, for a line in a list, their titles and
    states without the texts that have to be asked for one by one."""
    found = [_asked(request, for_staff), _decided(request, for_staff)]
    job = job_of(request)
    if job is None:
        if request.status in (Status.IN_REVIEW, Status.NEEDS_INFO):
            found += [{"title": _("We set it up")}, *_guest_todo(request)]
        return found
    found.append(_set_up(request, job, for_staff, brief))
    if request.status == Status.ENDED:
        return [*found, _ended(request)]
    if job.status != ProvisioningJob.Status.DONE:
        return [*found, *_guest_todo(request)]
    return [*found, *_signing_in(request, for_staff, brief), *_paused(request, for_staff)]


def current(items: list[Item]) -> str:
    """The stage to say aloud when it changes."""
    return next((str(item["title"]) for item in items if item.get("state") in ("current", "stopped")), "")


# ---------------------------------------------------------------- stage by stage


def _asked(request: AccessRequest, for_staff: bool) -> Item:
    who = request.sponsor.user.display_name
    return {
        "state": "done",
        "title": _("%(name)s asked") % {"name": who} if for_staff else _("You asked"),
        "text": capfirst(words.moment(request.asked_at)),
    }


def _decided(request: AccessRequest, for_staff: bool) -> Item:
    match request.status:
        case Status.IN_REVIEW:
            text = _("Our turn. We decide within %(hours)s working hours.") % {"hours": working_hours.TARGET}
            return {"state": "current", "title": _("We are checking"), "text": text}
        case Status.NEEDS_INFO:
            title = _("We asked the sponsor") if for_staff else _("We have a question for you")
            text = _("The sponsor's turn. Our clock is paused.") if for_staff else _("Your turn. Our clock is paused.")
            return {"state": "stopped", "title": title, "text": text, "more": f"“{request.question}”"}
        case Status.WITHDRAWN | Status.LAPSED:
            title = _("Withdrawn") if request.status == Status.WITHDRAWN else _("Lapsed")
            return {
                "state": "stopped",
                "title": title,
                "text": capfirst(words.moment(request.changed_at)),
                "more": request.closed_because,
            }
    decided = [one for one in request.decisions.all() if one.kind != Decision.Kind.QUESTION]
    decision = decided[-1] if decided else None
    if decision is None:
        return {"state": "done", "title": _("Decided")}
    by = decision.by.display_name if for_staff else _("our access team")
    text = _("%(when)s, by %(who)s") % {"when": capfirst(words.moment(decision.decided_at)), "who": by}
    if decision.kind == Decision.Kind.DECLINED:
        return {"state": "stopped", "title": _("We said no"), "text": text, "more": decision.note_to_sponsor}
    return {"state": "done", "text": text, **_approved(request, decision)}


def _approved(request: AccessRequest, decision: Decision) -> Item:
    """Said with the difference, when less was given than asked for."""
    note = decision.note_to_sponsor
    if request.until >= request.ends_at:
        return {"title": _("We said yes"), "more": note}
    given, asked = (dates.words_for(dates.last_day(end)) for end in (request.until, request.ends_at))
    change = _("Until %(given)s instead of %(asked)s.") % {"given": given, "asked": asked}
    return {"title": _("We said yes, with one change"), "more": f"{change} {note}".strip()}


def _set_up(request: AccessRequest, job: ProvisioningJob, for_staff: bool, brief: bool) -> Item:
    steps = list(job.steps.all())
    done = [step for step in steps if step.state == Step.State.DONE]
    items = [_step(step) for step in steps]
    match job.status:
        case ProvisioningJob.Status.DONE:
            finished = max((step.finished_at for step in done if step.finished_at), default=None)
            return {
                "state": "done",
                "title": _("We set it up"),
                "text": capfirst(words.moment(finished)) if finished else "",
                "steps": items,
            }
        case ProvisioningJob.Status.NEEDS_HELP:
            code = next((step.last_code for step in steps if step.state == Step.State.PARKED), "")
            failure = failures.parked(code)
            return {
                "state": "stopped",
                "title": _("We are setting it up: a person has to help"),
                "text": _("Our turn."),
                "more": f"{failure.staff} {failure.next.text}" if for_staff else failure.sponsor,
                "steps": items,
            }
        case ProvisioningJob.Status.CANCELLED:
            return {"state": "stopped", "title": _("The set-up was stopped"), "steps": items}
    number = {"number": min(len(done) + 1, len(steps)), "of": len(steps)}
    waiting = next((step for step in steps if step.state == Step.State.WAITING), None)
    later = turns.words_for(waiting, request.address) if waiting and not brief else ""
    usual = _("Our turn. Usually done within a minute. Nothing for you to do.")
    return {
        "state": "current",
        "title": _("We are setting it up: step %(number)s of %(of)s") % number,
        "text": _("Our turn. Nothing for you to do.") if later else usual,
        "more": later,
        "steps": items,
    }


def _step(step: Step) -> Item:
    text = STEPS[Step.Kind(step.kind)]
    tries = _("try %(number)s") % {"number": step.attempts} if step.attempts > 1 else ""
    match step.state:
        case Step.State.DONE:
            return {
                "state": "done",
                "text": text.done,
                "note": words.clock(step.finished_at) if step.finished_at else "",
            }
        case Step.State.PARKED:
            return {"state": "stopped", "text": text.todo, "note": tries}
        case Step.State.WAITING:
            return {"state": "current", "text": _waiting(step, text), "note": tries}
    return {"state": "todo", "text": text.todo}


def _waiting(step: Step, text: Words) -> str:
    """ "Adding to the access group. The directory is slow, we try again at 11:06"."""
    why = failures.waiting(step.last_code)
    if not why or step.last_code in gates.PROBE_AFTER:  # that is said above the steps, once
        return str(text.doing)
    soon = (step.due_at - timezone.now()).total_seconds() < 60
    when = _("in a moment") if soon else _("at %(time)s") % {"time": words.clock(step.due_at)}
    return _("%(doing)s. %(why)s, we try again %(when)s") % {"doing": text.doing, "why": why, "when": when}


def _guest_todo(request: AccessRequest) -> list[Item]:
    text = _("Their turn. The link in the mail works for 14 days, and you can send it again.")
    return [
        {"title": _("%(name)s signs in") % {"name": request.person_name}, "text": text},
        {"title": _("Access starts")},
    ]


def _paused(request: AccessRequest, for_staff: bool) -> list[Item]:
    """Each reason why the person sees nothing, with the way back."""
    items = []
    for suspension in suspensions(request):
        failure = failures.paused(suspension.note)
        known = suspension.note in failures.PAUSED
        items.append(
            {
                "state": "stopped",
                "title": _("Access is paused") if not for_staff else _("Paused: %(why)s") % {"why": suspension},
                "text": capfirst(words.moment(suspension.started_at)),
                "more": f"{failure.staff} {failure.next.text}" if for_staff and known else failure.sponsor,
            }
        )
    return items


def _held(request: AccessRequest, for_staff: bool) -> str:
    """Why somebody who was here has to come in anew, and whose turn it is."""
    reset = request.resets.order_by("-asked_at").first()
    if reset is None:
        return str(failures.paused("identity").sponsor)
    if reset.status == Reset.Status.AWAITS_STAFF:
        ours = _("Somebody has to confirm that it is the same person, before the new link goes out.")
        theirs = _("Our turn. We make sure that it is the same person, then we send the new link.")
        return ours if for_staff else theirs
    if reset.status == Reset.Status.REFUSED:
        return _("We could not confirm the change. They can sign in with the account and address they had.")
    return _("We set it up, then a new link goes to %(address)s.") % {"address": request.address}


def _signing_in(request: AccessRequest, for_staff: bool, brief: bool) -> list[Item]:
    """The last two stages, once the mail is out."""
    name, invitation = {"name": request.person_name}, request.invitation
    last = {"title": _("Access starts")}
    until = dates.words_for(dates.last_day(invitation.expires_at)) if invitation.expires_at else ""
    match invitation.status:
        case Invitation.Status.COMPLETED:
            when = capfirst(words.moment(invitation.completed_at)) if invitation.completed_at else ""
            return [
                {"state": "done", "title": _("%(name)s signed in") % name, "text": when},
                {"state": "done", "title": _("Access has started")},
            ]
        case Invitation.Status.EXPIRED:
            text = _("The link ended on %(until)s. You can send a new one.") % {"until": until}
            return [{"state": "stopped", "title": _("%(name)s signs in") % name, "text": text}, last]
        case Invitation.Status.WRONG_ACCOUNT:
            text = _("Somebody used another account than the one invited. Nothing was shown. Send a new link.")
            return [{"state": "stopped", "title": _("%(name)s signs in") % name, "text": text}, last]
        case Invitation.Status.HELD:
            text = "" if brief else _held(request, for_staff)
            return [{"state": "stopped", "title": _("%(name)s signs in anew") % name, "text": text}, last]
        case Invitation.Status.ACCEPTED:
            text = _(
                "Their turn. The invitation was accepted at Microsoft, and nobody has signed in here yet. The link "
                "works until %(until)s."
            ) % {"until": until}
        case Invitation.Status.OPENED:
            text = _("Their turn. They opened the link, which works until %(until)s.") % {"until": until}
        case _:
            text = _("Their turn. The link works until %(until)s. It was not opened yet.") % {"until": until}
    return [{"state": "current", "title": _("%(name)s signs in") % name, "text": text}, last]


def _ended(request: AccessRequest) -> Item:
    return {
        "state": "stopped",
        "title": _("Access has ended"),
        "text": capfirst(words.moment(request.changed_at)),
        "more": request.closed_because,
    }
