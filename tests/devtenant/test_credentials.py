"""How apps prove themselves, with unmodified MSAL and by hand: entra.md §13, §16."""

from __future__ import annotations

import base64
import datetime as dt
import time
import uuid

import jwt
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .conftest import GRAPH_CLIENT, GRAPH_SECRET, REDIRECT, SIGNIN_CLIENT, TENANT, Form
from .test_signin import SPONSOR, known_id

SCOPES = ["https://graph.microsoft.com/.default"]
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
WORKER = "system:serviceaccount:clinic:worker"


def msal_app(tenant, credential, client=GRAPH_CLIENT):
    session = requests.Session()
    session.verify = str(tenant.data / "ca.pem")
    session.trust_env = False  # a REQUESTS_CA_BUNDLE of this machine would win over `verify`
    return msal.ConfidentialClientApplication(
        client,
        authority=f"{tenant.https}/{TENANT}",
        client_credential=credential,
        instance_discovery=False,
        http_client=session,
    )


def can_invite(tenant, token):
    """Whether Graph takes the token."""
    answer = requests.get(
        f"{tenant.https}/v1.0/users",
        headers={"Authorization": f"Bearer {token}"},
        verify=str(tenant.data / "ca.pem"),
        timeout=5,
    )
    return answer.status_code == 200


@pytest.fixture
def certificate(tenant):
    """PEM texts of the demonstration certificate and its key, from the data directory."""
    return (tenant.data / "app.pem").read_text(), (tenant.data / "app-key.pem").read_text()


def thumbprint(pem, algorithm):
    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(algorithm)


# -- unmodified MSAL --------------------------------------------------------------------------------------------------


def test_msal_with_a_secret(tenant):
    assert can_invite(tenant, msal_app(tenant, GRAPH_SECRET).acquire_token_for_client(SCOPES)["access_token"])


def test_msal_with_a_certificate_signs_with_ps256(tenant, certificate):
    public, private = certificate
    credential = {"private_key": private, "public_certificate": public}
    assert can_invite(tenant, msal_app(tenant, credential).acquire_token_for_client(SCOPES)["access_token"])


def test_msal_with_the_older_thumbprint_signs_with_rs256(tenant, certificate):
    public, private = certificate
    credential = {"private_key": private, "thumbprint": thumbprint(public, hashes.SHA1()).hex()}  # noqa: S303
    assert can_invite(tenant, msal_app(tenant, credential).acquire_token_for_client(SCOPES)["access_token"])


def test_msal_with_the_token_of_a_workload(tenant):
    credential = {"client_assertion": lambda: tenant.do("workload-token", subject=WORKER)["token"]}
    assert can_invite(tenant, msal_app(tenant, credential).acquire_token_for_client(SCOPES)["access_token"])


def test_msal_uses_one_assertion_for_several_requests(tenant, certificate):
    """Why a used assertion is refused only when that is switched on."""
    public, private = certificate
    app = msal_app(tenant, {"private_key": private, "public_certificate": public})
    for scope in (SCOPES, [f"{tenant.https}/.default"]):
        assert "access_token" in app.acquire_token_for_client(scope)
    tenant.do("settings", refuse_used_assertions=True)
    refused = app.acquire_token_for_client([f"{tenant.base}/.default"])
    assert "AADSTS50027" in refused["error_description"]


def test_msal_tells_a_wrong_key(tenant, certificate):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    credential = {"private_key": other.decode(), "public_certificate": certificate[0]}
    refused = msal_app(tenant, credential).acquire_token_for_client(SCOPES)
    assert refused["error"] == "invalid_client"
    assert "AADSTS700027" in refused["error_description"]


