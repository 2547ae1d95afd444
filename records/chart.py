"""The pages of one record, and the list of patients: what is read, and what it becomes.

Each function opens the one transaction in which clinical rows can be read for `by`, passes the audited door
(records/access.py), reads, leaves, and builds the page from memory. A page takes at most twelve queries, those of
session and audit included, however long the record is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clinicportal import audit
from clinicportal.middleware import Refused
from clinicportal.models import User
from clinicportal.viewing import viewing
from records import access, search
from records.access import Opened
from records.display import (
    allergies,
    banner,
    codes,
    dates,
    documents,
    encounters,
    fhir,
    flowsheet,
    immunisations,
    medicines,
    pages,
    problems,
    procedures,
    results,
    timeline,
    trend,
)
from records.models import Grant, Patient, Resource, ResourceVersion, Section, last_day, members_of

PAGE = 50
MOST_RESULTS = 400
"""Observations and reports that one results page reads; older ones are a link away."""
MOST_CURRENT = 1000
"""Problems, medicines and allergies are read whole: a part of them would be taken for all. This bounds the absurd."""
RECENT_RESULTS = 160
SOON = timedelta(days=7)

MENU = (
    # path, title, sections of which one must be in the access (none: always there)
    ("summary", gettext_lazy("Summary"), ()),
    ("timeline", gettext_lazy("Timeline"), ()),
    ("results", gettext_lazy("Results"), (Section.RESULTS, Section.VITALS)),
    ("medicines", gettext_lazy("Medicines"), (Section.MEDICINES,)),
    ("problems", gettext_lazy("Problems"), (Section.PROBLEMS,)),
    ("allergies", gettext_lazy("Allergies"), (Section.ALLERGIES,)),
    ("immunisations", gettext_lazy("Immunisations"), (Section.IMMUNISATIONS,)),
    ("procedures", gettext_lazy("Procedures"), (Section.PROCEDURES,)),
    ("encounters", gettext_lazy("Encounters"), (Section.ENCOUNTERS,)),
    ("documents", gettext_lazy("Documents"), (Section.DOCUMENTS,)),
    ("access", gettext_lazy("Access"), ()),
)


@dataclass(frozen=True)
class Row:
    """One resource as read: its text parsed, and the columns that pages need beside it."""

    id: UUID
    type: str
    time: datetime | None
    status: str
    last_updated: datetime | None
    number: int
    fhir: fhir.Json


@dataclass(frozen=True)
class Frame:
    """What every page of a record reads first."""

    opened: Opened
    about: tuple[Row, ...]
    """The Patient resource, and the allergies that the banner names."""
    here: str
    today: date
    zone: tzinfo

    @property
    def patient(self) -> Patient:
        return self.opened.patient

    @property
    def facility(self) -> str:
        return self.patient.source.facility.name


COLUMNS = ("id", "type", "time", "status", "last_updated", "number")


def read(queryset: QuerySet[Resource], most: int) -> list[Row]:
    return [_row(held) for held in queryset.values("raw", *COLUMNS)[:most]]


def read_both(one: QuerySet[Resource], most: int, other: QuerySet[Resource], most_other: int) -> list[Row]:
    """`read` twice in one statement. An OR would do, but then the database looks at every row of the patient."""
    first = one.values("raw", *COLUMNS)[:most]
    return [_row(held) for held in first.union(other.values("raw", *COLUMNS)[:most_other], all=True)]


def _row(held: dict[str, Any]) -> Row:
    return Row(**{name: held[name] for name in COLUMNS}, fhir=fhir.load(held["raw"]))


def newest_first(queryset: QuerySet[Resource]) -> QuerySet[Resource]:
    """By time, undated ones last. The id settles ties, so that pages neither repeat nor skip a row."""
    return queryset.order_by(F("time").desc(nulls_last=True), "-id")


def older_than(queryset: QuerySet[Resource], row: UUID | None) -> QuerySet[Resource]:
    """What follows `row` in `newest_first`: pages go by the last row seen, not by counting."""
    if row is None:
        return queryset
    seen = queryset.order_by().filter(pk=row)
    time = Subquery(seen.values("time"))
    dated = Exists(seen.filter(time__isnull=False))
    return queryset.filter(Q(time__lt=time) | Q(time=time, id__lt=row) | (Q(time=None) & (dated | Q(id__lt=row))))


def open_frame(patient_id: UUID, here: str, *, by: User) -> Frame:
    """Pass the audited door and read what every page needs. Runs inside `viewing(by)`."""
    opened = access.open_record(patient_id, here, by=by)
    about = held_of(opened.patient, by).filter(Q(type="Patient") | Q(section=Section.ALLERGIES))
    return Frame(opened, tuple(read(about, MOST_CURRENT)), here, timezone.localdate(), timezone.get_current_timezone())


def held_of(patient: Patient, by: User) -> QuerySet[Resource]:
    return Resource.objects.visible_to(by).filter(patient=patient)


# -------------------------------------------------------------------------------------------- what pages share


def chart_of(frame: Frame) -> pages.Chart:
    opened = frame.opened
    return pages.Chart(
        patient_id=str(frame.patient.pk),
        who=banner.of(
            patient_fhir(frame),
            frame.today,
            frame.zone,
            facility=frame.facility,
            system=frame.patient.source.mrn_system,
        ),
        allergies=allergies_of(frame),
        access=access_chip(opened.bases, frame.zone),
        menu=tuple(
            pages.Link(url(frame, name), str(title), current=name == frame.here)
            for name, title, sections in MENU
            if not sections or any(map(opened.includes, sections))
        ),
        included=frozenset(opened.sections),
        limits=limits_of(opened.sections),
        feed=feed_of(frame),
        here=frame.here,
    )


def url(frame: Frame, name: str) -> str:
    return reverse(f"records:{name}", args=[frame.patient.pk])


def patient_fhir(frame: Frame) -> fhir.Json:
    """The Patient as received; from our own columns where that text is not among what `by` may see."""
    return next((row.fhir for row in frame.about if row.type == "Patient"), None) or from_columns(frame.patient)


def from_columns(patient: Patient) -> fhir.Json:
    """A Patient with what lists need, without reading its text."""
    died = (
        {"deceasedDateTime": patient.deceased_date} if patient.deceased_date else {"deceasedBoolean": patient.deceased}
    )
    number = [{"value": patient.mrn, "type": {"coding": [{"code": "MR"}]}}] if patient.mrn else []
    return {
        "name": [{"family": patient.family, "given": [patient.given], "prefix": [patient.title]}],
        "birthDate": patient.birth_date,
        "gender": patient.gender,
        "identifier": number,
        **died,
    }


def allergies_of(frame: Frame) -> allergies.Allergies:
    if not frame.opened.includes(Section.ALLERGIES):
        return allergies.summarise(None)
    held = of_type(frame.about, "AllergyIntolerance")
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
    up_to = frame.patient.source.imported_up_to
    return pages.Feed(frame.facility, dates.of_moment(up_to, frame.zone) if up_to else None)


def limits_of(included: Iterable[str]) -> str:
    """What the access leaves out, in a sentence: a fact of the grant, the same for every patient."""
    left_out = [
        str(section.label) for section in Section if section not in included and section != Section.DEMOGRAPHICS
    ]
    return _("Your access does not include %(sections)s.") % {"sections": codes.joined(left_out)} if left_out else ""


# ------------------------------------------------------------------------------------------------------- pages


def summary(patient_id: UUID, *, by: User) -> pages.SummaryPage:
    with viewing(by):
        frame = open_frame(patient_id, "summary", by=by)
        held = held_of(frame.patient, by)
        # Problems and medicines whole, the newest of what was done.
        whole = newest_first(held.filter(section__in=[Section.PROBLEMS, Section.MEDICINES]))
        done = newest_first(held.filter(section__in=[Section.IMMUNISATIONS, Section.PROCEDURES]))
        rows = read_both(whole, MOST_CURRENT, done, PAGE)
        tested = read(newest_first(held.filter(section=Section.RESULTS, type="Observation")), RECENT_RESULTS)
        earlier = earlier_versions(tested)
    includes = frame.opened.includes
    return pages.SummaryPage(
        chart=chart_of(frame),
        problems=problems_of(rows, frame) if includes(Section.PROBLEMS) else None,
        medicines=medicines_of(rows, frame) if includes(Section.MEDICINES) else None,
        immunisations=items_of(of_type(rows, "Immunization"), "immunisations", frame)
        if includes(Section.IMMUNISATIONS)
        else None,
        results=latest_of_each(results_of(tested, frame, earlier)) if includes(Section.RESULTS) else None,
        procedures=items_of(of_type(rows, "Procedure"), "procedures", frame) if includes(Section.PROCEDURES) else None,
        contacts=banner.address_and_contacts(patient_fhir(frame)),
    )


def of_type(rows: Iterable[Row], *types: str) -> list[Row]:
    return [row for row in rows if row.type in types]


def problems_of(rows: Iterable[Row], frame: Frame) -> problems.Problems:
    return problems.sort(problems.of(row.fhir, frame.zone) for row in of_type(rows, "Condition"))


def medicines_of(rows: Iterable[Row], frame: Frame) -> medicines.Medicines:
    held = of_type(rows, "MedicationRequest", "MedicationStatement")
    return medicines.sort((_medicine(row, frame) for row in held), frame.today)


def _medicine(row: Row, frame: Frame) -> medicines.Medicine:
    changed = dates.of_moment(row.last_updated, frame.zone) if row.last_updated else None
    return medicines.of(row.fhir, frame.today, frame.zone, facility=frame.facility, changed=changed)


def latest_of_each(held: Iterable[results.Result]) -> tuple[results.Result, ...]:
    """The newest result of each test and unit; of one day the flagged ones first."""
    found: dict[tuple[str, str], results.Result] = {}
    for result in held:
        if not result.is_panel:
            found.setdefault(result.column, result)
    ordered = sorted(found.values(), key=flowsheet.by_importance)
    return tuple(sorted(ordered, key=lambda result: result.when.order[:3], reverse=True))


def results_of(rows: Iterable[Row], frame: Frame, earlier: dict[UUID, fhir.Json] | None = None) -> list[results.Result]:
    person = banner.person(patient_fhir(frame), frame.today)
    return [
        results.of(row.fhir, frame.zone, person=person, earlier=(earlier or {}).get(row.id), row=str(row.id))
        for row in of_type(rows, "Observation")
    ]


def earlier_versions(rows: Iterable[Row]) -> dict[UUID, fhir.Json]:
    """What corrected results said before: the newest version that each of them replaced."""
    corrected = [row.id for row in rows if row.status in ("corrected", "amended") and row.number > 1]
    if not corrected:
        return {}
    versions = ResourceVersion.objects.filter(resource__in=corrected).order_by("number").values_list("resource", "raw")
    return {resource: fhir.load(raw) for resource, raw in versions}


@dataclass(frozen=True)
class Asked:
    """What the reader asked of the results page."""

    group: str = ""
    period: str = ""
    only_flagged: bool = False
    before: UUID | None = None
    trend: UUID | None = None
    trend_period: str = "1y"


PERIODS = {
    "": gettext_lazy("All dates"),
    "6m": gettext_lazy("Last 6 months"),
    "1y": gettext_lazy("Last year"),
    "5y": gettext_lazy("Last 5 years"),
}
_DAYS = {"6m": 183, "1y": 366, "5y": 1827}


def results_page(patient_id: UUID, asked: Asked, *, by: User) -> pages.ResultsPage:
    with viewing(by):
        frame = open_frame(patient_id, "results", by=by)
        held = held_of(frame.patient, by).filter(section__in=[Section.RESULTS, Section.VITALS])
        within = held
        if asked.period in _DAYS:
            within = held.filter(time__gte=timezone.now() - timedelta(days=_DAYS[asked.period]))
        rows = read(older_than(newest_first(within), asked.before), MOST_RESULTS + 1)
        of_trend = read(newest_first(same_test(held, asked.trend)), MOST_RESULTS) if asked.trend else []
        earlier = earlier_versions(rows)
    more, rows = len(rows) > MOST_RESULTS, rows[:MOST_RESULTS]
    sheets, others = flowsheet.arrange(results_of(rows, frame, earlier), panels_of(rows))
    drawn = trend_of(of_trend, asked, frame)
    shown, listed_others = filtered(sheets, others, asked)
    return pages.ResultsPage(
        chart=chart_of(frame),
        sheets=shown,
        others=listed_others,
        groups=groups_of(sheets, asked),
        periods=tuple(pages.Choice(value, str(text), chosen=value == asked.period) for value, text in PERIODS.items()),
        only_flagged=asked.only_flagged,
        shown=sum(sheet.values for sheet in shown) + len(listed_others),
        read=sum(row.type == "Observation" for row in rows),
        trend=drawn,
        trend_periods=trend_periods(asked, drawn),
        trend_after=place_of(drawn, shown),
        earlier=str(rows[-1].id) if more else None,
        continued=asked.before is not None,
    )


OTHERS = "other"


def group_key(title: str) -> str:
    """A panel in an address: what was tested does not belong there in words."""
    return f"{zlib.crc32(title.encode()):08x}"


def groups_of(sheets: Sequence[flowsheet.Flowsheet], asked: Asked) -> tuple[pages.Choice, ...]:
    named = {group_key(sheet.panel): sheet.panel for sheet in sheets}
    choices = {"": _("All groups"), **named, OTHERS: _("Other results")}
    return tuple(pages.Choice(key, title, chosen=key == asked.group) for key, title in choices.items())


def filtered(
    sheets: Sequence[flowsheet.Flowsheet], others: Sequence[results.Result], asked: Asked
) -> tuple[tuple[flowsheet.Flowsheet, ...], tuple[results.Result, ...]]:
    if asked.group:
        sheets = [sheet for sheet in sheets if group_key(sheet.panel) == asked.group]
        others = others if asked.group == OTHERS else ()
    if asked.only_flagged:
        sheets = [kept for kept in (sheet.only_flagged() for sheet in sheets) if kept.rows]
        others = [result for result in others if result.flag.outside]
    return tuple(sheets), tuple(others[:PAGE])


def same_test(held: QuerySet[Resource], row: UUID) -> QuerySet[Resource]:
    """Observations with the code of `row`; the page then keeps those of its unit."""
    return held.filter(type="Observation", code=Subquery(held.filter(pk=row).values("code")[:1]))


def trend_of(rows: list[Row], asked: Asked, frame: Frame) -> trend.Trend | None:
    column = results_of(rows, frame)
    target = next((result for result in column if result.row == str(asked.trend)), None)
    if target is None:
        return None
    same = [r for r in column if r.column == target.column or (r.key == target.key and not r.usable)]
    return trend.of(same, frame.today, asked.trend_period)


def trend_periods(asked: Asked, drawn: trend.Trend | None) -> tuple[pages.Link, ...]:
    names = {"3m": _("3 months"), "1y": _("1 year"), "5y": _("5 years"), "all": _("All")}
    if drawn is None:
        return ()
    return tuple(
        pages.Link(f"?trend={asked.trend}&over={period}#trend", name, current=period == drawn.period)
        for period, name in names.items()
    )


def place_of(drawn: trend.Trend | None, sheets: Sequence[flowsheet.Flowsheet]) -> int:
    """The sheet whose column the trend draws."""
    if drawn is None:
        return -1
    for place, sheet in enumerate(sheets):
        if any((column.key, column.unit_key) == drawn.latest.column for column in sheet.columns):
            return place
    return -1


def panels_of(rows: Iterable[Row]) -> dict[str, flowsheet.Panel]:
    """Which report lists which result."""
    panels: dict[str, flowsheet.Panel] = {}
    for row in of_type(rows, "DiagnosticReport"):
        title = documents.of(row.fhir, with_bodies=False).title
        for place, reference in enumerate(fhir.mappings(row.fhir.get("result"))):
            panels.setdefault(f"Observation/{fhir.local_id(reference)}", flowsheet.Panel(title, place))
    return panels


def medicines_page(patient_id: UUID, *, by: User, past: bool) -> pages.MedicinesPage:
    with viewing(by):
        frame = open_frame(patient_id, "medicines", by=by)
        rows = read(newest_first(held_of(frame.patient, by).filter(section=Section.MEDICINES)), MOST_CURRENT)
    held = medicines_of(rows, frame)
    return pages.MedicinesPage(chart_of(frame), held, held.past if past else held.current, past)


def problems_page(patient_id: UUID, *, by: User) -> pages.ProblemsPage:
    with viewing(by):
        frame = open_frame(patient_id, "problems", by=by)
        rows = read(newest_first(held_of(frame.patient, by).filter(section=Section.PROBLEMS)), MOST_CURRENT)
    return pages.ProblemsPage(chart_of(frame), problems_of(rows, frame))


def allergies_page(patient_id: UUID, *, by: User) -> pages.AllergiesPage:
    with viewing(by):
        frame = open_frame(patient_id, "allergies", by=by)
    return pages.AllergiesPage(chart_of(frame))


LISTS: dict[str, tuple[Section, tuple[str, ...]]] = {
    "immunisations": (Section.IMMUNISATIONS, ("Immunization",)),
    "procedures": (Section.PROCEDURES, ("Procedure",)),
    "encounters": (Section.ENCOUNTERS, ("Encounter",)),
    "documents": (Section.DOCUMENTS, ("DocumentReference", "DiagnosticReport")),
}
"""Sections that are plain lists, newest first."""


def list_page(patient_id: UUID, here: str, *, by: User, before: UUID | None = None) -> pages.ListPage:
    """The page of one section in LISTS, what follows `before`."""
    section, types = LISTS[here]
    with viewing(by):
        frame = open_frame(patient_id, here, by=by)
        held = held_of(frame.patient, by).filter(section=section, type__in=types)
        rows = read(older_than(newest_first(held), before), PAGE + 1)
    more, rows = len(rows) > PAGE, rows[:PAGE]
    return pages.ListPage(
        chart=chart_of(frame),
        items=items_of(rows, here, frame),
        earlier=str(rows[-1].id) if more else None,
        continued=before is not None,
    )


def items_of(rows: Iterable[Row], here: str, frame: Frame) -> tuple[Any, ...]:
    match here:
        case "immunisations":
            return immunisations.sort(immunisations.of(row.fhir, frame.zone) for row in rows)
        case "procedures":
            return procedures.sort(procedures.of(row.fhir, frame.zone) for row in rows)
        case "encounters":
            return encounters.sort(encounters.of(row.fhir, frame.zone) for row in rows)
        case _:
            return documents.sort(
                documents.of(row.fhir, frame.zone, with_bodies=False, row=str(row.id)) for row in rows
            )


def document_page(patient_id: UUID, document_id: UUID, *, by: User) -> pages.DocumentPage:
    """One document. Raises Refused for one that is not there as for one that `by` may not see."""
    with viewing(by):
        frame = open_frame(patient_id, "documents", by=by)
        rows = read(held_of(frame.patient, by).filter(pk=document_id, section=Section.DOCUMENTS), 1)
        if not rows:
            subject = audit.Subject(frame.patient.pk)
            raise Refused(
                audit.Entry(
                    audit.Type.RECORD_REFUSED,
                    by=by,
                    section="documents",
                    object_type="records.resource",
                    object_id=str(document_id),
                    subjects=(subject,),
                )
            )
    return pages.DocumentPage(chart_of(frame), documents.of(rows[0].fhir, frame.zone, row=str(document_id)))


IN_TIMELINE = (
    "Encounter", "DiagnosticReport", "DocumentReference", "MedicationRequest", "MedicationStatement", "Condition",
    "AllergyIntolerance", "Immunization", "Procedure",
)  # fmt: skip


def timeline_page(patient_id: UUID, *, by: User, before: UUID | None = None) -> pages.TimelinePage:
    """Everything but single results, which their day counts in one line: a visit brings dozens of them."""
    with viewing(by):
        frame = open_frame(patient_id, "timeline", by=by)
        held = held_of(frame.patient, by)
        rows = read(older_than(newest_first(held.filter(type__in=IN_TIMELINE)), before), PAGE + 1)
        more, rows = len(rows) > PAGE, rows[:PAGE]
        tested = tests_between(held, rows, is_first=before is None, is_last=not more)
    entries = [timeline.of(row.fhir, frame.today, frame.zone, row=str(row.id)) for row in rows]
    entries += results_by_day(tested, frame.zone)
    return pages.TimelinePage(
        chart_of(frame),
        timeline.days(entry for entry in entries if entry),
        earlier=str(rows[-1].id) if more else None,
        continued=before is not None,
    )


def tests_between(
    held: QuerySet[Resource], rows: Sequence[Row], *, is_first: bool, is_last: bool
) -> list[tuple[datetime, str]]:
    """When and what was tested in the stretch of time that the rows of a page cover."""
    times = [row.time for row in rows if row.time]
    tested = held.filter(type="Observation", time__isnull=False)
    if times and not is_first:
        tested = tested.filter(time__lt=times[0])
    if times and not is_last:
        tested = tested.filter(time__gte=times[-1])
    newest = tested.order_by("-time").values_list("time", "label")[: PAGE * 100]
    return [(time, label) for time, label in newest if time]


def results_by_day(tested: Iterable[tuple[datetime, str]], zone: tzinfo) -> list[timeline.Entry]:
    by_day: dict[date, list[str]] = {}
    for time, label in tested:
        by_day.setdefault(time.astimezone(zone).date(), []).append(label)
    return [timeline.results_of_day(day, labels) for day, labels in by_day.items()]


def access_page(patient_id: UUID, *, by: User) -> pages.AccessPage:
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


# ------------------------------------------------------------------------------------------------- my patients


def patients_page(*, by: User, caseload: UUID | None = None, after: UUID | None = None) -> pages.PatientsPage:
    """The patients of the caseloads that `by` has grants for, by name, what follows `after`."""
    with viewing(by):
        patients = Patient.objects.visible_to(by).filter(replaced_by=None)
        if caseload:
            patients = patients.filter(Exists(members_of(caseload, OuterRef("pk"))))
        grants = grants_of(by)
        total = patients.count()
        follow = patients.filter(after_name(patients, after)) if after else patients
        left = follow.count() if after else total
        shown = Shown(follow, by)
    return list_of(shown, grants, caseload=caseload, total=total, first=total - left + 1)


def found_page(text: str, *, by: User) -> pages.PatientsPage:
    """Those of the patients of `by` whom `text` names. That they were searched for is written down, what for is not."""
    with viewing(by):
        patients = Patient.objects.visible_to(by).filter(replaced_by=None)
        grants = grants_of(by)
        shown = Shown(search.matching(patients, search.terms(text)), by, searched=True)
    return list_of(shown, grants, searched=text)


def grants_of(by: User) -> list[Grant]:
    return list(Grant.objects.in_force_for(by).select_related("caseload", "organisation").annotate_agreement())


def after_name(patients: QuerySet[Patient], after: UUID) -> Q:
    """What stands behind `after` in the order of names; the id settles those with the same name."""
    name = Subquery(patients.filter(pk=after).values("sort_name"))
    return Q(sort_name__gt=name) | Q(sort_name=name, id__gt=after)


class Shown:
    """One page of patients as read and written down, with the bases on which they are shown."""

    def __init__(self, patients: QuerySet[Patient], by: User, *, searched: bool = False) -> None:
        found = list(patients.select_related("source__facility").order_by("sort_name", "id")[: PAGE + 1])
        self.more, self.patients = len(found) > PAGE, found[:PAGE]
        self.bases = access.bases_of_all([patient.pk for patient in self.patients], by=by)
        access.list_patients(self.patients, by=by, searched=searched)


def list_of(
    shown: Shown,
    grants: Sequence[Grant],
    *,
    caseload: UUID | None = None,
    total: int | None = None,
    first: int = 1,
    searched: str = "",
) -> pages.PatientsPage:
    zone, today = timezone.get_current_timezone(), timezone.localdate()
    people = [banner.of(from_columns(p), today, zone, facility=p.source.facility.name) for p in shown.patients]
    alike = banner.similar(people)
    named = {grant.caseload.pk: grant.caseload.name for grant in grants if grant.caseload}
    ends = [min(grant.ends_at, grant.agreement_ends_at) for grant in grants]  # type: ignore[attr-defined]
    return pages.PatientsPage(
        rows=tuple(
            patient_row(patient, who, shown.bases[patient.pk], zone, similar=place in alike)
            for place, (patient, who) in enumerate(zip(shown.patients, people, strict=True))
        ),
        organisation=grants[0].organisation.name if grants else "",
        caseloads=(
            pages.Choice("", _("All caseloads"), chosen=caseload is None),
            *(
                pages.Choice(str(pk), name, chosen=pk == caseload)
                for pk, name in sorted(named.items(), key=lambda i: i[1])
            ),
        ),
        total=total,
        first=first,
        until=until(max(ends), zone) if ends else None,
        as_of=dates.of_moment(timezone.now(), zone),
        searched=searched,
        following=str(shown.patients[-1].pk) if shown.more and not searched else None,
        more=shown.more,
    )


def patient_row(
    patient: Patient, who: banner.Who, bases: Sequence[access.Basis], zone: tzinfo, *, similar: bool
) -> pages.PatientRow:
    return pages.PatientRow(
        id=str(patient.pk),
        who=who,
        why=(bases[0].label, until(bases[0].ends_at, zone)) if bases else None,
        caseload=bases[0].caseload if bases else "",
        similar=similar,
    )
