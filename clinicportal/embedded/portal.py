"""What `make run` runs besides the servers: the steps of a start, and the portal's own processes."""

import http.client
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clinicportal.embedded.children import Child
from clinicportal.embedded.paths import ROOT, Paths
from clinicportal.embedded.ports import Ports

DEMO_ACCOUNTS = """\
  sponsor@northfield.example            asks for access for colleagues (also riverside, willowcourt)
  nurse@northfield.example              a colleague to ask for (also doctor, pharmacist, locum)
  approver@hospital.example             decides (second.approver too)
  privacy@hospital.example              sees who opened what
  operator@hospital.example             keeps the register of partners
  reviewer@hospital.example             reviews emergency access"""


@dataclass(frozen=True)
class Step:
    """A command that must succeed before the portal opens."""

    title: str
    argv: list[str]
    env: Mapping[str, str]
    log: Path
    needs_tenant: bool = False
    done: Path | None = None
    """A mark in the data directory: where it is, the step was done and is not asked for again."""


@dataclass(frozen=True)
class Portal:
    """One portal on this machine: where its data is, which ports it has, whether the local tenant is part of it."""

    paths: Paths
    ports: Ports
    with_tenant: bool

    @classmethod
    def from_environment(cls) -> "Portal":
        return cls(Paths.from_environment(), Ports.from_environment(), not os.environ.get("ENTRA_TENANT_ID"))

    @property
    def address(self) -> str:
        base = os.environ.get("CLINICPORTAL_BASE_URL") or f"http://portal.localhost:{self.ports.portal}"
        return base.rstrip("/") + "/"

    @property
    def welcome(self) -> str:
        lines = [f"The portal is at {self.address}"]
        if self.with_tenant:
            lines += [
                f"Its mail is at http://login.localhost:{self.ports.tenant}/mailbox/",
                "Sign in as:",
                DEMO_ACCOUNTS,
            ]
        return "\n".join([*lines, f"Logs are in {self.paths.logs}. Press Ctrl-C to stop all of it."])

    def steps(self) -> list[Step]:
        steps = [self._step("Bring the database up to date", "migrate", "--no-input", "-v1")]
        if self.with_tenant:
            demo = self._step("Fill an empty portal with demo data", "demo", "--if-empty")
            steps.append(replace(demo, needs_tenant=True, done=self.paths.data / "demo-is-in"))
            # The worker does it by itself soon after its start; the first person to sign in may be sooner.
            steps.append(replace(self._step("Read the tenant's policies", "entra", "policies"), needs_tenant=True))
        return [step for step in steps if step.done is None or not step.done.exists()]

    def _step(self, title: str, *arguments: str) -> Step:
        argv = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return Step(title, argv, self._environment(), self.paths.log("setup"))

    def tenant(self) -> list[Child]:
        """Return the local tenant, which some steps need already; nothing when a real one is named."""
        if not self.with_tenant:
            return []
        argv = ["-m", "devtenant", "--port", str(self.ports.tenant), "--data", str(self.paths.tenant)]
        answers = Answers(self.ports.tenant, "/_control/")
        return [self._child("devtenant", argv, answers=answers)]

    def processes(self) -> list[Child]:
        return [self._worker(), self._beat(), self._web()]

    def _worker(self) -> Child:
        heartbeat = self.paths.run / "worker.heartbeat"
        argv = ["-m", "celery", "-A", "clinicportal", "worker", "--concurrency", "4", "--loglevel", "INFO"]
        argv += ["--without-gossip", "--without-mingle", "--include", "clinicportal.embedded.heartbeat"]
        child = self._child("worker", argv, process="worker", CLINICPORTAL_HEARTBEAT_FILE=str(heartbeat))
        child.ready = child.healthy = Touched(heartbeat, child, within=30)
        # With a gentler signal it would finish tasks, and wait for a broker that is gone. Jobs are rows and safe.
        child.death_signal = signal.SIGKILL
        return child

    def _beat(self) -> Child:
        schedule = self.paths.run / "beat-schedule"
        argv = ["-m", "celery", "-A", "clinicportal", "beat", "--schedule", str(schedule), "--pidfile="]
        return self._child("beat", argv, process="worker")

    def _web(self) -> Child:
        argv = ["-m", "granian", "--interface", "wsgi", "clinicportal.wsgi:application", "--host", "127.0.0.1"]
        argv += ["--port", str(self.ports.portal), "--workers", "2", "--blocking-threads", "4", "--no-ws"]
        argv += ["--respawn-failed-workers", "--workers-kill-timeout", "5", "--no-access-log"]
        answers = Answers(self.ports.portal, "/health/live")
        return self._child("web", argv, answers=answers)

    def _child(
        self, name: str, argv: list[str], *, process: str = "web", answers: "Answers | None" = None, **more: str
    ) -> Child:
        return Child(
            name=name,
            argv=[sys.executable, *argv],
            log=self.paths.log(name),
            lock=self.paths.run / f"{name}.lock",
            env=self._environment(CLINICPORTAL_PROCESS=process, **more),
            cwd=ROOT,
            ready=answers,
            healthy=answers,
        )

    def _environment(self, **more: str) -> dict[str, str]:
        # The servers' addresses are not in it: settings read them from services.json, which only we can read, while
        # an environment shows in dumps.
        environment = {name: value for name, value in os.environ.items() if name != "CLINICPORTAL_PROCESS"}
        return {**environment, "CLINICPORTAL_DATA_DIR": str(self.paths.data), "PYTHONUNBUFFERED": "1", **more}


@dataclass(frozen=True)
class Answers:
    """Whether a process on 127.0.0.1 answers a request, with anything but a failure of its own."""

    port: int
    path: str

    def __call__(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", self.path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@dataclass(frozen=True)
class Touched:
    """Whether a process has touched its file since it was started, and in the last `within` seconds."""

    file: Path
    child: Child
    within: float

    def __call__(self) -> bool:
        try:
            age = time.time() - self.file.stat().st_mtime
        except FileNotFoundError:
            return False
        return age < min(self.within, self.child.age)
