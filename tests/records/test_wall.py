"""Who may see what: one table of changes, asked of the queryset and of PostgreSQL."""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import ProgrammingError, connection, connections

from clinicportal.models import Terms, TermsAcceptance, User
from clinicportal.viewing import CLINICAL_TABLES, NoViewer, viewing
from records import compiled, why
from records.models import (
    AlsoAbout,
    FeedStop,
    Grant,
    Membership,
    OptOut,
    Patient,
    Resource,
    Suspension,
    may_view,
)
from tests import factories as make

WORKER = "worker"


@pytest.fixture
def resource(patient: Patient, grant: Grant) -> Resource:
    return make.make_resource(patient)


WALLED = ("patient", "resource", "membership", "optout", "alsoabout")


_down: list[bool] = []


@contextmanager
def wall_down(*further: str) -> Iterator[None]:
    """Without row-level security, so that the other statement of the rule is asked alone. Nests."""
    if not _down:
        row_security("DISABLE", further)
    _down.append(True)
    try:
        yield
    finally:
        _down.pop()
        if not _down:
            row_security("ENABLE", further)


def row_security(verb: str, further: tuple[str, ...] = ()) -> None:
    with connections["owner"].cursor() as cursor:
        tables = (*WALLED, *further)
        cursor.execute("".join(f"ALTER TABLE records_{table} {verb} ROW LEVEL SECURITY;" for table in tables))


def seen_through_queryset(user: User, resource: Resource) -> tuple[bool, bool]:
    """Whether `visible_to` alone shows (patient, resource): the wall is down."""
    with wall_down(), viewing(user):
        patients, resources = Patient.objects.visible_to(user), Resource.objects.visible_to(user)
        return patients.filter(pk=resource.patient_id).exists(), resources.filter(pk=resource.pk).exists()


def seen_through_wall(user: User, resource: Resource) -> tuple[bool, bool]:
    """Whether PostgreSQL alone shows (patient, resource): the query forgot `visible_to`."""
    with viewing(user):
        return Patient.objects.filter(pk=resource.patient_id).exists(), Resource.objects.filter(pk=resource.pk).exists()


PATIENT, RESOURCE = uuid.uuid4(), uuid.uuid4()
A_PATIENT = compiled.Reading(
    lambda allowed, patient: allowed.patients.filter(pk=patient).values_list("pk"), patient=PATIENT
)
A_LISTED = compiled.Reading(
    lambda allowed, patient: allowed.listed.filter(pk=patient).values_list("pk"), patient=PATIENT
)
A_RESOURCE = compiled.Reading(
    lambda allowed, resource: allowed.resources.filter(pk=resource).values_list("pk"), resource=RESOURCE
)


def seen_through_compiled(user: User, resource: Resource) -> tuple[bool, bool]:
    """Whether the statements that pages keep prepared show (patient, resource), by themselves: the wall is down."""
    with wall_down(), viewing(user):
        return bool(A_PATIENT(user, patient=resource.patient_id)), bool(A_RESOURCE(user, resource=resource.pk))


def seen_through_list(user: User, resource: Resource) -> tuple[bool, bool]:
    """Whether lists alone show the patient, as a queryset and as a statement kept prepared: the wall is down."""
    with wall_down(), viewing(user, listing=True):
        listed = may_view(user) and Patient.objects.listed_to(user).filter(pk=resource.patient_id).exists()
        assert bool(A_LISTED(user, patient=resource.patient_id)) == listed
        return listed, Resource.objects.visible_to(user).filter(pk=resource.pk).exists()


def seen_through_listing_wall(user: User, resource: Resource) -> tuple[bool, bool]:
    """Whether PostgreSQL alone shows them in a transaction that lists."""
    with viewing(user, listing=True):
        return Patient.objects.filter(pk=resource.patient_id).exists(), Resource.objects.filter(pk=resource.pk).exists()


WALL_DOWN = (seen_through_queryset, seen_through_compiled, seen_through_list)
WAYS = (*WALL_DOWN, seen_through_wall, seen_through_listing_wall)
"""Each by itself: what one of them hides, the others need not be asked about."""


