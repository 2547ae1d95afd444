"""The approver's queue asks the database a constant number of times, however many requests there are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from partners import decisions, gates, provisioning
from partners.models import AccessRequest, Gate, Invitation, Sponsor
from records.models import Suspension
from tests import factories as make
from tests.factories import client_for
from tests.partners.conftest import as_worker, make_partner, make_sponsor
from tests.partners.pages import text


def statements(client: Any, name: str, *args: Any) -> list[str]:
    """What the page asks of PostgreSQL."""
    client.get(reverse(f"partners:{name}", args=args))  # what is asked once in a process is asked now
    with CaptureQueriesContext(connection) as seen:
        assert client.get(reverse(f"partners:{name}", args=args)).status_code == 200
    return [query["sql"] for query in seen.captured_queries]


@pytest.fixture
def fill(ask, approver, directory, facility):
    """Requests in each pile and state that the page tells apart, for two organisations, of which one is not ours to
    decide."""
    other = make_partner(make.make_organisation("Partner C"), domain="riverside.example")
    make.make_agreement(other.organisation, facility)
    theirs = {
        "organisation": other,
        "by": make_sponsor(other, "Riverside Deputy"),
        "caseloads": [make.make_caseload(other.organisation, facility, name="Other")],
    }
    Sponsor.objects.create(organisation=other, user=approver)

    def fill(round: int) -> None:
        def one(what: str, **more: Any) -> AccessRequest:
            domain = "riverside.example" if "organisation" in more else "northfield.example"
            return ask(email=f"{what}{round}@{domain}", first_name=what.title(), last_name=f"No{round}", **more)

        one("routine")
        one("letters", sections=["documents"])
        one("tied", **theirs)
        decisions.ask_question(one("asked"), by=approver, question="Which site?")
        for what in ("working", "inside", "held", "paused"):
            request = one(what)
            decisions.approve(request, by=approver)
            if what == "working":
                continue
            with as_worker():
                provisioning.advance(request.job.pk, directory)
            guest = request.job.guest.user
            if what == "held":
                Invitation.objects.filter(request=request).update(status=Invitation.Status.HELD)
            else:
                Suspension.objects.filter(user=guest).update(lifted_at=Now())
            if what == "paused":
                Suspension.objects.create(user=guest, reason=Suspension.Reason.PERSON)

    return fill


def test_more_requests_take_no_more_statements(fill, approver, sponsor, partner):
    Gate.objects.create(name=gates.GRAPH, code="directory_away", shut_at=Now(), failures=0, probes=0)
    office, desk = client_for(approver), client_for(sponsor, capacities=["sponsor"])
    pages = [
        (office, "approvals", []),
        (office, "organisation", [partner.pk]),
        (desk, "people", []),
        (desk, "requests", []),
    ]
    fill(1)
    few = [statements(client, name, *args) for client, name, args in pages]
    fill(2)
    fill(3)
    for (client, name, args), before in zip(pages, few, strict=True):
        after = statements(client, name, *args)
        assert len(after) == len(before), (name, [shape(sql) for sql in after])
        assert len(after) <= 20, (name, [shape(sql) for sql in after])


def shape(sql: str) -> str:
    return re.sub(r"SELECT .*? FROM", "SELECT … FROM", sql)[:120]


def test_each_pile_says_what_it_said_before_many_were_read_at_once(fill, approver):
    fill(1)
    page = text(client_for(approver).get(reverse("partners:approvals")))
    for words in (
        "Yours to decide (2)", "Routine No1", "Asks for documents: letters may contain anything",
        "1 more is for a colleague: You are or were a sponsor of Partner C", "Waiting for the partner (1)",
        "Being set up (4)", "Mail sent: Paused", "Mail sent: Has to sign in anew",
    ):  # fmt: skip
        assert words in page, words
