"""Two numbers of one person: refusals and labels count for both at once, and a link can be taken back."""

from __future__ import annotations

import pytest

from records import links
from records.models import Membership, OptOut, Patient, PatientLink
from tests import factories as make
from tests.factories import WORKER, days
from tests.records.feeds import Feed, labelled, observation, patient, ref

SEE_ALSO, REPLACED_BY = PatientLink.Kind.SEE_ALSO, PatientLink.Kind.REPLACED_BY


def link(one: Patient, other: Patient, kind: str = SEE_ALSO) -> PatientLink:
    return links.link(one.pk, other.pk, kind=kind, evidence="two people said so", using=WORKER)


def refuse(who: Patient, **fields) -> OptOut:
    return OptOut.objects.using(WORKER).create(patient=who, evidence="form", **fields)


def refusing() -> set[tuple[str, object]]:
    rows = OptOut.objects.using(WORKER).in_force()
    return set(rows.values_list("patient__fhir_id", "organisation__name"))


@pytest.fixture
def people(source) -> list[Patient]:
    return [make.make_patient(source, fhir_id=name) for name in ("a", "b", "c")]


def test_refusals_count_for_both_along_chains_and_back(people, organisation):
    a, b, c = people
    refuse(a)
    refuse(c, organisation=organisation)
    link(a, b)
    assert refusing() == {("a", None), ("b", None), ("c", organisation.name)}
    link(c, b)
    assert refusing() == {(one, what) for one in "abc" for what in (None, organisation.name)}


def test_linking_twice_changes_nothing(people):
    a, b, _ = people
    refuse(a)
    first = link(a, b)
    before = list(OptOut.objects.using(WORKER).order_by("pk").values())
    assert link(a, b) == first
    assert list(OptOut.objects.using(WORKER).order_by("pk").values()) == before


def test_undoing_takes_back_exactly_what_was_united(people, organisation):
    a, b, c = people
    refuse(a)
    refuse(b, organisation=organisation)
    first, second = link(a, b), link(b, c)
    links.undo(first, using=WORKER)
    assert refusing() == {("a", None), ("b", organisation.name), ("c", organisation.name)}
    links.undo(second, using=WORKER)
    assert refusing() == {("a", None), ("b", organisation.name)}
    assert PatientLink.objects.using(WORKER).exclude(undone_at=None).count() == 2


def test_an_end_of_a_refusal_is_the_same_for_both(people):
    a, b, _ = people
    row = refuse(a, ends_at=days(10))
    link(a, b)
    OptOut.objects.using(WORKER).filter(pk=row.pk).update(ends_at=days(20))
    links.unite([b.pk], using=WORKER)
    ends = OptOut.objects.using(WORKER).values_list("ends_at", flat=True)
    assert len(set(ends)) == 1
    OptOut.objects.using(WORKER).filter(pk=row.pk).update(ends_at=days(-1))
    links.unite([a.pk], using=WORKER)
    assert refusing() == set()


def test_memberships_are_not_united(people, caseload):
    a, b, _ = people
    make.make_membership(caseload, a)
    link(a, b)
    assert not Membership.objects.using(WORKER).filter(patient=b).exists()


def test_replaced_by_names_the_number_to_use_until_undone(people):
    a, b, _ = people
    made = link(a, b, REPLACED_BY)
    assert Patient.objects.using(WORKER).get(pk=a.pk).replaced_by == b
    links.undo(made, using=WORKER)
    assert Patient.objects.using(WORKER).get(pk=a.pk).replaced_by is None


def test_labels_count_for_both_and_across_sources(feed, facility):
    other = Feed(feed.folder.parent / "north", make.make_source(facility, "north"))
    feed.send(patient(meta=labelled("PSY")), observation())
    other.send(patient(), observation())
    made = link(feed.patient(), other.patient())
    assert other.patient().classes == ["mental_health"]
    assert other.classes("Observation/o1") == {"mental_health"}
    other.send(patient(name=[{"family": "Changed"}]))
    assert other.patient().classes == ["mental_health"], "a new text of one keeps the labels of the other"
    links.undo(made, using=WORKER)
    assert other.patient().classes == []
    assert other.classes("Observation/o1") == set()
    assert feed.classes("Observation/o1") == {"mental_health"}


def test_labels_are_never_lost_for_want_of_a_text(people):
    a, b, _ = people
    Patient.objects.using(WORKER).filter(pk=a.pk).update(classes=["hiv"])
    link(a, b)
    found = Patient.objects.using(WORKER).filter(pk__in=[a.pk, b.pk]).values_list("classes", flat=True)
    assert list(found) == [["hiv"], ["hiv"]]


# ---------------------------------------------------------------- from a feed


def linked(kind: str, to: str) -> list[dict]:
    return [{"type": kind, "other": ref(f"Patient/{to}")}]


def pairs() -> set[tuple[str, str, str]]:
    rows = PatientLink.objects.using(WORKER).filter(undone_at=None)
    return set(rows.values_list("patient__fhir_id", "other__fhir_id", "kind"))


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("replaced-by", ("p1", "p2", "replaced-by")),
        ("replaces", ("p2", "p1", "replaced-by")),
        ("seealso", ("p1", "p2", "seealso")),
        ("refer", ("p1", "p2", "seealso")),
    ],
)
def test_links_in_a_feed(feed, kind, found, order):
    feed.send(*[patient("p1", link=linked(kind, "p2")), patient("p2")][::order])
    assert pairs() == {found}
    replaced = Patient.objects.using(WORKER).exclude(replaced_by=None).values_list("fhir_id", "replaced_by__fhir_id")
    assert list(replaced) == ([found[:2]] if found[2] == "replaced-by" else [])
    assert feed.classes("Patient/p1") == set()


def test_a_link_to_nobody_waits_and_hides_nobody(feed):
    feed.send(patient("p1", link=linked("seealso", "p2")), observation())
    assert feed.classes("Patient/p1") == feed.classes("Observation/o1") == set()
    feed.send(patient("p2"))
    assert pairs() == {("p1", "p2", "seealso")}


def test_a_link_that_a_feed_takes_back_is_undone(feed):
    feed.send(patient("p1", link=linked("replaced-by", "p2"), active=False), patient("p2", meta=labelled("HIV")))
    assert feed.patient("p1").classes == ["hiv"]
    feed.send(patient("p1", meta={"versionId": "2"}))
    assert pairs() == set()
    assert feed.patient("p1").classes == []
    assert feed.patient("p1").replaced_by is None


def test_a_link_made_by_hand_outlives_a_feed(feed):
    feed.send(patient("p1"), patient("p2"))
    link(feed.patient("p1"), feed.patient("p2"))
    feed.send(patient("p1", name=[{"family": "New"}]))
    assert pairs() == {("p1", "p2", "seealso")}


def test_a_patient_linked_to_themselves_is_no_link(feed):
    feed.send(patient("p1", link=linked("seealso", "p1")))
    assert pairs() == set()
