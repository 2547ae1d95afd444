"""Scripted set-ups, and the stand-in used by itself: README."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import requests

from devtenant import registrations, scenarios
from devtenant.control import VERBS
from devtenant.errors import Mistake

from .conftest import REDIRECT, REPOSITORY, TENANT, Person, Process, free_port
from .test_guests import NURSE, refusal_of
from .test_process import run
from .test_signin import SPONSOR

DEPUTY = "deputy@northfield.example"


def invited(tenant, address=NURSE):
    return tenant.invite(address).status_code


def at_sign_in(tenant, address):
    return refusal_of(Person(tenant).start().press(address))[1]


def is_slow(tenant):
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    before = tenant.graph("GET", f"/users/{guest}").status_code
    tenant.do("advance", seconds=31)
    return (before, tenant.graph("GET", f"/users/{guest}").status_code, tenant.add_to_group(guest).status_code) == (
        404,
        200,
        404,
    )


def signs_in_without_pages(tenant):
    guest = tenant.invite(NURSE).json()["invitedUser"]["id"]
    tenant.do("advance", seconds=60)
    tenant.add_to_group(guest)
    return Person(tenant).start().press(NURSE).left_to is not None


def asks_nothing(tenant):
    browser = Person(tenant).start().press(SPONSOR)
    return browser.left_to is not None and browser.claims()["acrs"] == ["c1"]


def reports_only(tenant):
    applied = tenant.read("signins")[-1]["appliedConditionalAccessPolicies"] if asks_nothing(tenant) else []
    return [p["result"] for p in applied] == ["reportOnlyInterrupted", "reportOnlyNotApplied"]


def offers_two_accounts(tenant):
    page = Person(tenant).start().page.text
    return page.count(f"<span>{SPONSOR}</span>") == 2 and "nurse.private@gmail.example" in page


def has_lost_phones(tenant):
    lost = Person(tenant).start().press(SPONSOR).press("verify")
    new = Person(tenant).start().press(DEPUTY)
    return lost.left_to is None and refusal_of(lost)[1] == "500121" and new.heading == "More information required"


def blocks_the_sixth(tenant):
    return [invited(tenant, f"nurse{n}@northfield.example") for n in range(6)] == [201] * 5 + [403]


def throttles_the_eleventh(tenant):
    answers = [tenant.invite(f"nurse{n}@northfield.example") for n in range(11)]
    return answers[-1].status_code == 429 and "Retry-After" in answers[-1].headers


SEEN = {
    "slow-directory": is_slow,
    "invitations-off": lambda tenant: invited(tenant) == 403,
    "partner-blocked": lambda tenant: (
        invited(tenant) == 400
        and at_sign_in(tenant, SPONSOR) == "500213"
        and at_sign_in(tenant, "sponsor@riverside.example") == "500212"
    ),
    "trusted-partner": signs_in_without_pages,
    "no-policy": asks_nothing,
    "report-only": reports_only,
    "wrong-account": offers_two_accounts,
    "new-home-account": lambda tenant: at_sign_in(tenant, SPONSOR) == "50020",
    "deleted-guest": lambda tenant: (at_sign_in(tenant, DEPUTY), at_sign_in(tenant, SPONSOR)) == ("50020", "50057"),
    "lost-phone": has_lost_phones,
    "passcodes-off": lambda tenant: tenant.do("accounts", address="a@post.example")["kind"] == "msa",
    "young-tenant": blocks_the_sixth,
    "blocked-for-suspicion": lambda tenant: invited(tenant) == 403,
    "throttled": throttles_the_eleventh,
}


@pytest.mark.parametrize("name", sorted(scenarios.known()))
def test_each_scenario_makes_what_it_says(tenant, name):
    assert not SEEN[name](tenant), "it is so without the scenario: this would prove nothing"
    told = tenant.do("scenario", name=name)
    tenant._token = ""  # its signing keys are the same, but the tenant is another
    assert told["name"] == name
    assert told["about"]
    assert told["try"]
    assert SEEN[name](tenant)


def test_a_scenario_begins_with_a_fresh_tenant_unless_told_to_keep_it(tenant):
    tenant.invite(NURSE)
    tenant.do("scenario", name="no-policy", keep=True)
    assert tenant.read()["counts"]["invitations"] == 1
    tenant.do("scenario", name="no-policy")
    assert tenant.read()["counts"]["invitations"] == 0


def test_a_scenario_with_an_unknown_verb_or_setting_fails_loudly():
    for step in (["no-such-verb", {}], ["settings", {"no_such_setting": 1}]):
        broken = {"about": "", "try": "", "steps": [step]}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scenarios, "known", lambda broken=broken: {"broken": broken})
            with pytest.raises(Mistake, match="broken"):
                scenarios.apply(None, "broken", VERBS, keep=True)


def test_the_list_says_what_there_is():
    listed = run("--scenario", "list")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(scenarios.known())


@pytest.mark.parametrize(
    "arguments", [("--scenario", "nonsense"), ("--apps", "/no/such/file.toml")], ids=["scenario", "apps"]
)
def test_a_mistaken_start_is_one_sentence(tmp_path, arguments):
    refused = run("--port", free_port(), "--data", tmp_path / "x", *arguments)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "Traceback" not in refused.stderr


def test_help_names_the_addresses_and_gives_examples():
    told = run("--help").stdout
    for word in ("--scenario", "--apps", "login.localhost", "ca.pem", "README", "examples:"):
        assert word in told


APPS = """
[[app]]
client_id = "99999999-9999-4999-8999-999999999999"
name = "My app"
secrets = ["mine"]
redirect_uris = ["http://localhost:5000/callback"]
optional_claims = ["auth_time"]
permissions = ["User.Invite.All"]
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A stand-in begun with an app of one's own and a scenario, as the README says."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "apps.toml").write_text(APPS)
    more = ["--apps", str(folder / "apps.toml"), "--scenario", "no-policy"]
    process = Process(folder / "data", more=more)
    yield process
    process.stop()


