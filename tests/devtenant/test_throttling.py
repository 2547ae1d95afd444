"""Graph's published limits (entra.md §10): the algorithm by itself, then as a client meets it."""

from __future__ import annotations

import datetime as dt
import time
from email.utils import parsedate_to_datetime

import pytest

from devtenant import throttling
from devtenant.errors import GraphError
from devtenant.throttling import SETTINGS, Throttle, costs_of

from .conftest import GROUP

NURSE = "nurse@northfield.example"


def settings(**changes):
    return {**SETTINGS, **changes}


def accepted(throttle, costs, now, **changes):
    """Whether a request passes at a moment."""
    try:
        throttle.charge(costs, "app", now, settings(**changes), users=10)
    except GraphError:
        return False
    return True


def refusal(throttle, costs, now, app="app", **changes):
    with pytest.raises(GraphError) as refused:
        throttle.charge(costs, app, now, settings(**changes), users=10)
    return refused.value


# -- the algorithm ----------------------------------------------------------------------------------------------


def test_no_window_anywhere_holds_more_than_the_limit():
    throttle, passed = Throttle(), []
    for step in range(4000):
        now = step * 0.01  # a client that asks a hundred times a second, whatever it is told
        if accepted(throttle, {"invitations": 1}, now):
            passed.append(now)
    assert max(sum(start <= t < start + 5 for t in passed) for start in passed) == 150
    assert len(passed) == 8 * 150  # 40 seconds hold eight windows, and none of their room is lost


def test_a_request_fits_again_exactly_when_the_oldest_has_left_the_window():
    throttle = Throttle()
    assert all(accepted(throttle, {"invitations": 1}, 0.0) for _ in range(150))
    assert not accepted(throttle, {"invitations": 1}, 4.999)
    assert accepted(throttle, {"invitations": 1}, 5.0)


def test_what_is_refused_costs_nothing_unless_early_retries_are_counted():
    limits = {"invitations": [2, 10]}
    for how, later in (("free", True), ("counted", False)):
        throttle = Throttle()
        assert [accepted(throttle, {"invitations": 1}, t, limits=limits, early_retries=how) for t in (0, 0, 9, 9)] == [
            True,
            True,
            False,
            False,
        ]
        assert accepted(throttle, {"invitations": 1}, 11, limits=limits, early_retries=how) is later


def test_the_tenant_has_one_window_and_each_app_its_own():
    throttle = Throttle()
    limits = {"invitations": [1, 5], "writes": [1, 150]}
    throttle.charge({"invitations": 1}, "one", 0, settings(limits=limits), users=1)
    throttle.charge({"writes": 1}, "one", 0, settings(limits=limits), users=1)
    throttle.charge({"writes": 1}, "two", 0, settings(limits=limits), users=1)
    assert refusal(throttle, {"invitations": 1}, 1, "two", limits=limits).headers["x-ms-throttle-scope"] == (
        "Tenant/ReadWrite/two/11111111-1111-4111-8111-111111111111"
    )


def test_several_full_limits_wait_for_the_longest():
    throttle = Throttle()
    limits = {"invitations": [1, 5], "writes": [1, 150]}
    throttle.charge({"invitations": 1, "writes": 1}, "app", 0, settings(limits=limits), users=1)
    refused = refusal(throttle, {"invitations": 1, "writes": 1}, 1, limits=limits)
    assert refused.headers["Retry-After"] == "149.000"
    assert refused.headers["x-ms-throttle-information"] == "WriteLimitExceeded"
    assert refused.verdict == "Throttled: writes"


@pytest.mark.parametrize(("users", "units"), [(49, 3500), (50, 5000), (500, 5000), (501, 8000)])
def test_resource_units_follow_the_size_of_the_tenant(users, units):
    assert throttling.limits_now(SETTINGS, users)["resource_units"].count == units
    assert throttling.limits_now(settings(tenant_size="L"), users)["resource_units"].count == 8000


