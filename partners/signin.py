"""Who comes in: an Entra identity becomes the person whom an invitation or a staff role expects, or is turned away.

Identity is tenant id + object id. `tid` is always our tenant, and a stranger who redeems a forwarded
link carries the expected object id: so the identity provider must be one that the person's
organisation allows. An email address may deny, never admit.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.db.models.functions import Now
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from clinicportal import audit
from clinicportal.http import Session, entra_session
from clinicportal.middleware import CAPACITIES, MFA, ORGANISATION
from clinicportal.models import StaffRole, User
from clinicportal.sessions import SID
from partners import addresses, assurance, failures, idtoken, invitations, redemption, signin_help
from partners.models import Guest, Invitation, PartnerOrganisation
from records.models import Agreement, Grant, Suspension

log = structlog.get_logger(__name__)

APP_ROLES = {f"Portal.{role.value.capitalize()}": role for role in StaffRole}
NOT_BOUND = "context-not-bound"
PASSCODE = "mail"  # the `idp` of a guest who redeemed with a one-time passcode


class TurnedAway(Exception):
    """This identity may not come in: `code` for the audit, `template` for the person."""

    def __init__(
        self, code: str, template: str = "partners/signin/refused.jinja", *, guest: Guest | None = None
    ) -> None:
        super().__init__(code)
        self.code, self.template, self.guest = code, template, guest


@dataclass(frozen=True)
class Identity:
    """What a verified ID token says of a person."""

    tenant_id: uuid.UUID
    object_id: uuid.UUID
    identity_provider: str  # empty: a member of our tenant
    name: str
    address: str
    roles: frozenset[StaffRole]
    contexts: frozenset[str]

    @classmethod
    def of(cls, claims: dict[str, Any]) -> Identity:
        provider = str(claims.get("idp") or "")
        contexts = claims.get("acrs") or []
        return cls(
            tenant_id=uuid.UUID(claims["tid"]),
            object_id=uuid.UUID(claims["oid"]),
            identity_provider="" if provider in (claims["iss"], own_issuer()) else provider,
            name=str(claims.get("name") or "")[:200],
            address=str(claims.get("preferred_username") or claims.get("email") or "")[:254],
            roles=frozenset(APP_ROLES[role] for role in claims.get("roles") or [] if role in APP_ROLES),
            contexts=frozenset([contexts] if isinstance(contexts, str) else contexts),
        )

    def __str__(self) -> str:
        return f"{self.tenant_id}:{self.object_id}"


def own_issuer() -> str:
    return f"https://sts.windows.net/{settings.ENTRA['tenant_id']}/"


def admit(identity: Identity) -> User:
    """Return the person who signs in. Raises TurnedAway."""
    if not assurance.admits(settings.ENTRA_CONTEXT_SIGN_IN):
        raise TurnedAway(NOT_BOUND)
    if settings.ENTRA_CONTEXT_SIGN_IN not in identity.contexts:
        raise TurnedAway("no-second-factor")
    user = User.objects.filter(tenant_id=identity.tenant_id, object_id=identity.object_id).first()
    if user is not None and not user.is_active:
        raise TurnedAway("inactive")
    if identity.roles and not identity.identity_provider:
        return staff_member(user, identity)
    guest = Guest.objects.filter(user=user).first() if user else None
    if guest is None:
        raise TurnedAway("not-expected")
    return invited_guest(guest, identity)


def staff_member(user: User | None, identity: Identity) -> User:
    """A member of our tenant with an app role: made at first sign-in, roles refreshed at each."""
    user = user or User(tenant_id=identity.tenant_id, object_id=identity.object_id)
    user.display_name = identity.name or user.display_name
    user.email = identity.address
    user.staff_roles = sorted(identity.roles)
    user.roles_checked_at = timezone.now()
    user.save()
    return user


def refresh_roles(user: User, identity: Identity) -> None:
    """Take over the roles that a fresh token of a member of staff says: one that was taken away must not act."""
    if user.staff_roles:
        user.staff_roles = [] if identity.identity_provider else sorted(identity.roles)
        user.roles_checked_at = timezone.now()
        user.save(update_fields=["staff_roles", "roles_checked_at"])


def invited_guest(guest: Guest, identity: Identity) -> User:
    """The person whom our invitation expects, or a grant's holder who comes back."""
    user = guest.user
    if user.staff_roles:  # the app role was taken away in the directory
        user.staff_roles = []
        user.save(update_fields=["staff_roles"])
    if not organisations_of(user):
        raise TurnedAway("no-access")
    # One reason is lifted by this very sign-in (partners/redemption.py).
    if Suspension.objects.open().filter(user=user).exclude(reason=Suspension.Reason.IDENTITY).exists():
        raise TurnedAway("suspended")
    if redemption.awaits_new_link(guest):
        raise TurnedAway("identity-check")
    if not is_expected_account(guest, identity):
        raise TurnedAway("wrong-account", "partners/signin/wrong_account.jinja", guest=guest)
    if guest.redeemed_at is None and is_too_late(guest):
        raise TurnedAway("invitation-expired")
    return user


def is_too_late(guest: Guest) -> bool:
    """Whether somebody was invited, never came, and has no invitation left that still holds. Entra's never end."""
    waiting = [invitation for invitation in guest.invitations.all() if invitation.status in Invitation.UNREDEEMED]
    return bool(waiting) and all(
        invitation.status == Invitation.Status.EXPIRED or invitations.is_over(invitation) for invitation in waiting
    )


def is_expected_account(guest: Guest, identity: Identity) -> bool:
    """Whether the account behind the token is the one that was invited, not just the object it redeemed."""
    if not allowed_organisations(guest.user, identity.identity_provider):
        return False
    if guest.redeemed_at is None or identity.identity_provider == PASSCODE:
        # A colleague at the same organisation can redeem a forwarded link, too. Later an address may change.
        return addresses.folded(identity.address) == guest.address
    return True


