"""Looking up a patient: finding one behind the wall, and the wall for what was found.

The web role can't see a patient who is in no caseload, so two functions see for it, as the owner. `records_match` only
says whom a name, a birth date and a number fit; it asks nobody's leave, so nobody but the owner may call it.
`records_look_up` is what web calls: it asks for the viewer's right, agreement, facility, opt-outs, and gives one id or
nothing. The owner reads patients in functions that web called and nowhere else: the policy asks who is connected.

What was looked up is a grant of one patient (`under_id`: the grant whose right it was). It holds while that one does.
The other statement of that is `in_force_for` in records/models/grants.py.
"""

from django.db import migrations

WALL = """
CREATE OR REPLACE VIEW records_grant_in_force WITH (security_invoker = true) AS
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
                  AND (s.grant_id = g.id OR s.organisation_id = g.organisation_id))
  AND (g.under_id IS NULL OR a.may_look_up AND EXISTS (
        SELECT 1 FROM records_grant u
        WHERE u.id = g.under_id AND u.may_look_up AND u.ended_at IS NULL
          AND u.starts_at <= statement_timestamp() AND u.ends_at > statement_timestamp()
          AND NOT EXISTS (SELECT 1 FROM records_suspension s WHERE s.lifted_at IS NULL AND s.grant_id = u.id)));
"""

OWNER = "".join(
    f"CREATE POLICY finder_reads ON {table} FOR SELECT TO clinicportal_owner"
    " USING (session_user = 'clinicportal_web');\n"
    for table in ("records_patient", "records_patienttoken", "records_optout", "records_resource")
)

MATCH = """
-- Letters and digits of an identifier, as tokens.identifier folds those that have no marks.
CREATE FUNCTION records_bare(identifier text) RETURNS text LANGUAGE sql IMMUTABLE
RETURN lower(regexp_replace(identifier, '[^[:alnum:]]', '', 'g'));

-- Whom all of it fits, word for word, among the patients of one facility: every word of `names` is one of the patient's
-- names (two at least, unless they have only one), `born` the whole birth date, `number` a number of the facility's own
-- system, or of one of `systems` if there are any. All three are folded like tokens (records/tokens.py). A patient who
-- was replaced leads to whom they were replaced by, who then `survives`; the others are given too, since what bars one
-- of them bars all. Never anybody whom a stopped feed hides, or whom their source has deleted.
CREATE FUNCTION records_match(names text[], born text, number text, place uuid, systems text[])
RETURNS TABLE (patient_id uuid, survives boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    WITH RECURSIVE shown AS NOT MATERIALIZED (
        SELECT p.* FROM public.records_patient p
        WHERE NOT EXISTS (SELECT 1 FROM public.records_feedstop f WHERE f.source_id = p.source_id
                          AND f.resumed_at IS NULL AND f.hidden_since <= p.received_at)
          AND NOT EXISTS (SELECT 1 FROM public.records_resource r WHERE r.id = p.id AND r.tombstoned_at IS NOT NULL)
    ), people AS (
        SELECT p.id, p.replaced_by_id FROM shown p
        JOIN public.records_source s ON s.id = p.source_id AND s.facility_id = place
        WHERE p.id IN (SELECT t.patient_id FROM public.records_patienttoken t WHERE t.token = number)
          AND p.birth_date = born AND length(born) = 10
          AND NOT EXISTS (
                SELECT 1 FROM unnest(names) AS w (word) WHERE word ~ '[0-9]' OR NOT EXISTS (
                    SELECT 1 FROM public.records_patienttoken t WHERE t.patient_id = p.id AND t.token = word))
          AND (SELECT count(DISTINCT word) FROM unnest(names) AS w (word)) >= least(2, (
                SELECT count(DISTINCT word) FROM unnest(string_to_array(p.sort_name, ' ')) AS w (word)))
          AND cardinality(names) > 0
          AND (EXISTS (
                SELECT 1 FROM unnest(coalesce(systems, ARRAY[s.mrn_system])) AS y (system)
                JOIN public.records_patienttoken t ON t.patient_id = p.id
                 AND t.token >= system || '|' AND t.token < system || '}'
                WHERE system <> '' AND public.records_bare(substr(t.token, length(system) + 2)) = number)
            OR systems IS NULL AND s.mrn_system = '' AND public.records_bare(p.mrn) = number)
      UNION
        SELECT p.id, p.replaced_by_id FROM people JOIN shown p ON p.id = people.replaced_by_id
    )
    SELECT id, replaced_by_id IS NULL FROM people
$$;
REVOKE ALL ON FUNCTION records_match(text[], text, text, uuid, text[]) FROM PUBLIC;
"""

LOOK_UP = """
-- The one patient whom all of it fits, and the viewer's grant that allows to look them up; no row otherwise, whatever
-- the cause: nobody, several, an opt-out, a facility, section or class outside of grant or agreement, no right.
CREATE FUNCTION records_look_up(names text[], born text, number text, place uuid, systems text[])
RETURNS TABLE (patient_id uuid, grant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH people AS MATERIALIZED (SELECT * FROM public.records_match(names, born, number, place, systems))
    SELECT p.id, g.id
    FROM public.records_patient p
    JOIN public.records_source s ON s.id = p.source_id
    CROSS JOIN public.records_grant_in_force allowed
    JOIN public.records_grant g ON g.id = allowed.grant_id AND g.may_look_up
    JOIN public.records_agreement a ON a.id = allowed.agreement_id AND a.may_look_up
    LEFT JOIN public.records_caseload c ON c.id = g.caseload_id
    WHERE p.id IN (SELECT f.patient_id FROM people f WHERE f.survives)
      AND (SELECT count(*) FROM people f WHERE f.survives) = 1
      AND (SELECT count(*) FROM public.records_agreement_facilities f
           WHERE f.agreement_id = a.id AND f.facility_id IN (place, s.facility_id))
          = (CASE WHEN place = s.facility_id THEN 1 ELSE 2 END)
      AND 'demographics' = ANY (allowed.sections) AND 'demographics' = ANY (allowed.agreement_sections)
      AND p.classes <@ allowed.classes AND p.classes <@ allowed.agreement_classes
      AND NOT EXISTS (
            SELECT 1 FROM public.records_optout o
            WHERE o.patient_id IN (SELECT f.patient_id FROM people f)
              AND (o.organisation_id IS NULL OR o.organisation_id = public.records_acting_for())
              AND o.starts_at <= statement_timestamp() AND (o.ends_at IS NULL OR o.ends_at > statement_timestamp()))
    ORDER BY c.facility_id IS NOT DISTINCT FROM s.facility_id DESC, g.ends_at DESC, g.id
    LIMIT 1
$$;
REVOKE ALL ON FUNCTION records_look_up(text[], text, text, uuid, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION records_look_up(text[], text, text, uuid, text[]) TO clinicportal_web;
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0030_look_up")]

    operations = [
        migrations.RunSQL(sql, reverse_sql=migrations.RunSQL.noop) for sql in (WALL, OWNER, MATCH, LOOK_UP)
    ]
