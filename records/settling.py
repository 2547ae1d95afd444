"""What a resource takes over: labels of its patient and of what it holds, and a Provenance its section.

A container (document, report, list, Provenance, a prescription of a labelled medicine) carries the labels of all
it holds, however deep; every resource carries those of its patient. What is prescribed, dispensed, given or stated also
takes over what its Medication says that it is, under its own rule then. `Resource.classes` is that sum. While it is
not known to be complete the resource is unsettled: `classes` then has UNKNOWN, which no grant allows, so a record
is never seen too early and a killed import leaves nothing open.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections

from records.importing import medication

# Rows are looked up by id one after the other, behind OFFSET 0: as plain joins PostgreSQL makes of them, now and then,
# one reading of the whole table, which takes the longer the more records there are.
HOLDERS = """
SELECT h.id::text FROM unnest(%s::uuid[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT id FROM records_resource WHERE holds @> ARRAY[asked.id] AND NOT holds = '{}' OFFSET 0
) h
"""

UNSETTLE = """
UPDATE records_resource SET
    settled = false,
    classes = CASE WHEN 'unknown' = ANY (classes) THEN classes ELSE classes || 'unknown'::varchar END
WHERE id = ANY (%s::uuid[]) AND settled
"""

CONTENT = """
LEFT JOIN LATERAL (
    SELECT id, type, section, patient_id, label, code, own_classes, holds,
           CASE WHEN tombstoned_at IS NULL THEN medication ELSE {deleted} END AS medication
    FROM records_resource WHERE id = h.id OFFSET 0
) r ON true
""".replace("{deleted}", medication.DELETED)

# True of every id. PostgreSQL takes it for a two-hundredth of them, and does not ready a table of 64 MB, which takes
# 50 ms, for millions of resources within resources within resources: mostly there are none.
ANY = "h.id BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff'"

SETTLE = """
WITH RECURSIVE target AS MATERIALIZED (
    SELECT id, patient_id, type, holds FROM {table} WHERE NOT settled AND {which}
), first AS MATERIALIZED (
    SELECT t.id AS container, r.* FROM target t CROSS JOIN LATERAL unnest(t.holds) AS h (id) {content}
), deeper (container, id, type, section, patient_id, label, code, own_classes, holds, medication) AS (
    SELECT i.container, r.* FROM first i CROSS JOIN LATERAL unnest(i.holds) AS h (id) {content} WHERE {any}
  UNION
    SELECT i.container, r.* FROM deeper i CROSS JOIN LATERAL unnest(i.holds) AS h (id) {content} WHERE {any}
), inside AS MATERIALIZED (
    SELECT *, true AS direct FROM first UNION ALL SELECT *, false FROM deeper
), labelled AS MATERIALIZED (
    SELECT id, classes FROM records_patient
    WHERE id = ANY (ARRAY(SELECT DISTINCT patient_id FROM inside)) AND NOT classes = '{}'
), waiting AS MATERIALIZED (
    SELECT DISTINCT resource_id AS id FROM records_awaited
    WHERE resource_id = ANY (ARRAY(SELECT DISTINCT id FROM inside)) AND reference LIKE 'Patient%%'
), found AS (
    SELECT r.container, bool_and(r.id IS NOT NULL) AS complete,
           array_agg(held.class) FILTER (WHERE held.class IS NOT NULL) AS classes,
           -- a prescription that only points at its medicine is listed under the medicine's name, as it is now
           max(r.label) FILTER (WHERE r.type = 'Medication' AND direct) AS label,
           max(r.code) FILTER (WHERE r.type = 'Medication' AND direct) AS code,
           max(r.medication) FILTER (WHERE r.type = 'Medication' AND direct) AS medication,
           -- a Provenance belongs to the section and the patient of all that it is about, if they agree
           CASE WHEN min(coalesce(r.section, '')) = max(coalesce(r.section, '')) THEN max(r.section) END AS section,
           CASE WHEN min(r.patient_id::text) = max(r.patient_id::text) AND count(r.patient_id) = count(*)
                THEN min(r.patient_id::text)::uuid END AS patient_id
    FROM inside r
    LEFT JOIN labelled p ON p.id = r.patient_id
    LEFT JOIN waiting w ON w.id = r.id
    LEFT JOIN LATERAL unnest(r.own_classes || p.classes || CASE WHEN w.id IS NOT NULL AND r.type <> 'Patient'
        THEN ARRAY['unknown']::varchar[] END) AS held (class) ON true
    GROUP BY r.container
)
UPDATE {table} c SET
    settled = true,
    section = CASE WHEN c.type = 'Provenance' THEN f.section ELSE c.section END,
    patient_id = CASE WHEN c.type = 'Provenance' THEN coalesce(c.patient_id, f.patient_id) ELSE c.patient_id END,
    label = coalesce(CASE WHEN c.type = ANY (%(of_medicines)s) THEN nullif(f.label, '') END, c.label),
    code = coalesce(CASE WHEN c.type = ANY (%(of_medicines)s) THEN nullif(f.code, '') END, c.code),
    medication = CASE WHEN c.type = ANY (%(of_medicines)s) THEN coalesce(f.medication, '') ELSE c.medication END,
    {came}
    classes = ARRAY(
        SELECT DISTINCT class FROM unnest(c.own_classes || p.classes || f.classes || CASE WHEN EXISTS (
            -- about somebody whom we do not know yet, so we cannot know whether they may be seen
            SELECT 1 FROM records_awaited a WHERE a.resource_id = c.id AND a.reference LIKE 'Patient%%'
        ) AND c.type <> 'Patient' THEN ARRAY['unknown']::varchar[] END) AS of_all (class) ORDER BY class)
FROM target t
LEFT JOIN found f ON f.container = t.id
LEFT JOIN LATERAL (
    SELECT classes FROM records_patient WHERE id = coalesce(t.patient_id, f.patient_id) OFFSET 0
) p ON true
WHERE c.id = t.id AND (%(final)s OR coalesce(f.complete, true))
""".replace("{content}", CONTENT).replace("{any}", ANY)


OF_MEDICINES = ["MedicationAdministration", "MedicationDispense", "MedicationRequest", "MedicationStatement"]
"""What may refer to a Medication: it takes over what that is, beside its labels."""


def unsettle(
    resource_ids: Iterable[UUID | str], *, themselves: bool = True, using: str = DEFAULT_DB_ALIAS
) -> list[str]:
    """Hide all that hold these resources, and these `themselves`, until `settle`; return which those are."""
    ids = {str(one) for one in resource_ids}
    hidden, new = set(ids) if themselves else set(), ids
    with connections[using].cursor() as cursor:
        while new:
            new = holders(cursor, list(new)) - hidden
            hidden |= new
        if hidden:
            cursor.execute(UNSETTLE, [list(hidden)])
    return list(hidden)


def holders(cursor: Any, ids: list[str]) -> set[str]:
    cursor.execute(HOLDERS, [ids])
    return {id for (id,) in cursor.fetchall()}


def unsettle_patients(patient_ids: Iterable[UUID | str], *, using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """The same for all resources of these patients."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT id FROM records_resource WHERE patient_id = ANY(%s)", [list(patient_ids)])
        return unsettle([id for (id,) in cursor.fetchall()], using=using)


