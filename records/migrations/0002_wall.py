"""The rule once more, in PostgreSQL: row-level security, enabled and forced on every clinical table.

The first statement of the rule is `visible_to` in records/models. This one holds when that one is
forgotten. It reads the viewer and the organisation from two settings of the transaction
(clinicportal/viewing.py); without them there are no rows.

Rows that *bar* (opt-outs, further patients of a resource) must be readable wherever the policies ask
for them: hidden, they would open what they should close. So their policy asks for a viewer only.
"""

from django.db import migrations

VIEWER = """
-- The account at the keyboard, if no condition that stands above all grants is missing: active, terms
-- in force accepted, not suspended. (A second factor: viewing() names no viewer without one.)
CREATE FUNCTION records_viewer() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT u.id FROM clinicportal_user u
    WHERE u.id = nullif(current_setting('clinicportal.viewer', true), '')::uuid
      AND u.is_active
      AND EXISTS (
        SELECT 1 FROM clinicportal_termsacceptance a
        WHERE a.user_id = u.id AND a.terms_id = (
            SELECT t.version FROM clinicportal_terms t
            WHERE t.published_at <= statement_timestamp() ORDER BY t.published_at DESC LIMIT 1))
      AND NOT EXISTS (SELECT 1 FROM records_suspension s WHERE s.user_id = u.id AND s.lifted_at IS NULL)
$$;

CREATE FUNCTION records_acting_for() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('clinicportal.organisation', true), '')::uuid
$$;

-- What the viewer's grants allow now: a row for each grant in force with each agreement in force.
CREATE VIEW records_grant_in_force WITH (security_invoker = true) AS
SELECT g.id AS grant_id, a.id AS agreement_id, g.caseload_id, g.patient_id,
       g.sections, g.classes, a.sections AS agreement_sections, a.classes AS agreement_classes
FROM records_grant g
JOIN records_agreement a ON a.organisation_id = g.organisation_id
WHERE g.guest_id = (SELECT records_viewer())
  AND g.organisation_id = (SELECT records_acting_for())
  AND g.ended_at IS NULL
  AND g.starts_at <= statement_timestamp() AND g.ends_at > statement_timestamp()
  AND a.starts_at <= statement_timestamp() AND a.ends_at > statement_timestamp()
  AND NOT EXISTS (SELECT 1 FROM records_suspension s WHERE s.lifted_at IS NULL
                  AND (s.grant_id = g.id OR s.organisation_id = g.organisation_id));

-- Asked once for each query (as an init plan), so that policies within policies stay cheap to plan.
CREATE FUNCTION records_open_caseloads() RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(DISTINCT caseload_id), '{}') FROM records_grant_in_force WHERE caseload_id IS NOT NULL
$$;
"""

CLINICAL = (
    "records_patient",
    "records_patienttoken",
    "records_patientlink",
    "records_optout",
    "records_membership",
    "records_resource",
    "records_alsoabout",
    "records_awaited",
    "records_resourceversion",
    "records_rejection",
)

ENABLE = "".join(
    f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\n"
    f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;\n"
    f"CREATE POLICY worker_all ON {table} TO clinicportal_worker USING (true) WITH CHECK (true);\n"
    for table in CLINICAL
)

