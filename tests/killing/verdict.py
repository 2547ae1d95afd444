"""What must hold when all is quiet, and what does not: one sentence for each breach, none when all is well.

Every accepted request ends provisioned or parked with a reason; one guest, one invitation in force, none lost; a second
mail only where a kill fell between the mail server's 250 and our commit, and then word for word the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from tests.killing.facts import MOST_CALLS, Entry, Facts

FULFILLED, NEEDS_HELP = ("fulfilled", "done"), ("approved", "needs_help")
UNDECIDED = {"in_review", "needs_info", "declined", "withdrawn", "lapsed"}
ONCE_PER_APPROVAL = ("access-asked", "access-approved")
ONCE_PER_GUEST = ("provisioned", "invitation-sent")


def breaches(facts: Facts) -> list[str]:
    """Every breach found, as a sentence that names whom or what it is about."""
    found = [*lost(facts), *uninvited(facts)]
    for entry in facts.entries:
        if entry.status not in UNDECIDED:
            found += about(entry, facts)
    found += [f"{address}: was written to before the group had the person" for address in sorted(facts.early)]
    found += [f"the log of {name} holds an address or a link" for name in sorted(facts.leaks)]
    if len(facts.calls) >= MOST_CALLS:
        found.append(f"the tenant remembers only {MOST_CALLS} calls: make the round smaller")
    return found


def lost(facts: Facts) -> Iterator[str]:
    """What was answered with success and is not there, or there twice."""
    known = Counter(entry.address for entry in facts.entries)
    yield from (f"{address}: asked for with success, and no request is there" for address in facts.asked - set(known))
    yield from (f"{address}: has {number} requests" for address, number in known.items() if number > 1)
    approved = {entry.address for entry in facts.entries if entry.status not in UNDECIDED}
    yield from (f"{address}: approved with success, and not approved" for address in facts.accepted - approved)


def uninvited(facts: Facts) -> Iterator[str]:
    """Whom the directory or the mailbox knows without our approval."""
    approved = {entry.address for entry in facts.entries if entry.status not in UNDECIDED}
    asked = {entry.address for entry in facts.entries}
    invited = {item["address"] for item in facts.invitations}
    written_to = {address for mail in facts.mails for address in mail["to"]}
    yield from (f"{address}: invited without approval" for address in sorted(invited - approved))
    yield from (f"{address}: written to without approval" for address in sorted(written_to - approved))
    for address in sorted(asked - approved):
        if facts.guests(address):
            yield f"{address}: in the directory without approval"


def about(entry: Entry, facts: Facts) -> Iterator[str]:
    """One approved request."""
    sentences = list(_ended(entry))
    sentences += [*_guest(entry, facts), *_mails(entry, facts)]
    if (entry.status, entry.job) == FULFILLED:
        sentences += [*_invitation(entry, facts), *_trail(entry)]
    yield from (f"{entry.address}: {sentence}" for sentence in sentences)


def _ended(entry: Entry) -> Iterator[str]:
    state = (entry.status, entry.job)
    if state == NEEDS_HELP and entry.parked:
        if not entry.parked["explained"]:
            yield f"parked without a sentence for its reason ({entry.parked['codes']})"
    elif state != FULFILLED:
        yield f"is neither provisioned nor parked (request {entry.status}, job {entry.job})"


def _guest(entry: Entry, facts: Facts) -> Iterator[str]:
    guests = facts.guests(entry.address)
    if len(guests) > 1:
        yield f"{len(guests)} guests in the directory"
    if (entry.status, entry.job) != FULFILLED:
        return
    if not guests:
        yield "no guest in the directory"
    for guest in guests:
        if guest["id"] != entry.object and len(guests) == 1:
            yield "the portal knows another object than the directory"
        if (times := facts.members.count(guest["id"])) != 1:
            yield f"{times} times in the access group"


def _invitation(entry: Entry, facts: Facts) -> Iterator[str]:
    """The one in force is the newest, and its link is the one that we keep."""
    made = facts.invitations_of(entry.object or "")
    if not made:
        yield "no invitation in the directory"
        return
    if made[-1]["id"] != entry.graph_invitation:
        yield "the link that we keep is not that of the newest invitation"
    if not entry.redeemable:
        yield "the tenant does not take the link that we keep"
    mails = facts.mails_to(entry.address)
    if mails and any(asked > mails[0]["at"] for asked in facts.invited_at(entry.object or "")):
        yield "invited again after the mail had left"


def _mails(entry: Entry, facts: Facts) -> Iterator[str]:
    mails = facts.mails_to(entry.address)
    for first, second in pairwise(mail["at"] for mail in mails):
        if not any(cut.explains(entry.address, first, second) for cut in facts.cuts):
            yield "a second mail, and no kill explains it"
    if len({tuple(mail[part] for part in ("message_id", "subject", "text", "html")) for mail in mails}) > 1:
        yield "mails that differ"
    if any(mail["message_id"] != entry.message_id or entry.link not in (mail["text"] or "") for mail in mails):
        yield "a mail with another Message-ID or link than the invitation's"
    if (entry.status, entry.job) == FULFILLED and not (mails and entry.sent):
        yield "provisioned and never written to"


def _trail(entry: Entry) -> Iterator[str]:
    for event in (*ONCE_PER_APPROVAL, *ONCE_PER_GUEST):
        if (times := entry.events.count(event)) != 1:
            yield f"{times} events “{event}” in the trail"
