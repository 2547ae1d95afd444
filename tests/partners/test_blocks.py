"""Causes that concern everybody, met by the job at the local tenant: people wait, one incident, and it goes on."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db.models.functions import Now

from clinicportal.models import User
from partners import decisions, entra, incidents, invitations, progress, provisioning, turns
from partners.models import AccessRequest, Gate, Incident, Invitation, ProvisioningJob, Step
from partners.traffic import SharedTraffic
from tests.partners.conftest import as_worker, make_graph
from tests.partners.fake import Directory
from tests.partners.test_provisioning import current, make_due

NAMES = ("alma-canary", "bela-canary", "cara-canary")


@pytest.fixture
def jobs(ask: Any, approver: Any) -> list[ProvisioningJob]:
    found = []
    for name in NAMES:
        request = ask(email=f"{name}@northfield.example")
        decisions.approve(request, by=approver)
        found.append(ProvisioningJob.objects.get(request=request))
    return found


@pytest.fixture
def shared(tenant: Any) -> entra.Graph:
    return make_graph(tenant, SharedTraffic())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn of the worker ends when nothing is left to do."""
    monkeypatch.setattr(provisioning, "IN_PLACE_SECONDS", 0.1)


def blocking(job: ProvisioningJob) -> str:
    return progress.blocked_by(AccessRequest.objects.get(pk=job.request_id), turns.shut_gates())


def work(graph: entra.Graph) -> float | None:
    with as_worker():
        return provisioning.work(graph)


def states(jobs: list[ProvisioningJob]) -> list[str]:
    return [ProvisioningJob.objects.get(pk=job.pk).status for job in jobs]


BLOCKS = [
    ("invitations_disabled", {"allow_invites_from": "none"}, {"allow_invites_from": "everyone"}),
    ("suspicious_activity", {"suspicious": True}, {"suspicious": False}),
    ("domain_blocked", {"blocked_domains": ["northfield.example"]}, {"blocked_domains": []}),
]


@pytest.mark.parametrize(("code", "block", "mend"), BLOCKS, ids=[code for code, *_ in BLOCKS])
def test_a_block_stops_the_queue_once_and_it_goes_on_when_the_operator_says_so(
    jobs, shared, tenant, operator, quick, code, block, mend
):
    tenant.do("settings", **block)
    work(shared)
    work(shared)
    [incident] = Incident.objects.all()
    assert (incident.code, incident.times) == (code, 1)
    assert states(jobs) == ["running"] * 3
    assert len(tenant.read("calls", operation="POST /invitations")) == 1
    assert sorted(current(job).last_code for job in jobs) == ["", "", code]
    assert [blocking(job) for job in jobs] == [code] * 3  # the two that never tried, too

    incidents.close(incident, by=operator, note="Mended, I think")  # but it is not
    work(shared)
    assert len(tenant.read("calls", operation="POST /invitations")) == 2
    [again] = Incident.objects.open()
    assert again.code == code

    tenant.do("settings", **mend)
    incidents.close(again, by=operator, note="Mended")
    work(shared)
    work(shared)
    assert states(jobs) == ["done"] * 3
    assert [blocking(job) for job in jobs] == [""] * 3
    assert len(tenant.read("mails")) == 3


def test_a_missing_right_is_found_mended_by_one_call_now_and_then(jobs, shared, tenant, quick):
    tenant.do("permissions", permissions=["User.Invite.All", "User.Read.All"])
    work(shared)
    [incident] = Incident.objects.all()
    assert incident.code == "not_permitted"
    assert "members/$ref 403" in incident.detail
    tenant.do("permissions", permissions=["User.Invite.All", "User.Read.All", "GroupMember.ReadWrite.All"])
    shared._tokens.forget()
    Gate.objects.shut().update(probe_at=Now())  # a quarter of an hour later
    for job in jobs:
        make_due(job)
    work(shared)
    assert states(jobs) == ["done"] * 3


