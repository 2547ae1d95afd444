"""When a guest last looked at a record; indexes in the order of the chart's pages and of arrival."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

WALL = """
ALTER TABLE records_look ENABLE ROW LEVEL SECURITY;
ALTER TABLE records_look FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_all ON records_look TO clinicportal_worker USING (true) WITH CHECK (true);
-- Everybody has marks of their own, and of patients whom they can see when they write one.
CREATE POLICY viewer_reads ON records_look FOR SELECT TO clinicportal_web USING (user_id = (SELECT records_viewer()));
CREATE POLICY viewer_adds ON records_look FOR INSERT TO clinicportal_web WITH CHECK (
    user_id = (SELECT records_viewer())
    AND EXISTS (SELECT 1 FROM records_patient p WHERE p.id = records_look.patient_id));
CREATE POLICY viewer_changes ON records_look FOR UPDATE TO clinicportal_web
    USING (user_id = (SELECT records_viewer())) WITH CHECK (user_id = (SELECT records_viewer()));
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0013_lighter_keys"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="Look",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user", "patient", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="looks",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "patient",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="looks", to="records.patient"
                    ),
                ),
                ("since", models.DateTimeField(null=True)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.RunSQL(WALL, reverse_sql=migrations.RunSQL.noop),
        migrations.RemoveIndex(model_name="resource", name="resource_by_section"),
        migrations.RemoveIndex(model_name="resource", name="resource_by_code"),
        migrations.AddIndex(
            model_name="resource",
            index=models.Index(
                models.F("patient"),
                models.F("section"),
                models.OrderBy(models.F("time"), descending=True, nulls_last=True),
                models.OrderBy(models.F("id"), descending=True),
                name="resource_by_section",
            ),
        ),
        migrations.AddIndex(
            model_name="resource",
            index=models.Index(
                models.F("patient"),
                models.F("code"),
                models.OrderBy(models.F("time"), descending=True, nulls_last=True),
                models.OrderBy(models.F("id"), descending=True),
                name="resource_by_code",
            ),
        ),
        migrations.AddIndex(
            model_name="resource",
            index=models.Index(fields=["patient", "received_at"], name="resource_by_arrival"),
        ),
    ]
