"""An authentication context is worth something only while a policy stands behind it, by the tenant's word or ours."""

from __future__ import annotations

import datetime as dt
import uuid
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections
from django.urls import reverse
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import StaffRole, User
from clinicportal.rules import Denied
from partners import assurance, dates, entra
from partners.assurance import State, standing
from partners.entra.conditional_access import People, Policy, why_not_bound
from partners.models import Attestation, ContextCheck, IdentityProvider, Incident
from tests.factories import client_for
from tests.partners.conftest import HOME, as_worker, make_approver
from tests.partners.pages import text
from tests.partners.visitor import Visitor

GROUP = "44444444-4444-4444-8444-444444444444"
TENANT = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER = "aaaaaaaa-0000-4000-8000-000000000002"
PEOPLE = People(GROUP, frozenset({TENANT}), others=False)


def policy(**changes: Any) -> dict[str, Any]:
    """A policy as Graph tells it, for everyone in c1; "users", "grants" and "when" change parts of it."""
    return {
        "displayName": "Second factor",
        "state": changes.get("state", "enabled"),
        "conditions": {
            "clientAppTypes": ["all"], "locations": None, "platforms": None, "devices": None, "signInRiskLevels": [],
            "applications": {"includeApplications": [],
                             "includeAuthenticationContextClassReferences": changes.get("contexts", ["c1"])},
            "users": {"includeUsers": ["All"], "excludeUsers": [], "includeGroups": [], **changes.get("users", {})},
            **changes.get("when", {}),
        },
        "grantControls": {"operator": "OR", "builtInControls": ["mfa"], "customAuthenticationFactors": [],
                          "termsOfUse": [], "authenticationStrength": None, **changes.get("grants", {})},
    }  # fmt: skip


def outsiders(types: str = "b2bCollaborationGuest,b2bCollaborationMember", tenants: list[str] | None = None) -> Any:
    kind = {"membershipKind": "enumerated", "members": tenants} if tenants else {"membershipKind": "all"}
    return {"guestOrExternalUserTypes": types, "externalTenants": kind}


STRONG = {"id": str(uuid.uuid4()), "requirementsSatisfied": "mfa"}
WEAK = {"id": str(uuid.uuid4()), "requirementsSatisfied": "none"}
STAFF = {"includeUsers": [str(uuid.uuid4())]}

