"""Looking up a patient: exactly one or nobody, for whom it is allowed, counted, and for one person and a day."""

from __future__ import annotations

import pytest
from django.db import ProgrammingError, connection, connections

from clinicportal.rules import Denied
from clinicportal.viewing import viewing
from records import links, lookup
from records.models import (
    FeedStop,
    Grant,
    LookUp,
    OptOut,
    Patient,
    PatientLink,
    PatientToken,
    Resource,
    Suspension,
)
from tests import factories as make
from tests.records.people import looks_up, make_person, typed

WORKER = "worker"


@pytest.fixture
def agreement(agreement):
    save(agreement, may_look_up=True)
    return agreement


@pytest.fixture
def right(grant, agreement) -> Grant:
    """The guest's grant of a caseload, with the right to look up others."""
    save(grant, may_look_up=True)
    grant.refresh_from_db()
    return grant


@pytest.fixture
def absent(source) -> Patient:
    """A patient in nobody's caseload."""
    return make_person(source)


def save(thing, **fields) -> None:
    type(thing).objects.using(WORKER).filter(pk=thing.pk).update(**fields)


def found(user, what) -> object:
    return looks_up(user, what).patient_id


# ---------------------------------------------------------------- whom it finds


FITS = {
    "as it is": ({}, True),
    "the family name first": ({"name": "Testpatient, Alpha"}, True),
    "capitals and accents": ({"name": "ÁLPHA testpatient"}, True),
    "another first name": ({"name": "Beta Testpatient"}, False),
    "a first name too many": ({"name": "Alpha Gamma Testpatient"}, False),
    "the beginning of a name": ({"name": "Alpha Testpat"}, False),
    "the family name alone": ({"name": "Testpatient"}, False),
    "the family name twice": ({"name": "Testpatient Testpatient"}, False),
    "no name": ({"name": ""}, False),
    "the number as a name": ({"name": "Alpha 9000001"}, False),
    "another day": ({"born": "1958-02-03"}, False),
    "the year alone": ({"born": "1958"}, False),
    "no birth date": ({"born": ""}, False),
    "another number": ({"number": "9000002"}, False),
    "the beginning of the number": ({"number": "900000"}, False),
    "the number with spaces": ({"number": "900 0001"}, True),
    "no number": ({"number": ""}, False),
    "the national number as a record number": ({"number": "9434765919"}, False),
    "the national number": ({"number": "943 476 5919", "national": True}, True),
    "the record number as a national one": ({"national": True}, False),
    "a number of another kind": ({"number": "DRIVER7"}, False),
    "a number of another kind as a national one": ({"number": "DRIVER7", "national": True}, False),
    "a pattern": ({"name": "% _", "number": "%"}, False),
}


def test_name_birth_date_and_number_must_all_fit(guest, right, source, settings):
    settings.LOOK_UP_TRIES_PER_DAY = settings.LOOK_UPS_PER_DAY = len(FITS)
    licence = {"system": "urn:licence", "value": "DRIVER7"}
    person = make_person(source, national="9434765919", identifiers=[licence])
    make_person(source, "Testpatient", "Beta", born="1958-02-02", mrn="9000009")
    found_by = {case: found(guest, typed(source.facility, **change)) for case, (change, _fits) in FITS.items()}
    assert found_by == {case: person.pk if fits else None for case, (_change, fits) in FITS.items()}


def test_a_person_with_one_name_is_found_by_it(guest, right, source):
    person = make_person(source, "Onename", "")
    assert found(guest, typed(source.facility, name="Onename")) == person.pk


def test_two_who_fit_are_nobody(guest, right, source, absent):
    twin = make_person(source)  # the same name, birth date and number, as a feed may send by mistake
    assert found(guest, typed(source.facility)) is None
    save(twin, birth_date="1958-02-03")
    assert found(guest, typed(source.facility)) == absent.pk


