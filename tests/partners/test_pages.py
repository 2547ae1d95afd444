"""The pages: who gets them, what they say, and that they keep what was typed."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from clinicportal import audit
from clinicportal.models import StaffRole
from partners import dates, decisions, entra, invitations, provisioning, queue, working_hours
from partners.models import AccessRequest, Gate, Invitation, ProvisioningJob, Sponsor, Step
from records.models import Grant, Section
from tests import factories as make
from tests.factories import client_for
from tests.partners.conftest import as_worker, make_approver, make_partner, make_sponsor
from tests.partners.test_verbs import digest

NURSE = "nurse@northfield.example"


def text(answer: Any) -> str:
    """What a person reads on the page."""
    html = re.sub(r"<(script|style|head)\b.*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def heading(answer: Any) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", answer.content.decode(), re.DOTALL)
    return unescape(found.group(1)).strip() if found else ""


@pytest.fixture
def desk(sponsor) -> Client:
    """The sponsor's browser."""
    return client_for(sponsor, capacities=["sponsor"])


@pytest.fixture
def office(approver) -> Client:
    """The approver's browser."""
    return client_for(approver)


@pytest.fixture
def typed(caseload) -> dict[str, Any]:
    return {
        "email": "Nurse@Northfield.example",
        "first_name": "Practice",
        "last_name": "Nurse",
        "caseloads": [str(caseload.pk)],
        "see": "usual",
        "until": dates.words_for(dates.months_after(dates.today(), 6)),
        "why": "New in the heart failure team",
        "statement": "on",
    }


@pytest.fixture
def sent(job, directory) -> Invitation:
    with as_worker():
        provisioning.advance(job.pk, directory)
    return Invitation.objects.get(request=job.request_id)


# ---------------------------------------------------------------- who gets what

SPONSOR_PAGES = ["people", "add", "requests", ("request", "R"), ("withdraw", "R"), ("answer", "R")]
STAFF_PAGES = ["approvals", ("decision", "R"), ("question", "R"), ("decline", "R"), ("end", "R"), "organisations",
               ("organisation", "O")]  # fmt: skip
POSTS = [("send-again", "R"), ("approve", "R"), ("resume", "R"), ("withdraw", "R"), ("answer", "R"), ("decline", "R"),
         ("question", "R"), ("end", "R")]  # fmt: skip


def path(page: Any, request: AccessRequest) -> str:
    if isinstance(page, str):
        return reverse(f"partners:{page}")
    name, which = page
    return reverse(f"partners:{name}", args=[request.pk if which == "R" else request.organisation_id])


@pytest.mark.parametrize("page", SPONSOR_PAGES + STAFF_PAGES)
def test_an_outsider_gets_404_on_each_page_and_it_is_written_down(asked, outsider, page):
    answer = client_for(outsider).get(path(page, asked))
    assert answer.status_code == 404
    assert audit.trail().filter(type=audit.Type.REFUSED, user_id=outsider.pk).exists()


@pytest.mark.parametrize("page", POSTS)
def test_an_outsider_changes_nothing(approved, outsider, page):
    before = {k: v for k, v in digest().items() if k != "clinicportal_auditevent"}
    client = client_for(outsider)
    before["clinicportal_session"] = digest()["clinicportal_session"]
    assert client.post(path(page, approved), {"reason": "other", "question": "?", "answer": "!"}).status_code == 404
    after = {k: v for k, v in digest().items() if k != "clinicportal_auditevent"}
    assert after == before


@pytest.mark.parametrize("page", SPONSOR_PAGES + STAFF_PAGES)
def test_nobody_gets_a_page_without_a_sign_in(asked, page):
    answer = Client(headers={"host": "portal.localhost"}).get(path(page, asked))
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, reverse("sign-in"))


@pytest.mark.parametrize("page", SPONSOR_PAGES)
def test_a_sponsor_of_another_organisation_gets_404_for_this_ones_requests(asked, facility, page):
    other = make_partner(make.make_organisation("Partner C"), domain="riverside.example")
    make.make_agreement(other.organisation, facility)
    answer = client_for(make_sponsor(other, "Riverside Sponsor")).get(path(page, asked))
    assert answer.status_code == (404 if isinstance(page, tuple) else 200)
    assert NURSE not in answer.content.decode()


