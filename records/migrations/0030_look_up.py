"""The right to look up patients, what came of it, and the searches."""

import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('records', '0022_filters_and_reports'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='LookUp',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('attempt', models.UUIDField()),
                ('typed', models.CharField(max_length=16)),
                ('reason', models.TextField()),
                ('asked_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('patient_id', models.UUIDField(null=True)),
                ('reviewed_at', models.DateTimeField(null=True)),
                ('note', models.TextField(blank=True)),
            ],
        ),
        migrations.AddField(
            model_name='grant',
            name='may_look_up',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='grant',
            name='under',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='looked_up', to='records.grant'),
        ),
        migrations.AddConstraint(
            model_name='grant',
            constraint=models.CheckConstraint(condition=models.Q(('under', None), models.Q(('may_look_up', False), ('patient__isnull', False)), _connector='OR'), name='looked_up_is_one_patient'),
        ),
        migrations.AddField(
            model_name='lookup',
            name='by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='lookup',
            name='grant',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='look_up', to='records.grant'),
        ),
        migrations.AddField(
            model_name='lookup',
            name='organisation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='records.organisation'),
        ),
        migrations.AddField(
            model_name='lookup',
            name='reviewed_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='lookup',
            name='right',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='records.grant'),
        ),
        migrations.AddIndex(
            model_name='lookup',
            index=models.Index(fields=['by', 'asked_at'], name='look_up_by_person'),
        ),
        migrations.AddIndex(
            model_name='lookup',
            index=models.Index(condition=models.Q(('reviewed_at', None)), fields=['asked_at'], name='look_up_unseen'),
        ),
        migrations.AddConstraint(
            model_name='lookup',
            constraint=models.UniqueConstraint(fields=('by', 'attempt', 'typed'), name='look_up_once'),
        ),
    ]
