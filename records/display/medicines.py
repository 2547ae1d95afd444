"""Medicines: one line each, whole, in the order of the Common User Interface [MEDi-051].

Drug name, brand, strength, form, dose, rate, duration, route, frequency. A line is never cut; it breaks only between
its parts [MEDi-012, 025]. What a source wrote in a sentence stays beside what it coded: the sentence often holds more.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, timedelta, tzinfo
from enum import StrEnum

from clinicportal.texts import gettext as _
from records.display import amounts, codes, dates, fhir, names, timing
from records.display.dates import When
from records.display.marks import Kind, Mark, entered_in_error
from records.display.words import clean, clean_lines
from records.importing.medication import DELETED_AT_SOURCE

# "No known medications" and its like are statements, not medicines without a dose.
_STATEMENTS = {"787481004", "no-known-medications", "no-medication-info"}

RECENTLY = timedelta(days=90)
"""How long a stopped medicine is named above the current ones [MEDv-062]."""


class Role(StrEnum):
    """What a part of the line is; the template chooses weight and label by it."""

    DRUG = "drug"
    BRAND = "brand"
    STRENGTH = "strength"
    FORM = "form"
    DOSE = "dose"
    NO_DOSE = "no-dose"
    RATE = "rate"
    DURATION = "duration"
    ROUTE = "route"
    FREQUENCY = "frequency"
    COURSE = "course"
    LIMIT = "limit"


@dataclass(frozen=True)
class Part:
    """One part of the line. `label` (DOSE) and `text` are never broken apart; `remark` says what was converted."""

    role: Role
    text: str
    label: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Dosage:
    """One step of the instructions: its parts, and the source's own sentences."""

    parts: tuple[Part, ...]
    written: str = ""
    instructions: tuple[str, ...] = ()


class Standing(StrEnum):
    CURRENT = "current"
    PAST = "past"
    ERROR = "error"


@dataclass(frozen=True)
class Medicine:
    """One MedicationRequest or MedicationStatement."""

    name: tuple[Part, ...]
    dosages: tuple[Dosage, ...]
    standing: Standing
    started: When
    ended: When
    source: str
    reason: str = ""
    marks: tuple[Mark, ...] = ()
    stopped_because: str = ""
    notes: tuple[str, ...] = ()
    do_not_give: bool = False
    reference: str = ""
    prescriber: str = ""

    @property
    def drug(self) -> str:
        return self.name[0].text

    @property
    def line(self) -> tuple[Part, ...]:
        """The whole line of the first step; the further steps follow below it."""
        return self.name + (self.dosages[0].parts if self.dosages else ())

    @property
    def spoken(self) -> str:
        return " — ".join(f"{part.label} {part.text}".strip() for part in self.line)


@dataclass(frozen=True)
class Medicines:
    """Current and past apart, newest first [MEDv-099, 100]; `recently_stopped` repeats some of the past ones.

    `not_to_give` holds orders that a medicine must not be given: they are in force and no medicine is taken by them.
    """

    current: tuple[Medicine, ...]
    not_to_give: tuple[Medicine, ...]
    past: tuple[Medicine, ...]
    recently_stopped: tuple[Medicine, ...]
    errors: tuple[Medicine, ...]


HELD = "medication-held-beside"


def holding(resource: fhir.Json, medication: str) -> fhir.Json:
    """`resource` with the Medication that it refers to inside of it, so that it is read like any contained one."""
    if medication and isinstance(reference := resource.get("medicationReference"), dict):
        product = {**fhir.load(medication), "resourceType": "Medication", "id": HELD}
        resource["contained"] = [product, *fhir.mappings(resource.get("contained"))]
        resource["medicationReference"] = {**reference, "reference": f"#{HELD}"}
    return resource


