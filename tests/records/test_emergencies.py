"""Emergency access from the search to the review: the verbs, the races, the pages, and what the trail keeps of them."""

from __future__ import annotations

import re
import uuid
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import (
    AuditEvent,
    AuditSubject,
    Session,
    User,
)
from clinicportal.proofs import Unproved
from clinicportal.rules import Denied, IllegalTransition
from clinicportal.viewing import viewing
from records import emergencies, reviews
from records.models import (
    Agreement,
    EmergencyAccess,
    FeedStop,
    Grant,
    OptOut,
    Patient,
    ReviewReading,
    Suspension,
)
from tests import factories as make
from tests.records.people import make_person, typed
from tests.records.test_lookup_pages import text
from tests.records.test_wall import save

WORKER = "worker"
REASON = "Unconscious after a fall, medicines not known"
Status = EmergencyAccess.Status


@pytest.fixture
def right(grant: Grant, agreement: Agreement) -> Grant:
    for thing in (grant, agreement):
        save(thing, may_look_up=True, may_use_emergency_access=True)
    return grant


@pytest.fixture
def hidden(source) -> Patient:
    """In nobody's caseload, opted out, of a sensitive class."""
    patient = make_person(source, classes=["hiv"])
    OptOut.objects.using(WORKER).create(patient=patient)
    make.make_resource(patient, "demographics", "Patient", classes=["hiv"])
    for words, classes in (
        ("Known only in an emergency", ["hiv", "mental_health"]),
        ("A psychotherapy note", ["psychotherapy"]),
    ):
        make.make_resource(patient, "problems", classes=classes, label=words, body={"code": {"text": words}})
    return patient


@pytest.fixture
def proved(guest: User, right: Grant) -> User:
    """The guest, who confirmed a moment ago that it is them."""
    guest.proofs = {"c2": timezone.now()}
    return guest


@pytest.fixture
def reviewer(db) -> User:
    return make.make_user("Clinical Reviewer", staff_roles=["reviewer"], roles_checked_at=make.days(0))


def asks(by: User, facility, **what: Any) -> EmergencyAccess:
    asked = emergencies.ask(typed(facility, **what), by=by)
    emergencies.give_reason(asked, REASON, by=by)
    return asked


def begins(by: User, facility, **what: Any) -> EmergencyAccess:
    return emergencies.begin(asks(by, facility, **what).pk, by=by)


def events(*types: str) -> list[AuditEvent]:
    return list(audit.trail().filter(type__in=types).order_by("recorded"))


def sees(user: User, patient: Patient) -> bool:
    with viewing(user):
        return Patient.objects.visible_to(user).filter(pk=patient.pk).exists()


# ---------------------------------------------------------------- beginning


def test_it_opens_whom_a_look_up_does_not_find_for_an_hour(proved, facility, hidden):
    assert not sees(proved, hidden)
    begun = begins(proved, facility)
    assert begun.status == Status.OPENED
    assert begun.proof == EmergencyAccess.Proof.STRONGER
    assert begun.ends_at - begun.started_at == timedelta(hours=1)
    assert begun.facilities == [facility.pk]
    assert sees(proved, hidden)
    [asked, started] = events("emergency-asked", "emergency-begun")
    assert (started.user_id, started.reason, started.basis) == (proved.pk, REASON, "Emergency access")
    assert started.object_id == asked.object_id == str(begun.pk)
    assert AuditSubject.objects.using("auditor").get(event_id=started.id).patient_id == hidden.pk


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda c: save(c, classes=["psychotherapy", "hiv"]), False),
        (lambda c: save(c, classes=["unknown"]), False),
        (lambda c: save(c, classes=["restricted"]), True),
        (lambda c: make.make_agreement(make.make_organisation("Partner C"), c.source.facility), True),
        (lambda c: Agreement.objects.get().facilities.set([make.make_facility("North site")]), False),
        (
            lambda c: FeedStop.objects.using(WORKER).create(
                source=c.source, hidden_since=make.days(-1), reason="x", stopped_by=make.make_user("Operator")
            ),
            False,
        ),
    ],
    ids=["psychotherapy", "not judged", "restricted", "agreement of another", "another facility", "feed stopped"],
)
def test_whom_it_finds(proved, facility, hidden, change, found):
    change(hidden)
    assert asks(proved, facility).patient_id == (hidden.pk if found else None)


