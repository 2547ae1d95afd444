"""`manage.py entra check`: whether the directory job could do its work, said in sentences."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from partners import entra

NEEDED = {
    # permission: (what for, other permissions that contain it)
    "User.Invite.All": ("to invite guests", {"User.ReadWrite.All", "Directory.ReadWrite.All"}),
    "User.Read.All": ("to look people up", {"User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}),
    "GroupMember.ReadWrite.All": (
        "to add guests to the access group",
        {"Group.ReadWrite.All", "Directory.ReadWrite.All"},
    ),
}


class Command(BaseCommand):
    help = "Check what the directory job needs: token, permissions, access group."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["check"])

    def handle(self, *args: Any, **options: Any) -> None:
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
    try:
        yield True, f"The access group is {graph.group_name()}."
    except (entra.TryLater, entra.Refused) as problem:
        yield (
            False,
            f"ENTRA_GROUP_ID ({settings.ENTRA['group_id']}) names no group that the job can read: {problem.code}.",
        )


def no_token(problem: entra.TryLater) -> str:
    if problem.code == "credentials":
        return (
            "The tenant refuses ENTRA_GRAPH_CLIENT_ID with ENTRA_GRAPH_CLIENT_SECRET: check both, and whether the "
            "secret has expired."
        )
    return f"Nobody answers at ENTRA_TOKEN_AUTHORITY ({settings.ENTRA['token_authority']})."
