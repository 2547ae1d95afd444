"""Whether an authentication context means anything: a policy that asks for a second factor stands behind it.

Entra issues a context (`acrs`) even when no policy is bound to it. So the worker reads the tenant's policies each hour.
What it read holds for a day. Where the tenant cannot be read, an operator's dated attestation has to stand instead.
Neither: nobody new comes in, and who is in stays (docs/decisions/0017-context-assurance.md).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from clinicportal import audit
from clinicportal.models import User
from partners import dates, entra, incidents, policies
from partners.models import Attestation, ContextCheck, IdentityProvider, Incident

log = structlog.get_logger(__name__)

HOLDS = dt.timedelta(hours=24)
AGAIN = dt.timedelta(hours=1)
AGAIN_AFTER_TROUBLE = dt.timedelta(minutes=5)
AGAIN_WHEN_UNBOUND = dt.timedelta(minutes=1)
"""Nobody can sign in: the portal notices soon that it was mended."""
LEASE = dt.timedelta(minutes=2)
WARN = dt.timedelta(days=7)
"""How long before its end the operator is told that an attestation runs out."""
HOME_TENANT = "https://sts.windows.net/"


class State(StrEnum):
    CHECKED = "checked"
    ATTESTED = "attested"
    UNBOUND = "unbound"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Standing:
    """What a context is worth now, and by whose word."""

    context: str
    state: State
    check: ContextCheck | None = None
    attestation: Attestation | None = None

    @property
    def admits(self) -> bool:
        return self.state in (State.CHECKED, State.ATTESTED)


def contexts() -> list[str]:
    """Those that the portal uses, the one of sign-in first."""
    return list(dict.fromkeys([settings.ENTRA_CONTEXT_SIGN_IN, *settings.STEP_UP.values()]))


def standing(context: str) -> Standing:
    """Deny by default: a context is worth something by a recent answer of the tenant, or by an attestation.

    An answer of the tenant outweighs an attestation; one of "not bound" ends those that were made before it.
    """
    check = ContextCheck.objects.filter(pk=context).annotate(recent=Q(answered_at__gt=Now() - HOLDS)).first()
    if check and check.recent:
        return Standing(context, State.CHECKED if check.bound else State.UNBOUND, check)
    attestation = Attestation.objects.filter(context=context).first()
    if attestation is not None and _stands(attestation, check):
        return Standing(context, State.ATTESTED, check, attestation)
    return Standing(context, State.UNKNOWN, check)


def _stands(attestation: Attestation, check: ContextCheck | None) -> bool:
    in_time = Q(pk=attestation.pk, until__gt=Now())
    contradicted = check is not None and check.bound is False
    since = Q(made_at__gt=check.answered_at) if contradicted and check else Q()
    return Attestation.objects.filter(in_time, since).exists()


def shaky() -> bool:
    """Whether the operator should look: some context stands by somebody's word only, or not at all."""
    return any(standing(context).state != State.CHECKED for context in contexts())


def admits(context: str) -> bool:
    return standing(context).admits


# ---------------------------------------------------------------- reading the tenant


def check_when_due(graph: entra.Graph) -> bool:
    """Ask the tenant if it is time to. Returns whether it was; of several workers one asks."""
    ContextCheck.objects.bulk_create([ContextCheck(context=name) for name in contexts()], ignore_conflicts=True)
    mine = ContextCheck.objects.filter(pk__in=contexts(), due_at__lte=Now()).update(due_at=Now() + LEASE)
    if mine:
        check(graph)
    return bool(mine)


def check(graph: entra.Graph) -> None:
    """Read the policies, note the answer for each context, and tell the operator what only they can mend."""
    ContextCheck.objects.bulk_create([ContextCheck(context=name) for name in contexts()], ignore_conflicts=True)
    rows = ContextCheck.objects.filter(pk__in=contexts())
    try:
        found = graph.conditional_access(people())
    except (entra.TryLater, entra.Refused) as problem:
        log.warning("policies not read", problem=problem.code)
        rows.update(tried_at=Now(), trouble=problem.code, due_at=Now() + AGAIN_AFTER_TROUBLE)
    else:
        for context in contexts():
            because = entra.why_not_bound(found, context)
            rows.filter(pk=context).update(
                bound=not because,
                because=because,
                answered_at=Now(),
                tried_at=Now(),
                trouble="",
                due_at=Now() + (AGAIN_WHEN_UNBOUND if because else AGAIN),
            )
    for context in contexts():
        _tell(standing(context))


def people() -> entra.People:
    """Whom a policy has to reach: the access group, and the tenants that our partners' people come from."""
    issuers = set(IdentityProvider.objects.values_list("issuer", flat=True))
    tenants = {issuer.removeprefix(HOME_TENANT).strip("/") for issuer in issuers if issuer.startswith(HOME_TENANT)}
    others = any(not issuer.startswith(HOME_TENANT) for issuer in issuers)
    return entra.People(settings.ENTRA["group_id"], frozenset(tenants), others)


def _tell(now: Standing) -> None:
    if now.state == State.UNBOUND and now.check:
        incidents.report("context_not_bound", detail=f"{now.context}: {now.check.because}")
    elif now.state == State.UNKNOWN:
        incidents.report("context_unknown", detail=now.context)
    elif now.attestation and Attestation.objects.filter(pk=now.attestation.pk, until__lte=Now() + WARN).exists():
        detail = f"{now.context}, {dates.words_for(dates.last_day(now.attestation.until))}"
        # Once: nothing is wrong yet, and a person who closed it knows.
        if not Incident.objects.filter(code="attestation_ends", detail=detail).exists():
            incidents.report("attestation_ends", detail=detail)


# ---------------------------------------------------------------- an operator's word


def attest(context: str, *, until: dt.datetime, by: User) -> Attestation:
    """An operator says that they looked, and that a policy is bound to the context. `until` is exclusive."""
    policies.check_is_operator(by)
    return _attest(context, until, name=by.display_name, by=by)


def attest_by_hand(context: str, *, until: dt.datetime, name: str) -> Attestation:
    """The same from the command line of the worker's machine, without which nobody could come in to say it."""
    return _attest(context, until, name=name, by=None)


@transaction.atomic
def _attest(context: str, until: dt.datetime, *, name: str, by: User | None) -> Attestation:
    if context not in contexts():
        raise ValueError(_("The portal uses %(contexts)s.") % {"contexts": ", ".join(contexts())})
    if not dates.end_of(dates.today()) <= until <= dates.end_of(latest_day()):
        raise ValueError(wrong_day())
    attestation = Attestation.objects.create(context=context, until=until, by_name=name)
    detail = {"context": context, "until": until.isoformat(), "by": name}
    audit.record(audit.Type.CONTEXT_ATTESTED, attestation, by=by, detail=detail)
    return attestation


def latest_day() -> dt.date:
    return dates.today() + Attestation.LONGEST


def wrong_day() -> str:
    return _("Choose a day from today until %(day)s.") % {"day": dates.words_for(latest_day())}


def purpose(context: str) -> str:
    """What the portal needs a context for, in words."""
    if context == settings.ENTRA_CONTEXT_SIGN_IN:
        return _("Signing in (%(context)s)") % {"context": context}
    return _("Approving (%(context)s)") % {"context": context}
