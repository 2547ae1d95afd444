"""Last days of access: read as people write them, kept as the exclusive start of the next day in the portal's zone."""

from __future__ import annotations

import calendar
import datetime as dt
import re

from django.utils import timezone
from django.utils.translation import gettext as _

# day month year, with a number or a name as the month, in any of the usual separators
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[\s./,-]+(\d{1,2}|[a-z]{3,9})\.?[\s./,-]+(\d{4}|\d{2})")
_MONTH_FIRST = re.compile(r"([a-z]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})")
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")


class NoDay(ValueError):
    """The text names no day. `sentence` says what to do; `suggestion` is a day that may be meant."""

    def __init__(self, sentence: str, suggestion: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.suggestion = sentence, suggestion


def read_day(text: str) -> dt.date:
    """Return the day in "30 June 2027", "30/6/2027", "30.6.2027", "2027-06-30" and their like. Raises NoDay.

    Numbers are day before month, as here; two-digit years are in this century.
    """
    words = " ".join(text.lower().split())
    if match := _ISO.fullmatch(words):
        year, month, day = match.groups()
    elif match := _DAY_FIRST.fullmatch(words):
        day, month, year = match.groups()
    elif match := _MONTH_FIRST.fullmatch(words):
        month, day, year = match.groups()
    else:
        raise NoDay(_("Enter a day, for example 30 June 2027"))
    return _day(int(year) + (2000 if len(year) == 2 else 0), _month(month), int(day))


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    names = [name.lower() for name in calendar.month_name if name]
    found = [names.index(name) + 1 for name in names if name.startswith(text)]
    if len(found) != 1:
        raise NoDay(_("Enter a day, for example 30 June 2027"))
    return found[0]


def _day(year: int, month: int, day: int) -> dt.date:
    try:
        return dt.date(year, month, day)
    except ValueError:
        suggestion = ""
        if 1 <= month <= 12 and 28 < day <= 31 and dt.MINYEAR <= year <= dt.MAXYEAR:
            suggestion = words_for(dt.date(year, month, calendar.monthrange(year, month)[1]))
        raise NoDay(_("This day does not exist."), suggestion) from None


def end_of(day: dt.date) -> dt.datetime:
    """The exclusive end of a last day: the first moment of the next one in the portal's zone."""
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), timezone.get_default_timezone())


def last_day(end: dt.datetime) -> dt.date:
    """The last whole day before an exclusive end: what people read after "until"."""
    return (end.astimezone(timezone.get_default_timezone()) - dt.timedelta(microseconds=1)).date()


def first_day(start: dt.datetime) -> dt.date:
    """The day of a start, where the portal is: what people read after "from"."""
    return start.astimezone(timezone.get_default_timezone()).date()


def today() -> dt.date:
    return first_day(timezone.now())


def months_after(day: dt.date, months: int) -> dt.date:
    """The same day `months` later; the last of the month where that month is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def months_between(start: dt.date, end: dt.date) -> int:
    """Months from `start` to `end`, a begun one counted as a whole."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return months + (end.day > start.day)


def words_for(day: dt.date) -> str:
    return f"{day.day} {calendar.month_name[day.month]} {day.year}"
