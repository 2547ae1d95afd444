"""The pages of looking up a patient: what they ask, what they tell, and that all kinds of "nobody" are one page."""

from __future__ import annotations

import re
import uuid
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clinicportal.models import AuditEvent
from records import lookup
from records.models import Grant, LookUp, OptOut, Patient
from tests import factories as make
from tests.records.people import REASON, make_person

WORKER = "worker"


@pytest.fixture
def right(grant, agreement) -> Grant:
    for thing in (grant, agreement):
        type(thing).objects.using(WORKER).filter(pk=thing.pk).update(may_look_up=True)
    return grant


@pytest.fixture
def absent(source) -> Patient:
    return make_person(source)


@pytest.fixture
def desk(guest, right):
    """The guest's browser."""
    return make.client_for(guest, capacities=["guest", "look_up"])


@pytest.fixture
def typed(facility) -> dict[str, Any]:
    return {
        "name": "Alpha Testpatient",
        "born": "2 February 1958",
        "facility": str(facility.pk),
        "kind": "record",
        "number": "900 0001",
        "reason": REASON,
        "attempt": str(uuid.uuid4()),
    }


@pytest.fixture
def office(db):
    return make.client_for(make.make_user("Privacy Officer", staff_roles=["privacy"], roles_checked_at=make.days(0)))


