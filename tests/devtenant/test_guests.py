"""Guests of every kind, and what becomes of their accounts: entra.md §2, §8, §9, §13."""

from __future__ import annotations

import pytest

from .conftest import Person
from .test_signin import NORTHFIELD, SPONSOR, known_id

NURSE, AGENCY = "nurse@northfield.example", "agency@post.example"


@pytest.fixture
def agency(tenant):
    """A guest without any account, in the access group. Returns the id."""
    return tenant.admit(AGENCY)


def identities(tenant, guest):
    return tenant.graph("GET", f"/users/{guest}?$select=identities,externalUserState,mail").json()


def refusal_of(browser):
    """Status and AADSTS number of the page that the browser is at; the app heard nothing."""
    assert browser.left_to is None
    return browser.page.status_code, browser.page.text.partition("AADSTS")[2].partition("<")[0]


# -- kinds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "idp", "issuer"),
    [
        (NURSE, f"https://sts.windows.net/{NORTHFIELD}/", "ExternalAzureAD"),
        ("doctor@lakeside.example", "https://sso.lakeside.example/saml", "https://sso.lakeside.example/saml"),
        ("someone@gmail.example", "google.com", "google.com"),
        ("someone@outlook.example", "live.com", "MicrosoftAccount"),
        (AGENCY, "mail", "mail"),
    ],
)
def test_redemption_chooses_the_account_by_the_address(tenant, browser, address, idp, issuer):
    guest = tenant.admit(address)
    assert identities(tenant, guest)["identities"][0]["issuer"] == "hospital.example"
    claims = browser.sign_in(address)
    assert (claims["oid"], claims["idp"]) == (guest, idp)
    state = identities(tenant, guest)
    assert (state["externalUserState"], state["identities"][0]["issuer"]) == ("Accepted", issuer)


def test_a_person_can_choose_another_kind_of_account(tenant, browser):
    tenant.admit(NURSE)
    assert browser.start().type_address(NURSE, kind="msa").heading == "Review permissions"
    browser.press("accept").press("verify")
    assert browser.claims()["idp"] == "live.com"


def test_a_work_and_a_personal_account_with_one_address_are_both_offered(tenant, browser):
    personal = tenant.do("accounts", address=SPONSOR, kind="msa", name="Sponsor, at home")
    browser.start()
    assert f'value="{personal["id"]}"' in browser.page.text
    assert refusal_of(browser.press(personal["id"])) == (403, "50020")


def test_a_redeemed_identity_stays_though_a_work_account_came_later_until_reset(tenant, browser, another_browser):
    guest = tenant.admit(NURSE)
    browser.start().type_address(NURSE, kind="mail")
    browser.type_code(browser.passcode(NURSE)).press("accept").press("verify")
    assert browser.claims()["idp"] == "mail"
    assert another_browser().start().type_address(NURSE).heading == "Enter code"
    tenant.invite(NURSE, resetRedemption=True, invitedUser={"id": guest})
    assert identities(tenant, guest)["identities"][0]["issuer"] == "hospital.example"
    fresh = another_browser().start().type_address(NURSE, kind="entra").press("accept").press("verify")
    assert fresh.claims()["idp"] == f"https://sts.windows.net/{NORTHFIELD}/"


# -- passcodes ------------------------------------------------------------------------------------------------------


def test_a_passcode_comes_by_mail_from_entras_own_sender(tenant, browser, agency):
    assert browser.start().type_address(AGENCY).heading == "Enter code"
    mail = tenant.read("mails", to=AGENCY)[0]
    assert mail["envelope_from"] == "account-security-noreply@accountprotection.microsoft.com"
    assert browser.passcode(AGENCY) not in browser.page.text
    browser.type_code(browser.passcode(AGENCY)).press("accept").press("verify")
    assert browser.claims()["oid"] == agency


def test_looking_at_the_page_again_sends_no_second_code(tenant, browser, agency):
    browser.start().type_address(AGENCY)
    browser.open(browser.url)
    assert len(tenant.read("mails", to=AGENCY)) == 1


def test_a_wrong_code_is_refused_and_the_right_one_still_works(browser, agency):
    browser.start().type_address(AGENCY)
    wrong = browser.type_code("00000000")
    assert (wrong.page.status_code, wrong.heading) == (400, "Enter code")
    assert wrong.type_code(browser.passcode(AGENCY)).heading == "Review permissions"


def test_too_many_wrong_codes_end_a_code_and_a_new_one_can_be_had(browser, agency):
    browser.start().type_address(AGENCY)
    first = browser.passcode(AGENCY)
    for _ in range(5):
        browser.type_code("00000000")
    assert "too many" in browser.type_code(first).page.text
    browser.press("resend")
    assert browser.type_code(first).page.status_code == 400
    assert browser.type_code(browser.passcode(AGENCY)).heading == "Review permissions"


def test_a_code_is_good_for_thirty_minutes(tenant, browser, agency):
    browser.start().type_address(AGENCY)
    tenant.do("advance", seconds=30 * 60 + 1)
    assert "expired" in browser.type_code(browser.passcode(AGENCY)).page.text
    assert browser.press("resend").type_code(browser.passcode(AGENCY)).heading == "Review permissions"


def test_a_passcode_session_lasts_a_day(tenant, browser, agency):
    browser.sign_in(AGENCY)
    tenant.do("advance", seconds=23 * 3600)
    assert browser.start().left_to
    tenant.do("advance", seconds=2 * 3600)
    assert browser.start().heading == "Pick an account"
    assert browser.press(AGENCY).heading == "Enter code"