@pytest.mark.parametrize("page", STAFF_PAGES)
def test_a_sponsor_gets_no_page_of_ours(asked, desk, page):
    assert desk.get(path(page, asked)).status_code == 404


@pytest.mark.parametrize("page", SPONSOR_PAGES)
def test_staff_get_no_page_of_a_sponsor(asked, office, page):
    assert office.get(path(page, asked)).status_code == 404


@pytest.mark.parametrize(("role", "queue", "register"), [
    (StaffRole.APPROVER, 200, 200), (StaffRole.OPERATOR, 404, 200), (StaffRole.PRIVACY, 404, 404),
    (StaffRole.REVIEWER, 404, 404),
])  # fmt: skip
def test_which_staff_get_which_page(asked, role, queue, register):
    client = client_for(make_approver(email="x@hospital.example", staff_roles=[role]))
    assert client.get(reverse("partners:approvals")).status_code == queue
    assert client.get(reverse("partners:organisations")).status_code == register
    answer = client.get(reverse("partners:organisation", args=[asked.organisation_id]))
    assert answer.status_code == register
    assert (reverse("partners:decision", args=[asked.pk]) in answer.content.decode()) is (role == StaffRole.APPROVER)


def test_absent_and_forbidden_look_the_same(asked, outsider):
    client = client_for(outsider)
    pages = [client.get(reverse("partners:request", args=[pk])) for pk in (asked.pk, 999999, 10**17)]
    assert [page.status_code for page in pages] == [404, 404, 404]
    # Tokens are masked anew for each page, the session has less time left, and the reference is the page's own.
    own = rb'"[A-Za-z0-9]{64}"|expires-in" content="\d+"|reference: [0-9a-f]{8}'
    bodies = [re.sub(own, b"", page.content) for page in pages]
    assert bodies[0] == bodies[1] == bodies[2]


# ---------------------------------------------------------------- adding a colleague


def test_a_colleague_is_asked_for_by_one_form(desk, typed):
    answer = desk.post(reverse("partners:add"), typed, follow=True)
    request = AccessRequest.objects.get()
    assert answer.redirect_chain == [(reverse("partners:request", args=[request.pk]), 302)]
    assert heading(answer) == "Access for Practice Nurse"
    assert request.address == NURSE
    assert set(request.sections) == {"demographics", "problems", "medicines", "allergies", "results"}
    assert dates.last_day(request.ends_at) == dates.months_after(dates.today(), 6)


def test_the_form_has_the_words_that_people_look_for(desk, caseload):
    page = text(desk.get(reverse("partners:add")))
    for words in (
        "Add a colleague", "Work email address", "First name", "Last name", "Which patients?", "What should they see?",
        "Until", "Why", "Ask for access", "I confirm that this person works for Partner B", "Let me choose",
        "The same, and documents", "fewer than 10 patients today",
    ):  # fmt: skip
        assert words in page, words


def test_the_only_caseload_and_the_usual_time_are_filled_in(desk, partner, caseload):
    page = desk.get(reverse("partners:add")).content.decode()
    assert re.search(rf'value="{caseload.pk}"[^>]*checked', page)
    last = dates.months_after(dates.today(), 12)
    assert dates.words_for(min(last, dates.last_day(make.days(365)))) in page or "value=" in page


REFUSED = {
    "email": [("", "Enter your colleague"), ("nurse@gmail.com", "personal addresses"), ("x", "correct format"),
              ("reception@northfield.example", "shared mailbox"), ("sponsor@northfield.example", "ask for yourself")],
    "first_name": [("", "first name"), ("x" * 101, "at most 100")],
    "last_name": [("", "last name")],
    "caseloads": [([], "Choose the patients"), (["x"], "Choose patients from the list"),
                  (["00000000-0000-4000-8000-000000000000"], "Choose patients from the list")],
    "see": [("", "Choose what"), ("everything", "Choose what"), ("choose", "Choose at least one section")],
    "until": [("", "Enter the last day"), ("31.2.2027", "This day does not exist."),
              ("1 June 2020", "This day is over"),
              ("1 June 2099", "after your agreement ends"), ("soon", "Enter a day")],
    "why": [("", "Enter why"), ("x" * 301, "at most 300")],
    "statement": [("", "Tick the box")],
}  # fmt: skip


