"""Rows of the chart read as results, with the earlier value of those that were corrected."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from records.chart.frame import Frame
from records.chart.rows import Row, of_type
from records.display import banner, fhir, results


def results_of(rows: Iterable[Row], frame: Frame, earlier: dict[UUID, fhir.Json] | None = None) -> list[results.Result]:
    person = banner.person(frame.about, frame.today)
    return [
        results.of(row.fhir, frame.zone, person=person, earlier=(earlier or {}).get(row.id), row=str(row.id))
        for row in of_type(rows, "Observation")
    ]
