"""The identity checks A1 to A28 of the test programme (reference security.md §8), one by one and by their numbers.

Against the real stand-in tenant, through the portal's real views. Each refusal leaves no session behind and one row in
the trail.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import time_machine
from django.conf import settings
from django.db import connections
from django.test import Client
from django.utils import timezone

from clinicportal import audit, sessions
from clinicportal.models import Session, User
from devtenant.identities import object_id
from partners import failures, idtoken
from partners.models import AccessRequest, Domain, Guest, IdentityProvider, Incident, PartnerOrganisation, Sponsor
from partners.signin_views import safe_next
from records.models import Suspension
from tests import factories as make
from tests.partners.conftest import HOME
from tests.partners.test_stepup import nothing_happened, press
from tests.partners.visitor import Visitor, leaves_for, parameters_of

APPROVER = "approver@hospital.example"
SECOND = "second.approver@hospital.example"
SPONSOR = "sponsor@northfield.example"
SOMEBODY_ELSE = "99999999-0000-4000-8000-000000000000"
NOW = int(time.time())


@pytest.fixture
def visitor(entrance: Any) -> Visitor:
    return Visitor(entrance)


@pytest.fixture
def another_visitor(entrance: Any) -> Callable[[], Visitor]:
    return lambda: Visitor(entrance)


@pytest.fixture
def sponsor_of_northfield(organisation: Any, entrance: Any) -> User:
    """A guest whom the stand-in has had from the start."""
    partner = PartnerOrganisation.objects.create(organisation=organisation, kind="practice")
    Domain.objects.create(organisation=partner, name="northfield.example")
    IdentityProvider.objects.create(organisation=partner, issuer=HOME)
    user = make.make_user(
        "Northfield Sponsor", email=SPONSOR, tenant_id=settings.ENTRA["tenant_id"], object_id=object_id(SPONSOR)
    )
    Guest.objects.create(user=user, address=SPONSOR, redeemed_at=timezone.now())
    Sponsor.objects.create(organisation=partner, user=user, kind=Sponsor.Kind.SPONSOR)
    return user


def refused(visitor: Visitor, answer: Any, reason: str) -> None:
    """A page, no session, and exactly one row that says why."""
    assert answer.status_code == 403
    assert b"<h1" in answer.content
    assert visitor.session is None
    assert Session.objects.exclude(user=None).count() == 0
    rows = audit.trail().filter(type__in=["sign-in-refused", "signed-in", "wrong-account"])
    assert [(row.type, row.outcome, row.reason) for row in rows] == [("sign-in-refused", "refused", reason)]


def calls(visitor: Visitor, operation: str) -> int:
    return len(visitor.tenant.read("calls", operation=operation))


# ---------------------------------------------------------------- A1 to A9: claims

CLAIMS = {
    "A1 wrong audience": ({"aud": "another-client"}, "InvalidAudienceError"),
    "A2 wrong issuer": ({"iss": "https://login.microsoftonline.com/other/v2.0"}, "InvalidIssuerError"),
    "A3 other tenant": ({"tid": SOMEBODY_ELSE}, "tenant"),
    "A4 expired": ({"exp": NOW - 3600}, "ExpiredSignatureError"),
    "A5 not yet valid": ({"nbf": NOW + 3600}, "ImmatureSignatureError"),
    "A6 no iat": ({"iat": None}, "MissingRequiredClaimError"),
    "A7 no sub": ({"sub": None}, "MissingRequiredClaimError"),
    "A8 no oid": ({"oid": None}, "MissingRequiredClaimError"),
    "A9 two audiences": ({"aud": ["22222222-2222-4222-8222-222222222222", "other"]}, "several-audiences"),
}


@pytest.mark.parametrize(("claims", "reason"), CLAIMS.values(), ids=CLAIMS)
def test_a1_to_a9_a_token_with_a_wrong_claim_admits_nobody(visitor, claims, reason):
    visitor.tenant.do("bad-token", claims=claims)
    refused(visitor, visitor.signs_in(APPROVER), reason)


# ---------------------------------------------------------------- A10 to A15: signatures and keys

SIGNATURES = {
    "A10 alg none": ("none", "algorithm"),
    "A11 HS256 with the public key": ("hs256", "algorithm"),
    "A12 bad signature": ("foreign", "InvalidSignatureError"),
    "A13 unknown kid": ("unknown-kid", "unknown-key"),
    "A14 no kid, two keys": ("no-kid", "unknown-key"),
}


@pytest.mark.parametrize(("sign", "reason"), SIGNATURES.values(), ids=SIGNATURES)
def test_a10_to_a14_a_token_without_a_good_signature_admits_nobody(visitor, sign, reason):
    if sign == "no-kid":
        visitor.tenant.do("rotate-keys")
    visitor.tenant.do("bad-token", sign=sign)
    refused(visitor, visitor.signs_in(APPROVER), reason)


def test_a15_a_rotated_key_works_at_once_and_strangers_cannot_make_us_fetch(visitor, another_visitor):
    assert visitor.signs_in(APPROVER).status_code == 302
    visitor.tenant.do("rotate-keys")
    visitor.tenant.do("clear-calls")
    assert another_visitor().signs_in(SECOND).status_code == 302
    assert calls(visitor, "GET /keys") == 1
    for _ in range(4):
        visitor.tenant.do("bad-token", sign="unknown-kid")
        assert another_visitor().signs_in(APPROVER).status_code == 403
    assert calls(visitor, "GET /keys") == 1


# ---------------------------------------------------------------- A16 to A19: one attempt, one browser


def test_a16_nonce_missing(visitor):
    visitor.tenant.do("bad-token", claims={"nonce": None})
    refused(visitor, visitor.signs_in(APPROVER), "MissingRequiredClaimError")


def test_a16_nonce_wrong(visitor):
    visitor.tenant.do("bad-token", claims={"nonce": "of-nobody"})
    refused(visitor, visitor.signs_in(APPROVER), "nonce")


def test_a16_nonce_reused(visitor):
    """The token of an earlier attempt of the same browser, which had its own nonce."""
    earlier = parameters_of(visitor.starts())["nonce"]
    visitor.tenant.do("bad-token", claims={"nonce": earlier})
    refused(visitor, visitor.signs_in(APPROVER), "nonce")


def test_a17_the_same_code_twice(visitor, another_visitor):
    back = visitor.passes(visitor.starts(), APPROVER)
    other = another_visitor()
    state = parameters_of(other.starts())["state"]
    assert visitor.comes_back(back).status_code == 302
    visitor.client.post("/sign-out/")
    used = parameters_of(back)["code"]
    again = other.comes_back(f"/sign-in/callback/?code={quote(used)}&state={quote(state)}")
    assert again.status_code == 403
    assert other.session is None
    reasons = audit.trail().filter(type="sign-in-refused").values_list("reason", flat=True)
    assert list(reasons) == ["OAuth2Error"]


def test_a17_the_same_way_back_twice(visitor):
    back = visitor.passes(visitor.starts(), APPROVER)
    assert visitor.comes_back(back).status_code == 302
    before = visitor.session
    assert visitor.comes_back(back).status_code == 403
    assert visitor.session == before
    assert audit.trail().filter(type="sign-in-refused").count() == 1


def test_a18_a_state_of_another_browser(visitor, another_visitor):
    other = another_visitor()
    other.starts()
    back = visitor.passes(visitor.starts(), APPROVER)
    refused(other, other.comes_back(back), "state")


def test_a18_a_state_of_a_step_up_signs_nobody_in(visitor, another_visitor, asked):
    visitor.signs_in(APPROVER)
    back = visitor.passes(leaves_for(press(visitor, asked)), APPROVER)
    visitor.client.post("/sign-out/")
    answer = visitor.comes_back(back)
    assert answer.status_code == 403
    assert visitor.session is None
    assert audit.trail().filter(type__in=["sign-in-refused", "stepped-up"]).count() == 1


@pytest.mark.parametrize(
    "query",
    ["auth_params=prompt%3Dnone%26claims%3D%26redirect_uri%3Dhttps%3A%2F%2Fevil.example", "scope=offline_access,x",
     "process=connect", "claims=%7B%7D&acr_values=x&prompt=none&redirect_uri=https://evil.example&action=reauthenticate"],
)  # fmt: skip
def test_a19_the_query_string_changes_nothing_of_what_we_ask_for(visitor, query):
    plain = parameters_of(visitor.starts())
    bent = parameters_of(leaves_for(visitor.client.post(f"/sign-in/?{query}")))
    own = {"state", "nonce", "code_challenge"}
    assert {name: sorted(value.split()) for name, value in bent.items() if name not in own} == {
        name: sorted(value.split()) for name, value in plain.items() if name not in own
    }
    assert all(bent[name] != plain[name] for name in own)
    assert '"acrs": {"essential": true, "value": "c1"}' in bent["claims"]


# ---------------------------------------------------------------- A20 to A23: who


def test_a20_the_same_address_from_another_object_is_nobody(visitor, sponsor_of_northfield):
    claims = {"oid": SOMEBODY_ELSE, "email": SPONSOR, "preferred_username": SPONSOR}
    visitor.tenant.do("bad-token", claims=claims)
    refused(visitor, visitor.signs_in(SPONSOR), "not-expected")
    sponsor_of_northfield.refresh_from_db()
    assert str(sponsor_of_northfield.object_id) == object_id(SPONSOR)


def test_a21_an_object_that_nobody_invited(visitor):
    refused(visitor, visitor.signs_in(SPONSOR), "not-expected")
    assert User.objects.count() == 0


def test_a21_a_suspended_guest(visitor, sponsor_of_northfield):
    Suspension.objects.create(user=sponsor_of_northfield, reason=Suspension.Reason.SECURITY)
    refused(visitor, visitor.signs_in(SPONSOR), "suspended")


def test_a21_a_guest_whose_account_is_gone(visitor, sponsor_of_northfield):
    User.objects.filter(pk=sponsor_of_northfield.pk).update(is_active=False)
    refused(visitor, visitor.signs_in(SPONSOR), "inactive")


STEP_UPS = {
    "without acrs": ({"acrs": None}, "no-context"),
    "with an old auth_time": ({"auth_time": NOW - 24 * 3600}, "not-fresh"),
    "by another user": ({"oid": object_id(SECOND)}, "another-person"),
}


@pytest.mark.parametrize(("claims", "reason"), STEP_UPS.values(), ids=STEP_UPS)
def test_a22_a_step_up_that_proves_nothing_does_nothing(visitor, asked, claims, reason):
    visitor.signs_in(APPROVER)
    before = visitor.session.user_id
    visitor.tenant.do("bad-token", claims=claims)
    answer = visitor.comes_back(visitor.passes(leaves_for(press(visitor, asked)), APPROVER))
    nothing_happened(visitor, asked, answer, reason)
    assert visitor.session.user_id == before


def test_a23_each_attempt_has_a_verifier_of_its_own_and_sends_it(visitor):
    """The stand-in refuses a code whose challenge the verifier does not meet (AADSTS501481)."""
    first, second = parameters_of(visitor.starts()), parameters_of(visitor.starts())
    assert first["code_challenge_method"] == second["code_challenge_method"] == "S256"
    assert first["code_challenge"] != second["code_challenge"]
    url = visitor.starts()
    bent = url.replace(parameters_of(url)["code_challenge"], first["code_challenge"])
    assert bent != url
    refused(visitor, visitor.comes_back(visitor.passes(bent, APPROVER)), "OAuth2Error")
    assert visitor.signs_in(APPROVER).status_code == 302


# ---------------------------------------------------------------- A24: the tenant in trouble

PAGE_SECONDS = 6.0


def in_time(act: Callable[[], Any]) -> Any:
    began = time.monotonic()
    answer = act()
    assert time.monotonic() - began < PAGE_SECONDS
    return answer


TROUBLE = {
    "token endpoint slow": ("POST /token", {"mode": "delay", "seconds": 10}),
    "token endpoint 500": ("POST /token", {"status": 500}),
    "token endpoint cut": ("POST /token", {"mode": "cut"}),
    "keys slow": ("GET /keys", {"mode": "delay", "seconds": 10}),
    "keys 500": ("GET /keys", {"status": 500}),
}


@pytest.mark.parametrize(("operation", "fault"), TROUBLE.values(), ids=TROUBLE)
def test_a24_a_tenant_in_trouble_is_a_page_in_time(visitor, operation, fault):
    back = visitor.passes(visitor.starts(), APPROVER)
    visitor.tenant.do("fail-next", operation=operation, **fault)
    answer = in_time(lambda: visitor.comes_back(back))
    reason = audit.trail().get(type="sign-in-refused").reason
    refused(visitor, answer, reason)


@pytest.mark.parametrize("fault", [{"mode": "delay", "seconds": 10}, {"status": 500}], ids=["slow", "500"])
def test_a24_a_tenant_whose_front_door_is_in_trouble(visitor, fault):
    visitor.tenant.do("fail-next", operation="GET /openid-configuration", times=9, **fault)
    assert in_time(lambda: visitor.client.post("/sign-in/")).status_code == 403
    began = time.monotonic()
    assert visitor.client.post("/sign-in/").status_code == 403
    assert time.monotonic() - began < 1, "who comes next hears at once"


def test_a24_a_tenant_that_is_down(visitor, settings):
    settings.ENTRA = {**settings.ENTRA, "authority": "http://login.localhost:1/x"}
    idtoken.forget()
    refused(visitor, in_time(lambda: visitor.client.post("/sign-in/")), "ConnectionError")


@pytest.fixture
def babbler() -> Iterator[str]:
    """A server that answers everything with what is no JSON."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"issuer": ')

        def log_message(self, *_: Any) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://login.localhost:{server.server_port}/x"
    server.shutdown()


