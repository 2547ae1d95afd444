"""The SQL of the roles, run as a superuser and as the administrator of a managed cluster."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from clinicportal import roles
from clinicportal.embedded import binaries, secrets
from tests.embedded.conftest import ROOT, Process, data_folder, environment_for, eventually

pytestmark = pytest.mark.xdist_group("roles")  # they share a server
PASSWORDS = {kind: f"it's {kind}" for kind in roles.KINDS}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Path]:
    """A server that is ours to spoil; its socket folder."""
    with data_folder() as data:
        code = "from clinicportal import embedded; embedded.ensure(); print('up', flush=True); input()"
        user = Process(["-c", code], environment_for(data), tmp_path_factory.mktemp("roles") / "log")
        assert user.says("up"), user.output
        yield data / "run/postgres"
        user.kill()
        user.wait()


@pytest.fixture
def superuser(cluster: Path) -> Iterator[psycopg.Connection]:
    password = secrets.load(cluster.parent / "secrets.json")["postgres"]
    with psycopg.connect(host=str(cluster), user="postgres", password=password, autocommit=True) as connection:
        yield connection
        connection.execute("DROP DATABASE IF EXISTS other")


def test_a_row_that_breaks_a_constraint_is_not_quoted_in_the_log(superuser, cluster: Path):
    superuser.execute("CREATE TEMPORARY TABLE person (address text UNIQUE)")
    superuser.execute("INSERT INTO person VALUES ('nurse@northfield.example')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        superuser.execute("INSERT INTO person VALUES ('nurse@northfield.example')")
    log = cluster.parents[1] / "logs/postgres.log"
    assert eventually(lambda: "duplicate key value" in log.read_text())
    assert "nurse@northfield" not in log.read_text()


def connect(cluster: Path, kind: str, database: str) -> psycopg.Connection:
    return psycopg.connect(host=str(cluster), user=roles.role(kind), password=PASSWORDS[kind], dbname=database)


def check_privileges(cluster: Path, database: str) -> None:
    """The owner makes a walled table; web may not touch it until told; backup reads it all; nobody else enters."""
    with connect(cluster, "owner", database) as owner:
        owner.execute("CREATE TABLE walled AS SELECT 1 AS one")
        owner.execute("ALTER TABLE walled ENABLE ROW LEVEL SECURITY")
        owner.execute("ALTER TABLE walled FORCE ROW LEVEL SECURITY")
        assert owner.execute("SELECT * FROM walled").fetchall() == []
    with connect(cluster, "backup", database) as backup:
        assert backup.execute("SELECT * FROM walled").fetchall() == [(1,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            backup.execute("DELETE FROM walled")
    for kind in ("web", "worker", "auditor"):
        with connect(cluster, kind, database) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM walled")
            connection.rollback()
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("CREATE TABLE mine (a int)")


def test_the_script_for_a_managed_cluster_works_without_a_superuser(cluster: Path, superuser, tmp_path: Path):
    superuser.execute("CREATE ROLE managed LOGIN CREATEROLE CREATEDB BYPASSRLS PASSWORD 'm'")
    superuser.execute("GRANT pg_read_all_data TO managed WITH ADMIN OPTION")
    superuser.execute("DROP DATABASE clinicportal")
    for kind in roles.KINDS:
        superuser.execute(f"DROP OWNED BY {roles.role(kind)}")
        superuser.execute(f"DROP ROLE {roles.role(kind)}")
    script = tmp_path / "roles.sql"
    script.write_text(roles.script("other"))
    command = [
        str(binaries.postgres("psql")),
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        str(script),
        "-h",
        str(cluster),
    ]
    command += [part for kind, text in PASSWORDS.items() for part in ("-v", f"{kind}_password={text}")]
    for _ in range(2):  # it may be repeated
        done = subprocess.run(
            [*command, "-U", "managed", "postgres"],
            env={**os.environ, "PGPASSWORD": "m"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    check_privileges(cluster, "other")


def test_the_command_makes_everything_from_the_addresses(cluster: Path, superuser):
    password = secrets.load(cluster.parent / "secrets.json")["postgres"]
    base = f"host={cluster}"
    env = {
        **os.environ,
        "DATABASE_SUPERUSER_URL": f"postgresql://postgres:{password}@/postgres?{base}",
        "DATABASE_OWNER_URL": f"postgresql://clinicportal_owner:it%27s owner@/other?{base}",
        "DATABASE_URL": f"postgresql://clinicportal_web:it%27s web@/other?{base}",
        "DATABASE_WORKER_URL": f"postgresql://clinicportal_worker:it%27s worker@/other?{base}",
        "DATABASE_AUDITOR_URL": f"postgresql://clinicportal_auditor:it%27s auditor@/other?{base}",
        "DATABASE_BACKUP_URL": f"postgresql://clinicportal_backup:it%27s backup@/other?{base}",
        "REDIS_URL": "redis://localhost/0",
    }
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "manage.py", "roles"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "The database other and its roles are in order." in done.stdout
    check_privileges(cluster, "other")
    rights = superuser.execute(
        "SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication, rolbypassrls FROM pg_roles "
        "WHERE rolname LIKE 'clinicportal%' ORDER BY 1"
    ).fetchall()
    assert rights == [(roles.role(kind), False, kind == "backup") for kind in sorted(roles.KINDS)]


def test_a_role_of_another_name_is_refused_with_a_sentence(cluster: Path):
    env = {
        **os.environ,
        "DATABASE_SUPERUSER_URL": "postgresql://x@y/z",
        "DATABASE_URL": "postgresql://webuser:pw@localhost/other",
        "REDIS_URL": "redis://localhost/0",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "roles"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Set the user in DATABASE_URL to clinicportal_web" in done.stderr
