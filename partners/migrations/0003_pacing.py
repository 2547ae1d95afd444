"""Gates and lanes: who may call the directory now, decided for all workers in one statement.

A lane is a sliding window in 50 slices. Two slices more than the window count as used, since calls are spaced by when
they arrive and not by when they left: about three parts in a hundred of the limit stay unused, and Graph's own window
is not overrun. A bucket that is refilled evenly (the usual pacer) lets twice its limit through within one window.
"""

import django.contrib.postgres.fields
import django.db.models.functions.datetime
from django.db import migrations, models

ENTER = """
-- When a call that takes so much finds room, in seconds of the epoch; null: now.
CREATE FUNCTION partners_room_at(used int[], newest bigint, slice_seconds float8, most int, takes int) RETURNS float8
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    kept CONSTANT int := array_length(used, 1);
    over int := (SELECT sum(u) FROM unnest(used) u) + least(takes, most) - most;
    slice bigint := newest - kept;
BEGIN
    IF over <= 0 THEN
        RETURN NULL;
    END IF;
    WHILE over > 0 LOOP
        slice := slice + 1;
        over := over - used[1 + slice % kept];
    END LOOP;
    RETURN (slice + kept) * slice_seconds;  -- the moment at which that slice no longer counts
END
$$;

-- Let one call through, or say for how many seconds it has to wait (Infinity: for the operator) and why.
-- `probing` names the shut gates that this call tries; `worn`: a gate or lane remembers trouble that success ends.
CREATE FUNCTION partners_enter(
    gates text[], lanes text[], takes int[], limits int[], spans float8[], probe_seconds float8,
    OUT wait float8, OUT why text, OUT probing text[], OUT worn boolean
) LANGUAGE plpgsql AS $$
DECLARE
    slices CONSTANT int := 50;
    kept CONSTANT int := 52;
    moment CONSTANT timestamptz := clock_timestamp();
    epoch CONSTANT float8 := extract(epoch FROM moment);
    gate partners_gate;
    lane partners_lane;
    width float8;
    slice bigint;
    most int;
    room float8;
    rings int[][] := '{}';
    ring int[];
    newests bigint[] := '{}';
    mosts int[] := '{}';
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);  -- a crash may forget the last half second of this
    wait := 0;
    why := '';
    probing := '{}';
    worn := false;
    FOR gate IN SELECT * FROM partners_gate g WHERE g.name = ANY (gates) ORDER BY g.name LOOP
        worn := worn OR gate.failures > 0;
        CONTINUE WHEN gate.code = '';
        IF gate.probe_at IS NULL OR gate.probe_at > moment THEN
            wait := coalesce(extract(epoch FROM gate.probe_at - moment), 'Infinity');
            why := gate.code;
            RETURN;
        END IF;
        probing := probing || gate.name::text;
    END LOOP;
    FOR n IN 1 .. coalesce(array_length(lanes, 1), 0) LOOP
        width := spans[n] / slices;
        slice := floor(epoch / width);
        INSERT INTO partners_lane (name, slice_seconds, used, newest, strikes, slowed_by)
            SELECT lanes[n], width, array_fill(0, ARRAY[kept]), slice, 0, 1
            WHERE NOT EXISTS (SELECT FROM partners_lane WHERE name = lanes[n]) ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT lane FROM partners_lane WHERE name = lanes[n] FOR UPDATE;
        ring := lane.used;
        -- The setting has changed, or the clock was set back: what was used counts as used just now.
        IF lane.slice_seconds <> width OR lane.newest > slice + kept THEN
            most := (SELECT sum(u) FROM unnest(ring) u);
            ring := array_fill(0, ARRAY[kept]);
            ring[1 + slice % kept] := most;
            UPDATE partners_lane SET slice_seconds = width, used = ring, newest = slice WHERE name = lanes[n];
            lane.newest := slice;
        END IF;
        slice := greatest(slice, lane.newest);
        FOR back IN 0 .. least(slice - lane.newest, kept)::int - 1 LOOP  -- slices that have begun since
            ring[1 + (slice - back) % kept] := 0;
        END LOOP;
        most := limits[n];
        IF lane.slowed_until > moment THEN
            most := greatest(1, floor(most / lane.slowed_by));
        END IF;
        IF lane.closed_until > moment AND extract(epoch FROM lane.closed_until) - epoch > wait THEN
            wait := extract(epoch FROM lane.closed_until) - epoch;
            why := 'throttled';
        END IF;
        room := partners_room_at(ring, slice, width, most, takes[n]);
        IF room - epoch > wait THEN
            wait := room - epoch;
            why := CASE lanes[n] WHEN 'day' THEN 'daily_budget' ELSE 'paced' END;
        END IF;
        worn := worn OR lane.strikes > 0;
        rings := rings || ARRAY[ring];
        newests := newests || slice;
        mosts := mosts || most;
    END LOOP;
    IF wait > 0 THEN
        RETURN;
    END IF;
    FOR n IN 1 .. coalesce(array_length(probing, 1), 0) LOOP
        UPDATE partners_gate SET probe_at = clock_timestamp() + make_interval(secs => probe_seconds)
            WHERE name = probing[n] AND code <> '' AND probe_at <= clock_timestamp();
        IF NOT FOUND THEN  -- another worker is the probe, or the gate is open by now
            wait := 1;
            why := coalesce((SELECT nullif(g.code, '') FROM partners_gate g WHERE g.name = probing[n]), 'paced');
            probing := probing[1:n - 1];
            RETURN;
        END IF;
    END LOOP;
    FOR n IN 1 .. coalesce(array_length(lanes, 1), 0) LOOP
        ring := ARRAY(SELECT unnest(rings[n:n]));
        ring[1 + newests[n] % kept] := ring[1 + newests[n] % kept] + least(takes[n], mosts[n]);
        room := partners_room_at(ring, newests[n], spans[n] / slices, mosts[n], takes[n]);
        UPDATE partners_lane SET used = ring, newest = newests[n], opens_at = to_timestamp(room) WHERE name = lanes[n];
    END LOOP;
END
$$;
"""
TAKE = """
-- Gates and lanes that let nobody through now, and when they may.
CREATE VIEW partners_shut WITH (security_invoker = true) AS
    SELECT name::text, coalesce(probe_at, 'infinity') AS until FROM partners_gate
    WHERE code <> '' AND (probe_at IS NULL OR probe_at > statement_timestamp())
    UNION ALL
    SELECT 'lane:' || name, greatest(opens_at, closed_until) FROM partners_lane
    WHERE greatest(opens_at, closed_until) > statement_timestamp();

-- Kinds of steps with something shut before them; `kinds` and `names` pair each kind with what it has to pass.
CREATE FUNCTION partners_shut_kinds(kinds text[], names text[]) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(DISTINCT pair.kind), '{}')
    FROM partners_shut shut JOIN unnest(kinds, names) AS pair (kind, name) USING (name)
$$;

-- Whether a waiting step may be taken: its job runs, and its address is not in a domain that is shut.
CREATE FUNCTION partners_may_go(step partners_step, domains text[]) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT j.status = 'running' AND NOT (
        step.kind IN ('invite', 'set_back') AND cardinality(domains) > 0
        AND (SELECT 'domain:' || split_part(r.address, '@', 2) FROM partners_accessrequest r WHERE r.id = j.request_id)
            = ANY (domains))
    FROM partners_provisioningjob j WHERE j.id = step.job_id
$$;

-- Lease the step that has been due longest, of one job or of any. A function, so that its plan is made once in a session.
CREATE FUNCTION partners_take(
    job uuid, kinds text[], names text[], lease interval, OUT taken partners_step, OUT code_before text
) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    shut CONSTANT text[] := partners_shut_kinds(kinds, names);
    domains CONSTANT text[] := ARRAY(SELECT name FROM partners_shut WHERE name LIKE 'domain:%');
    chosen bigint;
    begun boolean;
BEGIN
    IF job IS NULL THEN
        -- Whoever is on the way goes before whoever has not begun: else, with many at once, all would be invited
        -- before the first of them gets a mail.
        FOREACH begun IN ARRAY ARRAY[true, false] LOOP
            SELECT s.id, s.last_code INTO chosen, code_before FROM partners_step s
            WHERE s.state = 'waiting' AND s.due_at <= statement_timestamp() AND s.kind <> ALL (shut)
                AND (s.kind <> 'invite') = begun
                AND (s.leased_until IS NULL OR s.leased_until < statement_timestamp()) AND partners_may_go(s, domains)
            ORDER BY s.due_at LIMIT 1 FOR UPDATE OF s SKIP LOCKED;
            EXIT WHEN chosen IS NOT NULL;
        END LOOP;
    ELSE
        SELECT s.id, s.last_code INTO chosen, code_before FROM partners_step s
        WHERE s.job_id = job AND s.state = 'waiting' AND s.due_at <= statement_timestamp() AND s.kind <> ALL (shut)
            AND (s.leased_until IS NULL OR s.leased_until < statement_timestamp()) AND partners_may_go(s, domains)
        ORDER BY s.position LIMIT 1 FOR UPDATE OF s SKIP LOCKED;
    END IF;
    IF chosen IS NULL THEN
        RETURN;
    END IF;
    -- A worker that dies leaves the code `started` behind: the next one knows that the outcome is unknown.
    UPDATE partners_step s SET attempts = s.attempts + 1, last_code = 'started',
        leased_until = clock_timestamp() + lease, first_tried_at = coalesce(s.first_tried_at, clock_timestamp())
    WHERE s.id = chosen RETURNING s.* INTO taken;
    RETURN NEXT;
END
$$;

-- Seconds until something can be done again, by anyone: a step is due, a lease ends, a lane or a gate opens. Null: nothing
-- waits.
CREATE FUNCTION partners_seconds_to_next(kinds text[], names text[]) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    shut CONSTANT text[] := partners_shut_kinds(kinds, names);
    domains CONSTANT text[] := ARRAY(SELECT name FROM partners_shut WHERE name LIKE 'domain:%');
    soonest timestamptz;
BEGIN
    SELECT greatest(s.due_at, s.leased_until) INTO soonest FROM partners_step s
    WHERE s.state = 'waiting' AND s.kind <> ALL (shut) AND partners_may_go(s, domains) ORDER BY 1 LIMIT 1;
    IF EXISTS (SELECT FROM partners_step WHERE state = 'waiting') THEN
        soonest := least(soonest, (SELECT min(until) FROM partners_shut), clock_timestamp() + interval '1 day');
    END IF;
    RETURN extract(epoch FROM soonest - clock_timestamp());
END
$$;
"""
FORGET = """
DROP FUNCTION partners_seconds_to_next(text[], text[]);
DROP FUNCTION partners_take(uuid, text[], text[], interval);
DROP FUNCTION partners_may_go(partners_step, text[]);
DROP FUNCTION partners_shut_kinds(text[], text[]);
DROP VIEW partners_shut;
DROP FUNCTION partners_enter(text[], text[], int[], int[], float8[], float8);
DROP FUNCTION partners_room_at(int[], bigint, float8, int, int);
"""