def seen_by(user: User, resource: Resource) -> dict[str, tuple[bool, bool]]:
    """Way of asking -> whether `user` sees (patient, resource)."""

    def ask(seen) -> tuple[bool, bool]:
        viewer = User.objects.get(pk=user.pk)  # as the next request would load them
        viewer.acting_for, viewer.mfa_proved = user.acting_for, user.mfa_proved
        return seen(viewer, resource)

    with wall_down():
        found = {seen.__name__: ask(seen) for seen in WALL_DOWN}
    return found | {seen.__name__: ask(seen) for seen in WAYS if seen not in WALL_DOWN}


def every_way(expected: tuple[bool, bool]) -> dict[str, tuple[bool, bool]]:
    return {seen.__name__: expected for seen in WAYS}


def save(thing, **fields) -> None:
    type(thing).objects.using(WORKER).filter(pk=thing.pk).update(**fields)


def suspend(**target) -> None:
    Suspension.objects.using(WORKER).create(reason=Suspension.Reason.SECURITY, **target)


def another_facility(c) -> None:
    c.agreement.facilities.set([make.make_facility("North site")])


def about_a_stranger(c) -> None:
    AlsoAbout.objects.using(WORKER).create(resource=c.resource, patient=make.make_patient(c.source, family="Other"))


def about_another_who_opted_out(c) -> None:
    other = make.make_patient(c.source, family="Other")
    make.make_membership(c.caseload, other)
    AlsoAbout.objects.using(WORKER).create(resource=c.resource, patient=other)
    OptOut.objects.using(WORKER).create(patient=other)


def two_grants_that_only_together_allow_it(c) -> None:
    """One grant has the section, another the class: they must not add up."""
    save(c.resource, section="results", classes=["hiv"])
    save(c.agreement, classes=["hiv"])
    save(c.grant, sections=["demographics", "results"], classes=[])
    make.make_grant(c.guest, c.caseload, sections=["demographics", "problems"], classes=["hiv"])


def two_agreements_that_only_together_allow_it(c) -> None:
    save(c.resource, classes=["hiv"])
    save(c.grant, classes=["hiv"])
    make.make_agreement(c.organisation, make.make_facility("North site"), classes=["hiv"])


def an_agreement_that_is_over_lends_its_class(c) -> None:
    save(c.resource, classes=["hiv"])
    save(c.patient, classes=["hiv"])
    save(c.grant, classes=["hiv"])
    over = make.make_agreement(c.organisation, c.source.facility, classes=["hiv"])
    save(over, ends_at=make.days(-0.1))


def the_patients_class_is_granted(c) -> None:
    save(c.patient, classes=["mental_health"])
    save(c.grant, classes=["mental_health"])
    save(c.agreement, classes=["mental_health"])


def named_patient_with_a_class(c) -> None:
    save(c.grant, caseload=None, patient=c.patient, classes=["hiv"])
    save(c.agreement, classes=["hiv"])
    save(c.patient, classes=["hiv"])
    Membership.objects.using(WORKER).all().delete()


def two_grants_that_only_together_name_the_patient(c) -> None:
    """One has the caseload, the other demographics: they must not add up."""
    save(c.grant, caseload=make.make_caseload(c.organisation, c.source.facility, name="Another list"))
    make.make_grant(c.guest, c.caseload, sections=["demographics"], starts_at=make.days(1))


def two_agreements_that_only_together_name_the_patient(c) -> None:
    """One has demographics, the other the facility."""
    save(c.agreement, sections=["problems"])
    make.make_agreement(c.organisation, make.make_facility("North site"))


def the_patient_needs_a_class(c) -> None:
    save(c.patient, classes=["mental_health"])


def stop_feed(c, since: float, *, source=None, **fields) -> FeedStop:
    stopped = {"reason": "wrong patients", "stopped_by": make.make_user("Operator", staff_roles=["operator"])}
    return FeedStop.objects.using(WORKER).create(
        source=source or c.source, hidden_since=make.days(since), **{**stopped, **fields}
    )


