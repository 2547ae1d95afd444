"""The demo: one organisation of ours with three facilities, three partners whose caseloads overlap, their sponsors.

Staff are not made here: an app role makes them at their first sign-in. The people are roles of the local
tenant (devtenant), whose object ids follow from their addresses.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from clinicportal.models import User
from partners.models import Domain, Guest, IdentityProvider, PartnerOrganisation, Sponsor
from records.demo import SOURCES, write_ndjson
from records.demo.cast import ORDINAL
from records.demo.people import person
from records.importing.running import import_files
from records.models import Agreement, Caseload, Facility, Organisation, Section, SensitiveClass, Source

SAY = Callable[[str], None]


@dataclass(frozen=True)
class DemoPartner:
    """A partner of the demo. `key` is what feeds call it (identifier system urn:clinicportal:partner)."""

    key: str
    name: str
    kind: str
    domain: str
    home_tenant: str
    classes: tuple[str, ...] = ()
    may_look_up: bool = False


NORTHFIELD = DemoPartner(
    "northfield", "Northfield Practice", PartnerOrganisation.Kind.PRACTICE, "northfield.example",
    "aaaaaaaa-0000-4000-8000-000000000001", (SensitiveClass.MENTAL_HEALTH, SensitiveClass.SEXUAL_HEALTH),
    may_look_up=True,
)  # fmt: skip
RIVERSIDE = DemoPartner(
    "riverside", "Riverside Hospital", PartnerOrganisation.Kind.HOSPITAL, "riverside.example",
    "aaaaaaaa-0000-4000-8000-000000000002",
)  # fmt: skip
WILLOWCOURT = DemoPartner(
    "willowcourt", "Willow Court", PartnerOrganisation.Kind.NURSING_HOME, "willowcourt.example",
    "aaaaaaaa-0000-4000-8000-000000000003",
)  # fmt: skip
ALL = (NORTHFIELD, RIVERSIDE, WILLOWCOURT)

SPONSORS = (("sponsor", "Sponsor", Sponsor.Kind.SPONSOR), ("deputy", "Deputy Sponsor", Sponsor.Kind.DEPUTY))
USUAL = [
    Section.DEMOGRAPHICS, Section.PROBLEMS, Section.MEDICINES, Section.ALLERGIES, Section.RESULTS,
    Section.IMMUNISATIONS,
]  # fmt: skip


def is_empty() -> bool:
    return not Organisation.objects.exists()


def seed(*, patients: int, seed: int, today: date, folder: Path | None, say: SAY) -> None:
    """Make everything that is missing. `folder`: FHIR files to import in place of the made-up patients."""
    facilities = synthea_facility() if folder else generated_facilities()
    with transaction.atomic():
        for partner in ALL:
            register(partner, list(facilities))
    say(f"{len(facilities)} of our facilities; partners: {', '.join(partner.name for partner in ALL)}.")
    if folder:
        (source,) = facilities.values()
        take(source, folder, say)
        say("The visits in this set are old: each patient counts as registered with the organisation of the last one.")
        return
    with tempfile.TemporaryDirectory() as scratch:
        say(f"Making {patients} patients up ...")
        write_ndjson(Path(scratch), patients=patients, seed=seed, today=today)
        for source in facilities.values():
            take(source, Path(scratch) / source.name, say)
    stranger = ORDINAL["two-sites-other"]
    if stranger < patients:
        who = person(stranger, seed=seed, today=today)
        say(
            f"In nobody's caseload, to be looked up: {' '.join(who.given)} {who.family}, born {who.born.isoformat()}, "
            f"record number {who.mrn} of {who.source.title}."
        )


def generated_facilities() -> dict[Facility, Source]:
    return {
        facility: Source.objects.get_or_create(
            name=made_up.name, defaults={"facility": facility, "mrn_system": made_up.mrn_system}
        )[0]
        for made_up in SOURCES
        for facility in [Facility.objects.get_or_create(name=made_up.title)[0]]
    }


def synthea_facility() -> dict[Facility, Source]:
    facility = Facility.objects.get_or_create(name="Main site")[0]
    defaults = {
        "facility": facility,
        "mrn_system": "http://hospital.smarthealthit.org",
        "registers_by_latest_visit": True,
    }
    return {facility: Source.objects.get_or_create(name="synthea", defaults=defaults)[0]}


def register(partner: DemoPartner, facilities: list[Facility]) -> None:
    """The register entry with agreement, caseloads, domain, identity provider and sponsors. Safe to repeat."""
    organisation = Organisation.objects.get_or_create(key=partner.key, defaults={"name": partner.name})[0]
    entry = PartnerOrganisation.objects.get_or_create(
        organisation=organisation, defaults={"kind": partner.kind, "usual_sections": USUAL}
    )[0]
    Domain.objects.get_or_create(organisation=entry, name=partner.domain)
    issuer = f"https://sts.windows.net/{partner.home_tenant}/"
    IdentityProvider.objects.get_or_create(organisation=entry, issuer=issuer)
    if not organisation.agreements.exists():
        now = timezone.now()
        agreement = Agreement.objects.create(
            organisation=organisation, sections=Section.values, classes=list(partner.classes),
            may_look_up=partner.may_look_up,
            starts_at=now - timedelta(days=365), ends_at=end_of(timezone.localdate().year + 1),
        )  # fmt: skip
        agreement.facilities.set(facilities)
    for facility in facilities:
        Caseload.objects.get_or_create(
            organisation=organisation, facility=facility, defaults={"name": f"Shared care, {facility.name}"}
        )
    for local_part, title, kind in SPONSORS:
        make_sponsor(entry, f"{local_part}@{partner.domain}", f"{partner.name.split()[0]} {title}", kind)


def end_of(year: int) -> datetime:
    """The exclusive end of "until 31 December"."""
    return timezone.make_aware(datetime(year + 1, 1, 1))  # noqa: DTZ001 - made aware here


def make_sponsor(entry: PartnerOrganisation, address: str, name: str, kind: str) -> None:
    user = User.objects.get_or_create(
        tenant_id=settings.ENTRA["tenant_id"],
        object_id=uuid.uuid5(uuid.NAMESPACE_URL, f"devtenant:{address}"),
        defaults={"display_name": name, "email": address},
    )[0]
    Guest.objects.get_or_create(user=user, defaults={"address": address})
    if not Sponsor.objects.active().filter(organisation=entry, user=user).exists():
        Sponsor.objects.create(organisation=entry, user=user, kind=kind)


def take(source: Source, folder: Path, say: SAY) -> None:
    result = import_files(source, [folder])
    run = result.run
    say(
        f"{source.facility}: {run.read:,} resources read, {run.created:,} new, {run.changed:,} changed, "
        f"{run.rejected:,} rejected, in {result.seconds:.0f} s."
    )
