"""Reference ranges in one style for the whole portal [GTAB-174..182]: "3.5 to 5.3", "60 or more", "14 or less"."""

from dataclasses import dataclass
from decimal import Decimal

from clinicportal.texts import gettext as _
from records.display import amounts, codes, fhir
from records.display.amounts import NO_UNIT, Unit
from records.display.marks import NO_FLAG, Flag, Step, step_flag
from records.display.words import NBSP, clean


@dataclass(frozen=True)
class Person:
    """Whom a range has to fit: age in years (None: not known) and administrative gender code."""

    age: Decimal | None = None
    gender: str = ""


ANYONE = Person()


@dataclass(frozen=True)
class Range:
    """The range of one result. `low` and `high` are None where open, and both where only words are known."""

    text: str
    population: str = ""
    low: Decimal | None = None
    high: Decimal | None = None

    @property
    def given(self) -> bool:
        return bool(self.text)

    @property
    def measurable(self) -> bool:
        """Whether a value can be compared with it; some sources send low above high."""
        if self.low is not None and self.high is not None:
            return self.low <= self.high
        return self.low is not None or self.high is not None

    @property
    def whole(self) -> str:
        return f"{self.text} ({self.population})" if self.population else self.text


NO_RANGE = Range("")

_SEXES = {
    "male": {"male", "m", "248153007"},
    "female": {"female", "f", "248152002"},
}
_YEARS_IN = {"a": Decimal(1), "mo": Decimal(1) / 12, "wk": Decimal(7) / 365, "d": Decimal(1) / 365}


def of(ranges: object, unit: Unit = NO_UNIT, person: Person = ANYONE) -> Range:
    """The range that applies to `person`, in the unit of the value.

    Where the source gives several and none is plainly this person's, all of them are printed and none is used
    for a flag. A range in another unit than the value's is printed with its unit and not used either.
    """
    held = [r for r in fhir.mappings(ranges) if _is_reference(r) and _fits(r, person)]
    held = [r for r in held if _text(r)]
    if not held:
        return NO_RANGE
    specific = [r for r in held if _names_a_population(r)]
    if len(specific) == 1:
        held = specific
    if len(held) > 1:
        return Range("; ".join(_labelled(r) for r in held))
    only = held[0]
    if _other_unit(only, unit):
        return Range(_text(only, with_unit=True), _population(only))
    return Range(_text(only), _population(only), _end(only, "low"), _end(only, "high"))


def _is_reference(held: fhir.Json) -> bool:
    """Not a treatment target or a range of criticality: those are other statements than "normal for"."""
    found = fhir.codes(held.get("type"))
    return not found or bool(found & {"normal", "recommended"})


def _fits(held: fhir.Json, person: Person) -> bool:
    for sex, spellings in _SEXES.items():
        named = {code.lower() for c in fhir.mappings(held.get("appliesTo")) for code in fhir.codes(c)}
        named |= {codes.text_of(c).lower() for c in fhir.mappings(held.get("appliesTo"))}
        if person.gender in _SEXES and named & spellings and sex != person.gender:
            return False
    if person.age is None:
        return True
    ages = fhir.mapping(held.get("age"))
    low, high = _years(ages.get("low")), _years(ages.get("high"))
    return (low is None or low <= person.age) and (high is None or person.age <= high + Decimal("0.999"))


def _years(quantity: object) -> Decimal | None:
    value = fhir.number(fhir.mapping(quantity).get("value"))
    unit = clean(fhir.mapping(quantity).get("code")) or clean(fhir.mapping(quantity).get("unit"))
    factor = _YEARS_IN.get(
        {"years": "a", "year": "a", "yr": "a", "y": "a", "months": "mo", "days": "d"}.get(unit, unit)
    )
    return value * factor if value is not None and factor is not None else None


def _names_a_population(held: fhir.Json) -> bool:
    return bool(fhir.mappings(held.get("appliesTo")) or fhir.mapping(held.get("age")))


def _end(held: fhir.Json, end: str) -> Decimal | None:
    return fhir.number(fhir.mapping(held.get(end)).get("value"))


def _unit(held: fhir.Json) -> Unit:
    return next((u for u in (amounts.result_unit(held.get(end)) for end in ("low", "high")) if u.key), NO_UNIT)


def _other_unit(held: fhir.Json, unit: Unit) -> bool:
    """Whether a range is in another unit than the value. One that names none is in the value's."""
    own = _unit(held)
    return bool(own.key) and own.key != unit.key and own.text != unit.text


def _text(held: fhir.Json, *, with_unit: bool = False) -> str:
    low, high = _end(held, "low"), _end(held, "high")
    if low is not None and high is not None:
        text = _("%(low)s to %(high)s") % {"low": amounts.shown(low), "high": amounts.shown(high)}
    elif low is not None:
        text = _("%(low)s or more") % {"low": amounts.shown(low)}
    elif high is not None:
        text = _("%(high)s or less") % {"high": amounts.shown(high)}
    else:
        return clean(held.get("text"))
    text = text.replace(" ", NBSP)  # a limit alone at the end of a line would be read as a value
    return amounts.with_unit(text, _unit(held).text) if with_unit else text


def _population(held: fhir.Json) -> str:
    """For whom the range is: what the source names, and the ages it gives."""
    words = list(codes.texts_of(held.get("appliesTo")))
    ages = fhir.mapping(held.get("age"))
    span = _text({"low": ages.get("low"), "high": ages.get("high")}, with_unit=True)
    if span:
        words.append(_("aged %(ages)s") % {"ages": span})
    return ", ".join(words)


def _labelled(held: fhir.Json) -> str:
    label = _population(held) or codes.text_of(held.get("type"))
    return f"{label}: {_text(held)}" if label else _text(held)


def compare(value: Decimal, comparator: str, against: Range) -> Flag:
    """The flag we work out where the source gave none; no flag where "<3" could be on either side of a limit."""
    if not against.given:
        return step_flag(Step.NO_RANGE)
    if not against.measurable:
        return NO_FLAG
    low, high = against.low, against.high
    below = low is not None and (value < low or (value == low and comparator == "<"))
    above = high is not None and (value > high or (value == high and comparator == ">"))
    if comparator in ("<", "≤"):
        if below:
            return step_flag(Step.LOW, computed=True)
        return step_flag(Step.NORMAL, computed=True) if low is None and not above else NO_FLAG
    if comparator in (">", "≥"):
        if above:
            return step_flag(Step.HIGH, computed=True)
        return step_flag(Step.NORMAL, computed=True) if high is None and not below else NO_FLAG
    return step_flag(Step.LOW if below else Step.HIGH if above else Step.NORMAL, computed=True)