def stop_and_resume_feed(c) -> None:
    two = [make.make_user(name, staff_roles=["operator"]) for name in ("One", "Two")]
    stop_feed(c, -1, resume_asked_by=two[0], resumed_by=two[1], resumed_at=make.days(0))


def look_up(c, **fields) -> Grant:
    """The patient is in no caseload any more; the guest looked them up by the right that their grant has."""
    Membership.objects.using(WORKER).all().delete()
    save(c.agreement, may_look_up=True)
    save(c.grant, may_look_up=True)
    return make.make_grant(c.guest, organisation=c.organisation, patient=c.patient, under=c.grant, **fields)


def a_colleague_looked_it_up(c) -> None:
    """Of the same organisation and caseload: what they looked up is theirs alone."""
    found = look_up(c)
    save(found, guest=make.make_user("A colleague"))


def another_agreement_has_the_right(c) -> None:
    look_up(c)
    save(c.agreement, may_look_up=False)
    make.make_agreement(c.organisation, make.make_facility("North site"), may_look_up=True)


NOTHING, BOTH, PATIENT_ONLY, RESOURCE_ONLY = (False, False), (True, True), (True, False), (False, True)

CASES = {
    "as it is": (lambda c: None, BOTH),
    "account inactive": (lambda c: User.objects.filter(pk=c.guest.pk).update(is_active=False), NOTHING),
    "terms not accepted": (
        lambda c: TermsAcceptance.objects.using("owner").filter(user=c.guest).delete(),
        NOTHING,
    ),
    "terms accepted by whoever was proved before": (
        lambda c: TermsAcceptance.objects.filter(user=c.guest).update(ended_at=make.days(0)),
        NOTHING,
    ),
    "has to sign in anew": (
        lambda c: Suspension.objects.using(WORKER).create(user=c.guest, reason=Suspension.Reason.IDENTITY),
        NOTHING,
    ),
    "newer terms published": (lambda c: c.publish_terms(), NOTHING),
    "no second factor": (lambda c: setattr(c.guest, "mfa_proved", False), NOTHING),
    "no organisation chosen": (lambda c: setattr(c.guest, "acting_for", None), NOTHING),
    "another organisation chosen": (
        lambda c: setattr(c.guest, "acting_for", make.make_organisation("Partner C").pk),
        NOTHING,
    ),
    "person suspended": (lambda c: suspend(user=c.guest), NOTHING),
    "organisation suspended": (lambda c: suspend(organisation=c.organisation), NOTHING),
    "grant suspended": (lambda c: suspend(grant=c.grant), NOTHING),
    "suspension lifted": (
        lambda c: Suspension.objects.using(WORKER).create(grant=c.grant, reason="drift", lifted_at=make.days(0)),
        BOTH,
    ),
    "grant ended": (lambda c: save(c.grant, ended_at=make.days(0)), NOTHING),
    "grant not begun": (lambda c: save(c.grant, starts_at=make.days(1)), NOTHING),
    "grant over": (lambda c: save(c.grant, ends_at=make.days(-0.1)), NOTHING),
    "agreement over": (lambda c: save(c.agreement, ends_at=make.days(-0.1)), NOTHING),
    "agreement not begun": (lambda c: save(c.agreement, starts_at=make.days(1)), NOTHING),
    "agreement lacks the facility": (another_facility, NOTHING),
    "agreement lacks the section": (lambda c: save(c.agreement, sections=["demographics", "results"]), PATIENT_ONLY),
    "agreement lacks demographics": (lambda c: save(c.agreement, sections=["problems"]), RESOURCE_ONLY),
    "grant lacks the section": (lambda c: save(c.grant, sections=["demographics", "results"]), PATIENT_ONLY),
    "no section at all": (lambda c: save(c.resource, section=None), PATIENT_ONLY),
    "class not granted": (lambda c: save(c.resource, classes=["hiv"]), PATIENT_ONLY),
    "class granted, not agreed": (
        lambda c: (save(c.resource, classes=["hiv"]), save(c.grant, classes=["hiv"])),
        PATIENT_ONLY,
    ),
    "class agreed, not granted": (
        lambda c: (save(c.resource, classes=["hiv"]), save(c.agreement, classes=["hiv"])),
        PATIENT_ONLY,
    ),
    "class granted and agreed": (
        lambda c: (
            save(c.resource, classes=["hiv"]),
            save(c.grant, classes=["hiv"]),
            save(c.agreement, classes=["hiv"]),
        ),
        BOTH,
    ),
    "one of two classes granted": (
        lambda c: (
            save(c.resource, classes=["hiv", "genetic"]),
            save(c.grant, classes=["hiv"]),
            save(c.agreement, classes=["hiv", "genetic"]),
        ),
        PATIENT_ONLY,
    ),
    "restricted without a reason": (lambda c: save(c.resource, classes=["restricted"]), PATIENT_ONLY),
    "unknown label": (lambda c: save(c.resource, classes=["unknown"]), PATIENT_ONLY),
    "patient's class not granted": (the_patient_needs_a_class, RESOURCE_ONLY),
    "grants don't add up": (two_grants_that_only_together_allow_it, PATIENT_ONLY),
    "agreements don't add up": (two_agreements_that_only_together_allow_it, PATIENT_ONLY),
    "an agreement that is over adds nothing": (an_agreement_that_is_over_lends_its_class, NOTHING),
    "agreements don't add up for the patient": (two_agreements_that_only_together_name_the_patient, RESOURCE_ONLY),
    "patient's class granted and agreed": (the_patients_class_is_granted, BOTH),
    "named patient with a granted class": (named_patient_with_a_class, BOTH),
    "grants don't add up for the patient": (two_grants_that_only_together_name_the_patient, NOTHING),
    "named patient at another facility": (
        lambda c: (save(c.grant, caseload=None, patient=c.patient), another_facility(c)),
        NOTHING,
    ),
    "membership over": (lambda c: Membership.objects.using(WORKER).update(ends_at=make.days(-0.1)), NOTHING),
    "membership not begun": (lambda c: Membership.objects.using(WORKER).update(starts_at=make.days(1)), NOTHING),
    "membership gone": (lambda c: Membership.objects.using(WORKER).all().delete(), NOTHING),
    "named patient": (
        lambda c: save(c.grant, caseload=None, patient=c.patient) or Membership.objects.using(WORKER).all().delete(),
        BOTH,
    ),
    "opt-out for all": (lambda c: OptOut.objects.using(WORKER).create(patient=c.patient), NOTHING),
    "opt-out for this organisation": (
        lambda c: OptOut.objects.using(WORKER).create(patient=c.patient, organisation=c.organisation),
        NOTHING,
    ),
    "opt-out for another organisation": (
        lambda c: OptOut.objects.using(WORKER).create(
            patient=c.patient, organisation=make.make_organisation("Partner C")
        ),
        BOTH,
    ),
    "opt-out over": (
        lambda c: OptOut.objects.using(WORKER).create(
            patient=c.patient, starts_at=make.days(-9), ends_at=make.days(-1)
        ),
        BOTH,
    ),
    "also about a stranger": (about_a_stranger, PATIENT_ONLY),
    "also about one who opted out": (about_another_who_opted_out, PATIENT_ONLY),
    "feed stopped, all came since": (lambda c: stop_feed(c, -1), NOTHING),
    "feed stopped, all came before": (lambda c: stop_feed(c, 1), BOTH),
    "feed stopped, the resource came since": (
        lambda c: (save(c.patient, received_at=make.days(-2)), stop_feed(c, -1)),
        PATIENT_ONLY,
    ),
    "feed stopped, the patient came since": (
        lambda c: (save(c.resource, received_at=make.days(-2)), stop_feed(c, -1)),
        RESOURCE_ONLY,
    ),
    "another feed stopped": (lambda c: stop_feed(c, -1, source=make.make_source(c.source.facility, "north")), BOTH),
    "feed resumed": (stop_and_resume_feed, BOTH),
    "looked up": (look_up, BOTH),
    "looked up, by a colleague": (a_colleague_looked_it_up, NOTHING),
    "looked up, the day is over": (lambda c: look_up(c, ends_at=make.days(-0.1)), NOTHING),
    "looked up, the grant has lost the right": (lambda c: (look_up(c), save(c.grant, may_look_up=False)), NOTHING),
    "looked up, the agreement has lost the right": (
        lambda c: (look_up(c), save(c.agreement, may_look_up=False)),
        NOTHING,
    ),
    "looked up, another agreement has the right": (another_agreement_has_the_right, NOTHING),
    "looked up, the grant with the right ended": (
        lambda c: (look_up(c), save(c.grant, ended_at=make.days(0))),
        NOTHING,
    ),
    "looked up, the grant with the right is over": (
        lambda c: (look_up(c), save(c.grant, ends_at=make.days(-0.1))),
        NOTHING,
    ),
    "looked up, the grant with the right is suspended": (lambda c: (look_up(c), suspend(grant=c.grant)), NOTHING),
    "looked up, opted out since": (
        lambda c: (look_up(c), OptOut.objects.using(WORKER).create(patient=c.patient)),
        NOTHING,
    ),
    "looked up, at another facility": (lambda c: (look_up(c), another_facility(c)), NOTHING),
    "looked up, a section that is not granted": (lambda c: look_up(c, sections=["demographics"]), PATIENT_ONLY),
    "looked up, also about a stranger": (lambda c: (look_up(c), about_a_stranger(c)), PATIENT_ONLY),
    "tombstoned": (lambda c: save(c.resource, tombstoned_at=make.days(0)), PATIENT_ONLY),
}


