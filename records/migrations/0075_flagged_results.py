"""Results that may be flagged, to be found without reading all; tests of a section, to be listed without reading all.

For those who are here: whatever has a range or an interpretation, until their text is read anew. The owner is let
through the wall meanwhile.
"""

from django.db import migrations, models
from django.db.models import F, OrderBy, Q

JUDGED = """
ALTER TABLE records_resource NO FORCE ROW LEVEL SECURITY;
UPDATE records_resource SET may_be_flagged = true
WHERE type = 'Observation' AND (strpos(raw, 'nterpretation') > 0 OR strpos(raw, 'eferenceRange') > 0);
ALTER TABLE records_resource FORCE ROW LEVEL SECURITY;
"""
NEWEST_FIRST = (OrderBy(F("time"), descending=True, nulls_last=True), OrderBy(F("id"), descending=True))


class Migration(migrations.Migration):
    dependencies = [("records", "0070_what_references_name")]

    operations = [
        # Nobody waits for all rows to be written again: those that can't be flagged keep what they begin with.
        migrations.AddField("resource", "may_be_flagged", models.BooleanField(default=False)),
        migrations.RunSQL(JUDGED, reverse_sql=migrations.RunSQL.noop),
        migrations.AlterField("resource", "may_be_flagged", models.BooleanField(default=True)),
        migrations.RemoveIndex("resource", "resource_by_code"),
        migrations.AddIndex(
            "resource", models.Index(F("patient"), F("section"), F("code"), *NEWEST_FIRST, name="resource_by_code")
        ),
        migrations.AddIndex(
            "resource",
            models.Index(
                F("patient"),
                F("section"),
                *NEWEST_FIRST,
                condition=Q(may_be_flagged=True, type="Observation"),
                name="resource_flagged",
            ),
        ),
    ]
