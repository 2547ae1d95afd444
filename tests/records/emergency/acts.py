"""What people do in an emergency, and what is seen of it."""

from __future__ import annotations

from typing import Any

from clinicportal import audit
from clinicportal.models import (
    AuditEvent,
    User,
)
from clinicportal.viewing import viewing
from records import emergencies
from records.models import (
    EmergencyAccess,
    Patient,
)
from tests.records.people import typed

WORKER = "worker"
REASON = "Unconscious after a fall, medicines not known"
Status = EmergencyAccess.Status


def asks(by: User, facility, **what: Any) -> EmergencyAccess:
    asked = emergencies.ask(typed(facility, **what), by=by)
    emergencies.give_reason(asked, REASON, by=by)
    return asked


def begins(by: User, facility, **what: Any) -> EmergencyAccess:
    return emergencies.begin(asks(by, facility, **what).pk, by=by)


def events(*types: str) -> list[AuditEvent]:
    return list(audit.trail().filter(type__in=types).order_by("recorded"))


def sees(user: User, patient: Patient) -> bool:
    with viewing(user):
        return Patient.objects.visible_to(user).filter(pk=patient.pk).exists()