@pytest.fixture
def c(guest, grant, agreement, caseload, patient, resource, source, organisation):
    """Everything that a change may touch, under short names."""

    class Cast:
        pass

    cast = Cast()
    vars(cast).update(
        guest=guest, grant=grant, agreement=agreement, caseload=caseload, patient=patient,
        resource=resource, source=source, organisation=organisation,
    )  # fmt: skip
    cast.publish_terms = lambda: Terms.objects.using(WORKER).create(version=2, published_at=make.days(-0.1))
    return cast


CLASS, SECTION = {"class_not_granted", "class_not_agreed"}, {"section_not_granted", "section_not_agreed"}
REASONS: dict[str, tuple[set[str], set[str]]] = {
    "account inactive": ({"account_inactive"}, {"account_inactive"}),
    "terms not accepted": ({"terms_not_accepted"}, {"terms_not_accepted"}),
    "terms accepted by whoever was proved before": ({"terms_not_accepted"}, {"terms_not_accepted"}),
    "has to sign in anew": ({"person_paused"}, {"person_paused"}),
    "newer terms published": ({"terms_not_accepted"}, {"terms_not_accepted"}),
    "no second factor": ({"no_second_factor"}, {"no_second_factor"}),
    "no organisation chosen": ({"no_organisation", "no_grant"}, {"no_organisation", "no_grant"}),
    "another organisation chosen": ({"no_grant"}, {"no_grant"}),
    "person suspended": ({"person_paused"}, {"person_paused"}),
    "organisation suspended": ({"organisation_paused"}, {"organisation_paused"}),
    "grant suspended": ({"grant_paused"}, {"grant_paused"}),
    "grant ended": ({"grant_ended"}, {"grant_ended"}),
    "grant not begun": ({"grant_to_come"}, {"grant_to_come"}),
    "grant over": ({"grant_over"}, {"grant_over"}),
    "agreement over": ({"agreement_over"}, {"agreement_over"}),
    "agreement not begun": ({"agreement_to_come"}, {"agreement_to_come"}),
    "agreement lacks the facility": ({"facility_not_agreed"}, {"facility_not_agreed"}),
    "agreement lacks the section": (set(), {"section_not_agreed"}),
    "agreement lacks demographics": ({"section_not_agreed"}, set()),
    "grant lacks the section": (set(), {"section_not_granted"}),
    "no section at all": (set(), {"in_no_section"}),
    "class not granted": (set(), CLASS),
    "class granted, not agreed": (set(), {"class_not_agreed"}),
    "class agreed, not granted": (set(), {"class_not_granted"}),
    "one of two classes granted": (set(), {"class_not_granted"}),
    "restricted without a reason": (set(), {"label_not_understood"}),
    "unknown label": (set(), {"label_not_understood"}),
    "patient's class not granted": (CLASS, set()),
    # Of two that each allow half, the one that lasts longest is named.
    "grants don't add up": (set(), {"section_not_granted"}),
    "agreements don't add up": (set(), {"facility_not_agreed"}),
    "an agreement that is over adds nothing": ({"class_not_agreed"}, {"class_not_agreed"}),
    "agreements don't add up for the patient": ({"facility_not_agreed"}, set()),
    "grants don't add up for the patient": ({"grant_to_come"}, {"not_in_caseload"}),
    "named patient at another facility": ({"facility_not_agreed"}, {"facility_not_agreed"}),
    "membership over": ({"not_in_caseload"}, {"not_in_caseload"}),
    "membership not begun": ({"not_in_caseload"}, {"not_in_caseload"}),
    "membership gone": ({"not_in_caseload"}, {"not_in_caseload"}),
    "opt-out for all": ({"opted_out"}, {"opted_out"}),
    "opt-out for this organisation": ({"opted_out"}, {"opted_out"}),
    "also about a stranger": (set(), {"another_not_in_caseload"}),
    "also about one who opted out": (set(), {"another_opted_out"}),
    "feed stopped, all came since": ({"feed_stopped"}, {"feed_stopped"}),
    "feed stopped, the resource came since": (set(), {"feed_stopped"}),
    "feed stopped, the patient came since": ({"feed_stopped"}, set()),
    "tombstoned": (set(), {"no_longer_held"}),
    # Beside what was looked up stands the grant of a caseload: of two that lack one thing the longer one is named.
    "looked up, by a colleague": ({"not_in_caseload"}, {"not_in_caseload"}),
    "looked up, the day is over": ({"not_in_caseload"}, {"not_in_caseload"}),
    "looked up, the grant has lost the right": ({"right_to_look_up_gone"}, {"right_to_look_up_gone"}),
    "looked up, the agreement has lost the right": ({"right_to_look_up_gone"}, {"right_to_look_up_gone"}),
    "looked up, another agreement has the right": ({"facility_not_agreed"}, {"facility_not_agreed"}),
    "looked up, the grant with the right ended": ({"right_to_look_up_gone"}, {"right_to_look_up_gone"}),
    "looked up, the grant with the right is over": ({"right_to_look_up_gone"}, {"right_to_look_up_gone"}),
    "looked up, the grant with the right is suspended": ({"right_to_look_up_gone"}, {"right_to_look_up_gone"}),
    "looked up, opted out since": ({"opted_out"}, {"opted_out"}),
    "looked up, at another facility": ({"facility_not_agreed"}, {"facility_not_agreed"}),
    "looked up, a section that is not granted": (set(), {"section_not_granted"}),
    "looked up, also about a stranger": (set(), {"another_not_in_caseload"}),
}
"""What the explanation (records/why.py) names for the patient and for the resource: the condition that was changed."""