def of(
    resource: fhir.Json,
    today: date,
    zone: tzinfo = UTC,
    *,
    facility: str = "",
    changed: When | None = None,
) -> Medicine:
    """Read a MedicationRequest or MedicationStatement.

    `changed` is when the source last changed the resource, which is when a stopped one was stopped if nothing in it
    says so.
    """
    instructions = fhir.mappings(resource.get("dosageInstruction")) or fhir.mappings(resource.get("dosage"))
    instructions.sort(key=lambda dosage: fhir.whole(dosage.get("sequence")) or 0)
    started, ended = _started(resource, instructions, zone), _ended(resource, instructions, zone)
    standing, marks = _standing(resource, ended, today)
    if standing is Standing.PAST and not ended.known and changed and changed.known:
        ended = changed
    refused = resource.get("doNotPerform") is True
    return Medicine(
        name=name_of(resource),
        dosages=tuple(dosage_of(d, zone) for d in instructions)
        or (() if refused or _is_statement(resource) else (_no_dosage(),)),
        standing=standing,
        started=started,
        ended=ended if standing is not Standing.CURRENT or ended.known else dates.words(_("Not ended")),
        source=_source(resource, facility),
        reason=codes.joined([*codes.texts_of(resource.get("reasonCode")), *_reasons(resource)]),
        marks=((Mark(Kind.DO_NOT_GIVE, _("Do not give")),) if refused else ()) + marks + doubts_of(resource),
        stopped_because=_stopped_because(resource),
        notes=tuple(
            filter(None, (clean_lines(note.get("text")).strip() for note in fhir.mappings(resource.get("note"))))
        ),
        do_not_give=refused,
        reference=fhir.reference_key(
            {"reference": f"{clean(resource.get('resourceType'))}/{clean(resource.get('id'))}"}
        ),
        prescriber=codes.names_of(resource.get("requester")),
    )


def sort(medicines: Iterable[Medicine], today: date) -> Medicines:
    held = list(medicines)
    current = sorted((m for m in held if m.standing is Standing.CURRENT), key=lambda m: m.started.order, reverse=True)
    past = sorted((m for m in held if m.standing is Standing.PAST), key=lambda m: m.ended.order, reverse=True)
    recent = tuple(m for m in past if m.ended.day and today - RECENTLY <= m.ended.day <= today)
    return Medicines(
        current=tuple(m for m in current if not m.do_not_give),
        not_to_give=tuple(m for m in current if m.do_not_give),
        past=tuple(past),
        recently_stopped=recent,
        errors=tuple(m for m in held if m.standing is Standing.ERROR),
    )


# ------------------------------------------------------------------------------------------------- the name


# RxNorm writes generic, strength and form in one fixed order: "24 HR metoprolol succinate 100 MG Extended Release
# Oral Tablet [Toprol]". Only names with one ingredient that match it wholly are taken apart; anything else is printed
# as it is, since a guess at where a drug's name ends is worse than a long name.
_FORMS = (
    "Tablet|Capsule|Solution|Suspension|Cream|Ointment|Gel|Lotion|Spray|Powder|Patch|Injection|Inhaler|Implant|"
    "Suppository|Foam|Syrup|Lozenge|Drops|Film|Granules|Auto-Injector|Prefilled Syringe|Pen Injector|System"
)
_RXNORM = re.compile(
    r"(?P<drug>[A-Za-z][A-Za-z ,'()-]*?(?: (?:B|D|K|B-)\s?\d{1,2}(?![\d.,]))?) "
    r"(?P<amount>\d+(?:[.,]\d+)*) (?P<unit>(?:MG|MCG|G|UNT|MEQ|ML|%)(?:/(?:ML|ACTUAT|HR|MG|G))?)"
    rf"(?P<form> (?:[A-Z][A-Za-z-]+ )*(?:{_FORMS}))?"
    r"(?: ?\[(?P<brand>[^\[\]]+)\])?"
)
_BRAND = re.compile(r"(?P<drug>[^\[\]]+?) ?\[(?P<brand>[^\[\]]+)\]")