FORMS = {
    "everybody, the plain requirement": ([policy()], ""),
    "with other contexts besides": ([policy(contexts=["c7", "c1"])], ""),
    "an emergency account left out": ([policy(users={"excludeUsers": [str(uuid.uuid4())]})], ""),
    "mfa and terms of use": ([policy(grants={"operator": "AND", "termsOfUse": ["t"]})], ""),
    "a strength that is a second factor": (
        [policy(grants={"builtInControls": [], "authenticationStrength": STRONG})], ""),
    "the built-in strength": (
        [policy(grants={"builtInControls": [],
                        "authenticationStrength": {"id": "00000000-0000-0000-0000-000000000002"}})], ""),
    "mfa or a strength": ([policy(grants={"authenticationStrength": STRONG})], ""),
    "guests and named staff": ([policy(users={**STAFF, "includeGuestsOrExternalUsers": outsiders()})], ""),
    "the access group and named staff": ([policy(users={**STAFF, "includeGroups": [GROUP]})], ""),
    "guests of our partners by tenant": (
        [policy(users={**STAFF, "includeGuestsOrExternalUsers": outsiders(tenants=[TENANT.upper()])})], ""),
    "one for staff, one for guests": (
        [policy(users=STAFF), policy(users={"includeUsers": ["GuestsOrExternalUsers"]})], ""),
    "browsers only": ([policy(when={"clientAppTypes": ["browser"]})], ""),
    "every place, said so": ([policy(when={"locations": {"includeLocations": ["All"], "excludeLocations": []}})], ""),
    "a devices condition that says nothing": ([policy(when={"devices": {"deviceFilter": None}})], ""),

    "none": ([], "no_policy"),
    "one for another context": ([policy(contexts=["c2"])], "no_policy"),
    "one for the application": ([policy(contexts=[])], "no_policy"),
    "report-only": ([policy(state="enabledForReportingButNotEnforced")], "not_enforced"),
    "switched off": ([policy(state="disabled")], "not_enforced"),
    "a state to come": ([policy(state="unknownFutureValue")], "not_enforced"),
    "no grant control": ([policy(grants={"builtInControls": []})], "asks_too_little"),
    "mfa or a known device": ([policy(grants={"builtInControls": ["mfa", "compliantDevice"]})], "asks_too_little"),
    "mfa or terms of use": ([policy(grants={"termsOfUse": ["t"]})], "asks_too_little"),
    "a known device": ([policy(grants={"builtInControls": ["compliantDevice"]})], "asks_too_little"),
    "blocks": ([policy(grants={"builtInControls": ["block"]})], "asks_too_little"),
    "a strength that one factor meets": (
        [policy(grants={"builtInControls": [], "authenticationStrength": WEAK})], "asks_too_little"),
    "not at trusted places": (
        [policy(when={"locations": {"includeLocations": ["All"], "excludeLocations": ["AllTrusted"]}})],
        "asks_too_little"),
    "at one place": ([policy(when={"locations": {"includeLocations": [str(uuid.uuid4())]}})], "asks_too_little"),
    "not on phones": (
        [policy(when={"platforms": {"includePlatforms": ["all"], "excludePlatforms": ["iOS"]}})], "asks_too_little"),
    "at high risk": ([policy(when={"signInRiskLevels": ["high"]})], "asks_too_little"),
    "for some devices": (
        [policy(when={"devices": {"deviceFilter": {"mode": "exclude", "rule": "x"}}})], "asks_too_little"),
    "for old protocols": ([policy(when={"clientAppTypes": ["exchangeActiveSync", "other"]})], "asks_too_little"),
    "guests only": ([policy(users={"includeUsers": [], "includeGuestsOrExternalUsers": outsiders()})],
                    "members_left_out"),
    "outsiders only": ([policy(users={"includeUsers": ["GuestsOrExternalUsers"]})], "members_left_out"),
    "nobody": ([policy(users={"includeUsers": ["None"]})], "members_left_out"),
    "staff only": ([policy(users=STAFF)], "guests_left_out"),
    "guests left out": ([policy(users={"excludeGuestsOrExternalUsers": outsiders()})], "guests_left_out"),
    "outsiders left out": ([policy(users={"excludeUsers": ["GuestsOrExternalUsers"]})], "guests_left_out"),
    "the access group left out": ([policy(users={"excludeGroups": [GROUP]})], "guests_left_out"),
    "guests of one tenant left out": (
        [policy(users={"excludeGuestsOrExternalUsers": outsiders(tenants=[TENANT])})], "guests_left_out"),
    "other outsiders": (
        [policy(users={**STAFF, "includeGuestsOrExternalUsers": outsiders("internalGuest")})], "guests_left_out"),
    "guests of another tenant": (
        [policy(users={**STAFF, "includeGuestsOrExternalUsers": outsiders(tenants=[OTHER])})], "guests_left_out"),
    "nonsense": ([{"conditions": None, "grantControls": "x", "state": 1}], "no_policy"),
}  # fmt: skip


@pytest.mark.parametrize(("found", "because"), FORMS.values(), ids=FORMS)
def test_a_policy_counts_only_if_it_asks_everybody_everywhere(found, because):
    assert why_not_bound([Policy.of(one, PEOPLE) for one in found], "c1") == because


