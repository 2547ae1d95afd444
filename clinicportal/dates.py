"""Dates as people read them here: 01-Jun-2026 on clinical and audit pages, 1 June 2026 on all others."""

import datetime as dt

from django.utils import dateformat, timezone

When = dt.date | dt.datetime | str


def clinical_date(value: When) -> str:
    """Return "01-Jun-2026", "Jun-2026" or "2026": no more precise than `value`.

    A string is a FHIR date, which may stop after the year or the month.
    """
    return _format(value, "d-M-Y", "M-Y")


def plain_date(value: When) -> str:
    """Return "1 June 2026", "June 2026" or "2026": no more precise than `value`."""
    return _format(value, "j F Y", "F Y")


def clinical_time(value: dt.datetime | dt.time) -> str:
    """Return the 24-hour time in the portal's zone: "08:40"."""
    return dateformat.format(_local(value), "H:i") if isinstance(value, dt.datetime) else f"{value:%H:%M}"


def iso(value: When) -> str:
    """Return what belongs into the datetime attribute of a `<time>`."""
    return value if isinstance(value, str) else _local(value).isoformat()


def _format(value: When, day: str, month: str) -> str:
    if not isinstance(value, str):
        return dateformat.format(_local(value), day)
    match len(value):
        case 4:
            return value
        case 7:
            return dateformat.format(dt.date.fromisoformat(f"{value}-01"), month)
        case _:
            return _format(
                dt.datetime.fromisoformat(value) if "T" in value else dt.date.fromisoformat(value), day, month
            )


def _local(value: dt.date) -> dt.date:
    """Move an aware datetime into the portal's zone; leave dates and naive datetimes alone.

    A moment so near to either end of the calendar that it has no date in the portal's zone keeps its own.
    """
    if isinstance(value, dt.datetime) and timezone.is_aware(value):
        try:
            return timezone.localtime(value)
        except OverflowError:
            return value
    return value
