"""Observations: what was measured, its value of whatever kind, its range, its flag and its state.

Every kind of value that FHIR knows becomes words: coded, text, ratio, range, waveform, absent, rejected. A value
keeps its comparator and the precision it was recorded with [GTAB-054, 201]. The flag is the source's where it gave
one; only else do we compare with the range, and say so.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from decimal import Decimal
from enum import StrEnum

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.display import amounts, codes, dates, fhir, names, ranges
from records.display.amounts import NO_UNIT, Unit
from records.display.dates import When
from records.display.marks import NO_FLAG, OUTSIDE, Flag, Kind, Mark, Step, entered_in_error, step_flag
from records.display.ranges import ANYONE, Person, Range
from records.display.words import clean, clean_lines


class Of(StrEnum):
    """What kind of value it is: tables align numbers, charts plot them, and nothing else."""

    NUMBER = "number"
    WORDS = "words"
    ABSENT = "absent"
    NONE = "none"


@dataclass(frozen=True)
class Value:
    """A value as shown, without its unit. `number` is there when it can be drawn; `exact` when `text` was rounded."""

    text: str
    of: Of
    unit: Unit = NO_UNIT
    number: Decimal | None = None
    comparator: str = ""
    exact: str = ""

    @property
    def with_unit(self) -> str:
        return amounts.with_unit(self.text, self.unit.text)


@dataclass(frozen=True)
class Result:
    """One Observation, or one component of it.

    `key` is the same for the same test; results of one key and one unit share a column. `was` is the value before a
    correction, struck through on the page. `usable` is False for what must not be read as a measurement. `is_panel` is
    a heading that holds nothing but other results. `row` is our id of the resource, for links.
    """

    key: str
    name: str
    value: Value
    flag: Flag
    range: Range
    when: When
    issued: When
    reference: str = ""
    category: str = ""
    marks: tuple[Mark, ...] = ()
    was: Value | None = None
    reason: str = ""
    parts: tuple["Result", ...] = ()
    details: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    usable: bool = True
    is_panel: bool = False
    row: str = ""

    @property
    def column(self) -> tuple[str, str]:
        return self.key, self.value.unit.key

    @property
    def numeric(self) -> bool:
        return self.value.of is Of.NUMBER


def of(
    observation: fhir.Json,
    zone: tzinfo = UTC,
    *,
    person: Person = ANYONE,
    earlier: fhir.Json | None = None,
    row: str = "",
) -> Result:
    """Read an Observation; `earlier` is the version of it that a correction replaced."""
    when = dates.occurrence(observation, "effective", zone)
    issued = dates.read(observation.get("issued"), zone)
    read = _element(observation, when if when.known else issued, issued, person)
    parts = tuple(_element(part, read.when, issued, person) for part in fhir.mappings(observation.get("component")))
    read = _with_parts(read, parts)
    marks = _marks(observation, read)
    if any(mark.kind in _NO_MEASUREMENT for mark in marks):
        read = replace(read, flag=NO_FLAG, usable=False)
    return replace(
        read,
        reference=fhir.reference_key({"reference": f"Observation/{clean(observation.get('id'))}"}),
        category=_category(observation),
        marks=marks,
        row=row,
        is_panel=read.value.of is Of.NONE and bool(fhir.mappings(observation.get("hasMember"))),
        was=_changed_value(earlier, read) if earlier else None,
        reason=_reason(observation, read),
        details=_details(observation),
        notes=tuple(
            filter(None, (clean_lines(note.get("text")).strip() for note in fhir.mappings(observation.get("note"))))
        ),
    )


def _element(element: fhir.Json, when: When, issued: When, person: Person) -> Result:
    value = value_of(element)
    found = ranges.of(element.get("referenceRange"), value.unit, person)
    return Result(
        key=test_key(element.get("code")),
        name=codes.text_of(element.get("code"), missing=_("Test not named")),
        value=value,
        flag=_flag(element, value, found),
        range=found,
        when=when,
        issued=issued,
    )


def test_key(code: object) -> str:
    """What makes two results the same test: their LOINC code, else any code, else what they are called."""
    held = list(fhir.codings(code))
    best = next((c for c in held if c[0] == fhir.LOINC), None) or next(iter(held), None)
    return "|".join(best) if best else codes.text_of(code).casefold()


def _category(observation: fhir.Json) -> str:
    return next((c for concept in fhir.mappings(observation.get("category")) for _s, c in fhir.codings(concept)), "")


# ---------------------------------------------------------------------------------------------------- values


def value_of(element: fhir.Json) -> Value:
    """The value[x] of an Observation or component; why there is none, in words, when there is none."""
    kind, held = fhir.choice(element, "value")
    read = _READERS[kind](held) if kind in _READERS else None
    if read is not None:
        return read
    absent = _absence(element, kind)
    if absent:
        return Value(absent, Of.ABSENT)
    return Value(_("Value can't be shown"), Of.ABSENT) if kind else Value(_("No value recorded"), Of.NONE)


# "masked" is read like "unknown": that something is withheld is never hinted at (design, section 4).
_ABSENCES = {
    "asked-unknown": gettext_lazy("Asked but not known"),
    "asked-declined": gettext_lazy("Asked but declined"),
    "not-asked": gettext_lazy("Not asked"),
    "not-applicable": gettext_lazy("Not applicable"),
    "not-performed": gettext_lazy("Not performed"),
    "not-a-number": gettext_lazy("Not a number"),
    "negative-infinity": gettext_lazy("Too low to measure"),
    "positive-infinity": gettext_lazy("Too high to measure"),
    "error": gettext_lazy("Error in measuring"),
    "unsupported": gettext_lazy("Not supported by the source"),
    "as-text": gettext_lazy("Given in words only"),
    "temp-unknown": gettext_lazy("Not known yet"),
    "unknown": gettext_lazy("Not known"),
    "masked": gettext_lazy("Not known"),
}


def _absence(element: fhir.Json, kind: str) -> str:
    concept = fhir.mapping(element.get("dataAbsentReason"))
    for code in (*sorted(fhir.codes(concept)), fhir.absent_reason(element.get(f"value{kind}") or {})):
        if code in _ABSENCES:
            return str(_ABSENCES[code])
    underscored = next((v for k, v in element.items() if k.startswith("_value")), None)
    return codes.text_of(concept) or str(_ABSENCES.get(fhir.absent_reason(underscored), ""))


def _quantity(held: object) -> Value | None:
    value = fhir.number(fhir.mapping(held).get("value"))
    if value is None:
        return None
    comparator = amounts.comparator(held)
    return Value(
        text=comparator + amounts.shown(value),
        of=Of.NUMBER,
        unit=amounts.result_unit(held),
        number=value,
        comparator=comparator,
        exact=comparator + amounts.recorded(value) if amounts.is_artefact(value) else "",
    )


def _concept(held: object) -> Value | None:
    return _words(codes.text_of(held))


def _words(text: str) -> Value | None:
    return Value(text, Of.WORDS) if text else None


def _string(held: object) -> Value | None:
    return _words(clean(held))


def _boolean(held: object) -> Value | None:
    return Value(_("Yes") if held else _("No"), Of.WORDS) if isinstance(held, bool) else None


def _integer(held: object) -> Value | None:
    value = fhir.number(held)
    return Value(amounts.recorded(value), Of.NUMBER, number=value) if value is not None else None


def _range(held: object) -> Value | None:
    low, high = fhir.mapping(held).get("low"), fhir.mapping(held).get("high")
    least, most = fhir.number(fhir.mapping(low).get("value")), fhir.number(fhir.mapping(high).get("value"))
    unit = next((u for u in (amounts.result_unit(high), amounts.result_unit(low)) if u.key), NO_UNIT)
    if least is not None and most is not None:
        text = _("%(low)s to %(high)s") % {"low": amounts.shown(least), "high": amounts.shown(most)}
    elif least is not None:
        text = _("%(low)s or more") % {"low": amounts.shown(least)}
    elif most is not None:
        text = _("%(high)s or less") % {"high": amounts.shown(most)}
    else:
        return None
    return Value(text, Of.WORDS, unit=unit)


def _ratio(held: object) -> Value | None:
    over, under = (fhir.mapping(fhir.mapping(held).get(part)) for part in ("numerator", "denominator"))
    top, bottom = _quantity(over), _quantity(under)
    if not top or not bottom:
        return _words(top.with_unit if top else "")
    if not top.unit.text and not bottom.unit.text:
        return Value(f"{top.text}:{bottom.text}", Of.WORDS)  # a titre
    return Value(_("%(amount)s in %(volume)s") % {"amount": top.with_unit, "volume": bottom.with_unit}, Of.WORDS)


def _sampled(held: object) -> Value | None:
    count = len(clean(fhir.mapping(held).get("data")).split())
    return Value(_("Waveform of %(count)s samples, not drawn here") % {"count": count}, Of.WORDS) if count else None


def _date_time(held: object) -> Value | None:
    when = dates.read(held)
    return _words(when.whole) if when.known else None


def _time(held: object) -> Value | None:
    return _words(dates.time_of_day(held))


def _period(held: object) -> Value | None:
    start, end = dates.of_period(held)
    if not start.known and not end.known:
        return None
    return Value(_("%(start)s to %(end)s") % {"start": start.whole, "end": end.whole}, Of.WORDS)


def _attachment(held: object) -> Value | None:
    title = clean(fhir.mapping(held).get("title"))
    return Value(_("Attached: %(title)s") % {"title": title} if title else _("Attached file, not shown here"), Of.WORDS)


def _reference(held: object) -> Value | None:
    return _words(names.person(codes.referred(held)))


_READERS = {
    "Quantity": _quantity,
    "CodeableConcept": _concept,
    "String": _string,
    "Boolean": _boolean,
    "Integer": _integer,
    "Decimal": _integer,
    "Range": _range,
    "Ratio": _ratio,
    "SampledData": _sampled,
    "Time": _time,
    "DateTime": _date_time,
    "Period": _period,
    "Attachment": _attachment,
    "Reference": _reference,
}


# ---------------------------------------------------------------------------------------------- components


_SYSTOLIC, _DIASTOLIC = {"8480-6", "271649006"}, {"8462-4", "271650006"}


def _with_parts(read: Result, parts: tuple[Result, ...]) -> Result:
    """A result whose components are its value: 120/80, or their list where they are no pair."""
    if not parts:
        return read
    pressure = _blood_pressure(parts)
    if pressure and read.value.of in (Of.NONE, Of.ABSENT):
        flag = read.flag if read.flag.step in OUTSIDE else _worst(part.flag for part in parts)
        return replace(read, value=pressure, flag=flag, parts=parts)
    if read.value.of is Of.NONE:
        # Several answers to one question need no name each.
        named = len({part.key for part in parts}) > 1 or parts[0].key != read.key
        text = "; ".join(f"{part.name}: {part.value.with_unit}" if named else part.value.with_unit for part in parts)
        flag = read.flag if read.flag.step in OUTSIDE else _worst(part.flag for part in parts)
        return replace(read, value=Value(text, Of.WORDS), flag=flag, parts=parts)
    return replace(read, parts=parts)


def pressures(read: Result) -> tuple[Result, Result] | None:
    """The systolic and diastolic parts of a blood pressure, or None."""
    found = [
        next((part for part in read.parts if part.key.rpartition("|")[2] in wanted), None)
        for wanted in (_SYSTOLIC, _DIASTOLIC)
    ]
    return (found[0], found[1]) if found[0] and found[1] else None


def _blood_pressure(parts: tuple[Result, ...]) -> Value | None:
    upper = next((p for p in parts if p.key.rpartition("|")[2] in _SYSTOLIC), None)
    lower = next((p for p in parts if p.key.rpartition("|")[2] in _DIASTOLIC), None)
    if not upper or not lower or not (upper.numeric or lower.numeric):
        return None
    unit = upper.value.unit if upper.numeric else lower.value.unit
    if upper.numeric and lower.numeric and upper.value.unit != lower.value.unit:
        return None
    text = "/".join(p.value.text if p.numeric else _("not known") for p in (upper, lower))
    return Value(text, Of.NUMBER, unit=unit)


_GRAVITY = (
    Step.CRITICAL_HIGH, Step.CRITICAL_LOW, Step.CRITICAL, Step.OFF_HIGH, Step.OFF_LOW,
    Step.HIGH, Step.LOW, Step.ABNORMAL, Step.OTHER, Step.NORMAL, Step.NO_RANGE,
)  # fmt: skip


def _worst(flags: Iterable[Flag]) -> Flag:
    held = [flag for flag in flags if flag.step in _GRAVITY]
    return min(held, key=lambda flag: _GRAVITY.index(flag.step), default=NO_FLAG)


# --------------------------------------------------------------------------------------- flags and states


# HL7 v3 ObservationInterpretation, which v2 table 0078 became.
_INTERPRETATIONS = {
    "LL": Step.CRITICAL_LOW,
    "L": Step.LOW,
    "N": Step.NORMAL,
    "H": Step.HIGH,
    "HH": Step.CRITICAL_HIGH,
    "LU": Step.CRITICAL_LOW,
    "HU": Step.CRITICAL_HIGH,
    "<": Step.OFF_LOW,
    ">": Step.OFF_HIGH,
    "A": Step.ABNORMAL,
    "AA": Step.CRITICAL,
}
_OTHER_INTERPRETATIONS = {
    "POS": gettext_lazy("Positive"),
    "NEG": gettext_lazy("Negative"),
    "IND": gettext_lazy("Indeterminate"),
    "E": gettext_lazy("Equivocal"),
    "DET": gettext_lazy("Detected"),
    "ND": gettext_lazy("Not detected"),
    "R": gettext_lazy("Resistant"),
    "S": gettext_lazy("Susceptible"),
    "I": gettext_lazy("Intermediate"),
    "RR": gettext_lazy("Reactive"),
    "NR": gettext_lazy("Non-reactive"),
    "WR": gettext_lazy("Weakly reactive"),
    "B": gettext_lazy("Better"),
    "W": gettext_lazy("Worse"),
    "U": gettext_lazy("Significant change up"),
    "D": gettext_lazy("Significant change down"),
}


def _flag(element: fhir.Json, value: Value, against: Range) -> Flag:
    given = [_interpreted(concept) for concept in fhir.mappings(element.get("interpretation"))]
    stated = _worst([flag for flag in given if flag])
    if stated is not NO_FLAG:
        return stated
    if value.number is not None:
        return ranges.compare(value.number, value.comparator, against)
    return step_flag(Step.NO_RANGE) if value.of is not Of.ABSENT and not against.given else NO_FLAG


def _interpreted(concept: fhir.Json) -> Flag | None:
    for code in (code for _system, code in fhir.codings(concept)):
        if code in _INTERPRETATIONS:
            return step_flag(_INTERPRETATIONS[code])
        if code in _OTHER_INTERPRETATIONS:
            return Flag(Step.OTHER, str(_OTHER_INTERPRETATIONS[code]))
    said = codes.text_of(concept)
    return Flag(Step.OTHER, said) if said else None


_NO_MEASUREMENT = {Kind.ERROR, Kind.REJECTED, Kind.CANCELLED}
_SPECIMEN = re.compile(r"specimen|sample|ha?emoly[sz]|clotted|unsatisfactory|insufficient|contaminat", re.IGNORECASE)


def _marks(observation: fhir.Json, read: Result) -> tuple[Mark, ...]:
    status = fhir.plain_code(observation.get("status"))
    if status == "entered-in-error":
        return (entered_in_error(),)
    why = " ".join(codes.texts_of([observation.get("dataAbsentReason")]) + codes.notes(observation))
    if status == "cancelled":
        rejected = _SPECIMEN.search(why)
        return (Mark(Kind.REJECTED, _("Rejected")) if rejected else Mark(Kind.CANCELLED, _("Cancelled")),)
    reason = " ".join(codes.texts_of([observation.get("dataAbsentReason")]))
    if read.value.of in (Of.ABSENT, Of.NONE) and _SPECIMEN.search(reason):
        return (Mark(Kind.REJECTED, _("Rejected")),)
    known = {
        "registered": Mark(Kind.REGISTERED, _("Awaited")),
        "preliminary": Mark(Kind.PRELIMINARY, _("Preliminary")),
        "amended": Mark(Kind.AMENDED, _("Amended")),
        "corrected": Mark(Kind.CORRECTED, _("Corrected")),
        "final": None,
    }
    mark = known.get(status, Mark(Kind.UNKNOWN, _("Status not known")))
    return (mark,) if mark else ()


def _reason(observation: fhir.Json, read: Result) -> str:
    """Why a value is missing or was rejected, as the source tells it."""
    if read.usable and read.value.of is not Of.ABSENT:
        return ""
    told = codes.text_of(observation.get("dataAbsentReason"))
    if "masked" in fhir.codes(observation.get("dataAbsentReason")):
        told = ""
    return "; ".join(
        dict.fromkeys(line for line in (told, *codes.notes(observation)) if line != read.value.text and line)
    )


def _changed_value(earlier: fhir.Json, now: Result) -> Value | None:
    old = _with_parts(
        _element(earlier, now.when, now.issued, ANYONE),
        tuple(_element(part, now.when, now.issued, ANYONE) for part in fhir.mappings(earlier.get("component"))),
    ).value
    return old if (old.text, old.unit) != (now.value.text, now.value.unit) else None


def _details(observation: fhir.Json) -> tuple[str, ...]:
    """Where on the body, by what method and of which specimen."""
    return tuple(
        filter(
            None,
            (
                codes.text_of(observation.get("bodySite")),
                codes.text_of(observation.get("method")),
                codes.referred(observation.get("specimen")),
                codes.referred(observation.get("device")),
            ),
        )
    )
