"""A patient's refusal bars partners as soon as it arrives, and for as long as it stands."""

from __future__ import annotations

import pytest

from records.consents import refusals
from records.importing import running
from records.models import OptOut, Organisation, PatientLink
from tests.factories import WORKER
from tests.records.feeds import ACT_CODE, PARTNER_SYSTEM, label, observation, organization, patient, ref

ALL = "all"
RIVERSIDE = {"reference": ref("Organization/r")}
BY_KEY = {"reference": {"identifier": {"system": PARTNER_SYSTEM, "value": "riverside"}}}
STRANGER = {"reference": ref("Practitioner/somebody")}
PURPOSE = "http://terminology.hl7.org/CodeSystem/v3-ActReason"


def concept(code: str) -> dict:
    return {"coding": [{"code": code}]}


def consent(id: str = "c1", status: str = "active", scope: str = "patient-privacy", **fields) -> dict:
    fields = {"patient": ref("Patient/p1"), "scope": concept(scope), **fields}
    return {"resourceType": "Consent", "id": id, "status": status, **fields}


DENY = {"type": "deny"}
CASES = {
    "deny": ({"provision": DENY}, {ALL}),
    "permit": ({"provision": {"type": "permit"}}, set()),
    "nothing said": ({}, set()),
    "draft": ({"provision": DENY, "status": "draft"}, set()),
    "inactive": ({"provision": DENY, "status": "inactive"}, set()),
    "entered in error": ({"provision": DENY, "status": "entered-in-error"}, set()),
    "about research": ({"provision": DENY, "scope": "research"}, set()),
    "advance directive": ({"provision": DENY, "scope": "adr"}, set()),
    "opt-out policy": ({"policyRule": concept("OPTOUT")}, {ALL}),
    "opt-out policy, permit": ({"policyRule": concept("OPTOUT"), "provision": {"type": "permit"}}, set()),
    "opt-in policy, deny": ({"policyRule": concept("OPTIN"), "provision": DENY}, {ALL}),
    "one organisation": ({"provision": {**DENY, "actor": [RIVERSIDE]}}, {"riverside"}),
    "one organisation by key": ({"provision": {**DENY, "actor": [BY_KEY]}}, {"riverside"}),
    "somebody unknown": ({"provision": {**DENY, "actor": [STRANGER]}}, {ALL}),
    "a partner and somebody unknown": ({"provision": {**DENY, "actor": [RIVERSIDE, STRANGER]}}, {ALL}),
    "one label": ({"provision": {**DENY, "securityLabel": [label("HIV")]}}, {ALL}),
    "one label, one organisation": (
        {"provision": {**DENY, "securityLabel": [label("HIV", ACT_CODE)], "actor": [RIVERSIDE]}},
        {"riverside"},
    ),
    "with exceptions": ({"provision": {**DENY, "provision": [{"type": "permit", "actor": [RIVERSIDE]}]}}, {ALL}),
    "denied inside": ({"provision": {"type": "permit", "provision": [{**DENY, "actor": [RIVERSIDE]}]}}, {"riverside"}),
    "denied deep inside": ({"provision": {"provision": [{"provision": [DENY]}]}}, {ALL}),
    "to collect": ({"provision": {**DENY, "action": [concept("collect")]}}, set()),
    "to collect and use": ({"provision": {**DENY, "action": [concept("collect"), concept("use")]}}, {ALL}),
    "for research": ({"provision": {**DENY, "purpose": [{"system": PURPOSE, "code": "HRESCH"}]}}, set()),
    "for treatment": ({"provision": {**DENY, "purpose": [{"system": PURPOSE, "code": "TREAT"}]}}, {ALL}),
    "for a purpose unknown": ({"provision": {**DENY, "purpose": [{"code": "NEW"}]}}, {ALL}),
    "period to come": ({"provision": {**DENY, "period": {"start": "2999-01-01"}}}, {ALL}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_consent_refuses(case):
    fields, expected = CASES[case]
    partners = {"riverside": "R", "Organization/r": "R"}
    names = {None: ALL, "R": "riverside"}
    assert {names[one.organisation_id] for one in refusals(consent(**fields), partners)} == expected


def test_a_refusal_holds_within_its_period():
    provision = {**DENY, "period": {"start": "2024-03-01", "end": "2024-03-31"}}
    (refusal,) = refusals(consent(provision=provision), {})
    assert refusal.starts_at.isoformat() == "2024-03-01T00:00:00+00:00"
    assert refusal.ends_at.isoformat() == "2024-04-01T00:00:00+01:00"


def test_a_period_outside_counts_inside():
    provision = {"period": {"end": "2024-03-31"}, "provision": [DENY]}
    assert {one.ends_at.year for one in refusals(consent(provision=provision), {})} == {2024}


@pytest.fixture
def riverside(db) -> Organisation:
    return Organisation.objects.using(WORKER).create(name="Riverside", key="riverside")


def standing() -> set:
    return {(one.patient.fhir_id, one.organisation_id) for one in OptOut.objects.using(WORKER).in_force()}


def test_a_consent_in_a_feed_becomes_an_opt_out_and_ends_with_it(feed, riverside):
    feed.send(organization("r", "riverside"), patient(), consent(provision={**DENY, "actor": [RIVERSIDE]}))
    assert standing() == {("p1", riverside.pk)}
    feed.run()
    assert OptOut.objects.using(WORKER).count() == 1
    feed.send(consent(provision=DENY, meta={"versionId": "2"}))
    assert standing() == {("p1", None)}
    feed.send(consent(provision=DENY, status="inactive", meta={"versionId": "3"}))
    assert standing() == set()


def test_an_opt_out_is_there_before_the_next_batch(feed, monkeypatch):
    """Not only at the import's end: a kill in between must not leave a refusal unheard."""
    feed.send(patient("p2"))
    monkeypatch.setattr(running.Late, "look_again", lambda late: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        feed.send(patient(), consent(provision=DENY), observation())
    assert standing() == {("p1", None)}


def test_a_consent_that_comes_before_its_patient_counts_when_they_come(feed):
    feed.send(consent(provision=DENY))
    assert standing() == set()
    feed.send(patient())
    assert standing() == {("p1", None)}


def test_a_deleted_consent_ends(feed):
    feed.send(patient(), consent(provision=DENY))
    request = {"request": {"method": "DELETE", "url": "Consent/c1"}}
    feed.send({"resourceType": "Bundle", "id": "b", "entry": [request]})
    assert standing() == set()


def test_a_consent_that_is_over_leaves_nothing(feed):
    feed.send(patient(), consent(provision={**DENY, "period": {"end": "2020-01-01"}}))
    feed.run()
    assert not OptOut.objects.using(WORKER).exists()


def test_two_consents_stand_by_themselves(feed):
    feed.send(patient(), consent("c1", provision=DENY), consent("c2", provision=DENY))
    feed.send(consent("c1", provision={"type": "permit"}))
    assert standing() == {("p1", None)}
    assert OptOut.objects.using(WORKER).in_force().get().evidence == "Consent/c2"


def test_a_consent_reaches_linked_patients(feed):
    feed.send(patient(), patient("p2", link=[{"other": ref("Patient/p1"), "type": "seealso"}]), consent(provision=DENY))
    assert standing() == {("p1", None), ("p2", None)}
    feed.send(consent(provision={"type": "permit"}))
    assert standing() == set()
    assert PatientLink.objects.using(WORKER).filter(undone_at=None).count() == 1


def test_an_opt_out_by_hand_is_left_alone(feed):
    feed.send(patient())
    OptOut.objects.using(WORKER).create(patient=feed.patient(), evidence="form of 3 May")
    feed.send(consent(provision={"type": "permit"}))
    assert standing() == {("p1", None)}
