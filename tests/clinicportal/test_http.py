"""The one way out."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from clinicportal.http import OutsideAllowlist, Session


@pytest.fixture
def server():
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Host"])
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("Location", "http://169.254.169.254/")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd.server_port, seen
    httpd.shutdown()
    httpd.server_close()


def test_only_configured_hosts_are_called():
    session = Session({"login.example"})
    for url in ("https://other.example/", "https://login.example:8443/", "https://login.example@other.example/"):
        with pytest.raises(OutsideAllowlist):
            session.get(url)


def test_names_below_localhost_mean_this_machine(server):
    port, seen = server
    host = f"login.localhost:{port}"
    assert Session({host}).get(f"http://{host}/").status_code == 200
    assert seen == [host]


def test_a_redirect_is_not_followed(server):
    port, seen = server
    answer = Session({f"127.0.0.1:{port}"}).get(f"http://127.0.0.1:{port}/away")
    assert (answer.status_code, len(seen)) == (302, 1)


def test_the_environment_does_not_change_the_way_out(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    session = Session({"x"}, ca_file="/ours.pem")
    merged = session.merge_environment_settings("https://x/", {}, None, None, None)
    assert (merged["verify"], dict(merged["proxies"])) == ("/ours.pem", {})
