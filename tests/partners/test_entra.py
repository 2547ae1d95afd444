"""The Graph client against the local tenant's real protocols, and the job through it."""

from __future__ import annotations

import datetime as dt
import time
import uuid

import pytest
import requests
from django.core.management import call_command

from partners import entra, gates, invitations, lag, provisioning
from partners.entra.client import never_left
from partners.entra.errors import meaning, retry_at
from partners.models import Invitation, ProvisioningJob, Step
from tests.partners.conftest import as_worker, make_graph
from tests.partners.test_provisioning import current, make_due

NURSE = "nurse@northfield.example"
NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)


def invite(graph: entra.Graph, address: str = NURSE) -> entra.Invited:
    return graph.invite(address, name="Practice Nurse", redirect_url="http://portal.localhost:8000/welcome/back/")


# ---------------------------------------------------------------- what Graph meant

ANSWERS = [
    (429, "429", "", {"Retry-After": "2.128"}, entra.TryLater, "throttled"),
    (503, "serviceNotAvailable", "", {}, entra.TryLater, "throttled"),
    (500, "InternalServerError", "Unable to find target address", {}, entra.TryLater, "no_answer"),
    (502, "", "", {}, entra.TryLater, "no_answer"),
    (408, "", "", {}, entra.TryLater, "no_answer"),
    (401, "InvalidAuthenticationToken", "", {}, entra.TryLater, "token_refused"),
    (404, "Request_ResourceNotFound", "Resource 'x' does not exist", {}, entra.TryLater, "not_there_yet"),
    (404, "Directory_ObjectNotFound", "", {}, entra.TryLater, "not_there_yet"),
    (400, "Request_BadRequest", "Not a valid reference update", {}, entra.TryLater, "not_there_yet"),
    (403, "Forbidden", "Guest invitations not allowed for your company.", {}, entra.TryLater, "invitations_disabled"),
    (403, "Forbidden", "Generic authorization exception.", {}, entra.TryLater, "not_permitted"),
    (400, "BadRequest", "blocked by cross-tenant access settings. Admins", {}, entra.TryLater, "cross_tenant"),
    (400, "BadRequest", "is a verified domain of this directory.", {}, entra.Refused, "own_domain"),
    (400, "BadRequest", "The invited user already exists in the directory", {}, entra.Refused, "member_exists"),
    (412, "BadRequest", "already exists in the directory, blocked from signing in", {}, entra.Refused,
     "account_blocked"),
    (400, "BadRequest", "The Primary SMTP Address is an invalid value", {}, entra.Refused, "address_invalid"),
    (400, "BadRequest", "Another sentence of tomorrow", {}, entra.Refused, "unknown_refusal"),
    (404, "SomethingElse", "", {}, entra.Refused, "unknown_refusal"),
    (302, "", "", {}, entra.Refused, "unknown_refusal"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "message", "headers", "kind", "ours"), ANSWERS)
def test_what_an_answer_means(status, code, message, headers, kind, ours):
    found = meaning(status, {"error": {"code": code, "message": message}}, headers, NOW)
    assert (type(found), found.code) == (kind, ours)


@pytest.mark.parametrize("body", [None, [], "text", {"error": "text"}, {"error": None}, {}])
def test_an_answer_in_another_shape_is_somebodys_turn(body):
    assert meaning(400, body, {}, NOW).code == "unknown_refusal"


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2.128", NOW + dt.timedelta(seconds=2.128)),
        ("120", NOW + dt.timedelta(seconds=120)),
        ("-5", NOW),
        ("Mon, 01 Jun 2026 12:00:30 GMT", NOW + dt.timedelta(seconds=30)),
        ("soon", None),
        ("", None),
        (None, None),
        ("1e400", None),
    ],
)
def test_retry_after_in_all_its_forms(text, when):
    assert retry_at(text, NOW) == when


