"""How the worker proves itself to the tenant, each way against the local one, and what is asked of which cloud."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from clinicportal.http import OutsideAllowlist, Session
from clinicportal.settings import CLOUDS, microsoft
from partners import entra
from partners.entra import credentials
from tests.devtenant.conftest import Process
from tests.partners.conftest import make_graph

WORKER = "system:serviceaccount:clinic:worker"


@pytest.fixture
def certificate(tenant: Process) -> dict[str, str]:
    """The settings that name the demonstration certificate of the local tenant."""
    return {
        "graph_client_secret": "",
        "graph_certificate_file": str(tenant.data / "app.pem"),
        "graph_certificate_key_file": str(tenant.data / "app-key.pem"),
    }


def works(graph: entra.Graph) -> bool:
    return graph.find_users("nobody@northfield.example") == []


def forget_the_token(graph: entra.Graph) -> None:
    """An hour later."""
    graph._tokens._until = 0.0
    app = graph._tokens._app
    if app is not None:
        app.token_cache._cache.clear()


def test_a_secret(tenant):
    assert credentials.kind(make_graph(tenant)._config) == "secret"
    assert works(make_graph(tenant))


def test_a_certificate_signs_with_ps256_and_is_named_by_sha256(tenant, certificate, monkeypatch):
    seen: list[dict[str, Any]] = []
    original = Session.request

    def listen(session: Session, method: str, url: str, *args: Any, **options: Any) -> requests.Response:
        if url.endswith("/token"):
            seen.append(options["data"])
        return original(session, method, url, *args, **options)

    monkeypatch.setattr(Session, "request", listen)
    graph = make_graph(tenant, **certificate)
    assert credentials.kind(graph._config) == "certificate"
    assert works(graph)
    import jwt

    [form] = seen
    header = jwt.get_unverified_header(form["client_assertion"])
    claims = jwt.decode(form["client_assertion"], options={"verify_signature": False})
    assert header["alg"] == "PS256"
    assert "x5t#S256" in header
    assert "x5t" not in header
    assert claims["iss"] == claims["sub"] == graph._config["graph_client_id"]
    assert "client_secret" not in form


def test_a_federated_token_is_read_anew_for_each_token(tenant, tmp_path):
    """The platform replaces it every hour; what was read at the start would end long before the process does."""
    file = tmp_path / "token"
    file.write_text(tenant.do("workload-token", subject=WORKER)["token"] + "\n")
    graph = make_graph(tenant, graph_client_secret="", graph_federated_token_file=str(file))
    assert credentials.kind(graph._config) == "federated token"
    assert works(graph)
    file.write_text("ended")
    assert works(graph)  # the token is good for its hour
    forget_the_token(graph)
    with pytest.raises(entra.TryLater, match="credentials"):
        works(graph)
    file.write_text(tenant.do("workload-token", subject=WORKER)["token"])
    assert works(graph)


def test_a_file_that_is_not_there_is_about_our_credentials(tenant, certificate, tmp_path):
    missing = str(tmp_path / "none")
    for changes in ({**certificate, "graph_certificate_file": missing},
                    {"graph_client_secret": "", "graph_federated_token_file": missing}):  # fmt: skip
        with pytest.raises(entra.TryLater, match="credentials"):
            works(make_graph(tenant, **changes))


def test_mending_the_tenants_side_helps_at_once(tenant):
    """MSAL would answer the same request from its memory for a minute where the tenant said 400 (unknown client)."""
    tenant.do("fail-next", operation="POST /token", status=400, code="unauthorized_client", times=1, odd=True)
    graph = make_graph(tenant)
    with pytest.raises(entra.TryLater, match=r"credentials|unreachable"):
        works(graph)
    started = time.monotonic()
    assert works(graph)
    assert time.monotonic() - started < 10


def test_a_token_that_graph_refuses_is_replaced(tenant):
    graph = make_graph(tenant)
    assert works(graph)
    graph._tokens._token = "revoked"
    with pytest.raises(entra.TryLater, match="token_refused"):
        works(graph)
    assert works(graph)


def test_one_token_serves_many_calls(tenant, monkeypatch):
    graph = make_graph(tenant)
    asked: list[str] = []
    original = credentials.Tokens._acquire
    monkeypatch.setattr(credentials.Tokens, "_acquire", lambda tokens: asked.append("") or original(tokens))
    for _ in range(3):
        assert works(graph)
    assert len(asked) == 1


# ---------------------------------------------------------------- clouds


@pytest.mark.parametrize(("cloud", "scope"), [
    ("global", "https://graph.microsoft.com/.default"), ("usgov", "https://graph.microsoft.us/.default"),
    ("dod", "https://dod-graph.microsoft.us/.default"),
    ("china", "https://microsoftgraph.chinacloudapi.cn/.default"),
])  # fmt: skip
def test_each_cloud_has_its_hosts_and_its_scope(cloud, scope):
    addresses = microsoft(cloud, "tid")
    assert addresses["authority"] == addresses["token_authority"] == f"https://{CLOUDS[cloud][0]}/tid"
    assert credentials.scope(addresses) == scope


@pytest.mark.parametrize("cloud", CLOUDS)
def test_no_other_host_is_asked_even_about_the_authority(cloud, monkeypatch):
    """MSAL would ask Microsoft's public cloud about an authority that it does not know."""
    addresses = microsoft(cloud, "tid")
    asked: list[str] = []

    def refuse(session: Session, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        asked.append(str(request.url))
        raise requests.ConnectionError

    monkeypatch.setattr(requests.Session, "send", refuse)
    session = Session(set(CLOUDS[cloud]))
    graph = entra.Graph(session, {**addresses, "graph_client_id": "c", "graph_client_secret": "s", "group_id": "g"})
    with pytest.raises(entra.TryLater, match="unreachable"):
        graph.find_users("nobody@northfield.example")
    assert asked
    assert all(url.startswith(f"https://{CLOUDS[cloud][0]}/tid/") for url in asked)
    with pytest.raises(OutsideAllowlist):
        session.get("https://login.microsoftonline.example/")


def test_a_redirect_is_an_answer_and_is_not_followed(tenant):
    graph = make_graph(tenant)
    assert works(graph)
    tenant.do(
        "fail-next", operation="GET /users", status=302, code="", headers={"Location": "https://elsewhere.example/"},
        odd=True,
    )  # fmt: skip
    with pytest.raises(entra.Refused, match="unknown_refusal"):
        works(graph)
