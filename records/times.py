"""FHIR's dates and times as moments. They may be as vague as a year; a zone is missing then."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

PARTIAL = re.compile(r"(\d{4})(-\d\d)?")
LEAP_SECOND = re.compile(r"(T\d\d:\d\d):60")


def start_of(value: Any) -> datetime | None:
    """The moment of a FHIR date, dateTime or instant; its start in the portal's zone when it is not precise.

    None for what is no such value, and at the ends of the calendar, where another zone could leave it.
    """
    if not isinstance(value, str):
        return None
    if len(value) < 10 and (match := PARTIAL.fullmatch(value)):
        value = f"{match[1]}{match[2] or '-01'}-01"
    if ":60" in value:
        value = LEAP_SECOND.sub(r"\1:59", value)
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    if not 2 <= time.year <= 9998:
        return None
    return time if time.tzinfo else timezone.make_aware(time)


def end_of(value: Any) -> datetime | None:
    """The exclusive end of a FHIR period: its end is inclusive to its precision ("2024-05" is all of May)."""
    time = start_of(value)
    if time is None:
        return None
    if "T" in value:
        return time + timedelta(seconds=1)
    day = time.replace(tzinfo=None)
    if len(value) == 4:
        day = day.replace(year=day.year + 1)
    elif len(value) == 7:
        day = (day + timedelta(days=31)).replace(day=1)
    else:
        day += timedelta(days=1)
    return timezone.make_aware(day)  # by the calendar, not by hours: days of 23 and 25 hours exist
