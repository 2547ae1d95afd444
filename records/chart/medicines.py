"""Current and past medicines."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from clinicportal.models import User
from clinicportal.viewing import viewing
from records.chart.frame import Frame, chart_of, open_frame
from records.chart.rows import MOST_CURRENT, Row, newest, of_type, reading
from records.display import dates, medicines, pages
from records.models import Section

READ = reading(newest(MOST_CURRENT, section=Section.MEDICINES))


def page(patient_id: UUID, *, by: User, past: bool) -> pages.MedicinesPage:
    with viewing(by):
        frame = open_frame(patient_id, "medicines", READ, by=by, named=True)
    held = medicines_of(frame.rows, frame)
    return pages.MedicinesPage(chart_of(frame), held, held.past if past else held.current, past)


def medicines_of(rows: Iterable[Row], frame: Frame) -> medicines.Medicines:
    held = of_type(rows, "MedicationRequest", "MedicationStatement")
    return medicines.sort((medicine_of(row, frame) for row in held), frame.today)


def medicine_of(row: Row, frame: Frame) -> medicines.Medicine:
    changed = dates.of_moment(row.last_updated, frame.zone) if row.last_updated else None
    return medicines.of(row.fhir, frame.today, frame.zone, facility=frame.facility, changed=changed)