def test_nobody_gets_a_code_who_is_not_expected(tenant, browser):
    assert refusal_of(browser.start().type_address("nobody@nowhere.example")) == (403, "50020")
    assert tenant.read("mails", to="nobody@nowhere.example") == []


def test_a_code_of_another_sign_in_does_not_help(browser, another_browser, agency):
    other = another_browser().start().type_address(AGENCY)
    stolen = browser.passcode(AGENCY)
    assert browser.start().type_address(AGENCY).type_code(stolen).page.status_code == 400
    assert other.type_code(stolen).heading == "Review permissions"


def test_switching_passcodes_off_locks_their_guests_out(tenant, browser, another_browser, agency):
    browser.sign_in(AGENCY)
    tenant.do("settings", passcodes=False)
    assert refusal_of(another_browser().start().press(AGENCY)) == (403, "50034")


def test_without_passcodes_an_unknown_address_becomes_a_personal_account(tenant, browser, agency):
    tenant.do("settings", passcodes=False)
    assert browser.sign_in(AGENCY)["idp"] == "live.com"


# -- what becomes of accounts -----------------------------------------------------------------------------------------


def test_an_account_made_anew_at_home_is_not_the_guest_until_a_reset(tenant, browser):
    tenant.do("recreate-account", address=SPONSOR)
    assert refusal_of(browser.start().press(SPONSOR)) == (403, "50020")
    assert "reset of redemption" in browser.page.text
    tenant.invite(SPONSOR, resetRedemption=True, invitedUser={"id": known_id(SPONSOR)})
    assert browser.sign_in(SPONSOR)["oid"] == known_id(SPONSOR)


def test_a_new_address_at_home_changes_the_sign_in_name_and_not_the_guests_mail(tenant, browser):
    tenant.do("accounts", address=SPONSOR, new_address="married@northfield.example")
    claims = browser.sign_in("married@northfield.example")
    assert (claims["oid"], claims["preferred_username"]) == (known_id(SPONSOR), "married@northfield.example")
    assert claims["email"] == SPONSOR
    assert identities(tenant, known_id(SPONSOR))["mail"] == SPONSOR


def test_an_account_that_is_disabled_at_home_cannot_be_picked(tenant, browser):
    tenant.do("accounts", address=SPONSOR, enabled=False)
    assert browser.start().press(SPONSOR).page.status_code == 400
    assert "disabled at its own organisation" in browser.page.text


def test_a_deleted_guest_is_nobody_until_restored(tenant, browser):
    tenant.do("permissions", permissions=["User.DeleteRestore.All"])
    tenant.do("delete-user", user=SPONSOR)
    assert refusal_of(browser.start().press(SPONSOR)) == (403, "50020")
    tenant.graph("POST", f"/directory/deletedItems/{known_id(SPONSOR)}/restore")
    assert browser.sign_in(SPONSOR)["oid"] == known_id(SPONSOR)


def test_a_forwarded_link_can_be_taken_by_a_private_account(tenant, browser):
    invited = tenant.invite(NURSE).json()
    tenant.add_to_group(invited["invitedUser"]["id"])
    browser.open(invited["inviteRedeemUrl"]).type_address("nurse.private@gmail.example")
    browser.press("accept")
    claims = browser.sign_in("nurse.private@gmail.example")
    assert (claims["idp"], claims["email"]) == ("google.com", NURSE)


# -- the second factor ------------------------------------------------------------------------------------------------


def test_who_cannot_verify_now_is_told_so_and_can_try_again(browser):
    browser.start().press(SPONSOR).press("cannot")
    assert refusal_of(browser) == (403, "50074")
    assert browser.press("retry").press("verify").claims()["oid"] == known_id(SPONSOR)


def test_a_lost_phone_does_not_answer(tenant, browser):
    tenant.do("accounts", address=SPONSOR, second_factor="lost")
    browser.start().press(SPONSOR).press("verify")
    assert refusal_of(browser) == (403, "500121")
    tenant.do("accounts", address=SPONSOR, second_factor="registered")
    assert browser.press("retry").press("verify").claims()["oid"] == known_id(SPONSOR)


def test_who_never_set_one_up_is_asked_to(tenant, browser, another_browser):
    tenant.do("accounts", address=SPONSOR, second_factor="none")
    assert browser.start().press(SPONSOR).heading == "More information required"
    assert refusal_of(browser.press("cannot")) == (403, "50074")
    assert browser.press("retry").press("register").claims()["acrs"] == ["c1"]
    assert another_browser().start().press(SPONSOR).heading == "Verify your identity"


def test_a_silent_sign_in_without_the_second_factor_tells_the_app(tenant, browser):
    tenant.do("mfa", context="c1", required=False)
    browser.sign_in(SPONSOR)
    tenant.do("mfa", context="c1")
    assert browser.start(prompt="none").answer["error"] == "interaction_required"


def test_the_sign_in_log_has_a_line_for_each_outcome(tenant, browser):
    browser.start().press(SPONSOR).press("cannot").press("retry").press("verify")
    lines = [(s["status"]["errorCode"], s["userPrincipalName"]) for s in tenant.read("signins")]
    assert lines == [(50074, SPONSOR), (0, SPONSOR)]
    assert [s["conditionalAccessStatus"] for s in tenant.read("signins")] == ["failure", "success"]
    assert tenant.read("signins")[-1]["homeTenantId"] == NORTHFIELD


def test_the_pages_of_a_passcode_hold_against_a_hostile_address(tenant):
    address = "<script>alert(1)</script>@post.example"
    page = Person(tenant).start().type_address(address).page
    assert "<script>alert" not in page.text
