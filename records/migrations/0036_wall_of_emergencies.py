"""The wall learns of emergency access: a second way in beside grants, for one patient and one hour.

The other statement is `opened_without_a_grant` in records/models/emergencies.py. Policies of their own, which PostgreSQL
joins to those of grants by OR: they begin with one array of the transaction, which is nearly always empty. The policies
of stopped feeds are restrictive and hold beside them.
"""

from django.db import migrations

BEGIN = """
-- For viewing(), after records_begin: whom the policies have to ask further about. It opens nothing by itself.
CREATE FUNCTION records_begin_emergency() RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    viewer uuid := records_viewer();
    patients uuid[] := '{}';
BEGIN
    IF viewer IS NOT NULL THEN
        patients := ARRAY(
            SELECT e.patient_id FROM records_emergencyaccess e
            WHERE e.guest_id = viewer AND e.ended_at IS NULL AND e.ends_at > statement_timestamp()
            UNION ALL
            SELECT e.patient_id FROM records_reviewreading r JOIN records_emergencyaccess e ON e.id = r.emergency_id
            WHERE r.reviewer_id = viewer AND r.ends_at > statement_timestamp());
    END IF;
    PERFORM set_config('clinicportal.emergencies', patients::text, true);
    RETURN patients;
END
$$;

CREATE FUNCTION records_emergencies() RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('clinicportal.emergencies', true), ''), '{}')::uuid[]
$$;
"""

IN_FORCE = """
-- What is open now without a grant: a row for each patient and facility. A guest needs the right in one of the grants in
-- force and in its agreement, which covers the facility; a reviewer reads as far as the emergency access reached.
CREATE VIEW records_emergency_in_force WITH (security_invoker = true) AS
SELECT e.id AS emergency_id, e.patient_id, f.facility_id
FROM records_emergencyaccess e
CROSS JOIN records_grant_in_force i
JOIN records_grant g ON g.id = i.grant_id AND g.may_use_emergency_access
JOIN records_agreement a ON a.id = i.agreement_id AND a.may_use_emergency_access
JOIN records_agreement_facilities f ON f.agreement_id = a.id
WHERE e.guest_id = (SELECT records_viewer())
  AND e.organisation_id = (SELECT records_acting_for())
  AND e.ended_at IS NULL
  AND e.started_at <= statement_timestamp() AND e.ends_at > statement_timestamp()
UNION ALL
SELECT e.id, e.patient_id, unnest(e.facilities)
FROM records_reviewreading r
JOIN records_emergencyaccess e ON e.id = r.emergency_id
JOIN clinicportal_user u ON u.id = r.reviewer_id AND 'reviewer' = ANY (u.staff_roles)
WHERE r.reviewer_id = (SELECT records_viewer())
  AND r.started_at <= statement_timestamp() AND r.ends_at > statement_timestamp()
  AND e.guest_id <> r.reviewer_id
  AND e.status IN ('opened', 'questioned', 'answered');
"""

POLICIES = """
CREATE POLICY emergency_reads ON records_patient FOR SELECT TO clinicportal_web USING (
    id = ANY ((SELECT records_emergencies())::uuid[])
    AND NOT classes && '{psychotherapy,unknown}'::varchar[]
    AND EXISTS (
        SELECT 1 FROM records_emergency_in_force e JOIN records_source s ON s.facility_id = e.facility_id
        WHERE e.patient_id = records_patient.id AND s.id = records_patient.source_id));

CREATE POLICY emergency_reads ON records_resource FOR SELECT TO clinicportal_web USING (
    patient_id = ANY ((SELECT records_emergencies())::uuid[])
    AND tombstoned_at IS NULL
    AND section IS NOT NULL
    AND NOT classes && '{psychotherapy,unknown}'::varchar[]
    -- a bare R or V gives no reason: a document with it could be a psychotherapy note
    AND NOT (section = 'documents' AND 'restricted' = ANY (classes))
    AND EXISTS (
        SELECT 1 FROM records_emergency_in_force e
        WHERE e.patient_id = records_resource.patient_id AND e.facility_id = records_resource.facility_id)
    -- every further patient needs a grant that allows all of it, and must not have opted out
    AND NOT EXISTS (
        SELECT 1 FROM records_alsoabout x
        WHERE x.resource_id = records_resource.id AND x.patient_id <> records_resource.patient_id AND (
            NOT EXISTS (
                SELECT 1 FROM records_grant_in_force g
                JOIN records_agreement_facilities f ON f.agreement_id = g.agreement_id
                WHERE f.facility_id = records_resource.facility_id
                  AND records_resource.section = ANY (g.sections)
                  AND records_resource.section = ANY (g.agreement_sections)
                  AND records_resource.classes <@ g.classes AND records_resource.classes <@ g.agreement_classes
                  AND (g.patient_id = x.patient_id OR EXISTS (
                        SELECT 1 FROM records_membership m
                        WHERE m.caseload_id = g.caseload_id AND m.patient_id = x.patient_id
                          AND m.starts_at <= statement_timestamp()
                          AND (m.ends_at IS NULL OR m.ends_at > statement_timestamp()))))
            OR EXISTS (
                SELECT 1 FROM records_optout o
                WHERE o.patient_id = x.patient_id
                  AND (o.organisation_id IS NULL OR o.organisation_id = (SELECT records_acting_for()))
                  AND o.starts_at <= statement_timestamp()
                  AND (o.ends_at IS NULL OR o.ends_at > statement_timestamp())))));
"""

