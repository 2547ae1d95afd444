"""The policies of emergency access, kept out of the plans of pages.

Who sees what is as before. With all of it in the policy a statement took three times as long to plan, on every page.
"""

from django.db import migrations

POLICIES = """
-- Functions, so that a statement that reads rows is not planned with all of this in it: it would cost each page more than
-- reading them. They are called for rows of the patients above and no others.
CREATE FUNCTION records_opens_in_emergency(patient uuid, place uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM records_emergency_in_force e WHERE e.patient_id = patient AND e.facility_id = place);
END
$$;

-- Whether a resource names another patient than its own who has no grant that allows all of it, or who opted out.
CREATE FUNCTION records_names_a_stranger(
    resource uuid, patient uuid, place uuid, of_section varchar, of_classes varchar[]
) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1 FROM records_alsoabout x
        WHERE x.resource_id = resource AND x.patient_id <> patient AND (
            NOT EXISTS (
                SELECT 1 FROM records_grant_in_force g
                JOIN records_agreement_facilities f ON f.agreement_id = g.agreement_id
                WHERE f.facility_id = place
                  AND of_section = ANY (g.sections) AND of_section = ANY (g.agreement_sections)
                  AND of_classes <@ g.classes AND of_classes <@ g.agreement_classes
                  AND (g.patient_id = x.patient_id OR EXISTS (
                        SELECT 1 FROM records_membership m
                        WHERE m.caseload_id = g.caseload_id AND m.patient_id = x.patient_id
                          AND m.starts_at <= statement_timestamp()
                          AND (m.ends_at IS NULL OR m.ends_at > statement_timestamp()))))
            OR EXISTS (
                SELECT 1 FROM records_optout o
                WHERE o.patient_id = x.patient_id
                  AND (o.organisation_id IS NULL OR o.organisation_id = records_acting_for())
                  AND o.starts_at <= statement_timestamp()
                  AND (o.ends_at IS NULL OR o.ends_at > statement_timestamp()))));
END
$$;

DROP POLICY emergency_reads ON records_patient;
DROP POLICY emergency_reads ON records_resource;
CREATE POLICY emergency_reads ON records_patient FOR SELECT TO clinicportal_web USING (
    id = ANY ((SELECT records_emergencies())::uuid[])
    AND NOT classes && '{psychotherapy,unknown}'::varchar[]
    AND records_opens_in_emergency(id, (SELECT s.facility_id FROM records_source s WHERE s.id = source_id)));

CREATE POLICY emergency_reads ON records_resource FOR SELECT TO clinicportal_web USING (
    patient_id = ANY ((SELECT records_emergencies())::uuid[])
    AND tombstoned_at IS NULL
    AND section IS NOT NULL
    AND NOT classes && '{psychotherapy,unknown}'::varchar[]
    -- a bare R or V gives no reason: a document with it could be a psychotherapy note
    AND NOT (section = 'documents' AND 'restricted' = ANY (classes))
    AND records_opens_in_emergency(patient_id, facility_id)
    AND NOT records_names_a_stranger(id, patient_id, facility_id, section, classes));
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0032_a_steady_look_up"), ("records", "0052_by_hand")]

    operations = [migrations.RunSQL(POLICIES, reverse_sql=migrations.RunSQL.noop)]