def organisations_of(user: User) -> set[uuid.UUID]:
    """Organisations through which a guest has something to do here: as sponsor, or by a grant that isn't over."""
    grants = Grant.objects.filter(guest=user, ended_at=None, ends_at__gt=Now())
    sponsorships = user.sponsorships.filter(ended_at=None)
    return {*grants.values_list("organisation", flat=True), *sponsorships.values_list("organisation", flat=True)}


def allowed_organisations(user: User, identity_provider: str) -> list[PartnerOrganisation]:
    """Those of `organisations_of` that accept this identity provider; a member of our tenant has none to check."""
    mine = PartnerOrganisation.objects.filter(pk__in=organisations_of(user)).order_by("organisation__name")
    if not identity_provider:
        return list(mine)
    return list(mine.filter(identity_providers__issuer=identity_provider))


def capacities_of(user: User) -> list[str]:
    grants = Grant.objects.filter(guest=user, ended_at=None, ends_at__gt=Now())
    agreements = Agreement.objects.in_force().filter(may_look_up=True).values("organisation")
    found = {
        "guest": grants.exists(),
        "look_up": grants.filter(may_look_up=True, organisation__in=agreements).exists(),
        "sponsor": user.sponsorships.active().exists(),
    }
    return [capacity for capacity, holds in found.items() if holds]


class Adapter(DefaultSocialAccountAdapter):
    """allauth's questions about an Entra identity, answered by the rules above."""

    def get_requests_session(self) -> Session:
        return entra_session(timeout=(2.0, 3.0))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        identity = Identity.of(request.entra_claims)  # type: ignore[attr-defined]
        try:
            with transaction.atomic():
                user = admit(identity)
        except TurnedAway as away:
            raise ImmediateHttpResponse(turn_away(request, identity, away)) from away
        sociallogin.user = user

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        if exception is None and "state" not in (extra_context or {}):
            exception = idtoken.Invalid("state")  # nobody in this browser began it, whatever else it says
        raise ImmediateHttpResponse(self.refuse(request, exception or idtoken.Invalid("no-code")))

    def refuse(self, request: HttpRequest, trouble: object) -> HttpResponse:
        """The attempt failed before anyone was identified: a page with a way on, one line in the audit."""
        code = str(trouble) if isinstance(trouble, idtoken.Invalid) else type(trouble).__name__
        if request.GET.get("error") and code == "no-code":
            # The number is in the description only, and only some errors come back at all (entra.md, section 13).
            code = failures.number_in(request.GET.get("error_description", "")[:200]) or "declined-at-entra"
        log.warning("sign-in failed", code=code)
        audit.record_refusal(audit.Entry(audit.Type.SIGN_IN_REFUSED, reason=code))
        return refused(request, "partners/signin/refused.jinja", code)


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return "/"

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """allauth's "Successfully signed in as …" says nothing that the page does not."""


def turn_away(request: HttpRequest, identity: Identity, away: TurnedAway) -> HttpResponse:
    """Write the refusal down, after what was rolled back, and say what to do."""
    if away.guest is not None:
        invitations.wrong_account(away.guest, identity_provider=identity.identity_provider)
    if not identity.roles:
        # An app role that was taken away must not wait in an open session.
        User.objects.filter(tenant_id=identity.tenant_id, object_id=identity.object_id).update(staff_roles=[])
    audit.record_refusal(audit.Entry(audit.Type.SIGN_IN_REFUSED, identity=str(identity), reason=away.code))
    again = invitations.again_token(away.guest) if away.guest else ""
    return refused(request, away.template, away.code, used=identity.address, start_again=again)


def refused(request: HttpRequest, template: str, code: str, **context: Any) -> HttpResponse:
    """The page of a sign-in that failed: what it means and what to do, and a reference to read out on the phone."""
    failure = failures.sign_in(code)
    if not failure.known:
        signin_help.report_unknown(code)
    context |= {"failure": failure, "reference": short(request.id)}  # type: ignore[attr-defined]
    return render(request, template, context, status=403)


def short(request_id: str) -> str:
    """The first eight letters of a request id: enough to find it in log and audit, short enough to read out."""
    return request_id[:8].upper()


def sid_of(claims: dict[str, Any]) -> str:
    """The tenant's name for this browser's sign-in there; empty when the token has none that we can keep."""
    sid = str(claims.get("sid") or "")
    return sid if is_sid(sid) else ""


def is_sid(text: str) -> bool:
    return re.fullmatch(r"[!-~]{1,64}", text) is not None


@receiver(user_logged_in)
def begin_session(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """Start the session's clock, keep its proof of a second factor, choose the organisation where there is one."""
    identity = Identity.of(request.entra_claims)  # type: ignore[attr-defined]
    request.session.start()  # type: ignore[attr-defined]
    request.session[MFA] = timezone.now().isoformat()
    request.session[SID] = sid_of(request.entra_claims)  # type: ignore[attr-defined]
    choices = [] if user.staff_roles else allowed_organisations(user, identity.identity_provider)
    request.session["organisations"] = [str(organisation.pk) for organisation in choices]
    if len(choices) == 1:
        request.session[ORGANISATION] = str(choices[0].pk)
        user.acting_for = choices[0].pk
    request.session[CAPACITIES] = capacities_of(user)
    with transaction.atomic():
        if guest := Guest.objects.filter(user=user).first():
            invitations.complete(guest, identity_provider=identity.identity_provider)
            redemption.release(guest)
        audit.record(audit.Type.SIGNED_IN, by=user, detail={"acrs": sorted(identity.contexts)})