def test_a_strength_does_nothing_for_guests_without_an_entra_account():
    people = People(GROUP, frozenset({TENANT}), others=True)
    strength = policy(grants={"builtInControls": [], "authenticationStrength": STRONG})
    assert why_not_bound([Policy.of(strength, people)], "c1") == "guests_left_out"
    assert why_not_bound([Policy.of(policy(), people)], "c1") == ""


# ---------------------------------------------------------------- against the stand-in


def check(graph: entra.Graph) -> None:
    with as_worker():
        assurance.check(graph)


def make_due() -> None:
    ContextCheck.objects.using("worker").update(due_at=timezone.now())


def age(**ago: float) -> None:
    """Let the last answer and the next question lie back in time."""
    then = timezone.now() - dt.timedelta(**ago)
    ContextCheck.objects.using("worker").update(answered_at=then)


def test_a_fresh_install_admits_nobody_until_the_tenant_was_read(db, graph):
    assert (standing("c1").state, standing("c2").state) == (State.UNKNOWN, State.UNKNOWN)
    check(graph)
    assert (standing("c1").state, standing("c2").state) == (State.CHECKED, State.CHECKED)
    assert Incident.objects.count() == 0


def test_a_policy_that_is_gone_closes_the_door_and_calls_the_operator_once(db, graph, tenant):
    check(graph)
    tenant.do("mfa", context="c2", required=False)
    check(graph)
    check(graph)
    assert (standing("c1").state, standing("c2").state) == (State.CHECKED, State.UNBOUND)
    [incident] = Incident.objects.all()
    assert (incident.code, incident.detail, incident.times) == ("context_not_bound", "c2: no_policy", 2)
    tenant.do("mfa", context="c2")
    check(graph)
    assert standing("c2").state == State.CHECKED


@pytest.mark.parametrize("trouble", ["permission", "away", "nonsense"])
def test_without_an_answer_the_last_one_holds_for_a_day_and_no_longer(db, graph, tenant, trouble):
    check(graph)
    if trouble == "permission":
        tenant.do("permissions", permissions=["User.Invite.All"])
        graph._tokens.forget()  # a token keeps the permissions that it was made with
    else:
        body = {"status": 503} if trouble == "away" else {"status": 418}
        tenant.do("fail-next", operation="GET /identity/conditionalAccess/policies", times=9, **body)
    check(graph)
    assert standing("c1").state == State.CHECKED
    assert ContextCheck.objects.get(pk="c1").trouble
    age(hours=23.9)
    assert standing("c1").state == State.CHECKED
    age(hours=24.1)
    assert standing("c1").state == State.UNKNOWN
    check(graph)
    assert set(Incident.objects.values_list("code", "detail")) == {("context_unknown", "c1"), ("context_unknown", "c2")}


def test_an_attestation_stands_where_the_tenant_cannot_be_read(db, graph, tenant, operator):
    tenant.do("permissions", permissions=["User.Invite.All"])
    check(graph)
    until = dates.end_of(dates.today() + dt.timedelta(days=30))
    assurance.attest("c1", until=until, by=operator)
    assert (standing("c1").state, standing("c2").state) == (State.ATTESTED, State.UNKNOWN)
    [event] = audit.trail().filter(type="context-attested")
    assert (event.user_id, event.detail["context"], event.detail["by"]) == (operator.pk, "c1", "Portal Operator")
    # The newest one counts, also when it ends sooner.
    with connections["owner"].cursor() as cursor:
        cursor.execute("UPDATE partners_attestation SET until = now() - interval '1 second', made_at = now()")
    assert standing("c1").state == State.UNKNOWN


def test_the_tenants_word_counts_more_than_an_attestation(db, graph, tenant, operator):
    assurance.attest("c1", until=dates.end_of(dates.today()), by=operator)
    tenant.do("mfa", context="c1", required=False)
    check(graph)
    assert standing("c1").state == State.UNBOUND
    # Also a day later, when that answer is old: somebody has to look again.
    age(hours=25)
    with connections["owner"].cursor() as cursor:
        cursor.execute("UPDATE partners_attestation SET made_at = now() - interval '26 hours'")
    assert standing("c1").state == State.UNKNOWN
    assurance.attest("c1", until=dates.end_of(dates.today()), by=operator)
    assert standing("c1").state == State.ATTESTED


