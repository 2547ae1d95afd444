"""Every page of made-up worlds, held against the rule in plain Python: what is not allowed stands nowhere.

CLINICPORTAL_WORLDS=200 looks at so many of them, from CLINICPORTAL_WORLD on.
"""

from __future__ import annotations

import json
import os
import re

import pytest
from django.test import Client

from clinicportal.models import User
from clinicportal.viewing import viewing
from records.models import Organisation, Patient, Resource, may_view
from tests import factories as make
from tests.records.test_chart import text_of
from tests.records.test_wall import wall_down
from tests.records.worlds import Name, Said, World

THOROUGH = "CLINICPORTAL_WORLDS" in os.environ
FIRST = int(os.environ.get("CLINICPORTAL_WORLD", "1"))
WORLDS = range(FIRST, FIRST + int(os.environ.get("CLINICPORTAL_WORLDS", "1")))
PAGES = (
    "", "timeline/", "results/", "vitals/", "medicines/", "problems/", "allergies/", "immunisations/", "procedures/",
    "encounters/", "documents/", "care/", "access/", "print/", "report/", "results/tests/", "vitals/tests/",
)  # fmt: skip
KINDS_WITH_PAGES = (
    ("documents", "DocumentReference"), ("documents", "QuestionnaireResponse"), ("results", "DiagnosticReport"),
)  # fmt: skip
MARK = re.compile(r"zq\d{9}x")


@pytest.mark.parametrize("seed", WORLDS)
def test_no_page_shows_what_the_rule_does_not_allow(seed, tmp_path, db):
    world = World(seed, tmp_path)
    seats = [(user, organisation, seat_of(user, organisation)) for user, organisation in world.sessions]
    happened = "at first"
    for _ in range(4 if THOROUGH else 2):  # by the same sessions and the same prepared statements
        world.read()
        look_at_labels(world, happened)
        for user, organisation in (*world.sessions, (world.reviewer, None)):
            look_at_rows(world, user, organisation, happened)
        for user, organisation, seat in world.chance.sample(seats, 2 if THOROUGH else 1):
            look_at_pages(world, user, organisation, seat, happened)
        look_at_pages_of_review(world, happened)
        happened = ", ".join(world.change() for _ in range(world.chance.choice([1, 2, 3])))


def seat_of(user: User, organisation: Organisation | None) -> Client:
    return make.client_for(make.signed_in(user, organisation))


def look_at_pages_of_review(world: World, happened: str) -> None:
    """Of a reviewer, who comes to a record from the review and to no list."""
    for name in [one for one in world.names if world.patient_visible(world.reviewer, None, one)]:
        allowed = [one for one in world.said.values() if one.about == name]
        allowed = [one for one in allowed if world.allows(world.reviewer, None, one)]
        here = f"world {world.seed}, a reviewer, {happened}"
        look_at_record(world, seat_of(world.reviewer, None), name, allowed, here, visible=True)


def look_at_labels(world: World, happened: str) -> None:
    held = dict(Resource.objects.using("worker").values_list("pk", "classes"))
    for one in world.said.values():
        labels = set(held[world.id_of(one.key)])
        assert one.gone or labels == world.classes_of(one), f"world {world.seed}, {happened}: {one}"


def look_at_rows(world: World, user: User, organisation: Organisation | None, happened: str) -> None:
    """The querysets and the wall, each by itself, against the rule in plain Python."""
    patients = {world.ids[name] for name in world.names if world.patient_visible(user, organisation, name)}
    said = {world.id_of(one.key) for one in world.said.values() if world.allows(user, organisation, one)}
    viewer = make.signed_in(User.objects.get(pk=user.pk), organisation)
    where = f"world {world.seed}, {user.display_name} for {organisation}, {happened}"
    for listing in (False, True):
        with viewing(viewer, listing=listing):
            rows = Resource.objects.exclude(type="Patient")
            assert set(rows.values_list("pk", flat=True)) == said, where
            assert set(Patient.objects.values_list("pk", flat=True)) == patients, where
    with wall_down(), viewing(viewer):
        rows = Resource.objects.visible_to(viewer).exclude(type="Patient")
        assert set(rows.values_list("pk", flat=True)) == said, where
        for held in (Patient.objects.visible_to(viewer), Patient.objects.listed_to(viewer)):
            assert not may_view(viewer) or set(held.values_list("pk", flat=True)) == patients, where