def test_several_or_the_wrong_number_find_nobody_and_that_is_told_after_the_proof(proved, facility, hidden):
    asked = asks(proved, facility, number="9000002")
    assert (asked.patient_id, asked.status) == (None, Status.ASKED)
    begun = emergencies.begin(asked.pk, by=proved)
    assert (begun.status, begun.started_at) == (Status.NOBODY, None)
    assert [event.outcome for event in events("emergency-begun")] == ["failed"]


def test_who_finds_nobody_all_day_is_stopped(proved, facility, settings):
    settings.LOOK_UP_TRIES_PER_DAY = 2
    for number in ("1", "2"):
        assert begins(proved, facility, number=number).status == Status.NOBODY
    with pytest.raises(Denied, match="too many patients"):
        begins(proved, facility, number="3")


def without_proof(c) -> None:
    c.proofs = {}


def proof_of_sign_in_only(c) -> None:
    c.proofs = {"c1": timezone.now()}


def stale_proof(c) -> None:
    c.proofs = {"c2": timezone.now() - timedelta(minutes=16)}


@pytest.mark.parametrize("change", [without_proof, proof_of_sign_in_only, stale_proof])
def test_the_verb_itself_demands_the_fresh_stronger_proof(proved, facility, hidden, change):
    asked = asks(proved, facility)
    change(proved)
    with pytest.raises(Unproved):
        emergencies.begin(asked.pk, by=proved)
    assert not sees(proved, hidden)


def test_the_weaker_way_needs_a_fresh_sign_in_and_says_so(proved, facility, hidden):
    asked = asks(proved, facility)
    proved.proofs = {}
    with pytest.raises(Unproved):
        emergencies.begin(asked.pk, by=proved, weaker=True)
    proved.proofs = {"c1": timezone.now()}
    assert emergencies.begin(asked.pk, by=proved, weaker=True).proof == EmergencyAccess.Proof.SIGN_IN
    assert events("emergency-begun")[0].detail == {"proof": "sign-in"}


def no_right_in_the_grant(right) -> None:
    save(right, may_use_emergency_access=False)


def no_right_in_the_agreement(right) -> None:
    save(Agreement.objects.get(), may_use_emergency_access=False)


@pytest.mark.parametrize("change", [no_right_in_the_grant, no_right_in_the_agreement])
def test_without_the_right_nothing_is_asked_or_begun(proved, facility, hidden, right, change):
    asked = asks(proved, facility)
    change(right)
    with pytest.raises(Denied):
        asks(proved, facility)
    with pytest.raises(Denied):
        emergencies.begin(asked.pk, by=proved)


def test_another_guest_cannot_begin_it(proved, facility, hidden, caseload, organisation):
    asked = asks(proved, facility)
    other = make.signed_in(make.make_user("Other Nurse"), organisation)
    make.make_grant(other, caseload, may_use_emergency_access=True)
    other.proofs = {"c2": timezone.now()}
    with pytest.raises(EmergencyAccess.DoesNotExist):
        emergencies.begin(asked.pk, by=other)


def test_a_search_of_long_ago_begins_nothing(proved, facility, hidden):
    asked = asks(proved, facility)
    save(asked, asked_at=timezone.now() - timedelta(minutes=16))
    with pytest.raises(Denied, match="15 minutes"):
        emergencies.begin(asked.pk, by=proved)


def test_pressed_twice_it_is_one(proved, facility, hidden):
    asked, again = asks(proved, facility), asks(proved, facility)
    begun = emergencies.begin(asked.pk, by=proved)
    assert emergencies.begin(asked.pk, by=proved) == begun
    assert emergencies.begin(again.pk, by=proved) == begun
    assert len(events("emergency-begun")) == 1


