"""Confirming that it is you before you approve: what counts, what does not, and that nothing typed is lost.

The plainest refusals are check A22 (test_identity_checks.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.urls import reverse
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import Session, User
from clinicportal.proofs import Unproved
from clinicportal.sessions import SessionStore
from partners import checks, dates, decisions
from partners.models import AccessRequest, ContextCheck, Incident
from tests.partners.pages import heading, text
from tests.partners.visitor import Visitor, leaves_for, parameters_of

APPROVER = "approver@hospital.example"
SECOND = "second.approver@hospital.example"
NOTES = {"note_to_sponsor": "Welcome to her.", "note_for_colleagues": "Called the practice."}
Status = AccessRequest.Status


@pytest.fixture
def visitor(entrance: Any) -> Visitor:
    """The approver, signed in."""
    visitor = Visitor(entrance)
    assert visitor.signs_in(APPROVER).status_code == 302
    return visitor


def press(visitor: Visitor, request: AccessRequest, **more: str) -> Any:
    return visitor.client.post(reverse("partners:approve", args=[request.pk]), {**NOTES, **more})


def page(visitor: Visitor, request: AccessRequest) -> Any:
    return visitor.client.get(reverse("partners:decision", args=[request.pk]))


def status(request: AccessRequest) -> str:
    return AccessRequest.objects.get(pk=request.pk).status


def events(*types: str) -> list[Any]:
    return list(audit.trail().filter(type__in=types))


def stored(visitor: Visitor) -> SessionBase:
    row = visitor.session
    assert row is not None
    return SessionStore(row.pk)


def nothing_happened(visitor: Visitor, request: AccessRequest, answer: Any, code: str) -> str:
    """One row in the trail, nothing approved, still signed in, what was typed is back; returns the page's text."""
    assert (answer.status_code, answer["Location"]) == (302, reverse("partners:decision", args=[request.pk]))
    assert status(request) == Status.IN_REVIEW
    assert events("stepped-up", "access-approved") == []
    [refusal] = events("step-up-refused")
    assert (refusal.reason, refusal.outcome, refusal.user_id) == (code, "refused", visitor.session.user_id)
    assert "proofs" not in stored(visitor) or not stored(visitor)["proofs"]
    shown = page(visitor, request)
    assert shown.status_code == 200
    for note in NOTES.values():
        assert note in shown.content.decode()
    assert "There is a problem" in text(shown)
    return text(shown)


def test_approving_asks_the_tenant_for_the_stronger_context_and_then_is_done_once(visitor, asked):
    before = visitor.session
    answer = press(visitor, asked)
    assert "Confirm that it is you" in text(answer)
    assert status(asked) == Status.IN_REVIEW
    url = leaves_for(answer)
    sent = parameters_of(url)
    assert sent["claims"] == '{"id_token": {"acrs": {"essential": true, "value": "c2"}}}'
    assert sent["code_challenge_method"] == "S256"
    assert sent["max_age"] == "300"
    assert "login_hint" not in sent
    assert "@" not in url
    back = visitor.passes(url, APPROVER)
    answer = visitor.comes_back(back)
    assert (answer.status_code, answer["Location"]) == (302, reverse("partners:decision", args=[asked.pk]))
    assert status(asked) == Status.APPROVED
    decision = asked.decisions.get()
    assert (decision.note_to_sponsor, decision.note_for_colleagues) == tuple(NOTES.values())
    assert "Approved. We are setting it up now." in text(page(visitor, asked))
    [event] = events("stepped-up")
    assert event.detail == {"acrs": ["c2"], "act": "approve"}
    after = visitor.session
    assert before.pk != after.pk, "the session has a new key"
    assert not Session.objects.filter(pk=before.pk).exists()
    # The same way back once more is nobody's attempt.
    assert visitor.comes_back(back).status_code == 403
    assert asked.decisions.count() == 1


def test_one_confirmation_serves_for_a_quarter_of_an_hour(visitor, ask):
    first, second, third = ask(), ask(email="doctor@northfield.example"), ask(email="locum@northfield.example")
    visitor.comes_back(visitor.passes(leaves_for(press(visitor, first)), APPROVER))
    with time_machine.travel(timezone.now() + dt.timedelta(minutes=14), tick=True):
        assert press(visitor, second).status_code == 302
        assert status(second) == Status.APPROVED
    with time_machine.travel(timezone.now() + dt.timedelta(minutes=15, seconds=30), tick=True):
        assert "Confirm that it is you" in text(press(visitor, third))
        assert status(third) == Status.IN_REVIEW


def test_the_verb_itself_demands_the_proof(asked, approver):
    """Whoever calls it: a person as the database has them has proved nothing."""
    with pytest.raises(Unproved):
        decisions.approve(asked, by=User.objects.get(pk=approver.pk))
    approver.proofs = {"c1": timezone.now()}
    with pytest.raises(Unproved):
        decisions.approve(asked, by=approver)
    approver.proofs = {"c2": timezone.now() - dt.timedelta(minutes=16)}
    with pytest.raises(Unproved):
        decisions.approve(asked, by=approver)
    assert status(asked) == Status.IN_REVIEW


def test_pressing_cancel_at_the_tenant_keeps_session_and_words(visitor, asked):
    visitor.tenant.do("advance", seconds=400)  # the second factor is old enough to be asked for again
    visitor.person.open(leaves_for(press(visitor, asked)))
    assert visitor.person.heading == "Verify your identity"
    answer = visitor.comes_back(visitor.cancels())
    assert "You stopped before you confirmed" in nothing_happened(visitor, asked, answer, "declined")