def settle(resource_ids: Iterable[UUID | str], *, final: bool = True, using: str = DEFAULT_DB_ALIAS) -> int:
    """Complete the labels of these resources; return of how many.

    Unless `final`, one that holds something that is not here yet stays hidden.
    """
    ids = [str(one) for one in resource_ids]
    return _settle("id = ANY(%(ids)s::uuid[])", {"ids": ids, "final": final}, using) if ids else 0


def settle_source(source_id: UUID, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Complete the labels of all that is unsettled in a source, now that all it sends is here."""
    return _settle("source_id = %(source)s", {"source": source_id, "final": True}, using)


def settle_new(table: str, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """The same for what is about to be inserted from `table`, where all that it holds is here: a container whose
    labels are known is written once, and its contents are indexed once."""
    return _settle("NOT known", {"final": False}, using, table=table)


CAME = """
    received_at = CASE WHEN c.type = ANY (%(of_medicines)s) AND c.medication <> coalesce(f.medication, '')
                       THEN statement_timestamp() ELSE c.received_at END,
"""
"""A prescription whose medicine is another now has come anew: it is told as changed, and hidden by a stop of the feed
that holds for what the feed brought since. What is about to be inserted gets its time when it is."""


def _settle(which: str, parameters: dict[str, Any], using: str, *, table: str = "records_resource") -> int:
    came = CAME if table == "records_resource" else ""
    with connections[using].cursor() as cursor:
        statement = SETTLE.replace("{which}", which).replace("{table}", table).replace("{came}", came)
        cursor.execute(statement, {**parameters, "of_medicines": OF_MEDICINES})
        return cursor.rowcount


ADOPT = """
UPDATE records_resource b SET
    patient_id = d.patient_id, section = d.section, holds = d.ids, settled = false,
    classes = CASE WHEN 'unknown' = ANY (b.classes) THEN b.classes ELSE b.classes || 'unknown'::varchar END
FROM (
    SELECT b.id, min(c.patient_id::text)::uuid AS patient_id, min(c.section) AS section, array_agg(c.id) AS ids
    FROM records_resource b JOIN records_resource c ON c.holds @> ARRAY[b.id] AND NOT c.holds = '{}'
    WHERE b.source_id = %s AND b.type = 'Binary' AND b.patient_id IS NULL AND c.section IS NOT NULL
    GROUP BY b.id HAVING count(DISTINCT c.patient_id) = 1 AND count(c.patient_id) = count(*)
        AND count(DISTINCT c.section) = 1
) d WHERE b.id = d.id
"""


def adopt_binaries(source_id: UUID, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Give a Binary, which says of nobody, the patient, section and labels of the document that it is the content of.

    One that documents of several patients point at stays hidden.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(ADOPT, [source_id])
        return cursor.rowcount
