"""By which grant a record is open: only one that reaches it is named, on pages and in the trail."""

from __future__ import annotations

import pytest

from clinicportal.models import AuditSubject
from clinicportal.viewing import viewing
from records import access
from records.models import Section
from tests import factories as make
from tests.records.test_chart import text_of

WORKER = "worker"
EVERYTHING = list(Section.values)


@pytest.fixture
def seat(guest, grant):
    return make.client_for(guest)


def bases(guest, patient) -> list[access.Basis]:
    with viewing(guest):
        (seen,) = access.visible_patients([patient.pk], by=guest)
        return list(access.bases_of(seen, by=guest))


def test_an_agreement_for_another_site_lends_no_section(seat, guest, grant, patient, organisation):
    """It has documents and lasts longer, for a site whose patient this is not."""
    type(grant).objects.using(WORKER).filter(pk=grant.pk).update(sections=EVERYTHING)
    agreement = organisation.agreements.using(WORKER).get()
    agreement.sections = ["demographics", "problems"]
    agreement.save(using=WORKER, update_fields=["sections"])
    make.make_agreement(organisation, make.make_facility("North site"), ends_at=make.days(900))
    (basis,) = bases(guest, patient)
    assert basis.sections == {"demographics", "problems"}
    page = seat.get(f"/patients/{patient.pk}/")
    assert f"/patients/{patient.pk}/documents/" not in page.content.decode()
    assert "Your access does not include" in text_of(page)


def test_an_agreement_that_does_not_name_patients_adds_to_one_that_does(seat, guest, grant, patient, organisation):
    """The rule shows what it adds, so the page says so too; by itself it opens nothing."""
    type(grant).objects.using(WORKER).filter(pk=grant.pk).update(sections=EVERYTHING)
    agreement = organisation.agreements.using(WORKER).get()
    agreement.sections = ["demographics", "problems"]
    agreement.save(using=WORKER, update_fields=["sections"])
    adds = make.make_agreement(organisation, agreement.facilities.get(), ends_at=make.days(900))
    adds.sections = ["vitals"]
    adds.save(using=WORKER, update_fields=["sections"])
    first, second = bases(guest, patient)
    assert (first.sections, second.sections) == ({"demographics", "problems"}, {"vitals"})
    assert "not in your access" not in text_of(seat.get(f"/patients/{patient.pk}/vitals/")).lower()
    agreement.sections = ["problems"]
    agreement.save(using=WORKER, update_fields=["sections"])
    assert seat.get(f"/patients/{patient.pk}/vitals/").status_code == 404


def test_a_grant_without_the_patients_class_is_not_named(guest, grant, caseload, patient, organisation):
    """Another guest's grant would do, but this one lasts longer and does not show the patient."""
    type(patient).objects.using(WORKER).filter(pk=patient.pk).update(classes=["hiv"])
    organisation.agreements.using(WORKER).update(classes=["hiv"])
    opens = make.make_grant(guest, caseload, classes=["hiv"], ends_at=make.days(20))
    assert [basis.grant_id for basis in bases(guest, patient)] == [opens.pk]


def test_the_trail_names_the_grant_that_includes_the_page(seat, guest, grant, caseload, patient):
    """The one that lasts longest has no documents."""
    letters = make.make_grant(
        guest, caseload, sections=["demographics", "documents", "care_plans"], ends_at=make.days(9)
    )
    for path, by in (("", grant), ("documents/", letters), ("care/", letters), ("problems/", grant)):
        assert seat.get(f"/patients/{patient.pk}/{path}").status_code == 200
        subject = AuditSubject.objects.using("auditor").filter(patient_id=patient.pk).order_by("-recorded")[0]
        assert subject.grant_id == by.pk, path
