"""What each page of the record draws: the dataclasses that templates in records/jinja2/records/ receive as `page`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from clinicportal.texts import gettext as _
from records.display.allergies import Allergies
from records.display.banner import Contact, Who
from records.display.care import Care
from records.display.dates import When
from records.display.documents import Document
from records.display.encounters import Encounter
from records.display.entry import Entry
from records.display.flowsheet import Flowsheet
from records.display.immunisations import Immunisation
from records.display.medicines import Medicine, Medicines
from records.display.news import Told
from records.display.problems import Problems
from records.display.procedures import Procedure
from records.display.results import Result
from records.display.since import Since
from records.display.timeline import Day
from records.display.together import Together
from records.display.trend import Trend


@dataclass(frozen=True)
class Link:
    href: str
    text: str
    current: bool = False
    note: str = ""


@dataclass(frozen=True)
class Feed:
    """Whose records these are, and up to when they have come in (words where nobody knows)."""

    facility: str
    up_to: When | None
    late: str = ""
    """In words, when the feed is later than it should be."""


@dataclass(frozen=True)
class Access:
    """The chip in the banner: on what basis, and until when. `soon`: it ends within days."""

    text: str
    until: When
    soon: bool


@dataclass(frozen=True)
class Emergency:
    """An emergency access that lasts, or its review: whose record, why, until when."""

    id: str
    patient_id: str
    reason: str
    until: When
    who: Who | None = None
    reviewed: bool = False
    """Read by a reviewer, not by the guest."""


@dataclass(frozen=True)
class Chart:
    """What all pages of one record share: banner, menu, and what the access leaves out.

    `included` holds the sections that some grant includes; `limits` says the others in a sentence, "" for none.
    """

    patient_id: str
    who: Who
    allergies: Allergies
    access: Access | None
    menu: tuple[Link, ...]
    included: frozenset[str]
    limits: str
    feed: Feed
    here: str
    emergency: Emergency | None = None
    similar: bool = False
    """Whether another patient of the reader has a name that could be taken for this one."""
    replaced: bool = False
    """Whether the patient has another number now: nothing more comes to this record, and it stands in no list."""

    @property
    def title(self) -> str:
        """Of the page in the menu that this one is, or belongs to."""
        return next((link.text for link in self.menu if link.current), _("Summary"))

    @property
    def seed(self) -> int:
        """Which of six patterns tells this record from another one that is open beside it."""
        return int(self.patient_id[:4], 16) % 6


@dataclass(frozen=True)
class FramePage:
    chart: Chart


@dataclass(frozen=True)
class Stamp:
    """What stands on paper: who printed it and when, and the code by which the event is found again."""

    code: str
    by: str
    at: When


@dataclass(frozen=True)
class SummaryPage:
    """The sections in the order of the International Patient Summary. None: not in the reader's access."""

    chart: Chart
    stamp: Stamp | None
    since: Since | None
    problems: Problems | None
    medicines: Medicines | None
    immunisations: tuple[Immunisation, ...] | None
    results: tuple[Result, ...] | None
    procedures: tuple[Procedure, ...] | None
    contacts: tuple[Contact, ...]


@dataclass(frozen=True)
class Choice:
    """One option of a filter."""

    value: str
    text: str
    chosen: bool = False


@dataclass(frozen=True)
class Further:
    """Entries beside the main list of a page. `more`: the address of all of them, "" when these are all."""

    name: str
    title: str
    items: tuple[Entry, ...]
    mixed: bool = False
    """Whether there are entries of several types, so that each says which."""
    nothing: str = ""
    more: str = ""


@dataclass(frozen=True)
class ResultsPage:
    """`shown` of the values that were read; `earlier` leads to older ones, None when these are all.

    `reports` are those that say something which no single result does: a conclusion, a file, or nothing yet.
    `trend_after` is the place in `sheets` below which the trend stands, -1 for above all.
    """

    chart: Chart
    sheets: tuple[Flowsheet, ...]
    others: tuple[Result, ...]
    reports: tuple[Document, ...]
    imaging: Further
    groups: tuple[Choice, ...]
    tests: tuple[Choice, ...]
    periods: tuple[Choice, ...]
    only_flagged: bool
    shown: int
    read: int
    new: frozenset[str] = frozenset()
    """Our ids of the results that came or changed since the reader last looked."""
    trend: Trend | None = None
    together: Together | None = None
    trend_periods: tuple[Link, ...] = ()
    trend_after: int = -1
    together_links: tuple[str, ...] = ()
    """For each sheet the address that draws its tests on one time axis, "" for one test alone."""
    whole_links: tuple[str, ...] = ()
    """For each sheet the address that shows all dates of its group, "" where they are shown."""
    earlier: str | None = None
    newest: str = ""
    """The addresses of what follows and of the beginning, with the filter."""
    continued: bool = False
    filtered: bool = False
    more: bool = False
    of_all_tests: bool = False
    """Whether groups and tests to choose from are those of the whole record, not of what the page has read."""


