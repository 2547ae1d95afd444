"""What the importer says to the database about resources: a batch into `incoming`, and from there into the records."""

from __future__ import annotations

from records.importing.extraction import LINE

COLUMNS = (*LINE, "patient_id", "own_classes", "labelled_by", "classes", "settled", "known", "refresh")

STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    id uuid, type varchar, fhir_id varchar, section varchar, code varchar, label varchar, time timestamptz,
    status varchar, may_be_flagged boolean, encounter_id uuid, holds uuid[], version_id varchar,
    last_updated timestamptz, rules smallint, medication text, digest bytea, raw text, patient_id uuid,
    own_classes varchar[],
    labelled_by varchar[], classes varchar[], settled boolean, known boolean, refresh boolean
) ON COMMIT DELETE ROWS
"""

KNOWN = """
SELECT id::text, CASE WHEN tombstoned_at IS NULL THEN digest END, version_id, last_updated
FROM records_resource WHERE id = ANY (%s::uuid[])
"""

INSERT = """
INSERT INTO records_resource (
    id, source_id, type, fhir_id, facility_id, patient_id, section, code, label, time, status, may_be_flagged,
    encounter_id, classes, own_classes, holds, settled, number, version_id, last_updated, digest, raw, labelled_by,
    rules, medication)
SELECT id, %(source)s, type, fhir_id, %(facility)s, patient_id, section, code, label, time, status, may_be_flagged,
       encounter_id, classes, own_classes, holds, settled, 1, version_id, last_updated, digest, raw, labelled_by,
       rules, medication
FROM incoming WHERE NOT known AND (holds = '{}') = %(single)s
"""

# A version that named further patients keeps none: who sees the newest need not see them.
KEEP_VERSIONS = """
INSERT INTO records_resourceversion (
    resource_id, number, version_id, last_updated, status, patient_id, section, classes, raw, received_at)
SELECT o.id, o.number, o.version_id, o.last_updated, o.status,
       CASE WHEN o.id <> ALL (%(several)s::uuid[]) THEN o.patient_id END,
       o.section, o.classes, o.raw, o.received_at
FROM incoming i JOIN records_resource o ON o.id = i.id
WHERE i.known AND NOT i.refresh AND o.raw <> i.raw
"""

# A Provenance and a Binary get their patient from what they are about, each time anew: that is no move.
NOTE_MOVES = """
INSERT INTO records_move (source_id, resource_id, type, section, from_patient, to_patient, shown_from, note)
SELECT o.source_id, o.id, o.type, coalesce(o.section, ''), o.patient_id, i.patient_id, least(
    o.received_at, (SELECT min(v.received_at) FROM records_resourceversion v WHERE v.resource_id = o.id)), ''
FROM incoming i JOIN records_resource o ON o.id = i.id
WHERE i.known AND NOT i.refresh AND o.patient_id IS NOT NULL AND o.patient_id IS DISTINCT FROM i.patient_id
  AND o.type NOT IN ('Provenance', 'Binary')
RETURNING from_patient
"""

UPDATE = """
UPDATE records_resource o SET
    facility_id = %(facility)s, patient_id = i.patient_id, section = i.section, code = i.code, label = i.label,
    time = i.time, status = i.status, may_be_flagged = i.may_be_flagged, encounter_id = i.encounter_id,
    classes = i.classes,
    -- labels of a Bundle around it are not in the text that is read again
    own_classes = CASE WHEN i.refresh THEN ARRAY(
        SELECT DISTINCT class FROM unnest(i.own_classes || ARRAY(
            SELECT split_part(how, ': ', 2)::varchar FROM unnest(o.labelled_by) AS was (how) WHERE how LIKE 'bundle: %%'
        )) AS both_of (class)) ELSE i.own_classes END,
    labelled_by = CASE WHEN i.refresh THEN ARRAY(
        SELECT DISTINCT how FROM unnest(i.labelled_by || ARRAY(
            SELECT how FROM unnest(o.labelled_by) AS was (how) WHERE how LIKE 'bundle: %%'
        )) AS both_of (how)) ELSE i.labelled_by END,
    rules = i.rules, medication = i.medication,
    holds = i.holds, settled = false, version_id = i.version_id, last_updated = i.last_updated, raw = i.raw,
    digest = i.digest,
    number = o.number + (NOT i.refresh AND o.raw <> i.raw)::int,
    received_at = CASE WHEN NOT i.refresh AND o.raw <> i.raw THEN statement_timestamp() ELSE o.received_at END,
    tombstoned_at = CASE WHEN i.refresh THEN o.tombstoned_at END
FROM incoming i WHERE i.known AND o.id = i.id
"""

ADD_TOKENS = """
INSERT INTO records_patienttoken (patient_id, token) SELECT * FROM unnest(%s::uuid[], %s::varchar[])
"""
