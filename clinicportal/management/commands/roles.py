"""`manage.py roles`: makes the database and its roles, or prints the SQL for a managed cluster."""

import os
from argparse import ArgumentParser
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from django.core.management.base import BaseCommand, CommandError

from clinicportal import roles

VARIABLES = {
    "owner": "DATABASE_OWNER_URL",
    "web": "DATABASE_URL",
    "worker": "DATABASE_WORKER_URL",
    "auditor": "DATABASE_AUDITOR_URL",
    "backup": "DATABASE_BACKUP_URL",
}


class Command(BaseCommand):
    """Brings roles and privileges into line with the addresses in the environment; may be repeated."""

    help = (
        "Make the database and its roles with the passwords in DATABASE_URL, DATABASE_OWNER_URL, DATABASE_WORKER_URL, "
        "DATABASE_AUDITOR_URL and DATABASE_BACKUP_URL, connecting as DATABASE_SUPERUSER_URL; or print the SQL."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--print", action="store_true", help="print a psql script and connect to nothing")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["print"]:
            self.stdout.write(roles.script())
            return
        address = os.environ.get("DATABASE_SUPERUSER_URL")
        if not address:
            raise CommandError(
                "Set DATABASE_SUPERUSER_URL to the address of a superuser, for this command only; or use --print."
            )
        database, passwords = read_addresses()
        self.apply(address, database, passwords)
        self.stdout.write(f"The database {database} and its roles are in order.")
        for kind in sorted(roles.KINDS - passwords.keys()):
            self.stdout.write(f"{roles.role(kind)} keeps the password it has, if any: {VARIABLES[kind]} is not set.")

    def apply(self, address: str, database: str, passwords: dict[str, str]) -> None:
        try:
            with psycopg.connect(address, autocommit=True) as superuser:
                verifiers = {kind: verifier(superuser, kind, password) for kind, password in passwords.items()}
                run(superuser, roles.role_statements(verifiers))
                if superuser.execute(roles.database_exists(database).encode()).fetchone() is None:
                    run(superuser, [roles.create_database(database)])
                run(superuser, roles.database_statements(database))
            with psycopg.connect(address, dbname=database, autocommit=True) as superuser:
                run(superuser, roles.schema_statements())
        except psycopg.Error as error:
            raise CommandError(f"PostgreSQL refused: {error}") from error


def read_addresses() -> tuple[str, dict[str, str]]:
    """Return the database's name and the password of each role that the environment names."""
    names, passwords = set(), {}
    for kind, variable in VARIABLES.items():
        if not (address := os.environ.get(variable)):
            continue
        parts = urlsplit(address)
        if unquote(parts.username or "") != roles.role(kind):
            raise CommandError(f"Set the user in {variable} to {roles.role(kind)}: privileges are given to that name.")
        if not parts.password:
            raise CommandError(f"Put a password into {variable}: the role is made with it.")
        names.add(unquote(parts.path.lstrip("/")))
        passwords[kind] = unquote(parts.password)
    if len(names) > 1:
        raise CommandError(f"The addresses name different databases ({', '.join(sorted(names))}): there is one.")
    return next(iter(names), roles.DATABASE), passwords


def verifier(connection: psycopg.Connection, kind: str, password: str) -> str:
    """Return the password as the server stores it, so that it crosses neither the wire nor a log."""
    user = roles.role(kind).encode()
    return roles.literal(connection.pgconn.encrypt_password(password.encode(), user, b"scram-sha-256").decode())


def run(connection: psycopg.Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.execute(statement.encode())
