"""Who may ask, answer for, decide and end: each a sentence that raises its reason."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from clinicportal.models import StaffRole, User
from clinicportal.proofs import check_proved
from clinicportal.rules import Denied
from partners import addresses
from partners.models import AccessRequest, Guest, PartnerOrganisation, Sponsor
from records.models import Agreement, Suspension

RECENT = timedelta(days=90)
"""How long after the end of a sponsorship somebody still counts as tied to the organisation."""


def check_can_ask(user: User, organisation: PartnerOrganisation) -> None:
    if user.is_staff_member:
        raise Denied(_("Our staff decide on access. Only a sponsor at a partner organisation can ask for it."))
    check_is_sponsor(user, organisation)
    check_open(organisation)
    if not Agreement.objects.in_force().filter(organisation=organisation.pk).exists():
        raise Denied(
            _("There is no agreement in force with %(name)s, so nobody can be added.") % {"name": organisation}
        )


def check_can_ask_for(user: User, address: str) -> None:
    if is_the_person(user, address):
        raise Denied(_("You cannot ask for yourself. Please ask another sponsor of your organisation to do it."))


def check_is_sponsor(user: User, organisation: PartnerOrganisation) -> None:
    sponsorships = Sponsor.objects.active().filter(user=user, organisation=organisation)
    suspended = Suspension.objects.open().filter(user=user)
    if not user.is_active or not sponsorships.exists() or suspended.exists():
        raise Denied(_("Only a sponsor of %(name)s can do this.") % {"name": organisation})


def check_open(organisation: PartnerOrganisation) -> None:
    if Suspension.objects.open().filter(organisation=organisation.pk).exists():
        raise Denied(_("Access for %(name)s is paused. Nothing can be asked for or approved.") % {"name": organisation})


def check_can_answer_for(user: User, request: AccessRequest) -> None:
    """For whatever a sponsor does with a request after asking: withdraw it, answer, send the link again."""
    check_is_sponsor(user, request.organisation)


def check_is_approver(user: User) -> None:
    if not user.has_role(StaffRole.APPROVER):
        raise Denied(_("Only an approver can do this."))


def check_is_operator(user: User) -> None:
    if not user.has_role(StaffRole.OPERATOR):
        raise Denied(_("Only an operator can do this."))


def check_can_decide(user: User, request: AccessRequest) -> None:
    check_is_approver(user)
    check_not_tied(user, request)
    check_open(request.organisation)


def check_can_approve(user: User, request: AccessRequest) -> None:
    """To approve takes more than to decide: whoever sits at an open session has to be the approver."""
    check_can_decide(user, request)
    check_proved(user, "approve")


def check_not_tied(user: User, request: AccessRequest) -> None:
    """An approver never decides on themselves or on people of an organisation they belong or belonged to."""
    name = {"name": request.organisation}
    if is_the_person(user, request.address):
        raise Denied(_("This request is about you, so a colleague has to decide it."))
    tie = Q(ended_at=None) | Q(ended_at__gt=Now() - RECENT)
    if Sponsor.objects.filter(tie, user=user, organisation=request.organisation).exists():
        raise Denied(_("You are or were a sponsor of %(name)s, so a colleague has to decide this one.") % name)
    if request.organisation.domains.filter(name=addresses.domain_of(user.email)).exists():
        raise Denied(_("You have an address at %(name)s, so a colleague has to decide this one.") % name)


def check_can_end(user: User, request: AccessRequest) -> None:
    """Taking access away needs no second pair of eyes: a tie to the organisation does not matter."""
    check_is_approver(user)


def check_can_change_rights(user: User, request: AccessRequest) -> None:
    """The rights of an access that is there. Adding one also takes what deciding takes (partners/rights.py)."""
    check_is_approver(user)
    check_proved(user, "rights")


def check_can_see_register(user: User) -> None:
    if not (user.has_role(StaffRole.APPROVER) or user.has_role(StaffRole.OPERATOR)):
        raise Denied(_("The register is for approvers and operators."))


def is_the_person(user: User, address: str) -> bool:
    """Whether `address` is the user's, as we know it or as they were once invited."""
    return addresses.folded(user.email) == address or Guest.objects.filter(user=user, address=address).exists()
