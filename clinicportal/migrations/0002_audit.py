"""The audit trail: two tables partitioned by month, append-only by trigger (and by privilege, clinicportal/apps.py)."""

from django.db import migrations

TABLES = """
CREATE TABLE clinicportal_auditevent (
    recorded timestamptz NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('success', 'refused', 'failed')),
    user_id uuid,
    identity text NOT NULL,
    user_name text NOT NULL,
    organisation_id uuid,
    object_type text NOT NULL,
    object_id text NOT NULL,
    section text NOT NULL,
    basis text NOT NULL,
    reason text NOT NULL,
    detail jsonb NOT NULL,
    source_ip text NOT NULL,
    request_id text NOT NULL,
    session text NOT NULL,
    software text NOT NULL,
    format smallint NOT NULL,
    PRIMARY KEY (recorded, id)
) PARTITION BY RANGE (recorded);
CREATE INDEX audit_event_by_user ON clinicportal_auditevent (user_id, recorded);

CREATE TABLE clinicportal_auditsubject (
    recorded timestamptz NOT NULL,
    event_id uuid NOT NULL,
    patient_id uuid NOT NULL,
    grant_id uuid,
    basis text NOT NULL,
    PRIMARY KEY (recorded, event_id, patient_id)
) PARTITION BY RANGE (recorded);
CREATE INDEX audit_subject_by_patient ON clinicportal_auditsubject (patient_id, recorded);

CREATE FUNCTION clinicportal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

-- Row triggers on a partitioned table reach its partitions; statement triggers (TRUNCATE) don't, so
-- each partition gets its own where it is made (clinicportal/partitions.py).
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON clinicportal_auditevent
    FOR EACH ROW EXECUTE FUNCTION clinicportal_append_only();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON clinicportal_auditsubject
    FOR EACH ROW EXECUTE FUNCTION clinicportal_append_only();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON clinicportal_auditevent EXECUTE FUNCTION clinicportal_append_only();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON clinicportal_auditsubject EXECUTE FUNCTION clinicportal_append_only();

-- What no month takes is kept all the same.
CREATE TABLE clinicportal_auditevent_default PARTITION OF clinicportal_auditevent DEFAULT;
CREATE TABLE clinicportal_auditsubject_default PARTITION OF clinicportal_auditsubject DEFAULT;
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON clinicportal_auditevent_default EXECUTE FUNCTION clinicportal_append_only();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON clinicportal_auditsubject_default EXECUTE FUNCTION clinicportal_append_only();

INSERT INTO clinicportal_terms (version, published_at) VALUES (1, '2026-01-01T00:00:00Z');
"""


class Migration(migrations.Migration):
    dependencies = [("clinicportal", "0001_initial")]

    operations = [migrations.RunSQL(TABLES, reverse_sql=migrations.RunSQL.noop)]
