"""Small FHIR feeds for tests: resources as dicts, files as they would arrive, and what became of them."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.db import connections

from records.importing.running import Result, import_files
from records.models import Patient, Resource, Source
from tests.factories import WORKER

Json = dict[str, Any]

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
PARTNER_SYSTEM = "urn:clinicportal:partner"


def label(code: str, system: str = ACT_CODE) -> Json:
    return {"system": system, "code": code}


def labelled(*codes: str) -> Json:
    return {"security": [label(code, CONFIDENTIALITY if code in "ULMNRV" else ACT_CODE) for code in codes]}


def patient(id: str = "p1", **fields: Any) -> Json:
    return {"resourceType": "Patient", "id": id, "name": [{"family": "Testpatient", "given": ["Alpha"]}], **fields}


def observation(id: str = "o1", subject: str = "Patient/p1", **fields: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin"}]},
        "subject": {"reference": subject},
        **fields,
    }


def about(kind: str, id: str, subject: str = "Patient/p1", **fields: Any) -> Json:
    return {"resourceType": kind, "id": id, "subject": {"reference": subject}, **fields}


def ref(reference: str) -> Json:
    return {"reference": reference}


def refs(*references: str) -> list[Json]:
    return [ref(reference) for reference in references]


def organization(id: str, partner: str = "", **fields: Any) -> Json:
    if partner:
        fields["identifier"] = [{"system": PARTNER_SYSTEM, "value": partner}]
    return {"resourceType": "Organization", "id": id, **fields}


def bundle(*resources: Json, type: str = "transaction", **fields: Any) -> Json:
    entries = [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in resources]
    return {"resourceType": "Bundle", "type": type, "entry": entries, **fields}


def line(resource: Json) -> bytes:
    return json.dumps(resource, separators=(",", ":"), ensure_ascii=False).encode()


def ndjson(*resources: Json | bytes) -> bytes:
    return b"".join((one if isinstance(one, bytes) else line(one)) + b"\n" for one in resources)


class Feed:
    """A folder of files, and their import into one source."""

    def __init__(self, folder: Path, source: Source) -> None:
        self.folder, self.source = folder, source
        folder.mkdir(exist_ok=True)

    def write(self, name: str, content: bytes | Json) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else json.dumps(content, indent=2).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    def send(self, *resources: Json | bytes, name: str = "feed.ndjson") -> Result:
        """Import a file with just these; whatever was in the folder goes."""
        for old in self.folder.rglob("*"):
            if old.is_file():
                old.unlink()
        self.write(name, ndjson(*resources))
        return self.run()

    def run(self, *paths: Path) -> Result:
        return import_files(self.source, list(paths) or [self.folder], using=WORKER)

    def resource(self, target: str) -> Resource:
        kind, fhir_id = target.split("/")
        return Resource.objects.using(WORKER).get(source=self.source, type=kind, fhir_id=fhir_id)

    def patient(self, fhir_id: str = "p1") -> Patient:
        return Patient.objects.using(WORKER).get(source=self.source, fhir_id=fhir_id)

    def classes(self, target: str) -> set[str]:
        return set(self.resource(target).classes)


def counts(result: Result) -> tuple[int, int, int, int, int]:
    """(created, changed, unchanged, older, rejected)."""
    run = result.run
    return run.created, run.changed, run.unchanged, run.older, run.rejected


def import_in_a_process(feed: Feed) -> subprocess.Popen[bytes]:
    """The command on the test's own database, in batches of a hundred: to be killed for real."""
    name = connections[WORKER].settings_dict["NAME"]
    urls = {role: urlunsplit(urlsplit(url)._replace(path=f"/{name}")) for role, url in settings.URLS.items()}
    environment = {
        **os.environ,
        "CLINICPORTAL_PROCESS": "worker",
        "DATABASE_URL": urls["web"],
        "DATABASE_WORKER_URL": urls["worker"],
        "REDIS_URL": settings.URLS["redis"],
    }
    small_batches = (
        "import sys; from django.core.management import execute_from_command_line as run;"
        "import django; django.setup(); from records.importing import running; running.ROWS = 100; run(sys.argv)"
    )
    command = [sys.executable, "-c", small_batches, "import_fhir", "--source", feed.source.name, str(feed.folder)]
    environment["DJANGO_SETTINGS_MODULE"] = "clinicportal.settings"
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
