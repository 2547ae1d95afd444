"""What came since the reader last looked, a line for each entry; corrections as was and now."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from clinicportal.texts import gettext as _
from records.display.allergies import Allergy
from records.display.dates import When
from records.display.marks import Kind
from records.display.medicines import Medicine, Standing
from records.display.results import Result


class News(StrEnum):
    RESULT = "result"
    MEDICINE = "medicine"
    ALLERGY = "allergy"
    OTHER = "other"


@dataclass(frozen=True)
class Item:
    """One line. `flag` and `word` are what components/flags.jinja draws; `page` holds the whole of it."""

    news: News
    flag: str
    word: str
    page: str
    result: Result | None = None
    before: Result | None = None
    """The result before a new one, of the same test."""
    medicine: Medicine | None = None
    allergy: Allergy | None = None
    title: str = ""
    detail: str = ""
    when: When | None = None
    weight: int = 9
    """What must be seen first has the least."""

    @property
    def at(self) -> When | None:
        """When it happened."""
        if self.medicine:
            return self.medicine.ended if self.medicine.ended.known else self.medicine.started
        return self.result.when if self.result else self.allergy.recorded if self.allergy else self.when


@dataclass(frozen=True)
class Since:
    """`rest` counts what has no line of its own."""

    at: When
    items: tuple[Item, ...]
    rest: int = 0


MOST_ITEMS = 10


def of(at: When, items: Iterable[Item]) -> Since:
    """The weightiest lines; within a weight the newest first, by when it happened and not by when it came."""
    newest_first = sorted(items, key=lambda item: item.at.order if item.at else (), reverse=True)
    ordered = sorted(newest_first, key=lambda item: item.weight)
    return Since(at, tuple(ordered[:MOST_ITEMS]), max(0, len(ordered) - MOST_ITEMS))


def of_result(result: Result, before: Result | None, *, page: str) -> Item:
    item = Item(News.RESULT, "new", _("New result"), page, result=result, before=before, weight=4)
    kinds = {mark.kind for mark in result.marks}
    if Kind.ERROR in kinds:
        return replace(item, flag="error", word="", weight=0)
    if result.was or Kind.CORRECTED in kinds or Kind.AMENDED in kinds:
        return replace(item, flag="corrected", word="", weight=1)
    if result.flag.critical:
        return replace(item, weight=0)
    return replace(item, weight=2) if result.flag.outside else item


def of_medicine(medicine: Medicine, *, changed: bool) -> Item:
    item = Item(News.MEDICINE, "new", _("New medicine"), "medicines", medicine=medicine, weight=3)
    if medicine.standing is Standing.ERROR:
        return replace(item, flag="error", word="", weight=2)
    if medicine.standing is Standing.PAST:
        word = next((mark.word for mark in medicine.marks if mark.kind is Kind.STOPPED), "")
        return replace(item, flag="stopped", word=word or _("Ended"), weight=2)
    return replace(item, flag="changed", word="") if changed else item


def of_allergy(allergy: Allergy, *, changed: bool) -> Item:
    item = Item(News.ALLERGY, "new", _("New allergy"), "allergies", allergy=allergy, weight=1)
    if allergy.withdrawn:
        return replace(item, flag="refuted" if allergy.refuted else "error", word="")
    return replace(item, flag="changed", word=_("Changed allergy")) if changed else item


def of_other(title: str, detail: str, when: When, *, page: str, word: str, changed: bool, stands: bool) -> Item:
    item = Item(News.OTHER, "new", word, page, title=title, detail=detail, when=when, weight=6)
    if not stands:
        return replace(item, flag="error", word="", weight=5)
    return replace(item, flag="changed", word="") if changed else item
