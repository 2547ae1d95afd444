#!/usr/bin/env python
"""Django's commands, each as the database role it needs, with the servers joined or started."""

import os
import subprocess
import sys

# The role that a command connects as; web, the one with the fewest rights, is the rule.
PROCESSES = {
    "migrate": "owner",
    "roles": "owner",
    "collectstatic": "owner",
    "makemigrations": "owner",
    "showmigrations": "owner",
    "sqlmigrate": "owner",
    "dbshell": "owner",
    "import_fhir": "worker",
    "rejections": "worker",
    "relabel": "worker",
    "demo": "worker",
    "entra": "worker",
    "rotate_keys": "worker",
    "audit_verify": "auditor",
}
WITHOUT_DATABASE = {
    "help", "version", "check", "roles", "collectstatic", "findstatic", "makemessages", "compilemessages",
    "startapp", "diffsettings", "sendtestemail",
}  # fmt: skip


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinicportal.settings")
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "help")
    os.environ.setdefault("CLINICPORTAL_PROCESS", PROCESSES.get(command, "web"))
    if needs_servers(command, sys.argv):
        from clinicportal import embedded

        try:
            addresses = embedded.ensure()
        except embedded.CannotRunServers as sentence:
            sys.exit(str(sentence))
        if PROCESSES.get(command, "owner") != "owner" and addresses.database_owner_url:
            make_tables_if_none(addresses.database_owner_url)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


def make_tables_if_none(owner_url: str) -> None:
    """Bring a database up to date that no portal has used yet: commands work by themselves, too."""
    import psycopg

    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT to_regclass('django_migrations')").fetchone()
    if row is None or row[0] is None:
        print("The database is new: making its tables ...", flush=True)
        command = [sys.executable, __file__, "migrate", "--no-input", "-v0"]
        subprocess.run(command, env={**os.environ, "CLINICPORTAL_PROCESS": "owner"}, check=True)  # noqa: S603 - ours


def needs_servers(command: str, arguments: list[str]) -> bool:
    if os.environ.get("CLINICPORTAL_MODE") == "production" or {"-h", "--help", "--version"} & set(arguments):
        return False
    return command not in WITHOUT_DATABASE or "--database" in arguments


if __name__ == "__main__":
    main()
