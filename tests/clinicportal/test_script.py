"""portal.js in a real browser, under the policy of production: it enhances, warns, and keeps nothing."""

import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django import forms
from django.contrib.staticfiles import finders
from django.template import engines
from django.test import RequestFactory
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from clinicportal.forms import describe

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'"
)
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

PAGE = """{% extends "layout.jinja" %}
{% from "components/chart.jinja" import banner, record_menu %}
{% from "components/tables.jinja" import table, row, cell %}
{% block title %}Add a colleague{% endblock %}
{% block banner %}{{ banner({"name": "TESTPATIENT, Alpha", "born": "1945-07-14"}) }}{% endblock %}
{% block content %}
<h1>Add a colleague</h1>
{{ record_menu([{"href": "#results", "text": "Results", "current": true}, {"href": "#problems", "text": "Problems"}]) }}
<form method="post" novalidate>{{ csrf_input }}
{% for field in form if field.name != "sections" %}{{ field.as_field_group() }}{% endfor %}</form>
<div data-keys>{% call table("Yours", ["Who"], id="yours") %}
{% for name in ["First", "Second"] %}
{% call row() %}{% call cell(title=true) %}<a href="#">{{ name }}</a>{% endcall %}{% endcall %}
{% endfor %}
{% endcall %}</div>
{% endblock %}"""


class Form(forms.Form):
    why = forms.CharField(label="Why")
    see = forms.ChoiceField(
        label="See", widget=forms.RadioSelect, choices=[("usual", "Usual"), ("own", "Let me choose")]
    )
    sections = forms.MultipleChoiceField(
        label="Sections", widget=forms.CheckboxSelectMultiple, choices=[("p", "Problems")]
    )


class Portal:
    """Serves PAGE and the static files, and answers the keep-alive as the portal would."""

    def __init__(self) -> None:
        self.alive = True
        self.stays: list[str | None] = []
        self.person = 1
        portal = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/static/"):
                    found = finders.find(self.path.removeprefix("/static/"))
                    if not found:
                        return self.send_error(404)
                    return self.answer(Path(found).read_bytes(), TYPES.get(Path(found).suffix, "text/plain"))
                return self.answer(portal.page().encode(), "text/html; charset=utf-8")

            def do_POST(self) -> None:
                if self.path == "/stay/":
                    portal.stays.append(self.headers.get("X-CSRFToken"))
                    self.send_response(204 if portal.alive else 403)
                    return self.end_headers()
                return self.answer(b"<!doctype html><title>Signed out</title>", "text/html")

            def answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def page(self) -> str:
        form = Form(initial={"why": ""})
        describe(form.fields["why"], reasons=["New in the team", "Study"])
        describe(form.fields["see"], reveals={"own": "sections"})
        request: Any = RequestFactory().get("/")
        request.session = type("Session", (dict,), {"get_expiry_age": lambda self: 900})()
        request.user = SimpleNamespace(is_authenticated=True, pk=self.person, staff_roles=[], display_name="a nurse")
        return engines["jinja2"].from_string(PAGE).render({"form": form}, request)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine: install Debian's package `chromium` (make test does where it may)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    # Without waiting for the poll of serve_forever, which takes half a second each time.
    threading.Thread(target=portal.server.shutdown, daemon=True).start()


