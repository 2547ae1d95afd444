"""Problems (Condition): what is active, what is past, and how sure anyone was."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from clinicportal.texts import gettext as _
from records.display import codes, dates, fhir
from records.display.dates import When
from records.display.marks import Kind, Mark, entered_in_error
from records.display.words import clean


@dataclass(frozen=True)
class Problem:
    name: str
    since: When
    ended: When
    active: bool
    recorded: When
    status: str = ""
    severity: str = ""
    sites: str = ""
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    stands: bool = True
    reference: str = ""
    category: str = ""

    @property
    def refuted(self) -> bool:
        return any(mark.kind is Kind.REFUTED for mark in self.marks)


@dataclass(frozen=True)
class Problems:
    """`withdrawn` holds what was refuted or entered in error: shown last and struck through, never dropped."""

    active: tuple[Problem, ...]
    past: tuple[Problem, ...]
    withdrawn: tuple[Problem, ...]


_OVER = {"inactive", "remission", "resolved"}


def of(condition: fhir.Json, zone: tzinfo = UTC) -> Problem:
    status = fhir.status_code(condition.get("clinicalStatus"))
    verified = fhir.status_code(condition.get("verificationStatus"))
    ended = dates.occurrence(condition, "abatement", zone, missing=_("Date not recorded"))
    over = status in _OVER or (not status and (ended.known or condition.get("abatementBoolean") is True))
    recorded = dates.read(condition.get("recordedDate") or condition.get("assertedDate"), zone)
    return Problem(
        name=codes.text_of(condition.get("code"), missing=_("Problem not named")),
        since=dates.occurrence(condition, "onset", zone),
        ended=ended,
        active=not over,
        recorded=recorded,
        status=_status(status),
        severity=codes.text_of(condition.get("severity")),
        sites=codes.joined(list(codes.texts_of(condition.get("bodySite")))),
        marks=_marks(verified),
        notes=codes.notes(condition),
        stands=verified not in ("refuted", "entered-in-error"),
        reference=f"Condition/{clean(condition.get('id'))}",
        category=next((c for k in fhir.mappings(condition.get("category")) for _s, c in fhir.codings(k)), ""),
    )


def sort(problems: Iterable[Problem]) -> Problems:
    """Newest onset first; what has no date last."""
    held = sorted(problems, key=lambda p: p.since.order, reverse=True)
    return Problems(
        active=tuple(p for p in held if p.active and p.stands),
        past=tuple(
            sorted(
                (p for p in held if not p.active and p.stands),
                key=lambda p: (p.ended.order, p.since.order),
                reverse=True,
            )
        ),
        withdrawn=tuple(p for p in held if not p.stands),
    )


def _status(code: str) -> str:
    return {
        "active": _("Active"),
        "recurrence": _("Recurrence"),
        "relapse": _("Relapse"),
        "inactive": _("Inactive"),
        "remission": _("In remission"),
        "resolved": _("Resolved"),
    }.get(code, _("Status not recorded"))


def _marks(verified: str) -> tuple[Mark, ...]:
    mark = {
        "entered-in-error": entered_in_error(),
        "refuted": Mark(Kind.REFUTED, _("Refuted")),
        "unconfirmed": Mark(Kind.UNCONFIRMED, _("Unconfirmed")),
        "provisional": Mark(Kind.UNCONFIRMED, _("Provisional")),
        "differential": Mark(Kind.UNCONFIRMED, _("Differential diagnosis")),
    }.get(verified)
    return (mark,) if mark else ()
