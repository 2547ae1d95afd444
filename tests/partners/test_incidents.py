"""What the operator has to look at: noted once for one cause, told by mail once, closed by a person."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.urls import reverse

from clinicportal import audit
from clinicportal.models import StaffRole
from clinicportal.rules import Denied
from partners import incidents, lateness, tasks
from partners.models import Incident
from records import feeds
from records.models import FeedStop, Source
from tests.factories import WORKER, client_for, days
from tests.partners.conftest import make_approver
from tests.partners.pages import text

OPERATIONS = "operator@hospital.example"


@pytest.fixture
def operator(db):
    return make_approver("Portal Operator", email=OPERATIONS, staff_roles=[StaffRole.OPERATOR])


def test_one_cause_is_one_row_however_often_and_however_parallel(db):
    def many(_: int) -> None:
        for _ in range(5):
            incidents.report("unknown_refusal", detail="POST /invitations 418", request_id="abc")
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(many, range(4)))
    incidents.report("unknown_refusal", detail="GET /users 418")
    assert sorted(Incident.objects.values_list("detail", "times")) == [
        ("GET /users 418", 1),
        ("POST /invitations 418", 20),
    ]


def test_the_operator_gets_one_mail_for_one_cause(db):
    for _ in range(3):
        incidents.report("not_permitted", detail="POST /invitations 403 Forbidden", request_id="abc")
    assert (incidents.alert(), incidents.alert()) == (1, 0)
    [message] = mail.outbox
    assert message.to == [OPERATIONS]
    assert "permission" in message.body
    assert "not_permitted" not in message.subject
    assert message.subject.removeprefix("To look at: ") in message.body
    assert "/incidents/" in message.body


def test_a_mail_that_cannot_leave_is_tried_again(db, settings):
    incidents.report("not_permitted")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert incidents.alert() == 0
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert incidents.alert() == 1


def test_closing_keeps_what_was_done_and_a_new_case_is_a_new_row(operator):
    incidents.report("cross_tenant")
    browser = client_for(operator)
    page = browser.get(reverse("partners:incidents"))
    assert "Cross-tenant access settings block this organisation" in text(page)
    closing = reverse("partners:close-incident", args=[Incident.objects.get().pk])
    assert browser.post(closing, {"note": ""}).status_code == 200
    assert Incident.objects.open().exists()
    assert browser.post(closing, {"note": "Allowed their tenant"}).status_code == 302
    assert not incidents.is_open("cross_tenant")
    [event] = audit.trail().filter(type=audit.Type.INCIDENT_CLOSED)
    assert (event.reason, event.user_id) == ("Allowed their tenant", operator.pk)
    assert "Allowed their tenant" in text(browser.get(reverse("partners:incidents")))
    incidents.report("cross_tenant")
    assert Incident.objects.count() == 2


def test_one_that_was_closed_meanwhile_is_no_dead_end(operator):
    incidents.report("cross_tenant")
    closing = reverse("partners:close-incident", args=[Incident.objects.get().pk])
    browser = client_for(operator)
    browser.post(closing, {"note": "Allowed their tenant"})
    answer = browser.post(closing, {"note": "Once more"}, follow=True)
    assert "This changed while you were looking at it" in text(answer)
    assert Incident.objects.get().note == "Allowed their tenant"


def test_only_operators_see_and_close_them(approver, outsider):
    incidents.report("cross_tenant")
    incident = Incident.objects.get()
    for person in (approver, outsider):
        for name, args in (("incidents", []), ("close-incident", [incident.pk])):
            assert client_for(person).get(reverse(f"partners:{name}", args=args)).status_code == 404
    with pytest.raises(Denied):
        incidents.close(incident, by=approver, note="x")
    assert incidents.is_open("cross_tenant")


def test_without_its_audit_event_nothing_is_closed(operator, monkeypatch):
    incidents.report("cross_tenant")
    monkeypatch.setattr(audit, "record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        incidents.close(Incident.objects.get(), by=operator, note="x")
    assert incidents.is_open("cross_tenant")


def test_an_empty_list_says_what_will_appear(operator):
    assert "Nothing to look at." in text(client_for(operator).get(reverse("partners:incidents")))


# ---------------------------------------------------------------- feeds that are late


@pytest.fixture
def expected(source):
    Source.objects.using(WORKER).filter(pk=source.pk).update(expected_within=timedelta(hours=2), imported_up_to=days(0))
    return source


def brought(source, when: float) -> None:
    Source.objects.using(WORKER).filter(pk=source.pk).update(imported_up_to=days(when))


def test_a_late_feed_is_told_once_and_closed_when_it_is_back(expected, operator):
    tasks.sweep()
    assert not Incident.objects.exists()
    brought(expected, -1)
    for _ in range(3):
        tasks.sweep()
    [message] = mail.outbox
    assert "main (Main site)" in message.body
    assert "/incidents/" in message.body
    assert "main (Main site)" in text(client_for(operator).get(reverse("partners:incidents")))
    brought(expected, 0)
    tasks.sweep()
    closed = Incident.objects.get()
    assert (closed.closed_by, closed.note) == (None, "It is back.")
    assert "It is back." in text(client_for(operator).get(reverse("partners:incidents")))
    brought(expected, -1)
    tasks.sweep()
    assert len(mail.outbox) == 2, "late anew is a new cause"


def test_an_operator_who_closed_it_is_not_told_again_until_it_was_back(expected, operator):
    brought(expected, -1)
    lateness.notice()
    incidents.close(Incident.objects.get(), by=operator, note="Called them")
    lateness.notice()
    assert not Incident.objects.open().exists()
    brought(expected, 0)
    lateness.notice()
    Source.objects.using(WORKER).filter(pk=expected.pk).update(expected_within=timedelta(microseconds=1))
    lateness.notice()
    assert Incident.objects.open().count() == 1


def test_nobody_waits_for_a_feed_that_is_stopped_or_not_expected(expected, operator):
    brought(expected, -1)
    Source.objects.using(WORKER).update(expected_within=None)
    lateness.notice()
    Source.objects.using(WORKER).update(expected_within=timedelta(hours=2))
    feeds.stop(expected, hidden_since=days(-1), reason="wrong", by=operator)
    lateness.notice()
    assert not Incident.objects.exists()
    FeedStop.objects.using(WORKER).update(resume_asked_by=operator, resumed_by=make_approver(), resumed_at=days(0))
    lateness.notice()
    assert Incident.objects.open().exists(), "the stop was all that kept it quiet"


def test_a_feed_that_never_brought_anything_is_late(expected):
    Source.objects.using(WORKER).update(imported_up_to=None)
    lateness.notice()
    assert Incident.objects.get().code == "feed_late"
