"""A small round with a fixed seed, for every `make test`: a kill of each kind, and every narrow window."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest
import requests

from tests.devtenant.conftest import GRAPH_CLIENT, GRAPH_SECRET, TENANT
from tests.killing import rounds
from tests.killing.facts import gather
from tests.killing.portal import VICTIMS, Portal, memory, portal
from tests.killing.rounds import Outcome
from tests.killing.verdict import breaches
from tests.killing.windows import WINDOWS

pytestmark = [
    pytest.mark.timeout(600),  # a minute where nothing else runs
    pytest.mark.xdist_group("sample"),  # one round for all of them, played from the start
]


@pytest.fixture(scope="module")
def running() -> Iterator[Portal]:
    with portal(memory()) as running:
        yield running


@pytest.fixture(scope="module")
def outcome(running: Portal) -> Outcome:
    plan = rounds.sample()
    print(f"seed {plan.seed}")
    outcome = rounds.run(running, plan, say=print)
    print(outcome.figures)
    return outcome


def test_every_accepted_request_ends_well_whatever_is_killed(outcome):
    assert outcome.breaches == []
    assert len(outcome.facts.accepted) == outcome.plan.people
    assert outcome.figures["provisioned"] + outcome.figures["parked"] == outcome.plan.people


def test_each_kind_of_process_was_killed_and_each_window_was_hit(outcome):
    assert {kill.victim for kill in outcome.kills} == set(VICTIMS)
    assert {hit.window for hit in outcome.hits} == {window for window in WINDOWS if window.in_sample}
    assert all(hit.addresses for hit in outcome.hits)


def test_what_happens_twice_behind_our_back_is_seen(outcome, running):
    """The checks see what they are there for: here a mail leaves twice, and somebody is invited once more."""
    known = {"asked": outcome.facts.asked, "accepted": outcome.facts.accepted, "cuts": outcome.facts.cuts}
    written_to, invited = sorted(outcome.facts.accepted)[:2]
    mail_again(running, outcome.facts.mails_to(written_to)[0])
    invite_again(running, invited)
    assert set(breaches(gather(running, **known))) - set(outcome.breaches) == {
        f"{written_to}: a second mail, and no kill explains it",
        f"{invited}: the link that we keep is not that of the newest invitation",
        f"{invited}: invited again after the mail had left",
    }


def mail_again(running: Portal, mail: dict[str, Any]) -> None:
    """The same mail, word for word."""
    copy = MIMEMultipart("alternative")
    copy["To"], copy["Subject"], copy["Message-ID"] = mail["to"][0], mail["subject"], mail["message_id"]
    copy.attach(MIMEText(mail["text"]))  # EmailMessage would end it with a line end of its own
    copy.attach(MIMEText(mail["html"], "html"))
    with smtplib.SMTP("127.0.0.1", running.here.port + 3) as server:
        server.send_message(copy, "access@hospital.example")


def invite_again(running: Portal, address: str) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": GRAPH_CLIENT,
        "client_secret": GRAPH_SECRET,
        "scope": "https://graph.microsoft.com/.default",
    }
    token = requests.post(f"{running.here.tenant}/{TENANT}/oauth2/v2.0/token", data=form, timeout=10).json()
    answer = requests.post(
        f"https://localhost:{running.here.port + 2}/v1.0/invitations",
        json={"invitedUserEmailAddress": address, "inviteRedirectUrl": running.here.url},
        headers={"Authorization": f"Bearer {token['access_token']}"},
        verify=str(running.here.data / "tenant" / "ca.pem"),
        timeout=10,
    )
    assert answer.status_code == 201