@pytest.mark.parametrize(("field", "value", "says"), [(f, v, s) for f, pairs in REFUSED.items() for v, s in pairs])
def test_a_refusal_is_a_sentence_and_nothing_typed_is_lost(desk, typed, field, value, says):
    answer = desk.post(reverse("partners:add"), {**typed, field: value})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "There is a problem" in page
    assert "<title>Error:" in page
    assert text(answer).count(says) >= 2  # in the summary and beside the field
    assert not AccessRequest.objects.exists()
    for name in ("email", "first_name", "last_name", "until", "why"):
        if name != field:
            assert f'value="{typed[name]}"' in page, name


def test_a_plus_address_is_corrected_by_one_press(desk, typed):
    typed["email"] = "nurse+new@northfield.example"
    page = desk.post(reverse("partners:add"), typed).content.decode()
    assert 'name="use-email" value="nurse@northfield.example"' in page
    answer = desk.post(reverse("partners:add"), {**typed, "use-email": "nurse@northfield.example"})
    page = answer.content.decode()
    assert 'value="nurse@northfield.example"' in page
    assert "There is a problem" not in page
    assert 'value="New in the heart failure team"' in page
    assert not AccessRequest.objects.exists()  # a correction asks for nothing


def test_sections_can_be_chosen_one_by_one(desk, typed):
    desk.post(reverse("partners:add"), {**typed, "see": "choose", "sections": ["results", "documents"]})
    assert set(AccessRequest.objects.get().sections) == {"demographics", "results", "documents"}


def test_sections_outside_the_agreement_are_not_offered_and_not_taken(desk, typed, agreement):
    agreement.sections = [Section.DEMOGRAPHICS, Section.RESULTS]
    agreement.save(using="worker")
    page = text(desk.get(reverse("partners:add")))
    assert "documents" not in page.split("In plain words")[0]
    answer = desk.post(reverse("partners:add"), {**typed, "see": "choose", "sections": ["results", "documents"]})
    assert "Choose sections from the list" in text(answer)
    answer = desk.post(reverse("partners:add"), {**typed, "see": "documents"})
    assert "Choose what your colleague should see" in text(answer)


@pytest.mark.parametrize(("decided", "says"), [(False, "is already asked for"), (True, "already has access")])
def test_somebody_who_is_on_the_list_is_not_asked_for_again(desk, typed, asked, approver, decided, says):
    if decided:
        decisions.approve(asked, by=approver)
    assert says in text(desk.post(reverse("partners:add"), typed))
    assert AccessRequest.objects.count() == 1


def test_another_organisations_request_for_the_person_does_not_show(desk, typed, ask, facility):
    other = make_partner(make.make_organisation("Partner C"))
    make.make_agreement(other.organisation, facility)
    caseload = make.make_caseload(other.organisation, facility, name="Other")
    ask(organisation=other, by=make_sponsor(other, "Other Deputy"), caseloads=[caseload])
    answer = desk.post(reverse("partners:add"), typed, follow=True)
    assert heading(answer) == "Access for Practice Nurse"
    assert "Partner C" not in answer.content.decode()


def effect_of(client: Client, typed: dict[str, Any]) -> Any:
    return client.post(reverse("partners:add"), typed, headers={"hx-request": "true"})


def test_the_effect_follows_what_is_typed_and_asks_for_nothing(desk, typed):
    answer = effect_of(desk, typed)
    until = dates.words_for(dates.months_after(dates.today(), 6))
    assert (
        "Practice Nurse will be able to read problems, medicines, allergies and results of fewer than 10 patients in "
        f"Shared care, Main site , until {until} ."
    ) in text(answer).replace(" in Shared care, Main site,", " in Shared care, Main site ,")
    assert "<html" not in answer.content.decode()
    assert "There is a problem" not in text(answer)
    assert not AccessRequest.objects.exists()


@pytest.mark.parametrize("change", [
    {"caseloads": []}, {"caseloads": ["x"]}, {"until": "31.2.2027"}, {"until": ""}, {"see": "choose"},
    {"see": "x" * 5000},
    {"see": "choose", "sections": ["nonsense"]}, {"first_name": "<b>x</b>"},
])  # fmt: skip
def test_the_effect_takes_anything(desk, typed, change):
    answer = effect_of(desk, {**typed, **change})
    assert answer.status_code == 200
    assert "<b>" not in answer.content.decode()


