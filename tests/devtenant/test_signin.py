"""Signing in with a browser: entra.md §4, §5, §6, §8, §9, §13."""

from __future__ import annotations

import json
import uuid

import pytest
import requests

from .conftest import REDIRECT, SIGNIN_CLIENT, TENANT, Person

SPONSOR, STAFF = "sponsor@northfield.example", "approver@hospital.example"
NORTHFIELD = "aaaaaaaa-0000-4000-8000-000000000001"


def known_id(address):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"devtenant:{address}"))


def claims_for(context):
    return json.dumps({"id_token": {"acrs": {"essential": True, "value": context}}})


def test_a_guest_signs_in_by_picking_and_verifying(browser):
    browser.start()
    assert browser.heading == "Pick an account"
    browser.press(SPONSOR)
    assert browser.heading == "Verify your identity"
    browser.press("verify")
    assert browser.answer["state"] == "the-state"
    claims = browser.claims()
    assert claims["oid"] == known_id(SPONSOR)
    assert claims["tid"] == TENANT
    assert claims["idp"] == f"https://sts.windows.net/{NORTHFIELD}/"
    assert claims["email"] == claims["preferred_username"] == SPONSOR
    assert claims["acrs"] == ["c1"]
    assert claims["ver"] == "2.0"
    assert "roles" not in claims


def test_a_member_has_roles_and_no_idp(browser):
    browser.start().press(STAFF).press("verify")
    assert browser.heading == "Permissions requested"
    browser.press("accept")
    claims = browser.claims()
    assert claims["roles"] == ["Portal.Approver"]
    assert "idp" not in claims
    assert claims["oid"] == known_id(STAFF)


def test_a_member_accepts_the_app_only_once(browser, another_browser):
    browser.sign_in(STAFF)
    other = another_browser()
    other.start().press(STAFF).press("verify")
    assert other.left_to


def test_the_second_sign_in_goes_straight_through(browser):
    first = browser.sign_in(SPONSOR)
    browser.start()
    second = browser.claims()
    assert second["auth_time"] == first["auth_time"]
    assert second["sid"] == first["sid"]


def test_select_account_asks_again(browser):
    browser.sign_in(SPONSOR)
    assert browser.start(prompt="select_account").heading == "Pick an account"


def test_login_asks_for_account_and_second_factor_again(browser):
    browser.sign_in(SPONSOR)
    browser.start(prompt="login")
    assert browser.heading == "Pick an account"
    assert browser.press(SPONSOR).heading == "Verify your identity"


def test_max_age_asks_again_only_when_the_sign_in_is_older(browser):
    browser.sign_in(SPONSOR)
    assert browser.start(max_age="600").left_to
    assert browser.start(max_age="0").heading == "Pick an account"


def test_prompt_none_tells_the_app_instead_of_asking(browser):
    assert browser.start(prompt="none").answer["error"] == "login_required"
    browser.sign_in(SPONSOR)
    assert "code" in browser.start(prompt="none").answer


def test_a_hint_picks_among_the_signed_in(browser):
    browser.sign_in(SPONSOR)
    browser.sign_in("deputy@northfield.example", prompt="select_account")
    assert browser.start().heading == "Pick an account"
    assert browser.start(login_hint=SPONSOR).left_to
    assert browser.claims()["oid"] == known_id(SPONSOR)


def test_emergency_context_wants_a_second_factor_not_older_than_five_minutes(tenant, browser):
    browser.sign_in(SPONSOR)
    assert browser.start(claims=claims_for("c2")).left_to
    tenant.do("advance", seconds=301)
    assert browser.start(claims=claims_for("c1")).left_to
    assert browser.start(claims=claims_for("c2")).heading == "Verify your identity"
    assert browser.press("verify").claims()["acrs"] == ["c2"]


def test_a_context_without_a_policy_is_granted_silently(tenant, browser):
    tenant.do("mfa", context="c1", required=False)
    browser.start().press(SPONSOR)
    assert browser.claims()["acrs"] == ["c1"]


def test_no_context_is_issued_that_was_not_asked_for(browser):
    browser.start(claims="").press(SPONSOR)
    assert "acrs" not in browser.claims()


def test_a_policy_on_the_app_asks_for_a_second_factor_at_every_first_sign_in(tenant, browser):
    tenant.do("mfa", app=True)
    assert browser.start(claims="").press(SPONSOR).heading == "Verify your identity"


