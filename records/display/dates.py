"""Dates, times and ages in the forms of the NHS Common User Interface.

Clinical tables say 01-Jun-2026 whatever the reader's locale [D+Ta-0006..0010, 0018]; beside it goes the long form,
which a screen reader can say [D+Ta-0011, 0015]. What a source left out stays out: 2014 is not 01-Jan-2014.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

from django.utils.translation import ngettext

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.display import fhir
from records.display.words import clean

# Not for translation: the clinical form is the same in every locale, so that two readers never see two dates.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONG_MONTHS = (
    gettext_lazy("January"),
    gettext_lazy("February"),
    gettext_lazy("March"),
    gettext_lazy("April"),
    gettext_lazy("May"),
    gettext_lazy("June"),
    gettext_lazy("July"),
    gettext_lazy("August"),
    gettext_lazy("September"),
    gettext_lazy("October"),
    gettext_lazy("November"),
    gettext_lazy("December"),
)

# FHIR R4, regular expressions of date, dateTime and instant; seconds may be missing, as many sources leave them out.
_FHIR_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d+))?)?(?P<offset>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_FHIR_TIME = re.compile(r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(:[0-5]\d(\.\d+)?)?", re.ASCII)

_NEVER = (0, 0, 0, 0, 0)


@dataclass(frozen=True)
class When:
    """A point in time as far as the source knew it.

    `machine` is for the datetime attribute of <time> ("" for words), `order` sorts (unknown is oldest),
    `zone` names the facility's time zone where the reader's clock shows another time.
    """

    text: str
    spoken: str
    time: str = ""
    zone: str = ""
    machine: str = ""
    order: tuple[int, ...] = _NEVER
    day: date | None = None

    @property
    def known(self) -> bool:
        return bool(self.machine)

    @property
    def whole(self) -> str:
        """Date and time in one text, for sentences and tooltips."""
        return f"{self.text} {self.time}" if self.time else self.text


def words(sentence: str) -> When:
    """A When that says why there is no date."""
    return When(text=sentence, spoken=sentence)


def read(value: object, zone: tzinfo = UTC, *, missing: str = "", reader: tzinfo | None = None) -> When:
    """Read a FHIR date, dateTime or instant; `zone` is the facility's, in which its times are shown.

    A time without an offset is taken for the facility's own; a date without a time is never moved to another day.
    """
    written = clean(value)
    if not written:
        return words(missing or _("Date not recorded"))
    found = _FHIR_DATE.fullmatch(written)
    if not found:
        return words(_("Date can't be shown"))
    year, month, day = int(found["year"]), int(found["month"] or 0), int(found["day"] or 0)
    try:
        if found["hour"]:
            return of_moment(_moment(found, zone), zone, reader=reader)
        # Every part is checked by the calendar, also those that stand alone: 2026-13 and 0000 are no dates.
        date(year, month if found["month"] else 1, day if found["day"] else 1)
    except (ValueError, OverflowError):
        return words(_("Date can't be shown"))
    if day:
        return of_day(date(year, month, day))
    if month:
        return When(
            text=f"{_MONTHS[month - 1]}-{year:04}",
            spoken=f"{_LONG_MONTHS[month - 1]} {year:04}",
            machine=written,
            order=(year, month, 0, 0, 0),
        )
    return When(text=f"{year:04}", spoken=f"{year:04}", machine=written, order=(year, 0, 0, 0, 0))


def _moment(found: re.Match[str], zone: tzinfo) -> datetime:
    second = min(int(found["second"] or 0), 59)  # :60, a leap second, is a valid FHIR time
    offset = found["offset"]
    if offset and offset != "Z":
        ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:]))
        zone = timezone(-ahead if offset[0] == "-" else ahead)
    return datetime(
        int(found["year"]),
        int(found["month"]),
        int(found["day"]),
        int(found["hour"]),
        int(found["minute"]),
        second,
        int((found["fraction"] or "0")[:6].ljust(6, "0")),
        tzinfo=UTC if offset == "Z" else zone,
    )


def of_day(day: date) -> When:
    return When(
        text=f"{day.day:02}-{_MONTHS[day.month - 1]}-{day.year:04}",
        spoken=f"{day.day} {_LONG_MONTHS[day.month - 1]} {day.year:04}",
        machine=day.isoformat(),
        order=(day.year, day.month, day.day, 0, 0),
        day=day,
    )


def of_moment(moment: datetime, zone: tzinfo = UTC, *, reader: tzinfo | None = None) -> When:
    """An aware `moment` on the facility's clock, 24 hours [D+Tb-0001]."""
    try:
        local = moment.astimezone(zone)
        elsewhere = local.astimezone(reader).utcoffset() if reader else local.utcoffset()
    except (ValueError, OverflowError):  # the first and last day of the calendar have no neighbour
        local, elsewhere = moment, moment.utcoffset()
    day = of_day(local.date())
    name = local.tzname() or ""
    return When(
        text=day.text,
        spoken=day.spoken,
        time=f"{local.hour:02}:{local.minute:02}",
        zone=name if elsewhere != local.utcoffset() else "",
        machine=local.isoformat(timespec="minutes"),
        order=(local.year, local.month, local.day, local.hour, local.minute, local.second, local.microsecond),
        day=day.day,
    )


