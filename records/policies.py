"""Who may do what with a record, beyond reading it."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q

from clinicportal.models import StaffRole, User
from clinicportal.proofs import check_proved
from clinicportal.rules import Denied
from clinicportal.texts import gettext as _
from records.models import Agreement, ByHand, EmergencyAccess, Grant, LookUp, may_view
from records.models.emergencies import BY_RIGHT, MOST_UNREVIEWED
from records.models.grants import GrantQuerySet


def check_can_take_away(user: User, facility: UUID) -> None:
    """Whether `user` may take a record of a facility out of the portal as data; printing it needs no right of its own.

    Of several agreements about the facility each must have the right: what is taken may be readable by any of them.
    Whoever sits at an open session has to be the person: it asks for a fresh proof."""
    agreements = Agreement.objects.in_force().filter(organisation=user.acting_for, facilities=facility)
    rights = set(agreements.values_list("may_export", flat=True))
    if rights != {True}:
        raise Denied(_("The agreement with your organisation does not include taking records away. You can print them"))
    check_proved(user, "export")


def check_can_judge_reports(user: User) -> None:
    if not user.has_role(StaffRole.PRIVACY):
        raise Denied(_("Only a privacy officer can read what readers report about records"))


def check_can_ask_why(user: User) -> None:
    """Approvers change what a grant says, privacy officers answer for who saw what; others call one of them."""
    if not (user.has_role(StaffRole.PRIVACY) or user.has_role(StaffRole.APPROVER)):
        raise Denied(_("Only an approver or a privacy officer can ask why somebody sees a patient"))


# Who may change what by hand: those who answer for it, and nobody more.
BY_HAND = {
    ByHand.Kind.LIST: (StaffRole.APPROVER, StaffRole.OPERATOR),
    ByHand.Kind.REVIEW: (StaffRole.APPROVER,),
    ByHand.Kind.LINK: (StaffRole.OPERATOR, StaffRole.PRIVACY),
    ByHand.Kind.OPT_OUT: (StaffRole.PRIVACY,),
    ByHand.Kind.LABEL: (StaffRole.PRIVACY,),
}


def kinds_by_hand(user: User) -> list[str]:
    return [kind for kind, roles in BY_HAND.items() if any(user.has_role(role) for role in roles)]


def check_can_change_by_hand(user: User, kind: str) -> None:
    if kind not in kinds_by_hand(user):
        raise Denied(_("This is done by other roles of our staff: ask a privacy officer, an approver or an operator"))


def check_can_confirm_by_hand(user: User, entry: ByHand) -> None:
    check_can_change_by_hand(user, entry.kind)
    if entry.entered_by_id == user.pk:
        raise Denied(_("Somebody else must confirm it: a second person who looks at the evidence"))


def rights_to_look_up(user: User) -> GrantQuerySet:
    """Grants in force by which `user` may look up a patient now, one row for each agreement that allows it, too."""
    if not may_view(user):
        return Grant.objects.none()
    return Grant.objects.in_force_for(user, Q(may_look_up=True, organisation__agreements__may_look_up=True))


def check_can_look_up(user: User) -> list[Grant]:
    """The grants by which `user` may look up a patient; Denied when there is none."""
    rights = list(rights_to_look_up(user))
    if not rights:
        raise Denied(
            _(
                "Your access does not include looking up patients. If you need it for your work, ask your sponsor: "
                "My access says who that is. They can ask us for it"
            )
        )
    return rights


def check_can_review_look_ups(user: User) -> None:
    if not (user.has_role(StaffRole.PRIVACY) or user.has_role(StaffRole.REVIEWER)):
        raise Denied(_("Only a privacy officer or a reviewer can read what was looked up"))


def check_can_review_look_up(user: User, look_up: LookUp) -> None:
    check_can_review_look_ups(user)
    if look_up.by_id == user.pk:
        raise Denied(_("This one is your own, so a colleague has to look at it"))


# ---------------------------------------------------------------- emergency access


def check_can_use_emergency_access(user: User) -> None:
    """Whether some grant in force of `user` and its agreement have the right; which facilities is another question."""
    if not may_view(user) or not Grant.objects.in_force_for(user, BY_RIGHT).exists():
        raise Denied(
            _(
                "Your access does not include emergency access. If you need it for your work, ask your sponsor: My "
                "access says who that is. If somebody is in danger now, call the help line"
            )
        )


def check_has_reviews_left(user: User) -> None:
    """With so many that nobody has reviewed there is no further one. The database says the same (emergency_begins)."""
    if EmergencyAccess.objects.unreviewed().filter(guest=user).count() >= MOST_UNREVIEWED:
        raise Denied(
            _(
                "Three of your emergency accesses wait for their review, so you can't begin another one. Call the help "
                "line: they reach our reviewers"
            )
        )


def check_is_reviewer(user: User) -> None:
    if not user.has_role(StaffRole.REVIEWER):
        raise Denied(_("Only a reviewer can review emergency access"))


def check_can_review(user: User, emergency: EmergencyAccess) -> None:
    check_is_reviewer(user)
    if emergency.guest_id == user.pk:
        raise Denied(_("This one is your own, so a colleague has to review it"))


def check_not_judged(emergency: EmergencyAccess) -> None:
    if emergency.status not in EmergencyAccess.UNREVIEWED:
        raise Denied(_("The review is closed, and so is the record"))


def check_can_keep(user: User) -> None:
    """Whether `user` may print what they read, or keep a file of it: a review is read on the screen alone."""
    if user.is_staff_member:
        raise Denied(_("You read this record for a review. It can't be printed or taken away"))