def name_of(resource: fhir.Json) -> tuple[Part, ...]:
    """Name, brand, strength and form of what is prescribed, dispensed, given or stated."""
    kind, held = fhir.choice(resource, "medication")
    if kind == "Reference":
        product = fhir.contained(resource, held)
        concept: object = product.get("code")
        called = codes.text_of(concept) or _ingredients(product) or names.person(codes.referred(held))
    else:
        product, concept, called = {}, held, codes.text_of(held)
    if not called:
        return (Part(Role.DRUG, _("Medicine not named")),)
    parts = _rxnorm_parts(called) if any(s == fhir.RXNORM for s, _code in fhir.codings(concept)) else ()
    parts = parts or _bracketed_brand(called)
    strength = _strength(product)
    if strength and not re.search(r"\d", called):
        parts += (strength,)
    form = codes.text_of(product.get("form"))
    if form and not any(part.role is Role.FORM for part in parts) and form.casefold() not in called.casefold():
        parts += (Part(Role.FORM, _lowered(form.removesuffix(" dose form"))),)
    return parts


def doubts_of(resource: fhir.Json) -> tuple[Mark, ...]:
    """Whether the Medication that names it is an error of its source, or deleted there."""
    kind, held = fhir.choice(resource, "medication")
    product = fhir.contained(resource, held) if kind == "Reference" else {}
    if fhir.plain_code(product.get("status")) == "entered-in-error":
        return (Mark(Kind.ERROR, _("Named by an entry made in error")),)
    if any(one.get("url") == DELETED_AT_SOURCE for one in fhir.mappings(product.get("extension"))):
        return (Mark(Kind.UNKNOWN, _("Named by an entry deleted at its source")),)
    return ()


_ONE_PIECE = {"tab", "tablet", "cap", "capsule", "supp", "suppository", "patch"}


def _strength(product: fhir.Json) -> Part | None:
    """The strength of a product with one ingredient: "500 mg" for a piece, "5 mg in 1 mL" for a liquid."""
    held = fhir.mappings(product.get("ingredient"))
    ratio = fhir.mapping(held[0].get("strength")) if len(held) == 1 else {}
    over, under = amounts.dose(ratio.get("numerator")), amounts.dose(ratio.get("denominator"))
    if over is None:
        return None
    whole = under is None or amounts.unit_of(ratio.get("denominator")).lower().strip(".") in _ONE_PIECE
    text = (
        over.text
        if whole or under is None
        else _("%(amount)s in %(volume)s") % {"amount": over.text, "volume": under.text}
    )
    return Part(Role.STRENGTH, text, remark=_converted(over))


def _is_statement(resource: fhir.Json) -> bool:
    return bool(fhir.codes(resource.get("medicationCodeableConcept")) & _STATEMENTS)


def _ingredients(product: fhir.Json) -> str:
    held = [i for i in fhir.mappings(product.get("ingredient")) if i.get("isActive") is not False]
    found = (
        codes.text_of(i.get("itemCodeableConcept"))
        or codes.text_of(fhir.contained(product, i.get("itemReference")).get("code"))
        or codes.referred(i.get("itemReference"))
        for i in held
    )
    return codes.joined(list(filter(None, found)))


def _rxnorm_parts(called: str) -> tuple[Part, ...]:
    found = _RXNORM.fullmatch(called)
    if not found:
        return ()
    value = fhir.number(_as_number(found["amount"]))
    strength = amounts.dose({"value": value, "unit": found["unit"]})
    if strength is None:
        return ()
    parts = [Part(Role.DRUG, found["drug"])]
    if found["brand"]:
        parts.append(Part(Role.BRAND, found["brand"].upper()))
    parts.append(Part(Role.STRENGTH, strength.text.replace(f"{amounts.NBSP}%", "%"), remark=_converted(strength)))
    if found["form"]:
        parts.append(Part(Role.FORM, _lowered(found["form"].strip())))
    return tuple(parts)


def _as_number(written: str) -> object:
    return fhir.load(f'{{"n": {written.replace(",", "")}}}').get("n")


def _bracketed_brand(called: str) -> tuple[Part, ...]:
    found = _BRAND.fullmatch(called)
    if found:
        return Part(Role.DRUG, found["drug"]), Part(Role.BRAND, found["brand"].upper())
    return (Part(Role.DRUG, called),)


def _lowered(form: str) -> str:
    """A form in lower case, except for words that are written in capitals throughout."""
    return " ".join(word if word.isupper() else word.lower() for word in form.split())


# ----------------------------------------------------------------------------------------------- the dosage


