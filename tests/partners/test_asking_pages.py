"""A sponsor adds a colleague: what the form offers, refuses and keeps."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from partners import dates, decisions
from partners.models import AccessRequest
from records.models import Section
from tests import factories as make
from tests.partners.conftest import make_partner, make_sponsor
from tests.partners.pages import heading, text

NURSE = "nurse@northfield.example"


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
