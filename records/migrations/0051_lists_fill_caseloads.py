"""Lists of patients come by feed and fill caseloads, too; who is in one by hand has a basis of that name."""

from django.db import migrations, models

from records.models import Membership

SQL = """
UPDATE records_caseload SET filled_by = filled_by || 'list'::varchar
WHERE filled_by @> ARRAY['registration', 'referral', 'encounter', 'care_team', 'appointment']::varchar[]
  AND NOT 'list' = ANY (filled_by)
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0050_questions")]

    operations = [
        migrations.AlterField(
            model_name="membership",
            name="basis",
            field=models.CharField(choices=Membership.Basis.choices, max_length=20),
        ),
        migrations.RunSQL(SQL, reverse_sql=migrations.RunSQL.noop),
    ]
