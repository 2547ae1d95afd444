"""The verdict sees each breach that it is there for: every fault below is put into books that were in order."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from urllib.parse import quote

import pytest

from tests.killing.facts import INVITE, MOST_CALLS, Cut, Entry, Facts
from tests.killing.verdict import breaches

NURSE, OTHER = "nurse@northfield.example", "other@northfield.example"
GUEST, INVITATION, LINK = "object-1", "graph-invitation-2", "http://portal.localhost/welcome/a.b/"
FAR = 100.0
"""Seconds: when the mail left."""


def redeem_url(invitation: str) -> str:
    inner = f"http://login.localhost/redeem/?tenant=t&user={invitation}&ticket=secret"
    return f"http://login.localhost/redeem?rd={quote(inner, safe='')}"


def user(id: str = GUEST, address: str = NURSE) -> dict:
    return {"id": id, "mail": address, "otherMails": [address], "proxyAddresses": [f"SMTP:{address}"]}


def mail(at: float = FAR, **changes: object) -> dict:
    usual = {"to": [NURSE], "message_id": "<1>", "subject": "Hello", "text": f"Go to {LINK}", "html": "<p>"}
    return {"at": at, **usual, **changes}


def invite_call(at: float) -> dict:
    return {"operation": INVITE, "object": GUEST, "at": at}


@pytest.fixture
def facts() -> Facts:
    """One person provisioned after an invitation that had to be repeated, and one who was never approved."""
    nurse = Entry(
        request=1, address=NURSE, status="fulfilled", job="done", object=GUEST, sent=True, message_id="<1>", link=LINK,
        redeem_url=redeem_url(INVITATION), redeemable=True,
        events=["access-asked", "access-approved", "invitation-sent", "provisioned"],
    )  # fmt: skip
    return Facts(
        entries=[nurse, Entry(request=2, address=OTHER, status="in_review")],
        users=[user()],
        invitations=[
            {"id": "graph-invitation-1", "user": GUEST, "address": NURSE, "at": 1.0},
            {"id": INVITATION, "user": GUEST, "address": NURSE, "at": 2.0},
        ],
        calls=[invite_call(1.0), invite_call(2.0)],
        members=["somebody", GUEST],
        mails=[mail()],
        asked={NURSE, OTHER},
        accepted={NURSE},
    )


def test_books_that_are_in_order_have_no_breach(facts):
    assert breaches(facts) == []


FAULTS: dict[str, tuple[Callable[[Facts], object], str]] = {
    "a request is lost": (lambda f: f.entries.pop(), "no request is there"),
    "a request is there twice": (lambda f: f.entries.append(deepcopy(f.entries[1])), "has 2 requests"),
    "an approval is lost": (lambda f: f.accepted.add(OTHER), "not approved"),
    "a job is stuck": (lambda f: vars(f.entries[0]).update(status="approved", job="running"), "neither provisioned"),
    "a job is gone": (lambda f: vars(f.entries[0]).update(status="approved", job=None), "neither provisioned"),
    "a request is done and its job is not": (lambda f: vars(f.entries[0]).update(job="running"), "neither provisioned"),
    "parked without a sentence": (
        lambda f: vars(f.entries[0]).update(
            status="approved", job="needs_help", parked={"codes": ["?"], "explained": False}
        ),
        "without a sentence",
    ),
    "two guests": (lambda f: f.users.append(user("object-2")), "2 guests"),
    "no guest": (lambda f: f.users.clear(), "no guest"),
    "another guest": (lambda f: f.users.__setitem__(0, user("object-2")), "another object"),
    "not in the group": (lambda f: f.members.remove(GUEST), "0 times in the access group"),
    "twice in the group": (lambda f: f.members.append(GUEST), "2 times in the access group"),
    "an older link is kept": (
        lambda f: vars(f.entries[0]).update(redeem_url=redeem_url("graph-invitation-1")),
        "not that of the newest",
    ),
    "no link is kept": (lambda f: vars(f.entries[0]).update(redeem_url=None), "not that of the newest"),
    "the link is not taken": (lambda f: vars(f.entries[0]).update(redeemable=False), "does not take the link"),
    "no invitation": (lambda f: f.invitations.clear(), "no invitation in the directory"),
    "invited again after the mail": (
        lambda f: f.calls.append(invite_call(FAR + 1)),
        "invited again after the mail had left",
    ),
    "a second mail": (lambda f: f.mails.append(mail(FAR + 1)), "no kill explains it"),
    "a third mail": (
        lambda f: (f.mails.extend([mail(FAR + 5), mail(FAR + 6)]), f.cuts.append(Cut(FAR, FAR + 1, {NURSE}))),
        "no kill explains it",
    ),
    "a second mail with other words": (
        lambda f: (f.mails.append(mail(FAR + 5, subject="?")), f.cuts.append(Cut(FAR, FAR + 1, {NURSE}))),
        "mails that differ",
    ),
    "another Message-ID": (lambda f: f.mails.__setitem__(0, mail(message_id="<2>")), "another Message-ID or link"),
    "another link": (lambda f: f.mails.__setitem__(0, mail(text="Go away")), "another Message-ID or link"),
    "no mail": (lambda f: f.mails.clear(), "never written to"),
    "a mail that is not written down": (lambda f: vars(f.entries[0]).update(sent=False), "never written to"),
    "a mail before the door is open": (lambda f: f.early.add(NURSE), "before the group had the person"),
    "an event twice": (lambda f: f.entries[0].events.append("provisioned"), "2 events “provisioned”"),
    "an event lost": (lambda f: f.entries[0].events.remove("invitation-sent"), "0 events “invitation-sent”"),
    "somebody invited without approval": (lambda f: f.invitations[0].update(address=OTHER), "invited without approval"),
    "somebody in the directory without approval": (
        lambda f: f.users.append(user("object-2", OTHER)),
        "in the directory without approval",
    ),
    "somebody written to without approval": (lambda f: f.mails.append(mail(to=[OTHER])), "written to without approval"),
    "an address in a log": (lambda f: f.leaks.add("worker"), "the log of worker holds an address"),
    "more calls than the tenant remembers": (
        lambda f: f.calls.extend([invite_call(1.0)] * MOST_CALLS),
        "remembers only",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_a_breach(facts, fault):
    break_it, sentence = FAULTS[fault]
    break_it(facts)
    assert any(sentence in breach for breach in breaches(facts)), breaches(facts)


def test_a_second_mail_is_explained_by_a_kill_between_the_two_while_the_first_was_not_written_down(facts):
    facts.mails.append(mail(FAR + 10))
    facts.cuts = [Cut(FAR + 0.1, FAR + 0.2, {NURSE})]
    assert breaches(facts) == []
    for useless in (
        Cut(FAR - 5, FAR - 4, {NURSE}),  # before the first
        Cut(FAR + 11, FAR + 12, {NURSE}),  # after the second
        Cut(FAR + 0.1, FAR + 0.2, {OTHER}),  # the first was written down
    ):
        facts.cuts = [useless]
        assert breaches(facts) == [f"{NURSE}: a second mail, and no kill explains it"]


def test_who_is_parked_with_a_reason_is_in_order_without_guest_and_mail(facts):
    vars(facts.entries[0]).update(
        status="approved", job="needs_help", parked={"codes": ["member_exists"], "explained": True}, sent=False
    )
    facts.users.clear()
    facts.mails.clear()
    assert breaches(facts) == []
