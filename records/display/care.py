"""Care plans, goals, requests for care, and who is in the team."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.display import codes, dates, fhir
from records.display.dates import When
from records.display.marks import Kind, Mark, entered_in_error
from records.display.words import clean, clean_lines


@dataclass(frozen=True)
class Member:
    name: str
    role: str
    period: str = ""


@dataclass(frozen=True)
class Entry:
    """One plan, goal, request or team. `lines` are what it holds, in the order of the source."""

    kind: str
    title: str
    status: str
    when: When
    ended: When | None = None
    detail: str = ""
    lines: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    by: str = ""
    stands: bool = True


@dataclass(frozen=True)
class Care:
    """`teams` apart: they say who, the others what. Each newest first."""

    teams: tuple[Entry, ...]
    plans: tuple[Entry, ...]
    goals: tuple[Entry, ...]
    requests: tuple[Entry, ...]

    @property
    def empty(self) -> bool:
        return not (self.teams or self.plans or self.goals or self.requests)


def of(resource: fhir.Json, zone: tzinfo = UTC) -> tuple[str, Entry] | None:
    """The type and the entry; None for a type that this page does not show."""
    type = str(resource.get("resourceType"))
    make = _MAKERS.get(type)
    return (type, make(resource, zone)) if make else None


def sort(held: Iterable[tuple[str, Entry] | None]) -> Care:
    found: dict[str, list[Entry]] = {type: [] for type in _MAKERS}
    for one in held:
        if one:
            found[one[0]].append(one[1])
    newest = {
        type: tuple(sorted(entries, key=lambda entry: entry.when.order, reverse=True))
        for type, entries in found.items()
    }
    return Care(
        newest["CareTeam"], newest["CarePlan"], newest["Goal"], newest["ServiceRequest"] + newest["NutritionOrder"]
    )


def _plan(resource: fhir.Json, zone: tzinfo) -> Entry:
    start, end = dates.of_period(resource.get("period"), zone)
    activities = [fhir.mapping(one.get("detail")) for one in fhir.mappings(resource.get("activity"))]
    lines = [codes.text_of(one.get("code")) or clean(one.get("description")) for one in activities]
    lines += [codes.referred(one.get("reference")) for one in fhir.mappings(resource.get("activity"))]
    title = clean(resource.get("title")) or codes.joined(list(codes.texts_of(resource.get("category"))))
    return Entry(
        _("Care plan"),
        title or _("Care plan without a title"),
        _status(resource),
        start,
        end if end.known else None,
        detail=clean_lines(resource.get("description")),
        lines=tuple(filter(None, lines)),
        marks=_marks(resource),
        notes=codes.notes(resource),
        by=codes.names_of(resource.get("author")),
        stands=_stands(resource),
    )


def _goal(resource: fhir.Json, zone: tzinfo) -> Entry:
    target = fhir.first(resource.get("target"))
    due = dates.read(target.get("dueDate"), zone)
    achieved = codes.text_of(resource.get("achievementStatus"))
    start = resource.get("startDate") or resource.get("statusDate")
    return Entry(
        _("Goal"),
        codes.text_of(resource.get("description"), missing=_("Goal not named")),
        _status(resource, "lifecycleStatus"),
        dates.read(start, zone),
        due if due.known else None,
        detail=achieved,
        marks=_marks(resource, "lifecycleStatus"),
        notes=codes.notes(resource),
        by=codes.names_of(resource.get("expressedBy")),
        stands=_stands(resource, "lifecycleStatus"),
    )


def _request(resource: fhir.Json, zone: tzinfo) -> Entry:
    reasons = [*codes.texts_of(resource.get("reasonCode"))]
    asked = codes.names_of(resource.get("performer")) or codes.text_of(fhir.first(resource.get("performerType")))
    return Entry(
        _("Request"),
        codes.text_of(resource.get("code"), missing=_("Request not named")),
        _status(resource),
        dates.read(resource.get("authoredOn") or resource.get("dateTime"), zone),
        detail=codes.joined(reasons),
        lines=(_("Asked of %(who)s") % {"who": asked},) if asked else (),
        marks=_marks(resource),
        notes=codes.notes(resource),
        by=codes.names_of(resource.get("requester") or resource.get("orderer")),
        stands=_stands(resource),
    )


def _team(resource: fhir.Json, zone: tzinfo) -> Entry:
    start, end = dates.of_period(resource.get("period"), zone)
    return Entry(
        _("Care team"),
        clean(resource.get("name"))
        or codes.joined(list(codes.texts_of(resource.get("category"))))
        or _("Care team without a name"),
        _status(resource),
        start,
        end if end.known else None,
        members=tuple(_member(one) for one in fhir.mappings(resource.get("participant"))),
        marks=_marks(resource),
        notes=codes.notes(resource),
        by=codes.names_of(resource.get("managingOrganization")),
        stands=_stands(resource),
    )


def _member(held: fhir.Json) -> Member:
    return Member(
        name=codes.names_of(held.get("member")) or _("Name not sent"),
        role=codes.joined(list(codes.texts_of(held.get("role")))) or _("Role not recorded"),
    )


_STATUS = {
    "active": gettext_lazy("Active"),
    "draft": gettext_lazy("Draft"),
    "proposed": gettext_lazy("Proposed"),
    "planned": gettext_lazy("Planned"),
    "accepted": gettext_lazy("Accepted"),
    "on-hold": gettext_lazy("On hold"),
    "revoked": gettext_lazy("Revoked"),
    "completed": gettext_lazy("Completed"),
    "cancelled": gettext_lazy("Cancelled"),
    "rejected": gettext_lazy("Rejected"),
    "inactive": gettext_lazy("No longer active"),
    "suspended": gettext_lazy("Suspended"),
}


def _status(resource: fhir.Json, element: str = "status") -> str:
    return str(_STATUS.get(fhir.plain_code(resource.get(element)), _("Status not known")))


def _stands(resource: fhir.Json, element: str = "status") -> bool:
    return fhir.plain_code(resource.get(element)) != "entered-in-error"


def _marks(resource: fhir.Json, element: str = "status") -> tuple[Mark, ...]:
    status = fhir.plain_code(resource.get(element))
    if status == "entered-in-error":
        return (entered_in_error(),)
    mark = {
        "on-hold": Mark(Kind.HELD, _("On hold")),
        "suspended": Mark(Kind.HELD, _("Suspended")),
        "revoked": Mark(Kind.STOPPED, _("Revoked")),
        "cancelled": Mark(Kind.CANCELLED, _("Cancelled")),
        "draft": Mark(Kind.PLANNED, _("Draft")),
    }.get(status)
    return (mark,) if mark else ()


_MAKERS = {
    "CareTeam": _team,
    "CarePlan": _plan,
    "Goal": _goal,
    "ServiceRequest": _request,
    "NutritionOrder": _request,
}
