"""Conditional Access, by Graph and as a person meets it: entra.md §5, §6, §13."""

from __future__ import annotations

import json
import time

import jwt
import pytest

from .conftest import GROUP, SIGNIN_CLIENT
from .test_guests import refusal_of
from .test_signin import NORTHFIELD, SPONSOR, STAFF, claims_for, known_id

POLICIES = "/identity/conditionalAccess/policies"
CONTEXTS = "/identity/conditionalAccess/authenticationContextClassReferences"
WRITE = ["Policy.Read.All", "Policy.ReadWrite.ConditionalAccess", "Application.Read.All"]
REPORT_ONLY = "enabledForReportingButNotEnforced"
GUESTS = {"guestOrExternalUserTypes": "b2bCollaborationGuest,b2bCollaborationMember"}


@pytest.fixture
def bare(tenant):
    """No policy at all, and an app that may write them."""
    tenant.do("permissions", permissions=WRITE)
    for context in ("c1", "c2"):
        tenant.do("mfa", context=context, required=False)
    return tenant


def policy(*, users=None, target=None, grants=("mfa",), operator="OR", state="enabled", frequency=None):
    return {
        "displayName": "Made by a test",
        "state": state,
        "conditions": {
            "clientAppTypes": ["all"],
            "applications": target or {"includeAuthenticationContextClassReferences": ["c1"]},
            "users": users or {"includeUsers": ["All"]},
        },
        "grantControls": {"operator": operator, "builtInControls": list(grants)} if grants else None,
        "sessionControls": {"signInFrequency": frequency} if frequency else None,
    }


def create(tenant, *, odd=False, **changes):
    answer = tenant.graph("POST", POLICIES, policy(**changes), odd=odd)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def results(tenant):
    return [p["result"] for p in tenant.read("signins")[-1]["appliedConditionalAccessPolicies"]]


# -- Graph ------------------------------------------------------------------------------------------------------------


def test_a_policy_lives_from_post_to_delete(bare, browser, another_browser):
    made = create(bare)
    shown = bare.graph("GET", f"{POLICIES}/{made}").json()
    assert shown["conditions"]["applications"]["includeAuthenticationContextClassReferences"] == ["c1"]
    assert browser.start().press(SPONSOR).heading == "Verify your identity"
    assert bare.graph("PATCH", f"{POLICIES}/{made}", {"state": "disabled"}).status_code == 204
    assert another_browser().start().press(SPONSOR).left_to
    assert bare.graph("DELETE", f"{POLICIES}/{made}").status_code == 204
    assert bare.graph("GET", POLICIES).json()["value"] == []
    assert bare.graph("GET", f"{POLICIES}/{made}").status_code == 404


@pytest.mark.parametrize("missing", WRITE)
def test_writing_needs_all_three_permissions(tenant, missing):
    tenant.do("permissions", permissions=[p for p in WRITE if p != missing])
    answer = tenant.graph("POST", POLICIES, policy())
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Authorization_RequestDenied")


