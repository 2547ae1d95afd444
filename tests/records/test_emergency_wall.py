"""What an emergency access opens, and what not even it opens: asked in the five ways of test_wall.py."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from clinicportal.models import Terms, User
from clinicportal.viewing import viewing
from records import why
from records.models import (
    AlsoAbout,
    EmergencyAccess,
    Membership,
    OptOut,
    Organisation,
    Patient,
    PatientToken,
    Resource,
    ResourceVersion,
    ReviewReading,
    Suspension,
)
from tests import factories as make
from tests.records.test_wall import (
    BOTH,
    NOTHING,
    PATIENT_ONLY,
    RESOURCE_ONLY,
    another_facility,
    every_way,
    save,
    seen_by,
    stop_and_resume_feed,
    stop_feed,
    suspend,
)

WORKER = "worker"
OPEN = EmergencyAccess.Status


@pytest.fixture
def e(guest, grant, agreement, caseload, patient, stranger, source, organisation):
    """A guest with the right, and an emergency access to a patient whom all else closes: in no caseload, opted out,
    of sensitive classes and a section that are not granted."""

    class Cast:
        pass

    e = Cast()
    save(agreement, may_use_emergency_access=True, sections=["demographics", "problems"])
    save(grant, may_use_emergency_access=True, sections=["demographics", "problems"])
    save(stranger, classes=["mental_health"])
    OptOut.objects.using(WORKER).create(patient=stranger)
    vars(e).update(
        guest=guest, grant=grant, agreement=agreement, caseload=caseload, patient=stranger, known=patient,
        source=source, organisation=organisation, outsider=make.make_user("Another Nurse"),
    )  # fmt: skip
    e.resource = make.make_resource(
        stranger, "care_plans", "CarePlan", classes=["hiv", "mental_health", "substance_use", "other"]
    )
    e.emergency = make.make_emergency(guest, stranger)
    return e


ALWAYS = """
CREATE OR REPLACE FUNCTION records_begin_emergency() RETURNS uuid[] LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('clinicportal.emergencies', '{%(patients)s}', true);
    RETURN '{%(patients)s}'::uuid[];
END $$
"""


def ask_always(*patients) -> None:
    """Let every transaction ask whether an emergency opens these patients: that it need not ask must hide nothing that
    the rule by itself would show."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(ALWAYS % {"patients": ",".join(str(patient) for patient in patients)})


