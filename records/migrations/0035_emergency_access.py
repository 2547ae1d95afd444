"""Emergency access, and how a reviewer reads what it opened."""


import datetime
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('records', '0032_a_steady_look_up'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='grant',
            name='may_use_emergency_access',
            field=models.BooleanField(default=False),
        ),
        migrations.CreateModel(
            name='EmergencyAccess',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('patient_id', models.UUIDField(null=True)),
                ('reason', models.TextField(blank=True)),
                ('status', models.CharField(choices=[('asked', 'asked for, not begun'), ('nobody', 'found nobody'), ('opened', 'waiting for review'), ('questioned', 'waiting for an explanation'), ('answered', 'explained, waiting for review'), ('justified', 'justified'), ('not-justified', 'not justified')], default='asked', max_length=20)),
                ('asked_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('proof', models.CharField(blank=True, choices=[('stronger', 'a fresh, stronger sign-in'), ('sign-in', 'a fresh sign-in only: the stronger one could not be had')], max_length=20)),
                ('started_at', models.DateTimeField(null=True)),
                ('ends_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('facilities', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), blank=True, default=list, size=None)),
                ('question', models.TextField(blank=True)),
                ('questioned_at', models.DateTimeField(null=True)),
                ('answer', models.TextField(blank=True)),
                ('answered_at', models.DateTimeField(null=True)),
                ('reviewed_at', models.DateTimeField(null=True)),
                ('note', models.TextField(blank=True)),
                ('alerted_at', models.DateTimeField(null=True)),
                ('outcome_told_at', models.DateTimeField(null=True)),
                ('guest', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='records.organisation')),
                ('reviewed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='ReviewReading',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ends_at', models.DateTimeField()),
                ('emergency', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='readings', to='records.emergencyaccess')),
                ('reviewer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.AddIndex(
            model_name='emergencyaccess',
            index=models.Index(condition=models.Q(('ended_at', None)), fields=['guest', 'ends_at'], name='emergency_by_guest'),
        ),
        migrations.AddIndex(
            model_name='emergencyaccess',
            index=models.Index(condition=models.Q(('status__in', ['opened', 'questioned', 'answered'])), fields=['started_at'], name='emergency_unreviewed'),
        ),
        migrations.AddIndex(
            model_name='emergencyaccess',
            index=models.Index(condition=models.Q(('alerted_at', None), ('started_at__isnull', False)), fields=['started_at'], name='emergency_not_told'),
        ),
        migrations.AddConstraint(
            model_name='emergencyaccess',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('ends_at', None), ('started_at', None), ('status__in', ['asked', 'nobody'])), models.Q(models.Q(('status__in', ['asked', 'nobody']), _negated=True), models.Q(('proof', ''), _negated=True), models.Q(('reason', ''), _negated=True), ('ends_at__isnull', False), ('patient_id__isnull', False), ('started_at__isnull', False)), _connector='OR'), name='emergency_started_with_a_proof'),
        ),
        migrations.AddConstraint(
            model_name='emergencyaccess',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at', None), models.Q(('ends_at__gt', models.F('started_at')), ('ends_at__lte', django.db.models.expressions.CombinedExpression(models.F('started_at'), '+', models.Value(datetime.timedelta(seconds=3600))))), _connector='OR'), name='emergency_of_an_hour_at_most'),
        ),
        migrations.AddConstraint(
            model_name='emergencyaccess',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status__in', ['justified', 'not-justified']), _negated=True), models.Q(('reviewed_at__isnull', False), ('reviewed_by__isnull', False), models.Q(('reviewed_by', models.F('guest')), _negated=True)), _connector='OR'), name='emergency_reviewed_by_somebody_else'),
        ),
        migrations.AddIndex(
            model_name='reviewreading',
            index=models.Index(fields=['reviewer', 'ends_at'], name='review_reading_by_reviewer'),
        ),
        migrations.AddConstraint(
            model_name='reviewreading',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('started_at')), ('ends_at__lte', django.db.models.expressions.CombinedExpression(models.F('started_at'), '+', models.Value(datetime.timedelta(seconds=3600))))), name='review_reading_of_an_hour_at_most'),
        ),
    ]
