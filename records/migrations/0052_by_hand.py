"""Changes by hand, and what our staff may do behind the wall by themselves: little, and told by their role.

Staff accept no terms of use, so they are no viewer (records_begin); viewing() says beside it who the person is.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.conf import settings
from django.db import migrations, models


STAFF = """
CREATE FUNCTION records_staff(role text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM clinicportal_user u
        WHERE u.id = nullif(current_setting('clinicportal.person', true), '')::uuid
          AND u.is_active AND role = ANY (u.staff_roles))
$$;
-- A refusal holds from the moment that a privacy officer enters it; ending one is the worker's.
CREATE POLICY officer_enters ON records_optout FOR INSERT TO clinicportal_web
    WITH CHECK ((SELECT records_staff('privacy')) AND ends_at IS NULL AND evidence LIKE 'by hand %');
CREATE POLICY officer_reads ON records_optout FOR SELECT TO clinicportal_web
    USING ((SELECT records_staff('privacy')) AND evidence LIKE 'by hand %');
DROP POLICY operator_reads ON records_rejection;
CREATE POLICY operator_reads ON records_rejection FOR SELECT TO clinicportal_web
    USING ((SELECT records_staff('operator')));
"""


class Migration(migrations.Migration):

    dependencies = [
        ('records', '0051_lists_fill_caseloads'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ByHand',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('list', 'Patient in a caseload'), ('link', 'Two records of one person'), ('review', 'Patient in a caseload, after a link'), ('opt_out', 'Opt-out'), ('label', "Label at the patient's request")], max_length=10)),
                ('status', models.CharField(choices=[('entered', 'waits for a second person'), ('confirmed', 'being carried out'), ('in_force', 'in force'), ('withdrawn', 'being taken back'), ('over', 'over'), ('declined', 'declined')], default='entered', max_length=10)),
                ('patient_id', models.UUIDField()),
                ('other_id', models.UUIDField(null=True)),
                ('replaced', models.BooleanField(default=False)),
                ('section', models.CharField(blank=True, choices=[('demographics', 'demographics'), ('problems', 'problems'), ('medicines', 'medicines'), ('allergies', 'allergies'), ('results', 'results'), ('vitals', 'vitals'), ('immunisations', 'immunisations'), ('procedures', 'procedures'), ('encounters', 'encounters'), ('documents', 'documents'), ('care_plans', 'care plans')], max_length=20)),
                ('entry_id', models.UUIDField(null=True)),
                ('sensitive_class', models.CharField(blank=True, choices=[('mental_health', 'mental health'), ('psychotherapy', 'psychotherapy notes'), ('substance_use', 'substance use'), ('sexual_health', 'sexual and reproductive health'), ('hiv', 'HIV'), ('violence', 'violence'), ('genetic', 'genetic'), ('other', 'other sensitive'), ('restricted', 'restricted without a reason'), ('unknown', 'unknown label')], max_length=20)),
                ('link', models.BigIntegerField(null=True)),
                ('evidence', models.CharField(max_length=200)),
                ('ends_at', models.DateTimeField(null=True)),
                ('entered_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('confirmed_at', models.DateTimeField(null=True)),
                ('done_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('ended_because', models.CharField(blank=True, max_length=200)),
                ('caseload', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='records.caseload')),
                ('confirmed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('ended_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('entered_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organisation', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='records.organisation')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('status__in', ['confirmed', 'withdrawn'])), fields=['status'], name='by_hand_due')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('caseload__isnull', False), ('status__in', ['entered', 'confirmed', 'in_force', 'withdrawn'])), fields=('caseload', 'patient_id'), name='by_hand_in_a_caseload_once'), models.CheckConstraint(condition=models.Q(('entered_by', models.F('confirmed_by')), _negated=True), name='by_hand_by_two'), models.CheckConstraint(condition=models.Q(models.Q(('confirmed_by', None), ('kind__in', ['list', 'link', 'review']), ('status__in', ['confirmed', 'in_force']), _negated=True), models.Q(('entered_by', None), ('kind__in', ['list', 'link']), ('status__in', ['confirmed', 'in_force']), _negated=True)), name='by_hand_confirmed')],
            },
        ),
        migrations.RunSQL(STAFF, reverse_sql=migrations.RunSQL.noop),
    ]