@pytest.mark.parametrize("kind", ["secret", "certificate", "workload"])
def test_msal_signs_a_person_in(tenant, browser, certificate, kind):
    public, private = certificate
    credential = {
        "secret": "devtenant-signin-secret",
        "certificate": {"private_key": private, "public_certificate": public},
        "workload": {
            "client_assertion": lambda: tenant.do("workload-token", subject="system:serviceaccount:clinic:web")["token"]
        },
    }[kind]
    app = msal_app(tenant, credential, SIGNIN_CLIENT)
    flow = app.initiate_auth_code_flow([], redirect_uri=REDIRECT, response_mode="form_post")
    (posted,) = Form(browser.open(flow["auth_uri"]).press(SPONSOR).page.text).forms
    assert posted["action"] == REDIRECT
    result = app.acquire_token_by_auth_code_flow(flow, posted["fields"])
    assert result["id_token_claims"]["oid"] == known_id(SPONSOR), result
    assert result["id_token_claims"]["iss"] == f"{tenant.https}/{TENANT}/v2.0"
    assert app.get_accounts()


# -- by hand ----------------------------------------------------------------------------------------------------------


def endpoint(tenant):
    return f"{tenant.base}/{TENANT}/oauth2/v2.0/token"


def ask(tenant, assertion, **changes):
    form = {
        "grant_type": "client_credentials",
        "client_id": GRAPH_CLIENT,
        "client_assertion_type": ASSERTION,
        "client_assertion": assertion,
        "scope": SCOPES[0],
    } | changes
    answer = requests.post(endpoint(tenant), data=form, timeout=5)
    return answer.status_code, answer.json().get("error_codes", [])


def assertion(tenant, certificate, *, algorithm="PS256", header=None, **changes):
    public, private = certificate
    now = int(time.time())
    claims = {
        "aud": endpoint(tenant),
        "iss": GRAPH_CLIENT,
        "sub": GRAPH_CLIENT,
        "jti": str(uuid.uuid4()),
        "nbf": now,
        "exp": now + 600,
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    digest = base64.urlsafe_b64encode(thumbprint(public, hashes.SHA256())).rstrip(b"=").decode()
    return jwt.encode(claims, private, algorithm=algorithm, headers=header or {"x5t#S256": digest})


def test_a_good_assertion_is_taken_with_or_without_client_id(tenant, certificate):
    assert ask(tenant, assertion(tenant, certificate)) == (200, [])
    assert ask(tenant, assertion(tenant, certificate, algorithm="RS256"), client_id="") == (200, [])


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"aud": "https://elsewhere.example/token"}, 700023),
        ({"sub": str(uuid.uuid4())}, 700021),
        ({"exp": 1}, 700024),
        ({"exp": None}, 700024),
        ({"nbf": int(time.time()) + 4000}, 700024),
        ({"jti": None}, 50027),
        ({"header": {"x5t#S256": "bm90IG91cnM"}}, 700027),
        ({"header": {"kid": "nobody"}}, 700027),
        ({"algorithm": "PS512"}, 700027),
    ],
)
def test_an_assertion_that_is_wrong_in_one_way_is_refused(tenant, certificate, changes, number):
    assert ask(tenant, assertion(tenant, certificate, **changes)) == (401, [number])


def test_a_used_assertion_is_refused_when_switched_on(tenant, certificate):
    tenant.do("settings", refuse_used_assertions=True)
    once = assertion(tenant, certificate)
    assert ask(tenant, once) == (200, [])
    assert ask(tenant, once) == (401, [50027])


@pytest.mark.parametrize("nonsense", ["nonsense", "a.b.c", ""])
def test_nonsense_is_no_assertion(tenant, nonsense):
    assert ask(tenant, nonsense)[0] == 401


def test_the_type_of_an_assertion_must_be_said(tenant, certificate):
    assert ask(tenant, assertion(tenant, certificate), client_assertion_type="password") == (401, [50027])


