"""The cast of the access process: a partner with its sponsor, our approver, one request, and a directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.db import connections
from django.test import Client
from django.utils import timezone

from clinicportal.http import Session
from clinicportal.models import StaffRole, User
from partners import access_requests, dates, decisions, entra, idtoken, lag, mailing, provisioning
from partners.models import (
    AccessRequest,
    ContextCheck,
    Domain,
    Guest,
    IdentityProvider,
    Invitation,
    PartnerOrganisation,
    ProvisioningJob,
    Sponsor,
)
from records.models import Agreement, Caseload, Organisation
from tests import contract
from tests import factories as make
from tests.devtenant.conftest import Process
from tests.factories import client_for
from tests.partners.fake import Directory

HOME = "https://sts.windows.net/aaaaaaaa-0000-4000-8000-000000000001/"
DOMAIN = "northfield.example"
USUAL = ["problems", "medicines", "allergies", "results"]


@pytest.fixture(autouse=True)
def outbox(settings: Any) -> list:
    """Mails stay in this process, unless a test asks for the real server."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    mail.outbox = []
    mailing.close()  # it may lead to the server of the test before
    return mail.outbox


@pytest.fixture(autouse=True)
def no_lag_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's directory knows a new guest at once, unless it says otherwise."""
    monkeypatch.setattr(lag, "USUAL_SECONDS", 0.0)
    monkeypatch.setattr(lag, "LEAST_SECONDS", 0.0)


def make_partner(organisation: Organisation, domain: str = DOMAIN, provider: str = HOME) -> PartnerOrganisation:
    partner = PartnerOrganisation.objects.create(organisation=organisation, kind="practice", usual_sections=USUAL)
    Domain.objects.create(organisation=partner, name=domain)
    IdentityProvider.objects.create(organisation=partner, issuer=provider)
    return partner


def make_sponsor(partner: PartnerOrganisation, name: str = "Northfield Sponsor", **fields: Any) -> User:
    address = f"{name.split()[-1].lower()}@{partner.domains.get().name}"
    user = make.make_user(name, email=address)
    Guest.objects.create(user=user, address=address)
    Sponsor.objects.create(organisation=partner, user=user, kind=Sponsor.Kind.SPONSOR, **fields)
    return make.signed_in(user, partner.organisation)


def make_approver(name: str = "Access Approver", **fields: Any) -> User:
    fields = {
        "email": "approver@hospital.example",
        "staff_roles": [StaffRole.APPROVER],
        "roles_checked_at": timezone.now(),
        **fields,
    }
    approver = make.signed_in(make.make_user(name, **fields), None)
    approver.proofs = {"c2": timezone.now()}
    return approver


@pytest.fixture
def assured(db: None) -> None:
    """The tenant said a moment ago that policies are bound to the contexts."""
    for context in ("c1", "c2"):
        ContextCheck.objects.using("worker").create(context=context, bound=True, answered_at=timezone.now())


@pytest.fixture
def partner(organisation: Organisation, agreement: Agreement) -> PartnerOrganisation:
    return make_partner(organisation)


@pytest.fixture
def sponsor(partner: PartnerOrganisation) -> User:
    return make_sponsor(partner)


@pytest.fixture
def approver(db: None) -> User:
    return make_approver()


@pytest.fixture
def operator(db: None) -> User:
    return make_approver("Portal Operator", email="operator@hospital.example", staff_roles=[StaffRole.OPERATOR])


@pytest.fixture
def ask(partner: PartnerOrganisation, sponsor: User, caseload: Caseload) -> Any:
    """Ask for somebody; keywords change the usual request."""

    def ask(**changes: Any) -> AccessRequest:
        usual = {
            "by": sponsor,
            "email": "Nurse@Northfield.example",
            "first_name": "Practice",
            "last_name": "Nurse",
            "caseloads": [caseload],
            "sections": USUAL,
            "ends_at": dates.end_of(dates.months_after(dates.today(), 6)),
            "why": "New in the team",
        }
        return access_requests.ask(changes.pop("organisation", partner), **{**usual, **changes})

    return ask


@pytest.fixture
def asked(ask: Any) -> AccessRequest:
    return ask()


@pytest.fixture
def approved(asked: AccessRequest, approver: User) -> AccessRequest:
    decisions.approve(asked, by=approver)
    return asked


@pytest.fixture
def job(approved: AccessRequest) -> ProvisioningJob:
    return ProvisioningJob.objects.get(request=approved)


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def desk(sponsor) -> Client:
    """The sponsor's browser."""
    return client_for(sponsor, capacities=["sponsor"])


@pytest.fixture
def office(approver) -> Client:
    """The approver's browser."""
    return client_for(approver)


@pytest.fixture
def anyone() -> Client:
    """A browser in which nobody is signed in."""
    return Client(headers={"host": "portal.localhost"}, enforce_csrf_checks=False)


@pytest.fixture
def sent(job, directory) -> Invitation:
    """The invitation, once its mail is out."""
    with as_worker():
        provisioning.advance(job.pk, directory)
    return Invitation.objects.get(request=job.request_id)


@contextmanager
def as_worker() -> Iterator[None]:
    """Everything inside runs as the worker's database role, as the job does in production."""
    web = connections.databases["default"]
    connections["default"].close()
    connections.databases["default"] = connections.databases["worker"]
    delattr(connections._connections, "default")  # type: ignore[attr-defined]
    try:
        yield
    finally:
        connections["default"].close()
        connections.databases["default"] = web
        delattr(connections._connections, "default")  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def tenant_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("tenant"))
    yield process
    process.stop()


@pytest.fixture
def tenant(tenant_process: Process, settings: Any) -> Iterator[Process]:
    """The real stand-in, fresh, and the settings that point at it. Its exchanges are held against the contract."""
    tenant_process.do("reset")
    tenant_process.do("settings", lag=0, limits={"conditional_access": None})
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", tenant_process.port + 2
    with contract.kept_by(tenant_process):
        yield tenant_process


@pytest.fixture
def entrance(tenant: Process, assured: None, settings: Any) -> Iterator[Process]:
    """The portal's sign-in in front of the stand-in, whose documents nobody has fetched yet."""
    home = settings.ENTRA["tenant_id"]
    settings.ENTRA = {
        **settings.ENTRA,
        "authority": f"http://login.localhost:{tenant.port}/{home}",
        "token_authority": f"{tenant.https}/{home}",
        "graph_url": f"{tenant.https}/v1.0",
        "ca_file": str(Path(tenant.data) / "ca.pem"),
    }
    idtoken.forget()
    yield tenant
    idtoken.forget()


@pytest.fixture
def graph(tenant: Process) -> entra.Graph:
    return make_graph(tenant)


def make_graph(tenant: Process, traffic: entra.Traffic | None = None, **changes: str) -> entra.Graph:
    config = {
        **settings.ENTRA,
        "token_authority": f"{tenant.https}/{settings.ENTRA['tenant_id']}",
        "graph_url": f"{tenant.https}/v1.0",
        "graph_client_secret": "devtenant-graph-secret",
        **changes,
    }
    session = Session({f"localhost:{tenant.port + 1}"}, str(Path(tenant.data) / "ca.pem"))
    return entra.Graph(session, config, traffic)
