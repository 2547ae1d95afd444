"""What the operator has to look at: noted once for one cause, told by mail once, closed by a person."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core import mail
from django.db import connection
from django.urls import reverse

from clinicportal import audit
from clinicportal.models import StaffRole
from clinicportal.rules import Denied
from partners import incidents
from partners.models import Incident
from tests.factories import client_for
from tests.partners.conftest import make_approver
from tests.partners.test_pages import text

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