def of_period(value: object, zone: tzinfo = UTC, *, missing: str = "") -> tuple[When, When]:
    """Start and end of a FHIR Period; an end that is not there says so in words."""
    period = fhir.mapping(value)
    return read(period.get("start"), zone, missing=missing), read(period.get("end"), zone, missing=_("Not ended"))


def time_of_day(value: object) -> str:
    """A FHIR time as HH:mm, or ""."""
    found = _FHIR_TIME.fullmatch(clean(value))
    return f"{found['hour']}:{found['minute']}" if found else ""


def occurrence(resource: fhir.Json, stem: str, zone: tzinfo = UTC, *, missing: str = "") -> When:
    """When an `effective[x]`, `performed[x]`, `onset[x]`, … was: a date, the start of a Period, or its words."""
    kind, value = fhir.choice(resource, stem)
    if kind in ("DateTime", "Instant", "Date"):
        return read(value, zone, missing=missing)
    if kind == "Period":
        period = fhir.mapping(value)
        return read(period.get("start") or period.get("end"), zone, missing=missing)
    if kind == "Timing":
        return read(next(iter(fhir.texts(fhir.mapping(value).get("event"))), None), zone, missing=missing)
    if kind == "String":
        return words(clean(value) or missing or _("Date not recorded"))
    if kind == "Age":
        return words(_at_age(value) or missing or _("Date not recorded"))
    if kind == "Range":
        low, high = (_at_age(fhir.mapping(value).get(end)) for end in ("low", "high"))
        return words(" – ".join(filter(None, (low, high))) or missing or _("Date not recorded"))
    return read(None, missing=missing)


def _at_age(value: object) -> str:
    amount = fhir.number(fhir.mapping(value).get("value"))
    unit = clean(fhir.mapping(value).get("code")) or clean(fhir.mapping(value).get("unit"))
    if amount is None:
        return ""
    count, shown = int(amount) if amount == int(amount) else 2, f"{amount:f}"
    long = {
        "a": ngettext("at %(n)s year of age", "at %(n)s years of age", count),
        "mo": ngettext("at %(n)s month of age", "at %(n)s months of age", count),
        "wk": ngettext("at %(n)s week of age", "at %(n)s weeks of age", count),
        "d": ngettext("at %(n)s day of age", "at %(n)s days of age", count),
    }
    return long[unit] % {"n": shown} if unit in long else f"{shown} {unit}".strip()


def age(birth: object, on: date) -> str:
    """Age on a day, in at most two short units [MPB-0032]: 80y, 5y 3m, 14m 2w, 7w 2d, 12d.

    Of a birth date without day or month both ages it can mean are given. "" when it is unknown or in the future.
    """
    born = read(birth)
    if not born.known:
        return ""
    if born.day:
        return _exact_age(born.day, on) if born.day <= on else ""
    year, month = born.order[0], born.order[1]
    eldest = date(year, month or 1, 1)
    youngest = _month_end(year, month or 12)
    if eldest > on:
        return ""
    most, least = _months_between(eldest, on) // 12, max(0, _months_between(youngest, on) // 12)
    if most == 0:
        return _("under 1y")
    if most == least:
        return _("%(years)sy") % {"years": most}
    return _("%(less)sy or %(more)sy") % {"less": least, "more": most}


def _exact_age(born: date, on: date) -> str:
    days, months = (on - born).days, _months_between(born, on)
    years = months // 12
    if days < 28:
        return _("%(days)sd") % {"days": days}
    if years < 1:
        return _two(_("%(weeks)sw") % {"weeks": days // 7}, days % 7, _("%(days)sd") % {"days": days % 7})
    if years < 2:
        weeks = (on - _add_months(born, months)).days // 7
        return _two(_("%(months)sm") % {"months": months}, weeks, _("%(weeks)sw") % {"weeks": weeks})
    if years < 18:
        rest = months % 12
        return _two(_("%(years)sy") % {"years": years}, rest, _("%(months)sm") % {"months": rest})
    return _("%(years)sy") % {"years": years}


def _two(upper: str, count: int, lower: str) -> str:
    return f"{upper} {lower}" if count else upper


def _months_between(start: date, end: date) -> int:
    months = (end.year - start.year) * 12 + end.month - start.month
    return months - 1 if _add_months(start, months) > end else months


def _add_months(start: date, months: int) -> date:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    # Someone born on 29 February has a birthday on the 1st of March in other years.
    last = _month_end(year, month + 1)
    return start.replace(year=year, month=month + 1) if start.day <= last.day else last + timedelta(days=1)


def _month_end(year: int, month: int) -> date:
    if (year, month) == (9999, 12):
        return date.max
    return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