def test_someone_who_is_no_guest_is_told_so_and_the_app_hears_nothing(browser):
    browser.start().press("nurse@northfield.example")
    assert browser.page.status_code == 403
    assert "AADSTS50020" in browser.page.text
    assert browser.press("again").heading == "Pick an account"


def test_a_guest_outside_the_access_group_is_turned_away(tenant, browser):
    tenant.invite("nurse@northfield.example")
    browser.start().press("nurse@northfield.example")
    assert browser.heading == "Review permissions"
    assert "AADSTS50105" in browser.press("accept").page.text


def test_a_disabled_user_is_turned_away(tenant, browser):
    tenant.do("enable-user", user=SPONSOR, enabled=False)
    assert "AADSTS50057" in browser.start().press(SPONSOR).page.text


def test_a_pending_guest_redeems_by_just_signing_in(tenant, browser):
    guest = tenant.admit("nurse@northfield.example")
    claims = browser.sign_in("nurse@northfield.example")
    assert claims["oid"] == guest
    state = tenant.graph("GET", f"/users/{guest}?$select=externalUserState").json()
    assert state["externalUserState"] == "Accepted"


def test_a_pending_guest_who_declines_stays_pending(tenant, browser):
    guest = tenant.admit("nurse@northfield.example")
    browser.start().press("nurse@northfield.example").press("cancel")
    assert browser.answer["error"] == "access_denied"
    assert browser.answer["state"] == "the-state"
    state = tenant.graph("GET", f"/users/{guest}?$select=externalUserState").json()
    assert state["externalUserState"] == "PendingAcceptance"


def test_an_unknown_address_of_a_partner_is_made_on_the_fly_unless_forbidden(tenant, browser):
    tenant.admit("night.nurse@northfield.example")
    assert browser.start().type_address("night.nurse@northfield.example").heading == "Review permissions"
    tenant.do("settings", allow_unknown_accounts=False)
    browser.start().type_address("day.nurse@northfield.example")
    assert browser.page.status_code == 400
    assert "There is no account day.nurse@northfield.example" in browser.page.text


@pytest.mark.parametrize("address", ["nobody@", "nobody@hospital.example", "nobody"])
def test_an_address_of_nobody_is_refused_in_words(browser, address):
    browser.start().type_address(address)
    assert browser.page.status_code == 400
    assert browser.heading == "Pick an account"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"redirect_uri": "http://evil.example/cb"}, "AADSTS50011"),
        ({"redirect_uri": "http://portal.localhost.evil.example/cb"}, "AADSTS50011"),
        ({"redirect_uri": "http://portal.localhost@evil.example/cb"}, "AADSTS50011"),
        ({"client_id": str(uuid.uuid4())}, "AADSTS700016"),
    ],
)
def test_what_may_not_be_the_app_gets_no_redirect(browser, changes, code):
    browser.start(**changes)
    assert browser.left_to is None
    assert code in browser.page.text


@pytest.mark.parametrize(
    "changes",
    [
        {"response_type": "token"},
        {"scope": "profile"},
        {"claims": "{"},
        {"claims": '{"id_token":{"acrs":5}}'},
        {"code_challenge_method": "plain"},
        {"prompt": "shout"},
        {"max_age": "soon"},
        {"response_mode": "pigeon"},
    ],
)
def test_a_wrong_request_goes_back_to_the_app_with_its_state(browser, changes):
    answer = browser.start(**changes).answer
    assert answer["error"] == "invalid_request"
    assert answer["state"] == "the-state"


def test_the_common_endpoint_is_not_for_a_single_tenant_app(tenant, browser):
    browser.open(f"http://login.localhost:{tenant.port}/common/oauth2/v2.0/authorize?client_id={SIGNIN_CLIENT}")
    assert "AADSTS50194" in browser.page.text


def test_a_flow_belongs_to_the_browser_that_began_it(browser, another_browser):
    browser.start()
    thief = another_browser().open(browser.url)
    flow = browser.page.text.partition('action="')[2].partition('"')[0]
    thief.open(f"http://login.localhost:{browser.tenant.port}{flow}")
    assert thief.page.status_code == 404


def test_a_finished_flow_cannot_be_repeated(browser):
    browser.start().press(SPONSOR)
    flow = browser.url
    browser.press("verify")
    assert browser.left_to
    browser.open(flow)
    assert browser.heading == "This sign-in is over"


def test_a_code_works_once(browser):
    browser.sign_in(SPONSOR)
    refused = browser.redeem_code()
    assert refused.status_code == 400
    assert refused.json()["error"] == "invalid_grant"
    assert refused.json()["error_codes"] == [54005]


