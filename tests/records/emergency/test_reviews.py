"""The review of an emergency access, and what all its pages cost."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clinicportal.models import (
    Session,
)
from clinicportal.rules import Denied, IllegalTransition
from records import reviews
from records.models import (
    EmergencyAccess,
    ReviewReading,
    Suspension,
)
from tests import factories as make
from tests.records.emergency.acts import Status, events, sees
from tests.records.test_lookup_pages import text
from tests.records.test_record_pages import document
from tests.records.test_wall import save

# ---------------------------------------------------------------- review


def test_the_queue_says_nothing_waits(office):
    assert "Nothing is waiting." in text(office.get("/reviews/"))
    assert office.get("/")["Location"] == "/reviews/"


def test_the_page_says_how_long_the_record_can_be_read(office, guest, hidden, monkeypatch):
    begun = make.make_emergency(guest, hidden)
    monkeypatch.setattr(reviews, "READS_FOR", timedelta(minutes=45))
    assert "You can read for 45 minutes what" in text(office.get(f"/reviews/{begun.pk}/"))


def test_a_reviewer_reads_what_was_opened_and_judges(office, desk, guest, hidden, reviewer):
    begun = make.make_emergency(guest, hidden)
    desk.get(f"/patients/{hidden.pk}/problems/")
    desk.get(f"/patients/{hidden.pk}/problems/")
    desk.get(f"/patients/{hidden.pk}/documents/")
    queue = text(office.get("/reviews/"))
    assert "Practice Nurse" in queue
    assert begun.reason in queue
    page = text(office.get(f"/reviews/{begun.pk}/"))
    assert "A fresh, stronger sign-in" in page
    assert re.search(r"problems .{30,45}? 2 25-", page), page
    assert "documents" in page
    [read] = events("audit-read")
    assert (read.user_id, read.object_id) == (reviewer.pk, str(begun.pk))

    assert office.get(f"/patients/{hidden.pk}/").status_code == 404
    opened = office.post(f"/reviews/{begun.pk}/open/")
    assert opened["Location"] == f"/patients/{hidden.pk}/"
    chart = text(office.get(f"/patients/{hidden.pk}/problems/"))
    assert "Known only in an emergency" in chart
    assert "A psychotherapy note" not in chart
    assert "You read this for a review" in chart
    mine = events("record-opened")[-1]
    assert (mine.user_id, mine.basis) == (reviewer.pk, "Review of an emergency access")
    assert office.get(f"/patients/{hidden.pk}/print/").status_code == 403
    assert office.post(f"/patients/{hidden.pk}/take/").status_code == 403
    assert "End it now" not in text(office.get("/patients/"))
    assert office.post(f"/reviews/{begun.pk}/open/").status_code == 302
    assert ReviewReading.objects.count() == 1

    done = office.post(f"/reviews/{begun.pk}/", {"outcome": "justified", "note": "Ambulance report matches."})
    assert done["Location"] == "/reviews/"
    begun.refresh_from_db()
    assert (begun.status, begun.reviewed_by, begun.note) == ("justified", reviewer, "Ambulance report matches.")
    assert office.get(f"/patients/{hidden.pk}/").status_code == 404, "the record closes with the review"
    assert "Ambulance report matches." in text(office.get("/reviews/"))
    assert desk.get(f"/patients/{hidden.pk}/").status_code == 200, "its hour goes on"
    assert [event.detail["outcome"] for event in events("emergency-reviewed")] == ["justified"]


def test_what_a_second_one_opened_is_not_told_with_the_first(desk, guest, hidden):
    first = make.make_emergency(guest, hidden)
    desk.get(f"/patients/{hidden.pk}/problems/")
    desk.post(f"/emergency-access/{first.pk}/end/")
    second = make.make_emergency(guest, hidden)
    desk.get(f"/patients/{hidden.pk}/documents/")
    assert [seen.section for seen in reviews.opened_by(first) if seen.section] == ["problems"]
    assert [seen.section for seen in reviews.opened_by(second) if seen.section] == ["documents"]


def test_what_was_taken_away_and_reported_in_an_emergency_is_told_in_its_review(desk, guest, hidden):
    emergency = make.make_emergency(guest, hidden)
    held = document(hidden, ("application/pdf", b"%PDF-1.7"))
    address = f"/patients/{hidden.pk}/"
    assert desk.get(f"{address}documents/{held.pk}/file/0/?take=1").status_code == 200
    assert desk.post(f"{address}report/", {"kind": "other", "text": "This is not hers"}).status_code == 302
    told = {(seen.what, seen.section) for seen in reviews.opened_by(emergency)}
    assert {("Record taken", "documents"), ("Record reported", "summary")} <= told
    [taken] = events("record-taken")
    assert (taken.object_type, taken.object_id) == ("records.emergencyaccess", str(emergency.pk))
    assert taken.detail == {"object": str(held.pk)}


def test_not_justified_ends_it_and_pauses_the_guest_where_asked(office, desk, guest, hidden):
    begun = make.make_emergency(guest, hidden)
    assert desk.get(f"/patients/{hidden.pk}/").status_code == 200
    wrong = office.post(f"/reviews/{begun.pk}/", {"outcome": "justified", "note": "x", "pause": "on"})
    assert wrong.status_code == 422
    office.post(f"/reviews/{begun.pk}/", {"outcome": "not-justified", "note": "A neighbour.", "pause": "on"})
    begun.refresh_from_db()
    assert begun.status == "not-justified"
    assert begun.ended_at is not None
    assert not Session.objects.filter(user=guest).exists()
    assert not sees(guest, hidden)
    assert guest.suspensions.open().count() == 1
    assert len(events("access-paused")) == 1
    alerts = make.client_for(make.make_user("Privacy", staff_roles=["privacy"], roles_checked_at=make.days(0)))
    assert "A neighbour." in text(alerts.get("/privacy/alerts/"))
    assert alerts.post(f"/reviews/{begun.pk}/lift/").status_code == 403
    other = Suspension.objects.create(user=guest, reason=Suspension.Reason.SECURITY, note="another matter")
    assert "Let them go on" in text(office.get(f"/reviews/{begun.pk}/"))
    office.post(f"/reviews/{begun.pk}/lift/")
    assert list(guest.suspensions.open()) == [other]
    assert "Let them go on" not in text(office.get(f"/reviews/{begun.pk}/"))
    assert len(events("access-resumed")) == 1


def test_a_question_goes_to_the_guest_and_its_answer_back(office, desk, guest, hidden):
    begun = make.make_emergency(guest, hidden)
    office.post(f"/reviews/{begun.pk}/", {"outcome": "ask", "note": "Who called you?"})
    home = desk.get("/")
    assert f'href="/emergency-access/{begun.pk}/"' in home.content.decode()
    assert "Who called you?" in text(desk.get(f"/emergency-access/{begun.pk}/"))
    assert desk.post(f"/emergency-access/{begun.pk}/", {"answer": ""}).status_code == 422
    desk.post(f"/emergency-access/{begun.pk}/", {"answer": "The ambulance did."})
    assert "/emergency-access/" not in desk.get("/").content.decode()
    assert "The ambulance did." in text(office.get(f"/reviews/{begun.pk}/"))
    assert len(EmergencyAccess.objects.unreviewed()) == 1
    office.post(f"/reviews/{begun.pk}/", {"outcome": "justified", "note": "Clear."})
    assert [event.type for event in events("emergency-questioned", "emergency-explained", "emergency-reviewed")] == [
        "emergency-questioned", "emergency-explained", "emergency-reviewed",
    ]  # fmt: skip


def test_nobody_reviews_their_own(reviewer, hidden, organisation, facility):
    own = make.make_emergency(make.signed_in(reviewer, organisation), hidden)
    office = make.client_for(make.signed_in(reviewer, None))
    assert "Your own: a colleague reviews it" in text(office.get("/reviews/"))
    assert office.get(f"/reviews/{own.pk}/").status_code == 403
    assert office.post(f"/reviews/{own.pk}/", {"outcome": "justified", "note": "Fine."}).status_code == 403
    assert office.post(f"/reviews/{own.pk}/open/").status_code == 403
    with pytest.raises(Denied):
        reviews.judge(own, by=reviewer, justified=True, note="Fine.")
    with pytest.raises(IntegrityError):
        save(own, status="justified", reviewed_by=reviewer, reviewed_at=timezone.now())


@pytest.mark.parametrize("role", ["approver", "privacy", "operator"])
def test_other_staff_do_not_review(role, guest, hidden):
    begun = make.make_emergency(guest, hidden)
    other = make.client_for(make.make_user("Staff", staff_roles=[role], roles_checked_at=make.days(0)))
    for answer in (
        other.get("/reviews/"),
        other.get(f"/reviews/{begun.pk}/"),
        other.post(f"/reviews/{begun.pk}/open/"),
        other.post(f"/reviews/{begun.pk}/", {"outcome": "justified", "note": "Fine."}),
    ):
        assert answer.status_code == 403
    assert EmergencyAccess.objects.get(pk=begun.pk).status == Status.OPENED


def test_guests_and_what_has_not_begun_have_no_review(desk, office, guest, hidden):
    begun = make.make_emergency(guest, hidden)
    asked = make.make_emergency(guest, hidden, status=Status.ASKED, started_at=None, ends_at=None, facilities=[])
    assert desk.get("/reviews/").status_code == 403
    assert desk.post(f"/reviews/{begun.pk}/", {"outcome": "justified", "note": "Fine."}).status_code == 403
    assert office.get(f"/reviews/{asked.pk}/").status_code == 404


def test_two_reviewers_at_once_make_one_judgement(reviewer, guest, hidden):
    begun = make.make_emergency(guest, hidden)
    again = EmergencyAccess.objects.get(pk=begun.pk)
    reviews.judge(begun, by=reviewer, justified=True, note="Fine.")
    with pytest.raises(IllegalTransition):
        reviews.judge(again, by=make.make_user("Two", staff_roles=["reviewer"]), justified=False, note="No.")
    assert EmergencyAccess.objects.get(pk=begun.pk).status == "justified"
    with pytest.raises(Denied):
        reviews.open_for_review(EmergencyAccess.objects.get(pk=begun.pk), by=reviewer)


def test_a_reviewer_accepts_the_terms_before_they_read(guest, hidden):
    new = make.make_user("New Reviewer", accepts_terms=False, staff_roles=["reviewer"], roles_checked_at=make.days(0))
    begun = make.make_emergency(guest, hidden)
    assert make.client_for(new).post(f"/reviews/{begun.pk}/open/")["Location"] == "/terms/"
    assert not ReviewReading.objects.exists()


def test_these_pages_take_at_most_twelve_statements(desk, office, guest, hidden):
    begun = make.make_emergency(guest, hidden)
    for _ in range(2):
        make.make_emergency(guest, uuid.uuid4())
    office.post(f"/reviews/{begun.pk}/open/")
    for client, path in (
        (desk, f"/patients/{hidden.pk}/"),
        (desk, f"/patients/{hidden.pk}/problems/"),
        (desk, "/patients/"),
        (desk, f"/emergency-access/{begun.pk}/"),
        (office, "/reviews/"),
        (office, f"/reviews/{begun.pk}/"),
        (office, f"/patients/{hidden.pk}/"),
    ):
        with CaptureQueriesContext(connection) as seen:
            assert client.get(path).status_code == 200
        kept = [one["sql"] for one in seen if not one["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))]
        assert len(kept) <= 12, "\n".join([path, *(one[:300] for one in kept)])
