"""Care plans, goals, requests and the team."""

from __future__ import annotations

from uuid import UUID

from clinicportal.models import User
from clinicportal.viewing import viewing
from records.chart.frame import chart_of, open_frame
from records.chart.rows import MOST_CURRENT, newest, reading
from records.display import care, pages
from records.models import Section

READ = reading(newest(MOST_CURRENT, section=Section.CARE_PLANS))


def page(patient_id: UUID, *, by: User) -> pages.CarePage:
    with viewing(by):
        frame = open_frame(patient_id, "care", READ, by=by, named=True)
    return pages.CarePage(chart_of(frame), care.sort(care.of(row.fhir, frame.zone) for row in frame.rows))
