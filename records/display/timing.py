"""How often a medicine is taken, in words [MEDi-023: long forms rather than BD, TDS, q6h]."""

from collections.abc import Mapping
from datetime import UTC, tzinfo

from django.utils.translation import ngettext

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.display import amounts, codes, dates, fhir

# HL7 v3 GTSAbbreviation, and the Latin that sources write in its place.
_CODES = {
    "QD": gettext_lazy("once a day"),
    "OD": gettext_lazy("once a day"),
    "BID": gettext_lazy("twice a day"),
    "TID": gettext_lazy("3 times a day"),
    "QID": gettext_lazy("4 times a day"),
    "QOD": gettext_lazy("once every 2 days"),
    "AM": gettext_lazy("once a day in the morning"),
    "PM": gettext_lazy("once a day in the afternoon"),
    "BED": gettext_lazy("once a day at bedtime"),
    "WK": gettext_lazy("once a week"),
    "MO": gettext_lazy("once a month"),
    "Q1H": gettext_lazy("every hour"),
    "Q2H": gettext_lazy("every 2 hours"),
    "Q3H": gettext_lazy("every 3 hours"),
    "Q4H": gettext_lazy("every 4 hours"),
    "Q6H": gettext_lazy("every 6 hours"),
    "Q8H": gettext_lazy("every 8 hours"),
}
_WHEN = {
    "MORN": gettext_lazy("in the morning"),
    "MORN.early": gettext_lazy("early in the morning"),
    "MORN.late": gettext_lazy("late in the morning"),
    "NOON": gettext_lazy("at noon"),
    "AFT": gettext_lazy("in the afternoon"),
    "AFT.early": gettext_lazy("early in the afternoon"),
    "AFT.late": gettext_lazy("late in the afternoon"),
    "EVE": gettext_lazy("in the evening"),
    "EVE.early": gettext_lazy("early in the evening"),
    "EVE.late": gettext_lazy("late in the evening"),
    "NIGHT": gettext_lazy("at night"),
    "PHS": gettext_lazy("after sleep"),
    "HS": gettext_lazy("at bedtime"),
    "WAKE": gettext_lazy("on waking"),
    "C": gettext_lazy("with meals"),
    "CM": gettext_lazy("with breakfast"),
    "CD": gettext_lazy("with lunch"),
    "CV": gettext_lazy("with the evening meal"),
    "AC": gettext_lazy("before meals"),
    "ACM": gettext_lazy("before breakfast"),
    "ACD": gettext_lazy("before lunch"),
    "ACV": gettext_lazy("before the evening meal"),
    "PC": gettext_lazy("after meals"),
    "PCM": gettext_lazy("after breakfast"),
    "PCD": gettext_lazy("after lunch"),
    "PCV": gettext_lazy("after the evening meal"),
}
_DAYS = {
    "mon": gettext_lazy("Monday"),
    "tue": gettext_lazy("Tuesday"),
    "wed": gettext_lazy("Wednesday"),
    "thu": gettext_lazy("Thursday"),
    "fri": gettext_lazy("Friday"),
    "sat": gettext_lazy("Saturday"),
    "sun": gettext_lazy("Sunday"),
}
_MOST_LISTED = 24


def in_words(timing: object) -> str:
    """A FHIR Timing as a clinician says it, "" when it says nothing: "twice a day in the morning and at bedtime"."""
    held = fhir.mapping(timing)
    repeat = fhir.mapping(held.get("repeat"))
    often = _often(repeat)
    named = _coded(held.get("code"))
    parts = [often or named, *_moments(repeat)]
    if repeat and not often and not named and not any(parts):
        parts.append(codes.text_of(held.get("code")))
    return " ".join(filter(None, parts))


def _coded(concept: object) -> str:
    for code in sorted(fhir.codes(concept)):
        if code.upper() in _CODES:
            return str(_CODES[code.upper()])
    text = codes.text_of(concept)
    return str(_CODES.get(text.upper().replace(".", ""), text))