def test_a_failed_audit_write_begins_nothing(proved, facility, hidden, monkeypatch):
    asked = asks(proved, facility)
    monkeypatch.setattr(emergencies.audit, "record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        emergencies.begin(asked.pk, by=proved)
    assert EmergencyAccess.objects.get(pk=asked.pk).status == Status.ASKED


# ---------------------------------------------------------------- three unreviewed


def test_three_unreviewed_leave_no_fourth(proved, facility, hidden):
    for _ in range(3):
        make.make_emergency(proved, uuid.uuid4())
    asked = asks(proved, facility)
    with pytest.raises(Denied, match="wait for their review"):
        emergencies.begin(asked.pk, by=proved)
    last = EmergencyAccess.objects.filter(status=Status.OPENED).first()
    save(last, status=Status.JUSTIFIED, reviewed_by=make.make_user("Reviewer"), reviewed_at=timezone.now())
    assert emergencies.begin(asked.pk, by=proved).status == Status.OPENED


def test_the_database_says_so_by_itself(proved):
    for _ in range(3):
        make.make_emergency(proved, uuid.uuid4())
    with pytest.raises(IntegrityError, match="wait for review"):
        make.make_emergency(proved, uuid.uuid4())


def at_once(number: int, act) -> list[Any]:
    def run(place: int) -> Any:
        try:
            return act(place)
        except (Denied, IntegrityError) as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


def test_five_at_once_begin_three(proved, facility, source):
    asked = []
    for number in range(5):
        make_person(source, mrn=f"91{number}")
        asked.append(asks(proved, facility, number=f"91{number}"))
    found = at_once(5, lambda place: emergencies.begin(asked[place].pk, by=proved))
    assert sum(isinstance(one, EmergencyAccess) for one in found) == 3
    assert EmergencyAccess.objects.unreviewed().count() == 3


def test_the_database_lets_the_fourth_wait_for_the_third(proved):
    """Without the verb's lock: the trigger has its own, so that two at once are not both the third."""
    for _ in range(2):
        make.make_emergency(proved, uuid.uuid4())

    def fourth() -> Any:
        try:
            return make.make_emergency(proved, uuid.uuid4())
        except IntegrityError as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(using=WORKER):
            make.make_emergency(proved, uuid.uuid4())
            waiting = pool.submit(fourth)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=1)
        assert isinstance(waiting.result(timeout=10), IntegrityError)
    assert EmergencyAccess.objects.unreviewed().count() == 3


def test_what_has_begun_is_not_changed(proved, hidden):
    begun = make.make_emergency(proved, hidden)
    for change in (
        {"ends_at": begun.ends_at + timedelta(seconds=1)},
        {"patient_id": uuid.uuid4()},
        {"guest_id": make.make_user("Other").pk},
        {"reason": "Something else"},
    ):
        with pytest.raises(IntegrityError):
            EmergencyAccess.objects.filter(pk=begun.pk).update(**change)
    EmergencyAccess.objects.filter(pk=begun.pk).update(ended_at=timezone.now())
    with pytest.raises(IntegrityError):
        EmergencyAccess.objects.filter(pk=begun.pk).update(ended_at=None)
    with pytest.raises(IntegrityError):
        make.make_emergency(proved, uuid.uuid4(), ends_at=begun.started_at + timedelta(minutes=61))


# ---------------------------------------------------------------- during, and its end


@pytest.fixture
def desk(guest, right):
    return make.client_for(guest, capacities=["guest", "look_up"])


def test_each_page_goes_to_the_account_of_the_emergency(desk, guest, hidden):
    begun = make.make_emergency(guest, hidden)
    page = desk.get(f"/patients/{hidden.pk}/problems/")
    said = text(page)
    assert "Known only in an emergency" in said
    assert "A psychotherapy note" not in said
    assert begun.reason in said
    assert "End it now" in said
    [event] = events("record-opened")
    assert (event.section, event.basis, event.reason) == ("problems", "Emergency access", begun.reason)
    assert (event.object_type, event.object_id) == ("records.emergencyaccess", str(begun.pk))
    subject = AuditSubject.objects.using("auditor").get(event_id=event.id)
    assert (subject.patient_id, subject.grant_id, subject.basis) == (hidden.pk, None, "Emergency access")


def test_my_patients_shows_it_on_top_and_the_button_ends_it(desk, guest, hidden):
    begun = make.make_emergency(guest, hidden)
    said = text(desk.get("/patients/"))
    assert "Emergency access until" in said
    assert desk.get(f"/patients/{hidden.pk}/").status_code == 200
    ended = desk.post(f"/emergency-access/{begun.pk}/end/")
    assert (ended.status_code, ended["Location"]) == (302, "/patients/")
    said = text(desk.get("/patients/"))
    assert "The emergency access has ended" in said
    assert "Emergency access until" not in said
    assert desk.get(f"/patients/{hidden.pk}/").status_code == 404
    assert len(events("emergency-ended")) == 1
    desk.post(f"/emergency-access/{begun.pk}/end/")
    assert len(events("emergency-ended")) == 1, "once"


