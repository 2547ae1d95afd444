"""The failure dictionary: nothing the portal can meet is without words, and nobody reads a code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jwt
import pytest
import requests
from django.contrib.auth.models import AnonymousUser
from django.urls import reverse

import partners
from partners import failures, gates, idtoken, signin, traffic
from partners.entra import errors
from partners.failures import directory
from partners.failures.words import Failure, Turn
from partners.models import Incident
from tests.contract import shared_file

PACKAGE = Path(partners.__file__).parent
# entra.md, section 13.
NUMBERS = """
    50020 16000 16003 50034 51004 90072 50014 50105 53003 53000 53001 50076 50074 50079 50072 50078 70043 53004
    53011 50057 50173 500212 500213 1000104 65001 65004 50011 50194 7000215 700027 700016 50196 54005 501481
""".split()  # noqa: SIM905 - a list of numbers reads best as one
# What else `signin.Adapter.refuse` can be given: the names of exceptions on the way to the tenant and back.
ON_THE_WAY = [
    requests.ConnectionError, requests.ReadTimeout, requests.ConnectTimeout, requests.HTTPError,
    requests.exceptions.SSLError, requests.exceptions.ChunkedEncodingError, requests.exceptions.JSONDecodeError,
    ValueError, KeyError, type(None),
]  # fmt: skip


def codes_raised(*exceptions: str) -> set[str]:
    """The literal codes with which the package raises these, read from its source."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and called(node) in exceptions:
                given = node.args if called(node) == "_mail_problem" else node.args[:1]
                found |= {n.value for arg in given for n in ast.walk(arg) if isinstance(n, ast.Constant)}
    return {code for code in found if isinstance(code, str)}


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def graph_codes() -> list[str]:
    told = {row.ours for row in errors.TABLE} | gates.PROBE_AFTER.keys() | traffic.OURS
    return sorted(codes_raised("TryLater", "Refused", "_mail_problem") | told)


def reads_well(failure: Failure) -> None:
    """All readers have a sentence, and no sentence for people outside holds a code or a number of Microsoft's."""
    for text in (failure.title, failure.guest, failure.sponsor, failure.staff, failure.next.text):
        assert str(text).strip(), failure
    for text in (failure.title, failure.guest, failure.sponsor):
        assert not re.search(r"AADSTS|\b\d{5,7}\b|[a-z]_[a-z]|Graph|token|tenant", str(text)), text
    assert isinstance(failure.next.turn, Turn)
    if failure.next.page:
        assert reverse(failure.next.page)


def test_the_source_is_really_read():
    assert {"throttled", "not_permitted", "member_exists", "mail_refused"} <= set(graph_codes())
    assert {"wrong-account", "suspended"} <= codes_raised("TurnedAway")
    assert {"nonce", "tenant"} <= codes_raised("Invalid")


@pytest.mark.parametrize("code", graph_codes())
def test_every_code_of_the_directory_has_words_for_all_readers(code):
    if code == "unknown_refusal":
        assert not failures.parked(code).known
        return
    assert failures.parked(code).known, code
    reads_well(failures.parked(code))


def test_every_incident_has_words_for_the_operator():
    reported = {code for code in codes_raised("report") if code != "unknown_refusal"}
    assert {"mass_change", "directory_away"} <= reported
    assert {code for code in reported if not failures.is_known(code)} == set()


@pytest.mark.parametrize("code", sorted(codes_raised("TurnedAway", "Invalid") | {signin.NOT_BOUND}))
def test_every_code_of_our_sign_in_has_words_for_all_readers(code):
    assert failures.sign_in(code).known, code
    reads_well(failures.sign_in(code))


def test_every_reason_of_pyjwt_has_words():
    """idtoken.verify passes on the name of the exception."""
    named = [e for e in vars(jwt.exceptions).values() if isinstance(e, type) and issubclass(e, jwt.InvalidTokenError)]
    assert len(named) > 5
    for exception in named:
        assert failures.sign_in(exception.__name__).known, exception


@pytest.mark.parametrize("trouble", ON_THE_WAY)
def test_what_can_happen_on_the_way_has_words(trouble):
    assert failures.sign_in(trouble.__name__).known