def test_of_two_with_the_same_name_and_birth_date_the_number_decides(guest, right, source, absent):
    other = make_person(source, mrn="9000002")
    assert found(guest, typed(source.facility, number="9000002")) == other.pk
    assert found(guest, typed(source.facility)) == absent.pk


def test_the_same_record_number_at_another_facility_is_another_patient(guest, right, agreement, source, absent):
    north = make.make_source(make.make_facility("North site"), "north")
    agreement.facilities.add(north.facility)
    other = make_person(north)
    assert found(guest, typed(source.facility)) == absent.pk
    assert found(guest, typed(north.facility)) == other.pk


def test_a_number_of_a_source_without_a_system_of_its_own_is_found(guest, right, source):
    save(source, mrn_system="")
    person = make_person(source, mrn="AB-77")
    assert found(guest, typed(source.facility, number="ab 77")) == person.pk
    assert found(guest, typed(source.facility, number="ab 78")) is None


# ---------------------------------------------------------------- replaced patients


def replace(old: Patient, new: Patient) -> PatientLink:
    return links.link(old.pk, new.pk, kind="replaced-by", evidence="test", using=WORKER)


def test_who_was_replaced_leads_to_whom_they_were_replaced_by(guest, right, source, absent):
    survivor = make_person(source, "Married", "Alpha", mrn="9000005")
    replace(absent, survivor)
    assert found(guest, typed(source.facility)) == survivor.pk
    last = make_person(source, mrn="9000006")
    replace(survivor, last)
    assert found(guest, typed(source.facility)) == last.pk


def test_both_numbers_of_one_person_lead_to_one_patient(guest, right, source, absent):
    survivor = make_person(source, identifiers=[{"system": source.mrn_system, "value": "9000007"}])
    replace(absent, survivor)
    assert found(guest, typed(source.facility)) == survivor.pk


def test_who_replace_each_other_are_nobody(guest, right, source, absent):
    other = make_person(source, mrn="9000005")
    save(absent, replaced_by=other)
    save(other, replaced_by=absent)
    assert found(guest, typed(source.facility)) is None


def test_a_survivor_outside_of_the_agreement_is_not_found(guest, right, source, absent):
    north = make.make_source(make.make_facility("North site"), "north")
    replace(absent, make_person(north))
    assert found(guest, typed(source.facility)) is None


# ---------------------------------------------------------------- whom it never finds


def another_facility(c) -> None:
    c.agreement.facilities.set([make.make_facility("North site")])


def opt_out(c, **fields) -> None:
    OptOut.objects.using(WORKER).create(**{"patient": c.absent, **fields})


def opt_out_of_a_link(c) -> None:
    other = make_person(c.source, "Elsewhere", mrn="9000008")
    opt_out(c, patient=other)
    links.link(c.absent.pk, other.pk, kind="seealso", evidence="test", using=WORKER)


def opt_out_of_the_replaced(c) -> None:
    """Not united yet, as between two steps of an import."""
    survivor = make_person(c.source, mrn="9000008")
    opt_out(c)
    save(c.absent, replaced_by=survivor)


def stop(c) -> None:
    by = make.make_user("Operator", staff_roles=["operator"])
    FeedStop.objects.using(WORKER).create(source=c.source, hidden_since=make.days(-1), reason="wrong", stopped_by=by)


def delete_at_source(c) -> None:
    resource = make.make_resource(c.absent, "demographics", "Patient")
    Resource.objects.using(WORKER).filter(pk=resource.pk).update(id=c.absent.pk, tombstoned_at=make.days(0))


def suspend(**target) -> None:
    Suspension.objects.using(WORKER).create(reason="security", **target)


def two_agreements_that_only_together_allow_it(c) -> None:
    save(c.agreement, may_look_up=False)
    make.make_agreement(c.organisation, make.make_facility("North site"), may_look_up=True)


