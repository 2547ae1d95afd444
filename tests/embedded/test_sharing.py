"""Commands join or start the servers, and the last one stops them."""

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from kombu import Connection

from clinicportal.embedded.locks import Lock
from tests.embedded.conftest import Process, data_folder, environment_for, eventually, nothing_runs

pytestmark = pytest.mark.xdist_group("sharing")  # some share their servers
# Prints where the servers answer, then uses them until its standard input ends.
USER = "import json, sys; from dataclasses import asdict; from clinicportal import embedded; \
print(json.dumps(asdict(embedded.ensure()))); sys.stdin.read()"


def addresses(process) -> dict[str, str]:
    assert process.says("}"), process.output
    return json.loads(process.output)


def finish(process) -> None:
    process.stdin.close()
    process.wait(10)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Iterator[dict[str, str]]:
    """One set of servers for the tests that only look."""
    with data_folder() as data:
        user = Process(["-c", USER], environment_for(data), tmp_path_factory.mktemp("found") / "log")
        yield addresses(user)
        user.kill()
        user.wait()


def test_each_role_has_its_own_password_and_no_more_than_it_needs(found):
    rights = {}
    for kind in ("", "owner_", "worker_", "auditor_"):
        with psycopg.connect(found[f"database_{kind}url"]) as connection:
            row = connection.execute(
                "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, current_setting('search_path') "
                "FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
            assert row is not None
            rights[row[0]] = row[1:]
    path = "public, pg_temp"
    assert rights == {
        "clinicportal_web": (False, False, False, False, path),
        "clinicportal_owner": (False, False, False, True, path),  # CREATEDB: tests clone templates
        "clinicportal_worker": (False, False, False, False, path),
        "clinicportal_auditor": (False, False, False, False, path),
    }
    passwords = [psycopg.conninfo.conninfo_to_dict(found[f"database_{kind}url"])["password"] for kind in ("", "owner_")]
    assert len(set(passwords)) == 2


def test_a_wrong_password_is_refused_by_both_servers(found):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(found["database_url"], password="wrong")
    host = psycopg.conninfo.conninfo_to_dict(found["database_url"])["host"]
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(f"postgresql://postgres@/postgres?host={host}")
    socket_path = f"{Path(host).parent}/valkey/valkey.sock"
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(unix_socket_path=socket_path, password="wrong").ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(unix_socket_path=socket_path).ping()


def test_passwords_are_stored_as_scram_and_pages_have_checksums(found):
    with psycopg.connect(found["database_url"]) as connection:
        settings = dict(
            connection.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN "
                "('data_checksums', 'password_encryption', 'listen_addresses', 'statement_timeout', 'lock_timeout')"
            ).fetchall()
        )
        collation = connection.execute(
            "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert settings == {
        "data_checksums": "on",
        "password_encryption": "scram-sha-256",
        "listen_addresses": "",
        "statement_timeout": "5000",
        "lock_timeout": "2000",
    }
    assert collation == ("b", "C.UTF-8")


def test_celery_and_the_cache_reach_valkey_with_its_password_in_different_databases(found):
    with Connection(found["redis_url"]) as broker:
        queue = broker.SimpleQueue("q")
        queue.put("x")
        assert queue.get(timeout=5).payload == "x"
        queue.close()
    cache = redis.Redis.from_url(found["cache_url"])
    assert cache.config_get("appendonly") == {"appendonly": "yes"}
    assert cache.keys() == []  # the broker's bindings are in the other database


def test_what_holds_passwords_is_closed_to_others(found):
    data = Path(psycopg.conninfo.conninfo_to_dict(found["database_url"])["host"]).parents[1]
    for private in ("run/secrets.json", "run/services.json", "valkey/valkey.conf", "postgres", "run/postgres", "logs"):
        assert stat.S_IMODE((data / private).stat().st_mode) & 0o077 == 0, private


