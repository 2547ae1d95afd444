"""Which patients a partner looks after: by registration, stays, teams and referrals, each with its tail."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from records import caseloads, feeds
from records.models import Caseload, Import, Membership, Organisation, Resource
from tests import factories as make
from tests.factories import WORKER, days
from tests.records.feeds import Feed, about, labelled, organization, patient, ref, refs

NORTHFIELD = ref("Organization/n")


def day(offset: float) -> str:
    return (timezone.localdate() + timedelta(days=offset)).isoformat()


@pytest.fixture
def northfield(db) -> Organisation:
    return Organisation.objects.using(WORKER).create(name="Northfield Practice", key="northfield")


@pytest.fixture
def shared_care(northfield, facility) -> Caseload:
    return make.make_caseload(northfield, facility)


@pytest.fixture
def send(feed, shared_care):
    """Import a partner, a patient and these; return the memberships in force as (patient, basis, evidence)."""

    def send(*resources, **fields):
        feed.send(organization("n", "northfield"), patient(**fields), *resources)
        return in_force()

    return send


def in_force() -> set[tuple[str, str, str]]:
    rows = Membership.objects.using(WORKER).in_force()
    return set(rows.values_list("patient__fhir_id", "basis", "evidence"))


def only() -> Membership:
    return Membership.objects.using(WORKER).get()


# ---------------------------------------------------------------- each basis


@pytest.mark.parametrize("named", [{"generalPractitioner": [NORTHFIELD]}, {"managingOrganization": NORTHFIELD}])
def test_registration_lasts_while_the_patient_is_registered(feed, send, named):
    assert send(**named) == {("p1", "registration", "Patient/p1")}
    assert only().ends_at is None
    began = only().starts_at
    feed.run()
    assert only().starts_at == began
    assert send() == set()
    ended = only().ends_at
    assert ended <= timezone.now()
    feed.run()
    assert only().ends_at == ended
    assert send(**named) == {("p1", "registration", "Patient/p1")}
    assert only().starts_at > ended


@pytest.mark.parametrize("over", [{"active": False}, {"link": [{"type": "replaced-by", "other": ref("Patient/p2")}]}])
def test_a_record_no_longer_in_use_registers_nobody(send, over):
    assert send(generalPractitioner=[NORTHFIELD], **over) == set()


@pytest.mark.parametrize(
    "where",
    [
        {"serviceProvider": NORTHFIELD},
        {"hospitalization": {"origin": NORTHFIELD}},
        {"hospitalization": {"destination": NORTHFIELD}},
    ],
)
def test_an_encounter_counts_until_90_days_after_its_end(send, where):
    period = {"start": day(-100), "end": day(-80)}
    assert send(about("Encounter", "e1", status="finished", period=period, **where)) == {
        ("p1", "encounter", "Encounter/e1")
    }
    assert (only().ends_at - timezone.now()).days in (10, 11)


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"status": "in-progress", "period": {"start": day(-400)}}, True),
        ({"status": "finished", "period": {"start": day(-400)}}, False),
        ({"status": "finished", "period": {"start": day(-30)}}, True),
        ({"status": "finished", "period": {"start": day(-100), "end": day(-91)}}, False),
        ({"status": "cancelled", "period": {"start": day(-3)}}, False),
        ({"status": "entered-in-error", "period": {"start": day(-3), "end": day(-2)}}, False),
        ({"status": "planned", "period": {"start": day(5)}}, False),
        ({"status": "finished"}, False),
    ],
)
def test_which_encounters_count(send, fields, counts):
    assert bool(send(about("Encounter", "e1", serviceProvider=NORTHFIELD, **fields))) == counts


def test_a_planned_visit_opens_when_it_starts(send):
    send(about("Encounter", "e1", status="planned", period={"start": day(5)}, serviceProvider=NORTHFIELD))
    assert only().starts_at > days(4)


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"status": "active"}, True),
        ({"status": "active", "period": {"start": day(-500)}}, True),
        ({"status": "active", "period": {"end": day(-10)}}, True),
        ({"status": "active", "period": {"end": day(-20)}}, False),
        ({"status": "inactive", "period": {"end": day(-10)}}, True),
        ({"status": "inactive", "meta": {"lastUpdated": "2020-01-01T00:00:00Z"}}, False),
        ({"status": "proposed"}, False),
        ({"status": "entered-in-error"}, False),
    ],
)
def test_a_care_team_counts_while_active_and_14_days_more(send, fields, counts):
    members = [{"member": ref("Practitioner/x")}, {"member": NORTHFIELD}]
    assert bool(send(about("CareTeam", "t1", participant=members, **fields))) == counts


def test_a_member_may_leave_a_team_before_it_ends(send):
    members = [{"member": NORTHFIELD, "period": {"end": day(-20)}}]
    assert send(about("CareTeam", "t1", status="active", participant=members)) == set()
    on_behalf = [{"member": ref("Practitioner/x"), "onBehalfOf": NORTHFIELD}]
    assert send(about("CareTeam", "t1", status="active", participant=on_behalf))
    assert send(about("CareTeam", "t1", status="active", managingOrganization=[NORTHFIELD]))


@pytest.mark.parametrize("who", [{"requester": NORTHFIELD}, {"performer": [ref("Practitioner/x"), NORTHFIELD]}])
@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"status": "active", "authoredOn": day(-170)}, True),
        ({"status": "active", "authoredOn": day(-190)}, False),
        ({"status": "completed", "authoredOn": day(-170)}, True),
        ({"status": "revoked", "authoredOn": day(-1)}, False),
        ({"status": "draft", "authoredOn": day(-1)}, False),
        ({"status": "active", "authoredOn": day(-1), "doNotPerform": True}, False),
        ({"status": "active", "authoredOn": day(-1), "intent": "plan"}, False),
        ({"status": "active"}, False),
    ],
)
def test_a_referral_counts_for_180_days_unless_it_is_revoked(send, who, fields, counts):
    request = about("ServiceRequest", "s1", **{"intent": "order", **who, **fields})
    assert bool(send(request)) == counts


# ---------------------------------------------------------------- who is a partner


def appointment(id: str, starts: float, **fields):
    start = f"{day(starts)}T09:00:00Z"
    actors = [{"actor": ref("Patient/p1")}, {"actor": NORTHFIELD}]
    return {
        "resourceType": "Appointment",
        "id": id,
        "status": "booked",
        "start": start,
        "participant": actors,
        **fields,
    }


@pytest.mark.parametrize(
    ("starts", "fields", "counts"),
    [
        (0.9, {}, True),
        (3, {}, False),
        (-13, {"status": "fulfilled"}, True),
        (-16, {"status": "fulfilled"}, False),
        (0.9, {"status": "cancelled"}, False),
        (0.9, {"status": "noshow"}, False),
        (0.9, {"status": "proposed"}, False),
        (0.9, {"participant": [{"actor": ref("Patient/p1")}]}, False),
        (
            0.9,
            {"participant": [{"actor": ref("Patient/p1")}, {"actor": NORTHFIELD, "status": "declined"}]},
            False,
        ),
    ],
)
def test_tomorrows_clinic_counts_from_a_day_before_until_14_days_after(send, starts, fields, counts):
    found = send(appointment("a1", starts, **fields))
    assert found == ({("p1", "appointment", "Appointment/a1")} if counts else set())


def test_an_appointment_to_come_is_known_and_not_yet_in_force(send):
    assert send(appointment("a1", 5)) == set()
    assert timedelta(days=3) < only().starts_at - timezone.now() < timedelta(days=5)


def test_between_two_visits_there_is_no_gap(send):
    send(appointment("a1", 0), appointment("a2", 10), appointment("a3", 60))
    membership = only()
    assert membership.evidence == "Appointment/a1"
    assert timedelta(days=23) < membership.ends_at - timezone.now() < timedelta(days=25)


# ---------------------------------------------------------------- lists


def group(id: str = "g1", *, member: dict | None = None, **fields):
    members = [{"entity": ref("Patient/p1"), **(member or {})}, {"entity": ref("Patient/gone")}]
    return {"resourceType": "Group", "id": id, "type": "person", "actual": True, "active": True,
            "managingEntity": NORTHFIELD, "member": members, **fields}  # fmt: skip


def listing(id: str = "l1", *, entry: dict | None = None, **fields):
    """A List of patients by somebody who works at the partner: R4 knows no organisation as its source."""
    return {"resourceType": "List", "id": id, "status": "current", "mode": "working",
            "source": ref("PractitionerRole/theirs"), "entry": [{"item": ref("Patient/p1"), **(entry or {})}],
            **fields}  # fmt: skip


ROLE = {"resourceType": "PractitionerRole", "id": "theirs", "practitioner": ref("Practitioner/x"),
        "organization": NORTHFIELD}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({}, True),
        ({"member": {"period": {"start": day(2)}}}, False),
        ({"member": {"period": {"end": day(-13)}}}, True),
        ({"member": {"period": {"end": day(-16)}}}, False),
        ({"member": {"inactive": True}, "meta": {"lastUpdated": f"{day(-13)}T00:00:00Z"}}, True),
        ({"member": {"inactive": True}, "meta": {"lastUpdated": f"{day(-16)}T00:00:00Z"}}, False),
        ({"active": False, "meta": {"lastUpdated": f"{day(-16)}T00:00:00Z"}}, False),
        ({"actual": False}, False),
        ({"type": "animal"}, False),
        ({"managingEntity": ref("Organization/other")}, False),
        ({"managingEntity": None}, False),
    ],
)
def test_a_group_of_a_partner_counts_until_14_days_after_its_end(send, fields, counts):
    assert send(group(**fields)) == ({("p1", "list", "Group/g1")} if counts else set())


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({}, True),
        ({"entry": {"date": day(2)}}, False),
        ({"entry": {"deleted": True}}, False),
        ({"status": "retired", "date": day(-13)}, True),
        ({"status": "retired", "date": day(-16)}, False),
        ({"status": "entered-in-error"}, False),
        ({"mode": "changes"}, False),
        ({"source": ref("PractitionerRole/elsewhere")}, False),
        ({"source": None}, False),
        ({"subject": ref("Patient/p1"), "entry": {"item": ref("Condition/c1")}}, False),
    ],
)
def test_a_list_by_somebody_of_a_partner_counts_until_14_days_after_it_is_retired(send, fields, counts):
    assert send(ROLE, listing(**fields)) == ({("p1", "list", "List/l1")} if counts else set())


def test_who_is_taken_off_a_list_is_out_at_once_and_nobody_sees_the_list(feed, send):
    assert send(group())
    assert only().ends_at is None
    assert feed.resource("Group/g1").section is None
    feed.send(group(member={"entity": ref("Patient/p2")}, meta={"versionId": "2"}))
    assert in_force() == set()
    feed.send(group(meta={"versionId": "3"}))
    assert in_force() == {("p1", "list", "Group/g1")}
    feed.send({"resourceType": "Bundle", "id": "b", "entry": [{"request": {"method": "DELETE", "url": "Group/g1"}}]})
    assert in_force() == set()


def test_a_list_from_a_stopped_feed_puts_nobody_in(feed, send):
    assert send(group())
    feeds.stop(
        feed.source, hidden_since=days(-1), reason="wrong", by=make.make_user("Operator", staff_roles=["operator"])
    )  # fmt: skip
    feeds.settle(using=WORKER)
    assert in_force() == set()


def test_a_list_does_not_carry_what_its_patients_are_labelled_with(feed, send):
    send(ROLE, listing(), meta=labelled("HIV"))
    assert feed.resource("List/l1").holds == []


@pytest.mark.parametrize(
    ("target", "counts"),
    [
        ("Organization/ward", True),
        ("Location/room", True),
        ("PractitionerRole/there", True),
        ("PractitionerRole/left", False),
        ("Practitioner/theirs", True),
        ("Practitioner/both", False),
        ("Practitioner/of-two-partners", False),
        ("Organization/other", False),
    ],
)
def test_departments_places_and_people_of_a_partner_count_as_the_partner(send, facility, target, counts):
    riverside = Organisation.objects.using(WORKER).create(name="Riverside", key="riverside")
    make.make_caseload(riverside, facility)

    def role(id: str, who: str, where: str, **fields) -> dict:
        fields = {"practitioner": ref(who), "organization": ref(where), **fields}
        return {"resourceType": "PractitionerRole", "id": id, **fields}

    found = send(
        organization("house", partOf=NORTHFIELD),
        organization("ward", partOf=ref("Organization/house")),
        organization("other"),
        {"resourceType": "Location", "id": "room", "managingOrganization": ref("Organization/house")},
        role("there", "Practitioner/theirs", "Organization/ward"),
        role("left", "Practitioner/gone", "Organization/n", active=False),
        role("here", "Practitioner/both", "Organization/n"),
        role("also", "Practitioner/both", "Organization/other"),
        organization("r", "riverside"),
        role("one", "Practitioner/of-two-partners", "Organization/n"),
        role("two", "Practitioner/of-two-partners", "Organization/r"),
        about("ServiceRequest", "s1", status="active", authoredOn=day(-1), requester=ref(target)),
    )
    assert bool(found) == counts


def test_a_partner_named_by_identifier_only(send):
    by_key = ref("Organization?identifier=urn:clinicportal:partner|northfield")
    assert send(about("Encounter", "e1", status="in-progress", period={"start": day(-1)}, serviceProvider=by_key))


def test_an_organisation_without_a_key_is_nobody(feed, facility):
    make.make_caseload(make.make_organisation("No key"), facility)
    feed.send(organization("n", "None"), organization("m", ""), patient(generalPractitioner=refs("Organization/n")))
    assert in_force() == set()


# ---------------------------------------------------------------- memberships


def test_the_tie_that_lasts_longest_is_the_evidence(send):
    def stay(id: str, start: float, end: float) -> dict:
        period = {"start": day(start), "end": day(end)}
        return about("Encounter", id, status="finished", period=period, serviceProvider=NORTHFIELD)

    later = about("Encounter", "later", status="planned", period={"start": day(50)}, serviceProvider=NORTHFIELD)
    found = send(stay("old", -400, -390), stay("new", -40, -30), stay("newer", -20, -10), later)
    assert found == {("p1", "encounter", "Encounter/newer")}


def test_bases_stand_side_by_side(send):
    found = send(
        about("Encounter", "e1", status="in-progress", period={"start": day(-1)}, serviceProvider=NORTHFIELD),
        about("ServiceRequest", "s1", status="active", authoredOn=day(-1), requester=NORTHFIELD),
        generalPractitioner=[NORTHFIELD],
    )
    assert {basis for _, basis, _ in found} == {"registration", "encounter", "referral"}


def test_a_caseload_is_filled_by_the_events_it_names_only(send, northfield, facility):
    Caseload.objects.using(WORKER).update(filled_by=["encounter"])
    by_hand = make.make_caseload(northfield, facility, name="By hand")
    Caseload.objects.using(WORKER).filter(pk=by_hand.pk).update(filled_by=[])
    found = send(
        about("Encounter", "e1", status="in-progress", period={"start": day(-1)}, serviceProvider=NORTHFIELD),
        generalPractitioner=[NORTHFIELD],
    )
    assert {basis for _, basis, _ in found} == {"encounter"}


def test_what_is_kept_by_hand_is_left_alone(feed, send, shared_care):
    send()
    by_hand = make.make_membership(shared_care, feed.patient(), basis="by_hand", evidence="by hand 1")
    kept = make.make_membership(shared_care, feed.patient(), basis="registration", evidence="")
    assert len(send(generalPractitioner=[NORTHFIELD])) == 2
    assert len(send()) == 2
    for one, evidence in ((kept, ""), (by_hand, "by hand 1")):
        one.refresh_from_db(using=WORKER)
        assert (one.evidence, one.ends_at) == (evidence, None)


def test_a_basis_that_vanishes_ends_its_membership(feed, send):
    encounter = about("Encounter", "e1", status="in-progress", period={"start": day(-1)}, serviceProvider=NORTHFIELD)
    assert send(encounter)
    assert send({**encounter, "status": "entered-in-error"}) == set()
    assert send({**encounter, "meta": {"versionId": "3"}})
    request = {"request": {"method": "DELETE", "url": "Encounter/e1"}}
    feed.send({"resourceType": "Bundle", "id": "b", "entry": [request]})
    assert in_force() == set()
    assert Resource.objects.using(WORKER).get(type="Encounter").tombstoned_at


def test_a_patient_whom_the_source_deleted_is_in_no_caseload(feed, send):
    assert send(generalPractitioner=[NORTHFIELD])
    encounter = about("Encounter", "e1", status="in-progress", period={"start": day(-1)}, serviceProvider=NORTHFIELD)
    request = {"request": {"method": "DELETE", "url": "Patient/p1"}}
    feed.send(encounter, {"resourceType": "Bundle", "id": "b", "entry": [request]})
    assert in_force() == set()


def test_another_sources_patients_and_other_facilities_are_left_alone(feed, send, northfield):
    north = make.make_facility("North site")
    there = make.make_caseload(northfield, north)
    other = Feed(feed.folder.parent / "north", make.make_source(north, "north"))
    other.send(organization("n", "northfield"), patient("p9", generalPractitioner=[NORTHFIELD]))
    assert send(generalPractitioner=[NORTHFIELD]) == {
        ("p1", "registration", "Patient/p1"),
        ("p9", "registration", "Patient/p9"),
    }
    assert {one.caseload for one in Membership.objects.using(WORKER).filter(patient__fhir_id="p9")} == {there}


def test_working_it_out_again_changes_nothing(feed, send):
    send(generalPractitioner=[NORTHFIELD])
    before = list(Membership.objects.using(WORKER).values())
    changes = caseloads.refresh(feed.source, using=WORKER)
    assert (changes.started, changes.changed, changes.ended) == (0, 0, 0)
    assert list(Membership.objects.using(WORKER).values()) == before


# ---------------------------------------------------------------- the demo set


def test_old_visits_register_with_the_organisation_of_the_last_wellness_visit(feed, shared_care, facility):
    other = Organisation.objects.using(WORKER).create(name="Riverside", key="riverside")
    make.make_caseload(other, facility)
    feed.source.registers_by_latest_visit = True
    feed.source.save(using=WORKER)

    def visit(id: str, year: int, code: str, where: str) -> dict:
        kind = [{"coding": [{"system": "http://snomed.info/sct", "code": code}]}]
        period = {"start": f"{year}-01-01", "end": f"{year}-01-02"}
        return about("Encounter", id, status="finished", type=kind, period=period, serviceProvider=ref(where))

    result = feed.send(
        patient(),
        visit("a", 1999, "162673000", "Organization/1"),
        visit("b", 2001, "162673000", "Organization/2"),
        visit("c", 2003, "50849002", "Organization/3"),
        patient("p2"),
        patient("p3"),
    )
    assert in_force() == {("p1", "registration", "Encounter/b")}
    assert sum(result.memberships.assigned.values()) == 1
    first = only().caseload_id
    feed.run()
    assert only().caseload_id == first
    assert Membership.objects.using(WORKER).count() == 1


@pytest.fixture
def looked_at(monkeypatch):
    """What each import asks `refresh` to look at."""
    asked, refresh = [], caseloads.refresh

    def noted(source, patients=None, *, using):
        asked.append(patients)
        return refresh(source, patients, using=using)

    monkeypatch.setattr(caseloads, "refresh", noted)
    return asked


def test_a_small_feed_looks_at_the_patients_it_touches(feed, send, looked_at):
    send(patient("p2"))
    feed.send(patient("p2", managingOrganization=NORTHFIELD))
    feed.send(patient("p2", managingOrganization=NORTHFIELD))
    feed.send(organization("n", "northfield", name="Renamed"))
    p2 = str(feed.patient("p2").pk)
    assert looked_at == [None, {p2}, None, None]
    assert in_force() == {("p2", "registration", "Patient/p2")}


def test_what_a_killed_run_left_is_looked_at_by_the_next(feed, send, looked_at):
    send(patient("p2"))
    Import.objects.using(WORKER).create(source=feed.source)
    feed.send(patient("p2", managingOrganization=NORTHFIELD))
    assert looked_at[-1] is None


def test_patients_are_looked_at_page_by_page(feed, send, monkeypatch):
    monkeypatch.setattr(caseloads, "AT_ONCE", 2)
    found = send(*(patient(f"q{number}", managingOrganization=NORTHFIELD) for number in range(5)))
    assert len(found) == 5
    assert feed.run().memberships == caseloads.Changes()