def test_a24_a_tenant_that_sends_malformed_json(visitor, settings, babbler):
    settings.ENTRA = {**settings.ENTRA, "authority": babbler}
    idtoken.forget()
    refused(visitor, in_time(lambda: visitor.client.post("/sign-in/")), "JSONDecodeError")


def test_a24_a_slow_tenant_does_not_take_all_threads(visitor, another_visitor):
    """Of those who wait at once only a few wait for the tenant; the threads of the others are free again soon."""
    people = [another_visitor() for _ in range(6)]
    backs = [person.passes(person.starts(), APPROVER) for person in people]
    visitor.tenant.do("fail-next", operation="POST /token", mode="delay", seconds=10, times=9)

    def comes(pair: tuple[Visitor, str]) -> float:
        began = time.monotonic()
        assert pair[0].comes_back(pair[1]).status_code == 403
        connections.close_all()
        return time.monotonic() - began

    with ThreadPoolExecutor(6) as pool:
        took = sorted(pool.map(comes, zip(people, backs, strict=True)))
    assert took[-1] < PAGE_SECONDS
    assert took[3] < 2.5, "four of six were free soon"
    visitor.tenant.do("clear-faults")
    assert Session.objects.exclude(user=None).count() == 0
    assert audit.trail().filter(type="sign-in-refused").count() == 6


