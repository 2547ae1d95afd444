"""A sponsor's lists, the page of one request, and who else gets them."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.urls import reverse
from django.utils import timezone

from clinicportal import audit
from partners import dates, decisions, entra, provisioning
from partners.models import Invitation, ProvisioningJob, Step
from tests import factories as make
from tests.factories import client_for
from tests.partners.conftest import as_worker, make_partner, make_sponsor
from tests.partners.pages import heading, text
from tests.partners.test_verbs import digest

NURSE = "nurse@northfield.example"
POSTS = ["send-again", "approve", "resume", "withdraw", "answer", "decline", "question", "end"]


# ---------------------------------------------------------------- who else gets them: test_who_may.py asks everyone


@pytest.mark.parametrize("page", POSTS)
def test_an_outsider_changes_nothing(approved, outsider, page):
    before = {k: v for k, v in digest().items() if k != "clinicportal_auditevent"}
    client = client_for(outsider)
    before["clinicportal_session"] = digest()["clinicportal_session"]
    typed = {"reason": "other", "question": "?", "answer": "!"}
    assert client.post(reverse(f"partners:{page}", args=[approved.pk]), typed).status_code == 404
    after = {k: v for k, v in digest().items() if k != "clinicportal_auditevent"}
    assert after == before


def test_what_is_refused_is_written_down(asked, outsider):
    assert client_for(outsider).get(reverse("partners:request", args=[asked.pk])).status_code == 404
    assert audit.trail().filter(type=audit.Type.REFUSED, user_id=outsider.pk).exists()


@pytest.mark.parametrize("page", ["people", "add", "requests"])
def test_a_sponsor_of_another_organisation_reads_nothing_of_this_one(asked, facility, page):
    other = make_partner(make.make_organisation("Partner C"), domain="riverside.example")
    make.make_agreement(other.organisation, facility)
    answer = client_for(make_sponsor(other, "Riverside Sponsor")).get(reverse(f"partners:{page}"))
    assert answer.status_code == 200
    assert NURSE not in answer.content.decode()


def test_absent_and_forbidden_look_the_same(asked, outsider):
    client = client_for(outsider)
    pages = [client.get(reverse("partners:request", args=[pk])) for pk in (asked.pk, 999999, 10**17)]
    assert [page.status_code for page in pages] == [404, 404, 404]
    # Tokens are masked anew for each page, the session has less time left, and the reference is the page's own.
    own = rb'"[A-Za-z0-9]{64}"|expires-in" content="\d+"|reference: [0-9a-f]{8}'
    bodies = [re.sub(own, b"", page.content) for page in pages]
    assert bodies[0] == bodies[1] == bodies[2]


# ---------------------------------------------------------------- their people, and one request


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
