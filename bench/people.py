"""What benchmarks do as the web process: people, requests, decisions, sessions. Run inside a configured Django."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clinicportal.models import StaffRole, Terms, TermsAcceptance, User
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


def reader() -> tuple[User, list[str]]:
    """A guest who may read all sections of the largest caseload, and the ids of its patients."""
    from clinicportal.viewing import viewing

    caseload = max(Caseload.objects.all(), key=Caseload.size)
    user = User.objects.create(display_name="Bench Reader", tenant_id=uuid.uuid4(), object_id=uuid.uuid4())
    TermsAcceptance.objects.create(user=user, terms=Terms.in_force().get())
    Grant.objects.create(
        guest=user, organisation=caseload.organisation, caseload=caseload, sections=Section.values, given_by="bench",
        starts_at=timezone.now() - timedelta(days=1), ends_at=timezone.now() + timedelta(days=9),
    )  # fmt: skip
    user.acting_for, user.mfa_proved = caseload.organisation_id, True
    with viewing(user):
        patients = [str(pk) for pk in Patient.objects.visible_to(user).values_list("pk", flat=True)]
    return user, patients


def statements(captured: CaptureQueriesContext) -> int:
    """How many SQL statements ran, without BEGIN and COMMIT."""
    return sum(query["sql"] not in ("BEGIN", "COMMIT") for query in captured.captured_queries)


def prepare_reading() -> None:
    """Print a session of `reader`, patients, and how many SQL statements each page takes."""
    user, patients = reader()
    client: Client = client_for(user)
    queries = {}
    for page in ("", "results", "medicines", "problems", "allergies", "immunisations", "encounters", "documents"):
        path = f"/patients/{patients[0]}/{page}/" if page else f"/patients/{patients[0]}/"
        client.get(path)  # the first one loads templates
        with CaptureQueriesContext(connection) as captured:
            answer = client.get(path, follow=False)
        queries[page or "summary"] = (answer.status_code, statements(captured))
    with CaptureQueriesContext(connection) as captured:
        answer = client.get("/patients/")
    queries["my patients"] = (answer.status_code, statements(captured))
    session = next(iter(client.cookies.values())).value
    with transaction.atomic():
        print(json.dumps({"session": session, "patients": patients, "queries": queries}))
