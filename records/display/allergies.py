"""Allergies, and which of four things the record says about them [PAB-0064..0072].

"No known allergies" is a clinical statement: it is shown only where a record asserts it, never because nothing was
found.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum

from clinicportal.texts import gettext as _
from records.display import codes, dates, fhir, names
from records.display.dates import When
from records.display.marks import Kind, Mark, entered_in_error
from records.display.words import clean, sentence


class State(StrEnum):
    KNOWN = "known"
    NONE_KNOWN = "none-known"
    NOT_RECORDED = "not-recorded"
    UNAVAILABLE = "unavailable"


class Says(StrEnum):
    """What one AllergyIntolerance states."""

    ALLERGY = "allergy"
    NO_ALLERGY = "no-allergy"
    NO_ALLERGY_OF_A_KIND = "no-allergy-of-a-kind"
    NO_INFORMATION = "no-information"


@dataclass(frozen=True)
class Reaction:
    manifestations: str
    severity: str = ""
    when: When | None = None
    description: str = ""
    substance: str = ""

    @property
    def text(self) -> str:
        return ", ".join(filter(None, (self.manifestations, self.severity)))


@dataclass(frozen=True)
class Allergy:
    """One entry. `stands` is False for what is refuted, in error or no longer active."""

    substance: str
    says: Says
    stands: bool
    recorded: When
    reactions: tuple[Reaction, ...]
    criticality: str = ""
    high_risk: bool = False
    kind: str = ""
    status: str = ""
    onset: When | None = None
    last: When | None = None
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    withdrawn: bool = False
    reference: str = ""
    by: str = ""

    @property
    def reaction(self) -> str:
        texts = [reaction.text for reaction in self.reactions if reaction.text]
        return sentence("; ".join(texts)) if texts else _("Reaction not recorded")

    @property
    def refuted(self) -> bool:
        return any(mark.kind is Kind.REFUTED for mark in self.marks)


@dataclass(frozen=True)
class Allergies:
    """What the banner and the page draw.

    `items` are the allergies that stand, gravest first; `statements` are assertions of absence ("No known drug
    allergy"); `past` is what was once listed; `updated` is the newest date on any of them, or words.
    """

    state: State
    title: str
    updated: When
    items: tuple[Allergy, ...] = ()
    statements: tuple[Allergy, ...] = ()
    past: tuple[Allergy, ...] = ()
    withdrawn: tuple[Allergy, ...] = ()

    @property
    def substances(self) -> str:
        """The names in one line for the banner, or what was asserted about a kind of allergy."""
        shown = self.items or (self.statements if self.state is State.NOT_RECORDED else ())
        return ", ".join(dict.fromkeys(item.substance for item in shown))

    @property
    def contradicted(self) -> bool:
        """True when one record lists an allergy and another states that there is none."""
        return bool(self.items) and any(s.says is Says.NO_ALLERGY for s in self.statements)

    @property
    def refuted(self) -> int:
        return sum(1 for item in self.withdrawn if item.refuted)


# SNOMED CT situations, which the HL7 value set "AllergyIntolerance Code" names for this purpose, and the codes of the
# International Patient Summary ("Absent and Unknown Data").
_NO_ALLERGY = {"716186003", "no-known-allergies"}
_NO_ALLERGY_OF_A_KIND = {
    "409137002",  # drug
    "429625007",  # food
    "428607008",  # environment
    "428197003",  # insect
    "1003774007",  # latex
    "716220001",  # animal
    "716184000",  # latex, as HL7's own example has it
    "no-known-medication-allergies",
    "no-known-food-allergies",
    "no-known-environmental-allergies",
}
_NO_INFORMATION = {"no-allergy-info", "1631000175102"}  # the second: patient not asked
_NO_ALLERGY_WORDS = {"nka", "no known allergy", "no known allergies", "nil known allergies", "no allergies known"}
_NO_ALLERGY_OF_A_KIND_WORDS = {
    "nkda", "no known drug allergy", "no known drug allergies", "nkfa", "no known food allergy",
    "no known food allergies", "no known latex allergy", "nkla", "no known environmental allergy",
    "no known environmental allergies",
}  # fmt: skip


def of(resource: fhir.Json, zone: tzinfo = UTC) -> Allergy:
    clinical = fhir.status_code(resource.get("clinicalStatus"))
    verified = fhir.status_code(resource.get("verificationStatus"))
    withdrawn = verified in ("refuted", "entered-in-error")
    critical = fhir.plain_code(resource.get("criticality"))
    says = _says(resource)
    return Allergy(
        substance=_substance(resource, says),
        says=says,
        stands=not withdrawn and clinical not in ("inactive", "resolved"),
        withdrawn=withdrawn,
        recorded=dates.read(resource.get("recordedDate") or resource.get("assertedDate"), zone),
        reactions=tuple(_reaction(r, zone) for r in fhir.mappings(resource.get("reaction"))),
        criticality={
            "high": _("High risk"),
            "low": _("Low risk"),
            "unable-to-assess": _("Risk cannot be assessed"),
        }.get(critical, ""),
        high_risk=critical == "high",
        kind=_kind(resource),
        status={"active": _("Active"), "inactive": _("Inactive"), "resolved": _("Resolved")}.get(
            clinical, _("Status not recorded")
        ),
        onset=_optional(dates.occurrence(resource, "onset", zone)),
        last=_optional(dates.read(resource.get("lastOccurrence"), zone)),
        marks=_marks(verified),
        notes=codes.notes(resource),
        reference=f"AllergyIntolerance/{clean(resource.get('id'))}",
        by=names.person(codes.referred(resource.get("asserter") or resource.get("recorder"))),
    )


def summarise(allergies: Iterable[Allergy] | None) -> Allergies:
    """The state of the whole section; None means that it could not be read or is not in the reader's access."""
    if allergies is None:
        return Allergies(State.UNAVAILABLE, _("Allergies unavailable"), dates.words(_("Not known")))
    held = sorted(allergies, key=lambda allergy: allergy.recorded.order, reverse=True)
    items = tuple(sorted((a for a in held if a.stands and a.says is Says.ALLERGY), key=lambda a: not a.high_risk))
    statements = tuple(a for a in held if a.stands and a.says is not Says.ALLERGY)
    if items:
        state, title = State.KNOWN, _("Known allergies")
    elif any(a.says is Says.NO_ALLERGY for a in statements):
        state, title = State.NONE_KNOWN, _("No known allergies")
    else:
        state, title = State.NOT_RECORDED, _("Allergies not recorded")
    return Allergies(
        state=state,
        title=title,
        updated=next((a.recorded for a in held if a.recorded.known), dates.words(_("Date not recorded"))),
        items=items,
        statements=statements,
        past=tuple(a for a in held if not a.stands and not a.withdrawn),
        withdrawn=tuple(a for a in held if a.withdrawn),
    )


def _says(resource: fhir.Json) -> Says:
    code = resource.get("code")
    found = fhir.codes(code)
    # A code says more surely what is meant than words, so words count only where there is no code.
    if found & _NO_ALLERGY or (not found and codes.text_of(code).casefold() in _NO_ALLERGY_WORDS):
        return Says.NO_ALLERGY
    if found & _NO_ALLERGY_OF_A_KIND or (not found and codes.text_of(code).casefold() in _NO_ALLERGY_OF_A_KIND_WORDS):
        return Says.NO_ALLERGY_OF_A_KIND
    return Says.NO_INFORMATION if found & _NO_INFORMATION else Says.ALLERGY


def _substance(resource: fhir.Json, says: Says) -> str:
    code = fhir.mapping(resource.get("code"))
    if says is not Says.ALLERGY:
        # NKDA is an abbreviation for clinicians at one place; the coded name is the long form.
        return codes.text_of({"coding": code.get("coding")}) or codes.text_of(code)
    substances = [codes.text_of(r.get("substance")) for r in fhir.mappings(resource.get("reaction"))]
    return codes.text_of(code) or next(filter(None, substances), "") or _("Substance not recorded")


def _kind(resource: fhir.Json) -> str:
    kind = {"allergy": _("Allergy"), "intolerance": _("Intolerance")}.get(fhir.plain_code(resource.get("type")), "")
    categories = {
        "food": _("food"),
        "medication": _("medicine"),
        "environment": _("environment"),
        "biologic": _("biologic"),
    }
    named = [categories[c] for c in fhir.texts(resource.get("category")) if c in categories]
    return sentence(", ".join(filter(None, (kind, codes.joined(named)))))


def _reaction(held: fhir.Json, zone: tzinfo) -> Reaction:
    severity = {"mild": _("mild"), "moderate": _("moderate"), "severe": _("severe")}
    return Reaction(
        manifestations=codes.joined(list(codes.texts_of(held.get("manifestation")))),
        severity=severity.get(fhir.plain_code(held.get("severity")), ""),
        when=_optional(dates.read(held.get("onset"), zone)),
        description=clean(held.get("description")),
        substance=codes.text_of(held.get("substance")),
    )


def _optional(when: When) -> When | None:
    return when if when.known else None


def _marks(verified: str) -> tuple[Mark, ...]:
    mark = {
        "entered-in-error": entered_in_error(),
        "refuted": Mark(Kind.REFUTED, _("Refuted")),
        "unconfirmed": Mark(Kind.UNCONFIRMED, _("Unconfirmed")),
        "presumed": Mark(Kind.UNCONFIRMED, _("Presumed")),
    }.get(verified)
    return (mark,) if mark else ()
