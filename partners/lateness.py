"""Feeds that bring nothing new in time: told to the operator once for each time, closed when data are back.

Here and not in `records`, which knows of no incident; it says which feeds are late.
"""

from __future__ import annotations

from django.db.models import Q

from partners import incidents
from partners.models import Incident
from records import feeds
from records.models import Source

FEED_LATE = "feed_late"


def notice() -> None:
    """Open an incident for each feed that has become late, and close those of feeds that are on time again.

    One that a person closed while its feed was late stays closed: they know.
    """
    late = {detail_of(source): source for source in feeds.late()}
    told = set(Incident.objects.open().filter(code=FEED_LATE).values_list("detail", flat=True))
    for detail in sorted(late.keys() - told):
        if not is_known(detail, late[detail]):
            incidents.report(FEED_LATE, detail=detail)
    for detail in sorted(told - late.keys()):
        incidents.resolve(FEED_LATE, detail=detail)


def detail_of(source: Source) -> str:
    return f"{source.name} ({source.facility.name})"


def is_known(detail: str, source: Source) -> bool:
    closed = Incident.objects.filter(code=FEED_LATE, detail=detail).exclude(closed_by=None)
    since = feeds.late_since(source)
    return closed.filter(Q(closed_at__gte=since) if since else Q()).exists()
