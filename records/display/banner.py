"""The patient banner: name, birth, gender and number, always in this order [PAB-0016]."""

from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from decimal import Decimal
from typing import Any

from clinicportal.texts import gettext as _
from records.display import codes, dates, fhir, identifiers, names
from records.display.dates import When
from records.display.identifiers import Identifier
from records.display.names import Name
from records.display.ranges import Person
from records.display.words import clean


@dataclass(frozen=True)
class Contact:
    label: str
    text: str


@dataclass(frozen=True)
class Who:
    """Who a patient is, as banner and list show it. `age` is "" for the dead, who have an `age_at_death` instead."""

    name: Name
    born: When
    age: str
    gender: str
    identifier: Identifier
    deceased: bool = False
    died: When | None = None
    age_at_death: str = ""
    replaced: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """What components/chart.jinja takes for a patient."""
        return {
            "name": self.name.shown,
            "preferred": self.name.preferred,
            "born": self.born.machine,
            "age": self.age,
            "gender": self.gender,
            "identifiers": [{"label": self.identifier.label, "value": self.identifier.shown}],
            "deceased": self.deceased,
            "died": self.died.machine if self.died else "",
            "age_at_death": self.age_at_death,
        }


def of(patient: fhir.Json, today: date, zone: tzinfo = UTC, *, facility: str = "", system: str = "") -> Who:
    """Read a Patient. `facility` and `system` say whose number to show (identifiers.of_patient)."""
    died = _died(patient, zone)
    born = dates.read(patient.get("birthDate"), missing=_("Not known"))
    last_day = died.day if died else today
    return Who(
        name=names.of_patient(patient),
        born=born,
        age="" if died else dates.age(patient.get("birthDate"), today),
        gender=names.gender(patient),
        identifier=identifiers.of_patient(patient, facility, system=system),
        deceased=died is not None,
        died=died,
        age_at_death=(dates.age(patient.get("birthDate"), last_day) if last_day else "") or _("Not known")
        if died
        else "",
        replaced=any(fhir.plain_code(link.get("type")) == "replaced-by" for link in fhir.mappings(patient.get("link"))),
    )


def _died(patient: fhir.Json, zone: tzinfo) -> When | None:
    kind, value = fhir.choice(patient, "deceased")
    if kind == "DateTime" or (kind and not isinstance(value, bool)):
        return dates.read(value, zone, missing=_("Date not known"))
    return dates.words(_("Date not known")) if value is True else None


def person(patient: fhir.Json, on: date) -> Person:
    """Age and gender for picking a reference range."""
    born = dates.read(patient.get("birthDate"))
    age = Decimal((on - born.day).days) / Decimal("365.25") if born.day and born.day <= on else None
    return Person(age, fhir.plain_code(patient.get("gender")))


def address_and_contacts(patient: fhir.Json) -> tuple[Contact, ...]:
    """What the collapsed second part of the banner holds [PAB-0004..0006]: addresses, telephones, next of kin."""
    found = [
        *map(_address, fhir.mappings(patient.get("address"))),
        *map(_telecom, fhir.mappings(patient.get("telecom"))),
    ]
    for held in fhir.mappings(patient.get("contact")):
        relation = _relation(held)
        name = names.of_patient({"name": held.get("name")})
        phones = ", ".join(filter(None, (clean(t.get("value")) for t in fhir.mappings(held.get("telecom")))))
        if name.recorded or phones:
            found.append(Contact(relation, ", ".join(filter(None, (name.shown if name.recorded else "", phones)))))
    language = next(
        (c.get("language") for c in fhir.mappings(patient.get("communication")) if c.get("preferred") is True), None
    )
    if language:
        found.append(Contact(_("Language"), codes.text_of(language)))
    return tuple(contact for contact in found if contact.text)


def _relation(held: fhir.Json) -> str:
    """HL7 v2 table 0131, which sources send without words."""
    known = {"N": _("Next of kin"), "C": _("Emergency contact"), "E": _("Employer")}
    for concept in fhir.mappings(held.get("relationship")):
        said = next((known[code] for code in fhir.codes(concept) if code in known), "") or codes.text_of(concept)
        if said:
            return said
    return _("Contact")


def _address(held: fhir.Json) -> Contact:
    lines = [
        *fhir.texts(held.get("line")),
        *(clean(held.get(p)) for p in ("city", "district", "state", "postalCode", "country")),
    ]
    label = {
        "home": _("Home address"),
        "work": _("Work address"),
        "temp": _("Temporary address"),
        "old": _("Earlier address"),
    }.get(fhir.plain_code(held.get("use")), _("Address"))
    return Contact(label, ", ".join(filter(None, lines)) or clean(held.get("text")))


def _telecom(held: fhir.Json) -> Contact:
    label = {
        "phone": _("Telephone"),
        "email": _("Email"),
        "fax": _("Fax"),
        "sms": _("Text message"),
        "pager": _("Pager"),
    }.get(fhir.plain_code(held.get("system")), _("Contact"))
    use = {"home": _("home"), "work": _("work"), "mobile": _("mobile"), "old": _("no longer used")}.get(
        fhir.plain_code(held.get("use")), ""
    )
    return Contact(f"{label}, {use}" if use else label, clean(held.get("value")))
