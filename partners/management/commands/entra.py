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

from partners import assurance, dates, entra

NEEDED = {
    # permission: (what for, other permissions that contain it)
    "User.Invite.All": ("to invite guests", {"User.ReadWrite.All", "Directory.ReadWrite.All"}),
    "User.Read.All": ("to look people up", {"User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}),
    "GroupMember.ReadWrite.All": (
        "to add guests to the access group",
        {"Group.ReadWrite.All", "Directory.ReadWrite.All"},
    ),
}


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
        for passed, sentence in findings(entra.client()):
            fine = fine and passed
            self.stdout.write(f"{'ok    ' if passed else 'FAILED'}  {sentence}")
        if not fine:
            raise SystemExit(1)


def findings(graph: entra.Graph) -> Iterator[tuple[bool, str]]:
    """Yield (passed, sentence); stop where the rest cannot be known."""
    try:
        held = set(graph.permissions())
    except entra.TryLater as problem:
        yield False, no_token(problem)
        return
    yield True, f"The tenant {settings.ENTRA['tenant_id']} accepts our credentials."
    for name, (purpose, containing) in NEEDED.items():
        if held & {name, *containing}:
            yield True, f"The job has {name} {purpose}."
        else:
            yield False, f"Grant the application permission {name} and its admin consent: the job needs it {purpose}."
    for name, otherwise in OPTIONAL.items():
        if name not in held:
            yield True, f"Without the optional permission {name} {otherwise}."
    try:
        yield True, f"The access group is {graph.group_name()}."
    except (entra.TryLater, entra.Refused) as problem:
        yield (
            False,
            f"ENTRA_GROUP_ID ({settings.ENTRA['group_id']}) names no group that the job can read: {problem.code}.",
        )


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


def no_token(problem: entra.TryLater) -> str:
    if problem.code == "credentials":
        return (
            "The tenant refuses ENTRA_GRAPH_CLIENT_ID with ENTRA_GRAPH_CLIENT_SECRET: check both, and whether the "
            "secret has expired."
        )
    return f"Nobody answers at ENTRA_TOKEN_AUTHORITY ({settings.ENTRA['token_authority']})."
