"""The rights of an access that is there: looking up, emergency access. An approver adds one or takes one away.

What is taken away ends with the guest's next request: the rule asks for the right each time (records/models/grants.py).
"""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from clinicportal import audit
from clinicportal.models import User
from clinicportal.rules import Denied, IllegalTransition
from clinicportal.texts import span
from partners import decisions, notices, policies
from partners.models import AccessRequest, Invitation
from records import emergencies, lookup
from records.models import Grant

Rights = dict[str, bool]
"""By the names of the fields of Grant."""
NAMES = ("may_look_up", "may_use_emergency_access")


def held(request: AccessRequest) -> Rights:
    """Which rights the grants of the request have now."""
    return {
        "may_look_up": decisions.gave_look_up(request),
        "may_use_emergency_access": decisions.gave_emergency_access(request),
    }


@transaction.atomic
def change(request: AccessRequest, wanted: Rights, *, seen: Rights, by: User, reason: str) -> bool:
    """Give the grants of the request the rights `wanted`; False when they have them already.

    `seen` is what they had when the approver looked: IllegalTransition when it is not so any more. Raises Denied for
    what the agreement does not allow, and Unproved.
    """
    policies.check_can_change_rights(by, request)
    request.refresh_from_db(from_queryset=AccessRequest.objects.select_for_update())
    was = held(request)
    if was != seen or request.status not in (AccessRequest.Status.APPROVED, AccessRequest.Status.FULFILLED):
        raise IllegalTransition(f"request {request.pk} is no longer what was looked at")
    if wanted == was:
        return False
    check_agreed(request, {name for name in NAMES if wanted[name] and not was[name]}, wanted, by=by)
    Grant.objects.filter(request__request=request, ended_at=None).update(**wanted)
    event = audit.record(
        audit.Type.ACCESS_CHANGED,
        request,
        by=by,
        organisation_id=request.organisation_id,
        reason=reason,
        detail={"was": was, **wanted},
    )
    told = f"{in_words(was, wanted)} {reason}"
    notices.tell(notices.Kind.RIGHTS, request, about=event, reason=told)
    if request.invitation.status == Invitation.Status.COMPLETED:
        notices.tell_guest(notices.Kind.YOUR_RIGHTS, request, about=event, reason=in_words(was, wanted))
    return True


def check_agreed(request: AccessRequest, added: set[str], wanted: Rights, *, by: User) -> None:
    """What is added is a decision like an approval: the agreement has it, and `by` is not tied to the partner."""
    if added:
        policies.check_can_decide(by, request)
    if "may_look_up" in added and not decisions.may_give_look_up(request):
        raise Denied(_("The agreement does not include looking up patients."))
    if "may_use_emergency_access" in added and not decisions.may_give_emergency_access(request):
        raise Denied(_("The agreement does not include emergency access."))
    if wanted["may_use_emergency_access"] and not wanted["may_look_up"]:
        raise Denied(_("Emergency access begins with looking the patient up, so it needs that right as well."))


def in_words(was: Rights, now: Rights) -> str:
    """What changed, in sentences that a sponsor and a guest can read."""
    sentences = {
        ("may_look_up", True): _("Looking up other patients is now part of it: each for %(hours)s and with a reason.")
        % {"hours": span(lookup.LASTS)},
        ("may_look_up", False): _("Looking up other patients is no longer part of it; what was looked up is closed."),
        ("may_use_emergency_access", True): _(
            "Emergency access is now part of it: one patient for %(span)s, always reviewed."
        )
        % {"span": span(emergencies.LASTS)},
        ("may_use_emergency_access", False): _("Emergency access is no longer part of it."),
    }  # fmt: skip
    return " ".join(sentences[name, now[name]] for name in NAMES if was[name] != now[name])