def test_the_operator_hears_a_week_before_an_attestation_ends_and_once(db, graph, tenant, operator):
    tenant.do("permissions", permissions=[])
    for context in ("c1", "c2"):
        days = 6 if context == "c1" else 30
        assurance.attest(context, until=dates.end_of(dates.today() + dt.timedelta(days=days)), by=operator)
    check(graph)
    [incident] = Incident.objects.all()
    assert (incident.code, incident.detail.partition(",")[0]) == ("attestation_ends", "c1")
    Incident.objects.update(closed_at=timezone.now())
    check(graph)
    assert Incident.objects.count() == 1


@pytest.mark.parametrize("day", [dt.timedelta(days=-1), dt.timedelta(days=91)])
def test_an_attestation_has_a_date_within_ninety_days(operator, day):
    with pytest.raises(ValueError, match="Choose a day"):
        assurance.attest("c1", until=dates.end_of(dates.today() + day), by=operator)
    assert Attestation.objects.count() == 0


def test_the_database_holds_the_ninety_days_too(db):
    with pytest.raises(DatabaseError):
        Attestation.objects.create(context="c1", by_name="x", until=timezone.now() + dt.timedelta(days=92))


def test_only_an_operator_attests_and_without_its_event_nothing_stands(operator, approver, monkeypatch):
    until = dates.end_of(dates.today())
    with pytest.raises(Denied):
        assurance.attest("c1", until=until, by=approver)
    monkeypatch.setattr(audit, "record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        assurance.attest("c1", until=until, by=operator)
    assert Attestation.objects.count() == 0


def test_web_cannot_say_what_the_tenant_said(assured):
    with pytest.raises(DatabaseError):
        ContextCheck.objects.update(bound=True)


def test_of_several_workers_one_asks_and_only_when_it_is_time(db, graph, tenant):
    def calls() -> int:
        return len(tenant.read("calls", operation="GET /identity/conditionalAccess/policies"))

    with as_worker():
        assert assurance.check_when_due(graph)
        assert not assurance.check_when_due(graph)
    assert calls() == 1
    make_due()
    with as_worker():
        assert assurance.check_when_due(graph)
    assert calls() == 2
    left = ContextCheck.objects.get(pk="c1").due_at - timezone.now()
    assert dt.timedelta(minutes=59) < left <= dt.timedelta(hours=1)


def test_all_pages_of_the_list_are_read(db, graph, tenant, partner):
    IdentityProvider.objects.create(organisation=partner, issuer="mail")
    with as_worker():
        found = assurance.people()
    assert found == People(GROUP, frozenset({HOME.rstrip("/").rpartition("/")[2]}), others=True)
    answers = iter(
        [
            {"value": [policy(contexts=["c9"])], "@odata.nextLink": f"{tenant.https}/v1.0/identity/more?$skiptoken=x"},
            {"value": [policy()]},
        ]
    )
    asked = []
    graph._call = lambda method, path: (asked.append((method, path)), next(answers))[1]  # type: ignore[assignment,method-assign]
    assert why_not_bound(graph.conditional_access(PEOPLE), "c1") == ""
    assert asked == [("GET", "/identity/conditionalAccess/policies"), ("GET", "/identity/more?$skiptoken=x")]


# ---------------------------------------------------------------- the door


def test_nobody_new_comes_in_and_who_is_in_stays(entrance):
    inside = Visitor(entrance)
    inside.signs_in("approver@hospital.example")
    late = Visitor(entrance)
    under_way = late.passes(late.starts(), "second.approver@hospital.example")
    ContextCheck.objects.using("worker").filter(pk="c1").update(bound=False, because="not_enforced")
    for answer in (Visitor(entrance).client.post("/sign-in/"), late.comes_back(under_way)):
        assert answer.status_code in (403, 503)
        assert "We cannot let anyone in just now" in text(answer)
    assert late.session is None
    refusals = audit.trail().filter(type="sign-in-refused").values_list("reason", flat=True)
    assert list(refusals) == ["context-not-bound"] * 2
    assert inside.client.get("/approvals/").status_code == 200


# ---------------------------------------------------------------- the operator's page and command


@pytest.fixture
def operator(db) -> User:
    return make_approver("Portal Operator", email="operator@hospital.example", staff_roles=[StaffRole.OPERATOR])


def test_the_page_says_how_each_context_stands(operator, assured):
    browser, page = client_for(operator), reverse("partners:safety")
    assert text(browser.get(page)).count("Checked") == 2
    assert "checked, all is well" in text(browser.get(reverse("partners:incidents")))
    ContextCheck.objects.using("worker").filter(pk="c2").update(bound=False, because="not_enforced")
    shown = text(browser.get(page))
    assert "Not bound: nobody can pass" in shown
    assert "report-only" in shown
    assert "is not checked, or not so" in text(browser.get(reverse("partners:incidents")))


def test_an_operator_attests_on_the_page(operator):
    browser, page = client_for(operator), reverse("partners:safety")
    answer = browser.post(page, {"context": "c1", "until": "31 March 1999"})
    assert "Choose a day from today until" in text(answer)
    assert "Look first, then tick the box" in text(answer)
    assert Attestation.objects.count() == 0
    day = dates.words_for(dates.today() + dt.timedelta(days=30))
    assert browser.post(page, {"context": "c1", "until": day, "statement": "on"}).status_code == 302
    assert "Attested, not checked" in text(browser.get(page))
    assert standing("c1").state == State.ATTESTED


def test_asking_now_rings_for_the_worker(operator, monkeypatch):
    answer = client_for(operator).post(reverse("partners:check-now"), follow=True)
    assert "The worker cannot be reached just now" in text(answer)  # the tests have no broker


def test_the_page_is_for_operators(approver, outsider):
    for person in (approver, outsider):
        assert client_for(person).get(reverse("partners:safety")).status_code == 404
        assert client_for(person).post(reverse("partners:check-now")).status_code == 404


def run(*arguments: str) -> str:
    out = StringIO()
    with as_worker():
        call_command("entra", *arguments, stdout=out)
    return out.getvalue()


def test_the_first_operator_attests_from_the_command_line(db):
    day = dates.today() + dt.timedelta(days=90)
    said = run("attest", "--context", "c1", "--until", day.isoformat(), "--by", "Ada  Operator")
    assert "Ada Operator attests until" in said
    assert standing("c1").state == State.ATTESTED
    [event] = audit.trail().filter(type="context-attested")
    assert (event.user_id, event.detail["by"]) == (None, "Ada Operator")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--context", "c1", "--until", "2027-01-31"],
        ["--context", "c9", "--until", "tomorrow", "--by", "x"],
        ["--context", "c9", "--until", dates.today().isoformat(), "--by", "x"],
        ["--context", "c1", "--until", "2099-01-31", "--by", "x"],
    ],
)
def test_an_attestation_that_says_too_little_is_refused(db, arguments):
    with pytest.raises(CommandError):
        run("attest", *arguments)
    assert Attestation.objects.count() == 0


def test_reading_the_policies_by_hand_says_what_was_found(db, graph, tenant, monkeypatch):
    monkeypatch.setattr(entra, "client", lambda: graph)
    tenant.do("mfa", context="c2", required=False)
    said = run("policies")
    assert "c1: a policy that asks for a second factor is bound to it" in said
    assert "FAILED  c2: no policy is bound to it that asks everybody (no_policy)" in said
