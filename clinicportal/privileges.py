"""Which database role may do what with which table: each app declares its tables, one place applies them.

Deny by default: a table that no app declares is unreachable for every role but the owner, and a test
says so. Run after each migration (apps.py), as the owner.
"""

from __future__ import annotations

from django.apps import apps
from django.db import connection

ROLES = ("clinicportal_web", "clinicportal_worker", "clinicportal_auditor")

READ = "SELECT"
KEEP = "SELECT, INSERT"
WRITE = "SELECT, INSERT, UPDATE"
FULL = "SELECT, INSERT, UPDATE, DELETE"
APPEND = "INSERT"
NOTHING = ""


def declared() -> dict[str, tuple[str, str, str]]:
    """Table name -> privileges of (web, worker, auditor), from each app's `privileges`."""
    tables: dict[str, tuple[str, str, str]] = {}
    for config in apps.get_app_configs():
        tables.update(getattr(config, "privileges", {}))
    return tables


def apply() -> None:
    """Grant exactly what is declared. Idempotent."""
    existing = set(connection.introspection.table_names(include_views=True))
    with connection.cursor() as cursor:
        cursor.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        cursor.execute(f"GRANT USAGE ON SCHEMA public TO {', '.join(ROLES)}")
        cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {', '.join(ROLES[:2])}")
        for table, privileges in declared().items():
            if table not in existing:
                continue
            cursor.execute(f'REVOKE ALL ON "{table}" FROM PUBLIC, {", ".join(ROLES)}')
            for role, privilege in zip(ROLES, privileges, strict=True):
                if privilege:
                    cursor.execute(f'GRANT {privilege} ON "{table}" TO {role}')
