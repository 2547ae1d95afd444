"""What `make run` does when things die, hang, are stopped or are taken; its children are stand-ins."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.embedded.conftest import ROOT, Process, data_folder, environment_for, eventually, nothing_runs

pytestmark = pytest.mark.xdist_group("supervisor")  # some share a portal
RESET = ("-m", "clinicportal.embedded", "reset")
SUPERVISOR = ("-m", "tests.embedded.fake_portal")
# Answers requests until it is told to hang.
SERVER = """
import http.server, os, signal, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists(os.environ["HANG"]): time.sleep(600)
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def group(data: Path, name: str) -> int:
    return int((data / f"run/{name}.lock").read_text())


@dataclass(frozen=True)
class Running:
    supervisor: Process
    data: Path
    environment: dict[str, str]

    def beside(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=30, check=False, cwd=ROOT
        )


@pytest.fixture(scope="module")
def portal(tmp_path_factory) -> Iterator[Running]:
    """One portal for the tests that leave it as it is."""
    with data_folder() as data:
        environment = environment_for(data)
        supervisor = Process([*SUPERVISOR], environment, tmp_path_factory.mktemp("portal") / "log")
        assert supervisor.says("Press Ctrl-C"), supervisor.output
        yield Running(supervisor, data, environment)
        assert supervisor.poll() is None
        supervisor.terminate()
        assert supervisor.wait(20) == 0


def test_it_says_where_to_go(portal: Running):
    said = portal.supervisor.output
    assert f"http://portal.localhost:{portal.environment['PORT']}/" in said
    assert f"http://login.localhost:{portal.environment['TENANT_PORT']}/mailbox/" in said
    assert "approver@hospital.example" in said
    assert "prepared" in (portal.data / "logs/setup.log").read_text()


def test_a_second_one_says_where_the_first_runs(portal: Running):
    second = portal.beside(*SUPERVISOR)
    assert second.returncode == 1
    assert f"already runs at http://portal.localhost:{portal.environment['PORT']}/" in second.stderr


def test_a_command_joins_the_servers_and_leaves_them(portal: Running):
    before = group(portal.data, "postgres")
    code = "from clinicportal import embedded; import psycopg; \
print(psycopg.connect(embedded.ensure().database_url).execute('SELECT current_user').fetchone())"
    command = portal.beside("-c", code)
    assert "clinicportal_web" in command.stdout, command.stderr
    assert group(portal.data, "postgres") == before


def test_data_in_use_are_not_forgotten(portal: Running):
    refused = portal.beside(*RESET)
    assert refused.returncode == 1
    assert "are in use: stop the portal" in refused.stderr
    assert (portal.data / "postgres").exists()


def test_sigterm_and_ctrl_c_stop_all_of_it(run, data: Path):
    for number in (signal.SIGTERM, signal.SIGINT):
        supervisor = run(*SUPERVISOR)
        assert supervisor.says("Press Ctrl-C"), supervisor.output
        supervisor.send_signal(number)
        assert supervisor.wait(20) == 0
        assert nothing_runs(data)
        assert "database system is shut down" in (data / "logs/postgres.log").read_text()
        assert not (data / "run/services.json").exists()


def test_a_stop_while_it_starts_is_heard(run, data: Path):
    supervisor = run(*SUPERVISOR, FAKE_STEP="import time; time.sleep(600)")
    assert supervisor.says("Prepare ... 2 s")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0
    assert nothing_runs(data)


def test_a_second_ctrl_c_does_not_wait_for_a_child_that_is_slow_to_stop(run, data: Path):
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    supervisor = run(*SUPERVISOR, FAKE_CHILD=deaf)
    assert supervisor.says("Press Ctrl-C"), supervisor.output
    assert eventually(lambda: "deaf" in (data / "logs/web.log").read_text())
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.says("Stopping")
    supervisor.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert supervisor.wait(20) == 0
    assert time.monotonic() - began < 5
    assert nothing_runs(data)


def test_killing_it_leaves_no_process(run, data: Path):
    supervisor = run(*SUPERVISOR)
    assert supervisor.says("Press Ctrl-C"), supervisor.output
    supervisor.kill()
    assert eventually(lambda: nothing_runs(data))
    again = run(*SUPERVISOR)
    assert again.says("Press Ctrl-C"), again.output


def test_killing_what_started_it_stops_it(run, data: Path):
    code = f"import subprocess, sys; subprocess.run([sys.executable, *{SUPERVISOR!r}, '--follow-parent'])"
    starter = run("-c", code)
    assert starter.says("Press Ctrl-C"), starter.output
    starter.kill()
    assert eventually(lambda: nothing_runs(data))


def test_a_child_that_dies_is_started_again_and_this_is_said(run, data: Path):
    supervisor = run(*SUPERVISOR)
    assert supervisor.says("Press Ctrl-C"), supervisor.output
    for name in ("web", "valkey", "postgres"):
        before = group(data, name)
        os.kill(before, signal.SIGKILL)
        assert supervisor.says(f"{name} was killed by signal 9; starting it again"), supervisor.output
        assert eventually(lambda name=name, before=before: group(data, name) != before)
    services = json.loads((data / "run/services.json").read_text())["services"]

    def answers() -> bool:
        try:
            return psycopg.connect(services["database_url"]).execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    assert eventually(answers)


# A child with a child of its own, which no signal reaches by itself.
FORKS = "import subprocess, time; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); time.sleep(600)"


def grandchild(data: Path) -> Path:
    log = data / "logs/web.log"
    assert eventually(lambda: log.exists() and log.read_text().endswith("\n"))
    return Path("/proc") / log.read_text().split()[-1]


