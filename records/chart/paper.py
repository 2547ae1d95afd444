"""What does not go onto paper: it may come into the hands of the patient, of parents, of whoever is at home.

Left out, though the reader may see it on the screen: what is labelled as an adolescent's own, as withheld from the
patient until it was discussed, or at the patient's request (all of class "other", records/labels.py), what a patient
asked to be held back under any class, and what says "not to the patient or family" (HL7 v3-ActCode NOPAT). The page
says so in a line that is the same for every patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from clinicportal.models import User
from records.chart.frame import Frame
from records.chart.rows import Row
from records.labels import REQUEST
from records.models import Resource, SensitiveClass

NOT_TO_THE_PATIENT = '"NOPAT"'


def for_paper(frame: Frame, *, by: User) -> Frame:
    """The frame without what does not go onto paper. Runs inside `viewing(by)`."""
    kept_off = labelled_so([row.id for row in (*frame.banner, *frame.rows)], by=by)

    def left(rows: Iterable[Row]) -> tuple[Row, ...]:
        return tuple(
            row for row in rows if row.id not in kept_off and NOT_TO_THE_PATIENT not in row.raw + row.medication
        )

    return replace(frame, banner=left(frame.banner), rows=left(frame.rows))


def labelled_so(ids: list[UUID], *, by: User) -> set[UUID]:
    labelled = Resource.objects.visible_to(by).filter(pk__in=ids).exclude(classes=[])
    return {
        id
        for id, classes, labelled_by in labelled.values_list("pk", "classes", "labelled_by")
        if SensitiveClass.OTHER in classes or any(how.startswith(f"{REQUEST} ") for how in labelled_by)
    }
