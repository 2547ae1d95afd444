"""The wall, asked for less often: the viewer is proved once in a transaction, a list of patients in one go.

Who sees what is as before. `records_begin` does what `records_viewer` did in each statement and leaves the answer in
settings of the transaction, which the policies read; naming a viewer in any other way names nobody.
"""

from django.db import migrations

VIEWER = """
CREATE FUNCTION records_begin(viewer uuid, organisation uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('clinicportal.viewer', '', true), set_config('clinicportal.caseloads', '{}', true),
            set_config('clinicportal.organisation', coalesce(organisation::text, ''), true);
    PERFORM set_config('clinicportal.viewer', u.id::text, true) FROM clinicportal_user u
    WHERE u.id = viewer
      AND u.is_active
      AND EXISTS (
        SELECT 1 FROM clinicportal_termsacceptance a
        WHERE a.user_id = u.id AND a.ended_at IS NULL AND a.terms_id = (
            SELECT t.version FROM clinicportal_terms t
            WHERE t.published_at <= statement_timestamp() ORDER BY t.published_at DESC LIMIT 1))
      AND NOT EXISTS (SELECT 1 FROM records_suspension s WHERE s.user_id = u.id AND s.lifted_at IS NULL);
    PERFORM set_config('clinicportal.caseloads', coalesce(array_agg(DISTINCT caseload_id), '{}')::text, true)
    FROM records_grant_in_force WHERE caseload_id IS NOT NULL;
END
$$;

CREATE OR REPLACE FUNCTION records_viewer() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('clinicportal.viewer', true), '')::uuid
$$;

CREATE OR REPLACE FUNCTION records_open_caseloads() RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('clinicportal.caseloads', true), ''), '{}')::uuid[]
$$;
"""

# A list says so (viewing(user, listing=True)): then whom the grants name is found once, and each row looked up in that.
PATIENTS = """
CREATE FUNCTION records_listing() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('clinicportal.listing', true), '') = 'on'
$$;
DROP POLICY viewer_reads ON records_patient;
CREATE POLICY viewer_reads ON records_patient FOR SELECT TO clinicportal_web USING (
    CASE WHEN (SELECT records_listing()) AND classes = '{}' THEN
        (id, source_id) IN (
            SELECT m.patient_id, s.id FROM records_grant_in_force g
            JOIN records_agreement_facilities f ON f.agreement_id = g.agreement_id
            JOIN records_source s ON s.facility_id = f.facility_id
            JOIN records_membership m ON m.caseload_id = g.caseload_id
            WHERE 'demographics' = ANY (g.sections) AND 'demographics' = ANY (g.agreement_sections)
              AND m.starts_at <= statement_timestamp() AND (m.ends_at IS NULL OR m.ends_at > statement_timestamp())
            UNION ALL
            SELECT g.patient_id, s.id FROM records_grant_in_force g
            JOIN records_agreement_facilities f ON f.agreement_id = g.agreement_id
            JOIN records_source s ON s.facility_id = f.facility_id
            WHERE g.patient_id IS NOT NULL
              AND 'demographics' = ANY (g.sections) AND 'demographics' = ANY (g.agreement_sections))
        AND id NOT IN (
            SELECT o.patient_id FROM records_optout o
            WHERE (o.organisation_id IS NULL OR o.organisation_id = (SELECT records_acting_for()))
              AND o.starts_at <= statement_timestamp() AND (o.ends_at IS NULL OR o.ends_at > statement_timestamp()))
    ELSE
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
              AND o.starts_at <= statement_timestamp() AND (o.ends_at IS NULL OR o.ends_at > statement_timestamp()))
    END);
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0020_looks_and_page_order")]

    operations = [migrations.RunSQL(sql, reverse_sql=migrations.RunSQL.noop) for sql in (VIEWER, PATIENTS)]