@pytest.mark.parametrize(
    ("operation", "query", "units"),
    [
        ("GET /users", {}, 2),
        ("GET /users", {"$select": "id"}, 1),
        ("GET /users", {"$expand": "manager"}, 3),
        ("GET /users", {"$top": "19"}, 1),
        ("GET /users", {"$top": "20"}, 2),
        ("GET /users", {"$select": "id", "$top": "5"}, 1),
        ("GET /users/{id}", {}, 1),
        ("GET /groups/{id}/members", {}, 3),
        ("GET /groups/{id}/members", {"$select": "id", "$top": "5"}, 1),
        ("GET /groups/{id}/transitiveMembers", {}, 5),
        ("POST /directoryObjects/getByIds", {}, 3),
        ("GET /users/{id}/memberOf", {}, 2),
        ("POST /users/{id}/checkMemberGroups", {}, 4),
        ("POST /users/{id}/getMemberGroups", {}, 2),
        ("GET /applications", {}, 2),
        ("POST /groups/{id}/members/$ref", {}, 1),
    ],
)
def test_resource_units_are_the_published_ones(operation, query, units):
    assert costs_of(operation, query)["resource_units"] == units


@pytest.mark.parametrize(
    ("operation", "named", "absent"),
    [
        ("POST /invitations", {"invitations", "writes", "tenant_writes", "app_writes"}, {"reports"}),
        ("POST /groups/{id}/members/$ref", {"writes", "resource_units"}, {"invitations"}),
        ("DELETE /users/{id}", {"writes"}, {"invitations"}),
        ("POST /users/{id}/checkMemberGroups", {"resource_units"}, {"writes"}),
        ("POST /directoryObjects/getByIds", {"resource_units"}, {"writes"}),
        ("GET /auditLogs/{rest}", {"reports", "requests"}, {"resource_units"}),
        ("PATCH /identity/conditionalAccess/policies/{id}", {"conditional_access"}, {"writes", "resource_units"}),
        ("GET /policies/authorizationPolicy", {"requests"}, {"resource_units", "conditional_access"}),
    ],
)
def test_each_operation_falls_under_its_limits(operation, named, absent):
    costs = set(costs_of(operation, {}))
    assert named <= costs
    assert not absent & costs


def test_the_published_numbers():
    limits = throttling.limits_now(SETTINGS, users=10)
    found = {name: (limit.count, limit.seconds) for name, limit in limits.items()}
    assert found == {
        "requests": (2000, 1),
        "invitations": (150, 5),
        "resource_units": (3500, 10),
        "app_resource_units": (150000, 20),
        "writes": (3000, 150),
        "tenant_writes": (18000, 300),
        "app_writes": (70000, 300),
        "reports": (5, 10),
        "conditional_access": (1, 1),
    }


# -- as a client meets it ---------------------------------------------------------------------------------------


def test_an_invitation_over_the_limit_is_refused_for_as_long_as_it_says(tenant):
    tenant.do("settings", limits={})
    answers = [tenant.invite(NURSE) for _ in range(3)]
    assert [a.status_code for a in answers] == [201] * 3
    assert tenant.read()["limits"]["invitations"] == {"count": 150, "seconds": 5, "used": 3}
    tenant.do("settings", limits={"invitations": [3, 5]})
    refused = tenant.invite(NURSE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "TooManyRequests")
    assert 0 < float(refused.headers["Retry-After"]) <= 5
    assert "." in refused.headers["Retry-After"]
    tenant.do("advance", seconds=float(refused.headers["Retry-After"]))
    assert tenant.invite(NURSE).status_code == 201


def test_waiting_as_long_as_it_says_is_enough_and_no_less_is(tenant):
    tenant.do("settings", limits={"invitations": [1, 1000]})
    assert tenant.invite(NURSE).status_code == 201
    wait = float(tenant.invite(NURSE).headers["Retry-After"])
    tenant.do("advance", seconds=wait - 20)
    assert tenant.invite(NURSE).status_code == 429
    tenant.do("advance", seconds=20)
    assert tenant.invite(NURSE).status_code == 201