@pytest.fixture
def tabs(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def page(tabs: BrowserContext, portal: Portal) -> Iterator[Page]:
    """The page, with a clock that stands until a test moves it; nothing on it may break the policy."""
    broken: list[str] = []
    page = tabs.new_page()
    page.on(
        "console", lambda message: broken.append(message.text) if "Content Security Policy" in message.text else None
    )
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.clock.install()
    page.goto(portal.url)
    page.wait_for_function("document.body.classList.length > 0 || !document.querySelector('[data-fills]').hidden")
    yield page
    assert broken == []


def test_the_warning_comes_two_minutes_before_the_end_and_one_press_keeps_the_session(page, portal):
    page.clock.fast_forward("12:55")
    assert not page.get_by_role("dialog").is_visible()
    page.clock.fast_forward("00:10")
    dialog = page.get_by_role("dialog", name="Are you still there?")
    dialog.wait_for()
    assert "2 minutes" in dialog.inner_text()
    dialog.get_by_role("button", name="Stay signed in").click()
    dialog.wait_for(state="hidden")
    assert len(portal.stays) == 1
    assert portal.stays[0], "the CSRF token is sent"
    page.clock.fast_forward("12:55")
    assert not page.get_by_role("dialog").is_visible()


def test_when_the_session_ends_the_page_is_covered_and_what_was_typed_stays(page, portal):
    page.get_by_label("Why").fill("New in the team")
    page.clock.fast_forward("13:05")
    page.get_by_role("dialog").wait_for()
    page.clock.run_for(2 * 60 * 1000)
    dialog = page.get_by_role("dialog", name="You have been signed out")
    dialog.wait_for()
    assert "What you typed is kept" in dialog.inner_text()
    assert page.get_by_label("Why", exact=True).input_value() == "New in the team"
    backdrop = page.evaluate("getComputedStyle(document.querySelector('dialog'), '::backdrop').backgroundColor")
    assert backdrop == "rgb(240, 244, 245)", "opaque: nobody reads the record behind it"
    page.keyboard.press("Escape")
    assert dialog.is_visible()


def test_a_session_that_the_server_has_ended_is_not_prolonged(page, portal):
    portal.alive = False
    page.clock.fast_forward("13:05")
    page.get_by_role("button", name="Stay signed in").click()
    page.get_by_role("dialog", name="You have been signed out").wait_for()


def test_signing_in_again_in_another_tab_gives_the_page_back_with_a_new_token(page, tabs, portal):
    page.get_by_label("Why").fill("New in the team")
    page.clock.fast_forward("13:05")
    page.get_by_role("dialog").wait_for()
    page.clock.run_for(2 * 60 * 1000)
    page.get_by_role("dialog", name="You have been signed out").wait_for()
    before = page.locator('main input[name="csrfmiddlewaretoken"]').input_value()
    tabs.new_page().goto(portal.url)
    page.get_by_role("dialog").wait_for(state="hidden")
    assert page.get_by_label("Why").input_value() == "New in the team"
    assert page.locator('main input[name="csrfmiddlewaretoken"]').input_value() != before


def test_somebody_else_signing_in_empties_the_page(page, tabs, portal):
    page.get_by_label("Why").fill("typed by the first person")
    portal.person = 2
    with page.expect_navigation():
        tabs.new_page().goto(portal.url)
    assert page.get_by_label("Why").input_value() == ""


def test_signing_out_in_one_tab_empties_the_others(page, tabs, portal):
    other = tabs.new_page()
    other.goto(portal.url)
    portal.alive = False
    with page.expect_navigation():
        other.get_by_role("button", name="Sign out").click()
        page.clock.run_for(3000)


def test_nothing_is_kept_in_web_storage(page):
    page.get_by_label("Why").fill("something")
    page.clock.fast_forward("13:05")
    page.get_by_role("dialog").wait_for()
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    assert page.evaluate("indexedDB.databases().then((all) => all.length)") == 0


def test_a_chip_fills_the_field_below_which_it_stands(page):
    chip = page.get_by_role("button", name="Study")
    chip.click()
    assert page.get_by_label("Why").input_value() == "Study"
    assert chip.get_attribute("aria-pressed") == "true"


def test_j_and_k_move_through_the_work_list_but_not_while_typing(page):
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == "Second"
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.textContent") == "First"
    page.get_by_label("Why").press("j")
    assert page.get_by_label("Why").input_value() == "j"


def test_a_choice_reveals_what_belongs_to_it(page):
    assert not page.get_by_label("Problems", exact=True).is_visible()
    page.get_by_label("Let me choose").check()
    assert page.get_by_label("Problems", exact=True).is_visible()


def test_without_script_the_page_works_and_offers_no_dead_controls(browser, portal):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto(portal.url)
    assert not page.get_by_role("button", name="Study").is_visible()
    assert page.get_by_role("button", name="Sign out").is_visible()
    menu = page.get_by_text("Record: Results")
    assert not page.get_by_role("link", name="Problems").is_visible()
    menu.click()
    assert page.get_by_role("link", name="Problems").is_visible()
    context.close()


def test_on_a_phone_the_name_stays_in_view_and_the_page_does_not_scroll_sideways(browser, portal):
    context = browser.new_context(viewport={"width": 320, "height": 480})
    page = context.new_page()
    page.goto(portal.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.evaluate("scrollTo(0, 600)")
    assert page.locator(".cp-banner__name").bounding_box()["y"] < 20
    context.close()
