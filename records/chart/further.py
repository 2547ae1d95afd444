"""Entries beside the main list of a page: the newest stand on the page itself, all of them on a list of their own.

What belongs to a section and is granted with it must be readable somewhere; here is where. Imaging studies stand among
the results (results.py), compositions and forms among the documents (lists.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from django.http import Http404

from clinicportal.addresses import path_to
from clinicportal.middleware import Refused
from clinicportal.models import User
from clinicportal.texts import gettext_lazy
from clinicportal.viewing import viewing
from records.chart import rows as row_lists
from records.chart.documents import refused
from records.chart.frame import Frame, chart_of, open_frame
from records.chart.rows import ROW, Part, Row, list_reading, newest, of_type, reading
from records.compiled import Reading
from records.display import entries, pages
from records.display.entry import Entry
from records.models import Section

FEW = 10
"""So many stand on the page itself."""


@dataclass(frozen=True)
class Kind:
    """`here` is the page that they belong to, which is the one that is written down; `nothing` is said when empty."""

    here: str
    section: Section
    types: tuple[str, ...]
    title: object
    nothing: object


KINDS: dict[str, Kind] = {
    "supplies": Kind(
        "medicines",
        Section.MEDICINES,
        ("MedicationDispense", "MedicationAdministration"),
        gettext_lazy("Dispensed and given"),
        gettext_lazy("This view holds no medicine that was dispensed or given."),
    ),
    "impressions": Kind(
        "problems",
        Section.PROBLEMS,
        ("ClinicalImpression",),
        gettext_lazy("Clinical impressions"),
        gettext_lazy("This view holds no clinical impression of this patient."),
    ),
    "family": Kind(
        "problems",
        Section.PROBLEMS,
        ("FamilyMemberHistory",),
        gettext_lazy("Family history"),
        gettext_lazy("This view holds no family history of this patient."),
    ),
    "devices": Kind(
        "procedures",
        Section.PROCEDURES,
        ("DeviceUseStatement", "Device"),
        gettext_lazy("Devices and implants"),
        gettext_lazy("This view holds no device of this patient."),
    ),
    "appointments": Kind(
        "encounters",
        Section.ENCOUNTERS,
        ("Appointment",),
        gettext_lazy("Appointments"),
        gettext_lazy("This view holds no appointment of this patient."),
    ),
    "episodes": Kind(
        "encounters",
        Section.ENCOUNTERS,
        ("EpisodeOfCare",),
        gettext_lazy("Episodes of care"),
        gettext_lazy("This view holds no episode of care of this patient."),
    ),
    "due": Kind(
        "immunisations",
        Section.IMMUNISATIONS,
        ("ImmunizationRecommendation",),
        gettext_lazy("Recommended vaccines"),
        gettext_lazy("This view holds no recommendation of a vaccine."),
    ),
    "relatives": Kind(
        "summary",
        Section.DEMOGRAPHICS,
        ("RelatedPerson",),
        gettext_lazy("Relatives and contacts"),
        gettext_lazy("This view holds no relative or contact with an entry of their own."),
    ),
}

OF_RESULTS = Kind("results", Section.RESULTS, ("ImagingStudy",), gettext_lazy("Imaging"), "")


def kinds_of(here: str) -> dict[str, Kind]:
    return {name: kind for name, kind in KINDS.items() if kind.here == here}


def few(here: str) -> list[Part]:
    """The parts of a page's statement that read them."""
    return [newest(FEW + 1, section=kind.section, type__in=kind.types) for kind in kinds_of(here).values()]


def on_page(frame: Frame) -> tuple[pages.Further, ...]:
    """Those that the page of `frame` read, a table for each kind; without entries to be named as missing."""
    return tuple(
        pages.Further(
            name,
            str(kind.title),
            entries_of(of_type(frame.rows, *kind.types)[:FEW], frame),
            mixed=len(kind.types) > 1,
            more=path_to("records:further", frame.patient.pk, name)
            if len(of_type(frame.rows, *kind.types)) > FEW
            else "",
        )
        for name, kind in kinds_of(frame.here).items()
    )


def entries_of(rows: Iterable[Row], frame: Frame) -> tuple[Entry, ...]:
    return entries.sort(
        entries.of(row.fhir | {"resourceType": row.type}, frame.today, frame.zone, row=str(row.id)) for row in rows
    )


def page(patient_id: UUID, name: str, *, by: User, before: UUID | None = None) -> pages.FurtherPage:
    """All of one kind, newest first, what follows `before`. Raises Http404 for a kind that there is not."""
    kind = KINDS.get(name)
    if kind is None:
        raise Http404
    most = row_lists.PAGE
    asked = {"row": before} if before else {}
    read = list_reading(kind.section, kind.types, most + 1, continued=before is not None)
    with viewing(by):
        frame = open_frame(patient_id, kind.here, read, by=by, named=True, **asked)
    held = frame.rows
    return pages.FurtherPage(
        chart_of(frame),
        pages.Further(
            name, str(kind.title), entries_of(held[:most], frame), len(kind.types) > 1, nothing=str(kind.nothing)
        ),
        section=kind.section,
        earlier=str(held[most - 1].id) if len(held) > most else None,
        continued=before is not None,
    )


@cache
def one(here: str) -> Reading:
    """An entry by its id, and devices, from which their uses have a name."""
    kinds = [OF_RESULTS] if here == OF_RESULTS.here else list(kinds_of(here).values())
    parts = [newest(1, pk=ROW, section=kind.section, type__in=kind.types) for kind in kinds]
    if here == KINDS["devices"].here:
        parts.append(newest(row_lists.PAGE, section=Section.PROCEDURES, type="Device"))
    return reading(*parts, row=ROW)


def entry_page(patient_id: UUID, here: str, entry: UUID, *, by: User) -> pages.EntryPage:
    """Raises Refused for an entry that is not there as for one that `by` may not see; Http404 for no such page."""
    if not kinds_of(here) and here != OF_RESULTS.here:
        raise Http404
    with viewing(by):
        frame = open_frame(patient_id, here, one(here), by=by, named=True, row=entry)
        if entry not in {row.id for row in frame.rows}:
            raise Refused(refused(frame.patient.pk, entry, here, by=by))
    found = next(held for held in entries_of(frame.rows, frame) if held.row == str(entry))
    return pages.EntryPage(chart_of(frame), found)
