"""One document, or one report among the results."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from clinicportal import audit
from clinicportal.middleware import Refused
from clinicportal.models import User
from clinicportal.viewing import viewing
from records import access, policies
from records.chart.frame import Frame, chart_of, open_frame
from records.chart.rows import ROW, Row, newest, reading
from records.display import documents, files, pages
from records.models import Section

READ = {
    "documents": reading(newest(1, pk=ROW, section=Section.DOCUMENTS), row=ROW),
    "results": reading(newest(1, pk=ROW, section=Section.RESULTS, type="DiagnosticReport"), row=ROW),
}
"""By the section under whose address it stands, which is the one that is written down."""


def page(patient_id: UUID, document_id: UUID, *, by: User, here: str = "documents") -> pages.DocumentPage:
    """One document. Raises Refused for one that is not there as for one that `by` may not see."""
    frame, row = open_document(patient_id, document_id, here, by=by)
    return pages.DocumentPage(chart_of(frame), documents.of(row.fhir, frame.zone, row=str(document_id)))


def file(
    patient_id: UUID, document_id: UUID, place: int, *, by: User, here: str = "documents", take: bool = False
) -> files.File:
    """One attachment of a document that is a file, to be looked at or taken away.

    Raises Refused like `page`, also when it is not one we hand on.
    """
    if take:
        policies.check_can_keep(by)
    with viewing(by):
        frame = open_frame(patient_id, here, READ[here], by=by, row=document_id)
        found = [files.of(attachment) for row in frame.rows for attachment in files.attachments(row.fhir)]
        held = found[place] if place < len(found) else None
        if held is None:
            raise Refused(refused(frame.patient.pk, document_id, here, by=by))
        if take:
            access.write_down(audit.Type.RECORD_TAKEN, frame.opened, here, by=by, object_id=str(document_id))
    return held


def open_document(patient_id: UUID, document_id: UUID, here: str, *, by: User) -> tuple[Frame, Row]:
    with viewing(by):
        frame = open_frame(patient_id, here, READ[here], by=by, named=True, row=document_id)
        if not frame.rows:
            raise Refused(refused(frame.patient.pk, document_id, here, by=by))
    return frame, frame.rows[0]


def refused(patient_id: UUID, document_id: UUID, here: str, *, by: User) -> audit.Entry:
    entry = partial(audit.Entry, audit.Type.RECORD_REFUSED, by=by, section=here)
    return entry(object_type="records.resource", object_id=str(document_id), subjects=(audit.Subject(patient_id),))