# ---------------------------------------------------------------- A25 to A28: the session


def test_a25_a_session_that_was_planted_is_worth_nothing(visitor):
    visitor.starts()
    planted = visitor.client.cookies[settings.SESSION_COOKIE_NAME].value
    visitor.signs_in(APPROVER)
    assert visitor.session.pk != planted
    attacker = Client(headers={"host": "portal.localhost"})
    attacker.cookies[settings.SESSION_COOKIE_NAME] = planted
    assert attacker.get("/approvals/").status_code == 302


def open_at(visitor: Visitor, minutes: float) -> int:
    with time_machine.travel(timezone.now() + timedelta(minutes=minutes), tick=True):
        return visitor.client.get("/people/").status_code


def test_a25_a_session_ends_after_15_idle_minutes(visitor, sponsor_of_northfield):
    assert visitor.signs_in(SPONSOR).status_code == 302
    assert open_at(visitor, 14.9) == 200
    assert open_at(visitor, 14.9 + 15.1) == 302


def test_a25_a_session_ends_after_8_hours(visitor, sponsor_of_northfield):
    assert visitor.signs_in(SPONSOR).status_code == 302
    assert {open_at(visitor, minutes) for minutes in range(13, 8 * 60, 13)} == {200}
    assert open_at(visitor, 8 * 60 + 0.5) == 302