def _often(repeat: Mapping[str, object]) -> str:
    period, longest = fhir.number(repeat.get("period")), fhir.number(repeat.get("periodMax"))
    unit = fhir.plain_code(repeat.get("periodUnit"))
    times, most = fhir.whole(repeat.get("frequency")), fhir.whole(repeat.get("frequencyMax"))
    if period is None or not unit:
        return _times(times, most) if times else ""
    if longest is not None and longest != period:
        span = f"{amounts.dose_number(period)} {_('to')} {amounts.dose_number(longest)}"
        long = amounts.dose_unit(unit, longest)
    else:
        span, long = amounts.dose_number(period), amounts.dose_unit(unit, period)
    once = times in (None, 1) and not most
    if unit in ("h", "min", "s") and once:
        every = long if span == "1" else f"{span} {long}"
        return _("every %(period)s") % {"period": every}
    if span == "1" and unit in ("d", "wk", "mo", "a"):
        return _("%(times)s a %(period)s") % {"times": _times(times or 1, most), "period": long}
    if span == "1":
        return _("%(times)s every %(period)s") % {"times": _times(times or 1, most), "period": long}
    return _("%(times)s every %(span)s %(period)s") % {"times": _times(times or 1, most), "span": span, "period": long}


def _times(least: int, most: int | None) -> str:
    if most and most != least:
        return _("%(least)s to %(most)s times") % {"least": least, "most": most}
    return {1: _("once"), 2: _("twice")}.get(least, _("%(count)s times") % {"count": f"{least:,}"})


def _moments(repeat: Mapping[str, object]) -> list[str]:
    when = [str(_WHEN[code]) for code in fhir.texts(repeat.get("when")) if code in _WHEN]
    offset = fhir.whole(repeat.get("offset"))
    if when and offset:
        minutes = ngettext("%(n)s minute", "%(n)s minutes", offset) % {"n": offset}
        when[0] = f"{minutes} {when[0]}"
    hours = [time for time in map(dates.time_of_day, fhir.texts(repeat.get("timeOfDay"))[:_MOST_LISTED]) if time]
    days = [str(_DAYS[day.lower()]) for day in fhir.texts(repeat.get("dayOfWeek")) if day.lower() in _DAYS]
    parts = []
    if when:
        parts.append(codes.joined(when))
    if hours:
        parts.append(_("at %(times)s") % {"times": codes.joined(hours)})
    if days:
        parts.append(_("on %(days)s") % {"days": codes.joined(days)})
    return parts


def course(timing: object, zone: tzinfo = UTC) -> str:
    """How long it goes on: "for 7 days", "10 times", "until 30-Jun-2026"; "" when no end is set."""
    repeat = fhir.mapping(fhir.mapping(timing).get("repeat"))
    kind, bounds = fhir.choice(repeat, "bounds")
    parts = []
    if kind == "Duration" and (amount := amounts.dose(bounds)):
        parts.append(_("for %(duration)s") % {"duration": amount.text})
    if kind == "Range" and (
        span := amounts.dose_span(fhir.mapping(bounds).get("low"), fhir.mapping(bounds).get("high"))
    ):
        parts.append(_("for %(duration)s") % {"duration": span.text})
    if kind == "Period" and fhir.mapping(bounds).get("end"):
        until = dates.read(fhir.mapping(bounds).get("end"), zone)
        if until.known:
            parts.append(_("until %(date)s") % {"date": until.text})
    count = fhir.whole(repeat.get("count"))
    if count:
        parts.append(_("one dose") if count == 1 else _("%(count)s doses") % {"count": f"{count:,}"})
    return ", ".join(parts)


def duration(timing: object) -> str:
    """How long one dose takes (Timing.repeat.duration): "over 30 minutes", or ""."""
    repeat = fhir.mapping(fhir.mapping(timing).get("repeat"))
    amount = amounts.dose({"value": repeat.get("duration"), "unit": repeat.get("durationUnit")})
    return _("over %(duration)s") % {"duration": amount.text} if amount else ""
