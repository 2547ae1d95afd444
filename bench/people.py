"""What benchmarks do as the web process: people, requests, decisions, sessions. Run inside a configured Django."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
import uuid
from datetime import timedelta
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bench.many import LARGE, LONG_RECORDS
from clinicportal import embedded
from clinicportal.models import StaffRole, User
from clinicportal.viewing import viewing
from partners import access_requests, decisions
from partners.models import PartnerOrganisation, Sponsor
from records.models import Caseload, Grant, Patient, Section
from tests.factories import client_for


def approver() -> User:
    """A member of staff who may decide, and has just confirmed that it is them."""
    user, _ = User.objects.get_or_create(
        object_id=uuid.uuid5(uuid.NAMESPACE_URL, "bench:approver"),
        tenant_id=uuid.UUID(int=0),
        defaults={"display_name": "Bench Approver", "staff_roles": [StaffRole.APPROVER]},
    )
    user.proofs = {settings.STEP_UP["approve"]: timezone.now()}
    return user


def ask_and_approve(number: int) -> None:
    """One person asked for and approved, through the verbs that the pages call."""
    partner = PartnerOrganisation.objects.get(domains__name="northfield.example")
    sponsor = Sponsor.objects.active().filter(organisation=partner).earliest("pk")
    caseload = Caseload.objects.filter(organisation=partner.pk).earliest("name")
    request = access_requests.ask(
        partner,
        by=sponsor.user,
        email=f"bench{number}@northfield.example",
        first_name="Bench",
        last_name=f"Person {number}",
        caseloads=[caseload],
        sections=[Section.PROBLEMS, Section.RESULTS],
        why="Measuring",
        ends_at=timezone.now() + timedelta(days=90),
    )
    decisions.approve(request, by=approver())


def statements(captured: CaptureQueriesContext) -> int:
    """How many SQL statements ran, without BEGIN and COMMIT."""
    return sum(query["sql"] not in ("BEGIN", "COMMIT") for query in captured.captured_queries)


CHARTS = 200
"""Patients of a guest whose charts are opened in turn."""
PAGES = ("", "results", "medicines", "problems", "allergies", "immunisations", "encounters", "documents", "timeline")
BARE = {
    "a record": "SELECT raw FROM records_resource WHERE patient_id = %s",
    "a list": "SELECT p.id, p.family, p.given, p.birth_date FROM records_membership m JOIN records_patient p"
    " ON p.id = m.patient_id WHERE m.caseload_id = %s ORDER BY p.sort_name, p.id LIMIT 51",
}
"""What the pages are compared with: no wall, no rule, no audit."""


def prepare_reading() -> None:
    """Print a session for each of the set's guests, patients, SQL statements of each page, and the bare reading."""
    guests = {name: seat_of(f"Bench {name.title()} reader") for name in ("one", "many", "several")}
    patients = guests["many"]["patients"]
    facts = {"guests": guests, "queries": count_statements(guests["many"]), "long": long_patients()}
    with transaction.atomic():
        caseload = str(Caseload.objects.get(name="many").pk)
    facts |= {"baseline": baseline(patients, caseload), "resources": resources()}
    with transaction.atomic():
        print(json.dumps(facts))


def seat_of(name: str) -> dict[str, Any]:
    user = User.objects.get(display_name=name)
    user.acting_for, user.mfa_proved = Grant.objects.filter(guest=user).values_list("organisation")[0][0], True
    session = next(iter(client_for(user).cookies.values())).value
    with viewing(user):
        every = Patient.objects.visible_to(user).distinct().order_by("id")
        held = every.filter(resources__section=Section.PROBLEMS)  # the one patient of a guest may have none
        patients = [str(pk) for pk in (held if held.exists() else every).values_list("pk", flat=True)[:CHARTS]]
        wanted = Patient.objects.visible_to(user).order_by("id")[0]
    return {"session": session, "patients": patients, "search": f"find={wanted.given} {wanted.family[:3]}"}


def count_statements(guest: dict[str, Any]) -> dict[str, tuple[int, int]]:
    client = Client(headers={"host": "portal.localhost"})
    client.cookies[settings.SESSION_COOKIE_NAME] = guest["session"]
    found = {}
    for name, path in [
        (page or "summary", f"/patients/{guest['patients'][0]}/{page and page + '/'}") for page in PAGES
    ] + [("my patients", "/patients/")]:
        client.get(path)  # the first one loads templates
        with CaptureQueriesContext(connection) as captured:
            answer = client.get(path)
        found[name] = answer.status_code, statements(captured)
    return found


def long_patients() -> dict[int, str]:
    places = range(LARGE - 3, LARGE)
    return {number: md5_uuid(f"patient{place}") for number, place in zip(LONG_RECORDS, places, strict=False)}


def md5_uuid(text: str) -> str:
    return str(uuid.UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()))


def owner() -> Any:
    """A connection that the wall does not bind: the superuser of nothing, but the worker's policy lets all through."""
    return psycopg.connect(embedded.services().database_worker_url)


def baseline(patients: list[str], caseload: str) -> list[tuple[str, float]]:
    asked = {"a record": patients * 3, "a list": [caseload] * 100}
    return [(BARE[name], median_of(BARE[name], values)) for name, values in asked.items()]


def median_of(sql: str, values: list[str]) -> float:
    with owner() as bare:
        times = []
        for value in values:
            start = time.perf_counter()
            bare.execute(sql, [value]).fetchall()
            times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def resources() -> int:
    with owner() as bare:
        [number] = bare.execute("SELECT reltuples::bigint FROM pg_class WHERE relname = 'records_resource'").fetchone()
    return number