NOBODY = {
    "not there": lambda c: save(c.absent, birth_date="1999-01-01"),
    "opted out": opt_out,
    "opted out for this organisation": lambda c: opt_out(c, organisation=c.organisation),
    "opted out under another number": opt_out_of_a_link,
    "opted out under the number that was replaced": opt_out_of_the_replaced,
    "feed stopped": stop,
    "deleted at the source": delete_at_source,
    "a class that is not granted": lambda c: save(c.absent, classes=["hiv"]),
    "a class that is granted and not agreed": lambda c: (
        save(c.absent, classes=["hiv"]), save(c.right, classes=["hiv"]),
    ),
    "several": lambda c: make_person(c.source),
}  # fmt: skip
DENIED = {
    "no right in the grant": lambda c: save(c.right, may_look_up=False),
    "no right in the agreement": lambda c: save(c.agreement, may_look_up=False),
    "agreement over": lambda c: save(c.agreement, ends_at=make.days(-0.1)),
    "grant over": lambda c: save(c.right, ends_at=make.days(-0.1)),
    "grant ended": lambda c: save(c.right, ended_at=make.days(-0.1)),
    "grant suspended": lambda c: suspend(grant=c.right),
    "organisation suspended": lambda c: suspend(organisation=c.organisation),
    "person suspended": lambda c: suspend(user=c.guest),
    "another organisation chosen": lambda c: setattr(c.guest, "acting_for", make.make_organisation("Partner C").pk),
    "no second factor": lambda c: setattr(c.guest, "mfa_proved", False),
    "account inactive": lambda c: setattr(c.guest, "is_active", False),
}
OUTSIDE = {
    "another facility": another_facility,
    "agreements don't add up": two_agreements_that_only_together_allow_it,
    "agreement lacks demographics": lambda c: save(c.agreement, sections=["problems"]),
}


@pytest.fixture
def c(guest, right, agreement, source, organisation, absent):
    class Cast:
        pass

    cast = Cast()
    vars(cast).update(
        guest=guest, right=right, agreement=agreement, source=source, organisation=organisation, absent=absent
    )
    return cast


@pytest.mark.parametrize("case", [*NOBODY, *OUTSIDE])
def test_who_may_not_be_found_is_nobody(c, case):
    {**NOBODY, **OUTSIDE}[case](c)
    search = looks_up(c.guest, typed(c.source.facility))
    assert (search.patient_id, search.right_id, search.grant_id) == (None, None, None)


@pytest.mark.parametrize("case", DENIED)
def test_who_has_no_right_can_not_search(c, case):
    DENIED[case](c)
    with pytest.raises(Denied, match="ask your sponsor"):
        looks_up(c.guest, typed(c.source.facility))
    with viewing(c.guest):  # and PostgreSQL by itself says the same
        assert lookup.match(typed(c.source.facility), by=c.guest) is None or case == "account inactive"
    assert LookUp.objects.count() == 0


def test_an_opt_out_towards_another_organisation_bars_nobody_here(c):
    opt_out(c, organisation=make.make_organisation("Partner C"))
    assert found(c.guest, typed(c.source.facility)) == c.absent.pk


# ---------------------------------------------------------------- the functions behind the wall


@pytest.mark.parametrize("alias", ["default", "worker", "auditor"])
def test_nobody_but_the_owner_may_ask_for_a_bare_match(c, alias):
    with pytest.raises(ProgrammingError, match="permission denied for function"), connections[alias].cursor() as cursor:
        cursor.execute("SELECT * FROM records_match(%s, %s, %s, %s, %s)", typed(c.source.facility).values())


def test_without_a_viewer_nobody_is_found(c):
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM records_look_up(%s, %s, %s, %s, %s)", typed(c.source.facility).values())
        assert cursor.fetchall() == []


def test_the_owner_sees_no_patient_but_in_functions_that_web_calls(c):
    for table in (Patient, PatientToken, Resource, OptOut):
        assert table.objects.using("owner").count() == 0
