"""Every address of the portal, asked by everyone: the whole table of who gets which page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from clinicportal.models import StaffRole, User
from partners import access_requests, dates, decisions, incidents
from partners.models import Incident
from tests import factories as make
from tests.factories import client_for
from tests.partners.conftest import make_approver, make_partner, make_sponsor

NOBODY: set[str] = set()


@pytest.fixture
def world(organisation, agreement, facility, source, patient, caseload, grant, guest, outsider) -> dict[str, Any]:
    """Everyone who may come, and one thing of each kind to ask for."""
    agreement.may_look_up = agreement.may_use_emergency_access = True
    agreement.save(using="worker")
    grant.may_look_up = grant.may_use_emergency_access = True
    grant.save(using="worker")
    partner, other = make_partner(organisation), make_partner(make.make_organisation("Partner C"), "riverside.example")
    sponsor, approver = make_sponsor(partner), make_approver()
    until = dates.end_of(dates.months_after(dates.today(), 6))
    asked = access_requests.ask(
        partner, by=sponsor, email="nurse@northfield.example", first_name="Practice", last_name="Nurse",
        caseloads=[caseload], sections=["problems"], ends_at=until, why="New",
    )  # fmt: skip
    decisions.approve(asked, by=approver)
    incidents.report("cross_tenant")
    emergency = make.make_emergency(guest, make.make_patient(source, family="Elsewhere"))
    staff = {
        role.value: make_approver(role.label, email=f"{role.value}@hospital.example", staff_roles=[role])
        for role in StaffRole
        if role != StaffRole.APPROVER
    }
    people: dict[str, User] = {
        "outsider": outsider, "guest": guest, "sponsor": sponsor, "other sponsor": make_sponsor(other, "Other Sponsor"),
        "approver": approver, **staff,
    }  # fmt: skip
    things = {
        "partners": asked.pk, "organisation": organisation.pk, "incident": Incident.objects.get().pk,
        "records": patient.pk, "emergency": emergency.pk, "feeds": source.name, "kind": "opt_out",
    }  # fmt: skip
    return {"people": people, "things": things}


def addresses(resolver: URLResolver | None = None, prefix: str = "/", namespace: str = "") -> Iterator[tuple[str, str]]:
    """(name, route) of every page."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from addresses(entry, route, f"{entry.namespace}:" if entry.namespace else namespace)
        elif isinstance(entry, URLPattern):
            yield f"{namespace}{entry.name}", route


def path_of(name: str, route: str, things: dict[str, Any]) -> str:
    """The route with the thing that it is about."""
    namespace, _, page = name.rpartition(":")
    about = things.get("incident" if "incident" in page else "organisation" if page == "organisation" else namespace)
    if name.startswith(("emergency", "review")):
        about = things["emergency"]
    absent = {"uuid": "00000000-0000-4000-8000-000000000000", "int": "1", "slug": things["kind"], "str": "x"}

    def value(match: re.Match[str]) -> str:
        main = match.group(2) in ("pk", "name")
        return str(about) if main and about is not None else absent[match.group(1)]

    return re.sub(r"<(\w+):(\w+)>", value, route)


EVERYONE = {"outsider", "guest", "sponsor", "other sponsor", "approver", "privacy", "operator", "reviewer"}
GUEST, SPONSOR, SPONSORS = {"guest"}, {"sponsor"}, {"sponsor", "other sponsor"}
APPROVER, PRIVACY, OPERATOR, REVIEWER = {"approver"}, {"privacy"}, {"operator"}, {"reviewer"}
REFUSED = (403, 404)


def each(names: str, who: set[str]) -> dict[str, set[str]]:
    return dict.fromkeys(names.split(), who)


WHO = {
    **each("sign-in sign-in-help new-phone front-channel-sign-out signed-out terms privacy-notice", EVERYONE),
    **each("accessibility live ready partners:back", EVERYONE),
    **each("home account choose-organisation records:patients look-up-open stay", EVERYONE),
    # patients
    **each("records:summary records:timeline records:results records:vitals records:care records:medicines", GUEST),
    **each("records:problems records:allergies records:immunisations records:procedures records:encounters", GUEST),
    **each("records:documents records:print records:report records:access", GUEST),
    **each("records:results-tests records:vitals-tests", GUEST),
    **each("look-up emergency emergency-end", GUEST),
    # the access process
    **each("partners:people partners:requests", SPONSORS),
    **each("partners:add partners:request partners:answer partners:withdraw partners:ways-in", SPONSOR),
    **each("partners:address partners:send-again partners:start-again", SPONSOR),
    **each("partners:approvals partners:decision partners:question partners:decline partners:end", APPROVER),
    **each("partners:not-confirmed partners:approve partners:resume partners:confirm partners:restart", APPROVER),
    **each("partners:let-in partners:rights", APPROVER),
    **each("partners:organisations partners:organisation", APPROVER | OPERATOR),
    # our staff
    **each("partners:incidents partners:close-incident partners:safety partners:check-now feeds:stop", OPERATOR),
    **each("feeds:feeds feeds:moves feeds:feed", OPERATOR | PRIVACY),
    **each("feeds:upload feeds:export", OPERATOR),
    **each("reviews review review-open review-lift", REVIEWER),
    **each("privacy reports by-hand:add", PRIVACY),
    **each("alerts", PRIVACY | REVIEWER),
    **each("by-hand:index", APPROVER | OPERATOR | PRIVACY),
    **each("why", APPROVER | PRIVACY),
}
"""Who gets the page, or gets as far as its form; all others, for all of them where it is not named, are refused."""
ELSEWHERE = {
    # Their answers depend on a link, a token or what was typed before: the tests of their own modules ask them.
    "sign-in-callback", "sign-out", "records:filters", "records:take", "emergency-ask", "partners:again",
    "partners:welcome", "partners:go", "partners:not-for-me", "partners:new-link",
}  # fmt: skip


def test_everyone_gets_the_pages_of_the_table_and_no_other(world):
    wrong = []
    browsers = {who: client_for(person) for who, person in world["people"].items()}
    for name, route in addresses():
        if name in ELSEWHERE:
            continue
        path = path_of(name, route, world["things"])
        for who in sorted(EVERYONE - WHO.get(name, NOBODY)):
            wrong += [
                f"{who}: {verb} {path} {status}" for verb, status in ask(browsers[who], path) if status not in REFUSED
            ]
        for who in sorted(WHO.get(name, NOBODY)):
            [(verb, status), *_] = ask(browsers[who], path)
            wrong += [f"{who}: {verb} {path} {status}"] if status in REFUSED else []
    assert wrong == [], "a new page is named in WHO, with those who may have it"


def ask(browser: Client, path: str) -> Iterator[tuple[str, int]]:
    """The verbs that the page has, with its answers, GET first."""
    for verb, answer in (("GET", browser.get), ("POST", browser.post)):
        status = answer(path).status_code
        if status != 405:
            yield verb, status


def test_the_table_names_pages_that_there_are():
    names = {name for name, _ in addresses()}
    assert not (WHO.keys() | ELSEWHERE) - names
    assert not WHO.keys() & ELSEWHERE
