"""The contract with Microsoft Graph: what tests/contract.py finds, and that nothing escapes it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests import contract

from .conftest import GRAPH_CLIENT, GROUP, Process

NURSE = "nurse@northfield.example"


@pytest.fixture
def graph_contract() -> contract.Contract:
    return contract.required()


def held(process: Process) -> str:
    """What the check at the end of a test says of the exchanges so far."""
    known = contract.required()
    return "\n".join(problem for exchange in process.take_exchanges() for problem in known.problems(exchange))


def invite_with(tenant: Process, **more: object) -> str:
    tenant.invite(NURSE, **more)
    return held(tenant)


def test_a_planted_request_is_found(tenant):
    assert "colour" in invite_with(tenant, colour="red")
    assert "'yes' is not of type 'boolean'" in invite_with(tenant, sendInvitationMessage="yes")
    deep = {"ccRecipients": [{"emailAddress": {"address": NURSE, "nick": "n"}}]}
    assert "nick" in invite_with(tenant, invitedUserMessageInfo=deep)
    assert invite_with(tenant, sendInvitationMessage=True) == ""


def test_a_missing_property_and_an_unknown_query_option_are_found(tenant):
    tenant.graph("POST", "/invitations", {"invitedUserEmailAddress": NURSE})
    assert "'inviteRedirectUrl' is a required property" in held(tenant)
    tenant.graph("GET", "/users?$colour=red")
    assert "$colour is not described" in held(tenant)
    tenant.graph("GET", "/patients")
    assert "no such operation is described" in held(tenant)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"error": {"code": 5, "message": "no text as code"}}, "5 is not of type 'string'"),
        ({"fault": "another envelope"}, "'error' is a required property"),
        ("<html>Bad gateway</html>", "text/html"),
    ],
)
def test_a_planted_answer_is_found(tenant, body, found):
    order = {"operation": "GET /users", "status": 503, "body": body}
    tenant.do("fail-next", **order)
    tenant.graph("GET", "/users")
    assert found in held(tenant)
    tenant.do("fail-next", **order, odd=True)  # on purpose, and said so: left out
    tenant.graph("GET", "/users")
    assert held(tenant) == ""


def check_around(process: Process, act: Callable[[], object]) -> None:
    contract.required()
    with contract.kept_by(process):
        act()


@pytest.mark.parametrize("then", ["nothing", "reset", "kill"])
def test_the_check_at_the_end_of_a_test_fails_it(own_tenant, then):
    def act() -> None:
        own_tenant.invite(NURSE, colour="red")
        if then == "reset":
            own_tenant.do("reset")
        if then == "kill":
            own_tenant.kill()

    with pytest.raises(AssertionError, match="colour"):
        check_around(own_tenant, act)


def test_the_check_at_the_end_of_a_test_fails_it_for_an_answer_of_the_stand_in(tenant):
    def act() -> None:
        tenant.do("fail-next", operation="GET /users", status=500, body={})
        tenant.graph("GET", "/users")

    with pytest.raises(AssertionError, match="required property"):
        check_around(tenant, act)


def test_concrete_paths_win_over_templated_ones(graph_contract):
    assert graph_contract.operation_of("GET", "/v1.0/users/delta").name == "GET /users/delta"
    assert graph_contract.operation_of("GET", "/v1.0/users/$count").name == "GET /users/$count"
    assert graph_contract.operation_of("GET", "/v1.0/users/5").name == "GET /users/{user-id}"
    cast = graph_contract.operation_of("GET", "/v1.0/directory/deletedItems/microsoft.graph.user")
    assert cast.name == "GET /directory/deletedItems/graph.user"


def test_a_typed_item_must_be_what_it_says(graph_contract):
    wrong = {"@odata.type": "#microsoft.graph.user", "id": "1", "accountEnabled": "yes", "createdDateTime": "now"}
    problems = list(graph_contract.typed_problems(wrong))
    assert len(problems) == 2
    assert not list(graph_contract.typed_problems({**wrong, "accountEnabled": True, "createdDateTime": None}))


def test_reading_the_description_takes_a_second_at_most_and_checking_next_to_nothing(tenant):
    contract.required()
    contract.contract.cache_clear()
    before = time.process_time()
    known = contract.required()
    assert time.process_time() - before < 2
    for _ in range(20):
        tenant.invite(NURSE)
    exchanges = tenant.take_exchanges()
    before = time.process_time()
    assert not [problem for exchange in exchanges for problem in known.problems(exchange)]
    assert time.process_time() - before < 0.5


def test_exchanges_show_no_ticket_and_no_token(tenant, browser):
    link = tenant.invite(NURSE).json()["inviteRedeemUrl"]
    browser.open(link)
    shown = tenant.read("exchanges")
    [exchange] = shown["exchanges"]
    assert exchange["response"]["inviteRedeemUrl"] == "(not shown)"
    assert exchange["request"]["invitedUserEmailAddress"] == NURSE
    assert exchange["operation"] == "POST /invitations"
    assert exchange["permission"] == "User.Invite.All"
    assert exchange["response_headers"]["x-ms-resource-unit"] == "1"
    for secret in ("ticket%3D", "ticket=", "Bearer", tenant.app_token()):
        assert secret not in str(shown)


def test_everything_that_is_read_fits_the_description(tenant):
    powers = ["User.Invite.All", "User.ReadWrite.All", "GroupMember.ReadWrite.All", "Policy.Read.All"]
    powers += ["Application.Read.All", "Directory.Read.All", "Organization.Read.All", "User.DeleteRestore.All"]
    tenant.do("permissions", permissions=[*powers, "AppRoleAssignment.ReadWrite.All"])
    guest = tenant.admit(NURSE)
    everything = "id,displayName,userPrincipalName,mail,otherMails,proxyAddresses,userType,accountEnabled,identities,"
    everything += "createdDateTime,deletedDateTime,creationType,externalUserState,externalUserStateChangeDateTime"
    paths = [
        f"/users?$select={everything}&$top=3",
        f"/users/{guest}?$select={everything}",
        *(f"/users/{guest}{rest}" for rest in ("", "/sponsors", "/memberOf", "/transitiveMemberOf")),
        f"/groups/{GROUP}",
        f"/groups/{GROUP}/members",
        f"/groups/{GROUP}/members/microsoft.graph.user",
        f"/groups/{GROUP}/transitiveMembers",
        *("/groups", "/users/delta", "/groups/delta", f"/directoryObjects/{guest}"),
        *("/policies/authorizationPolicy", "/identity/conditionalAccess/policies", "/organization"),
        *("/servicePrincipals", f"/servicePrincipals(appId='{GRAPH_CLIENT}')"),
        "/servicePrincipals(appId='22222222-2222-4222-8222-222222222222')/appRoleAssignedTo",
    ]
    assert [path for path in paths if tenant.graph("GET", path).status_code != 200] == []
    assert tenant.graph("GET", "/users/nobody").status_code == 404
    assert tenant.graph("POST", f"/users/{guest}/revokeSignInSessions").status_code == 200
    assert tenant.graph("POST", f"/users/{guest}/checkMemberGroups", {"groupIds": [GROUP]}).status_code == 200
    assert tenant.graph("DELETE", f"/users/{guest}").status_code == 204
    bin_ = "/directory/deletedItems"
    assert tenant.graph("GET", f"{bin_}/microsoft.graph.user").status_code == 200
    assert tenant.graph("GET", f"{bin_}/{guest}").status_code == 200
    assert tenant.graph("POST", f"{bin_}/{guest}/restore").status_code == 200
    assert held(tenant) == ""


def test_exchanges_that_made_room_are_not_passed_over(tenant):
    tenant._lost = 1
    with pytest.raises(AssertionError, match="more exchanges than devtenant keeps"):
        tenant.take_exchanges()