def look_at_pages(world: World, user: User, organisation: Organisation, seat: Client, happened: str) -> None:
    here = f"world {world.seed}, {user.display_name} for {organisation}, {happened}"
    visible = {name for name in world.names if world.patient_visible(user, organisation, name)}
    look_at_lists(world, seat, visible, here)
    for name in world.names if THOROUGH else world.chance.sample(world.names, 3):
        allowed = [one for one in world.said.values() if one.about == name]
        allowed = [one for one in allowed if name in visible and world.allows(user, organisation, one)]
        look_at_record(world, seat, name, allowed, here, visible=name in visible)


def families(world: World, body: str) -> set[Name]:
    return {name for name in world.names if world.family(name) in body.lower()}


def look_at_lists(world: World, seat: Client, visible: set[Name], here: str) -> None:
    listed = {name for name in visible if not world.patients[world.ids[name]].replaced_by_id}
    for query in ("", "?show=recent", *(f"?caseload={one.pk}" for one in world.caseloads)):
        page = seat.get(f"/patients/{query}")
        assert families(world, page.content.decode()) <= visible, f"{here}: {query}"
        assert not MARK.search(page.content.decode()), here
        if not query and page.status_code == 200:
            assert listed <= families(world, page.content.decode()), here
            found = re.search(r"(\d+) patients? whose records", text_of(page))
            assert int(found[1]) == len(listed) if found else not listed, here
    for name in world.names:
        page = seat.post("/patients/", {"find": world.family(name)})
        rows = page.content.decode().count(f'href="/patients/{world.ids[name]}/"')
        assert bool(rows) == (name in listed), f"{here}: search for {name}"


def look_at_record(
    world: World, seat: Client, name: Name, allowed: list[Said], here: str, *, visible: bool
) -> None:  # fmt: skip
    patient = world.ids[name]
    marks = {one.mark for one in allowed}
    quoted = {mark for one in allowed for mark in world.quoted(one)}
    told = marks | quoted | {mark for one in allowed for mark in earlier(world, one)}
    shown: set[str] = set()
    entries = [
        f"{part}/{world.id_of(one.key)}/"
        for one in world.said.values()
        for part, kind in KINDS_WITH_PAGES
        if f"/{kind}/" in one.key
    ]
    trends = [f"results/?trend={world.id_of(one.key)}" for one in world.said.values() if "/Observation/" in one.key]
    some = [*world.chance.sample(entries, 4), *world.chance.sample(trends, 2)]
    for path in (*PAGES, *some) if visible else world.chance.sample([*PAGES, *entries], 3):
        page = seat.get(f"/patients/{patient}/{path}")
        body = page.content.decode()
        where = f"{here}: /{path} of {name}"
        assert visible or page.status_code == 404, where
        assert page.status_code in (200, 404) or (path, page.status_code) == ("print/", 403), where
        found = set(MARK.findall(body))
        assert found <= told, f"{where}: {[one for one in world.said.values() if one.mark in found - told]}"
        assert families(world, body) <= {name}, where
        shown |= found
    taken = seat.post(f"/patients/{patient}/take/")
    if taken.status_code == 200:
        body = json.dumps(json.loads(b"".join(taken)))
        assert set(MARK.findall(body)) <= marks | quoted, f"{here}: taken"
        assert families(world, body) <= {name}, here
    assert marks <= shown, f"{here}: {name} lacks {[one for one in allowed if one.mark not in shown]}"


def earlier(world: World, said: Said) -> set[str]:
    """The mark of what it said before, where that tells of no more than what it says now."""
    before = said.before
    if before is None or (before.about, before.others, before.section) != (said.about, frozenset(), said.section):
        return set()
    return {before.mark}
