"""What the guest's link opens."""

from __future__ import annotations

from html import unescape

import pytest
from django.urls import reverse

from partners import invitations, provisioning
from partners.models import Invitation
from records.models import Grant
from tests import factories as make
from tests.partners.conftest import as_worker
from tests.partners.pages import heading, text
from tests.partners.test_verbs import digest

NURSE = "nurse@northfield.example"


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
