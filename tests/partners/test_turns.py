"""The day's budget of invitations: spread, counted over any 24 hours, and told in words."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from partners import decisions, gates, provisioning, queue, turns
from partners.entra import limits
from partners.models import Gate, Lane, Step
from partners.traffic import SharedTraffic
from tests.factories import client_for
from tests.partners.conftest import as_worker
from tests.partners.pages import text
from tests.partners.test_traffic import INVITE, at_once, worker  # noqa: F401 - a fixture

HOUR = 3600


def use(number: int) -> None:
    """So many invitations just now."""
    with as_worker():
        for _ in range(number):
            SharedTraffic().enter(INVITE)


def play(budget: int, wanted: int, hours: int) -> list[float]:
    """Hours at which invitations leave when so many wait from the beginning, by the window that the lane keeps."""
    lane = limits.day()
    assert lane
    width = lane.seconds / 50
    used: dict[int, int] = {}
    moments: list[float] = []
    for tick in range(int(hours * HOUR / width) + 1):
        kept = {slice: count for slice, count in used.items() if slice > tick - 52}
        room = min(lane.limit - sum(kept.values()), wanted - len(moments))
        if room > 0:
            used[tick] = used.get(tick, 0) + room
            moments += [tick * width / HOUR] * room
    return moments


@pytest.mark.parametrize("budget", [1, 10, 100, 150, 200, 1000])
def test_no_24_hours_hold_more_than_the_budget_and_nearly_all_of_it_is_used(settings, budget):
    settings.ENTRA_INVITATIONS_PER_DAY = budget
    moments = play(budget, 3 * budget, 72)
    most = max(sum(1 for other in moments if moment <= other < moment + 24) for moment in moments)
    assert most <= budget
    assert len(moments) >= 0.9 * 2 * budget  # in three days


def test_the_budget_is_spread_and_a_few_people_need_not_wait(settings):
    settings.ENTRA_INVITATIONS_PER_DAY = 150
    moments = play(150, 400, 72)
    assert moments[:15] == [0.0] * 15  # a practice's new colleagues go at once
    assert sum(moment < 1 for moment in moments) == 15
    assert 60 <= sum(moment < 12 for moment in moments) <= 80  # half of the day, half of the budget


def test_without_a_budget_there_is_no_such_lane(settings):
    settings.ENTRA_INVITATIONS_PER_DAY = 0
    assert limits.day() is None
    assert "day" not in [lane.name for lane, _ in limits.lanes(INVITE)]


def test_a_used_up_budget_turns_calls_back_with_its_code(worker, settings):  # noqa: F811
    settings.ENTRA_INVITATIONS_PER_DAY = 150
    for _ in range(15):
        worker.enter(INVITE)
    assert at_once(worker) == "daily_budget"
    assert Lane.objects.get(name="day").opens_at > timezone.now() + dt.timedelta(hours=2)


@pytest.mark.parametrize(("used", "ahead", "hours"), [
    (0, 0, None), (0, 14, None), (0, 15, 2.4), (15, 0, 2.4), (15, 14, 2.4), (15, 15, 4.8), (0, 149, 21.6),
    (15, 399, 64.8),
])  # fmt: skip
def test_when_somebodys_turn_is(db, settings, used, ahead, hours):
    settings.ENTRA_INVITATIONS_PER_DAY = 150
    use(used)
    turn = turns.expected(ahead)
    if hours is None:
        assert turn is None
        return
    assert turn
    expected = hours * HOUR
    assert abs((turn - timezone.now()).total_seconds() - expected) < 0.06 * expected


@pytest.fixture
def full(settings: Any, ask: Any, approver: Any) -> Any:
    """A budget that is used up, and three people who wait. Returns the request of the last."""
    settings.ENTRA_INVITATIONS_PER_DAY = 10
    use(10)
    for name in ("first", "second", "third"):
        request = ask(email=f"{name}@northfield.example")
        decisions.approve(request, by=approver)
    return request


def test_the_sponsor_reads_whose_turn_is_when(full, sponsor):
    page = text(client_for(sponsor).get(reverse("partners:request", args=[full.pk])))
    when = turns.about(turns.expected(2))
    assert f"Our directory lets us invite 10 people a day. 3 wait. This one's turn is {when}." in page
    assert "Usually done within a minute" not in page
    assert "Our turn. Nothing for you to do." in page


def test_the_approver_reads_it_above_the_queue(full, approver):
    page = text(client_for(approver).get(reverse("partners:approvals")))
    assert (
        "Our directory lets us invite 10 people a day. Invited in the last 24 hours: 0. 3 wait. The last one's turn is"
        in page
    )


def test_while_there_is_room_nobody_hears_of_a_budget(settings, asked, approver, sponsor):
    settings.ENTRA_INVITATIONS_PER_DAY = 10
    decisions.approve(asked, by=approver)
    for user, page in (
        (sponsor, reverse("partners:request", args=[asked.pk])),
        (approver, reverse("partners:approvals")),
    ):
        assert "a day" not in text(client_for(user).get(page))


def test_who_waits_for_the_budget_is_not_taken_and_goes_in_order(full, directory):
    with as_worker():
        assert queue.take() is None
        assert provisioning.work(directory) is None
        Lane.objects.filter(name="day").update(opens_at=None, used=[0] * 52)
        step = queue.take()
    assert step
    assert step.job.request.address == "first@northfield.example"
    assert Step.objects.filter(attempts__gt=0).count() == 1


@pytest.mark.parametrize(("gate", "code", "staff"), [
    ("domain:northfield.example", "cross_tenant", "Invitations to northfield.example wait. The directory does not"),
    ("POST /invitations", "invitations_disabled", "Work in the directory waits. The directory does not let us invite"),
    (gates.GRAPH, "suspicious_activity", "Work in the directory waits. Microsoft holds back all invitations"),
])  # fmt: skip
def test_a_block_is_told_to_staff_once_and_to_each_sponsor(asked, approver, sponsor, gate, code, staff):
    decisions.approve(asked, by=approver)
    with as_worker():
        gates.shut(gate, code)
    assert text(client_for(approver).get(reverse("partners:approvals"))).count(staff) == 1
    page = client_for(sponsor).get(reverse("partners:request", args=[asked.pk]))
    assert "It goes on by itself as soon as that is mended." in text(page)
    assert "every 30s" in page.content.decode()
    Gate.objects.update(code="")
    assert "every 2s" in client_for(sponsor).get(reverse("partners:request", args=[asked.pk])).content.decode()


@pytest.mark.parametrize(("now", "moment", "words"), [
    ("2026-06-01 08:00", "2026-06-01 13:31", "about today, 14:00"),
    ("2026-06-01 08:00", "2026-06-04 14:00", "about Thursday, 14:00"),
    ("2026-06-01 08:00", "2026-06-04 23:45", "about Friday, 00:00"),
    ("2026-06-01 08:00", "2026-06-20 09:10", "about 20 June, 09:30"),
])  # fmt: skip
def test_about_when(monkeypatch, now, moment, words):
    zone = timezone.get_default_timezone()
    at = {name: dt.datetime.fromisoformat(text).replace(tzinfo=zone) for name, text in (("now", now), ("at", moment))}
    monkeypatch.setattr(timezone, "now", lambda: at["now"])
    assert turns.about(at["at"]) == words