@pytest.mark.parametrize(
    "broken",
    [
        {"displayName": ""},
        {"state": "perhaps"},
        {"conditions": {"clientAppTypes": ["all"]}},
        {"grantControls": None, "sessionControls": None},
        {"grantControls": {"operator": "XOR", "builtInControls": ["mfa"]}},
        {"grantControls": {"operator": "OR", "builtInControls": ["magic"]}},
        {"sessionControls": {"signInFrequency": {"isEnabled": True, "type": "weeks", "value": 1}}},
        {"colour": "red"},
    ],
)
def test_a_broken_policy_is_refused(bare, broken):
    answer = bare.graph("POST", POLICIES, policy() | broken, odd=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
    assert bare.graph("GET", POLICIES).json()["value"] == []


def test_a_policy_is_about_apps_or_contexts(bare):
    both = {"includeApplications": ["All"], "includeAuthenticationContextClassReferences": ["c1"]}
    assert bare.graph("POST", POLICIES, policy(target=both)).status_code == 400
    assert (
        bare.graph(
            "POST", POLICIES, policy(target={"includeAuthenticationContextClassReferences": ["c100"]})
        ).status_code
        == 400
    )


def test_contexts_are_listed_and_written_by_patch(tenant):
    tenant.do("permissions", permissions=["AuthenticationContext.Read.All", "AuthenticationContext.ReadWrite.All"])
    listed = tenant.graph("GET", CONTEXTS).json()["value"]
    assert [(c["id"], c["isAvailable"]) for c in listed] == [("c1", True), ("c2", True)]
    assert tenant.graph("PATCH", f"{CONTEXTS}/c7", {"displayName": "Seven"}).status_code == 204
    assert tenant.graph("GET", f"{CONTEXTS}/c7").json()["isAvailable"] is False
    assert tenant.graph("PATCH", f"{CONTEXTS}/c1", {"isAvailable": False}).status_code == 204
    assert tenant.graph("GET", f"{CONTEXTS}/c1").json()["isAvailable"] is False
    assert tenant.graph("PATCH", f"{CONTEXTS}/c100", {"displayName": "Hundred"}).status_code == 400
    assert tenant.graph("GET", f"{CONTEXTS}/c9").status_code == 404


# -- states and targets -----------------------------------------------------------------------------------------------


def test_report_only_is_written_down_and_never_enforced(tenant, browser):
    tenant.do("mfa", context="c1", state=REPORT_ONLY)
    browser.start().press(SPONSOR)
    assert browser.claims()["acrs"] == ["c1"]
    assert tenant.read("signins")[-1]["conditionalAccessStatus"] == "notApplied"
    assert results(tenant) == ["reportOnlyInterrupted", "notApplied"]


def test_report_only_of_a_block_says_what_it_would_have_done(bare, browser):
    create(bare, grants=["block"], state=REPORT_ONLY)
    browser.sign_in(SPONSOR)
    assert results(bare) == ["reportOnlyFailure"]


def test_a_disabled_policy_is_as_good_as_none(tenant, browser):
    tenant.do("mfa", context="c1", state="disabled")
    browser.start().press(SPONSOR)
    assert browser.claims()["acrs"] == ["c1"]
    assert results(tenant) == ["notEnabled", "notApplied"]


def test_an_enforced_policy_is_written_down_as_met(tenant, browser):
    browser.sign_in(SPONSOR)
    assert tenant.read("signins")[-1]["conditionalAccessStatus"] == "success"
    assert results(tenant) == ["success", "notApplied"]


def test_a_block_shows_a_page_and_tells_the_app_nothing(bare, browser):
    create(bare, grants=["block"], target={"includeApplications": [SIGNIN_CLIENT]})
    assert refusal_of(browser.start().press(SPONSOR)) == (403, "53003")
    assert bare.read("signins")[-1]["conditionalAccessStatus"] == "failure"


def test_a_block_by_control_is_the_same_and_a_silent_sign_in_tells_the_app(tenant, browser):
    browser.sign_in(SPONSOR)
    tenant.do("policies", **policy(grants=["block"], target={"includeApplications": ["All"]}))
    assert refusal_of(browser.start()) == (403, "53003")
    answer = browser.start(prompt="none").answer
    assert answer["error"] == "interaction_required"
    assert answer["error_description"].startswith("AADSTS53003: ")


@pytest.mark.parametrize(
    ("grants", "operator", "code"),
    [
        (["compliantDevice"], "OR", "53000"),
        (["domainJoinedDevice"], "OR", "53001"),
        (["mfa", "compliantDevice"], "AND", "53000"),
        (["passwordChange"], "OR", "53003"),
    ],
)
def test_what_a_guest_cannot_meet_keeps_them_out(bare, browser, grants, operator, code):
    create(bare, grants=grants, operator=operator)
    assert refusal_of(browser.start().press(SPONSOR)) == (403, code)


def test_a_second_factor_meets_an_or(bare, browser):
    create(bare, grants=["mfa", "compliantDevice"])
    assert browser.start().press(SPONSOR).heading == "Verify your identity"


@pytest.mark.parametrize(
    ("users", "asked"),
    [
        ({"includeUsers": ["None"]}, []),
        ({"includeUsers": ["GuestsOrExternalUsers"]}, [SPONSOR]),
        ({"includeUsers": [known_id(STAFF)]}, [STAFF]),
        ({"includeUsers": ["All"], "excludeUsers": [known_id(SPONSOR)]}, [STAFF]),
        ({"includeUsers": ["All"], "excludeGroups": [GROUP]}, [STAFF]),
        ({"includeGroups": [GROUP]}, [SPONSOR]),
        ({"includeGuestsOrExternalUsers": GUESTS}, [SPONSOR]),
        ({"includeUsers": ["All"], "excludeGuestsOrExternalUsers": GUESTS}, [STAFF]),
        ({"includeGuestsOrExternalUsers": {"guestOrExternalUserTypes": "internalGuest"}}, []),
        (
            {
                "includeGuestsOrExternalUsers": GUESTS
                | {
                    "externalTenants": {
                        "@odata.type": "#microsoft.graph.conditionalAccessEnumeratedExternalTenants",
                        "membershipKind": "enumerated",
                        "members": ["aaaaaaaa-0000-4000-8000-000000000002"],
                    }
                }
            },
            [],
        ),
    ],
)
def test_policies_are_about_the_people_they_name(bare, another_browser, users, asked):
    lists_tenants = "externalTenants" in str(users)  # a derived type, of which the description names only the base
    create(bare, users=users, odd=lists_tenants)
    for address in (SPONSOR, STAFF):
        heading = another_browser().start().press(address)
        met = heading.left_to is None and heading.heading == "Verify your identity"
        assert met == (address in asked), address


def test_a_policy_about_an_app_can_leave_one_out(bare, browser):
    create(bare, target={"includeApplications": ["All"], "excludeApplications": [SIGNIN_CLIENT]})
    assert browser.start().press(SPONSOR).left_to


def test_a_strength_that_only_the_home_tenant_can_meet_keeps_guests_out(bare, browser, another_browser):
    strong = policy(grants=())
    strong["grantControls"] = {
        "operator": "OR",
        "builtInControls": [],
        "authenticationStrength": {"id": "00000000-0000-0000-0000-000000000004"},
    }
    assert bare.graph("POST", POLICIES, strong).status_code == 201
    assert refusal_of(browser.start().press(SPONSOR)) == (403, "53003")
    bare.do("cross-tenant", partner="northfield.example", trust_mfa=True)
    assert another_browser().start().press(SPONSOR).heading == "Verify your identity"


# -- frequency, freshness and step-up ---------------------------------------------------------------------------------


def test_a_frequency_in_hours_asks_again_when_they_are_over(bare, browser):
    hours = {"isEnabled": True, "type": "hours", "value": 8, "frequencyInterval": "timeBased"}
    create(bare, frequency=hours | {"authenticationType": "primaryAndSecondaryAuthentication"})
    browser.sign_in(SPONSOR)
    bare.do("advance", seconds=7 * 3600)
    assert browser.start().left_to
    bare.do("advance", seconds=3601)
    assert browser.start().heading == "Verify your identity"


def test_a_frequency_alone_asks_for_the_account(bare, browser):
    create(
        bare, grants=(), frequency={"isEnabled": True, "type": "hours", "value": 1, "frequencyInterval": "timeBased"}
    )
    browser.start().press(SPONSOR)
    assert browser.start().left_to
    bare.do("advance", seconds=3601)
    assert browser.start(prompt="none").answer["error"] == "interaction_required"
    assert browser.start().heading == "Pick an account"
    assert browser.press(SPONSOR).left_to


def test_a_step_up_gives_a_fresh_auth_time_for_the_stronger_context(browser):
    first = browser.sign_in(SPONSOR)
    time.sleep(1.1)  # auth_time counts whole seconds
    for fresh in ({"max_age": "0"}, {"prompt": "login"}):
        browser.start(claims=claims_for("c2"), **fresh)
        assert browser.press(SPONSOR).heading == "Verify your identity"
        second = browser.press("verify").claims()
        assert second["acrs"] == ["c2"]
        assert second["auth_time"] > first["auth_time"]
        assert second["oid"] == first["oid"]


def test_every_time_forgives_five_minutes(tenant, browser):
    browser.sign_in(SPONSOR)
    tenant.do("advance", seconds=299)
    assert browser.start(claims=claims_for("c2")).left_to
    tenant.do("advance", seconds=2)
    assert browser.start(claims=claims_for("c2")).heading == "Verify your identity"


# -- optional claims --------------------------------------------------------------------------------------------------


def test_auth_time_comes_only_to_apps_that_asked_for_it(tenant, browser):
    tenant.do("apps", client_id=SIGNIN_CLIENT, optional_claims=[])
    browser.sign_in(SPONSOR)
    assert "auth_time" not in browser.start().claims()
    wanted = {"id_token": {"auth_time": {"essential": True}, "acrs": {"value": "c1"}}}
    assert "auth_time" in browser.start(claims=json.dumps(wanted)).claims()
    assert "auth_time" in browser.start(max_age="600").claims()


def test_the_optional_claim_acrs_names_whatever_is_met(tenant, browser):
    tenant.do("apps", client_id=SIGNIN_CLIENT, optional_claims=["acrs", "acct", "upn"])
    claims = browser.start(claims="").press(SPONSOR).claims()
    assert "acrs" not in claims  # both contexts have a policy, and no second factor was given
    assert (claims["acct"], claims["upn"]) == (1, "sponsor_northfield.example#EXT#@hospital.example")
    browser.start().press("verify")
    assert browser.start(claims="").claims()["acrs"] == ["c1", "c2"]
    tenant.do("advance", seconds=301)
    assert browser.start(claims="").claims()["acrs"] == ["c1"]
    assert browser.start(claims=claims_for("c1")).claims()["acrs"] == ["c1"]


def test_there_is_never_an_amr(browser):
    wanted = json.dumps({"id_token": {"amr": {"essential": True}, "acrs": {"value": "c1"}}})
    assert "amr" not in browser.sign_in(SPONSOR, claims=wanted)


@pytest.mark.parametrize(
    ("order", "check"),
    [
        ({"claims": {"acrs": None}}, lambda c: "acrs" not in c),
        ({"claims": {"auth_time": 1}}, lambda c: c["auth_time"] == 1),
        ({"claims": {"nonce": "used-before"}}, lambda c: c["nonce"] == "used-before"),
        ({"user": "deputy@northfield.example"}, lambda c: c["oid"] == known_id("deputy@northfield.example")),
    ],
)
def test_the_answers_that_a_step_up_must_refuse_can_be_ordered(tenant, browser, order, check):
    tenant.do("bad-token", **order)
    browser.start().press(SPONSOR).press("verify")
    token = browser.redeem_code().json()["id_token"]
    assert check(jwt.decode(token, options={"verify_signature": False}))
    assert NORTHFIELD in browser.start().claims()["idp"]
