"""What runs in the family, and what a clinician made of the findings."""

from datetime import UTC, date, tzinfo

from django.utils.text import capfirst

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.display import amounts, codes, dates, fhir, names
from records.display.entry import Entry, Words, facts, lines, reasons, standing, table
from records.display.marks import Kind
from records.display.words import clean_lines

FAMILY: Words = {
    "partial": (gettext_lazy("In part"), None),
    "completed": (gettext_lazy("Complete"), None),
    "health-unknown": (gettext_lazy("Health not known"), Kind.UNKNOWN),
}
IMPRESSION: Words = {
    "in-progress": (gettext_lazy("In progress"), Kind.PRELIMINARY),
    "completed": (gettext_lazy("Complete"), None),
}


def family(resource: fhir.Json, _today: date, zone: tzinfo = UTC) -> Entry:
    """By how they are related; a relative's own name is nobody's business here."""
    status, marks, stands = standing(resource, FAMILY)
    held = fhir.mappings(resource.get("condition"))
    conditions = [(codes.text_of(one.get("code"), missing=_("Condition not named")), _onset(one, zone)) for one in held]
    rows = [
        (name, onset, codes.text_of(one.get("outcome")), "; ".join(codes.notes(one)))
        for one, (name, onset) in zip(held, conditions, strict=True)
    ]
    born = dates.occurrence(resource, "born", zone)
    sex = codes.text_of(resource.get("sex"))
    return Entry(
        _("Family history"),
        capfirst(codes.text_of(resource.get("relationship"), missing=_("Relative not named"))),
        status,
        dates.read(resource.get("date"), zone),
        lines=lines(*(", ".join(filter(None, one)) for one in conditions), _lives(resource, zone)),
        marks=marks,
        notes=codes.notes(resource),
        stands=stands,
        facts=facts(
            (_("Sex"), sex or (names.gender(resource) if resource.get("gender") else "")),
            (_("Born"), born),
            (_("Age"), _age(resource)),
            (_("Died"), _lives(resource, zone)),
            (_("Asked because of"), reasons(resource)),
        ),
        tables=table(_("Conditions"), (_("Condition"), _("Began"), _("Outcome"), _("Note")), rows),
    )


def _onset(condition: fhir.Json, zone: tzinfo) -> str:
    kind, _value = fhir.choice(condition, "onset")
    return dates.occurrence(condition, "onset", zone).text if kind else ""


def _age(resource: fhir.Json) -> str:
    kind, value = fhir.choice(resource, "age")
    if kind == "Age":
        held = amounts.dose(value)
        return held.text if held else ""
    return dates.occurrence(resource, "age").text if kind in ("Range", "String") else ""


def _lives(resource: fhir.Json, zone: tzinfo) -> str:
    """That and when they died; "" of the living and where nobody said."""
    kind, value = fhir.choice(resource, "deceased")
    if kind == "Boolean":
        return _("Has died") if value is True else ""
    return _("Died: %(when)s") % {"when": dates.occurrence(resource, "deceased", zone).text} if kind else ""


def impression(resource: fhir.Json, _today: date, zone: tzinfo = UTC) -> Entry:
    status, marks, stands = standing(resource, IMPRESSION)
    found = [
        codes.text_of(one.get("itemCodeableConcept")) or codes.referred(one.get("itemReference"))
        for one in fhir.mappings(resource.get("finding"))
    ]
    bases = [clean_lines(one.get("basis")) for one in fhir.mappings(resource.get("finding"))]
    summary = clean_lines(resource.get("summary")).strip()
    description = clean_lines(resource.get("description")).strip()
    effective = dates.occurrence(resource, "effective", zone)
    about = codes.joined(list(filter(None, map(codes.referred, fhir.mappings(resource.get("problem"))))))
    expected = codes.joined(list(codes.texts_of(resource.get("prognosisCodeableConcept"))))
    return Entry(
        _("Clinical impression"),
        codes.text_of(resource.get("code")) or description or _("Clinical impression"),
        status,
        effective if effective.known else dates.read(resource.get("date"), zone),
        lines=lines(summary, codes.joined(list(filter(None, found)))),
        by=codes.names_of(resource.get("assessor")),
        marks=marks,
        notes=codes.notes(resource),
        stands=stands,
        facts=facts(
            (_("Described as"), description),
            (_("Summary"), summary),
            (_("Problems"), about),
            (_("Outlook"), expected),
        ),
        tables=table(_("Findings"), (_("Finding"), _("Basis")), zip(found, bases, strict=True)),
    )