WRONG = {
    "with the context of sign-in": ({"acrs": ["c1"]}, "no-context", "not strong enough"),
    "by a sign-in of unknown age": ({"auth_time": None}, "not-fresh", "too long ago"),
    "by a sign-in to come": ({"auth_time": 33_333_333_333}, "not-fresh", "too long ago"),
    "by another object": ({"oid": "99999999-0000-4000-8000-000000000000"}, "another-person", "another account"),
    "with the nonce of another attempt": ({"nonce": "other"}, "nonce", "Please try again"),
    "for another audience": ({"aud": "other"}, "InvalidAudienceError", "Please try again"),
}


@pytest.mark.parametrize(("claims", "code", "words"), WRONG.values(), ids=WRONG)
def test_a_token_that_does_not_prove_it_approves_nothing(visitor, asked, claims, code, words):
    visitor.tenant.do("bad-token", claims=claims)
    answer = visitor.comes_back(visitor.passes(leaves_for(press(visitor, asked)), APPROVER))
    assert words in nothing_happened(visitor, asked, answer, code)


def test_another_persons_confirmation_never_changes_who_is_signed_in(visitor, asked):
    before = visitor.session.user_id
    url = leaves_for(press(visitor, asked))
    visitor.person.cookies.clear()  # a colleague at the same computer signs in at the tenant
    answer = visitor.comes_back(visitor.passes(url, SECOND))
    nothing_happened(visitor, asked, answer, "another-person")
    assert visitor.session.user_id == before


def test_an_attempt_belongs_to_its_browser(visitor, asked, entrance):
    back = visitor.passes(leaves_for(press(visitor, asked)), APPROVER)
    stranger = Visitor(entrance)
    assert stranger.comes_back(back).status_code == 403
    other = Visitor(entrance)
    other.signs_in(SECOND)
    assert other.comes_back(back).status_code == 403
    assert status(asked) == Status.IN_REVIEW
    assert events("stepped-up") == []


def test_taking_longer_than_five_minutes_starts_over(visitor, asked):
    back = visitor.passes(leaves_for(press(visitor, asked)), APPROVER)
    with time_machine.travel(timezone.now() + dt.timedelta(minutes=6), tick=True):
        answer = visitor.comes_back(back)
        assert "longer than five minutes" in nothing_happened(visitor, asked, answer, "too-late")


def test_what_changed_meanwhile_is_looked_at_again(visitor, asked):
    back = visitor.passes(leaves_for(press(visitor, asked)), APPROVER)
    asked.move_to(Status.NEEDS_INFO, question="?")
    asked.move_to(Status.IN_REVIEW, answer="In fact for another ward")
    visitor.comes_back(back)
    assert status(asked) == Status.IN_REVIEW
    assert "This changed while you were looking at it" in text(page(visitor, asked))


def test_a_role_that_was_taken_away_meanwhile_approves_nothing(visitor, asked):
    visitor.tenant.do("bad-token", claims={"roles": ["Portal.Privacy"]})
    answer = visitor.comes_back(visitor.passes(leaves_for(press(visitor, asked)), APPROVER))
    assert answer.status_code == 404
    assert status(asked) == Status.IN_REVIEW
    assert User.objects.get(pk=visitor.session.user_id).staff_roles == ["privacy"]


def test_a_tenant_that_is_away_approves_nothing(visitor, asked):
    url = leaves_for(press(visitor, asked))
    back = visitor.passes(url, APPROVER)
    visitor.tenant.do("fail-next", operation="POST /token", status=500)
    answer = visitor.comes_back(back)
    assert "We could not confirm" in nothing_happened(visitor, asked, answer, "OAuth2Error")


def test_with_no_policy_behind_the_context_nobody_is_sent_to_confirm(visitor, asked):
    ContextCheck.objects.using("worker").filter(pk="c2").update(bound=False, because="no_policy")
    answer = press(visitor, asked)
    words = nothing_happened(visitor, asked, answer, "context-not-bound")
    assert "Our operator knows" in words
    assert Incident.objects.count() == 0, "the worker tells the operator, not each press"


def test_the_shorter_end_that_was_pressed_is_the_one_that_is_given(visitor, ask):
    long = ask(ends_at=dates.end_of(dates.months_after(dates.today(), 11)))
    type(long.organisation).objects.filter(pk=long.organisation_id).update(usual_months=3)
    long = AccessRequest.objects.get(pk=long.pk)
    until = dates.end_of(checks.shorter_end(long))
    visitor.comes_back(visitor.passes(leaves_for(press(visitor, long, shorter="1")), APPROVER))
    long.refresh_from_db()
    assert (long.status, long.granted_until) == (Status.APPROVED, until)


def test_who_may_not_decide_is_not_sent_to_confirm(visitor, asked):
    type(asked.organisation).objects.get(pk=asked.organisation_id).domains.create(name="hospital.example")
    answer = press(visitor, asked)
    assert answer.status_code == 403
    assert "a colleague has to decide" in text(answer)


def test_the_address_that_comes_back_shows_nothing_of_the_attempt(visitor, asked):
    """A page behind code and state in the address bar would be repeated by a reload, and kept in the history."""
    answer = visitor.comes_back(visitor.passes(leaves_for(press(visitor, asked)), APPROVER))
    assert answer.status_code == 302
    assert "code=" not in answer["Location"]
    assert heading(page(visitor, asked)).startswith("Practice Nurse")


def test_what_is_kept_between_is_gone_with_the_session(visitor, asked):
    press(visitor, asked)
    assert len(stored(visitor)["step_ups"]) == 1
    for _ in range(7):
        press(visitor, asked)
    assert len(stored(visitor)["step_ups"]) == 5
    visitor.client.post("/sign-out/")
    assert visitor.session is None
    assert settings.STEP_UP["approve"] == "c2"
