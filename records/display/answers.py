"""Questions and answers of a QuestionnaireResponse, in the order of the form."""

from dataclasses import dataclass
from datetime import UTC, tzinfo

from clinicportal.texts import gettext as _
from records.display import amounts, codes, dates, fhir
from records.display.words import clean, clean_lines

MOST = 500
"""Questions of one form that are shown; the page says when there are more."""


@dataclass(frozen=True)
class Answer:
    """`group`: the heading of those that follow. `within`: how many groups or questions stand around it."""

    question: str
    answers: tuple[str, ...] = ()
    within: int = 0
    group: bool = False


def of(response: fhir.Json, zone: tzinfo = UTC) -> tuple[Answer, ...]:
    """Not recursive: depth is the sender's choice."""
    found: list[Answer] = []
    waiting = [(item, 0) for item in reversed(fhir.mappings(response.get("item")))]
    while waiting and len(found) < MOST:
        item, within = waiting.pop()
        given = fhir.mappings(item.get("answer"))
        nested = fhir.mappings(item.get("item"))
        question = clean_lines(item.get("text")).strip() or clean(item.get("linkId")) or _("Question not sent")
        said = tuple(filter(None, (value_of(one, zone) for one in given)))
        found.append(Answer(question, said, within, group=bool(nested) and not given))
        for one in given:
            nested = nested + fhir.mappings(one.get("item"))
        waiting += [(one, within + 1) for one in reversed(nested)]
    if waiting:
        found.append(Answer(_("There are more questions. Ask the source for the whole form."), group=True))
    return tuple(found)


def value_of(answer: fhir.Json, zone: tzinfo) -> str:
    kind, value = fhir.choice(answer, "value")
    match kind:
        case "Boolean":
            return _("Yes") if value is True else _("No") if value is False else ""
        case "Date" | "DateTime":
            return dates.read(value, zone).whole
        case "Time":
            return dates.time_of_day(value)
        case "Integer" | "Decimal":
            number = fhir.number(value)
            return "" if number is None else amounts.recorded(number)
        case "Quantity":
            held = amounts.dose(value)
            return held.text if held else ""
        case "Coding":
            return codes.coding_text(value)
        case "Reference":
            return codes.referred(value)
        case "Attachment":
            return _("A file, kept at the source: %(name)s") % {"name": clean(fhir.mapping(value).get("title"))}
        case _:
            return clean_lines(value).strip()