@pytest.mark.parametrize(("count", "words"), [
    (0, "fewer than 10 patients"), (9, "fewer than 10 patients"), (10, "about 10 patients"),
    (118, "about 120 patients"),
    (2666, "about 2,700 patients"),
])  # fmt: skip
def test_sponsors_read_rounded_counts(count, words):
    from partners.words import rounded

    assert rounded(count) == words


def test_asking_again_starts_with_what_was_asked(desk, asked, approver):
    decisions.decline(asked, by=approver, reason="too_much")
    page = text(desk.get(reverse("partners:request", args=[asked.pk])))
    assert "We said no" in page
    assert "more than people in this job usually see" in page
    form = desk.get(reverse("partners:add") + f"?again={asked.pk}").content.decode()
    assert 'value="Nurse@Northfield.example"' in form
    assert 'value="New in the team"' in form
    for nonsense in ("x", "9" * 30, "-1", ""):
        assert desk.get(reverse("partners:add") + f"?again={nonsense}").status_code == 200


def test_nobody_is_added_while_the_organisation_is_paused(desk, partner):
    from records.models import Suspension

    Suspension.objects.create(organisation=partner.organisation, reason="organisation")
    assert "Nobody can be added now" in text(desk.get(reverse("partners:people")))
    answer = desk.get(reverse("partners:add"))
    assert answer.status_code == 403
    assert "is paused" in text(answer)


# ---------------------------------------------------------------- the sponsor's lists and the request


def test_your_people_shows_who_has_access_and_who_will(desk, ask, approver):
    ask()
    second = ask(email="doctor@northfield.example", first_name="Practice", last_name="Doctor")
    decisions.approve(second, by=approver)
    ended = ask(email="locum@northfield.example", first_name="Former", last_name="Locum")
    decisions.decline(ended, by=approver, reason="other")
    answer = desk.get(reverse("partners:people"))
    page = text(answer)
    assert heading(answer) == "Your people"
    assert "Practice Nurse" in page
    assert "Being checked" in page
    assert "Practice Doctor" in page
    assert "Former Locum" not in page
    assert "Former Locum" in text(desk.get(reverse("partners:requests")))


def test_a_sponsor_answers_the_question_where_it_is_asked(desk, asked, approver):
    decisions.ask_question(asked, by=approver, question="At North site too?")
    assert "question about Practice Nurse" in text(desk.get(reverse("partners:people")))
    page = desk.get(reverse("partners:request", args=[asked.pk]))
    assert "At North site too?" in text(page)
    answer = desk.post(reverse("partners:answer", args=[asked.pk]), {"answer": ""})
    assert "Enter your answer" in text(answer)
    desk.post(reverse("partners:answer", args=[asked.pk]), {"answer": "Yes, on Fridays"})
    asked.refresh_from_db()
    assert (asked.status, asked.answer) == ("in_review", "Yes, on Fridays")


def test_a_sponsor_withdraws_by_a_page_that_says_what_happens(desk, asked):
    url = reverse("partners:withdraw", args=[asked.pk])
    assert "Nobody has been written to" in text(desk.get(url))
    asked.refresh_from_db()
    assert asked.status == "in_review"
    answer = desk.post(url, {"reason": ""}, follow=True)
    assert "Withdrawn" in text(answer)


def test_somebody_else_was_quicker(desk, asked, approver):
    decisions.approve(asked, by=approver)
    answer = desk.post(reverse("partners:withdraw", args=[asked.pk]), {"reason": ""}, follow=True)
    assert "This changed while you were looking at it" in text(answer)


def test_the_status_shows_stages_steps_and_retries_in_words(desk, job, approved, directory):
    directory.faults["add_member"] = [entra.TryLater("not_there_yet", timezone.now() + dt.timedelta(minutes=5))]
    with as_worker():
        provisioning.advance(job.pk, directory)
    answer = desk.get(reverse("partners:request", args=[approved.pk]))
    page = text(answer)
    for words in (
        "Done: You asked", "Done: We said yes", "Now: We are setting it up: step 2 of 4", "Our turn.",
        "Looked in our directory",
            "Waiting until the directory knows the person, then adding to the access group. The directory is slow, "
            "we try again at",
        "Check all of it once more", "Write to the person. The mail goes last", "Practice Nurse signs in",
        "Access starts",
    ):  # fmt: skip
        assert words in page, words
    assert 'hx-trigger="every 2s"' in answer.content.decode()