@pytest.mark.parametrize("how", ["fractional", "whole", "date", "none"])
def test_retry_after_comes_in_the_shape_that_is_set(tenant, how):
    tenant.do("settings", limits={"invitations": [1, 100]}, retry_after=how)
    tenant.invite(NURSE)
    said = tenant.invite(NURSE).headers.get("Retry-After")
    if how == "none":
        assert said is None
    elif how == "date":
        wait = parsedate_to_datetime(said) - dt.datetime.now(dt.UTC)
        assert 95 < wait.total_seconds() <= 101
    else:
        assert 95 < float(said) <= 100
        assert said.isdigit() is (how == "whole")


@pytest.mark.parametrize("code", ["TooManyRequests", "429", "activityLimitReached"])
def test_the_code_in_the_body_is_one_of_three(tenant, code):
    tenant.do("settings", limits={"invitations": [1, 100]}, throttle_code=code)
    tenant.invite(NURSE)
    assert tenant.invite(NURSE).json()["error"]["code"] == code


def test_headers_say_what_it_cost_and_warn_above_eighty_percent(tenant):
    tenant.do("settings", limits={"resource_units": [10, 100]})
    shares = [tenant.graph("GET", "/users").headers for _ in range(5)]
    assert {h["x-ms-resource-unit"] for h in shares} == {"2"}
    assert [h.get("x-ms-throttle-limit-percentage") for h in shares] == [None, None, None, None, "1.00"]
    refused = tenant.graph("GET", "/users")
    assert refused.status_code == 429
    assert refused.headers["x-ms-throttle-information"] == "ResourceUnitLimitExceeded"
    assert refused.headers["x-ms-throttle-scope"].startswith("Tenant_Application/ReadWrite/33333333-")
    assert float(refused.headers["x-ms-throttle-limit-percentage"]) > 1


def test_conditional_access_does_not_say_when(tenant):
    tenant.do("permissions", permissions=["Policy.Read.All"])
    tenant.do("settings", limits={"conditional_access": [1, 100]})
    path = "/identity/conditionalAccess/policies"
    assert tenant.graph("GET", path).status_code == 200
    refused = tenant.graph("GET", path)
    assert (refused.status_code, refused.headers.get("Retry-After")) == (429, None)


def test_writes_have_their_own_limit_and_reads_go_on(tenant):
    tenant.do("settings", limits={"writes": [1, 100]})
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]  # counts as one write
    assert tenant.add_to_group(guest).status_code == 429
    assert tenant.graph("GET", f"/users/{guest}").status_code == 200
    assert tenant.graph("POST", f"/users/{guest}/checkMemberGroups", {"groupIds": [GROUP]}).status_code == 200


def test_reports_are_limited_though_not_modelled(tenant):
    tenant.do("permissions", permissions=["AuditLog.Read.All"])
    answers = [tenant.graph("GET", "/auditLogs/signIns").status_code for _ in range(6)]
    assert answers == [501] * 5 + [429]


def test_throttling_can_be_switched_off(tenant):
    tenant.do("settings", limits={"invitations": [1, 100]}, throttling=False)
    assert [tenant.invite(NURSE).status_code for _ in range(3)] == [201] * 3
    assert "x-ms-resource-unit" not in tenant.invite(NURSE).headers


def test_a_refused_invitation_does_nothing_and_is_listed_as_throttled(tenant):
    tenant.do("settings", limits={"invitations": [1, 100]})
    tenant.invite(NURSE)
    assert tenant.invite("doctor@northfield.example").status_code == 429
    assert len(tenant.read("invitations")) == 1
    assert tenant.read("calls", operation="POST /invitations")[-1]["verdict"] == "Throttled: invitations"


def test_charging_costs_microseconds():
    throttle, costs = Throttle(), costs_of("POST /invitations", {})
    plenty = settings(limits={name: [10**9, 5] for name in throttling.LIMITS})
    before = time.process_time()
    for number in range(2000):
        throttle.charge(costs, "app", number * 0.01, plenty, users=10)
    assert time.process_time() - before < 0.5
