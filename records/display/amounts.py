"""Numbers and units: 0.5 not .5, 1,000 not 1000, and a space that never breaks between amount and unit."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.display import fhir
from records.display.words import NBSP, clean

FIGURE_SPACE, PUNCTUATION_SPACE = "\u2007", "\u2008"

_MEASURED_DIGITS = 6
"""Significant digits beyond which a value is a computer's artefact (165.16912871855152), rounded on screen."""

_COMPARATORS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"}


def recorded(value: Decimal) -> str:
    """`value` with the digits it was recorded with, and commas from 1,000 [GTAB-054, 201; MEDi-024]."""
    return f"{value:,f}"


def is_artefact(value: Decimal) -> bool:
    """True when a value has more digits than anyone measured."""
    _sign, digits, exponent = value.as_tuple()
    return isinstance(exponent, int) and exponent < -2 and len(digits) > _MEASURED_DIGITS


def shown(value: Decimal) -> str:
    """`recorded`, with the artefacts of a computation rounded to two decimals (below 1 to three digits)."""
    if not is_artefact(value):
        return recorded(value)
    places = 2 if abs(value) >= 1 or not value else 2 - value.adjusted()
    # A context of its own: the default 28 digits would refuse to round the longest numbers that fhir.number lets in.
    return recorded(round_to(value, places))


def round_to(value: Decimal, places: int) -> Decimal:
    scale = Decimal(1).scaleb(places)
    return (value * scale).to_integral_value(ROUND_HALF_EVEN).scaleb(-places)


def dose_number(value: Decimal) -> str:
    """As `recorded`, without trailing zeros: 0.5, never 0.50 [MEDi-014..017]."""
    return recorded(value.normalize())


def decimals(text: str) -> int:
    """How many figures stand behind the point of a printed number."""
    return len(text.partition(".")[2])


def padding(text: str, places: int) -> str:
    """Spaces as wide as the figures that `text` lacks, so that points stand below each other [GTAB-202]."""
    missing = places - decimals(text)
    if missing <= 0:
        return ""
    return (PUNCTUATION_SPACE if "." not in text else "") + FIGURE_SPACE * missing


def comparator(quantity: object) -> str:
    """ "<", "≤", ">", "≥" or "", of a Quantity."""
    return _COMPARATORS.get(clean(fhir.mapping(quantity).get("comparator")), "")


@dataclass(frozen=True)
class Unit:
    """A unit of a result. Two values may stand in one column when their `key` is the same [GTAB-027]."""

    key: str
    text: str


NO_UNIT = Unit("", "")

# UCUM writes units for machines. Only what reads differently is listed; the rest is printed as it is.
_UCUM = {
    "1": "",
    "[pH]": "pH",
    "mm[Hg]": "mmHg",
    "cm[H2O]": "cmH2O",
    "[in_i]": "in",
    "[lb_av]": "lb",
    "[degF]": "°F",
    "Cel": "°C",
    "degrees C": "°C",
    "deg": "°",
    "[iU]": "IU",
    "[IU]": "IU",
    "[HPF]": "HPF",
    "[LPF]": "LPF",
    "m2": "m²",
    "m^2": "m²",
    "cm2": "cm²",
    "{1.73_m2}": "1.73 m²",
    "1.73m2": "1.73 m²",
    "1.73.m2": "1.73 m²",
    "{1.73_m²}": "1.73 m²",
    "ug": "µg",
    "uL": "µL",
    "ul": "µL",
    "umol": "µmol",
    "um": "µm",
    "uU": "µU",
    "u[iU]": "µIU",
    "m[iU]": "mIU",
    "u[IU]": "µIU",
    "m[IU]": "mIU",
    "ukat": "µkat",
    "liters": "L",
}
_TIMES = {"d": gettext_lazy("day"), "wk": gettext_lazy("week"), "mo": gettext_lazy("month"), "a": gettext_lazy("year")}
_WITH_PER = {"s", "min", "h", "hr", "day", "minute", "hour", "1.73 m²"}
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def result_unit(quantity: object) -> Unit:
    """The unit of a Quantity, in letters a clinician reads: µmol/L, 10⁹/L, mL per min per 1.73 m²."""
    held = fhir.mapping(quantity)
    written, code = clean(held.get("unit")), clean(held.get("code"))
    found = code if held.get("system") == fhir.UCUM and code else written or code
    if not found:
        return NO_UNIT
    # What reads alike is one unit, however the source spelled it: mm[Hg] and mmHg would be two columns otherwise.
    text = _readable(found)
    return Unit(key=text or found, text=text)


def _readable(unit: str) -> str:
    counted, *over = unit.split("/")
    text = _factor(counted) if over else "" if counted.startswith("{") else _factor(counted)
    for part in map(_factor, over):
        text += f" {_('per')} {_TIMES.get(part, part)}" if part in _WITH_PER or part in _TIMES else f"/{part}"
    return text.strip()


def _factor(written: str) -> str:
    """One factor of a unit; {beats}, a remark in UCUM, is what is counted."""
    part = written.strip()
    if part[:3] in ("10*", "10^"):
        return "10" + part[3:].translate(_SUPERSCRIPT)
    return _UCUM.get(part) if part in _UCUM else part.strip("{}").replace("_", " ")  # type: ignore[return-value]