def test_a_certificate_of_ones_own_can_be_registered_and_taken_away(tenant):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mine")])
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    assert ask(tenant, assertion(tenant, (public, private))) == (401, [700027])
    shown = tenant.do("apps", client_id=GRAPH_CLIENT, certificates=[public])
    assert set(shown["certificates"][0]) == {"x5t#S256", "x5t"}
    assert ask(tenant, assertion(tenant, (public, private))) == (200, [])
    tenant.do("apps", client_id=GRAPH_CLIENT, certificates=[])
    assert ask(tenant, assertion(tenant, (public, private))) == (401, [700027])


def test_an_hs256_assertion_with_the_public_certificate_as_secret_is_refused(tenant, certificate):
    digest = base64.urlsafe_b64encode(thumbprint(certificate[0], hashes.SHA256())).rstrip(b"=").decode()
    now = int(time.time())
    claims = {"aud": endpoint(tenant), "iss": GRAPH_CLIENT, "sub": GRAPH_CLIENT, "jti": "x", "exp": now + 60}
    forged = jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"x5t#S256": digest})
    assert ask(tenant, forged) == (401, [700027])


# -- workloads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({"subject": "system:serviceaccount:other:worker"}, 700213),
        ({"subject": WORKER, "issuer": "other-cluster"}, 700211),
        ({"subject": WORKER, "audience": "api://elsewhere"}, 700212),
        ({"subject": WORKER, "lifetime": -600}, 700024),
    ],
)
def test_a_workload_that_is_not_the_registered_one_is_refused(tenant, asked, number):
    assert ask(tenant, tenant.do("workload-token", **asked)["token"]) == (401, [number])


def test_a_workload_token_signed_by_another_key_is_refused(tenant, certificate):
    good = tenant.do("workload-token", subject=WORKER)["token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    kid = jwt.get_unverified_header(good)["kid"]
    assert ask(tenant, jwt.encode(claims, certificate[1], algorithm="RS256", headers={"kid": kid})) == (401, [50013])
    assert ask(tenant, jwt.encode(claims, certificate[1], algorithm="RS256", headers={"kid": "x"})) == (401, [50013])


def test_the_cluster_publishes_the_keys_of_its_tokens(tenant):
    minted = tenant.do("workload-token", subject=WORKER)
    where = f"{minted['issuer']}/.well-known/openid-configuration"
    found = requests.get(where, verify=str(tenant.data / "ca.pem"), timeout=5).json()
    assert found["issuer"] == minted["issuer"]
    keys = jwt.PyJWKSet.from_dict(requests.get(found["jwks_uri"], verify=str(tenant.data / "ca.pem"), timeout=5).json())
    key = keys[jwt.get_unverified_header(minted["token"])["kid"]]
    claims = jwt.decode(minted["token"], key, algorithms=["RS256"], audience="api://AzureADTokenExchange")
    assert claims["sub"] == WORKER


# -- discovery and rotation -------------------------------------------------------------------------------------------


def test_discovery_says_how_apps_may_prove_themselves(tenant):
    found = requests.get(f"{tenant.base}/{TENANT}/v2.0/.well-known/openid-configuration", timeout=5).json()
    assert found["token_endpoint_auth_methods_supported"] == [
        "client_secret_post",
        "private_key_jwt",
        "client_secret_basic",
    ]
    assert found["frontchannel_logout_supported"] is True


def test_old_keys_are_published_until_they_are_dropped(tenant, browser):
    keys = f"{tenant.base}/{TENANT}/discovery/v2.0/keys"
    before = browser.start().press(SPONSOR).press("verify").redeem_code().json()["id_token"]
    fresh = tenant.do("rotate-keys")["kid"]
    old = jwt.get_unverified_header(before)["kid"]
    assert {old, fresh} <= {key["kid"] for key in requests.get(keys, timeout=5).json()["keys"]}
    assert old in tenant.do("drop-old-keys")["dropped"]
    assert [key["kid"] for key in requests.get(keys, timeout=5).json()["keys"]] == [fresh]
    after = browser.start().redeem_code().json()["id_token"]
    assert jwt.get_unverified_header(after)["kid"] == fresh