POLICIES = """
CREATE POLICY viewer_reads ON records_optout FOR SELECT TO clinicportal_web
    USING ((SELECT records_viewer()) IS NOT NULL);
CREATE POLICY viewer_reads ON records_alsoabout FOR SELECT TO clinicportal_web
    USING ((SELECT records_viewer()) IS NOT NULL);

CREATE POLICY viewer_reads ON records_membership FOR SELECT TO clinicportal_web
    USING (caseload_id = ANY ((SELECT records_open_caseloads())::uuid[]));

CREATE POLICY viewer_reads ON records_patient FOR SELECT TO clinicportal_web USING (
    EXISTS (
        SELECT 1 FROM records_grant_in_force g
        JOIN records_agreement_facilities f ON f.agreement_id = g.agreement_id
        JOIN records_source s ON s.facility_id = f.facility_id
        WHERE s.id = records_patient.source_id
          AND 'demographics' = ANY (g.sections) AND 'demographics' = ANY (g.agreement_sections)
          AND records_patient.classes <@ g.classes AND records_patient.classes <@ g.agreement_classes
          AND (g.patient_id = records_patient.id OR EXISTS (
                SELECT 1 FROM records_membership m
                WHERE m.caseload_id = g.caseload_id AND m.patient_id = records_patient.id
                  AND m.starts_at <= statement_timestamp()
                  AND (m.ends_at IS NULL OR m.ends_at > statement_timestamp()))))
    AND NOT EXISTS (
        SELECT 1 FROM records_optout o
        WHERE o.patient_id = records_patient.id
          AND (o.organisation_id IS NULL OR o.organisation_id = (SELECT records_acting_for()))
          AND o.starts_at <= statement_timestamp() AND (o.ends_at IS NULL OR o.ends_at > statement_timestamp())));

CREATE POLICY viewer_reads ON records_resource FOR SELECT TO clinicportal_web USING (
    tombstoned_at IS NULL
    AND EXISTS (
        SELECT 1 FROM records_grant_in_force g
        JOIN records_agreement_facilities f ON f.agreement_id = g.agreement_id
        WHERE f.facility_id = records_resource.facility_id
          AND records_resource.section = ANY (g.sections) AND records_resource.section = ANY (g.agreement_sections)
          AND records_resource.classes <@ g.classes AND records_resource.classes <@ g.agreement_classes
          AND (g.patient_id = records_resource.patient_id OR EXISTS (
                SELECT 1 FROM records_membership m
                WHERE m.caseload_id = g.caseload_id AND m.patient_id = records_resource.patient_id
                  AND m.starts_at <= statement_timestamp()
                  AND (m.ends_at IS NULL OR m.ends_at > statement_timestamp())))
          -- every further patient must be covered by the same grant
          AND NOT EXISTS (
                SELECT 1 FROM records_alsoabout x
                WHERE x.resource_id = records_resource.id AND NOT EXISTS (
                    SELECT 1 FROM records_membership m
                    WHERE m.caseload_id = g.caseload_id AND m.patient_id = x.patient_id
                      AND m.starts_at <= statement_timestamp()
                      AND (m.ends_at IS NULL OR m.ends_at > statement_timestamp()))))
    AND NOT EXISTS (
        SELECT 1 FROM records_optout o
        WHERE (o.patient_id = records_resource.patient_id OR o.patient_id IN (
                SELECT x.patient_id FROM records_alsoabout x WHERE x.resource_id = records_resource.id))
          AND (o.organisation_id IS NULL OR o.organisation_id = (SELECT records_acting_for()))
          AND o.starts_at <= statement_timestamp() AND (o.ends_at IS NULL OR o.ends_at > statement_timestamp())));

-- What hangs on a patient or a resource is visible with it.
CREATE POLICY viewer_reads ON records_patienttoken FOR SELECT TO clinicportal_web
    USING (EXISTS (SELECT 1 FROM records_patient p WHERE p.id = records_patienttoken.patient_id));
CREATE POLICY viewer_reads ON records_patientlink FOR SELECT TO clinicportal_web
    USING (EXISTS (SELECT 1 FROM records_patient p WHERE p.id = records_patientlink.patient_id)
       AND EXISTS (SELECT 1 FROM records_patient p WHERE p.id = records_patientlink.other_id));
-- An earlier version may have carried more labels than the newest: then it stays hidden.
CREATE POLICY viewer_reads ON records_resourceversion FOR SELECT TO clinicportal_web USING (
    EXISTS (SELECT 1 FROM records_resource r
            WHERE r.id = records_resourceversion.resource_id AND records_resourceversion.classes <@ r.classes));
"""

SIZE = """
-- Administration may know how many patients a caseload holds, and nothing else about them.
CREATE POLICY owner_counts ON records_membership FOR SELECT TO clinicportal_owner USING (true);
CREATE FUNCTION records_caseload_size(caseload uuid) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT count(DISTINCT m.patient_id) FROM public.records_membership m
    WHERE m.caseload_id = caseload AND m.starts_at <= statement_timestamp()
      AND (m.ends_at IS NULL OR m.ends_at > statement_timestamp())
$$;
REVOKE ALL ON FUNCTION records_caseload_size(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION records_caseload_size(uuid) TO clinicportal_web, clinicportal_worker;
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0001_initial"), ("clinicportal", "0002_audit")]

    operations = [migrations.RunSQL(sql, reverse_sql=migrations.RunSQL.noop) for sql in (VIEWER, ENABLE, POLICIES, SIZE)]
