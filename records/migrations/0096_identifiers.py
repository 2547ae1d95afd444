"""Identifiers of resources, for conditional references: kept in the database, where millions take no memory.

The importer alone reads them. What is here is read by the next import of its source.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

WALL = """
ALTER TABLE records_resourceidentifier ENABLE ROW LEVEL SECURITY;
ALTER TABLE records_resourceidentifier FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_all ON records_resourceidentifier TO clinicportal_worker USING (true) WITH CHECK (true);
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0095_names_that_are_gone")]

    operations = [
        migrations.CreateModel(
            name="ResourceIdentifier",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "source",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="records.source",
                    ),
                ),
                ("key", models.UUIDField()),
                ("resource_id", models.UUIDField(db_index=True)),
                ("fhir_id", models.CharField(max_length=64)),
                ("gone", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("source", "key", "resource_id"), name="identifier_once")
                ],
            },
        ),
        migrations.AddField(
            "source",
            "identified",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=40), blank=True, db_default=[], default=list, size=None
            ),
        ),
        migrations.RunSQL(WALL, reverse_sql=migrations.RunSQL.noop),
    ]
