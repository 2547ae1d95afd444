"""Looking up takes the same steps whether somebody fits, may be shown, or neither.

Who is found is as before. As one statement it joined grants only for a patient who was there, which took longer than for
one who was not: a clock told what the answer does not.
"""

from django.db import migrations

LOOK_UP = """
CREATE OR REPLACE FUNCTION records_look_up(names text[], born text, number text, place uuid, systems text[])
RETURNS TABLE (patient_id uuid, grant_id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    people uuid[];  -- all whom it fits, and whom they were replaced by
    one uuid;       -- the one of them who survives
    site uuid;
    labels varchar[];
    barred boolean;
    by_right uuid;
BEGIN
    SELECT coalesce(array_agg(m.patient_id), '{}'), CASE WHEN count(*) FILTER (WHERE m.survives) = 1
           THEN (array_agg(m.patient_id) FILTER (WHERE m.survives))[1] END
    INTO people, one
    FROM public.records_match(names, born, number, place, systems) m;

    SELECT s.facility_id, p.classes INTO site, labels
    FROM public.records_patient p JOIN public.records_source s ON s.id = p.source_id WHERE p.id = one;

    SELECT EXISTS (
        SELECT 1 FROM public.records_optout o
        WHERE o.patient_id = ANY (people)
          AND (o.organisation_id IS NULL OR o.organisation_id = public.records_acting_for())
          AND o.starts_at <= statement_timestamp() AND (o.ends_at IS NULL OR o.ends_at > statement_timestamp()))
    INTO barred;

    -- Asked for nobody, too.
    site := coalesce(site, place);
    labels := coalesce(labels, '{}');
    SELECT g.id INTO by_right
    FROM public.records_grant_in_force allowed
    JOIN public.records_grant g ON g.id = allowed.grant_id AND g.may_look_up
    JOIN public.records_agreement a ON a.id = allowed.agreement_id AND a.may_look_up
    LEFT JOIN public.records_caseload c ON c.id = g.caseload_id
    WHERE (SELECT count(*) FROM public.records_agreement_facilities f
           WHERE f.agreement_id = a.id AND f.facility_id IN (place, site))
          = (CASE WHEN place = site THEN 1 ELSE 2 END)
      AND 'demographics' = ANY (allowed.sections) AND 'demographics' = ANY (allowed.agreement_sections)
      AND labels <@ allowed.classes AND labels <@ allowed.agreement_classes
    ORDER BY c.facility_id IS NOT DISTINCT FROM site DESC, g.ends_at DESC, g.id
    LIMIT 1;

    IF one IS NOT NULL AND NOT barred AND by_right IS NOT NULL THEN
        RETURN QUERY SELECT one, by_right;
    END IF;
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0031_finding_behind_the_wall")]

    operations = [migrations.RunSQL(LOOK_UP, reverse_sql=migrations.RunSQL.noop)]
