"""The database roles, in SQL: who owns the tables, who may write, who may only look.

| Role | For | May |
| --- | --- | --- |
| clinicportal_owner | migrations | everything inside the database; bound by row-level security where it is forced |
| clinicportal_web | requests of people and their software | what each app declares for its tables |
| clinicportal_worker | jobs and imports | the same, with more time |
| clinicportal_auditor | the audit pages and `audit_verify` | the same |
| clinicportal_backup | pg_dump | read all, past row-level security; write nothing |

Nothing here connects. `manage.py roles` runs the statements or prints them for a managed cluster, and the
embedded server runs them at each start; all of them may be repeated.
"""

from collections.abc import Mapping

DATABASE = "clinicportal"
PREFIX = "clinicportal_"
KINDS = ("owner", "web", "worker", "auditor", "backup")

# Milliseconds would be the unit without one. pg_temp is named last: unnamed, it would be searched first, and a
# temporary table could stand in for a real one.
SETTINGS = {
    "owner": {"lock_timeout": "10s"},
    "web": {"statement_timeout": "5s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "15s"},
    "worker": {"statement_timeout": "60s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "15s"},
    "auditor": {"statement_timeout": "60s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "15s"},
    "backup": {"default_transaction_read_only": "on"},
}
SEARCH_PATH = "public, pg_temp"


def role(kind: str) -> str:
    """Return the role's name: `web` is `clinicportal_web`."""
    if kind not in KINDS:
        raise ValueError(kind)
    return PREFIX + kind


def literal(text: str) -> str:
    """Quote a string for SQL (standard_conforming_strings is on, as it is by default)."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def role_statements(
    passwords: Mapping[str, str], *, create_databases: bool = False, as_superuser: bool = True
) -> list[str]:
    """Return the SQL that makes the roles, or brings existing ones into line.

    `passwords` maps a kind (`web`) to an SQL expression, already quoted: a literal, a SCRAM verifier or a psql
    variable; a kind left out keeps the password it has. `create_databases` lets the owner clone templates for
    tests, which no production owner needs. Only a superuser may take attributes away; the administrator of a
    managed cluster isn't one, and new roles have none.
    """
    statements = [_create(kind) for kind in KINDS]
    for kind in KINDS:
        attributes = ["LOGIN"]
        if as_superuser:
            attributes += ["NOSUPERUSER", "NOCREATEROLE", "NOREPLICATION"]
            attributes.append("CREATEDB" if create_databases and kind == "owner" else "NOCREATEDB")
        if kind == "backup" or as_superuser:
            attributes.append("BYPASSRLS" if kind == "backup" else "NOBYPASSRLS")
        if kind in passwords:
            attributes.append(f"PASSWORD {passwords[kind]}")
        settings = {"search_path": SEARCH_PATH} | {name: literal(value) for name, value in SETTINGS[kind].items()}
        statements.append(f"ALTER ROLE {role(kind)} {' '.join(attributes)}")
        statements += [f"ALTER ROLE {role(kind)} SET {name} = {value}" for name, value in settings.items()]
    statements.append(f"GRANT pg_read_all_data TO {role('backup')}")
    return statements


def _create(kind: str) -> str:
    # PostgreSQL has no CREATE ROLE IF NOT EXISTS; two starts at once must not fail either.
    return (
        f"DO $$ BEGIN CREATE ROLE {role(kind)}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )


def database_exists(database: str = DATABASE) -> str:
    return f"SELECT 1 FROM pg_database WHERE datname = {literal(database)}"  # noqa: S608


def create_database(database: str = DATABASE) -> str:
    """Return the SQL that makes the database. It can't run in a transaction, nor be repeated."""
    return f"CREATE DATABASE {identifier(database)} OWNER {role('owner')} TEMPLATE template0 ENCODING 'UTF8'"


def database_statements(database: str = DATABASE) -> list[str]:
    """Return the SQL that says who may enter the database. Needs its owner or a superuser."""
    others = ", ".join(role(kind) for kind in ("web", "worker", "auditor", "backup"))
    database = identifier(database)
    return [
        f"ALTER DATABASE {database} OWNER TO {role('owner')}",
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {database} TO {others}",
        f"GRANT TEMPORARY ON DATABASE {database} TO {role('worker')}",  # the importer's staging tables
    ]


def schema_statements() -> list[str]:
    """Return the SQL to run *inside* the database. Needs its owner.

    What a role may do with a table is said beside the table, by the apps, and applied after each migration
    (clinicportal/privileges.py): until then nobody but the owner and the backup can read it.
    """
    others = ", ".join(role(kind) for kind in ("web", "worker", "auditor", "backup"))
    return ["REVOKE ALL ON SCHEMA public FROM PUBLIC", f"GRANT USAGE ON SCHEMA public TO {others}"]


def script(database: str = DATABASE) -> str:
    """Return all of it for psql, with passwords as variables, for a cluster whose superuser we are not given."""
    passwords = {kind: f":'{kind}_password'" for kind in KINDS}
    lines = [
        "-- psql -v ON_ERROR_STOP=1 " + " ".join(f"-v {kind}_password=..." for kind in KINDS) + " -f roles.sql",
        *(f"{line};" for line in role_statements(passwords, as_superuser=False)),
        "-- PostgreSQL 16 and newer: a CREATEROLE administrator must be a member to give the database away.",
        f"GRANT {role('owner')} TO CURRENT_USER;",
        f"SELECT {literal(create_database(database))} WHERE NOT EXISTS ({database_exists(database)}) \\gexec",
        *(f"{line};" for line in database_statements(database)),
        f"\\connect {identifier(database)}",
        *(f"{line};" for line in schema_statements()),
    ]
    return "\n".join(lines) + "\n"
