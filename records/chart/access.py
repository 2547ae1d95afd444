"""Why a record is open to the reader, by whose leave, and until when."""

from __future__ import annotations

import re
from datetime import tzinfo
from uuid import UUID

from clinicportal.models import User
from clinicportal.viewing import viewing
from records import access
from records.chart.frame import chart_of, open_frame, until
from records.display import codes, pages
from records.models import Section


def page(patient_id: UUID, *, by: User) -> pages.AccessPage:
    with viewing(by):
        frame = open_frame(patient_id, "access", by=by)
    return pages.AccessPage(chart_of(frame), tuple(_basis(basis, frame.zone) for basis in frame.opened.bases))


def _basis(basis: access.Basis, zone: tzinfo) -> pages.Basis:
    sections = [str(section.label) for section in Section if section in basis.sections]
    return pages.Basis(
        label=basis.label,
        caseload=basis.caseload,
        facility=basis.facility,
        purpose=basis.purpose,
        # "tid:oid name": ids are for the audit, the name is for the reader.
        given_by=re.sub(r"^[0-9a-f-]{36}:[0-9a-f-]{36} ", "", basis.given_by),
        until=until(basis.ends_at, zone),
        sections=codes.joined(sections),
    )
