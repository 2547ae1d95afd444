from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("records", "0060_found_in_the_row"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="rejection",
            index=models.Index(condition=Q(mended_at=None), fields=["file", "line"], name="rejection_open_at"),
        ),
    ]