def _no_dosage() -> Dosage:
    return Dosage(parts=(Part(Role.NO_DOSE, _("Dose not recorded")),))


def dosage_of(dosage: fhir.Json, zone: tzinfo) -> Dosage:
    written = clean_lines(dosage.get("text")).strip()
    parts = [*_doses(dosage)]
    took = timing.duration(dosage.get("timing"))
    if took:
        parts.append(Part(Role.DURATION, took))
    route = route_of(dosage)
    if route:
        parts.append(Part(Role.ROUTE, route))
    often = " ".join(filter(None, (timing.in_words(dosage.get("timing")), _when_needed(dosage))))
    if often:
        parts.append(Part(Role.FREQUENCY, often))
    goes_on = timing.course(dosage.get("timing"), zone)
    if goes_on:
        parts.append(Part(Role.COURSE, goes_on))
    limit = _limit(dosage)
    if limit:
        parts.append(Part(Role.LIMIT, limit, label=_("MAXIMUM")))
    told = (*codes.texts_of(dosage.get("additionalInstruction")), clean(dosage.get("patientInstruction")))
    return Dosage(tuple(parts), written, tuple(line for line in dict.fromkeys(told) if line and line != written))


def _doses(dosage: fhir.Json) -> Iterable[Part]:
    """Dose and rate; several alternatives are all printed, and a missing dose is said [complaint 33]."""
    held = fhir.mappings(dosage.get("doseAndRate")) or [dosage]  # R3 had doseQuantity in the dosage itself
    doses, rates = [], []
    for one in held:
        kind, value = fhir.choice(one, "dose")
        amount = _amount(kind, value)
        if amount:
            doses.append(_dose_part(amount, value))
        rate = rate_of(*fhir.choice(one, "rate"))
        if rate:
            rates.append(Part(Role.RATE, rate))
    if not doses and not rates:
        return [Part(Role.NO_DOSE, _("Dose not recorded"))]
    return [*doses, *rates]


def _amount(kind: str, value: object) -> amounts.Amount | None:
    if kind == "Range":
        return amounts.dose_span(fhir.mapping(value).get("low"), fhir.mapping(value).get("high"))
    return amounts.dose(value) if kind in ("Quantity", "SimpleQuantity") else None


def _dose_part(amount: amounts.Amount, value: object) -> Part:
    unit = amounts.unit_of(value) or any(amounts.unit_of(fhir.mapping(value).get(end)) for end in ("low", "high"))
    remark = _converted(amount) if unit else _("unit not recorded")
    return Part(Role.DOSE, amount.text, label=_("DOSE"), remark=remark)


def _converted(amount: amounts.Amount) -> str:
    return _("recorded as %(amount)s") % {"amount": amount.recorded_as} if amount.recorded_as else ""


def rate_of(kind: str, value: object) -> str:
    if kind == "Ratio":
        over, under = (amounts.dose(fhir.mapping(value).get(part)) for part in ("numerator", "denominator"))
        if over and under:
            return _("%(amount)s in %(time)s") % {"amount": over.text, "time": under.text}
        return over.text if over else ""
    amount = _amount(kind, value)
    return amount.text if amount else ""


def route_of(dosage: fhir.Json) -> str:
    """ "Oral route" is "oral"; where on the body follows."""
    route = re.sub(r" route( of administration)?$", "", codes.text_of(dosage.get("route")), flags=re.IGNORECASE)
    site = codes.text_of(dosage.get("site"))
    return ", ".join(filter(None, (_lowered(route), _lowered(site))))


def _when_needed(dosage: fhir.Json) -> str:
    kind, value = fhir.choice(dosage, "asNeeded")
    if kind == "CodeableConcept" and codes.text_of(value):
        return _("when needed for %(reason)s") % {"reason": codes.text_of(value)}
    return _("when needed") if value is True or kind == "CodeableConcept" else ""


