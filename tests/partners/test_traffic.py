"""What all workers obey before they call the directory: lanes, gates, the breaker, the one probe."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from partners import gates, incidents, queue, traffic
from partners.entra import limits
from partners.entra.errors import Refused, Scope, TryLater
from partners.models import Gate, Incident, Lane, Step
from partners.traffic import Permit, SharedTraffic
from tests.partners.conftest import as_worker

INVITE = "POST /invitations"
LOOK_UP = "GET /users"


@pytest.fixture
def worker(db: None) -> Iterator[SharedTraffic]:
    with as_worker():
        yield SharedTraffic()


def at_once(shared: SharedTraffic, operation: str = INVITE, **facts: Any) -> Permit | str:
    """The permit, or the code with which the call was turned back without waiting."""
    wait, why, probing, worn = traffic._ask(operation, facts.get("domain", ""))
    return why if wait else Permit(operation, facts.get("domain", ""), probing, worn)


def in_threads(number: int, act: Any) -> list[Any]:
    """Each with a connection of its own, like so many workers."""

    def run(_: int) -> Any:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


# ---------------------------------------------------------------- lanes


def test_what_the_calls_of_one_guest_take():
    assert [(lane.name, takes) for lane, takes in limits.lanes(INVITE)] == [
        ("invitations", 1), ("units", 1), ("writes", 1),
    ]  # fmt: skip
    assert [(lane.name, takes) for lane, takes in limits.lanes("POST /users/{id}/checkMemberGroups")] == [("units", 4)]
    assert [name for name, _ in ((lane.name, 0) for lane, _ in limits.lanes("PATCH /unknown"))] == ["units", "writes"]


def test_lanes_are_locked_in_one_order(settings):
    """Or two calls could wait for each other."""
    settings.ENTRA_INVITATIONS_PER_DAY = 5
    for operation in (*limits.COSTS, "PATCH /unknown"):
        names = [lane.name for lane, _ in limits.lanes(operation)]
        assert names == sorted(names)


def shorten(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """All windows last so long."""
    original = limits.lanes
    monkeypatch.setattr(
        limits,
        "lanes",
        lambda operation: [(limits.Lane(lane.name, lane.limit, seconds), takes) for lane, takes in original(operation)],
    )


def test_no_window_of_the_limit_ever_holds_more_than_the_limit(worker, settings, monkeypatch):
    """Four workers at once, for three windows: the moments of all calls that were let through."""
    settings.ENTRA_LIMIT_INVITATIONS, seconds = 20, 0.5
    shorten(monkeypatch, seconds)
    moments: list[float] = []
    until = time.monotonic() + 3 * seconds

    def hurry() -> None:
        while time.monotonic() < until:
            before = time.monotonic()
            if isinstance(at_once(worker), Permit):
                moments.append(before)
            else:
                time.sleep(0.005)

    in_threads(4, hurry)
    moments.sort()
    assert len(moments) >= 40  # the limit is reached, too
    gaps = [later - earlier for earlier, later in zip(moments, moments[20:], strict=False)]
    assert min(gaps) > seconds * 0.95  # "before" is taken a moment early


def test_a_full_lane_says_when_there_is_room(worker, settings):
    settings.ENTRA_LIMIT_INVITATIONS = 3
    for _ in range(3):
        worker.enter(INVITE)
    with pytest.raises(TryLater, match="paced") as full:
        worker.enter(INVITE)
    wait = (full.value.retry_at - timezone.now()).total_seconds()
    assert 4.9 < wait < 5.3
    lane = Lane.objects.get(name="invitations")
    assert abs((lane.opens_at - full.value.retry_at).total_seconds()) < 0.1
    worker.enter(LOOK_UP)  # another lane


def test_a_short_wait_is_waited_in_place(worker, settings, monkeypatch):
    shorten(monkeypatch, 0.5)
    settings.ENTRA_LIMIT_INVITATIONS = 1
    worker.enter(INVITE)
    started = time.monotonic()
    worker.enter(INVITE)
    assert 0.3 < time.monotonic() - started < 1.5


def test_lowering_a_limit_forgets_nothing(worker, settings):
    for _ in range(10):
        worker.enter(INVITE)
    settings.ENTRA_LIMIT_INVITATIONS = 10
    assert at_once(worker) == "paced"


def test_a_clock_that_goes_back_neither_opens_nor_blocks_the_lane(worker, settings):
    settings.ENTRA_LIMIT_INVITATIONS = 3
    for _ in range(3):
        worker.enter(INVITE)
    Lane.objects.filter(name="invitations").update(newest=Lane.objects.get(name="invitations").newest + 100_000)
    assert at_once(worker) == "paced"
    assert Lane.objects.get(name="invitations").opens_at < timezone.now() + dt.timedelta(seconds=10)


def test_entering_inside_a_transaction_is_a_mistake(worker):
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        worker.enter(INVITE)


def test_what_graph_says_closes_the_lane_for_all_workers(worker):
    retry_at = timezone.now() + dt.timedelta(seconds=30)
    worker.failed(worker.enter(INVITE), TryLater("throttled", retry_at))
    for code in in_threads(2, lambda: at_once(worker)):
        assert code == "throttled"
    with pytest.raises(TryLater) as busy:
        worker.enter(INVITE)
    assert abs((busy.value.retry_at - retry_at).total_seconds()) < 1
    assert isinstance(at_once(worker, LOOK_UP), Permit)


def test_without_a_word_the_pauses_grow_at_random_up_to_ten_minutes(worker, monkeypatch):
    tops = []
    monkeypatch.setattr(traffic.random, "uniform", lambda low, high: tops.append(high) or 0.0)
    permit = worker.enter(LOOK_UP)
    for _ in range(12):
        worker.failed(permit, TryLater("throttled"))
    assert tops[:4] == [2, 4, 8, 16]
    assert tops[-1] == 600
    worker.answered(worker.enter(LOOK_UP), {})
    assert Lane.objects.get(name="units").strikes == 0


def test_above_the_limit_graph_slows_us_down(worker, settings):
    settings.ENTRA_LIMIT_INVITATIONS = 10
    worker.answered(worker.enter(INVITE), {"x-ms-throttle-limit-percentage": "0.9"})
    assert Lane.objects.get(name="invitations").slowed_until is None
    worker.answered(worker.enter(INVITE), {"x-ms-throttle-limit-percentage": "1.6"})
    passed = sum(isinstance(at_once(worker), Permit) for _ in range(10))
    assert 2 + passed == 6  # of ten


# ---------------------------------------------------------------- the breaker


def trip(worker: SharedTraffic) -> None:
    for _ in range(gates.FAILURES):
        worker.failed(Permit(LOOK_UP), TryLater("unreachable"))


def probe_now() -> None:
    Gate.objects.shut().update(probe_at=Now())


def test_failures_in_a_row_open_the_breaker_and_tell_the_operator_once(worker):
    for _ in range(gates.FAILURES - 1):
        worker.failed(Permit(LOOK_UP), TryLater("no_answer"))
    worker.answered(worker.enter(LOOK_UP), {})  # no longer in a row
    for _ in range(gates.FAILURES - 1):
        worker.failed(Permit(LOOK_UP), TryLater("no_answer"))
    assert isinstance(at_once(worker), Permit)
    for _ in range(3):
        worker.failed(Permit(LOOK_UP), TryLater("no_answer"))
    assert at_once(worker) == at_once(worker, LOOK_UP) == "no_answer"
    [incident] = Incident.objects.all()
    assert (incident.code, incident.detail, incident.times) == ("directory_away", "no_answer", 1)


@pytest.mark.parametrize("code", ["throttled", "not_there_yet", "paced"])
def test_an_answer_of_any_kind_is_no_failure_of_the_directory(worker, code):
    for _ in range(gates.FAILURES):
        worker.failed(Permit(LOOK_UP), TryLater(code))
    assert not Gate.objects.shut().exists()


def test_half_open_lets_exactly_one_of_many_workers_through(worker):
    trip(worker)
    assert set(in_threads(4, lambda: at_once(worker))) == {"unreachable"}
    probe_now()
    found = in_threads(8, lambda: at_once(worker, LOOK_UP))
    [probe] = [permit for permit in found if isinstance(permit, Permit)]
    assert probe.probing == ["graph"]


def test_one_answer_closes_the_breaker_and_wakes_who_waited(job, worker):
    trip(worker)
    job.steps.filter(position=1).update(due_at=timezone.now() + dt.timedelta(minutes=9), last_code="unreachable")
    probe_now()
    worker.answered(worker.enter(LOOK_UP), {})
    assert isinstance(at_once(worker), Permit)
    assert Gate.objects.get().failures == 0
    assert queue.take() is not None


def test_a_probe_that_fails_waits_longer_each_time_and_reports_nothing_new(worker):
    trip(worker)
    waits = []
    for _ in range(7):
        probe_now()
        worker.failed(worker.enter(LOOK_UP), TryLater("unreachable"))
        waits.append(round((Gate.objects.get().probe_at - timezone.now()).total_seconds()))
    assert waits == [30, 60, 120, 240, 300, 300, 300]
    assert Incident.objects.get().times == 1


def test_a_probe_that_dies_leaves_the_next_one_a_turn(worker):
    trip(worker)
    probe_now()
    worker.enter(LOOK_UP)
    assert at_once(worker) == "unreachable"
    probe_now()  # a minute later
    assert isinstance(at_once(worker), Permit)


# ---------------------------------------------------------------- causes that concern everybody


def refuse(worker: SharedTraffic, code: str, scope: Scope, **facts: Any) -> None:
    worker.failed(Permit(INVITE, **facts), TryLater(code, scope=scope), detail=f"{INVITE} 403 Forbidden")


def test_a_cause_that_concerns_everybody_is_one_incident_and_one_shut_gate(worker):
    for _ in range(4):  # four workers met it at once
        refuse(worker, "invitations_disabled", Scope.OPERATION)
    [incident] = Incident.objects.all()
    assert (incident.code, incident.detail, incident.times) == ("invitations_disabled", f"{INVITE} 403 Forbidden", 4)
    assert at_once(worker) == "invitations_disabled"
    assert isinstance(at_once(worker, LOOK_UP), Permit)


def test_a_gate_says_since_when_it_is_shut_also_the_second_time(worker):
    def since() -> Any:
        refuse(worker, "invitations_disabled", Scope.OPERATION)
        return Gate.objects.get(name=INVITE).shut_at

    first = since()
    assert since() == first  # met once more while it is shut
    gates.opened([INVITE])
    again = since()
    assert again is not None
    assert again > first


def test_a_blocked_domain_stops_its_people_alone(worker):
    refuse(worker, "cross_tenant", Scope.DOMAIN, domain="Northfield.example")
    assert at_once(worker, domain="northfield.example") == "cross_tenant"
    assert isinstance(at_once(worker, domain="riverside.example"), Permit)
    assert Incident.objects.get().detail == "northfield.example"


def test_suspicious_activity_stops_everything_until_the_operator_says_so(operator, worker):
    refuse(worker, "suspicious_activity", Scope.ALL)
    assert at_once(worker) == at_once(worker, LOOK_UP) == "suspicious_activity"
    assert Gate.objects.get().probe_at is None  # time alone changes nothing
    incidents.close(Incident.objects.get(), by=operator, note="Microsoft has lifted it")
    found = in_threads(4, lambda: at_once(worker))
    assert len([permit for permit in found if isinstance(permit, Permit)]) == 1
    refuse(worker, "suspicious_activity", Scope.ALL, probing=["graph"])
    assert Gate.objects.get().probe_at is None


@pytest.mark.parametrize("code", ["not_permitted", "invitations_disabled"])
def test_closing_the_incident_lets_one_try_and_success_lets_all(job, operator, worker, code):
    refuse(worker, code, Scope.OPERATION)
    job.steps.filter(position=1).update(due_at=timezone.now() + dt.timedelta(minutes=15), last_code=code)
    assert queue.take() is None
    incidents.close(Incident.objects.get(), by=operator, note="Mended")
    assert queue.take() is not None
    found = in_threads(4, lambda: at_once(worker))
    [probe] = [permit for permit in found if isinstance(permit, Permit)]
    worker.answered(probe, {})
    assert isinstance(at_once(worker), Permit)


def test_now_and_then_one_call_finds_out_by_itself(worker):
    refuse(worker, "credentials", Scope.ALL)
    wait = (Gate.objects.get().probe_at - timezone.now()).total_seconds()
    assert 290 < wait <= 300
    probe_now()
    worker.failed(worker.enter(LOOK_UP), Refused("member_exists"))  # an answer, about this person
    assert isinstance(at_once(worker), Permit)


def test_an_unknown_refusal_is_an_item_for_the_operator_without_the_message(worker):
    worker.failed(Permit(INVITE), Refused("unknown_refusal"), detail=f"{INVITE} 400 Odd", request_id="r-1")
    worker.failed(Permit(INVITE), Refused("address_invalid"), detail=f"{INVITE} 400 BadRequest", request_id="r-2")
    [incident] = Incident.objects.all()
    assert (incident.code, incident.detail, incident.last_request_id) == ("unknown_refusal", f"{INVITE} 400 Odd", "r-1")


# ---------------------------------------------------------------- the queue behind gates and lanes


def test_nobody_takes_a_step_that_stands_behind_a_shut_gate(job, worker):
    refuse(worker, "invitations_disabled", Scope.OPERATION)
    assert queue.take() is None
    assert queue.take_of(job.pk) is None
    assert Step.objects.get(job=job, position=1).attempts == 0
    assert 800 < queue.seconds_to_next() < 901
    job.steps.filter(position=1).update(state="done")
    job.steps.filter(position=2).update(state="waiting")
    assert queue.take() is not None  # adding to the group is another gate


def test_a_closed_lane_holds_back_what_needs_it(job, worker):
    worker.failed(worker.enter(INVITE), TryLater("throttled", timezone.now() + dt.timedelta(seconds=20)))
    assert queue.take() is None
    assert 18 < queue.seconds_to_next() < 21


def test_whoever_is_on_the_way_goes_before_whoever_has_not_begun(job, worker):
    """Or with a thousand at once all would be invited before the first gets a mail."""
    job.steps.filter(position=1).update(due_at=timezone.now() - dt.timedelta(hours=2))
    begun = Step.objects.create(job=job, position=9, kind=Step.Kind.VERIFY, state=Step.State.WAITING)
    taken = [queue.take(), queue.take(), queue.take()]
    assert [step and step.kind for step in taken] == ["verify", "invite", None]
    assert taken[0].pk == begun.pk


def test_nothing_to_do_is_nothing_to_come_back_for(worker):
    assert queue.seconds_to_next() is None


def test_a_turn_costs_about_a_millisecond(worker):
    """Loose on purpose: the machine may be busy. The figure itself is printed by bench/limits.py."""
    times = []
    for _ in range(60):
        started = time.perf_counter()
        worker.enter(INVITE)
        times.append(time.perf_counter() - started)
    assert sorted(times)[30] < 0.05
