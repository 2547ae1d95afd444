"""How long a sign-in holds, and that ending it holds at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from clinicportal import sessions
from clinicportal.models import Session, User
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
    from clinicportal import audit

    client.post("/sign-out/")
    assert not is_in(client)
    assert Session.objects.filter(user=guest).count() == 0
    assert [event.user_id for event in audit.trail().filter(type="signed-out")] == [guest.pk]


def test_nobody_can_sign_out_another_by_a_link(client):
    assert client.get("/sign-out/").status_code == 405
    assert is_in(client)
