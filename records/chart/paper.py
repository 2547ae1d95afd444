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
from records import access
from records.chart.frame import Frame
from records.chart.rows import Row
from records.labels import REQUEST
from records.models import Resource, SensitiveClass

NOT_TO_THE_PATIENT = '"NOPAT"'


def for_paper(frame: Frame, *, by: User) -> Frame:
    """The frame without what does not go onto paper. Runs inside `viewing(by)`.

    Raises Refused when the record was closed since it was read: empty sections would be taken for the patient's.
    """
    read = [row.id for row in (*frame.banner, *frame.rows)]
    labels = labels_of(read, by=by)
    if read and not labels:
        raise access.refused(frame.patient.pk, frame.here, by=by)
    allowed = may_be_on_paper(labels)

    def left(rows: Iterable[Row]) -> tuple[Row, ...]:
        return tuple(row for row in rows if row.id in allowed and NOT_TO_THE_PATIENT not in row.raw + row.medication)

    return replace(frame, banner=left(frame.banner), rows=left(frame.rows))


Labels = tuple[UUID, list[str], list[str]]
"""An id, its classes, and what set them."""


def labels_of(ids: list[UUID], *, by: User) -> list[Labels]:
    """Of those that `by` sees now: one that was labelled since it was read, so that it is hidden, is not among them."""
    held = Resource.objects.visible_to(by).filter(pk__in=ids)
    return list(held.values_list("pk", "classes", "labelled_by"))


def may_be_on_paper(labels: Iterable[Labels]) -> set[UUID]:
    return {
        id
        for id, classes, labelled_by in labels
        if SensitiveClass.OTHER not in classes and not any(how.startswith(f"{REQUEST} ") for how in labelled_by)
    }