def test_polling_gives_the_fragment_and_ends_with_the_work(desk, sent):
    url = reverse("partners:request", args=[sent.request_id])
    Step.objects.all().update()
    answer = desk.get(url, headers={"hx-request": "true"})
    assert "<html" not in answer.content.decode()
    assert "hx-trigger" not in answer.content.decode()
    assert "It was not opened yet" in text(answer)


def test_polling_is_nobody_being_there(desk, job, approved):
    """The header that our session middleware takes for "nobody is there" goes with each poll."""
    page = desk.get(reverse("partners:request", args=[approved.pk])).content.decode()
    assert """hx-headers='{"X-Background": "1", "X-Shown": "going-on"}'""" in page


def test_the_page_keeps_itself_up_to_date_from_being_checked_to_being_set_up(desk, asked, approver):
    url = reverse("partners:request", args=[asked.pk])
    page = desk.get(url).content.decode()
    assert 'hx-trigger="every 10s"' in page
    assert "Being checked" in page
    look = {"hx-request": "true", "x-shown": "going-on"}
    decisions.approve(asked, by=approver)
    answer = desk.get(url, headers=look)
    assert 'hx-trigger="every 2s"' in answer.content.decode()
    assert 'id="tagline" hx-swap-oob="true"' in answer.content.decode()
    assert "Being set up" in text(answer)
    assert "HX-Refresh" not in answer.headers


@pytest.mark.parametrize("what", ["question", "decline"])
def test_a_page_with_something_new_to_do_is_drawn_anew(desk, asked, approver, what):
    look = {"hx-request": "true", "x-shown": "going-on"}
    url = reverse("partners:request", args=[asked.pk])
    assert "HX-Refresh" not in desk.get(url, headers=look).headers
    if what == "question":
        decisions.ask_question(asked, by=approver, question="Why?")
    else:
        decisions.decline(asked, by=approver, reason="other")
    answer = desk.get(url, headers=look)
    assert answer.headers["HX-Refresh"] == "true"
    assert "hx-trigger" not in answer.content.decode()


def test_a_parked_job_says_whose_turn_it_is(desk, office, job, approved, directory):
    directory.has(NURSE, is_guest=False)
    with as_worker():
        provisioning.advance(job.pk, directory)
    sponsors = text(desk.get(reverse("partners:request", args=[approved.pk])))
    assert "This person already has an account with us. Our team will finish this by hand." in sponsors
    staffs = text(office.get(reverse("partners:decision", args=[approved.pk])))
    assert "belongs to a member of our own directory" in staffs
    assert "member_exists" not in sponsors + staffs
    directory.people.clear()
    office.post(reverse("partners:resume", args=[approved.pk]))
    with as_worker():
        provisioning.advance(job.pk, directory)
    job.refresh_from_db()
    assert job.status == ProvisioningJob.Status.DONE


def test_a_shortened_access_says_so(desk, asked, approver):
    earlier = dates.months_after(dates.today(), 3)
    decisions.approve(asked, by=approver, until=dates.end_of(earlier), note_to_sponsor="Three months for now.")
    page = text(desk.get(reverse("partners:request", args=[asked.pk])))
    assert "We said yes, with one change" in page
    assert f"Until {dates.words_for(earlier)} instead of" in page
    assert "Three months for now." in page
    assert "by our access team" in page  # not by name


def test_a_sponsor_sends_the_link_again(desk, sent):
    url = reverse("partners:send-again", args=[sent.request_id])
    answer = desk.post(url)
    assert answer.status_code == 409
    assert "sent a moment ago" in text(answer)
    Invitation.objects.update(sent_at=make.days(-1))
    assert desk.post(url).status_code == 302
    assert Invitation.objects.get().generation == 2


def test_get_never_changes_anything(desk, office, sent):
    Invitation.objects.update(sent_at=make.days(-1))
    before = digest()
    for name in ("send-again", "approve", "resume"):
        client = desk if name == "send-again" else office
        assert client.get(reverse(f"partners:{name}", args=[sent.request_id])).status_code == 405
    for name in ("question", "decline", "end"):
        assert office.get(reverse(f"partners:{name}", args=[sent.request_id])).status_code == 200
    assert digest() == before


# ---------------------------------------------------------------- the approver's pages