def test_an_app_of_ones_own_signs_people_in_and_works_with_graph(alone):
    client, uri = "99999999-9999-4999-8999-999999999999", "http://localhost:5000/callback"
    browser = Person(alone).start(client_id=client, redirect_uri=uri).press(SPONSOR)
    assert browser.left_to.startswith(f"{uri}?code=")
    code = browser.left_to.partition("code=")[2].partition("&")[0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": uri, "code_verifier": browser.verifier}
    endpoint = f"{alone.base}/{TENANT}/oauth2/v2.0/token"
    answer = requests.post(endpoint, data=form, auth=(client, "mine"), timeout=5).json()
    assert answer["id_token"]
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": "mine"}
    scope = {"scope": "https://graph.microsoft.com/.default"}
    token = requests.post(endpoint, data=form | scope, timeout=5).json()["access_token"]
    made = requests.post(
        f"{alone.base}/v1.0/invitations",
        json={"invitedUserEmailAddress": NURSE, "inviteRedirectUrl": uri},
        headers={"Authorization": f"Bearer {token}"},
        timeout=5,
    )
    assert made.status_code == 201


def test_only_registered_addresses_of_ones_own_app_are_gone_to(alone):
    browser = Person(alone).start(client_id="99999999-9999-4999-8999-999999999999", redirect_uri=REDIRECT)
    assert "AADSTS50011" in browser.page.text


@pytest.mark.parametrize(
    "text",
    ["", "app = 1", "[[app]]\nname = 'x'", "[[app]]\nclient_id = 'x'\ncolour = 'red'", "[other]\nx = 1", "not toml"],
)
def test_a_broken_file_of_apps_is_refused(tmp_path, text):
    (tmp_path / "apps.toml").write_text(text)
    with pytest.raises(Mistake):
        register_all(tmp_path / "apps.toml")


def register_all(path):
    for app in registrations.read_file(path):
        registrations.register(None, app)


def test_a_journal_of_an_earlier_version_is_taken_over(tmp_path):
    """One that knows nothing of contexts, federations, optional claims or second factors."""
    tenant = Process(tmp_path / "tenant")
    tenant.stop()
    journal = tenant.data / "journal.jsonl"
    older = []
    for line in map(json.loads, journal.read_text().splitlines()):
        if line["c"] in ("contexts", "federations"):
            continue
        for name in ("certificates", "federatedCredentials", "logoutUrl", "optionalClaims", "second_factor", "issuer"):
            line["v"].pop(name, None)
        if line["c"] == "settings":
            line["v"].pop("passcodes")
        older.append(json.dumps(line))
    journal.write_text("\n".join(older) + "\n")
    tenant.start()
    try:
        assert tenant.read()["settings"]["passcodes"] is True
        assert "auth_time" in Person(tenant).sign_in(SPONSOR)
    finally:
        tenant.stop()


def test_it_runs_without_the_portals_packages(tmp_path):
    """What it imports of others is what its README lists."""
    code = "import sys, devtenant.__main__; print(sorted({m.split('.')[0] for m in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not {"django", "celery", "requests", "msal"} & set(json.loads(found.stdout.replace("'", '"')))
