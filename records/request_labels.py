"""How a patient's requests (records/requested.py) become labels of their records, now and whatever comes later.

Each stands in `Resource.labelled_by` with its number, so that withdrawing it takes back exactly that.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import connections

from records.labels import REQUEST
from records.models import RequestedLabel
from records.settling import settle, unsettle


def of_patients(patient_ids: Iterable[str], *, using: str) -> dict[str, list[RequestedLabel]]:
    """The requests that stand, by patient; empty for nearly every batch."""
    found: dict[str, list[RequestedLabel]] = {}
    for one in RequestedLabel.objects.using(using).filter(patient__in=list(patient_ids), withdrawn_at=None):
        found.setdefault(str(one.patient_id), []).append(one)
    return found


def set_by(requests: list[RequestedLabel], resource_id: str, section: str | None) -> frozenset[str]:
    return frozenset(
        f"{REQUEST} {one.pk}: {one.sensitive_class}"
        for one in requests
        if (str(one.resource_id) == resource_id if one.resource_id else one.section in ("", section))
    )


ALIGN = """
UPDATE records_resource r SET labelled_by = l.labelled_by, own_classes = ARRAY(
    SELECT DISTINCT split_part(how, ': ', 2)::varchar AS class FROM unnest(l.labelled_by) AS of_it (how) ORDER BY class)
FROM (
    SELECT r.id, ARRAY(
        SELECT how FROM unnest(r.labelled_by) AS was (how) WHERE how NOT LIKE 'request %%'
        UNION SELECT 'request ' || q.id || ': ' || q.sensitive_class FROM records_requestedlabel q
        WHERE q.patient_id = r.patient_id AND q.withdrawn_at IS NULL
          AND CASE WHEN q.resource_id IS NULL THEN q.section IN ('', r.section) ELSE q.resource_id = r.id END
        ORDER BY 1)::varchar[] AS labelled_by
    FROM records_resource r WHERE r.patient_id = %s
) l WHERE r.id = l.id AND r.labelled_by <> l.labelled_by
RETURNING r.id
"""


def align(patient_id: UUID, *, using: str) -> None:
    """Bring the labels of this patient's records into line with the requests that stand."""
    with connections[using].cursor() as cursor:
        cursor.execute(ALIGN, [patient_id])
        changed = [id for (id,) in cursor.fetchall()]
    settle(unsettle(changed, using=using), using=using)
