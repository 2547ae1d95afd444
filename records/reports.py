"""What readers say is wrong with a record: a queue that privacy officers work off.

The reader must be able to open the record at that moment; what they wrote is kept with the patient's id and no name.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import User
from records import access, policies
from records.models import RecordReport

LONGEST = 4000


def file(patient_id: UUID, *, by: User, section: str, kind: str, text: str) -> RecordReport:
    """Put a report into the queue. Raises Refused for a record that `by` may not open. Runs inside `viewing(by)`."""
    opened = access.open_record(patient_id, "report", by=by)
    report = RecordReport.objects.create(
        patient_id=opened.patient.pk,
        section=section[:20],
        kind=kind,
        text=text[:LONGEST],
        reported_by=by,
        organisation_id=by.acting_for,
    )
    access.write_down(
        audit.Type.RECORD_REPORTED, opened, section, by=by, object_id=str(report.pk), detail={"kind": kind}
    )
    return report


@transaction.atomic
def close(report: RecordReport, *, by: User, outcome: str) -> bool:
    """Say what was done. False when somebody else closed it first."""
    policies.check_can_judge_reports(by)
    open_one = RecordReport.objects.filter(pk=report.pk, closed_at=None)
    if not open_one.update(closed_at=timezone.now(), closed_by=by, outcome=outcome[:LONGEST]):
        return False
    audit.record(audit.Type.REPORT_CLOSED, report, by=by, subjects=[audit.Subject(report.patient_id)])
    return True