@pytest.mark.parametrize("number", NUMBERS)
def test_every_number_of_microsoft_has_words_for_all_readers(number):
    failure = failures.sign_in(f"AADSTS{number}")
    assert failure.known
    assert failure is failures.sign_in(number)
    reads_well(failure)


def test_the_numbers_are_those_of_the_facts_sheet():
    sheet = shared_file("reference/entra.md")
    if sheet is None:
        pytest.skip("the facts sheet is not beside this checkout")
    section = sheet.read_text().partition("## 13.")[2].partition("## 14.")[0]
    assert set(re.findall(r"\b\d{5,7}\b", section)) == set(NUMBERS)


@pytest.mark.parametrize("failure", [*directory.PAUSED.values(), directory.UNKNOWN, failures.sign_in("never heard of")])
def test_what_stands_in_for_the_unknown_reads_well_too(failure):
    reads_well(failure)


def test_why_a_step_waits_is_the_beginning_of_a_sentence():
    later = codes_raised("TryLater") | gates.PROBE_AFTER.keys() | traffic.OURS | traffic.BREAKING
    assert {code for code in later if not failures.waiting(code)} == set()
    assert failures.waiting("") == ""


@pytest.mark.parametrize("typed", ["AADSTS50105", "aadsts50105:", "50105", " Error AADSTS50105: The signed in user"])
def test_a_number_is_found_in_what_a_person_copied(typed):
    assert failures.number_in(typed) == "50105"


@pytest.mark.parametrize("typed", ["", "none", "123", "12345678", "AADSTS"])
def test_what_holds_no_number_holds_none(typed):
    assert failures.number_in(typed) == ""


# ---------------------------------------------------------------- the page


@pytest.fixture
def anyone(db):
    from django.test import Client

    return Client(headers={"host": "portal.localhost"})


def look_up(anyone, number: str) -> str:
    from tests.partners.pages import text

    answer = anyone.post(reverse("sign-in-help"), {"number": number})
    assert answer.status_code == 200
    return text(answer)


def test_a_guest_finds_a_number_and_a_note_for_their_it(anyone):
    page = look_up(anyone, "AADSTS500212: blocked by outbound policy. Trace ID: 6f1c")
    assert "Your organisation's sign-in did not let you through" in page
    assert "A note for your IT team" in page
    assert "11111111-1111-4111-8111-111111111111" in page
    assert "outbound cross-tenant access" in page
    assert not Incident.objects.exists()


def test_what_the_guest_can_mend_alone_has_no_note(anyone):
    page = look_up(anyone, "50074")
    assert "I have a new phone" in text_of(anyone, "new-phone")
    assert "A note for your IT team" not in page


def text_of(anyone, name: str) -> str:
    from tests.partners.pages import text

    return text(anyone.get(reverse(name)))


def test_an_unknown_number_says_so_and_counts_as_an_incident_once(anyone):
    for _ in range(3):
        assert "we have no words for yet" in look_up(anyone, "98765")
    incident = Incident.objects.get()
    assert (incident.code, incident.detail, incident.times) == ("sign_in_unknown", "98765", 1)


def test_strangers_cannot_fill_the_operators_list(anyone):
    for number in range(90000, 90030):
        look_up(anyone, str(number))
    assert Incident.objects.count() == 6
    assert Incident.objects.get(detail="").times == 1


def test_no_number_is_refused_with_a_sentence_and_kept(anyone):
    page = anyone.post(reverse("sign-in-help"), {"number": "it does not work"})
    assert b"Enter a number of five to seven digits" in page.content
    assert b"it does not work" in page.content


def test_entras_refusal_at_the_callback_is_told_in_words(db, rf):
    """The way back of an attempt that this browser began, with an error instead of a code."""
    request = rf.get("/", {"error": "access_denied", "error_description": "AADSTS65004: User declined to consent"})
    request.id, request.user, request.session = "12345678-0000", AnonymousUser(), {}
    answer = signin.Adapter().refuse(request, idtoken.Invalid("no-code"))
    assert answer.status_code == 403
    assert b"You did not accept what Microsoft asked" in answer.content
    assert b"65004" not in answer.content