def _limit(dosage: fhir.Json) -> str:
    ratio = fhir.first(dosage.get("maxDosePerPeriod"))
    over, under = amounts.dose(ratio.get("numerator")), amounts.dose(_hours_not_days(ratio.get("denominator")))
    limits = [_("%(amount)s in %(time)s") % {"amount": over.text, "time": under.text}] if over and under else []
    each = amounts.dose(dosage.get("maxDosePerAdministration"))
    if each:
        limits.append(_("%(amount)s each time") % {"amount": each.text})
    return ", ".join(limits)


def _hours_not_days(quantity: object) -> object:
    """One day as 24 hours, as a limit is counted."""
    held = fhir.mapping(quantity)
    if fhir.whole(held.get("value")) == 1 and amounts.unit_of(held) in ("d", "day", "days"):
        return {"value": 24, "unit": "h"}
    return quantity


# ------------------------------------------------------------------------------------------------ standing


def _started(resource: fhir.Json, instructions: list[fhir.Json], zone: tzinfo) -> When:
    found = dates.occurrence(resource, "effective", zone)
    if found.known:
        return found
    bounds = [_bounds(d).get("start") for d in instructions]
    start = next((dates.read(b, zone) for b in bounds if b), None)
    if start and start.known:
        return start
    return dates.read(resource.get("authoredOn") or resource.get("dateAsserted"), zone)


def _bounds(dosage: fhir.Json) -> fhir.Json:
    return fhir.mapping(fhir.mapping(fhir.mapping(dosage.get("timing")).get("repeat")).get("boundsPeriod"))


def _ended(resource: fhir.Json, instructions: list[fhir.Json], zone: tzinfo) -> When:
    """The end that the source states: of the statement's period, else of the last step of the instructions.

    Not of the prescription's validity: that is how long it can be dispensed, and many take the medicine on.
    """
    stated = fhir.mapping(resource.get("effectivePeriod")).get("end")
    ends = [dates.read(_bounds(d).get("end"), zone) for d in instructions]
    if not stated and ends and all(end.known for end in ends):
        return max(ends, key=lambda end: end.order)
    return dates.read(stated, zone)


_PAST = {"stopped", "completed", "cancelled", "not-taken"}


def _standing(resource: fhir.Json, ended: When, today: date) -> tuple[Standing, tuple[Mark, ...]]:
    status = fhir.plain_code(resource.get("status"))
    if status == "entered-in-error":
        return Standing.ERROR, (entered_in_error(),)
    if status in _PAST:
        words = {
            "stopped": _("Stopped"),
            "completed": _("Completed"),
            "cancelled": _("Cancelled"),
            "not-taken": _("Not taken"),
        }
        return Standing.PAST, (Mark(Kind.STOPPED, words[status]),)
    marks = {
        "on-hold": (Mark(Kind.HELD, _("On hold")),),
        "draft": (Mark(Kind.PLANNED, _("Draft, not ordered")),),
        "intended": (Mark(Kind.PLANNED, _("Intended, not started")),),
        "active": (),
    }.get(status, (Mark(Kind.UNKNOWN, _("Status not known")),))
    intent = fhir.plain_code(resource.get("intent"))
    if intent in ("proposal", "plan") and resource.get("reportedBoolean") is not True:
        marks += (Mark(Kind.PLANNED, _("Proposed") if intent == "proposal" else _("Planned")),)
    if status == "active" and ended.day and ended.day < today:
        return Standing.PAST, (*marks, Mark(Kind.STOPPED, _("Ended by its dates")))
    return Standing.CURRENT, marks


def _source(resource: fhir.Json, facility: str) -> str:
    by = resource.get("informationSource") or resource.get("reportedReference")
    if fhir.referred_type(by) == "Patient":
        return _("Stated by the patient")
    if fhir.referred_type(by) == "RelatedPerson":
        return _("Stated by a relative")
    if resource.get("reportedBoolean") is True or by:
        named = names.person(codes.referred(by))
        return _("Reported by %(name)s") % {"name": named} if named else _("Reported, not prescribed here")
    return facility


def _reasons(resource: fhir.Json) -> list[str]:
    return [name for name in map(codes.referred, fhir.mappings(resource.get("reasonReference"))) if name]


def _stopped_because(resource: fhir.Json) -> str:
    reasons = codes.texts_of(resource.get("statusReason"))
    return codes.joined(list(reasons))
