"""Current and past medicines."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from clinicportal.models import User
from clinicportal.viewing import viewing
from records.chart import further
from records.chart.frame import Frame, chart_of, open_frame
from records.chart.rows import Row, newest, of_type, reading
from records.display import dates, medicines, pages
from records.display.entry import Entry
from records.models import Section

MOST_SUPPLIES = 100
"""Dispenses and doses among which the last of each prescription is looked for, the newest."""

READ = reading(
    newest(MOST_SUPPLIES, section=Section.MEDICINES, type__in=further.KINDS["supplies"].types),
    whole={Section.MEDICINES: ("MedicationRequest", "MedicationStatement")},
)


def page(patient_id: UUID, *, by: User, past: bool) -> pages.MedicinesPage:
    with viewing(by):
        frame = open_frame(patient_id, "medicines", READ, by=by, named=True)
    held = medicines_of(frame.rows, frame)
    beside = further.on_page(frame)
    shown = held.past if past else held.current
    return pages.MedicinesPage(chart_of(frame), held, shown, past, beside, last_supplied(frame))


def last_supplied(frame: Frame) -> dict[str, Entry]:
    """The newest dispense or dose of each prescription that stands, under its `Type/id`."""
    rows = frame.of_type(*further.KINDS["supplies"].types)
    done = [one for one in further.entries_of(rows, frame) if one.stands and one.when.known]
    return {one.about: one for one in reversed(done) if one.about}


def medicines_of(rows: Iterable[Row], frame: Frame) -> medicines.Medicines:
    held = of_type(rows, "MedicationRequest", "MedicationStatement")
    return medicines.sort((medicine_of(row, frame) for row in held), frame.today)


def medicine_of(row: Row, frame: Frame) -> medicines.Medicine:
    changed = dates.of_moment(row.last_updated, frame.zone) if row.last_updated else None
    return medicines.of(row.fhir, frame.today, frame.zone, facility=frame.facility, changed=changed)
