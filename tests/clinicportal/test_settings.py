"""Production starts with safe values or not at all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from clinicportal.settings import BASE_DIR, Environment, database, refuse_unsafe

SAFE = {
    "clinicportal_mode": "production",
    "clinicportal_secret_key": "a-long-and-random-looking-key-0123456789-abcdefghij",
    "clinicportal_proxies": "1",
    "clinicportal_encryption_keys": "ZGV2ZWxvcG1lbnQtb25seS1ub3QtYS1zZWNyZXQtISE=",
    "clinicportal_base_url": "https://portal.hospital.example",
    "database_url": "postgresql://web@db/clinicportal",
    "database_worker_url": "postgresql://worker@db/clinicportal",
    "database_auditor_url": "postgresql://auditor@db/clinicportal",
    "redis_url": "rediss://broker/0",
    "clinicportal_smtp_url": "smtps://user:secret@mail",
    "clinicportal_operations_mail": "operators@hospital.example",
    "entra_tenant_id": "c0ffee00-0000-4000-8000-000000000000",
    "entra_client_id": "client",
    "entra_client_secret": "secret",
    "entra_group_id": "group",
}

WORKER = {"clinicportal_process": "worker", "entra_graph_client_id": "g", "entra_graph_client_secret": "s"}


def problems(**changes: str) -> list[str]:
    return refuse_unsafe(Environment(**{**SAFE, **changes}))


def test_safe_values_are_accepted():
    assert problems() == []
    assert problems(**WORKER, entra_client_secret="", database_url="", database_auditor_url="") == []


def test_the_worker_needs_its_own_address():
    (sentence,) = problems(**WORKER, database_worker_url="")
    assert "DATABASE_WORKER_URL" in sentence


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"clinicportal_secret_key": "short"}, "CLINICPORTAL_SECRET_KEY"),
        ({"clinicportal_encryption_keys": ""}, "CLINICPORTAL_ENCRYPTION_KEYS"),
        ({"clinicportal_base_url": "http://portal.hospital.example"}, "CLINICPORTAL_BASE_URL"),
        ({"database_url": ""}, "DATABASE_URL"),
        ({"clinicportal_proxies": "0"}, "CLINICPORTAL_PROXIES"),
        ({"redis_url": "redis+socket:///run/valkey"}, "REDIS_URL"),
        ({"database_auditor_url": ""}, "DATABASE_AUDITOR_URL"),
        ({"redis_url": ""}, "REDIS_URL"),
        ({"clinicportal_smtp_url": "smtp://mail"}, "CLINICPORTAL_SMTP_URL"),
        ({"entra_tenant_id": ""}, "ENTRA_TENANT_ID"),
        ({"entra_tenant_id": "common"}, "ENTRA_TENANT_ID"),
        ({"entra_client_secret": ""}, "ENTRA_CLIENT_SECRET"),
        ({"entra_graph_client_secret": "s"}, "ENTRA_GRAPH_CLIENT_SECRET"),
        ({"clinicportal_process": "worker"}, "ENTRA_GRAPH_CLIENT_ID"),
        ({**WORKER, "clinicportal_operations_mail": ""}, "CLINICPORTAL_OPERATIONS_MAIL"),
    ],
)
def test_an_unsafe_value_is_refused_with_a_sentence_that_names_it(change, names):
    (sentence,) = problems(**change)
    assert names in sentence
    assert sentence.endswith(".")


def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ENTRA_", "CLINICPORTAL_"))
    }
    environment |= {name.upper(): value for name, value in changes.items()}
    return subprocess.run([sys.executable, *arguments], cwd=BASE_DIR, env=environment, capture_output=True, text=True)


def start(**changes: str) -> subprocess.CompletedProcess[str]:
    code = "from clinicportal import settings; print(settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE)"
    return run("-c", code, **changes)


def test_production_passes_djangos_deployment_checks():
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **SAFE)
    assert done.returncode == 0, done.stderr


def test_production_starts_with_safe_values():
    done = start(**SAFE)
    assert done.stdout.split() == ["__Host-session", "True"], done.stderr


def test_production_does_not_start_with_an_unsafe_value():
    done = start(**{**SAFE, "clinicportal_secret_key": ""})
    assert done.returncode != 0
    assert "Set CLINICPORTAL_SECRET_KEY" in done.stderr


def test_development_refuses_to_meet_a_real_tenant():
    done = start(entra_tenant_id=SAFE["entra_tenant_id"], database_url="postgresql:///x", redis_url="redis://y")
    assert "Set CLINICPORTAL_MODE=production" in done.stderr


def test_the_sign_in_process_never_holds_the_graph_credential():
    code = "from clinicportal import settings; print(repr(settings.ENTRA['graph_client_secret']))"
    environment = {**os.environ, "CLINICPORTAL_PROCESS": "web"}
    done = subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "''", done.stderr


def test_a_database_address_keeps_its_socket_directory_and_options():
    found = database("postgresql://web:p%40ss@/portal?host=/run/pg&sslmode=verify-full")
    assert (found["HOST"], found["NAME"], found["PASSWORD"]) == ("/run/pg", "portal", "p@ss")
    assert found["OPTIONS"]["sslmode"] == "verify-full"


CERTIFICATE = {"entra_graph_certificate_file": "/c.pem", "entra_graph_certificate_key_file": "/k.pem"}
TOKEN = {"entra_graph_federated_token_file": "/var/run/secrets/token"}


@pytest.mark.parametrize("changes", [{}, CERTIFICATE, TOKEN])
def test_the_worker_proves_itself_in_one_way(changes):
    ways = {**WORKER, "entra_graph_client_secret": "" if changes else "s", **changes}
    assert problems(**ways) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"entra_graph_client_secret": ""}, "one of ENTRA_GRAPH_CERTIFICATE_FILE, ENTRA_GRAPH_FEDERATED_TOKEN_FILE"),
        (TOKEN, "Keep one of ENTRA_GRAPH_CLIENT_SECRET and ENTRA_GRAPH_FEDERATED_TOKEN_FILE"),
        (CERTIFICATE, "Keep one of ENTRA_GRAPH_CLIENT_SECRET and ENTRA_GRAPH_CERTIFICATE_FILE"),
        (
            {"entra_graph_client_secret": "", "entra_graph_certificate_file": "/c.pem"},
            "ENTRA_GRAPH_CERTIFICATE_FILE and ENTRA_GRAPH_CERTIFICATE_KEY_FILE together",
        ),
        ({"clinicportal_process": "web", **CERTIFICATE}, "ENTRA_GRAPH_CERTIFICATE_FILE for web"),
    ],
)
def test_none_or_several_ways_are_refused_with_a_sentence(changes, says):
    (sentence,) = problems(**{**WORKER, **changes}) if "clinicportal_process" not in changes else problems(**changes)
    assert says in sentence


def test_a_limit_above_what_graph_publishes_is_no_setting():
    for name, value in (("entra_limit_invitations", 151), ("entra_limit_writes", 3001), ("entra_limit_units", 8001)):
        with pytest.raises(ValidationError):
            Environment(**{**SAFE, name: value})