def test_a_wrong_verifier_is_refused(browser):
    browser.start().press(SPONSOR).press("verify")
    refused = browser.redeem_code(code_verifier="x" * 43).json()
    assert refused["error_codes"] == [501481]
    assert refused["error_description"].startswith("AADSTS501481: ")
    assert "\r\nTrace ID: " in refused["error_description"]


@pytest.mark.parametrize(
    ("changes", "status", "number"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_secret": ""}, 401, 7000218),
        ({"client_id": "nobody"}, 400, 700016),
        ({"code": "nonsense"}, 400, 9002313),
        ({"redirect_uri": "http://localhost/other"}, 400, 500112),
        ({"grant_type": "password"}, 400, 70003),
    ],
)
def test_the_token_endpoint_refuses(browser, changes, status, number):
    browser.start().press(SPONSOR).press("verify")
    refused = browser.redeem_code(**changes)
    assert (refused.status_code, refused.json()["error_codes"]) == (status, [number])


def test_basic_authentication_of_the_client_works_too(browser):
    browser.start().press(SPONSOR).press("verify")
    form = {
        "grant_type": "authorization_code",
        "code": browser.answer["code"],
        "redirect_uri": REDIRECT,
        "code_verifier": browser.verifier,
    }
    url = f"{browser.tenant.base}/{TENANT}/oauth2/v2.0/token"
    answer = requests.post(url, data=form, auth=(SIGNIN_CLIENT, "devtenant-signin-secret"), timeout=5)
    assert answer.json()["token_type"] == "Bearer"


def test_sub_differs_between_people_and_stays_for_one(browser, another_browser):
    first = browser.sign_in(SPONSOR)["sub"]
    assert another_browser().sign_in(SPONSOR)["sub"] == first
    assert another_browser().sign_in("deputy@northfield.example")["sub"] != first


def test_discovery_follows_the_host_that_was_asked(tenant):
    path = f"/{TENANT}/v2.0/.well-known/openid-configuration"
    named = requests.get(tenant.base + path, headers={"Host": f"login.localhost:{tenant.port}"}, timeout=5).json()
    assert named["issuer"] == tenant.issuer
    secure = requests.get(tenant.https + path, verify=tenant.data / "ca.pem", timeout=5).json()
    assert secure["token_endpoint"] == f"{tenant.https}/{TENANT}/oauth2/v2.0/token"


def test_a_rotated_key_signs_and_the_old_one_stays_published(tenant, browser):
    keys = f"{tenant.base}/{TENANT}/discovery/v2.0/keys"
    before = {key["kid"] for key in requests.get(keys, timeout=5).json()["keys"]}
    fresh = tenant.do("rotate-keys")["kid"]
    after = {key["kid"] for key in requests.get(keys, timeout=5).json()["keys"]}
    assert after == before | {fresh}
    assert browser.sign_in(SPONSOR)["oid"]


def test_logout_ends_the_session_and_returns_to_a_registered_address_only(tenant, browser):
    browser.sign_in(SPONSOR)
    leave = f"http://login.localhost:{tenant.port}/{TENANT}/oauth2/v2.0/logout?post_logout_redirect_uri="
    assert browser.open(leave + "http://evil.example/").heading == "You signed out"
    assert browser.start().heading == "Pick an account"
    assert browser.open(leave + "http://portal.localhost:8000/bye/").left_to == "http://portal.localhost:8000/bye/"


def test_revoked_sessions_cost_the_second_factor_but_not_the_home_sign_in(tenant, browser):
    browser.sign_in(SPONSOR)
    tenant.do("permissions", permissions=["User.RevokeSessions.All"])
    answer = tenant.graph("POST", f"/users/{known_id(SPONSOR)}/revokeSignInSessions")
    assert (answer.status_code, answer.json()["value"]) == (200, True)
    assert browser.start().heading == "Verify your identity"


def test_a_forged_host_is_refused(tenant):
    assert requests.get(tenant.base, headers={"Host": "evil.example"}, timeout=5).status_code == 400


def test_two_people_in_two_browsers_do_not_mix(tenant):
    one, two = Person(tenant), Person(tenant)
    one.start()
    two.start()
    one.press(SPONSOR).press("verify")
    two.press(STAFF).press("verify").press("accept")
    assert one.claims()["oid"] == known_id(SPONSOR)
    assert two.claims()["oid"] == known_id(STAFF)