@dataclass(frozen=True)
class TestsPage:
    """Every test of a record with its newest result, by group ("" for those of none); `more`: there are others."""

    chart: Chart
    groups: tuple[tuple[str, tuple[Result, ...]], ...]
    tests: int
    more: bool


@dataclass(frozen=True)
class FurtherPage:
    """All entries of one kind; `section` is what the access must include."""

    chart: Chart
    further: Further
    section: str
    earlier: str | None = None
    continued: bool = False


@dataclass(frozen=True)
class EntryPage:
    chart: Chart
    entry: Entry


@dataclass(frozen=True)
class MedicinesPage:
    """Current and past are separate views [MEDv-062]: `shown` is the one asked for.

    `supplied` is what was last dispensed or given by each prescription, under its `Type/id`.
    """

    chart: Chart
    medicines: Medicines
    shown: tuple[Medicine, ...]
    past: bool
    further: tuple[Further, ...] = ()
    supplied: Mapping[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True)
class ProblemsPage:
    chart: Chart
    problems: Problems
    further: tuple[Further, ...] = ()


@dataclass(frozen=True)
class AllergiesPage:
    chart: Chart


@dataclass(frozen=True)
class ListPage:
    """A plain list of one section, newest first; `earlier` is our id of the last one, None when these are all."""

    chart: Chart
    items: tuple[Immunisation, ...] | tuple[Procedure, ...] | tuple[Encounter, ...] | tuple[Document, ...]
    earlier: str | None = None
    continued: bool = False
    further: tuple[Further, ...] = ()


@dataclass(frozen=True)
class DocumentPage:
    chart: Chart
    document: Document


@dataclass(frozen=True)
class CarePage:
    chart: Chart
    care: Care


@dataclass(frozen=True)
class TimelinePage:
    chart: Chart
    days: tuple[Day, ...]
    earlier: str | None = None
    continued: bool = False


@dataclass(frozen=True)
class Basis:
    """One reason why this record is open to the reader."""

    label: str
    caseload: str
    facility: str
    purpose: str
    given_by: str
    until: When
    sections: str


@dataclass(frozen=True)
class Openings:
    """What one person opened of a record on one day."""

    when: When
    last: str
    """The time of the last one, where there were several."""
    who: str
    what: str
    basis: str


@dataclass(frozen=True)
class AccessPage:
    chart: Chart
    bases: tuple[Basis, ...]
    openings: tuple[Openings, ...] = ()
    organisation: str = ""
    """Whose people are told by name: the reader's own."""
    earlier: str = ""
    """The address of those before, if there are any."""


@dataclass(frozen=True)
class PatientRow:
    """One patient in a list: who, and why they are on it. `similar`: another row could be taken for this one."""

    id: str
    who: Who
    why: tuple[str, When] | None
    caseload: str
    similar: bool = False
    opened: When | None = None
    news: Told | None = None
    """None: never opened, so there is nothing that it could be new against."""


@dataclass(frozen=True)
class Kept:
    """A filter that the reader keeps under a name."""

    id: int
    name: str
    query: str
    """As an address keeps it."""
    chosen: bool = False


@dataclass(frozen=True)
class PatientsPage:
    """`total` is None when a search was made; `following` is our id of the last row, None when these are all."""

    rows: tuple[PatientRow, ...]
    organisation: str
    caseloads: tuple[Choice, ...]
    total: int | None
    first: int
    until: When | None
    as_of: When
    searched: str = ""
    following: str | None = None
    more: bool = False
    facilities: tuple[Choice, ...] = ()
    show: str = ""
    age: str = ""
    gender: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    """The filter, as an address keeps it."""
    kept: tuple[Kept, ...] = ()
    urgent: tuple[Emergency, ...] = ()

    @property
    def scope(self) -> str:
        """The caseload whose patients these are, "" for several."""
        named = [
            choice.text for choice in self.caseloads if choice.value and (choice.chosen or len(self.caseloads) == 2)
        ]
        return named[0] if len(named) == 1 else ""
