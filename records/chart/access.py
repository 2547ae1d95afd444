"""Why a record is open to the reader, by whose leave, until when, and who else of their organisation opened it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, tzinfo
from urllib.parse import urlencode
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext_lazy

from clinicportal import audit
from clinicportal.dates import clinical_time
from clinicportal.models import User
from clinicportal.texts import gettext as _
from clinicportal.viewing import viewing
from records import access
from records.chart.frame import MENU, chart_of, open_frame, until
from records.display import codes, dates, pages
from records.models import Organisation, Section
from records.models.grants import name_of_giver

OPENINGS = 200
"""What one page of the history reads; a line tells all that one person opened on a day."""


def page(patient_id: UUID, *, by: User, before: datetime | None = None) -> pages.AccessPage:
    """The history names the reader's own organisation's people only: by whom else a record is read may tell what the
    patient is treated for. Reading it is written down."""
    with viewing(by):
        frame = open_frame(patient_id, "access", by=by)
        found = audit.openings(patient_id, by.acting_for, before=before, at_most=OPENINGS + 1)
        subjects, detail = [audit.Subject(patient_id)], {"shown": min(len(found), OPENINGS), "section": "access"}
        audit.record(audit.Type.AUDIT_READ, by=by, subjects=subjects, detail=detail)
        organisation = Organisation.objects.get(pk=by.acting_for) if by.acting_for else ""
    return pages.AccessPage(
        chart_of(frame),
        tuple(_basis(basis, frame.zone) for basis in frame.opened.bases),
        tuple(by_person_and_day(found[:OPENINGS], frame.zone)),
        str(organisation),
        "?" + urlencode({"before": found[OPENINGS - 1].recorded.isoformat()}) if len(found) > OPENINGS else "",
    )


def by_person_and_day(found: Iterable[audit.Opening], zone: tzinfo) -> list[pages.Openings]:
    grouped: dict[tuple[date, UUID | None, str], list[audit.Opening]] = {}
    for one in found:
        key = timezone.localdate(one.recorded, zone), one.user_id, one.basis
        grouped.setdefault(key, []).append(one)
    return [_openings(those, zone) for those in grouped.values()]


def _openings(those: list[audit.Opening], zone: tzinfo) -> pages.Openings:
    first, last = those[-1], those[0]
    what = list(dict.fromkeys(what_of(one) for one in reversed(those)))
    return pages.Openings(
        when=dates.of_moment(first.recorded, zone),
        last=clinical_time(last.recorded) if clinical_time(last.recorded) != clinical_time(first.recorded) else "",
        who=first.user_name,
        what=", ".join(what),
        basis=first.basis,
    )


TITLES = {
    **{name: title for name, title, _sections in MENU},
    "print": gettext_lazy("Print view"),
    "report": gettext_lazy("Something is wrong"),
}


def what_of(one: audit.Opening) -> str:
    """The page that was opened; what was printed or taken away, by that word."""
    if one.type == audit.Type.RECORD_PRINTED:
        return _("printed")
    if one.type == audit.Type.RECORD_TAKEN:
        return _("taken away")
    return str(TITLES.get(one.section, one.section or _("Record")))


def _basis(basis: access.Basis, zone: tzinfo) -> pages.Basis:
    sections = [str(section.label) for section in Section if section in basis.sections]
    return pages.Basis(
        label=basis.label,
        caseload=basis.caseload,
        facility=basis.facility,
        purpose=basis.purpose,
        given_by=name_of_giver(basis.given_by),
        until=until(basis.ends_at, zone),
        sections=codes.joined(sections),
    )
