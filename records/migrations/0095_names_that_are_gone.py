"""Whether a source has deleted the entry that a name is of. For what is here it is read from the entries themselves;
the owner is let through the wall meanwhile."""

from django.db import migrations, models

FILL = """
ALTER TABLE records_resource NO FORCE ROW LEVEL SECURITY;
ALTER TABLE records_referredname NO FORCE ROW LEVEL SECURITY;
UPDATE records_referredname n SET gone = true FROM records_resource r WHERE r.id = n.id AND r.tombstoned_at IS NOT NULL;
ALTER TABLE records_referredname FORCE ROW LEVEL SECURITY;
ALTER TABLE records_resource FORCE ROW LEVEL SECURITY;
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0076_similar_names_and_filters")]

    operations = [
        migrations.AddField("referredname", "gone", models.BooleanField(db_default=False, default=False)),
        migrations.RunSQL(FILL, reverse_sql=migrations.RunSQL.noop),
    ]