def end(e, **fields) -> None:
    """Change what a begun emergency access holds, for which the trigger has to look away."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE records_emergencyaccess DISABLE TRIGGER emergency_begins")
    save(e.emergency, **fields)
    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE records_emergencyaccess ENABLE TRIGGER emergency_begins")


def times(started: float, ends: float) -> dict:
    """Seconds from now."""
    now = timezone.now()
    return {"started_at": now + timedelta(seconds=started), "ends_at": now + timedelta(seconds=ends)}


def a_grant_with_the_right_elsewhere(e) -> None:
    """The right in a grant of another organisation must not serve here."""
    save(e.grant, may_use_emergency_access=False)
    other = make.make_organisation("Partner C")
    make.make_agreement(other, e.source.facility, may_use_emergency_access=True)
    elsewhere = make.make_caseload(other, e.source.facility, name="Elsewhere")
    make.make_grant(e.guest, elsewhere, may_use_emergency_access=True)


def the_right_and_the_facility_in_two_agreements(e) -> None:
    another_facility(e)
    make.make_agreement(e.organisation, e.source.facility)


def another_grant_has_the_right(e) -> None:
    save(e.grant, may_use_emergency_access=False)
    second = make.make_caseload(e.organisation, e.source.facility, name="Another list")
    make.make_grant(e.guest, second, may_use_emergency_access=True)


def another_facility_with_a_feed(e) -> None:
    north = make.make_facility("North site")
    make.make_source(north, "north")
    e.agreement.facilities.set([north])


def emergency_of(e, guest: User) -> None:
    end(e, guest=guest)
    make.make_grant(guest, e.caseload, may_use_emergency_access=True)


def for_another_organisation(e) -> None:
    other = make.make_organisation("Partner C")
    make.make_agreement(other, e.source.facility, may_use_emergency_access=True)
    make.make_grant(
        e.guest,
        make.make_caseload(other, e.source.facility, name="Elsewhere"),
        organisation=other,
        may_use_emergency_access=True,
    )
    end(e, organisation=Organisation.objects.get(pk=other.pk))


def chosen_another_organisation(e) -> None:
    other = make.make_organisation("Partner C")
    make.make_agreement(other, e.source.facility, may_use_emergency_access=True)
    make.make_grant(
        e.guest, make.make_caseload(other, e.source.facility, name="Elsewhere"), may_use_emergency_access=True
    )
    e.guest.acting_for = other.pk


def also_about(e, other: Patient) -> None:
    AlsoAbout.objects.using(WORKER).create(resource=e.resource, patient=other)


def also_about_a_stranger(e) -> None:
    also_about(e, make.make_patient(e.source, family="Third"))


def allow(e, *, sections=("demographics", "care_plans"), classes=("hiv", "mental_health", "substance_use", "other")):
    """A grant that allows all of the resource, for the patients of the caseload."""
    save(e.agreement, sections=list(sections), classes=list(classes))
    save(e.grant, sections=list(sections), classes=list(classes))


def also_about_one_whom_a_grant_allows(e) -> None:
    allow(e)
    also_about(e, e.known)


def also_about_one_without_the_section(e) -> None:
    allow(e, sections=("demographics", "problems"))
    also_about(e, e.known)


def also_about_one_without_the_class(e) -> None:
    allow(e, classes=("hiv",))
    also_about(e, e.known)


def also_about_one_who_opted_out(e) -> None:
    also_about_one_whom_a_grant_allows(e)
    OptOut.objects.using(WORKER).create(patient=e.known)


def also_about_one_no_longer_in_the_caseload(e) -> None:
    also_about_one_whom_a_grant_allows(e)
    Membership.objects.using(WORKER).update(ends_at=make.days(-0.1))


def also_about_one_of_another_emergency(e) -> None:
    """Each emergency access is for one patient: two do not add up within one resource."""
    third = make.make_patient(e.source, family="Third")
    also_about(e, third)
    make.make_emergency(e.guest, third)


def about_another_and_also_the_patient(e) -> None:
    """The emergency opens what is the patient's own, not what somebody else's record says about them."""
    other = make.make_patient(e.source, family="Third")
    save(e.resource, patient=other)
    also_about(e, e.patient)


def of_another_patient(e) -> None:
    save(e.resource, patient=make.make_patient(e.source, family="Third"))


def three_unreviewed(e) -> None:
    """How many wait for review bars a new one, not the one that is under way."""
    for _ in range(2):
        make.make_emergency(e.guest, make.make_patient(e.source))


CASES = {
    "as it is": (lambda e: None, BOTH),
    # ---- time
    "over a second ago": (lambda e: end(e, **times(-3600, -1)), NOTHING),
    "over in half a minute": (lambda e: end(e, **times(-3500, 30)), BOTH),
    "not begun": (lambda e: end(e, **times(30, 600)), NOTHING),
    "asked for only": (
        lambda e: end(e, status=OPEN.ASKED, started_at=None, ends_at=None),
        NOTHING,
    ),
    "ended early": (lambda e: end(e, ended_at=timezone.now()), NOTHING),
    "waiting for an explanation": (lambda e: end(e, status=OPEN.QUESTIONED), BOTH),
    "three unreviewed": (three_unreviewed, BOTH),
    # ---- whose
    "of another guest": (lambda e: emergency_of(e, e.outsider), NOTHING),
    "for another organisation": (for_another_organisation, NOTHING),
    "another organisation chosen": (chosen_another_organisation, NOTHING),
    "no organisation chosen": (lambda e: setattr(e.guest, "acting_for", None), NOTHING),
    "of another patient": (of_another_patient, PATIENT_ONLY),
    # ---- the right
    "agreement without the right": (lambda e: save(e.agreement, may_use_emergency_access=False), NOTHING),
    "grant without the right": (lambda e: save(e.grant, may_use_emergency_access=False), NOTHING),
    "another grant has the right": (another_grant_has_the_right, BOTH),
    "a grant elsewhere has the right": (a_grant_with_the_right_elsewhere, NOTHING),
    "agreement lacks the facility": (another_facility, NOTHING),
    "agreement covers another site with a feed": (another_facility_with_a_feed, NOTHING),
    "right and facility in two agreements": (the_right_and_the_facility_in_two_agreements, NOTHING),
    "agreement over": (lambda e: save(e.agreement, ends_at=make.days(-0.001)), NOTHING),
    "agreement not begun": (lambda e: save(e.agreement, starts_at=make.days(1)), NOTHING),
    "grant ended": (lambda e: save(e.grant, ended_at=make.days(0)), NOTHING),
    "grant over": (lambda e: save(e.grant, ends_at=make.days(-0.1)), NOTHING),
    "grant not begun": (lambda e: save(e.grant, starts_at=make.days(1)), NOTHING),
    # ---- who
    "account inactive": (lambda e: User.objects.filter(pk=e.guest.pk).update(is_active=False), NOTHING),
    "no second factor": (lambda e: setattr(e.guest, "mfa_proved", False), NOTHING),
    "newer terms published": (lambda e: e.publish_terms(), NOTHING),
    "person suspended": (lambda e: suspend(user=e.guest), NOTHING),
    "organisation suspended": (lambda e: suspend(organisation=e.organisation), NOTHING),
    "grant suspended": (lambda e: suspend(grant=e.grant), NOTHING),
    "suspension lifted": (
        lambda e: Suspension.objects.using(WORKER).create(
            user=e.guest, reason=Suspension.Reason.SECURITY, lifted_at=make.days(0)
        ),
        BOTH,
    ),
    # ---- what
    "tombstoned": (lambda e: save(e.resource, tombstoned_at=make.days(0)), PATIENT_ONLY),
    "mapped to no section": (lambda e: save(e.resource, section=None), PATIENT_ONLY),
    "no class at all": (lambda e: (save(e.resource, classes=[]), save(e.patient, classes=[])), BOTH),
    "psychotherapy note": (lambda e: save(e.resource, classes=["psychotherapy"]), PATIENT_ONLY),
    "psychotherapy among others": (lambda e: save(e.resource, classes=["hiv", "psychotherapy"]), PATIENT_ONLY),
    "psychotherapy granted": (
        lambda e: (allow(e, classes=("psychotherapy",)), save(e.resource, classes=["psychotherapy"])),
        PATIENT_ONLY,
    ),
    "not judged yet": (lambda e: save(e.resource, classes=["unknown"], settled=False), PATIENT_ONLY),
    "unknown among others": (lambda e: save(e.resource, classes=["genetic", "unknown"]), PATIENT_ONLY),
    "restricted without a reason": (lambda e: save(e.resource, classes=["restricted"]), BOTH),
    "a document, restricted without a reason": (
        lambda e: save(e.resource, section="documents", classes=["restricted"]),
        PATIENT_ONLY,
    ),
    "a document of known classes": (
        lambda e: save(e.resource, section="documents", classes=["violence", "genetic"]),
        BOTH,
    ),
    "the patient: psychotherapy": (lambda e: save(e.patient, classes=["psychotherapy"]), RESOURCE_ONLY),
    "the patient: not judged": (lambda e: save(e.patient, classes=["unknown", "other"]), RESOURCE_ONLY),
    "the patient: restricted": (lambda e: save(e.patient, classes=["restricted"]), BOTH),
    "opted out of this organisation": (
        lambda e: OptOut.objects.using(WORKER).create(patient=e.patient, organisation=e.organisation),
        BOTH,
    ),
    "feed stopped, all came since": (lambda e: stop_feed(e, -1), NOTHING),
    "feed stopped, the resource came since": (
        lambda e: (save(e.patient, received_at=make.days(-2)), stop_feed(e, -1)),
        PATIENT_ONLY,
    ),
    "feed stopped, all came before": (lambda e: stop_feed(e, 1), BOTH),
    "feed resumed": (stop_and_resume_feed, BOTH),
    # ---- other patients
    "also about a stranger": (also_about_a_stranger, PATIENT_ONLY),
    "also about one whom a grant allows": (also_about_one_whom_a_grant_allows, BOTH),
    "also about one without the section": (also_about_one_without_the_section, PATIENT_ONLY),
    "also about one without the class": (also_about_one_without_the_class, PATIENT_ONLY),
    "also about one who opted out": (also_about_one_who_opted_out, PATIENT_ONLY),
    "also about one no longer in the caseload": (also_about_one_no_longer_in_the_caseload, PATIENT_ONLY),
    "also about one of another emergency": (also_about_one_of_another_emergency, PATIENT_ONLY),
    "also about the patient": (lambda e: also_about(e, e.patient), BOTH),
    "another's record that names the patient": (about_another_and_also_the_patient, PATIENT_ONLY),
}


@pytest.mark.parametrize("case", CASES)
def test_an_emergency_access_opens_exactly_this(e, case):
    e.publish_terms = lambda: Terms.objects.using(WORKER).create(version=2, published_at=make.days(-0.1))
    change, expected = CASES[case]
    change(e)
    if expected != BOTH:
        ask_always(e.patient.pk, Resource.objects.using(WORKER).get(pk=e.resource.pk).patient_id)
    assert seen_by(e.guest, e.resource) == every_way(expected)
    told = explained(e)
    assert tuple(one.visible for one in told) == expected
    assert all(one.reasons == (why.ANOTHER_WAY,) for one in told if one.visible and not one.by)
    assert all(one.reasons for one in told if not one.visible), "hidden, and nothing stands in the way"


def explained(e) -> list[why.Explanation]:
    """What staff are told (records/why.py) of the patient and the resource, as in the guest's session."""
    user = User.objects.get(pk=e.guest.pk)
    user.acting_for, user.mfa_proved = e.guest.acting_for, e.guest.mfa_proved
    user.emergencies = frozenset({e.patient.pk})
    return [why.explain(row, user, using=WORKER) for row in (e.patient, e.resource)]


