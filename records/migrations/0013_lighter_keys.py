import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("records", "0012_appointments_fill_caseloads")]

    operations = [
        migrations.RemoveConstraint(model_name="resource", name="resource_once_per_source"),
        migrations.AddIndex(
            model_name="resource", index=models.Index(fields=["source", "type"], name="resource_by_type")
        ),
        migrations.AlterField(
            model_name="resource",
            name="patient",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="resources",
                to="records.patient",
            ),
        ),
    ]
