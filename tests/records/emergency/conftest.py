"""The cast of an emergency: a guest with the right, a patient whom nobody may see, a reviewer, and their browsers."""

from __future__ import annotations

import pytest
from django.utils import timezone

from clinicportal.models import (
    User,
)
from records.models import (
    Agreement,
    Grant,
    OptOut,
    Patient,
)
from tests import factories as make
from tests.records.emergency.acts import WORKER
from tests.records.people import make_person
from tests.records.test_wall import save


@pytest.fixture
def right(grant: Grant, agreement: Agreement) -> Grant:
    for thing in (grant, agreement):
        save(thing, may_look_up=True, may_use_emergency_access=True)
    return grant


@pytest.fixture
def hidden(source) -> Patient:
    """In nobody's caseload, opted out, of a sensitive class."""
    patient = make_person(source, classes=["hiv"])
    OptOut.objects.using(WORKER).create(patient=patient)
    make.make_resource(patient, "demographics", "Patient", classes=["hiv"])
    for words, classes in (
        ("Known only in an emergency", ["hiv", "mental_health"]),
        ("A psychotherapy note", ["psychotherapy"]),
    ):
        make.make_resource(patient, "problems", classes=classes, label=words, body={"code": {"text": words}})
    return patient


@pytest.fixture
def proved(guest: User, right: Grant) -> User:
    """The guest, who confirmed a moment ago that it is them."""
    guest.proofs = {"c2": timezone.now()}
    return guest


@pytest.fixture
def reviewer(db) -> User:
    return make.make_user("Clinical Reviewer", staff_roles=["reviewer"], roles_checked_at=make.days(0))


@pytest.fixture
def desk(guest, right):
    return make.client_for(guest, capacities=["guest", "look_up"])


@pytest.fixture
def office(reviewer):
    return make.client_for(reviewer)
