"""Signing out tells the apps: entra.md §9, Single logout."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from .conftest import SIGNIN_CLIENT, TENANT, Person, Process
from .test_signin import SPONSOR

BYE = "http://portal.localhost:8000/bye/"


def leave(browser, back=BYE):
    query = f"?post_logout_redirect_uri={back}" if back else ""
    return browser.open(f"http://login.localhost:{browser.tenant.port}/{TENANT}/oauth2/v2.0/logout{query}")


def frames(browser):
    return [unescape(found) for found in re.findall(r'<iframe[^>]* src="([^"]+)"', browser.page.text)]


def test_every_app_of_the_session_is_told_with_sid_and_issuer(tenant, browser):
    claims = browser.sign_in(SPONSOR)
    leave(browser)
    (frame,) = frames(browser)
    assert frame.startswith("http://portal.localhost:8000/sign-out/front-channel/?")
    told = {name: value[0] for name, value in parse_qs(urlsplit(frame).query).items()}
    assert told == {"sid": claims["sid"], "iss": tenant.issuer}
    assert "frame-src 'self' http://portal.localhost:8000;" in browser.page.headers["content-security-policy"]


def test_afterwards_the_browser_goes_on_by_script_or_without(browser):
    browser.sign_in(SPONSOR)
    leave(browser)
    assert '<script src="/leave.js" defer></script>' in browser.page.text
    assert "location.replace" in requests.get(f"{browser.tenant.base}/leave.js", timeout=5).text
    assert f'id="onward" class="deed" href="{BYE}"' in browser.page.text
    assert browser.start().heading == "Pick an account"


def test_who_did_not_sign_in_anywhere_goes_on_at_once(browser):
    assert leave(browser).left_to == BYE


def test_a_session_that_is_over_tells_nobody_twice(browser):
    browser.sign_in(SPONSOR)
    leave(browser)
    assert leave(browser).left_to == BYE


def test_an_unregistered_address_is_not_gone_to_but_the_apps_are_told(browser):
    browser.sign_in(SPONSOR)
    leave(browser, "http://evil.example/")
    assert browser.left_to is None
    assert len(frames(browser)) == 1
    assert "evil.example" not in browser.page.text


def test_two_apps_are_both_told_and_others_not(tenant, browser):
    other = tenant.do(
        "apps",
        name="Another",
        secrets=["s"],
        redirect_hosts=["portal.localhost"],
        logout_url="https://another.example/bye?x=1",
    )["client_id"]
    tenant.do("apps", name="Never used", logout_url="https://never.example/bye")
    browser.sign_in(SPONSOR)
    browser.start(client_id=other)
    leave(browser)
    hosts = [urlsplit(frame).hostname for frame in frames(browser)]
    assert hosts == ["portal.localhost", "another.example"]
    assert frames(browser)[1].startswith("https://another.example/bye?x=1&sid=")


def test_an_app_without_a_logout_url_is_left_alone(tenant, browser):
    tenant.do("apps", client_id=SIGNIN_CLIENT, logout_url=None)
    browser.sign_in(SPONSOR)
    assert leave(browser).left_to == BYE


@pytest.mark.parametrize(("port", "expected"), [("9123", 9123), ("", 8000)])
def test_the_portals_address_follows_its_port(tmp_path, monkeypatch, port, expected):
    monkeypatch.setenv("PORT", port)
    tenant = Process(tmp_path / "tenant")
    try:
        tenant.do("mfa", context="c1", required=False)
        browser = Person(tenant)
        browser.start().press(SPONSOR)
        leave(browser)
        assert urlsplit(frames(browser)[0]).port == expected
    finally:
        tenant.stop()