def test_without_one_under_way_nothing_more_is_asked(e):
    with viewing(e.guest):
        assert e.guest.emergencies == {e.patient.pk}
    assert e.guest.emergencies == frozenset()
    end(e, ended_at=timezone.now())
    with viewing(e.guest):
        assert e.guest.emergencies == frozenset()


def test_nobody_else_sees_more_by_it(e):
    ask_always(e.patient.pk)
    other = make.signed_in(e.outsider, e.organisation)
    make.make_grant(other, e.caseload, may_use_emergency_access=True)
    assert seen_by(other, e.resource) == every_way(NOTHING)


def test_the_caseload_stays_what_it_was(e):
    """Whom a grant shows is shown while an emergency lasts, and what it does not show of them stays hidden."""
    own, hidden = make.make_resource(e.known), make.make_resource(e.known, "documents", "DocumentReference")
    for resource, expected in ((own, BOTH), (hidden, PATIENT_ONLY)):
        assert seen_by(e.guest, resource) == every_way(expected)


def test_what_hangs_on_patient_and_resource_opens_with_them(e):
    PatientToken.objects.using(WORKER).create(patient=e.patient, token="elsewhere")
    make.make_version(e.resource, number=1, classes=["hiv"])
    make.make_version(e.resource, number=2, classes=["psychotherapy"])
    with viewing(e.guest):
        assert PatientToken.objects.count() == 1
        assert list(ResourceVersion.objects.values_list("number", flat=True)) == [1]
    end(e, ended_at=timezone.now())
    with viewing(e.guest):
        assert (PatientToken.objects.count(), ResourceVersion.objects.count()) == (0, 0)