@pytest.mark.parametrize("way", ["sessions ended", "account made inactive"])
def test_a26_the_next_request_of_every_session_is_a_sign_in(visitor, another_visitor, sponsor_of_northfield, way):
    browsers = [visitor, another_visitor()]
    for browser in browsers:
        browser.signs_in(SPONSOR)
        assert browser.client.get("/people/").status_code == 200
    if way == "sessions ended":
        assert sessions.end_all(sponsor_of_northfield.pk) == 2
    else:
        User.objects.filter(pk=sponsor_of_northfield.pk).update(is_active=False)
    for browser in browsers:
        answer = browser.client.get("/people/")
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/sign-in/")


def test_a26_a_suspended_sponsor_does_nothing_with_the_next_request(visitor, sponsor_of_northfield):
    visitor.signs_in(SPONSOR)
    Suspension.objects.create(user=sponsor_of_northfield, reason=Suspension.Reason.SECURITY)
    visitor.client.post("/people/add/", {"email": "nurse@northfield.example"})
    assert AccessRequest.objects.count() == 0


@pytest.mark.parametrize("path", ["/sign-in/", "/sign-in/?next=/people/", "/sign-in/?process=login&account=other"])
def test_a27_reading_the_sign_in_page_starts_nothing(visitor, path):
    answer = visitor.client.get(path)
    assert answer.status_code == 200
    assert b"http-equiv" not in answer.content
    assert settings.SESSION_COOKIE_NAME not in answer.cookies
    assert visitor.client.head(path).status_code == 200
    assert calls(visitor, "GET /authorize") == 0


