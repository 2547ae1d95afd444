"""Working hours: Monday to Friday, nine to five, where the portal is. Our target for a decision is sixteen of them."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

OPENS, CLOSES = dt.time(9), dt.time(17)
TARGET = 16


def between(start: dt.datetime, end: dt.datetime) -> int:
    """Whole working hours from `start` to `end`; no holidays."""
    zone = timezone.get_default_timezone()
    start, end = start.astimezone(zone), end.astimezone(zone)
    seconds, day = 0.0, start.date()
    while day <= end.date():
        if day.weekday() < 5:
            opens, closes = dt.datetime.combine(day, OPENS, zone), dt.datetime.combine(day, CLOSES, zone)
            seconds += max(0.0, (min(end, closes) - max(start, opens)).total_seconds())
        day += dt.timedelta(days=1)
    return int(seconds // 3600)


def left(since: dt.datetime) -> int:
    """Working hours left of the target; negative when it is missed."""
    return TARGET - between(since, timezone.now())
