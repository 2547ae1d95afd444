"""Monthly partitions of the audit tables, made ahead of time by the owner."""

from __future__ import annotations

from django.db import connection

MONTHS_AHEAD = 6

_MAKE = """
DO $$
DECLARE
    month date;
    parent text;
    part text;
    late boolean;
BEGIN
    IF to_regclass('clinicportal_auditevent') IS NULL THEN RETURN; END IF;
    FOR month IN SELECT generate_series(date_trunc('month', now()), date_trunc('month', now()) + interval '%s months', '1 month')::date LOOP
        FOREACH parent IN ARRAY ARRAY['clinicportal_auditevent', 'clinicportal_auditsubject'] LOOP
            part := parent || to_char(month, '_YYYY_MM');
            IF to_regclass(part) IS NULL THEN
                -- Rows that came while this month had no partition are in the default one, append-only like all.
                EXECUTE format('SELECT EXISTS (SELECT 1 FROM %%I WHERE recorded >= %%L AND recorded < %%L)',
                    parent || '_default', month::timestamp AT TIME ZONE 'UTC',
                    (month + interval '1 month') AT TIME ZONE 'UTC') INTO late;
                CONTINUE WHEN late;
                EXECUTE format('CREATE TABLE %%I PARTITION OF %%I FOR VALUES FROM (%%L) TO (%%L)',
                    part, parent, month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
                EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %%I EXECUTE FUNCTION clinicportal_append_only()', part);
            END IF;
        END LOOP;
    END LOOP;
END $$;
"""  # noqa: E501
STATEMENT = _MAKE % MONTHS_AHEAD


def ensure() -> None:
    """Make what is missing half a year ahead. Later events land in the default partition: none is lost."""
    with connection.cursor() as cursor:
        cursor.execute(STATEMENT)