def explained(user: User, c) -> list[why.Explanation]:
    return [why.explain(row, user, using=WORKER) for row in (c.patient, c.resource)]


@pytest.mark.parametrize("case", CASES)
def test_a_guest_sees_exactly_what_one_grant_allows(c, case):
    change, expected = CASES[case]
    change(c)
    assert seen_by(c.guest, c.resource) == every_way(expected)
    user = User.objects.get(pk=c.guest.pk)
    user.acting_for, user.mfa_proved = c.guest.acting_for, c.guest.mfa_proved
    found = explained(user, c)
    assert tuple(one.visible for one in found) == expected
    assert all(one.by for one in found if one.visible), "visible, and no grant is named"
    assert tuple(set(one.reasons) for one in found) == REASONS.get(case, (set(), set()))


def test_staff_see_no_patient(c):
    staff = make.signed_in(make.make_user("Operator", staff_roles=["operator", "approver"]), c.organisation)
    for seen in WAYS:
        assert seen(staff, c.resource) == NOTHING, seen.__name__


def test_a_clinical_query_without_a_viewer_raises(c):
    with pytest.raises(NoViewer):
        Patient.objects.filter(pk=c.patient.pk).exists()
    with pytest.raises(NoViewer):
        Patient.objects.visible_to(c.guest).exists()


