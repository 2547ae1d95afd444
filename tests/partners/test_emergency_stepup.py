"""Breaking the glass with the tenant in between: what proves it, what does not, and the weaker way."""

from __future__ import annotations

import pytest
from django.core import mail
from django.utils import timezone

from partners import alerts, notices
from partners.models import ContextCheck, Notice, PartnerOrganisation
from records import emergencies
from records.models import EmergencyAccess, OptOut
from tests import factories as make
from tests.partners.conftest import as_worker
from tests.partners.pages import text
from tests.partners.test_identity_checks import SPONSOR, sponsor_of_northfield
from tests.partners.test_stepup import SECOND, events
from tests.partners.visitor import Visitor, leaves_for, parameters_of
from tests.records.people import make_person, typed

__all__ = ["sponsor_of_northfield"]

WORKER = "worker"
REASON = "Unconscious after a fall, medicines not known"
Status = EmergencyAccess.Status


@pytest.fixture
def hidden(source):
    patient = make_person(source)
    OptOut.objects.using(WORKER).create(patient=patient)
    return patient


@pytest.fixture
def guest(entrance, sponsor_of_northfield, organisation, facility, caseload, settings) -> Visitor:
    """Signed in, with the right. Mails stay in this process."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    rights = {"may_look_up": True, "may_use_emergency_access": True}
    make.make_agreement(organisation, facility, **rights)
    make.make_grant(sponsor_of_northfield, caseload, **rights)
    visitor = Visitor(entrance)
    assert visitor.signs_in(SPONSOR).status_code == 302
    return visitor


@pytest.fixture
def asked(guest, sponsor_of_northfield, organisation, facility, hidden) -> EmergencyAccess:
    with_mfa = make.signed_in(sponsor_of_northfield, organisation)
    return emergencies.ask(typed(facility), by=with_mfa)


def press(guest: Visitor, asked: EmergencyAccess):
    return guest.client.post(f"/emergency-access/{asked.pk}/", {"reason": REASON})


def now(asked: EmergencyAccess) -> EmergencyAccess:
    return EmergencyAccess.objects.get(pk=asked.pk)


def nothing_began(guest: Visitor, asked: EmergencyAccess, answer) -> str:
    """Back on the page, with what was typed; the sentence that says why is in its text."""
    assert (answer.status_code, answer["Location"]) == (302, f"/emergency-access/{asked.pk}/")
    assert now(asked).status == Status.ASKED
    page = guest.client.get(answer["Location"])
    assert REASON in page.content.decode()
    return text(page)


def test_a_fresh_stronger_sign_in_opens_the_record(guest, asked, hidden):
    assert guest.client.get(f"/patients/{hidden.pk}/").status_code == 404
    answer = press(guest, asked)
    assert "Confirm that it is you" in text(answer)
    assert now(asked).status == Status.ASKED
    url = leaves_for(answer)
    assert '"value": "c2"' in parameters_of(url)["claims"]
    assert parameters_of(url)["max_age"] == "300"
    back = guest.passes(url, SPONSOR)
    opened = guest.comes_back(back)
    assert (opened.status_code, opened["Location"]) == (302, f"/patients/{hidden.pk}/")
    assert REASON in text(guest.client.get(opened["Location"]))
    assert (now(asked).status, now(asked).proof) == (Status.OPENED, "stronger")
    assert [event.detail["act"] for event in events("stepped-up")] == ["emergency_access"]
    assert guest.comes_back(back).status_code == 403, "a way back serves once"


WRONG = {
    "with the context of sign-in": {"acrs": ["c1"]},
    "by a sign-in of long ago": {"auth_time": 1_000_000_000},
    "by another object": {"oid": "99999999-0000-4000-8000-000000000000"},
    "with the nonce of another attempt": {"nonce": "other"},
}


@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG)
def test_a_token_that_does_not_prove_it_opens_nothing(guest, asked, claims):
    guest.tenant.do("bad-token", claims=claims)
    answer = guest.comes_back(guest.passes(leaves_for(press(guest, asked)), SPONSOR))
    assert "nothing was done" in nothing_began(guest, asked, answer)
    assert len(events("step-up-refused")) == 1


def test_another_persons_confirmation_opens_nothing(guest, asked):
    url = leaves_for(press(guest, asked))
    guest.person.cookies.clear()
    answer = guest.comes_back(guest.passes(url, SECOND))
    assert "another account" in nothing_began(guest, asked, answer)


def unbind(context: str) -> None:
    ContextCheck.objects.using(WORKER).filter(pk=context).update(bound=False, because="no_policy")


def test_where_the_stronger_one_cannot_be_had_a_fresh_sign_in_does_and_the_alert_says_so(guest, asked, hidden):
    unbind("c2")
    url = leaves_for(press(guest, asked))
    assert '"value": "c1"' in parameters_of(url)["claims"]
    assert parameters_of(url)["max_age"] == "300"
    opened = guest.comes_back(guest.passes(url, SPONSOR))
    assert opened["Location"] == f"/patients/{hidden.pk}/"
    assert now(asked).proof == "sign-in"
    [refused] = events("step-up-refused")
    assert (refused.reason, refused.detail["act"]) == ("context-not-bound", "emergency_access")
    [message] = deliver()
    assert message.subject == "Look at once: emergency access with a weaker proof"


def test_a_stale_sign_in_is_not_the_weaker_way(guest, asked):
    unbind("c2")
    guest.tenant.do("bad-token", claims={"auth_time": 1_000_000_000})
    answer = guest.comes_back(guest.passes(leaves_for(press(guest, asked)), SPONSOR))
    assert "too long ago" in nothing_began(guest, asked, answer)


def test_the_weaker_way_ends_when_the_stronger_one_is_back(guest, asked):
    unbind("c2")
    back = guest.passes(leaves_for(press(guest, asked)), SPONSOR)
    ContextCheck.objects.using(WORKER).filter(pk="c2").update(bound=True, because="")
    answer = guest.comes_back(back)
    assert "Confirm first that it is you" in nothing_began(guest, asked, answer)


def test_with_neither_nothing_is_opened(guest, asked):
    unbind("c2")
    unbind("c1")
    assert "We cannot check just now" in nothing_began(guest, asked, press(guest, asked))


def test_nobody_found_is_told_after_the_proof(guest, sponsor_of_northfield, organisation, facility):
    with_mfa = make.signed_in(sponsor_of_northfield, organisation)
    asked = emergencies.ask(typed(facility, number="123"), by=with_mfa)
    answer = guest.comes_back(guest.passes(leaves_for(press(guest, asked)), SPONSOR))
    assert answer["Location"] == "/look-up/"
    assert "Nobody has all that you typed" in text(guest.client.get("/look-up/"))
    assert now(asked).status == Status.NOBODY


# ---------------------------------------------------------------- alerts


def deliver() -> list:
    with as_worker():
        alerts.tell()
        notices.deliver_due()
    return mail.outbox


def test_reviewers_and_privacy_officers_are_told_once_and_without_patient_data(asked, hidden, sponsor_of_northfield):
    for role in ("reviewer", "privacy", "operator"):
        make.make_user(role, email=f"{role}@hospital.example", staff_roles=[role])
    make.make_user("gone", email="gone@hospital.example", staff_roles=["reviewer"], is_active=False)
    begin(asked, sponsor_of_northfield)
    sent = deliver()
    assert sorted(message.to[0] for message in sent) == ["privacy@hospital.example", "reviewer@hospital.example"]
    for message in sent:
        assert f"/reviews/{asked.pk}/" in message.body
        for secret in (REASON, str(hidden.pk), hidden.family, hidden.mrn, "Northfield Sponsor"):
            assert secret not in message.subject + message.body
    assert len(deliver()) == 2, "once"
    assert now(asked).alerted_at is not None


def test_a_mail_server_that_is_away_loses_no_alert(asked, sponsor_of_northfield, settings):
    begin(asked, sponsor_of_northfield)
    settings.EMAIL_BACKEND = "tests.partners.test_emergency_stepup.Away"
    assert deliver() == []
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    Notice.objects.using(WORKER).update(due_at=timezone.now())
    assert [message.to for message in deliver()] == [["operator@hospital.example"]], "we know of no reviewer"


class Away:
    def __init__(self, *_: object, **__: object) -> None:
        pass

    def send_messages(self, _messages: object) -> int:
        raise ConnectionRefusedError


def test_the_privacy_officers_are_told_of_one_that_was_not_justified(asked, sponsor_of_northfield):
    make.make_user("privacy", email="privacy@hospital.example", staff_roles=["privacy"])
    begun = begin(asked, sponsor_of_northfield)
    begun.move_to(
        Status.NOT_JUSTIFIED, reviewed_by=make.make_user("Reviewer"), reviewed_at=timezone.now(), note="A neighbour."
    )
    first, second = deliver()
    assert (first.subject, second.subject) == ("Emergency access has begun", "An emergency access was not justified")
    assert "A neighbour." not in second.body
    assert len(deliver()) == 2


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ({"email": "answers@hospital.example"}, True),
        ({"email": "answers@hospital.example", "is_active": False}, False),
        ({"email": ""}, False),
        (None, False),
    ],
)
def test_who_answers_for_the_partner_is_told_without_the_review(asked, hidden, sponsor_of_northfield, who, told):
    make.make_user("privacy", email="privacy@hospital.example", staff_roles=["privacy"])
    make.make_user("reviewer", email="reviewer@hospital.example", staff_roles=["reviewer"])
    partners = PartnerOrganisation.objects.using(WORKER).filter(pk=asked.organisation_id)
    assert partners.update(internal_sponsor=make.make_user("Colleague", **who) if who else None) == 1
    begun = begin(asked, sponsor_of_northfield)
    begun.move_to(
        Status.NOT_JUSTIFIED, reviewed_by=make.make_user("Reviewer"), reviewed_at=timezone.now(), note="A neighbour."
    )
    theirs = [message for message in deliver() if message.to == ["answers@hospital.example"]]
    subjects = ["Emergency access has begun", "An emergency access was not justified"]
    assert [message.subject for message in theirs] == (subjects if told else [])
    for message in theirs:
        assert "You answer for this partner here" in message.body
        assert "/reviews/" not in message.body
        for secret in (REASON, "A neighbour.", str(hidden.pk), hidden.family, "Northfield Sponsor"):
            assert secret not in message.body
    assert len(deliver()) == (5 if told else 3), "once"


def test_who_answers_for_the_partner_and_reviews_gets_one_mail(asked, sponsor_of_northfield):
    both = make.make_user("Both", email="both@hospital.example", staff_roles=["reviewer", "privacy"])
    PartnerOrganisation.objects.using(WORKER).update(internal_sponsor=both)
    begin(asked, sponsor_of_northfield)
    (sent,) = deliver()
    assert "/reviews/" in sent.body


def begin(asked: EmergencyAccess, user) -> EmergencyAccess:
    user.proofs = {"c2": timezone.now()}
    user.mfa_proved, user.acting_for = True, asked.organisation_id
    emergencies.give_reason(asked, REASON, by=user)
    return emergencies.begin(asked.pk, by=user)
