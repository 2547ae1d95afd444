"""How long a sign-in holds, and that ending it holds at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.db import connections
from django.test import Client
from django.utils import timezone

from clinicportal import audit, sessions
from clinicportal.models import Session, User
from partners import idtoken
from tests import factories as make


def is_in(client) -> bool:
    return client.get("/account/").status_code == 200


def at(minutes: float):
    return time_machine.travel(timezone.now() + timedelta(minutes=minutes), tick=True)


@pytest.fixture
def client(guest):
    return make.client_for(guest)


def test_a_session_ends_after_fifteen_idle_minutes(client):
    with at(14.9):
        assert is_in(client)
    with at(14.9 + 14.9):
        assert is_in(client), "being there starts the fifteen minutes again"
    with at(14.9 + 14.9 + 15.1):
        assert not is_in(client)


def test_a_session_ends_after_eight_hours_however_busy(client):
    for minutes in range(0, 8 * 60, 10):
        with at(minutes):
            assert is_in(client)
    with at(8 * 60 + 0.5):
        assert not is_in(client)


def test_pressing_stay_keeps_the_session(client):
    with at(14):
        assert client.post("/stay/").status_code == 204
    with at(28):
        assert is_in(client)


def test_a_page_that_polls_does_not_keep_the_session(client):
    with at(10):
        assert client.get("/account/", headers={"x-background": "poll"}).status_code == 200
    with at(15.5):
        assert not is_in(client)


def test_ended_sessions_are_turned_away_at_the_next_request(guest, client):
    other = make.client_for(guest)
    assert is_in(client)
    assert sessions.end_all(guest.pk) == 2
    assert not is_in(client)
    assert not is_in(other)


def test_raising_the_epoch_ends_every_session(guest, client):
    User.objects.filter(pk=guest.pk).update(session_epoch=1)
    assert not is_in(client)


def test_an_inactive_account_is_turned_away_at_the_next_request(guest, client):
    User.objects.filter(pk=guest.pk).update(is_active=False)
    assert not is_in(client)


def test_staff_whose_roles_are_an_hour_old_sign_in_again(db):
    staff = make.make_user("Privacy Officer", staff_roles=["privacy"], roles_checked_at=timezone.now())
    client = make.client_for(staff)
    assert client.get("/privacy/").status_code == 200
    with at(14):
        assert client.get("/privacy/").status_code == 200
    User.objects.filter(pk=staff.pk).update(roles_checked_at=timezone.now() - timedelta(minutes=61))
    answer = client.get("/privacy/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/")


def test_a_session_is_a_row_of_its_person(guest, client):
    assert [session.user_id for session in Session.objects.all()] == [guest.pk]


def test_rows_of_sessions_that_are_over_are_purged(guest, client):
    from clinicportal.tasks import purge_sessions

    purge_sessions()
    assert Session.objects.count() == 1
    with at(16):
        purge_sessions()
    assert Session.objects.count() == 0


def test_signing_out_ends_the_session_and_is_written_down(guest, client):
    client.post("/sign-out/")
    assert not is_in(client)
    assert Session.objects.filter(user=guest).count() == 0
    assert [event.user_id for event in audit.trail().filter(type="signed-out")] == [guest.pk]


def test_nobody_can_sign_out_another_by_a_link(client):
    assert client.get("/sign-out/").status_code == 405
    assert is_in(client)


# ---------------------------------------------------------------- signed out at the tenant

SID = "aaaaaaaa-1111-4222-8333-444444444444"


@pytest.fixture
def tenants_frame(db):
    """A frame of the tenant's page: no cookie of ours, and checks for forged posts do not matter."""
    frame = Client(headers={"host": "portal.localhost"})

    def loads(**query: str):
        return frame.get("/sign-out/front-channel/", query)

    return loads


def test_the_tenants_sign_out_ends_the_sessions_that_began_with_it(guest, tenants_frame):
    here, there, other = (make.client_for(guest, sid=sid) for sid in (SID, SID, "another-sign-in"))
    answer = tenants_frame(sid=SID, iss=idtoken.issuer())
    assert (answer.status_code, answer.content, answer["Cache-Control"]) == (200, b"", "no-store")
    assert not answer.cookies
    # The tenant's page holds it in a frame; nobody else's does.
    assert "X-Frame-Options" not in answer
    origin = idtoken.issuer().partition("//")[2].partition("/")[0]
    assert answer["Content-Security-Policy"] == f"default-src 'none'; frame-ancestors http://{origin}"
    assert (is_in(here), is_in(there), is_in(other)) == (False, False, True)
    events = audit.trail().filter(type="session-ended")
    assert {(event.object_id, event.reason) for event in events} == {(str(guest.pk), "signed-out-at-tenant")}
    assert len(events) == 2


@pytest.mark.parametrize(
    "query",
    [{}, {"sid": SID}, {"iss": "ours"}, {"sid": SID, "iss": "https://login.microsoftonline.com/other/v2.0"},
     {"sid": "made-up", "iss": "ours"}, {"sid": "", "iss": "ours"}, {"sid": "x" * 5000, "iss": "ours"},
     {"sid": "\x00", "iss": "ours"}],
)  # fmt: skip
def test_a_sign_out_that_is_not_the_tenants_ends_nothing_and_looks_the_same(guest, tenants_frame, query):
    client = make.client_for(guest, sid=SID)
    without = make.client_for(guest)
    if query.get("iss") == "ours":
        query = {**query, "iss": idtoken.issuer()}
    answer = tenants_frame(**query)
    assert (answer.status_code, answer.content, answer["Cache-Control"]) == (200, b"", "no-store")
    assert is_in(client)
    assert is_in(without)
    assert not audit.trail().filter(type="session-ended").exists()


def test_a_frame_that_does_bring_the_cookie_ends_its_own_session_cleanly(guest):
    client = make.client_for(guest, sid=SID)
    with at(2):  # late enough for the request to be recorded in the row that it ends
        answer = client.get("/sign-out/front-channel/", {"sid": SID, "iss": idtoken.issuer()})
        assert answer.status_code == 200
        assert not is_in(client)
    assert Session.objects.count() == 0


def test_the_tenants_sign_out_is_one_look_into_an_index(db):
    with connections["owner"].cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT 1 FROM clinicportal_session WHERE sid = 'made-up'")
        assert "session_of_the_tenant" in str(cursor.fetchall())