def test_refused_credentials_stop_the_queue_as_one_incident(jobs, tenant, quick):
    wrong = make_graph(tenant, SharedTraffic(), graph_client_secret="wrong")
    work(wrong)
    work(wrong)
    [incident] = Incident.objects.all()
    assert (incident.code, incident.times) == ("credentials", 1)
    assert states(jobs) == ["running"] * 3


def test_one_person_who_meets_it_alone_stops_nobody_else(jobs, quick):
    """The gate opened for others since, so it is theirs: they wait for a person, and the queue goes on."""
    directory = Directory()
    refusal = entra.TryLater("not_permitted", scope=entra.Scope.OPERATION)
    directory.faults["add_member"] = [refusal]
    with as_worker():
        provisioning.advance(jobs[0].pk, directory)  # type: ignore[arg-type]
        assert current(jobs[0]).last_code == "not_permitted"
        make_due(jobs[0])
        directory.faults["add_member"] = [refusal]
        provisioning.advance(jobs[0].pk, directory)  # type: ignore[arg-type]
    assert states(jobs) == ["needs_help", "running", "running"]


def test_a_probe_that_meets_it_again_is_no_proof_against_the_person(jobs):
    directory = Directory()
    refusal = entra.TryLater("not_permitted", scope=entra.Scope.OPERATION)
    refusal.probing = True
    with as_worker():
        for _ in range(2):
            directory.faults["add_member"] = [refusal]
            provisioning.advance(jobs[0].pk, directory)  # type: ignore[arg-type]
            make_due(jobs[0])
    assert states(jobs)[0] == "running"


def test_the_colleague_who_answers_for_the_partner_is_the_guests_sponsor(job, graph, tenant, partner):
    staff = next(user for user in tenant.read("users") if user["mail"] == "approver@hospital.example")
    partner.internal_sponsor = make_colleague(staff["id"])
    partner.save()
    with as_worker():
        provisioning.advance(job.pk, graph)
    [guest] = [user for user in tenant.read("users") if user["mail"] == "nurse@northfield.example"]
    assert guest["_sponsors"] == [staff["id"]]


def test_a_colleague_whom_the_directory_does_not_know_hinders_nobody(job, graph, tenant, partner):
    partner.internal_sponsor = make_colleague("99999999-9999-4999-8999-999999999999")
    partner.save()
    with as_worker():
        provisioning.advance(job.pk, graph)
    assert ProvisioningJob.objects.get(pk=job.pk).status == "done"
    assert Incident.objects.get().code == "sponsor_unknown"


def make_colleague(object_id: str) -> Any:
    from tests import factories as make

    return make.make_user("Our Colleague", object_id=object_id)


# ---------------------------------------------------------------- what the log holds


def test_the_log_of_a_full_run_names_nobody(jobs, shared, tenant, caplog, quick):
    """Canaries: every address, name, link, ticket, token and secret that this run had in its hands."""
    caplog.set_level(logging.DEBUG)
    tenant.do(
        "fail-next",
        operation="POST /invitations",
        status=400,
        code="Odd",
        message=f"about {NAMES[0]}@northfield.example",
    )
    tenant.do("fail-next", operation="GET /users", mode="cut")
    for _ in range(3):
        work(shared)
        for job in jobs:
            make_due(job)
    logged = caplog.text
    assert "graph_request_id" in logged
    assert "POST /groups/{id}/members/$ref" in logged
    links = [invitations.link(invitation) for invitation in Invitation.objects.all()]
    redeem = [link for invitation in Invitation.objects.all() if (link := invitations.redeem_url(invitation))]
    assert redeem
    known = User.objects.exclude(object_id=None).filter(guest__isnull=False)
    objects = [str(user.object_id) for user in known]
    assert objects
    canaries = [
        *NAMES, *links, *redeem, *objects, "northfield.example", "Practice Nurse", "ticket", "Bearer",
        shared._tokens._token, "devtenant-graph-secret",
    ]  # fmt: skip
    assert [canary for canary in canaries if canary in logged] == []
    for incident in Incident.objects.all():
        assert "canary" not in incident.detail
    assert Step.objects.filter(state=Step.State.DONE).exists()
