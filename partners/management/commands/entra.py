"""`manage.py entra`: whether the directory job could do its work, and whether the tenant asks for a second factor.

`check` says it in sentences. `policies` reads the Conditional Access policies and notes the answer, as the worker does
each hour. `attest` is an operator's word in place of that answer, where the tenant cannot be read.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from partners import assurance, dates, entra, turns
from partners.entra import limits
from partners.models import Gate

NEEDED = {
    # permission: (what for, other permissions that contain it)
    "User.Invite.All": ("to invite guests", {"User.ReadWrite.All", "Directory.ReadWrite.All"}),
    "User.Read.All": ("to look people up", {"User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}),
    "GroupMember.ReadWrite.All": (
        "to add guests to the access group",
        {"Group.ReadWrite.All", "Directory.ReadWrite.All"},
    ),
}


INVITERS = {
    # allowInvitesFrom: whether an application with User.Invite.All may invite; None: reports differ (entra.md §1).
    "everyone": True,
    "adminsGuestInvitersAndAllMembers": True,
    "adminsAndGuestInviters": None,
    "none": False,
}
MARKS = {True: "ok    ", False: "FAILED", None: "note  "}
Finding = tuple[bool | None, str]
"""Whether it is as it should be (None: somebody should know, nothing is wrong), and the sentence."""

OPTIONAL = {
    "Policy.Read.All": "an operator has to attest the policies (docs)",
    "User.ReadWrite.All": "a person adds a guest's changed address in the directory by hand (docs)",
}


class Command(BaseCommand):
    help = "Check what the directory job needs; read the tenant's policies; attest that they are there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["check", "policies", "attest"])
        parser.add_argument("--context", help="for attest: the authentication context, such as c1")
        parser.add_argument("--until", help="for attest: the last day, such as 2027-01-31, at most 90 days from now")
        parser.add_argument("--by", help="for attest: who looked and says so, kept in the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        {"check": self.check_all, "policies": self.policies, "attest": self.attest}[options["action"]](**options)

    def policies(self, **_: Any) -> None:
        assurance.check(entra.client())
        for context in assurance.contexts():
            self.stdout.write(sentence(assurance.standing(context)))

    def attest(self, *, context: str | None, until: str | None, by: str | None, **_: Any) -> None:
        name = " ".join((by or "").split())[:200]
        if not (context and until and name):
            raise CommandError("Say --context, --until and --by: which context, until which day, and who looked.")
        try:
            day = dates.read_day(until)
            assurance.attest_by_hand(context, until=dates.end_of(day), name=name)
        except ValueError as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(sentence(assurance.standing(context)))

    def check_all(self, **_: Any) -> None:
        fine = True
        for passed, sentence in (*directory(entra.onlooker()), *traffic()):
            fine = fine and passed is not False
            self.stdout.write(f"{MARKS[passed]}  {sentence}")
        if not fine:
            raise SystemExit(1)


def directory(graph: entra.Graph) -> Iterator[Finding]:
    """What the tenant says; stops where the rest cannot be known."""
    kind = graph.proves_itself_by()
    try:
        held = set(graph.permissions())
    except entra.TryLater as problem:
        yield False, no_token(problem, kind)
        return
    yield True, f"The tenant {settings.ENTRA['tenant_id']} accepts our credentials, a {kind}."
    for name, (purpose, containing) in NEEDED.items():
        if held & {name, *containing}:
            yield True, f"The job has {name} {purpose}."
        else:
            yield False, f"Grant the application permission {name} and its admin consent: the job needs it {purpose}."
    for name, otherwise in OPTIONAL.items():
        if name not in held:
            yield None, f"Without the optional permission {name} {otherwise}."
    try:
        yield True, f"The access group is {graph.group_name()}."
    except (entra.TryLater, entra.Refused) as problem:
        yield (
            False,
            f"ENTRA_GROUP_ID ({settings.ENTRA['group_id']}) names no group that the job can read: {problem.code}.",
        )
    yield who_may_invite(graph, held)


def sentence(standing: assurance.Standing) -> str:
    """What a context is worth now, for the operator."""
    name, check, attestation = standing.context, standing.check, standing.attestation
    if standing.state == assurance.State.CHECKED:
        return f"ok      {name}: a policy that asks for a second factor is bound to it."
    if attestation and standing.state == assurance.State.ATTESTED:
        last = dates.last_day(attestation.until).isoformat()
        return f"ok      {name}: {attestation.by_name} attests until {last} that a policy is bound to it."
    if check and standing.state == assurance.State.UNBOUND:
        return f"FAILED  {name}: no policy is bound to it that asks everybody ({check.because}). Nobody can pass."
    trouble = check.trouble if check else "not tried yet"
    return f"FAILED  {name}: the tenant's policies were not read ({trouble}) and nobody attests them. Nobody can pass."


def who_may_invite(graph: entra.Graph, held: set[str]) -> Finding:
    """An application is refused whatever its permissions when the tenant keeps inviting to some (entra.md §1)."""
    if not held & {"Policy.Read.All", "Policy.ReadWrite.Authorization"}:
        return None, (
            "Who may invite guests cannot be read without Policy.Read.All: look under External Identities, External "
            "collaboration settings, Guest invite settings."
        )
    try:
        setting = graph.who_may_invite()
    except (entra.TryLater, entra.Refused) as problem:
        return None, f"Who may invite guests could not be read: {problem.code}."
    sentences = {
        True: f"The tenant lets applications invite guests ({setting}).",
        False: f"The tenant lets nobody invite guests ({setting}): change the Guest invite settings.",
        None: f"The tenant keeps inviting to few ({setting}), which may refuse applications, too: try one.",
    }
    allowed = INVITERS.get(setting)
    return allowed, sentences[allowed]


def traffic() -> Iterator[Finding]:
    """What the workers have agreed on: limits, budget, breaker."""
    yield (
        None,
        (
            f"The workers share these limits: {settings.ENTRA_LIMIT_INVITATIONS} invitations in 5 s, "
            f"{settings.ENTRA_LIMIT_WRITES} writes in 150 s, {settings.ENTRA_LIMIT_UNITS} resource units in 10 s."
        ),
    )
    lane = limits.day()
    if lane is None:
        yield None, "There is no daily budget of invitations (ENTRA_INVITATIONS_PER_DAY)."
    else:
        yield (
            None,
            (
                f"The daily budget is {settings.ENTRA_INVITATIONS_PER_DAY} invitations: {lane.limit} in any "
                f"{lane.seconds / 3600:.1f} hours. {turns.invited_lately()} left in the last 24 hours, "
                f"{turns.waiting()} wait."
            ),
        )
    shut = list(Gate.objects.shut().order_by("shut_at"))
    if not shut:
        yield True, "The breaker is closed and nothing is blocked: calls go out."
    for gate in shut:
        if gate.probe_at is None:
            then = "It waits for you: mend the cause, then close it under To look at."
        else:
            then = f"One call tries again at {timezone.localtime(gate.probe_at):%H:%M:%S}, or when you close it."
        since = f"{timezone.localtime(gate.shut_at):%d %B, %H:%M}" if gate.shut_at else "now"
        yield False, f"Calls are held back since {since} ({gate.name}: {gate.code}). {then}"


def no_token(problem: entra.TryLater, kind: str) -> str:
    if problem.code == "credentials":
        settings_of = {
            "certificate": "ENTRA_GRAPH_CERTIFICATE_FILE and ENTRA_GRAPH_CERTIFICATE_KEY_FILE",
            "federated token": "ENTRA_GRAPH_FEDERATED_TOKEN_FILE",
        }
        return (
            f"The tenant refuses ENTRA_GRAPH_CLIENT_ID with {settings_of.get(kind, 'ENTRA_GRAPH_CLIENT_SECRET')}: "
            f"check both, and whether the {kind or 'secret'} has ended."
        )
    return f"Nobody answers at ENTRA_TOKEN_AUTHORITY ({settings.ENTRA['token_authority']})."