def test_what_a_dead_child_leaves_behind_goes_before_the_next_one_starts(run, data: Path):
    supervisor = run(*SUPERVISOR, FAKE_CHILD=FORKS)
    assert supervisor.says("Press Ctrl-C"), supervisor.output
    left = grandchild(data)
    os.kill(group(data, "web"), signal.SIGKILL)
    assert eventually(lambda: not left.exists())
    supervisor.terminate()
    assert supervisor.wait(20) == 0


def test_killing_it_leaves_no_child_of_a_child(run, data: Path):
    supervisor = run(*SUPERVISOR, FAKE_CHILD=FORKS)
    assert supervisor.says("Press Ctrl-C"), supervisor.output
    left = grandchild(data)
    assert left.exists()
    supervisor.kill()
    assert eventually(lambda: not left.exists())


def test_numbers_of_processes_from_before_a_crash_are_forgotten(run, data: Path):
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    (data / "run").mkdir()
    (data / "run/old.lock").write_text(str(stranger.pid))
    supervisor = run(*SUPERVISOR)
    assert supervisor.says("Press Ctrl-C"), supervisor.output
    supervisor.kill()
    supervisor.wait()
    assert eventually(lambda: nothing_runs(data))
    time.sleep(2)  # longer than the guard waits
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_five_quick_deaths_end_it(run, data: Path):
    # Lives just long enough to count as started.
    supervisor = run(*SUPERVISOR, FAKE_CHILD="import time; time.sleep(1); raise SystemExit('no such table: colours')")
    assert supervisor.wait(60) == 1
    assert supervisor.output.count("web ended with exit code 1; starting it again") == 4
    assert "5 times in a row" in supervisor.output
    assert "no such table: colours" in supervisor.output
    assert nothing_runs(data)


def test_a_child_that_hangs_is_killed_and_started_again(run, data: Path, tmp_path: Path):
    hang = tmp_path / "hang"
    supervisor = run(*SUPERVISOR, FAKE_CHILD=SERVER, FAKE_PROBE="yes", HANG=str(hang))
    assert supervisor.says("Press Ctrl-C"), supervisor.output
    assert eventually(lambda: (data / "logs/web.log").exists())
    hang.touch()
    assert supervisor.says("web runs but has not answered"), supervisor.output
    hang.unlink()


def test_it_waits_for_a_command_that_has_the_servers(run, data: Path):
    command = run(
        "-c", "from clinicportal import embedded; embedded.ensure(); print('mine'); import sys; sys.stdin.read()"
    )
    assert command.says("mine"), command.output
    supervisor = run(*SUPERVISOR)
    assert supervisor.says("Waiting for a command"), supervisor.output
    command.stdin.close()
    assert supervisor.says("Press Ctrl-C"), supervisor.output


def test_a_taken_port_is_one_sentence_before_anything_starts(run, data, environment):
    cases = [("PORT", environment["PORT"]), *(("TENANT_PORT", int(environment["TENANT_PORT"]) + n) for n in range(3))]
    for name, port in cases:
        with socket.create_server(("127.0.0.1", int(port))):
            supervisor = run(*SUPERVISOR)
            assert supervisor.wait(10) == 2
        assert f"Port {port} is in use by another program: set {name} " in supervisor.output
        assert not (data / "postgres").exists()


def test_the_tenants_ports_are_not_asked_for_when_a_real_tenant_is_named(run, environment):
    with socket.create_server(("127.0.0.1", int(environment["TENANT_PORT"]))):
        supervisor = run(*SUPERVISOR, ENTRA_TENANT_ID="99999999-0000-4000-8000-000000000000")
        assert supervisor.says("Press Ctrl-C"), supervisor.output
    assert "mailbox" not in supervisor.output


def test_a_port_that_is_no_port_is_said(run):
    for name, value in (("PORT", "http"), ("PORT", "0"), ("TENANT_PORT", "65534")):
        supervisor = run(*SUPERVISOR, **{name: value})
        assert supervisor.wait(10) == 2
        assert f"{name} is '{value}': set it to a number" in supervisor.output


def test_a_failed_step_stops_everything_with_its_last_words(run, data: Path):
    supervisor = run(*SUPERVISOR, FAKE_STEP="raise SystemExit('relation does not exist')")
    assert supervisor.wait(20) == 1
    assert "Prepare: failed" in supervisor.output
    assert "relation does not exist" in supervisor.output
    assert nothing_runs(data)


def test_a_childs_complaints_reach_the_console_without_steering_it(run, data: Path):
    supervisor = run(
        *SUPERVISOR, FAKE_CHILD="import time; print('fine\\nERROR \\x1b[2J boom', flush=True); time.sleep(600)"
    )
    assert supervisor.says("web | ERROR [2J boom"), supervisor.output
    assert "fine" not in supervisor.output


def test_logs_of_the_last_runs_are_kept(run, data: Path):
    for _ in range(3):
        supervisor = run(*SUPERVISOR, FAKE_CHILD="import time; print('hello', flush=True); time.sleep(600)")
        assert supervisor.says("Press Ctrl-C")
        assert eventually(lambda: "hello" in (data / "logs/web.log").read_text())
        supervisor.terminate()
        supervisor.wait(20)
    assert sorted(path.name for path in (data / "logs").glob("web.log*")) == ["web.log", "web.log.1", "web.log.2"]


def test_reset_forgets_our_data_and_nobody_elses(run, data: Path):
    user = run("-c", "from clinicportal import embedded; embedded.ensure()")
    assert user.wait(30) == 0
    (data / "notes.txt").write_text("somebody else's")
    reset = run(*RESET)
    assert reset.wait(10) == 0
    assert [path.name for path in data.iterdir()] == ["notes.txt"]