def test_rows_are_not_readable_for_somebody_else_than_the_viewer(c, outsider):
    with viewing(outsider), pytest.raises(NoViewer):
        Patient.objects.visible_to(c.guest).exists()


def test_the_viewer_ends_with_the_transaction(c):
    with viewing(c.guest):
        assert Patient.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT nullif(current_setting('clinicportal.viewer', true), '')")
        assert cursor.fetchone()[0] is None


def test_every_clinical_table_is_walled_and_forced(db):
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            """SELECT relname FROM pg_class WHERE relkind = 'r' AND relname = ANY(%s)
               AND NOT (relrowsecurity AND relforcerowsecurity)""",
            [list(CLINICAL_TABLES)],
        )
        assert cursor.fetchall() == []
        cursor.execute(
            """SELECT conrelid::regclass::text FROM pg_constraint
               WHERE contype = 'f' AND confrelid IN ('records_patient'::regclass, 'records_resource'::regclass)"""
        )
        hanging = {name for (name,) in cursor.fetchall()}
    assert hanging - {"records_grant"} <= set(CLINICAL_TABLES), "a table about patients is not behind the wall"


def test_web_may_not_write_records(c):
    with viewing(c.guest), pytest.raises(ProgrammingError):
        Patient.objects.filter(pk=c.patient.pk).update(family="Changed")