def test_a_request_that_never_left_is_told_from_one_without_an_answer():
    with pytest.raises(requests.ConnectionError) as refused:
        requests.get("http://127.0.0.1:1/", timeout=1)
    assert never_left(refused.value)
    assert not never_left(requests.ConnectionError("aborted"))
    assert not never_left(requests.exceptions.ReadTimeout())


# ---------------------------------------------------------------- the calls


def test_inviting_twice_finds_the_same_guest_and_gives_another_link(graph, tenant):
    first, second = invite(graph), invite(graph)
    assert first.id == second.id
    assert first.redeem_url != second.redeem_url
    [found] = graph.find_users(NURSE)
    assert (found.id, found.is_guest, found.is_pending, found.enabled) == (first.id, True, True, True)
    assert found.created_at
    assert abs(found.created_at - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=30)
    assert tenant.read("mails") == []  # Microsoft's own mail stays away


def test_people_are_found_by_address_whoever_they_are(graph):
    assert graph.find_users("nobody@northfield.example") == []
    assert not graph.find_users("approver@hospital.example")[0].is_guest
    assert not graph.find_users("sponsor@northfield.example")[0].is_pending
    assert graph.find_users("o'nobody@northfield.example") == []  # quotes are escaped


def test_membership(graph):
    person = invite(graph).id
    assert not graph.is_member(person)
    graph.add_member(person)
    graph.add_member(person)  # already in: fine
    assert graph.is_member(person)


def test_unknown_ids_are_not_there_yet(graph):
    for act in (graph.user, graph.add_member, graph.is_member):
        with pytest.raises(entra.TryLater, match="not_there_yet"):
            act(uuid.uuid4())


def test_a_redemption_can_be_set_back(graph):
    person = graph.find_users("sponsor@northfield.example")[0]
    again = graph.invite("sponsor@northfield.example", name="S", redirect_url="http://x.example/", reset=person.id)
    assert again.id == person.id
    assert graph.user(person.id).is_pending


def test_a_cut_connection_is_no_answer_and_nobody_there_is_unreachable(graph, tenant):
    graph.permissions()
    tenant.do("fail-next", operation="POST /invitations", mode="cut")
    with pytest.raises(entra.TryLater, match="no_answer"):
        invite(graph)
    away = make_graph(tenant)
    away._session.hosts.add("localhost:1")
    away._url = "https://localhost:1/v1.0"
    with pytest.raises(entra.TryLater):
        away.find_users(NURSE)


def test_refused_credentials_wait_for_the_operator(tenant):
    wrong = make_graph(tenant, graph_client_secret="wrong")
    with pytest.raises(entra.TryLater, match="credentials"):
        wrong.find_users(NURSE)


# ---------------------------------------------------------------- the job through it


def run(job: ProvisioningJob, graph: entra.Graph) -> float | None:
    with as_worker():
        return provisioning.advance(job.pk, graph)


def test_the_whole_job_against_the_tenant(job, graph, tenant):
    run(job, graph)
    job.refresh_from_db()
    assert job.status == ProvisioningJob.Status.DONE
    [mail] = tenant.read("mails", to=NURSE)
    invitation = Invitation.objects.get()
    assert mail["message_id"] == invitation.message_id
    assert mail["links"] == [invitations.link(invitation), "http://portal.localhost:8000/sign-in/help/"]
    assert graph.is_member(job.guest.user.object_id)
    assert invitations.redeem_url(invitation).startswith(tenant.base.replace("127.0.0.1", "login.localhost"))


def test_with_two_seconds_of_lag_the_mail_leaves_within_ten(job, graph, tenant):
    tenant.do("settings", lag=2)
    started = time.monotonic()
    while (wait := run(job, graph)) is not None:
        time.sleep(wait)
    job.refresh_from_db()
    assert job.status == ProvisioningJob.Status.DONE
    assert job.steps.get(kind=Step.Kind.JOIN_GROUP).attempts > 1  # the lag was there
    assert lag.expected_seconds() > 0.5  # and the next one waits for it before the first try
    assert time.monotonic() - started < 9