def test_nobody_ends_or_reads_anothers(desk, outsider, hidden):
    begun = make.make_emergency(outsider, hidden)
    assert desk.get(f"/emergency-access/{begun.pk}/").status_code == 404
    assert desk.post(f"/emergency-access/{begun.pk}/end/").status_code == 404
    assert EmergencyAccess.objects.get(pk=begun.pk).ended_at is None


def test_taking_away_needs_the_right_of_the_agreement(desk, guest, hidden):
    make.make_emergency(guest, hidden)
    assert desk.get(f"/patients/{hidden.pk}/print/").status_code == 200
    refused = desk.post(f"/patients/{hidden.pk}/take/")
    assert refused.status_code == 403
    assert "does not include taking records away" in text(refused)


# ---------------------------------------------------------------- the pages before it


@pytest.fixture
def form(facility) -> dict[str, Any]:
    return {
        "name": "Alpha Testpatient", "born": "2 February 1958", "facility": str(facility.pk), "kind": "record",
        "number": "900 0001", "reason": "Came to our walk-in clinic today", "attempt": str(uuid.uuid4()),
    }  # fmt: skip


def hidden_fields(page: Any) -> dict[str, str]:
    """Of the form that leads to emergency access."""
    form = r'<form method="post" action="/emergency-access/">(.*?)</form>'
    [found] = re.findall(form, page.content.decode(), re.DOTALL)
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', found))


def test_the_button_stands_on_both_answers_and_leads_to_one_page(desk, form, hidden, source):
    make_person(source, mrn="9000009")
    pages = []
    for number in ("900 0001", "1234567", "900 0009"):
        answer = desk.post("/look-up/", {**form, "number": number, "attempt": str(uuid.uuid4())})
        led = desk.post("/emergency-access/", hidden_fields(answer))
        assert led.status_code == 302
        assert re.fullmatch(r"/emergency-access/[0-9a-f-]{36}/", led["Location"])
        page = desk.get(led["Location"]).content.decode()
        pages.append(re.sub(r'(value|nonce|content|datetime)="[^"]*"|\d\d:\d\d', "", page))
    assert "<h1>Emergency access</h1>" in pages[0]
    assert pages[0] == pages[1] == pages[2], "found, withheld and nobody look the same"
    kept = list(EmergencyAccess.objects.order_by("asked_at").values_list("patient_id", flat=True))
    assert kept[0] == hidden.pk
    assert kept[1] is None
    assert kept[2] is not None


def test_without_the_right_there_is_no_button_and_no_page(desk, form, right, hidden):
    save(right, may_use_emergency_access=False)
    answer = desk.post("/look-up/", form)
    assert "/emergency-access/" not in answer.content.decode()
    assert desk.post("/emergency-access/", form).status_code == 403
    assert not EmergencyAccess.objects.exists()


def test_who_has_used_up_the_searches_of_a_day_is_let_through(desk, form, hidden, settings):
    settings.LOOK_UP_TRIES_PER_DAY = 1
    desk.post("/look-up/", form)
    full = desk.post("/look-up/", {**form, "attempt": str(uuid.uuid4())})
    assert full.status_code == 429
    assert desk.post("/emergency-access/", hidden_fields(full)).status_code == 302


@pytest.mark.parametrize("reason", ["", "help", "asdf asdf asdf asdf asdf", "aaaaaaaaaaaaaaaaaaaaaaaaaaa"])
def test_the_reason_has_to_say_something(desk, guest, hidden, reason):
    asked = make.make_emergency(
        guest, hidden, status=Status.ASKED, started_at=None, ends_at=None, proof="", reason="", facilities=[]
    )
    page = desk.post(f"/emergency-access/{asked.pk}/", {"reason": reason})
    assert page.status_code == 422
    assert "what the emergency is" in text(page)


def test_a_search_that_is_not_filled_in_goes_back(desk, form):
    answer = desk.post("/emergency-access/", {**form, "number": ""})
    assert (answer.status_code, answer["Location"]) == (302, "/look-up/")


# ---------------------------------------------------------------- review


@pytest.fixture
def office(reviewer):
    return make.client_for(reviewer)


def test_the_queue_says_nothing_waits(office):
    assert "Nothing is waiting." in text(office.get("/reviews/"))
    assert office.get("/")["Location"] == "/reviews/"


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
