"""Who may ask, answer for, decide and end: each a sentence that raises its reason."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import NoReturn
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from clinicportal.models import StaffRole, User
from clinicportal.proofs import check_proved
from clinicportal.rules import Denied
from partners import addresses
from partners.models import AccessRequest, Domain, Guest, PartnerOrganisation, Sponsor
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
    if address in addresses_of(user):
        raise Denied(_("You cannot ask for yourself. Please ask another sponsor of your organisation to do it."))


def check_is_sponsor(user: User, organisation: PartnerOrganisation) -> None:
    sponsorships = Sponsor.objects.active().filter(user=user, organisation=organisation)
    suspended = Suspension.objects.open().filter(user=user)
    if not user.is_active or not sponsorships.exists() or suspended.exists():
        raise Denied(_("Only a sponsor of %(name)s can do this.") % {"name": organisation})


def check_open(organisation: PartnerOrganisation) -> None:
    if Suspension.objects.open().filter(organisation=organisation.pk).exists():
        raise_paused(organisation)


def raise_paused(organisation: PartnerOrganisation) -> NoReturn:
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
    Deciding(user).check(request)


def check_can_approve(user: User, request: AccessRequest) -> None:
    """To approve takes more than to decide: whoever sits at an open session has to be the approver."""
    check_can_decide(user, request)
    check_proved(user, "approve")


def check_not_tied(user: User, request: AccessRequest) -> None:
    Deciding(user).check_not_tied(request)


class Deciding:
    """Whether `user` may decide. What that depends on besides the request is read once, however many are asked about:
    for one page, and no longer."""

    def __init__(self, user: User) -> None:
        self.user = user

    def check(self, request: AccessRequest) -> None:
        check_is_approver(self.user)
        self.check_not_tied(request)
        if request.organisation_id in self.paused:
            raise_paused(request.organisation)

    def check_not_tied(self, request: AccessRequest) -> None:
        """An approver never decides on themselves or on people of an organisation they belong or belonged to."""
        name = {"name": request.organisation}
        if request.address in self.addresses:
            raise Denied(_("This request is about you, so a colleague has to decide it."))
        if request.organisation_id in self.sponsored:
            raise Denied(_("You are or were a sponsor of %(name)s, so a colleague has to decide this one.") % name)
        if request.organisation_id in self.at_home:
            raise Denied(_("You have an address at %(name)s, so a colleague has to decide this one.") % name)

    @cached_property
    def addresses(self) -> set[str]:
        return addresses_of(self.user)

    @cached_property
    def sponsored(self) -> set[UUID]:
        tie = Q(ended_at=None) | Q(ended_at__gt=Now() - RECENT)
        return set(Sponsor.objects.filter(tie, user=self.user).values_list("organisation_id", flat=True))

    @cached_property
    def at_home(self) -> set[UUID]:
        """Organisations that have the domain of the user's address."""
        domain = addresses.domain_of(self.user.email)
        return set(Domain.objects.filter(name=domain).values_list("organisation_id", flat=True))

    @cached_property
    def paused(self) -> set[UUID | None]:
        return set(Suspension.objects.open().exclude(organisation=None).values_list("organisation_id", flat=True))


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


def addresses_of(user: User) -> set[str]:
    """The user's addresses: as we know it, and as they were once invited."""
    return {addresses.folded(user.email), *Guest.objects.filter(user=user).values_list("address", flat=True)}