# Looking somebody up became a part of inviting them, and waiting for the directory a part of adding to the group.
HAND_OVER = """
UPDATE partners_step n SET state = w.state, due_at = w.due_at, last_code = CASE w.state WHEN 'parked' THEN w.last_code ELSE '' END
FROM partners_step w
WHERE w.kind IN ('look_up', 'await_visible') AND w.state IN ('waiting', 'parked')
  AND n.job_id = w.job_id AND n.position = w.position + 1;
DELETE FROM partners_step WHERE kind IN ('look_up', 'await_visible');
"""


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0002_incident'),
    ]

    operations = [
        migrations.CreateModel(
            name='Gate',
            fields=[
                ('name', models.CharField(max_length=300, primary_key=True, serialize=False)),
                ('code', models.CharField(blank=True, max_length=60)),
                ('failures', models.PositiveIntegerField(default=0)),
                ('probes', models.PositiveSmallIntegerField(default=0)),
                ('shut_at', models.DateTimeField(null=True)),
                ('probe_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Lane',
            fields=[
                ('name', models.CharField(max_length=30, primary_key=True, serialize=False)),
                ('slice_seconds', models.FloatField()),
                ('used', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('newest', models.BigIntegerField()),
                ('opens_at', models.DateTimeField(null=True)),
                ('closed_until', models.DateTimeField(null=True)),
                ('strikes', models.PositiveSmallIntegerField(default=0)),
                ('slowed_by', models.FloatField(default=1)),
                ('slowed_until', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='DirectoryLag',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('seconds', models.FloatField()),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='one_lag')],
            },
        ),
        migrations.AlterField(
            model_name='step',
            name='kind',
            field=models.CharField(choices=[('invite', 'Looked in our directory and made the invitation, without sending it'), ('join_group', 'Added to the access group'), ('verify', 'Checked all of it once more'), ('mail', 'Wrote to the person. The mail goes last')], max_length=20),
        ),
        migrations.RunSQL("ALTER TABLE partners_lane SET (fillfactor = 50)", migrations.RunSQL.noop),
        migrations.RunSQL(ENTER + TAKE, FORGET),
        migrations.RunSQL(HAND_OVER, migrations.RunSQL.noop),
    ]
