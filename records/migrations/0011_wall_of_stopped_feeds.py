"""The wall learns of stopped feeds: what one brought since a time is hidden from every viewer.

Restrictive, so that it holds beside whatever else lets a row through: a grant, a look-up, an emergency. The other
statement is in the `visible_to` querysets of records/models.
"""

from django.db import migrations

STOPS = """
-- Asked once for each query: nearly always there is none, and rows are let through by an empty array.
CREATE FUNCTION records_stopped_sources() RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(source_id), '{}') FROM records_feedstop WHERE resumed_at IS NULL
$$;
"""

POLICY = """
CREATE POLICY stopped_feeds ON {table} AS RESTRICTIVE FOR SELECT TO clinicportal_web USING (
    source_id <> ALL ((SELECT records_stopped_sources())::uuid[])
    OR NOT EXISTS (
        SELECT 1 FROM records_feedstop f
        WHERE f.source_id = {table}.source_id AND f.resumed_at IS NULL AND f.hidden_since <= {table}.received_at));
"""

# Rejected lines belong to no patient yet, so no grant can show them; operators mend them.
REJECTIONS = """
CREATE POLICY operator_reads ON records_rejection FOR SELECT TO clinicportal_web USING (EXISTS (
    SELECT 1 FROM clinicportal_user u
    WHERE u.id = nullif(current_setting('clinicportal.viewer', true), '')::uuid
      AND u.is_active AND 'operator' = ANY (u.staff_roles)));
"""

REQUESTS = """
ALTER TABLE records_requestedlabel ENABLE ROW LEVEL SECURITY;
ALTER TABLE records_requestedlabel FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_all ON records_requestedlabel TO clinicportal_worker USING (true) WITH CHECK (true);
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0010_feeds")]

    operations = [
        migrations.RunSQL(sql, reverse_sql=migrations.RunSQL.noop)
        for sql in (
            STOPS,
            POLICY.format(table="records_patient"),
            POLICY.format(table="records_resource"),
            REJECTIONS,
            REQUESTS,
        )
    ]