def test_web_runs_as_a_role_that_the_wall_binds(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolbypassrls, current_user FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, False, "clinicportal_web")


def test_the_size_of_a_caseload_is_a_number_and_nothing_else(c):
    assert c.caseload.size() == 1


def whole_rule(statement: str, *, emergency: bool = False) -> bool:
    """Whether a statement holds the rule for patients, for resources or for lists, word for word."""
    statement = normal(statement)
    return any(rule in statement for rule in rules(emergency=emergency))


@functools.cache
def rules(*, emergency: bool) -> list[str]:
    allowed = compiled.Allowed(compiled.viewer_stand_in(emergency=emergency))
    return [where(rule) for rule in (allowed.patients, allowed.resources, allowed.listed)]


def normal(sql: str) -> str:
    """SQL without the names of its tables' aliases, which depend on what stands around."""
    return re.sub(r"\b[U-Z]\d+\b", "alias", sql)


def where(queryset) -> str:
    condition = queryset.query.sql_with_params()[0].partition(" WHERE ")[2]
    return normal(condition).removeprefix("(").removesuffix(")")


ABOUT_THE_VIEWER = {
    "records_grant", "records_agreement_facilities", "records_look", "records_emergencyaccess", "records_reviewreading",
}  # fmt: skip
"""Statements that begin with these ask about the viewer and not about a patient."""


def test_every_statement_that_is_kept_prepared_holds_the_whole_rule():
    from records.chart import care, documents, lists, medicines, patients, results, summary, timeline, trends  # noqa: F401
    from records.chart.every_test import newest_of_each

    for continued in (False, True):
        patients.listing(
            51, *(["caseload", "born_from", "facility", "gender"] if continued else []), continued=continued
        )
        patients.finding(2, 51)
        timeline.entries(51, continued=continued)
        results.sheet_reading("results", 201, continued=continued, within=continued)
        results.sheet_reading("vitals", 201, continued=continued, within=continued, coded=True, flagged=continued)
        newest_of_each("vitals")
        trends.same_tests(3)
        lists.list_reading("documents", ("DocumentReference",), 51, continued=continued)
    for emergency in (False, True):
        judged = 0
        for reading in compiled.EVERY:
            statement, _params = reading.statement(emergency=emergency)
            for part in statement.split(" UNION ALL ("):
                table = re.search(r'FROM "(\w+)"', part)[1]
                if table in ABOUT_THE_VIEWER:
                    continue
                assert whole_rule(part, emergency=emergency), part
                judged += 1
        assert judged > 30


def test_a_statement_without_the_rule_is_noticed():
    sql = Resource.objects.filter(patient=PATIENT).query.sql_with_params()[0]
    assert not whole_rule(sql)
