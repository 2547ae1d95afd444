"""What a Medication says beside what refers to it, and names of practitioners, organisations and places.

The first stands in the row of the prescription, so no policy changes. Names are of directories, about no patient: any
viewer may read them, and nobody without one. The stored texts are read anew by `manage.py relabel`.
"""

from django.db import migrations, models

WALL = """
ALTER TABLE records_referredname ENABLE ROW LEVEL SECURITY;
ALTER TABLE records_referredname FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_all ON records_referredname TO clinicportal_worker USING (true) WITH CHECK (true);
CREATE POLICY viewer_reads ON records_referredname FOR SELECT TO clinicportal_web
    USING ((SELECT records_viewer()) IS NOT NULL);
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0065_whom_versions_are_about")]

    operations = [
        migrations.AddField(
            model_name="resource",
            name="medication",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.CreateModel(
            name="ReferredName",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(blank=True, max_length=300)),
                ("leads_to", models.UUIDField(null=True)),
            ],
        ),
        migrations.RunSQL(WALL, reverse_sql=migrations.RunSQL.noop),
    ]
