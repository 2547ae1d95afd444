"""Caseloads that every event of care filled are filled by appointments, too. Those with a choice keep it."""

from django.db import migrations

SQL = """
UPDATE records_caseload SET filled_by = filled_by || 'appointment'::varchar
WHERE filled_by @> ARRAY['registration', 'referral', 'encounter', 'care_team']::varchar[]
  AND NOT 'appointment' = ANY (filled_by)
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0011_wall_of_stopped_feeds")]

    operations = [migrations.RunSQL(SQL, reverse_sql=migrations.RunSQL.noop)]
