"""Rows for tests, written by the role that writes them in production."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.test import Client
from django.utils import timezone

from clinicportal.middleware import CAPACITIES, MFA, ORGANISATION, PROOFS
from clinicportal.models import Terms, TermsAcceptance, User
from clinicportal.sessions import SessionStore
from records.models import (
    Agreement,
    Caseload,
    EmergencyAccess,
    Facility,
    Grant,
    Membership,
    Organisation,
    Patient,
    Resource,
    ResourceVersion,
    Section,
    Source,
)
from records.tokens import name_key

WORKER = "worker"
YEAR = timedelta(days=365)


def days(number: float) -> Any:
    """A time `number` days from now."""
    return timezone.now() + timedelta(days=number)


def make_user(name: str = "Practice Nurse", *, accepts_terms: bool = True, **fields: Any) -> User:
    fields = {"tenant_id": uuid.uuid4(), "object_id": uuid.uuid4(), **fields}
    user = User.objects.create(display_name=name, **fields)
    if accepts_terms:
        TermsAcceptance.objects.create(user=user, terms=Terms.objects.get(version=1))
    return user


def signed_in(user: User, organisation: Organisation | None, *, mfa: bool = True) -> User:
    """`user` as the session middleware would present them."""
    user.acting_for = organisation and organisation.pk
    user.mfa_proved = mfa
    return user


def make_facility(name: str = "Main site") -> Facility:
    return Facility.objects.using(WORKER).create(name=name)


def make_source(facility: Facility, name: str = "main") -> Source:
    return Source.objects.using(WORKER).create(name=name, facility=facility, mrn_system="urn:test:mrn")


def make_organisation(name: str = "Partner B") -> Organisation:
    return Organisation.objects.using(WORKER).create(name=name)


def make_agreement(organisation: Organisation, *facilities: Facility, **fields: Any) -> Agreement:
    fields = {"sections": Section.values, "starts_at": days(-30), "ends_at": days(365), **fields}
    agreement = Agreement.objects.using(WORKER).create(organisation=organisation, **fields)
    agreement.facilities.set(facilities)
    return agreement


def make_patient(source: Source, family: str = "Testpatient", given: str = "Alpha", **fields: Any) -> Patient:
    fields = {"fhir_id": uuid.uuid4().hex, **fields}
    fields = {"sort_name": f"{family} {given}".lower(), "name_key": name_key(family, given), **fields}
    return Patient.objects.using(WORKER).create(id=uuid.uuid4(), source=source, family=family, given=given, **fields)


def make_caseload(organisation: Organisation, facility: Facility, *patients: Patient, name: str = "") -> Caseload:
    caseload = Caseload.objects.using(WORKER).create(
        organisation=organisation, facility=facility, name=name or f"Shared care, {facility.name}"
    )
    for patient in patients:
        make_membership(caseload, patient)
    return caseload


def make_membership(caseload: Caseload, patient: Patient, **fields: Any) -> Membership:
    fields = {"basis": Membership.Basis.REGISTRATION, "starts_at": days(-10), **fields}
    return Membership.objects.using(WORKER).create(caseload=caseload, patient=patient, **fields)


def make_grant(guest: User, caseload: Caseload | None = None, **fields: Any) -> Grant:
    fields = {
        "sections": [Section.DEMOGRAPHICS, Section.PROBLEMS, Section.RESULTS],
        "starts_at": days(-1),
        "ends_at": days(90),
        "given_by": "an approver",
        **fields,
    }
    organisation = fields.pop("organisation", None) or (caseload and caseload.organisation)
    return Grant.objects.using(WORKER).create(guest=guest, organisation=organisation, caseload=caseload, **fields)


def make_emergency(guest: User, patient: Patient | uuid.UUID, **fields: Any) -> EmergencyAccess:
    """An emergency access of `guest` that began five minutes ago, for the organisation they act for."""
    begun = timezone.now() - timedelta(minutes=5)
    fields = {
        "organisation_id": guest.acting_for,
        "reason": "Unconscious after a fall, medicines not known",
        "status": EmergencyAccess.Status.OPENED,
        "proof": EmergencyAccess.Proof.STRONGER,
        "started_at": begun,
        "ends_at": begun + timedelta(hours=1),
        "facilities": list(Facility.objects.values_list("pk", flat=True)),
        **fields,
    }
    patient_id = patient if isinstance(patient, uuid.UUID) else patient.pk
    return EmergencyAccess.objects.using(WORKER).create(guest=guest, patient_id=patient_id, **fields)


def make_resource(patient: Patient, section: str | None = Section.PROBLEMS, type: str = "Condition", **fields: Any):
    """A resource of `patient`; `body` is its FHIR text as a dict."""
    key = uuid.uuid4()
    body = {"resourceType": type, "id": key.hex, **fields.pop("body", {})}
    raw = json.dumps(body)
    fields = {"facility": patient.source.facility, "label": "A thing", "time": days(-5), **fields}
    return Resource.objects.using(WORKER).create(
        id=key,
        source=patient.source,
        type=type,
        fhir_id=key.hex,
        patient=patient,
        section=section,
        digest=hashlib.sha256(raw.encode()).digest(),
        raw=raw,
        **fields,
    )


def make_version(resource: Resource, **fields: Any) -> ResourceVersion:
    """An earlier version of `resource`, as the importer keeps it."""
    fields = {"number": 1, "patient_id": resource.patient_id, "section": resource.section, **fields}
    fields = {"received_at": days(-9), "raw": resource.raw, **fields}
    return ResourceVersion.objects.using(WORKER).create(resource=resource, **fields)


def client_for(user: User, **session: Any) -> Client:
    """A browser in which `user` signed in a moment ago, by the session that the sign-in would have made."""
    store = SessionStore()
    store.start()
    store.update(
        {
            SESSION_KEY: str(user.pk),
            BACKEND_SESSION_KEY: "allauth.account.auth_backends.AuthenticationBackend",
            HASH_SESSION_KEY: user.get_session_auth_hash(),
            MFA: timezone.now().isoformat(),
            CAPACITIES: ["guest"] if user.acting_for else [],
            PROOFS: {context: at.isoformat() for context, at in user.proofs.items()},
            **({ORGANISATION: str(user.acting_for)} if user.acting_for else {}),
            **session,
        }
    )
    store.create()
    client = Client(headers={"host": "portal.localhost"})
    client.cookies[settings.SESSION_COOKIE_NAME] = store.session_key
    return client
