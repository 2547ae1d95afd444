"""What people type to find somebody stands beside the patient: a list is searched in the rows that it reads.

For those who are here it is made of their tokens, as tokens.line makes it; the owner is let through the wall meanwhile.
"""

from django.db import migrations, models

FILLED = """
ALTER TABLE records_patient NO FORCE ROW LEVEL SECURITY;
ALTER TABLE records_patienttoken NO FORCE ROW LEVEL SECURITY;
UPDATE records_patient p SET found_by = t.line
FROM (SELECT patient_id, string_agg(' ' || token, '' ORDER BY token) AS line FROM records_patienttoken
      WHERE strpos(token, '|') = 0 AND NOT starts_with(token, 'sha256:') GROUP BY patient_id) t
WHERE t.patient_id = p.id;
ALTER TABLE records_patienttoken FORCE ROW LEVEL SECURITY;
ALTER TABLE records_patient FORCE ROW LEVEL SECURITY;
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0052_by_hand")]

    operations = [
        migrations.AddField(
            model_name="patient",
            name="found_by",
            field=models.TextField(blank=True, db_collation="C", default=""),
        ),
        migrations.RunSQL(FILLED, reverse_sql=migrations.RunSQL.noop),
    ]