_LONG_FORMS = {
    "mg": ("mg", "mg"),
    "g": ("g", "g"),
    "kg": ("kg", "kg"),
    "mL": ("mL", "mL"),
    "mEq": ("mEq", "mEq"),
    "m²": ("m²", "m²"),
    "microgram": (gettext_lazy("microgram"), gettext_lazy("micrograms")),
    "nanogram": (gettext_lazy("nanogram"), gettext_lazy("nanograms")),
    "litre": (gettext_lazy("litre"), gettext_lazy("litres")),
    "unit": (gettext_lazy("unit"), gettext_lazy("units")),
    "tablet": (gettext_lazy("tablet"), gettext_lazy("tablets")),
    "capsule": (gettext_lazy("capsule"), gettext_lazy("capsules")),
    "drop": (gettext_lazy("drop"), gettext_lazy("drops")),
    "puff": (gettext_lazy("puff"), gettext_lazy("puffs")),
    "spray": (gettext_lazy("spray"), gettext_lazy("sprays")),
    "patch": (gettext_lazy("patch"), gettext_lazy("patches")),
    "suppository": (gettext_lazy("suppository"), gettext_lazy("suppositories")),
    "second": (gettext_lazy("second"), gettext_lazy("seconds")),
    "minute": (gettext_lazy("minute"), gettext_lazy("minutes")),
    "hour": (gettext_lazy("hour"), gettext_lazy("hours")),
    "day": (gettext_lazy("day"), gettext_lazy("days")),
    "week": (gettext_lazy("week"), gettext_lazy("weeks")),
    "month": (gettext_lazy("month"), gettext_lazy("months")),
    "year": (gettext_lazy("year"), gettext_lazy("years")),
}
# Short forms have been misread for one another (U for 0, ug for mg): doses are written out [MEDi-023].
_SHORT_FORMS = {
    "ml": "mL", "l": "litre", "meq": "mEq", "m2": "m²",
    "ug": "microgram", "mcg": "microgram", "µg": "microgram", "μg": "microgram", "ng": "nanogram",
    "u": "unit", "unt": "unit", "iu": "unit", "[iu]": "unit",
    "tab": "tablet", "tbl": "tablet", "cap": "capsule", "[drp]": "drop", "actuat": "puff", "supp": "suppository",
    "s": "second", "min": "minute", "h": "hour", "hr": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year",
}  # fmt: skip


def dose_unit(written: str, amount: Decimal | None = None) -> str:
    """A unit of a dose in its long form: "micrograms", "units"; "mg per kg per minute" for mg/kg/min."""
    counted, *over = written.split("/")
    parts = [_long_form(counted, one=amount == 1), *(_long_form(part, one=True) for part in over)]
    return f" {_('per')} ".join(filter(None, parts))


def _long_form(written: str, *, one: bool) -> str:
    word = written.strip().removesuffix(".").strip("{}")
    key = word.lower()
    name = next(
        (_SHORT_FORMS.get(k, k) for k in (key, key.removesuffix("s")) if k in _SHORT_FORMS or k in _LONG_FORMS), ""
    )
    if name not in _LONG_FORMS:
        return word
    return str(_LONG_FORMS[name][0 if one else 1])


def unit_of(quantity: object) -> str:
    """The unit that a Quantity names: what was written, else its code."""
    held = fhir.mapping(quantity)
    code = clean(held.get("code"))
    return clean(held.get("unit")) or ("" if code == "1" else code)


@dataclass(frozen=True)
class Amount:
    """An amount with its unit. `recorded_as` holds the source's form when the unit was changed."""

    text: str
    recorded_as: str = ""


_SMALLER = {"g": "mg", "mg": "microgram", "microgram": "nanogram"}


def dose(quantity: object) -> Amount | None:
    """A Quantity as a dose, None without a number.

    A decimal below 1 is avoided by a smaller unit where that is exact [MEDi-042..046]: 0.125 mg is 125 micrograms.
    """
    value = fhir.number(fhir.mapping(quantity).get("value"))
    if value is None:
        return None
    unit = unit_of(quantity)
    as_recorded = with_unit(comparator(quantity) + dose_number(value), dose_unit(unit, value))
    known = _SHORT_FORMS.get(unit.lower(), unit.lower())
    if 0 < value < 1 and known in _SMALLER and value * 1000 == (value * 1000).to_integral_value():
        value *= 1000
        text = with_unit(comparator(quantity) + dose_number(value), dose_unit(_SMALLER[known], value))
        return Amount(text, recorded_as=as_recorded)
    return Amount(as_recorded)


def dose_span(low: object, high: object) -> Amount | None:
    """A Range of doses: "1 to 2 tablets". None when it has no end."""
    first, last = dose(low), dose(high)
    if not first or not last:
        return first or last
    least = fhir.number(fhir.mapping(low).get("value"))
    if unit_of(low) == unit_of(high) and least is not None and not (first.recorded_as or last.recorded_as):
        return Amount(f"{dose_number(least)}{NBSP}{_('to')}{NBSP}{last.text}")
    return Amount(f"{first.text} {_('to')} {last.text}")


def with_unit(amount: str, unit: str) -> str:
    return f"{amount}{NBSP}{unit}" if unit else amount
