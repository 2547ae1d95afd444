"""An earlier version is shown only where it tells of no more than the newest: of the same patient, in the same section.

A correction may have moved a resource from one patient to another, or taken a second patient out of it: what stood there
before is not the business of who reads the one that is there now.
"""

from django.db import migrations, models

# What is here already: whom a version was about is known where the resource never moved and names nobody else. The owner
# is let through the wall meanwhile.
FILLED = """
ALTER TABLE records_resource NO FORCE ROW LEVEL SECURITY;
ALTER TABLE records_resourceversion NO FORCE ROW LEVEL SECURITY;
UPDATE records_resourceversion v SET patient_id = r.patient_id, section = r.section
FROM records_resource r
WHERE r.id = v.resource_id
  AND NOT EXISTS (SELECT 1 FROM records_move m WHERE m.resource_id = r.id)
  AND length(v.raw) - length(replace(v.raw, 'Patient', '')) <= length('Patient');
ALTER TABLE records_resourceversion FORCE ROW LEVEL SECURITY;
ALTER TABLE records_resource FORCE ROW LEVEL SECURITY;
"""

WALL = """
DROP POLICY viewer_reads ON records_resourceversion;
CREATE POLICY viewer_reads ON records_resourceversion FOR SELECT TO clinicportal_web USING (
    EXISTS (SELECT 1 FROM records_resource r
            WHERE r.id = records_resourceversion.resource_id
              AND r.patient_id = records_resourceversion.patient_id
              AND r.section = records_resourceversion.section
              AND records_resourceversion.classes <@ r.classes));
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0061_a_rejected_line_is_one_row")]

    operations = [
        migrations.AddField("resourceversion", "patient_id", models.UUIDField(null=True)),
        migrations.AddField(
            "resourceversion",
            "section",
            models.CharField(
                choices=[
                    ("demographics", "demographics"),
                    ("problems", "problems"),
                    ("medicines", "medicines"),
                    ("allergies", "allergies"),
                    ("results", "results"),
                    ("vitals", "vitals"),
                    ("immunisations", "immunisations"),
                    ("procedures", "procedures"),
                    ("encounters", "encounters"),
                    ("documents", "documents"),
                    ("care_plans", "care plans"),
                ],
                max_length=20,
                null=True,
            ),
        ),
        migrations.RunSQL([FILLED, WALL], reverse_sql=migrations.RunSQL.noop),
    ]