def test_a_connection_cut_after_the_invitation_makes_one_guest_and_one_mail(job, graph, tenant):
    tenant.do("settings", lag=2)
    tenant.do("fail-next", operation="POST /invitations", mode="cut")
    run(job, graph)
    assert current(job).last_code == Step.UNANSWERED
    tenant.do("advance", seconds=3)
    make_due(job)
    run(job, graph)
    job.refresh_from_db()
    assert job.status == ProvisioningJob.Status.DONE
    assert len([user for user in tenant.read("users") if user["mail"] == NURSE]) == 1
    assert len(tenant.read("mails", to=NURSE)) == 1


def test_a_mail_server_that_cuts_after_the_message_gets_it_twice_word_for_word(job, graph, tenant):
    tenant.do("fail-next", operation="SMTP DATA", mode="cut")
    run(job, graph)
    assert current(job).last_code == "mail_server_away"
    make_due(job)
    run(job, graph)
    first, second = tenant.read("mails", to=NURSE)
    assert (first["message_id"], first["text"], first["html"]) == (second["message_id"], second["text"], second["html"])


# ---------------------------------------------------------------- entra check


@pytest.fixture
def check(db, monkeypatch, capsys):
    """Run `entra check` with a client, as the worker; what it said, and whether it was content."""

    def check(graph: entra.Graph) -> tuple[str, bool]:
        monkeypatch.setattr(entra, "onlooker", lambda: graph)
        content = True
        with as_worker():
            try:
                call_command("entra", "check")
            except SystemExit:
                content = False
        return capsys.readouterr().out, content

    return check


def test_entra_check_says_each_thing_in_a_sentence(graph, check):
    said, content = check(graph)
    assert content
    for words in ("accepts our credentials, a secret", "User.Invite.All", "Clinic portal guests", "no daily budget",
                  "150 invitations in 5 s", "The breaker is closed"):  # fmt: skip
        assert words in said, words


@pytest.mark.parametrize("missing", ["User.Invite.All", "GroupMember.ReadWrite.All", "User.Read.All"])
def test_entra_check_names_a_missing_permission(graph, tenant, check, missing):
    names = {"User.Invite.All", "GroupMember.ReadWrite.All", "User.Read.All"} - {missing}
    tenant.do("permissions", permissions=sorted(names))
    said, content = check(graph)
    assert not content
    assert f"FAILED  Grant the application permission {missing}" in said


@pytest.mark.parametrize(("setting", "mark"), [
    ("everyone", "ok    "), ("adminsGuestInvitersAndAllMembers", "ok    "), ("adminsAndGuestInviters", "note  "),
    ("none", "FAILED"),
])  # fmt: skip
def test_entra_check_reads_who_may_invite_where_it_may(graph, tenant, check, setting, mark):
    tenant.do("settings", allow_invites_from=setting)
    held = ["User.Invite.All", "GroupMember.ReadWrite.All", "User.Read.All"]
    tenant.do("permissions", permissions=held)
    assert "cannot be read without Policy.Read.All" in check(graph)[0]
    tenant.do("permissions", permissions=[*held, "Policy.Read.All"])
    graph._tokens.forget()
    said, _content = check(graph)
    [line] = [line for line in said.splitlines() if f"({setting})" in line]
    assert line.startswith(mark)


def test_entra_check_tells_budget_and_breaker(graph, check, settings):
    settings.ENTRA_INVITATIONS_PER_DAY = 150
    with as_worker():
        gates.shut("POST /invitations", "invitations_disabled")
        gates.shut(gates.GRAPH, "suspicious_activity")
    said, content = check(graph)
    assert not content
    assert "The daily budget is 150 invitations: 15 in any 2.4 hours. 0 left in the last 24 hours, 0 wait." in said
    assert "(POST /invitations: invitations_disabled). One call tries again at" in said
    assert "(graph: suspicious_activity). It waits for you" in said


def test_entra_check_says_that_the_secret_is_wrong(tenant, check):
    said, content = check(make_graph(tenant, graph_client_secret="wrong"))
    assert not content
    assert "ENTRA_GRAPH_CLIENT_SECRET" in said
