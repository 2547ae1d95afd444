"""What a record said before a correction: told only to who sees now, and only as far as the newest version goes."""

from __future__ import annotations

import pytest

from clinicportal.viewing import viewing
from records.chart.rows import versions_of
from records.models import ResourceVersion
from tests import factories as make
from tests.records.feeds import label, labelled, observation, patient, ref
from tests.records.test_wall import wall_down

WORKER = "worker"
BEFORE, NOW = "before-zq", "now-zq"
CORRECTED = {"status": "corrected", "valueString": NOW}


def first(**fields):
    return observation(meta={"versionId": "1", **fields.pop("meta", {})}, **{"valueString": BEFORE, **fields})


def corrected(**fields):
    return observation(meta={"versionId": "2"}, **{**CORRECTED, **fields})


HIV = {"system": "http://snomed.info/sct", "code": "86406008"}
CASES = {
    "as it is": (first(), corrected(), True),
    "of another patient": (first(subject="Patient/p2"), corrected(), False),
    "of nobody we know": (first(subject="Patient/late"), corrected(), False),
    "named another patient, too": (first(focus=[ref("Patient/p2")]), corrected(), False),
    "in another section": (first(category=[{"coding": [{"code": "vital-signs"}]}]), corrected(), False),
    "with a label": (first(meta=labelled("HIV")), corrected(), False),
    "with a label in what it contains": (
        first(contained=[{"resourceType": "Condition", "id": "c", "meta": {"security": [label("PSY")]}}]),
        corrected(),
        False,
    ),
    "by code": (first(code={"coding": [HIV]}), corrected(), False),
    "with a label that both have": (first(meta=labelled("HIV")), corrected(code={"coding": [HIV]}), True),
}


@pytest.fixture
def reader(feed, guest, organisation, facility):
    """Somebody who may see the whole record of p1 but sensitive classes, HIV apart."""
    make.make_agreement(organisation, facility, classes=["hiv"])
    feed.send(patient("p1"), patient("p2"))
    caseload = make.make_caseload(organisation, facility, feed.patient("p1"))
    make.make_grant(guest, caseload, classes=["hiv"])
    return guest


@pytest.mark.parametrize("case", CASES)
def test_what_it_said_before_is_told_only_within_what_it_is_now(case, feed, reader):
    before, now, told = CASES[case]
    feed.send(before)
    feed.send(now)
    resource = feed.resource("Observation/o1")
    assert (resource.number, resource.settled) == (2, True)
    with viewing(reader):
        by_wall = ResourceVersion.objects.filter(resource=resource).exists()
    with wall_down("resourceversion"), viewing(reader):
        by_query = bool(versions_of([resource.pk]))
    assert (by_wall, by_query) == (told, told)
    seat = make.client_for(reader)
    for page in ("", "results/", f"results/?trend={resource.pk}", "print/"):
        body = seat.get(f"/patients/{resource.patient_id}/{page}").content.decode()
        assert NOW in body, page
        assert told or BEFORE not in body, page


def test_new_rules_judge_earlier_versions_as_well(feed, reader, monkeypatch):
    """A code becomes sensitive: a correction that took it out must not tell it."""
    from records import label_rules
    from records.importing import running

    feed.send(first(code={"coding": [{"system": "http://loinc.org", "code": "1-8"}]}))
    feed.send(corrected())
    version = ResourceVersion.objects.using(WORKER).get()
    assert version.classes == []
    known = label_rules.rules()
    raised = known._replace(
        version=known.version + 1, exact={**known.exact, ("http://loinc.org", "1-8"): frozenset({"genetic"})}
    )
    for module in ("records.label_rules", "records.importing.extraction", "records.importing.running"):
        monkeypatch.setattr(f"{module}.rules", lambda: raised)
    assert running.relabel(feed.source, using=WORKER) == 3
    version.refresh_from_db(using=WORKER)
    assert version.classes == ["genetic"]
    with viewing(reader):
        assert versions_of([version.resource_id]) == {}
