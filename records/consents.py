"""When a patient refuses to be shared: FHIR R4 Consent resources to `OptOut` rows.

A refusal is a Consent that is active, about privacy, and denies: `provision.type` is deny (or the policy is
OPTOUT and the provision does not permit), at the root or in a nested provision. It holds

- against one organisation, when every actor it names is a partner of ours,
- against all otherwise: nobody named, or somebody we do not know, who may work anywhere,
- within the period of its provision.

What an opt-out cannot say is taken as the whole: a refusal of one kind of content (a label, a code, a document)
or with exceptions (a permit inside of a denial) is a refusal of all content. A refusal for purposes other than
treatment (research, payment) or of other acts than giving out (collecting, correcting) is none here. A permit adds
nothing and takes nothing away: another Consent's refusal stands until that Consent itself ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from records.caseloads import PARTNER_SYSTEM
from records.models import OptOut
from records.times import end_of, start_of

NOT_ABOUT_CARE = {"research", "adr"}
"""Scopes of Consent by which nothing is refused to those who treat: research, advance directives."""
NOT_TREATMENT = {"HRESCH", "HMARKT", "HPAYMT", "HOPERAT", "COVERAGE", "PUBHLTH"}
"""Purposes of use (HL7 v3-ActReason) that our partners do not read for."""
GIVING_OUT = {"access", "disclose", "use"}
OPT_OUT_POLICIES = {"OPTOUT", "OPTOUTE"}


@dataclass(frozen=True)
class Refusal:
    """Whom a Consent keeps out (None: all), from when (None: always) until when (exclusive; None: open)."""

    organisation_id: UUID | None
    starts_at: datetime | None
    ends_at: datetime | None


def refusals(consent: dict[str, Any], partners: Mapping[str, UUID]) -> set[Refusal]:
    """What `consent` refuses. `partners` knows the organisations of ours by `Type/id`, or by key."""
    if consent.get("status") != "active" or codes(consent.get("scope")) & NOT_ABOUT_CARE:
        return set()
    root = consent.get("provision") or {}
    opted_out = bool(codes(consent.get("policyRule")) & OPT_OUT_POLICIES)
    if root.get("type") == "deny" or (opted_out and root.get("type") != "permit"):
        return of_provision(root, partners, None)
    found: set[Refusal] = set()
    waiting = [(nested, root) for nested in root.get("provision") or ()]
    while waiting:
        provision, outer = waiting.pop()
        if provision.get("type") == "deny":
            found |= of_provision(provision, partners, outer)
        else:
            waiting += [(nested, provision) for nested in provision.get("provision") or ()]
    return found


def of_provision(provision: dict[str, Any], partners: Mapping[str, UUID], outer: dict[str, Any] | None) -> set[Refusal]:
    """A denial as refusals, one for each organisation that it is about."""
    purposes = {purpose.get("code") for purpose in provision.get("purpose") or ()}
    actions = {code for action in provision.get("action") or () for code in codes(action)}
    if (purposes and purposes <= NOT_TREATMENT) or (actions and not actions & GIVING_OUT):
        return set()
    period = provision.get("period") or (outer or {}).get("period") or {}
    starts_at, ends_at = start_of(period.get("start")), end_of(period.get("end"))
    organisations = {partner_of(actor, partners) for actor in provision.get("actor") or ()}
    if not organisations or None in organisations:
        organisations = {None}
    return {Refusal(organisation, starts_at, ends_at) for organisation in organisations}


def codes(concept: Any) -> set[str]:
    return {coding["code"] for coding in (concept or {}).get("coding") or () if coding.get("code")}


def partner_of(actor: dict[str, Any], partners: Mapping[str, UUID]) -> UUID | None:
    """The organisation of ours that an actor of a provision is; None for everybody else."""
    reference = actor.get("reference") or {}
    identifier = reference.get("identifier") or {}
    if identifier.get("system") == PARTNER_SYSTEM:
        return partners.get(str(identifier.get("value")))
    return partners.get(str(reference.get("reference")))


def apply(patient_id: UUID, evidence: str, wanted: Iterable[Refusal], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Make the opt-outs that rest on `evidence` those of `wanted`: new ones begin, others end now. Idempotent."""
    rows = OptOut.objects.using(using).filter(patient_id=patient_id, evidence=evidence)
    standing = {row.organisation_id: row for row in rows.filter(Q(ends_at=None) | Q(ends_at__gt=Now()))}
    wanted_by = longest(one for one in wanted if one.ends_at is None or one.ends_at > timezone.now())
    for organisation_id, row in standing.items():
        refusal = wanted_by.get(organisation_id)
        if refusal is None:
            rows.filter(pk=row.pk).update(ends_at=Now())
        elif refusal.ends_at != row.ends_at or (refusal.starts_at and refusal.starts_at != row.starts_at):
            rows.filter(pk=row.pk).update(ends_at=refusal.ends_at, starts_at=refusal.starts_at or row.starts_at)
    for organisation_id, refusal in wanted_by.items():
        if organisation_id not in standing:
            times = {"starts_at": refusal.starts_at} if refusal.starts_at else {}
            OptOut.objects.using(using).create(
                patient_id=patient_id, organisation_id=organisation_id, evidence=evidence, ends_at=refusal.ends_at,
                **times,
            )  # fmt: skip


def longest(refusals: Iterable[Refusal]) -> dict[UUID | None, Refusal]:
    """One refusal for each organisation: from the earliest start to the latest end."""
    found: dict[UUID | None, Refusal] = {}
    for one in refusals:
        known = found.get(one.organisation_id, one)
        starts_at = min(known.starts_at, one.starts_at) if known.starts_at and one.starts_at else None
        ends_at = max(known.ends_at, one.ends_at) if known.ends_at and one.ends_at else None
        found[one.organisation_id] = Refusal(one.organisation_id, starts_at, ends_at)
    return found