def test_the_queue_has_three_piles(office, ask, approver, directory):
    ask(first_name="To", last_name="Decide")
    asking = ask(email="doctor@northfield.example", first_name="To", last_name="Answer")
    decisions.ask_question(asking, by=approver, question="Which site?")
    decisions.approve(ask(email="locum@northfield.example", first_name="In", last_name="Work"), by=approver)
    answer = office.get(reverse("partners:approvals"))
    page = text(answer)
    assert heading(answer) == "To decide"
    for words in ("Yours to decide (1)", "To Decide", "Waiting for the partner (1)", "Which site?", "Being set up (1)",
                  "In Work", "1 to decide.", "Routine", "1 patient, Shared care, Main site"):  # fmt: skip
        assert words in page, words


def test_the_queue_ticks_only_what_is_done(office, asked, approver):
    decisions.approve(asked, by=approver)
    step = Step.objects.get(job__request=asked, state=Step.State.WAITING)
    assert 'class="cp-check cp-check--doing"' in office.get(reverse("partners:approvals")).content.decode()
    Gate.objects.create(
        name=queue.BEHIND[step.kind][0], code="suspicious_activity", shut_at=Now(), failures=0, probes=0
    )
    answer = office.get(reverse("partners:approvals"))
    assert 'class="cp-check cp-check--look"' in answer.content.decode()
    assert "Waits: Microsoft holds back all invitations" in text(answer)


def test_what_is_a_colleagues_turn_is_passed_on_with_the_reason(office, asked, approver):
    Sponsor.objects.create(organisation=asked.organisation, user=approver)
    page = text(office.get(reverse("partners:approvals")))
    assert "Yours to decide (0)" in page
    assert "1 more is for a colleague: You are or were a sponsor of Partner B" in page
    decision = office.get(reverse("partners:decision", args=[asked.pk]))
    assert "so a colleague has to decide this one" in text(decision)
    assert "Your decision" not in text(decision)
    assert office.post(reverse("partners:approve", args=[asked.pk])).status_code == 403
    assert not Grant.objects.exists()


def test_the_decision_shows_effect_checks_and_request(office, asked):
    answer = office.get(reverse("partners:decision", args=[asked.pk]))
    page = text(answer)
    assert heading(answer) == "Practice Nurse, Partner B"
    for words in (
        "If you approve", "will be able to read problems, medicines, allergies and results of 1 patient in",
        "Not: vitals, immunisations, procedures, encounters, documents, care plans", "any sensitive class",
        "Checks: all 5 passed", "The address belongs to Partner B", "“New in the team”", "working hours left of 16",
        "Approve", "Ask a question", "Decline",
    ):  # fmt: skip
        assert words in page, words


def test_approving_from_the_page(office, asked):
    answer = office.post(reverse("partners:approve", args=[asked.pk]), {"note_for_colleagues": "fine"}, follow=True)
    assert "We are setting it up" in text(answer)
    assert "End access" in text(answer)
    assert Grant.objects.get().ends_at == asked.ends_at


def test_longer_than_usual_offers_the_usual_end(office, ask, partner):
    partner.usual_months = 3
    partner.save()
    request = ask()
    page = text(office.get(reverse("partners:decision", args=[request.pk])))
    usual = dates.months_after(dates.today(), 3)
    assert f"Approve until {dates.words_for(usual)}" in page
    assert "Longer than usual: 6 months; 3 is usual for Partner B" in page
    office.post(reverse("partners:approve", args=[request.pk]), {"shorter": "1"})
    assert dates.last_day(Grant.objects.get().ends_at) == usual


def test_documents_and_more_than_usual_are_pointed_out(office, ask):
    documents = ask(sections=["problems", "documents"])
    more = ask(email="doctor@northfield.example", sections=["problems", "vitals"])
    assert "Asks for documents: letters may contain anything" in text(office.get(reverse("partners:approvals")))
    assert "Asks for documents" in text(office.get(reverse("partners:decision", args=[documents.pk])))
    assert "More than usual: vitals" in text(office.get(reverse("partners:decision", args=[more.pk])))


def test_staff_see_when_two_organisations_ask_for_one_person(office, asked, ask, facility):
    other = make_partner(make.make_organisation("Partner C"))
    make.make_agreement(other.organisation, facility)
    caseload = make.make_caseload(other.organisation, facility, name="Other")
    ask(organisation=other, by=make_sponsor(other, "Other Deputy"), caseloads=[caseload])
    page = text(office.get(reverse("partners:decision", args=[asked.pk])))
    assert "Partner C has asked for this person too" in page
    assert "serves several organisations, so the address proves less" in page


