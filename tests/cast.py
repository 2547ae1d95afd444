"""The cast: the same people and things throughout the tests."""

from __future__ import annotations

import pytest

from clinicportal.models import User
from records.models import Agreement, Caseload, Facility, Grant, Organisation, Patient, Source
from tests import factories as make


@pytest.fixture
def facility(db: None) -> Facility:
    return make.make_facility()


@pytest.fixture
def source(facility: Facility) -> Source:
    return make.make_source(facility)


@pytest.fixture
def organisation(db: None) -> Organisation:
    return make.make_organisation()


@pytest.fixture
def agreement(organisation: Organisation, facility: Facility) -> Agreement:
    return make.make_agreement(organisation, facility)


@pytest.fixture
def patient(source: Source) -> Patient:
    return make.make_patient(source)


@pytest.fixture
def stranger(source: Source) -> Patient:
    """A patient in no caseload."""
    return make.make_patient(source, family="Elsewhere", given="Omega")


@pytest.fixture
def caseload(organisation: Organisation, facility: Facility, patient: Patient) -> Caseload:
    return make.make_caseload(organisation, facility, patient)


@pytest.fixture
def guest(organisation: Organisation) -> User:
    return make.signed_in(make.make_user("Practice Nurse"), organisation)


@pytest.fixture
def outsider(organisation: Organisation) -> User:
    """Signed in for the same organisation, without a grant."""
    return make.signed_in(make.make_user("Other Nurse"), organisation)


@pytest.fixture
def grant(guest: User, caseload: Caseload, agreement: Agreement) -> Grant:
    return make.make_grant(guest, caseload)
