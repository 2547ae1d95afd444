"""What every answer of the portal carries, and that nothing is open by accident."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from clinicportal import audit
from tests import factories as make

PUBLIC = {
    "/sign-in/", "/sign-in/callback/", "/sign-in/help/", "/sign-in/new-phone/", "/sign-out/front-channel/",
    "/signed-out/", "/terms/", "/privacy-notice/", "/accessibility/", "/health/live", "/health/ready",
}  # fmt: skip
PUBLIC_PREFIXES = ("/welcome/",)


def paths(resolver: URLResolver | None = None, prefix: str = "/") -> list[str]:
    """Every path of the URLconf, with an example for each parameter."""
    found = []
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found += paths(entry, route)
        elif isinstance(entry, URLPattern):
            found.append(re.sub(r"<(?:(\w+):)?\w+>", example, route))
    return found


def example(match: re.Match[str]) -> str:
    return {"uuid": "00000000-0000-4000-8000-000000000000", "int": "1"}.get(match.group(1) or "str", "x")


@pytest.fixture
def anyone(db) -> Client:
    return Client(headers={"host": "portal.localhost"})


def test_every_page_but_the_named_ones_needs_a_sign_in(anyone):
    for path in paths():
        if path in PUBLIC or path.startswith(PUBLIC_PREFIXES):
            continue
        answer = anyone.get(path)
        assert answer.status_code in (302, 405), f"{path} answers {answer.status_code} to anyone"
        if answer.status_code == 302:
            assert answer["Location"].startswith("/sign-in/"), path


def test_every_answer_keeps_out_of_caches_and_frames(anyone, guest):
    for answer in (anyone.get("/sign-in/"), make.client_for(guest).get("/account/"), anyone.get("/nowhere/")):
        assert answer["Cache-Control"] == "no-store"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Referrer-Policy"] == "same-origin"
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self'" in policy
        assert "unsafe" not in policy
        assert re.fullmatch(r"[0-9a-f-]{36}", answer["X-Request-Id"])


def test_no_page_cache_is_installed():
    assert not [name for name in settings.MIDDLEWARE if "cache" in name.lower()]


def test_a_post_without_its_token_is_refused_with_a_page(guest):
    client = make.client_for(guest)
    client.handler.enforce_csrf_checks = True
    answer = client.post("/stay/")
    assert answer.status_code == 403
    assert b"<h1" in answer.content


def test_a_callback_that_nobody_started_is_refused_and_written_down(anyone):
    answer = anyone.get("/sign-in/callback/", {"state": "made-up", "code": "x"})
    assert answer.status_code == 403
    assert b"We could not sign you in" in answer.content
    assert [event.outcome for event in audit.trail().filter(type="sign-in-refused")] == ["refused"]


def test_forwarding_headers_are_believed_from_a_known_proxy_only(db, guest, settings):
    client = make.client_for(guest)
    client.post("/sign-out/", headers={"x-forwarded-for": "203.0.113.9"})
    assert [event.source_ip for event in audit.trail().filter(type="signed-out")] == ["127.0.0.1"]
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    make.client_for(guest).post("/sign-out/", headers={"x-forwarded-for": "198.51.100.1, 203.0.113.9"})
    assert audit.trail().filter(type="signed-out").first().source_ip == "203.0.113.9"


def test_only_a_privacy_officer_reads_the_trail_and_it_is_written_down(db, guest):
    assert make.client_for(guest).get("/privacy/").status_code == 403
    (refusal,) = audit.trail().filter(type="refused")
    assert (refusal.user_id, refusal.object_id) == (guest.pk, "/privacy/")
    officer = make.make_user("Privacy Officer", staff_roles=["privacy"], roles_checked_at=make.days(0))
    page = make.client_for(officer).get("/privacy/")
    assert page.status_code == 200
    assert b"Practice Nurse" in page.content
    assert audit.trail().filter(type="audit-read").count() == 1
