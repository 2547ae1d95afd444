"""An entry beside the main lists of a page: a dispense, a device, an appointment. One shape for all of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clinicportal.texts import gettext as _
from records.display import codes, fhir
from records.display.dates import When
from records.display.marks import Kind, Mark, entered_in_error


@dataclass(frozen=True)
class Fact:
    """A line of the entry's own page: a text, or a time."""

    label: str
    text: str = ""
    when: When | None = None


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Entry:
    """`lines` stand under the title in a list; `facts` and `tables` on the entry's own page, which `row` leads to.

    `key` is what references call it (`Type/id`), `about` what it refers to itself: the prescription of a dispense.
    """

    kind: str
    title: str
    status: str
    when: When
    lines: tuple[str, ...] = ()
    by: str = ""
    where: str = ""
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    stands: bool = True
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    key: str = ""
    about: str = ""
    type: str = ""
    row: str = ""

    @property
    def told_by(self) -> str:
        """Who or where, whatever is known."""
        return self.by or self.where


Words = Mapping[str, tuple[object, Kind | None]]
"""Status code -> its word, and the mark it is drawn with (None: it is what one expects)."""


def standing(resource: fhir.Json, words: Words, element: str = "status") -> tuple[str, tuple[Mark, ...], bool]:
    """The status in words, its marks, and whether the entry stands: not when it was entered in error."""
    code = fhir.plain_code(resource.get(element))
    if code == "entered-in-error":
        return _("Entered in error"), (entered_in_error(),), False
    word, kind = words.get(code, (_("Status not known"), Kind.UNKNOWN))
    return str(word), ((Mark(kind, str(word)),) if kind else ()), True


def facts(*held: tuple[str, str | When | None]) -> tuple[Fact, ...]:
    """Those that say something."""
    return tuple(
        Fact(label, when=said) if isinstance(said, When) else Fact(label, said or "")
        for label, said in held
        if said and (not isinstance(said, When) or said.known)
    )


def table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> tuple[Table, ...]:
    """None without rows, and without columns in which nothing stands."""
    held, heads = [row for row in rows if any(row)], tuple(columns)
    kept = [place for place in range(len(heads)) if any(row[place] for row in held)]
    if not held:
        return ()
    return (Table(title, tuple(heads[p] for p in kept), tuple(tuple(row[p] for p in kept) for row in held)),)


def reasons(resource: fhir.Json) -> str:
    named = map(codes.referred, fhir.mappings(resource.get("reasonReference")))
    return codes.joined(list(dict.fromkeys(filter(None, (*codes.texts_of(resource.get("reasonCode")), *named)))))


def lines(*held: str) -> tuple[str, ...]:
    return tuple(filter(None, held))
