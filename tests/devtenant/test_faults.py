"""/_control/: faults on order, the list of calls, bad tokens, settings."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
import requests

from .conftest import SIGNIN_CLIENT, TENANT, until

NURSE, SPONSOR = "nurse@northfield.example", "sponsor@northfield.example"


def test_the_next_calls_fail_as_ordered_and_then_no_more(tenant):
    tenant.do("fail-next", operation="GET /users", status=429, code="TooManyRequests", times=2)
    answers = [tenant.graph("GET", "/users") for _ in range(3)]
    assert [a.status_code for a in answers] == [429, 429, 200]
    assert answers[0].json()["error"]["code"] == "TooManyRequests"
    assert tenant.graph("GET", "/users/nobody").status_code == 404


def test_headers_can_be_ordered_with_a_failure(tenant):
    tenant.do("fail-next", operation="GET /users", status=429, headers={"Retry-After": "2.128"})
    assert tenant.graph("GET", "/users").headers["Retry-After"] == "2.128"


def test_a_cut_call_is_done_but_never_answered(tenant):
    tenant.do("fail-next", operation="POST /invitations", mode="cut")
    with pytest.raises(requests.ConnectionError):
        tenant.invite(NURSE)
    assert [i["address"] for i in tenant.read("invitations")] == [NURSE]
    assert tenant.invite(NURSE).status_code == 201
    assert len([u for u in tenant.read("users") if u["mail"] == NURSE]) == 1


def test_a_call_can_be_refused_although_it_was_done(tenant):
    tenant.do("fail-next", operation="POST /invitations", mode="answer_after", status=504, code="UnknownError")
    assert tenant.invite(NURSE).status_code == 504
    assert len(tenant.read("invitations")) == 1


def test_a_refused_call_does_nothing(tenant):
    tenant.do("fail-next", operation="POST /invitations", status=500)
    assert tenant.invite(NURSE).status_code == 500
    assert tenant.read("invitations") == []


def test_a_delayed_call_delays_no_other(tenant):
    tenant.do("fail-next", operation="GET /openid-configuration", mode="delay", seconds=1.0)
    url = f"{tenant.base}/{TENANT}/v2.0/.well-known/openid-configuration"
    with pytest.raises(requests.Timeout):
        requests.get(url, timeout=0.3)
    began = time.monotonic()
    assert requests.get(url, timeout=5).status_code == 200
    assert time.monotonic() - began < 0.5


def test_a_held_answer_leaves_after_the_call_was_done(tenant):
    tenant.do("fail-next", operation="POST /invitations", mode="hold", seconds=1.0)
    with ThreadPoolExecutor(1) as elsewhere:
        asked = elsewhere.submit(tenant.invite, NURSE)
        assert until(lambda: [i["address"] for i in tenant.read("invitations")] == [NURSE])
        assert tenant.read("calls", operation="POST /invitations") == []
        assert asked.result().status_code == 201


def test_the_token_endpoint_fails_in_its_own_shape(tenant):
    tenant.do("fail-next", operation="POST /token", status=503, code="temporarily_unavailable")
    answer = requests.post(f"{tenant.base}/{TENANT}/oauth2/v2.0/token", data={}, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


def test_faults_can_be_taken_back(tenant):
    tenant.do("fail-next", operation="*", times=100)
    tenant.do("clear-faults")
    assert tenant.graph("GET", "/users").status_code == 200


def test_calls_are_listed_without_secrets(tenant, browser):
    tenant.do("clear-calls")
    browser.open(tenant.invite(NURSE).json()["inviteRedeemUrl"])
    tenant.graph("GET", "/users", params={"$filter": f"mail eq '{NURSE}'"})
    calls = tenant.read("calls")
    seen = [(c["operation"], c["status"]) for c in calls if c["operation"] != "POST /token"]
    assert seen == [("POST /invitations", 201), ("GET /redeem", 200), ("GET /users", 200)]
    assert all(c["request_id"] and c["seconds"] >= 0 for c in calls)
    assert NURSE not in str(calls)
    assert "ticket" not in str(calls)
    assert len(tenant.read("calls", operation="GET /users")) == 1
    assert tenant.read("calls", since=time.time()) == []


@pytest.mark.parametrize("how", ["hs256", "foreign", "none", "unknown-kid"])
def test_a_badly_signed_token_can_be_ordered_once(tenant, browser, how):
    tenant.do("bad-token", sign=how)
    browser.start().press(SPONSOR).press("verify")
    with pytest.raises((jwt.InvalidTokenError, KeyError)):
        browser.claims()
    browser.start()
    assert browser.claims()["oid"]


def test_a_token_without_a_key_id_is_otherwise_good(tenant, browser):
    tenant.do("bad-token", sign="no-kid")
    browser.start().press(SPONSOR).press("verify")
    assert "kid" not in jwt.get_unverified_header(browser.redeem_code().json()["id_token"])


def test_claims_of_the_next_token_can_be_changed_and_left_out(tenant, browser):
    tenant.do("bad-token", claims={"aud": [SIGNIN_CLIENT, "other"], "iat": None})
    browser.start().press(SPONSOR).press("verify")
    claims = jwt.decode(browser.redeem_code().json()["id_token"], options={"verify_signature": False})
    assert claims["aud"] == [SIGNIN_CLIENT, "other"]
    assert "iat" not in claims


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        ("settings", {"lag": -1}),
        ("settings", {"colour": "red"}),
        ("fail-next", {"mode": "answer"}),
        ("fail-next", {"operation": "GET /users", "mode": "explode"}),
        ("permissions", {"permissions": "all"}),
        ("accounts", {"address": "nobody@nowhere.example", "kind": "entra"}),
        ("accounts", {"address": "nurse@northfield.example", "second_factor": "stolen"}),
        ("cross-tenant", {"partner": "nowhere.example", "inbound": "blocked"}),
        ("cross-tenant", {"their_outbound": "blocked"}),
        ("apps", {"name": "x", "redirect_uris": ["not an address"]}),
        ("apps", {"colour": "red"}),
        ("apps", {"certificates": ["no pem"]}),
        ("federations", {"domain": "northfield.example", "issuer": "https://sso.example"}),
        ("recreate-account", {"address": "approver@hospital.example"}),
        ("mfa", {"context": "c1", "state": "perhaps"}),
        ("workload-token", {}),
        ("policies", {"displayName": "nothing else"}),
        ("scenario", {"name": "nonsense"}),
        ("accounts", {"address": "new@hospital.example"}),
        ("mfa", {}),
        ("advance", {"seconds": -5}),
        ("bad-token", {"sign": "maybe"}),
        ("enable-user", {"user": "nobody"}),
    ],
)
def test_a_mistaken_order_is_refused_in_words(tenant, what, arguments):
    answer = requests.post(f"{tenant.base}/_control/{what}", json=arguments, timeout=5)
    assert answer.status_code == 400
    assert len(answer.json()["error"]) > 10


def test_a_web_page_may_not_control_the_tenant(tenant):
    headers = {"Origin": "http://evil.example", "Content-Type": "text/plain"}
    answer = requests.post(f"{tenant.base}/_control/reset", data="{}", headers=headers, timeout=5)
    assert answer.status_code == 403


def test_accounts_can_be_added_and_are_listed(tenant):
    tenant.do("accounts", address="physio@willowcourt.example", name="Willow Physiotherapist")
    page = requests.get(f"{tenant.base}/accounts/", timeout=5).text
    assert "Willow Physiotherapist" in page
    assert "Not known" in page


@pytest.mark.parametrize("path", ["/", "/accounts/", "/mailbox/", "/nothing/", "/style.css"])
def test_pages_have_safe_headers_and_no_script(tenant, path):
    answer = requests.get(tenant.base + path, timeout=5)
    assert "<script" not in answer.text
    if path != "/style.css":
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.text.count("<h1>") == 1
