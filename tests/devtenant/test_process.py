"""The process: what survives a kill, how it starts, stops and refuses."""

from __future__ import annotations

import smtplib
import stat
import subprocess
import sys
import threading

import pytest
import requests

from .conftest import REPOSITORY, Person, Process, free_port

NURSE = "nurse@northfield.example"


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "devtenant", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=20,
        env=environment or None,
    )


def test_what_was_answered_survives_a_kill(own_tenant):
    tenant = own_tenant
    guest = tenant.admit(NURSE)
    with smtplib.SMTP("127.0.0.1", tenant.port + 2, timeout=5) as smtp:
        smtp.sendmail("a@b.example", [NURSE], "Subject: kept\r\n\r\nBody\r\n")
    browser = Person(tenant)
    browser.sign_in(NURSE)
    browser.start()
    keys, authority = tenant.read(), (tenant.data / "ca.pem").read_bytes()
    tenant.kill()
    tenant.start()
    assert tenant.read()["counts"] == keys["counts"]
    assert tenant.read("mails")[0]["subject"] == "kept"
    assert (tenant.data / "ca.pem").read_bytes() == authority
    assert browser.claims()["oid"] == guest  # a code given out before the kill
    assert browser.start().left_to  # and the browser is still signed in


def test_kills_under_load_lose_nothing_that_was_answered(own_tenant):
    tenant = own_tenant
    answered: list[str] = []

    def invite_on(number):
        try:
            while True:
                address = f"colleague{number}.{len(answered)}@northfield.example"
                answered.append(tenant.invite(address).json()["invitedUser"]["id"])
        except (requests.RequestException, KeyError):
            return

    for round_ in range(3):
        before = len(answered)
        workers = [threading.Thread(target=invite_on, args=(f"{round_}.{n}",)) for n in range(3)]
        for worker in workers:
            worker.start()
        while len(answered) < before + 5:
            pass
        tenant.kill()
        for worker in workers:
            worker.join()
        tenant.start()
        assert set(answered) <= {user["id"] for user in tenant.read("users")}


def test_a_torn_last_line_is_dropped(own_tenant):
    tenant = own_tenant
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    tenant.kill()
    journal = tenant.data / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"c":"users","id":"half')
    tenant.start()
    tenant.admit("doctor@northfield.example")
    tenant.kill()
    tenant.start()
    assert guest in {user["id"] for user in tenant.read("users")}
    assert len(tenant.read("users")) == 13


def test_a_broken_journal_is_refused_with_a_way_out(own_tenant):
    own_tenant.kill()
    journal = own_tenant.data / "journal.jsonl"
    journal.write_bytes(b"broken\n" + journal.read_bytes())
    refused = run("--port", free_port(), "--data", own_tenant.data)
    assert refused.returncode == 2
    assert "--reset" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_journal_does_not_grow_over_restarts(own_tenant):
    tenant = own_tenant
    for seconds in range(200):
        tenant.do("settings", lag=seconds)
    grown = (tenant.data / "journal.jsonl").stat().st_size
    assert tenant.stop() == 0
    tenant.start()
    assert (tenant.data / "journal.jsonl").stat().st_size < grown - 200 * 100


def test_keys_and_journal_are_private(own_tenant):
    for name in ("journal.jsonl", "signing-keys.json", "ca-key.pem", "server-key.pem"):
        assert stat.S_IMODE((own_tenant.data / name).stat().st_mode) == 0o600, name


def test_the_ready_line_names_the_addresses(own_tenant):
    assert f"http://login.localhost:{own_tenant.port}/" in own_tenant.ready


def test_it_stops_cleanly_with_connections_open(own_tenant):
    with requests.Session() as idle, smtplib.SMTP("127.0.0.1", own_tenant.port + 2, timeout=5):
        idle.get(own_tenant.base, timeout=5)
        assert own_tenant.stop() == 0


def test_a_taken_port_is_one_sentence_that_names_the_setting(own_tenant, tmp_path):
    for port in (own_tenant.port, own_tenant.port - 2):
        refused = run("--port", port, "--data", tmp_path / "other")
        assert refused.returncode == 2
        assert "TENANT_PORT" in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_a_taken_directory_is_refused(own_tenant):
    for arguments in (("--port", free_port()), ("--reset",)):
        refused = run("--data", own_tenant.data, *arguments)
        assert refused.returncode == 2
        assert "Another devtenant" in refused.stderr


def test_reset_forgets_our_files_and_no_others(own_tenant):
    tenant = own_tenant
    tenant.invite(NURSE)
    tenant.stop()
    (tenant.data / "mine.txt").write_text("keep")
    assert run("--data", tenant.data, "--reset").returncode == 0
    assert {p.name for p in tenant.data.iterdir()} <= {"mine.txt", "lock"}
    tenant.start()
    assert tenant.read()["counts"]["invitations"] == 0


def test_reset_of_nothing_makes_nothing(tmp_path):
    assert run("--data", tmp_path / "none", "--reset").returncode == 0
    assert not (tmp_path / "none").exists()


def test_the_environment_gives_port_and_directory(tmp_path):
    taken = Process(tmp_path / "first")
    try:
        refused = run(PATH="/usr/bin:/bin", TENANT_PORT=str(taken.port), CLINICPORTAL_DATA_DIR=str(tmp_path))
        assert refused.returncode == 2
        assert str(taken.port) in refused.stderr
    finally:
        taken.stop()


def test_it_imports_nothing_of_the_portal():
    code = (
        "import sys, devtenant.__main__; "
        "print([m for m in sys.modules if m.split('.')[0] in ('django', 'clinicportal', 'partners', 'records')])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("port", ["70000", "-5"])
def test_an_impossible_port_is_refused_in_words(tmp_path, port):
    refused = run("--port", port, "--data", tmp_path / "x")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