def test_several_commands_at_once_share_one_set_of_servers(run, data: Path):
    users = [run("-c", USER) for _ in range(5)]
    found = [addresses(user) for user in users]
    assert all(one == found[0] for one in found)
    with psycopg.connect(found[0]["database_owner_url"]) as connection:
        started = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    for user in users[:4]:
        finish(user)
    with psycopg.connect(found[0]["database_owner_url"]) as connection:
        assert connection.execute("SELECT pg_postmaster_start_time()").fetchone() == started
    finish(users[4])
    assert eventually(lambda: nothing_runs(data))


def test_the_servers_outlive_the_command_that_started_them_as_long_as_another_uses_them(run, data: Path):
    first = run("-c", USER)
    addresses(first)
    second = run("-c", USER)
    found = addresses(second)
    finish(first)
    with psycopg.connect(found["database_url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_killing_the_last_user_leaves_no_server(run, data: Path):
    user = run("-c", USER)
    addresses(user)
    user.kill()
    assert eventually(lambda: nothing_runs(data))


def test_killing_the_holder_leaves_no_server_and_the_next_command_starts_anew(run, data: Path):
    addresses(run("-c", USER))
    os.kill(json.loads((data / "run/services.json").read_text())["pid"], signal.SIGKILL)
    assert eventually(lambda: not Lock(data / "run/postgres.lock").held_by_anyone)
    assert eventually(lambda: not Lock(data / "run/valkey.lock").held_by_anyone)
    with psycopg.connect(addresses(run("-c", USER))["database_url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_was_killed_is_started_again(run, data: Path):
    found = addresses(run("-c", USER))
    os.kill(int((data / "run/postgres.lock").read_text()), signal.SIGKILL)

    def answers() -> bool:
        try:
            return psycopg.connect(found["database_url"]).execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    assert eventually(lambda: not answers())
    assert eventually(answers)


def test_data_survive_and_a_lost_secrets_file_is_made_anew(run, data: Path):
    first = run("-c", USER)
    with psycopg.connect(addresses(first)["database_owner_url"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    finish(first)
    assert eventually(lambda: nothing_runs(data))
    (data / "run/secrets.json").unlink()
    with psycopg.connect(addresses(run("-c", USER))["database_owner_url"]) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_cluster_that_was_interrupted_half_way_is_made_again(run, data: Path):
    (data / "postgres.new").mkdir()
    (data / "postgres.new" / "PG_VERSION").write_text("18\n")
    assert addresses(run("-c", USER))["database_url"]


def test_a_folder_too_deep_for_a_socket_gets_a_short_private_one(run, data: Path):
    deep = data / ("d" * 60) / ("e" * 60)
    found = addresses(run("-c", USER, CLINICPORTAL_DATA_DIR=str(deep)))
    sockets = Path(psycopg.conninfo.conninfo_to_dict(found["database_url"])["host"])
    assert not sockets.is_relative_to(data)
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert redis.Redis.from_url(found["cache_url"]).ping()
    # The last user goes, so that the folder's own check sees an end.
    os.kill(json.loads((deep / "run/services.json").read_text())["pid"], signal.SIGTERM)
    assert eventually(lambda: not sockets.exists())


def test_servers_that_are_named_are_not_started(run, data: Path):
    user = run("-c", USER, DATABASE_URL="postgresql://a@b/c", REDIS_URL="redis://d/0")
    found = addresses(user)
    assert (found["database_url"], found["redis_url"], found["cache_url"]) == (
        "postgresql://a@b/c",
        "redis://d/0",
        "redis://d/0",
    )
    assert not (data / "run").exists()


def test_a_port_can_be_asked_for(run, environment):
    port = environment["PORT"]
    found = addresses(run("-c", USER, CLINICPORTAL_POSTGRES_PORT=port))
    assert f"@127.0.0.1:{port}/" in found["database_url"]
    with psycopg.connect(found["database_url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_port_that_is_taken_is_said_and_nothing_is_left(run, environment, data: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        user = run("-c", USER, CLINICPORTAL_POSTGRES_PORT=str(taken.getsockname()[1]))
        assert user.wait(30) == 1
    assert "postgres did not start" in user.output
    assert eventually(lambda: nothing_runs(data))