# ---------------------------------------------------------------- reviewers


@pytest.fixture
def reviewer(db) -> User:
    return make.signed_in(make.make_user("Reviewer", staff_roles=["reviewer"]), None)


def reading(e, reviewer: User, **fields) -> ReviewReading:
    now = timezone.now()
    fields = {"started_at": now - timedelta(minutes=1), "ends_at": now + timedelta(minutes=30), **fields}
    return ReviewReading.objects.create(emergency=e.emergency, reviewer=reviewer, **fields)


def judged(e, reviewer) -> None:
    save(e.emergency, status=OPEN.JUSTIFIED, reviewed_by=reviewer, reviewed_at=timezone.now())


def own_emergency(e, reviewer) -> None:
    end(e, guest=reviewer)


REVIEWS = {
    "as it is": (lambda e, r: None, BOTH),
    "the emergency is over": (lambda e, r: end(e, ended_at=timezone.now()), BOTH),
    "the agreement is over": (lambda e, r: save(e.agreement, ends_at=make.days(-0.1)), BOTH),
    "explained": (lambda e, r: end(e, status=OPEN.ANSWERED), BOTH),
    "judged": (judged, NOTHING),
    "role taken away": (lambda e, r: User.objects.filter(pk=r.pk).update(staff_roles=["privacy"]), NOTHING),
    "account inactive": (lambda e, r: User.objects.filter(pk=r.pk).update(is_active=False), NOTHING),
    "no second factor": (lambda e, r: setattr(r, "mfa_proved", False), NOTHING),
    "their own": (own_emergency, NOTHING),
    "another facility than the emergency reached": (lambda e, r: end(e, facilities=[]), NOTHING),
    "of another patient": (lambda e, r: of_another_patient(e), PATIENT_ONLY),
    "psychotherapy among others": (
        lambda e, r: save(e.resource, classes=["hiv", "psychotherapy"]),
        PATIENT_ONLY,
    ),
    "not judged yet": (lambda e, r: save(e.resource, classes=["unknown"]), PATIENT_ONLY),
    "a document, restricted without a reason": (
        lambda e, r: save(e.resource, section="documents", classes=["restricted"]),
        PATIENT_ONLY,
    ),
    "also about somebody": (lambda e, r: also_about_one_whom_a_grant_allows(e), PATIENT_ONLY),
    "feed stopped": (lambda e, r: stop_feed(e, -1), NOTHING),
    "tombstoned": (lambda e, r: save(e.resource, tombstoned_at=make.days(0)), PATIENT_ONLY),
}


@pytest.mark.parametrize("case", REVIEWS)
def test_a_reviewer_reads_what_the_emergency_opened(e, reviewer, case):
    change, expected = REVIEWS[case]
    reading(e, reviewer)
    change(e, reviewer)
    if expected != BOTH:
        ask_always(e.patient.pk, Resource.objects.using(WORKER).get(pk=e.resource.pk).patient_id)
    assert seen_by(reviewer, e.resource) == every_way(expected)


def test_a_reviewer_sees_nothing_before_they_open_it_and_after_their_time(e, reviewer):
    ask_always(e.patient.pk)
    assert seen_by(reviewer, e.resource) == every_way(NOTHING)
    reading(
        e, reviewer, started_at=timezone.now() - timedelta(minutes=50), ends_at=timezone.now() - timedelta(seconds=1)
    )
    assert seen_by(reviewer, e.resource) == every_way(NOTHING)
    other = make.signed_in(make.make_user("Another", staff_roles=["reviewer"]), None)
    reading(e, other)
    assert seen_by(reviewer, e.resource) == every_way(NOTHING)