NEXT = [
    "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/%5cevil.example@evil.example",
    "javascript:alert(1)", "https:evil.example", "///evil.example", "http://portal.localhost.evil.example/",
    "%2F%2Fevil.example", "/\t/evil.example", "people/", "",
]  # fmt: skip
STAYS = {"/%5cevil.example@evil.example"}  # a path of ours, whatever stands in it: no browser decodes it first


@pytest.mark.parametrize("value", NEXT)
def test_a28_another_place_than_ours_is_ignored(rf, value):
    kept = value if value in STAYS else "/"
    assert safe_next(rf.get("/"), value) == kept


@pytest.mark.parametrize(("value", "place"), [("//evil.example", "/"), ("/approvals/", "/approvals/")])
def test_a28_a_sign_in_goes_on_to_our_own_pages_only(visitor, value, place):
    answer = visitor.comes_back(visitor.passes(visitor.starts(next=value), APPROVER))
    assert (answer.status_code, answer["Location"]) == (302, place)


NUMBERS = ["65004", "53003", "50105", "500212", "500213", "50020", "50057", "50076", "53000", "70043", "50079"]


def test_a_refusal_that_microsoft_sends_back_is_told_in_words(visitor):
    """Only the number is taken from what comes back: it passes through the person's own address bar."""
    for number in NUMBERS:
        state = quote(parameters_of(visitor.starts())["state"])
        evil = quote(f"AADSTS{number}: <script>alert(1)</script> somebody@partner.example")
        answer = visitor.comes_back(f"/sign-in/callback/?error=access_denied&error_description={evil}&state={state}")
        assert answer.status_code == 403
        assert unescape(answer.content.decode()).count(str(failures.sign_in(number).title)) >= 2, number
        assert b"alert(1)" not in answer.content
        assert b"somebody@" not in answer.content
    assert visitor.session is None
    reasons = audit.trail().filter(type="sign-in-refused").values_list("reason", flat=True)
    assert list(reasons) == NUMBERS[::-1]
    assert not Incident.objects.exists()


def test_a_number_without_words_is_told_to_the_operator_once(visitor):
    for _ in range(2):
        state = quote(parameters_of(visitor.starts())["state"])
        answer = visitor.comes_back(
            f"/sign-in/callback/?error=server_error&error_description=AADSTS987654%3A+x&state={state}"
        )
        assert answer.status_code == 403
    assert list(Incident.objects.values_list("code", "detail")) == [("sign_in_unknown", "987654")]


def test_signing_out_at_the_tenant_ends_the_session_here(visitor, another_visitor):
    """The frame of the tenant's page, loaded as a browser that keeps our cookies out of it would."""
    other = another_visitor()
    other.signs_in(SECOND)
    visitor.signs_in(APPROVER)
    home = settings.ENTRA["authority"]
    visitor.person.open(f"{home}/oauth2/v2.0/logout")
    [frame] = re.findall(r'<iframe[^>]* src="([^"]+)"', visitor.person.page.text)
    parts = urlsplit(unescape(frame))
    assert parts.path == "/sign-out/front-channel/"
    stranger = Client(headers={"host": "portal.localhost"})
    assert stranger.get(f"{parts.path}?{parts.query}").status_code == 200
    assert visitor.session is None
    assert other.session is not None
    assert visitor.client.get("/approvals/").status_code == 302
    assert other.client.get("/approvals/").status_code == 200
    [event] = audit.trail().filter(type="session-ended")
    assert event.reason == "signed-out-at-tenant"
