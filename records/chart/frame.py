"""What every page of a record has: the audited door, the banner, the menu, how fresh it is, what is new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import ngettext

from clinicportal.addresses import path_to
from clinicportal.models import User
from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from clinicportal.viewing import viewing
from records import access, feeds, looks
from records.access import Opened
from records.chart import names
from records.chart.rows import Row, from_columns, of_type, reading, split
from records.compiled import Reading
from records.display import allergies, banner, codes, dates, fhir, pages
from records.display.news import News
from records.models import Patient, Section, last_day

SOON = timedelta(days=7)

MENU = (
    # path, title, sections of which one must be in the access (none: always there)
    ("summary", gettext_lazy("Summary"), ()),
    ("timeline", gettext_lazy("Timeline"), ()),
    ("results", gettext_lazy("Results"), (Section.RESULTS,)),
    ("vitals", gettext_lazy("Vitals"), (Section.VITALS,)),
    ("medicines", gettext_lazy("Medicines"), (Section.MEDICINES,)),
    ("problems", gettext_lazy("Problems"), (Section.PROBLEMS,)),
    ("allergies", gettext_lazy("Allergies"), (Section.ALLERGIES,)),
    ("immunisations", gettext_lazy("Immunisations"), (Section.IMMUNISATIONS,)),
    ("procedures", gettext_lazy("Procedures"), (Section.PROCEDURES,)),
    ("encounters", gettext_lazy("Encounters"), (Section.ENCOUNTERS,)),
    ("documents", gettext_lazy("Documents"), (Section.DOCUMENTS,)),
    ("care", gettext_lazy("Care plan and team"), (Section.CARE_PLANS,)),
    ("access", gettext_lazy("Access"), ()),
)

ONLY_ABOUT = reading()


@dataclass(frozen=True)
class Frame:
    """What every page of a record reads: `rows` are those of the page, `banner` the Patient and the allergies."""

    opened: Opened
    banner: tuple[Row, ...]
    rows: tuple[Row, ...]
    here: str
    today: date
    zone: tzinfo
    by: User
    since: datetime | None = None
    """When the reader's earlier visit to this record ended; None: this is the first."""
    news: tuple[News, ...] = ()

    @property
    def patient(self) -> Patient:
        return self.opened.patient

    @property
    def facility(self) -> str:
        return self.patient.source.facility.name

    @cached_property
    def about(self) -> fhir.Json:
        """The Patient as received; from our own columns where that text is not among what the reader may see."""
        return next((row.fhir for row in self.banner if row.type == "Patient"), None) or from_columns(self.patient)

    @cached_property
    def new(self) -> frozenset[UUID]:
        """Our ids of the resources that came or changed since the reader last looked."""
        return frozenset(news.id for news in self.news)

    def of_type(self, *types: str) -> list[Row]:
        return of_type(self.rows, *types)


def open_frame(
    patient_id: UUID, here: str, read: Reading = ONLY_ABOUT, *, by: User, named: bool = False, **values: Any
) -> Frame:
    """Pass the audited door and read what the page needs. Runs inside `viewing(by)`.

    `named`: the page says who and where, so what its rows refer to without a name gets one.
    """
    opened = access.open_record(patient_id, here, by=by)
    about, rows = split(read(by, patient=opened.patient.pk, **values))
    try:
        since = looks.note(opened.patient, by=by)
    except looks.Closed:
        # It ended while it was read: a record with half of its rows, or none, would be taken for the whole.
        raise access.refused(patient_id, here, by=by) from None
    news = looks.news(opened.patient, since, by=by) if since else []
    if named:
        names.put((row.fhir for row in (*about, *rows) if row.type != "Patient"), opened.patient.source_id, by=by)
    return Frame(
        opened=opened,
        banner=tuple(about),
        rows=tuple(rows),
        here=here,
        today=timezone.localdate(),
        zone=timezone.get_current_timezone(),
        since=since,
        news=tuple(news),
        by=by,
    )


def chart_of(frame: Frame) -> pages.Chart:
    opened = frame.opened
    counts = news_by_page(frame.news)
    return pages.Chart(
        patient_id=str(frame.patient.pk),
        who=banner.of(
            frame.about, frame.today, frame.zone, facility=frame.facility, system=frame.patient.source.mrn_system
        ),
        allergies=allergies_of(frame),
        access=access_chip(opened.bases, frame.zone),
        menu=tuple(
            pages.Link(url(frame, name), str(title), current=name == frame.here, note=new_words(counts.get(name, 0)))
            for name, title, sections in MENU
            if not sections or any(map(opened.includes, sections))
        ),
        included=frozenset(opened.sections),
        limits=limits_of(opened.sections),
        feed=feed_of(frame),
        here=frame.here,
        emergency=emergency_of(frame),
        similar=opened.similar,
        replaced=frame.patient.replaced_by_id is not None,
    )


def emergency_of(frame: Frame) -> pages.Emergency | None:
    basis = frame.opened.emergency
    if basis is None:
        return None
    return pages.Emergency(
        str(basis.emergency_id),
        str(frame.patient.pk),
        basis.purpose,
        dates.of_moment(basis.ends_at, frame.zone),
        reviewed=frame.by.is_staff_member,
    )


PAGE_OF_SECTION = {section: name for name, _title, sections in MENU for section in sections}


def news_by_page(news: Iterable[News]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for one in news:
        if one.counts and (page := PAGE_OF_SECTION.get(Section(one.section))):
            counts[page] = counts.get(page, 0) + 1
    return counts


def new_words(count: int) -> str:
    return ngettext("%(count)s new", "%(count)s new", count) % {"count": count} if count else ""


def url(frame: Frame, name: str) -> str:
    return path_to(f"records:{name}", frame.patient.pk)


def allergies_of(frame: Frame) -> allergies.Allergies:
    if not frame.opened.includes(Section.ALLERGIES):
        return allergies.summarise(None)
    held = of_type(frame.banner, "AllergyIntolerance")
    return allergies.summarise(allergies.of(row.fhir, frame.zone) for row in held)


def access_chip(bases: Sequence[access.Basis], zone: tzinfo) -> pages.Access | None:
    if not bases:
        return None
    first = bases[0]
    return pages.Access(first.label, until(first.ends_at, zone), soon=first.ends_at - timezone.now() < SOON)


def until(ends_at: datetime, zone: tzinfo) -> dates.When:
    """The last day of an access; with the time where it ends within a day or two, as a look-up does."""
    if ends_at - timezone.now() < timedelta(hours=48):
        return dates.of_moment(ends_at, zone)
    return dates.of_day(last_day(ends_at))


def feed_of(frame: Frame) -> pages.Feed:
    source = frame.patient.source
    up_to = dates.of_moment(source.imported_up_to, frame.zone) if source.imported_up_to else None
    return pages.Feed(frame.facility, up_to, _("later than it should be") if feeds.is_late(source) else "")


def limits_of(included: Iterable[str]) -> str:
    """What the access leaves out, in a sentence: a fact of the grant, the same for every patient."""
    left_out = [
        str(section.label) for section in Section if section not in included and section != Section.DEMOGRAPHICS
    ]
    return _("Your access does not include %(sections)s.") % {"sections": codes.joined(left_out)} if left_out else ""


def page(patient_id: UUID, here: str, *, by: User) -> pages.FramePage:
    """A page that shows nothing of the record but whose it is."""
    with viewing(by):
        frame = open_frame(patient_id, here, by=by)
    return pages.FramePage(chart_of(frame))
