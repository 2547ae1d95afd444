"""The real database for every test, and the cast.

Tests connect as the web role, like the portal, and commit, like the portal. Before each test that asks
for `db` the database is a fresh clone of a migrated template. What web may not write (patients,
records) the factories write through the worker's role.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connections, router
from psycopg import sql

ROOT = Path(__file__).parent.parent


def with_name(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def urls() -> dict[str, str]:
    """Address of each role at the test cluster: the one that is given, else the embedded one, started if need be."""
    if not os.environ.get("DATABASE_URL"):
        from clinicportal import embedded

        embedded.ensure()
    return settings.URLS


def migrations_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(ROOT.glob("*/migrations/*.py")):
        digest.update(path.read_bytes())
    for name in ("privileges", "partitions", "apps"):
        digest.update((ROOT / "clinicportal" / f"{name}.py").read_bytes())
    digest.update((ROOT / "records/apps.py").read_bytes() + (ROOT / "partners/apps.py").read_bytes())
    return digest.hexdigest()[:12]


@pytest.fixture(scope="session")
def template(urls: dict[str, str]) -> str:
    """A migrated, empty database to clone; kept until a migration changes."""
    name = f"template_{migrations_digest()}"
    with psycopg.connect(urls["owner"], autocommit=True) as owner:
        owner.execute("SET lock_timeout = 0")  # the role's is shorter than a busy machine takes to migrate
        owner.execute("SELECT pg_advisory_lock(4711)")  # one of several test processes makes it
        if not owner.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            draft = f"{name}_draft"
            owner.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(draft)))
            owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(draft)))
            environment = {
                **os.environ,
                "DATABASE_URL": with_name(urls["web"], draft),
                "DATABASE_OWNER_URL": with_name(urls["owner"], draft),
                "REDIS_URL": urls["redis"],
                "CLINICPORTAL_PROCESS": "owner",
            }
            subprocess.run(
                [sys.executable, "manage.py", "migrate", "-v0", "--skip-checks"], cwd=ROOT, env=environment, check=True
            )
            owner.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(draft), sql.Identifier(name)))
        owner.execute("SELECT pg_advisory_unlock(4711)")
    return name


@pytest.fixture(autouse=True, scope="session")
def no_broker() -> None:
    """A nudge of a test reaches nobody: the work is rows, and a worker of `make run` must not be rung for it."""
    from clinicportal.celery import app

    app.conf.broker_url = "redis://127.0.0.1:1/0"


class Clones:
    """Hands out clones of the template. The next one is made while the test at hand runs."""

    def __init__(self, urls: dict[str, str], template: str) -> None:
        self.urls, self.template = urls, template
        self.prefix = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'one')}_{os.getpid()}"
        self.owner = psycopg.connect(urls["owner"], autocommit=True)
        self.numbers = itertools.count()
        self.maker = ThreadPoolExecutor(max_workers=1)
        self.next = self.maker.submit(self.make)

    def make(self) -> str:
        name = f"{self.prefix}_{next(self.numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self.owner.execute(statement.format(sql.Identifier(name), sql.Identifier(self.template)))
        return name

    def take(self) -> str:
        name = self.next.result()
        self.next = self.maker.submit(self.make)
        return name

    def drop(self, name: str) -> None:
        self.maker.submit(self.owner.execute, sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))

    def close(self) -> None:
        self.drop(self.next.result())
        self.maker.shutdown()
        self.owner.close()


class OneDatabase:
    """The aliases are roles at one database: rows may point at each other whoever wrote them."""

    def allow_relation(self, *_: object) -> bool:
        return True


@pytest.fixture(scope="session")
def clones(urls: dict[str, str], template: str) -> Iterator[Clones]:
    clones = Clones(urls, template)
    router.routers.append(OneDatabase())

    yield clones
    clones.close()


def point_at(name: str, urls: dict[str, str]) -> None:
    """Make every alias a role at the database `name`."""
    from clinicportal.settings import database

    for alias, role in (("default", "web"), ("auditor", "auditor"), ("worker", "worker"), ("owner", "owner")):
        connections.databases[alias] = {**database(with_name(urls[role], name)), "CONN_MAX_AGE": 0}
        connections.configure_settings(connections.databases)
        if hasattr(connections._connections, alias):
            delattr(connections._connections, alias)


@pytest.fixture
def db(clones: Clones, django_db_blocker: Any) -> Iterator[None]:
    """A fresh database. `connections["default"]` is the web role; "worker", "auditor" and "owner" are the others."""
    name = clones.take()
    point_at(name, clones.urls)
    with django_db_blocker.unblock():
        yield
        connections.close_all()
    clones.drop(name)


pytest_plugins = ["tests.cast"]