def test_declining_needs_a_reason_and_sends_a_ready_sentence(office, asked):
    url = reverse("partners:decline", args=[asked.pk])
    assert "Choose a reason" in text(office.post(url, {}))
    office.post(url, {"reason": "not_needed", "note_to_sponsor": ""})
    asked.refresh_from_db()
    assert asked.status == "declined"
    assert "could not see why" in asked.decisions.get().note_to_sponsor


def test_asking_a_question_from_the_page(office, asked):
    url = reverse("partners:question", args=[asked.pk])
    assert "Enter your question" in text(office.post(url, {"question": " "}))
    answer = office.post(url, {"question": "Which site?"}, follow=True)
    assert "We asked the sponsor" in text(answer) or "Which site?" in text(answer)


def test_ending_access_asks_first_and_says_why(office, sent):
    url = reverse("partners:end", args=[sent.request_id])
    assert "will see nothing more from this moment on" in text(office.get(url))
    assert "Enter why the access ends" in text(office.post(url, {"reason": ""}))
    assert Grant.objects.get().ended_at is None
    answer = office.post(url, {"reason": "Has left"}, follow=True)
    assert "Access has ended" in text(answer)
    assert Grant.objects.get().ended_because == "Has left"


def test_the_second_of_two_approvers_reads_how_it_stands(office, asked):
    second = make_approver("Second Approver", email="second@hospital.example")
    decisions.decline(asked, by=second, reason="other")
    answer = office.post(reverse("partners:approve", args=[asked.pk]), follow=True)
    assert "This changed while you were looking at it" in text(answer)
    assert not Grant.objects.exists()


@pytest.mark.parametrize(("start", "end", "hours"), [
    ("2026-06-01T10:14", "2026-06-01T11:14", 1), ("2026-06-01T16:00", "2026-06-02T10:00", 2),
    ("2026-06-05T16:00", "2026-06-08T10:00", 2), ("2026-06-06T10:00", "2026-06-07T10:00", 0),
    ("2026-06-01T08:00", "2026-06-01T20:00", 8), ("2026-06-01T12:00", "2026-06-01T11:00", 0),
])  # fmt: skip
def test_working_hours(start, end, hours):
    zone = timezone.get_default_timezone()
    moments = [dt.datetime.fromisoformat(moment).replace(tzinfo=zone) for moment in (start, end)]
    assert working_hours.between(*moments) == hours


# ---------------------------------------------------------------- the register


def test_the_register_shows_what_an_organisation_may_be_given(office, asked, sponsor):
    assert "northfield.example" in text(office.get(reverse("partners:organisations")))
    page = text(office.get(reverse("partners:organisation", args=[asked.organisation_id])))
    for words in ("Partner B", "northfield.example", "https://sts.windows.net/aaaaaaaa", "Northfield Sponsor",
                  "Shared care, Main site", "1 patient", "In force", "Main site", "Practice Nurse"):  # fmt: skip
        assert words in page, words


def test_the_register_names_days_where_the_portal_is_and_classes_in_words(office, agreement, partner):
    agreement.starts_at = dt.datetime(2026, 6, 1, tzinfo=timezone.get_default_timezone())  # 31 May in UTC
    agreement.classes = ["hiv", "mental_health"]
    agreement.save(using="worker")
    page = text(office.get(reverse("partners:organisation", args=[partner.pk])))
    assert "1 June 2026 to" in page
    assert "mental health and HIV" in page


# ---------------------------------------------------------------- the guest's link


@pytest.fixture
def anyone() -> Client:
    return Client(headers={"host": "portal.localhost"}, enforce_csrf_checks=False)


def test_the_welcome_page_says_three_truths_and_changes_no_row(anyone, sent):
    before = digest()
    for _ in range(3):
        answer = anyone.get(f"/welcome/{invitations.token(sent)}/")
    assert digest() == before
    page = text(answer)
    assert heading(answer) == "Welcome, Practice Nurse"
    for words in ("Northfield Sponsor at Partner B", "“New in the team”", "Problems, medicines, allergies and results",
                  "Continue to sign in", "This is not for me", "On the Microsoft page, press Accept",
                  "Opening this page has changed nothing", NURSE):  # fmt: skip
        assert words in page, words
    # Not no-referrer: browsers would send "Origin: null" with the button, which the CSRF check refuses.
    assert answer["Referrer-Policy"] == "same-origin"
    assert not anyone.cookies.get("session")