FIND = """
-- The one patient whom all of it fits (records_match), for a viewer with the right: an opt-out, caseload, section and
-- class stand in the way of nothing but psychotherapy notes and what was not judged. No row for whatever other cause.
CREATE FUNCTION records_find_in_emergency(names text[], born text, number text, place uuid, systems text[])
RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH people AS MATERIALIZED (SELECT * FROM public.records_match(names, born, number, place, systems))
    SELECT p.id
    FROM public.records_patient p
    JOIN public.records_source s ON s.id = p.source_id
    WHERE p.id IN (SELECT f.patient_id FROM people f WHERE f.survives)
      AND (SELECT count(*) FROM people f WHERE f.survives) = 1
      AND NOT p.classes && '{psychotherapy,unknown}'::varchar[]
      AND EXISTS (
            SELECT 1 FROM public.records_grant_in_force i
            JOIN public.records_grant g ON g.id = i.grant_id AND g.may_use_emergency_access
            JOIN public.records_agreement a ON a.id = i.agreement_id AND a.may_use_emergency_access
            WHERE (SELECT count(*) FROM public.records_agreement_facilities f
                   WHERE f.agreement_id = a.id AND f.facility_id IN (place, s.facility_id))
                = (CASE WHEN place = s.facility_id THEN 1 ELSE 2 END))
$$;
REVOKE ALL ON FUNCTION records_find_in_emergency(text[], text, text, uuid, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION records_find_in_emergency(text[], text, text, uuid, text[]) TO clinicportal_web;
"""

# What two requests at once must not bring about, whatever the code above the database asks.
STARTING = """
CREATE FUNCTION records_emergency_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.started_at IS NOT NULL THEN
        IF (NEW.guest_id, NEW.organisation_id, NEW.patient_id, NEW.reason, NEW.proof, NEW.started_at, NEW.ends_at,
            NEW.facilities) IS DISTINCT FROM
           (OLD.guest_id, OLD.organisation_id, OLD.patient_id, OLD.reason, OLD.proof, OLD.started_at, OLD.ends_at,
            OLD.facilities)
           OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at) THEN
            RAISE EXCEPTION 'an emergency access that has begun is not changed'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'emergency_not_changed';
        END IF;
    ELSIF NEW.started_at IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('emergency access ' || NEW.guest_id::text, 0));
        IF (SELECT count(*) FROM records_emergencyaccess e
            WHERE e.guest_id = NEW.guest_id AND e.id <> NEW.id
              AND e.status IN ('opened', 'questioned', 'answered')) >= 3 THEN
            RAISE EXCEPTION 'three emergency accesses of this guest wait for review'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'emergency_three_unreviewed';
        END IF;
        IF EXISTS (SELECT 1 FROM records_emergencyaccess e
                   WHERE e.guest_id = NEW.guest_id AND e.organisation_id = NEW.organisation_id
                     AND e.patient_id = NEW.patient_id AND e.id <> NEW.id
                     AND e.ended_at IS NULL AND e.ends_at > statement_timestamp()) THEN
            RAISE EXCEPTION 'this emergency access is under way already'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'emergency_once_at_a_time';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER emergency_begins BEFORE INSERT OR UPDATE ON records_emergencyaccess
    FOR EACH ROW EXECUTE FUNCTION records_emergency_begins();
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0035_emergency_access")]

    operations = [
        migrations.RunSQL(sql, reverse_sql=migrations.RunSQL.noop) for sql in (BEGIN, IN_FORCE, POLICIES, FIND, STARTING)
    ]
