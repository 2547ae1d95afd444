"""/calls/: the page of calls, and the page of one."""

from __future__ import annotations

import html
import re

import pytest
import requests

from .conftest import Form
from .test_graph import NURSE, SPONSOR


def get(tenant, path):
    answer = requests.get(f"{tenant.base}{path}", timeout=5)
    assert answer.status_code == 200
    return html.unescape(answer.text)


def rows(page):
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in page.split("<tr>")[2:]]
    return [[re.sub(r"<[^>]+>", " ", cell).split("request-id")[0].strip() for cell in row] for row in cells]


@pytest.fixture
def some(tenant):
    """An invitation, a look-up, a refusal, a throttled call and an ordered fault."""
    tenant.app_token()
    tenant.do("clear-calls")
    tenant.invite(NURSE)
    tenant.graph("GET", "/users", params={"$filter": f"mail eq '{NURSE}'"})
    tenant.graph("DELETE", "/users/sponsor_northfield.example%23EXT%23@hospital.example")
    tenant.do("settings", limits={"invitations": [1, 1000]})
    tenant.invite(NURSE)
    tenant.do("fail-next", operation="GET /users", status=503)
    tenant.graph("GET", "/users")
    return tenant


def test_the_page_lists_every_call_with_verdict_and_permission_newest_first(some):
    page = get(some, "/calls/")
    assert [row[1:5] for row in rows(page)] == [
        ["GET /users", "503", "As a test ordered: answer", "none"],
        ["POST /invitations", "429", "Throttled: invitations", "none"],
        ["DELETE /users/{id}", "403", "Refused: the token has no permission for it", "none"],
        ["GET /users", "200", "Answered", "User.Read.All"],
        ["POST /invitations", "201", "Done", "User.Invite.All"],
    ]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", row[0]) for row in rows(page))
    for call in some.read("calls"):
        assert call["request_id"] in page


def test_the_list_holds_no_address_ticket_or_token(some, browser):
    browser.open(some.base + "/redeem?rd=x%3Fticket%3Dsecret-ticket")
    page = get(some, "/calls/")
    for secret in (NURSE, SPONSOR, "EXT#", "secret-ticket", "ticket", "Bearer", some.app_token()):
        assert secret not in page
    assert "GET /redeem" in page


def test_it_can_be_narrowed_by_operation_and_verdict(some):
    assert len(rows(get(some, "/calls/?operation=GET+/users"))) == 2
    assert len(rows(get(some, "/calls/?verdict=Throttled"))) == 1
    assert len(rows(get(some, "/calls/?operation=GET+/users&verdict=Answered"))) == 1
    page = get(some, "/calls/?operation=GET+/users&verdict=Throttled")
    assert "No call fits." in page
    assert "<option selected>Throttled</option>" in page
    assert "<option selected>GET /users</option>" in page


def test_without_calls_it_says_what_to_do(tenant):
    tenant.do("clear-calls")
    page = get(tenant, "/calls/")
    assert "No call yet." in page
    assert "<table" not in page


def test_one_call_shows_its_bodies_without_the_link(some):
    [call] = [c for c in some.read("calls", operation="POST /invitations") if c["status"] == 201]
    page = get(some, f"/calls/{call['request_id']}")
    assert Form(page).heading == "POST /invitations"
    assert f'"invitedUserEmailAddress": "{NURSE}"' in page
    assert '"inviteRedeemUrl": "(not shown)"' in page
    assert "ticket" not in page
    assert "x-ms-resource-unit, answered" in page


def test_a_call_of_the_sign_in_shows_no_body(tenant):
    tenant.do("permissions", permissions=["User.Read.All"])
    tenant.app_token()
    call = tenant.read("calls", operation="POST /token")[-1]
    page = get(tenant, f"/calls/{call['request_id']}")
    assert "Bodies are kept for Graph" in page
    assert "client_secret" not in page


def test_a_call_that_is_not_kept_is_a_page_that_says_so(tenant):
    answer = requests.get(f"{tenant.base}/calls/nothing", timeout=5)
    assert answer.status_code == 404
    assert "Only the latest calls are kept." in answer.text


def test_hostile_text_is_shown_as_text(tenant):
    tenant.graph("GET", "/users/<script>alert(1)</script>", headers={"client-request-id": "<b>bold</b>"}, odd=True)
    call = tenant.read("calls")[-1]
    for path in ("/calls/", f"/calls/{call['request_id']}"):
        text = requests.get(f"{tenant.base}{path}", timeout=5).text
        assert "<script" not in text
        assert "<b>bold" not in text