def text(answer: Any) -> str:
    html = re.sub(r"<(script|style|head)\b.*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def same(answer: Any) -> str:
    """The page without what every request has of its own."""
    page = re.sub(r'name="(csrfmiddlewaretoken|attempt)" value="[^"]*"', "", answer.content.decode())
    page = re.sub(r'nonce="[^"]*"|content="[0-9]+"|name="csrf-token" content="[^"]*"', "", page)
    assert re.search("nobody", page)
    return page


def test_the_walk_from_the_form_to_the_record(desk, typed, absent, facility):
    page = desk.get("/look-up/")
    assert page.status_code == 200
    assert "<h1>Look up a patient</h1>" in page.content.decode()
    found = desk.post("/look-up/", typed)
    assert found.status_code == 200
    said = text(found)
    for shown in ("Alpha Testpatient", "02-Feb-1958", "900 0001", facility.name, REASON):
        assert shown in said
    assert str(absent.pk) not in found.content.decode()
    action = re.search(r'action="(/look-up/[0-9a-f-]{36}/)"', found.content.decode())[1]
    opened = desk.post(action)
    assert (opened.status_code, opened["Location"]) == (302, f"/patients/{absent.pk}/")
    chart = desk.get(opened["Location"])
    assert "Looked up by Practice Nurse" in text(chart)
    assert absent.family.upper() in text(desk.get("/patients/")).upper()
    account = text(desk.get("/account/"))
    assert "look up a patient who is not in it" in account
    assert REASON in account
    Grant.objects.using(WORKER).filter(under=None).update(may_look_up=False)
    assert REASON not in text(desk.get("/account/"))
    Grant.objects.using(WORKER).filter(under=None).update(may_look_up=True)
    assert desk.get(action)["Location"] == "/look-up/"
    assert desk.post(action)["Location"] == f"/patients/{absent.pk}/"


def test_before_opening_only_what_was_typed_is_shown(desk, typed, source):
    make_person(source, "Testpatient", "Alpha Secondname", national="9434765919", gender="female")
    page = desk.post("/look-up/", typed).content.decode()
    assert "Is this the person you treat?" in page
    for held in ("Secondname", "9434765919", "emale"):
        assert held not in page


def opted_out(absent: Patient) -> None:
    OptOut.objects.using(WORKER).create(patient=absent)


def of_a_class(absent: Patient) -> None:
    Patient.objects.using(WORKER).filter(pk=absent.pk).update(classes=["hiv"])


def twice(absent: Patient) -> None:
    make_person(absent.source)


def born_another_day(absent: Patient) -> None:
    Patient.objects.using(WORKER).filter(pk=absent.pk).update(birth_date="1958-02-03")


def test_every_kind_of_nobody_is_the_same_page_by_the_same_steps(desk, typed, source, facility):
    pages, statements = set(), set()
    for change in (None, opted_out, of_a_class, twice, born_another_day):
        Patient.objects.using(WORKER).all().exclude(memberships__isnull=False).update(birth_date="1900-01-01")
        if change:
            change(make_person(source))
        with CaptureQueriesContext(
            connection,
        ) as ran:
            answer = desk.post("/look-up/", {**typed, "attempt": str(uuid.uuid4())})
        assert answer.status_code == 200
        pages.add(same(answer))
        statements.add(tuple(re.sub(r"'[^']*'|\d+", "?", one["sql"])[:60] for one in ran.captured_queries))
    assert LookUp.objects.filter(patient_id=None).count() == 5
    assert len(pages) == 1
    assert len(statements) == 1


def test_nobody_keeps_what_was_typed_and_says_what_to_do(desk, typed):
    answer = desk.post("/look-up/", typed)
    said = text(answer)
    assert "We found nobody." in said
    assert "search again" in said
    page = answer.content.decode()
    assert all(f'value="{typed[name]}"' in page for name in ("name", "born", "number", "reason"))
    assert typed["attempt"] not in page  # the next press is a search of its own
    assert desk.post("/look-up/", typed).status_code == 200
    assert LookUp.objects.count() == 1  # a reload is not


HOSTILE = {
    "nothing": (dict.fromkeys(("name", "born", "facility", "kind", "number", "reason"), ""), 6),
    "null characters": ({"name": "\x00", "number": "\x00\x00", "born": "\x00", "reason": "\x00", "kind": "\x00",
                         "facility": "\x00"}, 6),
    "ten thousand letters": ({"name": "x" * 10_000, "number": "9" * 10_000, "born": "1" * 10_000,
                              "reason": "y" * 10_000}, 4),
    "signs alone": ({"name": "%_'\";--", "number": "%"}, 2),
    "direction marks alone": ({"name": "\u202e\u2066", "number": "\u202e", "reason": "\u202e" * 20}, 3),
    "no such day": ({"born": "31 February 1958"}, 1),
    "a month": ({"born": "February 1958"}, 1),
    "two days": ({"born": "1958-02-02 1958-02-03"}, 1),
    "tomorrow's child": ({"born": "2 February 2958"}, 1),
    "the year nothing": ({"born": "0000-01-01"}, 1),
    "long ago": ({"born": "1 January 1066"}, 1),
    "a site of nobody": ({"facility": str(uuid.uuid4())}, 1),
    "no id": ({"facility": "' OR 1=1"}, 1),
    "another kind": ({"kind": "any"}, 1),
    "a short reason": ({"reason": "because"}, 1),
}  # fmt: skip


def test_what_cannot_be_searched_for_is_said_beside_its_field(desk, typed):
    for case, (change, problems) in HOSTILE.items():
        answer = desk.post("/look-up/", {**typed, **change})
        page = answer.content.decode()
        assert answer.status_code == 422, case
        listed = page[page.index("nhsuk-error-summary") : page.index("</ul>", page.index("nhsuk-error-summary"))]
        assert listed.count("<li>") == problems, case
        assert "Null characters" not in page, case
        assert "This field is required" not in page, case
    assert LookUp.objects.count() == 0
    for attempt in ("", "\x00", "x" * 10_000):
        assert desk.post("/look-up/", {**typed, "attempt": attempt}).status_code == 200


def test_hostile_text_is_shown_as_text(desk, typed, source, office):
    make_person(source, "<script>alert(1)</script>", "Alpha")
    change = {
        "name": "Alpha \u202e<script>alert(1)</script>".replace("(1)", ""),
        "reason": "<img src=x onerror=alert(1)>\u202e now",
    }
    page = desk.post("/look-up/", {**typed, **change}).content.decode()
    shown = office.get("/privacy/alerts/").content.decode()
    for html in (page, shown):
        assert "<img src=x" not in html
        assert "<script>alert" not in html
        assert "\u202e" not in html


def test_a_searched_name_may_be_of_any_script_and_order(desk, typed, source):
    make_person(source, "Шевчук", "Оксана")
    assert "Is this the person" in text(desk.post("/look-up/", {**typed, "name": "ШЕВЧУК  Оксана"}))


def test_at_the_cap_the_page_says_when_to_come_back(desk, typed, settings, guest):
    settings.LOOK_UP_TRIES_PER_DAY = 1
    desk.post("/look-up/", typed)
    answer = desk.post("/look-up/", {**typed, "attempt": str(uuid.uuid4())})
    assert answer.status_code == 429
    said = text(answer)
    assert "used up the searches of 24 hours" in said
    assert "call the site" in said
    assert AuditEvent.objects.using("auditor").filter(type="look-up-capped", outcome="refused").count() == 1


def test_without_the_right_the_page_says_whom_to_ask(guest, grant, agreement, typed, absent):
    desk = make.client_for(guest)
    for answer in (desk.get("/look-up/"), desk.post("/look-up/", typed), desk.post(f"/look-up/{uuid.uuid4()}/")):
        assert answer.status_code == 403
        assert "ask your sponsor" in text(answer)
    assert LookUp.objects.count() == 0
    for path in ("/patients/", f"/patients/{absent.pk}/"):
        assert "/look-up/" not in desk.get(path).content.decode()


def test_with_the_right_there_are_ways_to_it(desk, absent):
    nobody = desk.post("/patients/", {"find": "Nobodyhere"})
    for answer in (desk.get("/patients/"), nobody, desk.get(f"/patients/{absent.pk}/")):
        assert answer.content.decode().count('href="/look-up/"') >= 2


def test_what_somebody_else_found_is_not_there(desk, typed, absent, outsider, caseload):
    action = re.search(r'action="(/look-up/[0-9a-f-]{36}/)"', desk.post("/look-up/", typed).content.decode())[1]
    make.make_grant(outsider, caseload, may_look_up=True)
    other = make.client_for(outsider)
    theirs, none = other.post(action), other.post(f"/look-up/{uuid.uuid4()}/")
    assert theirs.status_code == none.status_code == 404
    assert not Grant.objects.filter(under__isnull=False).exists()


def test_what_was_found_too_long_ago_leads_back_to_the_form(desk, typed, absent, monkeypatch):
    action = re.search(r'action="(/look-up/[0-9a-f-]{36}/)"', desk.post("/look-up/", typed).content.decode())[1]
    LookUp.objects.update(asked_at=make.days(-1))
    back = desk.post(action, follow=True)
    assert back.redirect_chain == [("/look-up/", 302)]
    assert "That was too long ago" in text(back)


def test_a_privacy_officer_reads_and_closes_each_alert(desk, office, typed, absent, guest):
    action = re.search(r'action="(/look-up/[0-9a-f-]{36}/)"', desk.post("/look-up/", typed).content.decode())[1]
    desk.post(action)
    desk.post("/look-up/", {**typed, "number": "1", "attempt": str(uuid.uuid4())})
    page = office.get("/privacy/alerts/")
    said = text(page)
    for shown in ("To look at (2)", "Practice Nurse", "Partner B", REASON, "Opened", "Found nobody", str(absent.pk)):
        assert shown in said
    for name in ("Testpatient", "1958", "9000001"):
        assert name not in said
    alert = f"/privacy/alerts/{LookUp.objects.get(patient_id=absent.pk).pk}/"
    assert "can be read until" in text(office.get(alert))
    assert office.post(alert, {"note": ""}).status_code == 422
    assert office.post(alert, {"note": "In clinic that day"}, follow=True).redirect_chain == [("/privacy/alerts/", 302)]
    assert office.get(alert).status_code == 404
    said = text(office.get("/privacy/alerts/"))
    assert "To look at (1)" in said
    assert "In clinic that day" in said
    for path in ("/privacy/alerts/", alert):
        assert desk.get(path).status_code in (403, 404)
        assert desk.post(path, {"note": "mine"}).status_code in (403, 405)


def test_the_pages_ask_the_database_little(desk, office, typed, absent):
    for browser, path, data in (
        (desk, "/look-up/", None), (desk, "/look-up/", typed), (office, "/privacy/alerts/", None),
    ):  # fmt: skip
        with CaptureQueriesContext(connection) as ran:
            (browser.post(path, data) if data else browser.get(path))
        assert len([one for one in ran.captured_queries if not one["sql"].startswith(("BEGIN", "COMMIT"))]) <= 12, [
            one["sql"] for one in ran.captured_queries
        ]


def test_nothing_that_was_typed_reaches_the_log_when_the_database_quotes_it(desk, typed, caplog, capfd, monkeypatch):
    def breaks(what: lookup.Asked, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::int", [" ".join((*what.names, what.number))])

    monkeypatch.setattr(lookup, "match", breaks)
    answer = desk.post("/look-up/", typed)
    assert answer.status_code == 503
    logged = "\n".join([*(str(record.msg) for record in caplog.records), *capfd.readouterr()])
    assert "DataError" in logged
    for word in ("estpatient", "1958", "9000001", REASON):
        assert word not in logged + answer.content.decode()
    assert LookUp.objects.count() == 0


def test_a_reviewer_sees_what_was_read_and_closes_it_but_not_their_own(desk, typed, absent, guest):
    action = re.search(r'action="(/look-up/[0-9a-f-]{36}/)"', desk.post("/look-up/", typed).content.decode())[1]
    desk.post(action, follow=True)
    desk.get(f"/patients/{absent.pk}/results/")
    reviewer = make.make_user("Clinical Reviewer", staff_roles=["reviewer"], roles_checked_at=make.days(0))
    office = make.client_for(reviewer)
    said = text(office.get("/reviews/"))
    assert "Looked up (1)" in said
    assert REASON in said
    found = LookUp.objects.get(patient_id=absent.pk)
    alert = f"/privacy/alerts/{found.pk}/"
    said = text(office.get(alert))
    for shown in ("What was opened", "Record opened", "summary", "results"):
        assert shown in said, shown
    read = AuditEvent.objects.using("auditor").filter(type="audit-read", object_id=str(found.pk)).get()
    assert (read.user_id, read.detail) == (reviewer.pk, {"shown": 2})
    LookUp.objects.filter(pk=found.pk).update(by=reviewer)
    assert office.get(alert).status_code == office.post(alert, {"note": "Mine"}).status_code == 403
    LookUp.objects.filter(pk=found.pk).update(by=guest)
    assert office.post(alert, {"note": "In clinic"}, follow=True).redirect_chain == [("/reviews/", 302)]
    assert "Looked up (0)" in text(office.get("/reviews/"))
