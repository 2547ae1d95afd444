"""What each new database connection must prove or gets installed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper

from clinicportal.viewing import refuse_without_viewer


def on_connect(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Web never runs as a role that row-level security does not bind, and never reads clinical rows unviewed."""
    if settings.PROCESS != "web" or connection.alias != "default":
        return
    refuse_powerful_role(connection)
    if refuse_without_viewer not in connection.execute_wrappers:
        connection.execute_wrappers.append(refuse_without_viewer)


def refuse_powerful_role(connection: BaseDatabaseWrapper) -> None:
    """Raise when the role is superuser, may bypass row security, or owns clinical tables."""
    with connection.connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT r.rolsuper OR r.rolbypassrls OR EXISTS (
                SELECT 1 FROM pg_class c
                WHERE c.relname = 'records_patient' AND pg_has_role(r.oid, c.relowner, 'USAGE'))
            FROM pg_roles r WHERE r.rolname = current_user
            """
        )
        powerful = cursor.fetchone()[0]
    if powerful:
        connection.close()
        raise ImproperlyConfigured(
            "DATABASE_URL is a superuser, the owner or has BYPASSRLS: row-level security would not hold. "
            "Use the web role that `manage.py roles` makes."
        )
