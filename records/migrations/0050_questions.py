"""What our staff ask about access, and how they name a patient: by a number and a birth date that they hold in hand."""

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

# As records_caseload_size: the database looks behind the wall and gives one id, for both at once and never for a list.
# Through the tokens, so that it reads few rows; the number must be the record number itself, not any identifier. The
# owner reads while web or worker ask, and never by itself.
NUMBERED = """
CREATE POLICY owner_finds ON records_patient FOR SELECT TO clinicportal_owner
    USING (session_user IN ('clinicportal_web', 'clinicportal_worker'));
CREATE POLICY owner_finds ON records_patienttoken FOR SELECT TO clinicportal_owner
    USING (session_user IN ('clinicportal_web', 'clinicportal_worker'));
CREATE FUNCTION records_patient_numbered(facility uuid, number text, born text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT CASE WHEN count(DISTINCT p.id) = 1 THEN (array_agg(p.id))[1] END
    FROM public.records_patienttoken t
    JOIN public.records_patient p ON p.id = t.patient_id
    JOIN public.records_source s ON s.id = p.source_id
    WHERE t.token = number AND number <> '' AND s.facility_id = facility AND p.birth_date = born
      AND length(born) = 10 AND regexp_replace(lower(p.mrn), '[^a-z0-9]', '', 'g') = number
$$;
REVOKE ALL ON FUNCTION records_patient_numbered(uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION records_patient_numbered(uuid, text, text) TO clinicportal_web, clinicportal_worker;
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0036_wall_of_emergencies"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="Question",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("patient_id", models.UUIDField()),
                ("entry_id", models.UUIDField(null=True)),
                ("asked_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("answered_at", models.DateTimeField(null=True)),
                ("answer", models.JSONField(null=True)),
                (
                    "asked_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "guest",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("answered_at", None)), fields=["asked_at"], name="question_open")
                ],
            },
        ),
        migrations.RunSQL(NUMBERED, reverse_sql=migrations.RunSQL.noop),
    ]
