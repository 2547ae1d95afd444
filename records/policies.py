"""Who may do what with a record, beyond reading it."""

from __future__ import annotations

from django.db.models import Q
from django.db.models.functions import Now

from clinicportal.models import StaffRole, User
from clinicportal.proofs import check_proved
from clinicportal.rules import Denied
from clinicportal.texts import gettext as _
from records.models import Agreement, Grant, may_view
from records.models.grants import GrantQuerySet


def check_can_take_away(user: User) -> None:
    """Whether `user` may take a record out of the portal as data; printing what one reads needs no right of its own.

    Whoever sits at an open session has to be the person: it asks for a fresh proof."""
    agreements = Agreement.objects.in_force().filter(organisation=user.acting_for, may_export=True, ends_at__gt=Now())
    if not agreements.exists():
        raise Denied(_("The agreement with your organisation does not include taking records away. You can print them"))
    check_proved(user, "export")


def check_can_judge_reports(user: User) -> None:
    if not user.has_role(StaffRole.PRIVACY):
        raise Denied(_("Only a privacy officer can read what readers report about records"))


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
    if not user.has_role(StaffRole.PRIVACY):
        raise Denied(_("Only a privacy officer can read what was looked up"))
