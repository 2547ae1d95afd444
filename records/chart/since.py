"""What is new since the reader last looked, for the top of the summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.chart.frame import Frame
from records.chart.rows import versions_of
from records.display import allergies, banner, care, dates, fhir, medicines, results, since, timeline
from records.display.news import ROUTINE, News

MOST_READ = 40
"""So many of the newest entries are read for lines of their own; the rest is counted."""

WORDS = {
    "Condition": ("problems", gettext_lazy("New problem")),
    "Immunization": ("immunisations", gettext_lazy("New immunisation")),
    "Procedure": ("procedures", gettext_lazy("New procedure")),
    "Encounter": ("encounters", gettext_lazy("New encounter")),
    "DocumentReference": ("documents", gettext_lazy("New document")),
    "Composition": ("documents", gettext_lazy("New document")),
    "QuestionnaireResponse": ("documents", gettext_lazy("New answers")),
    "ImagingStudy": ("results", gettext_lazy("New imaging study")),
    "MedicationDispense": ("medicines", gettext_lazy("Dispensed")),
    "MedicationAdministration": ("medicines", gettext_lazy("Given")),
    "ClinicalImpression": ("problems", gettext_lazy("New impression")),
    "FamilyMemberHistory": ("problems", gettext_lazy("New family history")),
    "Device": ("procedures", gettext_lazy("New device")),
    "DeviceUseStatement": ("procedures", gettext_lazy("New use of a device")),
    "Appointment": ("encounters", gettext_lazy("New appointment")),
    "EpisodeOfCare": ("encounters", gettext_lazy("New episode of care")),
    "ImmunizationRecommendation": ("immunisations", gettext_lazy("New recommendation")),
}


@dataclass(frozen=True)
class Looked:
    """What was read for the panel: each entry that has a line, and what changed ones said before."""

    bodies: dict[UUID, fhir.Json]
    earlier: dict[UUID, fhir.Json]


def read(frame: Frame) -> Looked:
    """Inside the transaction: the earlier versions of what changed."""
    told = lines(frame)
    return Looked(
        {news.id: medicines.holding(fhir.load(news.raw), news.medication) for news in told},
        versions_of([news.id for news in told if news.changed and news.type == "Observation"]),
    )


def lines(frame: Frame) -> list[News]:
    counted = [news for news in frame.news if news.counts]
    return sorted(counted, key=lambda news: news.type in ROUTINE)[:MOST_READ]


def panel(frame: Frame, looked: Looked) -> since.Since | None:
    """None when this is the first visit; without items when nothing came."""
    if frame.since is None:
        return None
    told = list(items(frame, looked))
    made = since.of(dates.of_moment(frame.since, frame.zone), told)
    uncounted = sum(news.counts for news in frame.news) - len(lines(frame))
    return since.Since(made.at, made.items, made.rest + uncounted)


def items(frame: Frame, looked: Looked) -> Iterator[since.Item]:
    for news in lines(frame):
        body = looked.bodies[news.id]
        if news.type == "Observation":
            if item := of_observation(news, body, frame, looked):
                yield item
        elif news.type in ("MedicationRequest", "MedicationStatement"):
            held = medicines.of(body, frame.today, frame.zone, facility=frame.facility)
            yield since.of_medicine(held, changed=news.changed)
        elif news.type == "AllergyIntolerance":
            yield since.of_allergy(allergies.of(body, frame.zone), changed=news.changed)
        elif news.type in WORDS:
            page, word = WORDS[news.type]
            if entry := timeline.of(body, frame.today, frame.zone):
                yield since.of_other(
                    entry.title, entry.detail, entry.when, page=page, word=str(word), changed=news.changed,
                    stands=entry.stands,
                )  # fmt: skip
        elif of_care := care.of(body, frame.zone):
            plan = of_care[1]
            yield since.of_other(
                plan.title, plan.detail, plan.when, page="care", word=_("New: %(what)s") % {"what": plan.kind},
                changed=news.changed, stands=plan.stands,
            )  # fmt: skip


def of_observation(news: News, body: fhir.Json, frame: Frame, looked: Looked) -> since.Item | None:
    person = banner.person(frame.about, frame.today)
    result = results.of(body, frame.zone, person=person, earlier=looked.earlier.get(news.id))
    if result.is_panel and not result.parts:
        return None
    return since.of_result(result, before(result, news, frame), page=news.section)


def before(result: results.Result, news: News, frame: Frame) -> results.Result | None:
    """The result of the same test before this one, among those that the summary has read anyway."""
    if result.was or not result.usable:
        return None
    mine = next((row for row in frame.rows if row.id == news.id), None)
    if mine is None or mine.time is None:
        return None
    for row in frame.rows:
        if row.type == "Observation" and row.code == mine.code and row.time and row.time < mine.time:
            held = results.of(row.fhir, frame.zone)
            return held if held.usable and held.column == result.column else None
    return None
