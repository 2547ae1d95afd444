"""Redemption links are secrets: encrypted with keys that can be changed, and in no log, audit event or mail of ours."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from clinicportal import audit
from clinicportal.logs import formatter
from partners import directory as follower
from partners import incidents, invitations, provisioning, redemption
from partners.models import AccessRequest, Incident, Invitation, ProvisioningJob
from tests.partners.conftest import as_worker

NURSE = "nurse@northfield.example"
URL = "https://login.example/redeem?ticket=opaque"
Status = Invitation.Status


@pytest.fixture
def sent(job: ProvisioningJob, directory: Any) -> Invitation:
    with as_worker():
        provisioning.advance(job.pk, directory)
    Invitation.objects.update(redeem_url=invitations.sealed(URL))
    return Invitation.objects.select_related("guest__user", "request").get()


# ---------------------------------------------------------------- keys


def rotate() -> str:
    out = io.StringIO()
    with as_worker():
        call_command("rotate_keys", stdout=out)
    return out.getvalue()


def test_keys_are_changed_in_three_steps_and_every_link_stays_readable(sent, settings):
    [old], new = settings.ENCRYPTION_KEYS, Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, old]
    assert invitations.redeem_url(sent) == URL
    assert rotate().startswith("1 links")
    settings.ENCRYPTION_KEYS = [new]
    sent.refresh_from_db()
    assert invitations.redeem_url(sent) == URL
    settings.ENCRYPTION_KEYS = [old]
    assert invitations.redeem_url(sent) == ""


def test_without_the_rotation_the_old_key_would_be_needed(sent, settings):
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert invitations.redeem_url(sent) == ""
    assert incidents.is_open("key_missing")
    with pytest.raises(SystemExit):
        rotate()


def test_a_link_without_its_key_leads_to_the_sign_in_and_not_to_an_error(sent, settings):
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    path = reverse("partners:go", args=[invitations.token(sent)])
    answer = Client(headers={"host": "portal.localhost"}).post(path)
    assert answer["Location"] == reverse("sign-in")


def test_a_link_that_was_exchanged_meanwhile_is_left_alone(sent, settings, monkeypatch):
    newer = "https://login.example/redeem?ticket=newer"
    rotated = invitations._fernet().rotate

    class Slow:
        def rotate(self, token: bytes) -> bytes:
            Invitation.objects.update(redeem_url=invitations.sealed(newer))
            return rotated(token)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    real = invitations._fernet()
    with monkeypatch.context() as patched:
        patched.setattr(invitations, "_fernet", Slow)
        assert invitations.rotate_keys() == (0, 0)
    sent.refresh_from_db()
    assert invitations.redeem_url(sent) == newer


# ---------------------------------------------------------------- kept no longer than needed


@pytest.mark.parametrize("way", ["expired", "accepted", "wrong account", "completed", "declined", "held", "ended"])
def test_entras_link_is_forgotten_once_it_has_no_use(sent, directory, approver, way):
    from dataclasses import replace

    from tests.partners.conftest import HOME
    from tests.partners.test_directory import age, follow

    match way:
        case "expired":
            Invitation.objects.update(expires_at="2020-01-01T00:00Z")
            invitations.expire_overdue()
        case "accepted":
            age()
            directory.people[NURSE] = replace(directory.people[NURSE], is_pending=False)
            follow(directory)
        case "wrong account":
            invitations.wrong_account(sent.guest, identity_provider="live.com")
        case "completed":
            invitations.complete(sent.guest, identity_provider=HOME)
        case "declined":
            invitations.decline(sent, reason="not_needed")
        case "held":
            redemption.start_anew(sent, by=None, because="wrong_account")
        case "ended":
            from partners import decisions

            decisions.end_access(AccessRequest.objects.get(), by=approver, reason="Left")
    sent.refresh_from_db()
    assert sent.status != Status.SENT
    assert sent.redeem_url is None


# ---------------------------------------------------------------- canaries


def test_no_log_line_and_no_audit_event_holds_a_link_a_token_or_an_address(graph, tenant, job, sponsor):
    """Everything that the worker and the web write on the whole way, at the most talkative level, against the real
    directory."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with as_worker():
            provisioning.advance(job.pk, graph)
            follower.follow(graph)
        invitation = Invitation.objects.select_related("guest__user", "request").get()
        url, token = invitations.redeem_url(invitation), invitations.token(invitation)
        anyone = Client(headers={"host": "portal.localhost"}, raise_request_exception=False)
        anyone.get(reverse("partners:welcome", args=[token]))
        anyone.get(reverse("partners:welcome", args=[token + "x"]))
        anyone.post(reverse("partners:go", args=[token]))
        anyone.get(f"/welcome/{token}/nothing-here/")
        again = invitations.again_token(invitation.guest)
        invitations.wrong_account(invitation.guest, identity_provider="live.com")
        anyone.post(reverse("partners:again"), {"again": again})
        with as_worker():
            provisioning.advance(job.pk, graph)
            follower.follow(graph)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    ticket = re.search(r"ticket%3[Dd]([^%&]+)", url)
    assert ticket, "the canary is in the link"
    second = invitations.redeem_url(Invitation.objects.get())
    assert second != url
    lines = stream.getvalue()
    assert "graph" in lines, "the log is really read"
    trail = json.dumps([[e.type, e.reason, e.detail, e.object_id] for e in audit.trail()], default=str)
    assert audit.Type.REDEMPTION_RESET in trail
    noted = json.dumps(list(Incident.objects.values_list("code", "detail")))
    for secret in (ticket.group(1), url, second, token, again, NURSE, "deltatoken", "Bearer"):
        for where in (lines, trail, noted):
            assert secret not in where