def test_continuing_leaves_for_entra_by_a_page_of_ours(anyone, sent):
    answer = anyone.post(f"/welcome/{invitations.token(sent)}/continue/")
    page = answer.content.decode()
    url = invitations.redeem_url(sent)
    assert answer.status_code == 200  # a redirect would be blocked by form-action 'self'
    assert f'<meta http-equiv="refresh" content="0; url={url}">' in unescape(page)
    assert f'href="{url}"' in unescape(page)
    assert answer["Referrer-Policy"] == "no-referrer"
    assert Invitation.objects.get().status == Invitation.Status.OPENED
    assert anyone.post(f"/welcome/{invitations.token(sent)}/continue/").status_code == 200  # again


def test_somebody_whom_the_directory_knows_goes_to_our_sign_in(anyone, job, directory):
    directory.has(NURSE)
    with as_worker():
        provisioning.advance(job.pk, directory)
    invitation = Invitation.objects.get()
    page = anyone.get(f"/welcome/{invitations.token(invitation)}/")
    assert "press Accept" not in text(page)
    answer = anyone.post(f"/welcome/{invitations.token(invitation)}/continue/")
    assert (answer.status_code, answer["Location"]) == (302, reverse("sign-in"))


def test_this_is_not_for_me(anyone, sent):
    url = f"/welcome/{invitations.token(sent)}/not-for-me/"
    before = digest()
    assert "This is not for me" in text(anyone.get(url))
    assert digest() == before
    assert "Choose one" in text(anyone.post(url))
    answer = anyone.post(url, {"reason": "wrong_person"}, follow=True)
    assert "You told us that this is not for you" in text(answer)
    assert Grant.objects.get().ended_at is not None


@pytest.mark.parametrize(("status", "says", "renewable"), [
    (Invitation.Status.EXPIRED, "This link ended on", True),
    (Invitation.Status.WRONG_ACCOUNT, "You signed in with another account", True),
    (Invitation.Status.COMPLETED, "You are already in", False),
    (Invitation.Status.DECLINED, "You told us that this is not for you", False),
    (Invitation.Status.REVOKED, "This access has ended", False),
    (Invitation.Status.NOT_SENT, "This access has ended", False),
])  # fmt: skip
def test_every_state_of_a_link_has_its_page(anyone, sent, status, says, renewable):
    Invitation.objects.update(status=status, sent_at=make.days(-20))
    url = f"/welcome/{invitations.token(sent)}/"
    answer = anyone.get(url)
    assert says in heading(answer)
    assert ("Send me a new link" in text(answer)) is renewable
    for act in ("continue/", "not-for-me/"):
        assert says in heading(anyone.post(url + act, {"reason": "not_needed"}))
    assert Invitation.objects.get().status == status
    assert Grant.objects.get().ended_at is None


def test_an_old_link_says_so_and_sends_the_newest_to_the_same_address(anyone, sent, directory, outbox):
    Invitation.objects.update(generation=2, sent_at=make.days(-1))
    url = f"/welcome/{invitations.token(sent)}/"
    assert "A newer link was sent" in heading(anyone.get(url))
    answer = anyone.post(url + "new-link/")
    assert heading(answer) == "A new link is on its way"
    assert Invitation.objects.get().generation == 3
    with as_worker():
        provisioning.advance(sent.request.job.pk, directory)
    assert outbox[-1].to == [NURSE]
    assert "a moment ago" in text(anyone.post(url + "new-link/"))  # rate limited


@pytest.mark.parametrize("token", ["x", "a.b", "0" * 300, "%00", "../../etc"])
def test_a_link_that_is_not_ours_is_a_404_with_a_way_on(db, anyone, token):
    answer = anyone.get(f"/welcome/{token}/")
    assert answer.status_code == 404


def test_what_entra_sends_back_starts_the_sign_in(db, anyone):
    answer = anyone.get("/welcome/back/")
    assert "Continue to sign in" in text(answer)
    assert f'action="{reverse("sign-in")}"' in answer.content.decode()
