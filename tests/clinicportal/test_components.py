"""The page shell and the components: what they say, and that nothing hostile comes through them."""

import datetime as dt
import html.parser
import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django import forms
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DatabaseError
from django.http import Http404, HttpRequest
from django.template import engines
from django.test import RequestFactory
from django.utils.safestring import mark_safe
from django.views.defaults import bad_request, page_not_found, permission_denied, server_error
from jinja2 import nodes

from clinicportal import context
from clinicportal.dates import clinical_date, clinical_time, plain_date
from clinicportal.forms import WithHint, describe
from clinicportal.plots import Point, Series, plot, stack

HOSTILE = """"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"""
ROOT = Path(__file__).parents[2] / "clinicportal"
COMPONENTS = sorted((ROOT / "jinja2" / "components").glob("*.jinja"))


def render(source: str, **values: object) -> str:
    return engines["jinja2"].from_string(source).render(values)


class Markup(html.parser.HTMLParser):
    """Collects tags and attributes as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


TEMPLATES = sorted(path for path in ROOT.parent.glob("*/jinja2/**/*.jinja") if ".venv" not in path.parts)


def test_no_template_gives_a_name_of_ours_another_meaning():
    """What a page names so would stand for ours in the shell around it, too."""
    environment = engines["jinja2"].env
    taken = []
    for path in TEMPLATES:
        tree = environment.parse(path.read_text())
        named = {macro.name for macro in tree.find_all(nodes.Macro)}
        named |= {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
        taken += [(path.name, name) for name in sorted(named & set(environment.globals))]
    assert len(TEMPLATES) > 50
    assert taken == []


def assert_fit_for_strict_policy(text: str) -> None:
    """No inline style, script or handler, and none of the hostile elements."""
    for tag, attrs in Markup(text).tags:
        assert tag not in ("img", "style"), tag
        assert "style" not in attrs, (tag, attrs)
        assert not [name for name in attrs if name.startswith("on") or name == "hx-on"], (tag, attrs)
        if tag == "script":
            assert attrs.get("src"), "a script without src is inline"


CALLS = {
    "panel": '{% from "components/panels.jinja" import panel %}{% call panel(x, id="p") %}{{ x }}{% endcall %}',
    "effect": '{% from "components/panels.jinja" import effect %}{{ effect(x, x) }}',
    "checks": '{% from "components/panels.jinja" import checks %}'
    '{{ checks([{"state": "look", "strong": x, "text": x}]) }}',
    "check": '{% from "components/panels.jinja" import check %}{{ check("passed", x) }}',
    "notice": '{% from "components/panels.jinja" import notice %}{{ notice(x, x, kind="warning") }}',
    "facts": '{% from "components/panels.jinja" import facts %}{{ facts([{"label": x, "value": x, "note": x}]) }}',
    "empty": '{% from "components/panels.jinja" import empty %}{{ empty(x, x) }}',
    "links": '{% from "components/panels.jinja" import links %}{{ links([{"href": x, "text": x, "note": x}]) }}',
    "head": '{% from "components/page.jinja" import head %}{{ head(x, caption=x, lede=x) }}',
    "back": '{% from "components/page.jinja" import back %}{{ back(x, x) }}',
    "buttons": '{% from "components/page.jinja" import main_button, other_button, link_button %}'
    "{{ main_button(x, name=x, value=x) }}{{ other_button(x, href=x) }}{{ link_button(x, name=x, value=x) }}",
    "tag": '{% from "components/page.jinja" import tag %}{{ tag(x) }}',
    "undo": '{% from "components/page.jinja" import undo %}{{ undo(x, x, "") }}',
    "steps": '{% from "components/steps.jinja" import steps %}'
    '{{ steps([{"state": "current", "title": x, "text": x, "more": x, "steps": [{"text": x, "note": x}]}]) }}',
    "table": '{% from "components/tables.jinja" import table, row, cell %}'
    '{% call table(x, [x, {"text": x, "sub": [x], "href": x, "num": true}], id="t", phone="flow", aside=x, foot=x,'
    ' foot_end=x, lead=x, link={"href": x, "text": x}) %}{% call row() %}{{ cell(x, title=true) }}'
    "{{ cell(x, label=x, sub=x) }}{% endcall %}{% endcall %}",
    "flag": '{% from "components/flags.jinja" import flag %}{{ flag("high", x) }}',
    "banner": '{% from "components/chart.jinja" import banner %}{{ banner({"name": x, "gender": x, "age": x,'
    ' "born": "2001", "identifiers": [{"label": x, "value": x}]}, {"state": "known", "text": x},'
    ' {"href": x, "text": x}, {"href": x, "text": x}) }}',
    "menu": '{% from "components/chart.jinja" import record_menu %}'
    '{{ record_menu([{"href": x, "text": x, "note": x, "current": true}], x, {"href": x, "text": x}) }}',
    "since": '{% from "components/chart.jinja" import since %}'
    '{{ since([{"flag": x, "what": [x, x], "href": x, "text": x}], when) }}',
    "medicine": '{% from "components/chart.jinja" import medicine %}{{ medicine(x, [x], x, [x]) }}',
    "periods": '{% from "components/chart.jinja" import periods %}{{ periods([{"href": x, "text": x}], x) }}',
    "stack": '{% from "components/chart.jinja" import stack %}'
    '{% call stack(x, plots, id="st", periods=x, foot=x, foot_end=x) %}{{ x }}{% endcall %}',
    "trend": '{% from "components/chart.jinja" import trend %}'
    '{% call trend(x, plot, id="tr", now=x, foot=x) %}{{ x }}{% endcall %}',
    "person": '{% from "components/chart.jinja" import person_panel, patient_facts %}'
    '{{ person_panel({"name": x, "died": "2020"}, x) }}{{ patient_facts({"gender": x}) }}',
}


@pytest.mark.parametrize("name", CALLS)
def test_a_component_escapes_what_it_is_given_and_needs_no_inline_code(name):
    points = (Point(dt.date(2026, 3, 3), None, note=HOSTILE), Point(dt.date(2026, 4, 4), 4.0, HOSTILE, "high"))
    hostile = Series(points, title=HOSTILE, unit=HOSTILE, low=3, high=5, range_words=HOSTILE)
    period = {"since": dt.date(2026, 1, 1), "until": dt.date(2026, 6, 1)}
    when = dt.datetime(2026, 5, 24, 15, 40, tzinfo=dt.UTC)
    text = render(CALLS[name], x=HOSTILE, when=when, plot=plot(hostile, **period), plots=stack([hostile] * 2, **period))
    assert_fit_for_strict_policy(text)
    assert "49" not in text, "a value was read as a template"
    assert "<script" not in text
    seen = Markup(text)
    given = seen.text + " ".join(value or "" for _, attrs in seen.tags for value in attrs.values())
    assert HOSTILE in given, "the value is shown as it is"


def test_every_component_says_how_to_use_it():
    for path in COMPONENTS:
        assert "{#" in path.read_text()[:600], f"{path.name} does not open with its parameters"


def test_templates_and_script_hold_no_inline_code():
    for path in (ROOT / "jinja2").rglob("*.jinja"):
        text = re.sub(r"{#.*?#}", "", path.read_text(), flags=re.S)
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:|hx-on", text), path.name
        assert not re.search(r"<script(?![^>]*src=)", text), path.name
    script = (ROOT / "static/clinicportal/portal.js").read_text()
    assert not re.search(
        r"localStorage|sessionStorage\.(?!removeItem)|indexedDB|innerHTML|document\.cookie|\beval\(", script
    )


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("high", "High"),
        ("low", "Low"),
        ("critical-high", "Critically high"),
        ("critical-low", "Critically low"),
        ("corrected", "Corrected"),
        ("stopped", "Stopped"),
        ("preliminary", "Preliminary"),
        ("rejected", "Rejected"),
        ("new", "New"),
    ],
)
def test_a_flag_has_a_word_and_a_shape(kind, word):
    seen = Markup(render('{% from "components/flags.jinja" import flag %}{{ flag(kind) }}', kind=kind))
    assert seen.text.strip() == word
    assert seen.named("path") or seen.named("circle")


def test_a_flag_that_we_worked_out_says_so():
    text = render('{% from "components/flags.jinja" import flag %}{{ flag("high", computed=true) }}')
    assert Markup(text).text.strip() == "High, computed"


def test_a_table_keeps_its_roles_when_phones_lay_it_out_differently():
    seen = Markup(render(CALLS["table"], x="Sodium"))
    assert seen.named("table")[0]["role"] == "table"
    assert {attrs["role"] for attrs in seen.named("tr")} == {"row"}
    assert {attrs["role"] for attrs in seen.named("td")} == {"cell"}
    assert seen.named("tbody")[0]["role"] == "rowgroup"
    assert any(attrs.get("data-label") == "Sodium" and attrs.get("data-sub") == "Sodium" for attrs in seen.named("td"))


def test_the_banner_keeps_the_order_name_born_gender_number_and_hides_no_death():
    living = {
        "name": "TESTPATIENT, Alpha (Mx)",
        "born": dt.date(1945, 7, 14),
        "age": "80y",
        "gender": "Female",
        "identifiers": [{"label": "MRN, Main site", "value": "000 000 0001"}],
    }
    source = '{% from "components/chart.jinja" import banner %}{{ banner(patient, allergies) }}'
    text = Markup(render(source, patient=living, allergies={"state": "not-recorded"})).text
    positions = [text.index(word) for word in ("TESTPATIENT", "Born", "Gender", "MRN, Main site")]
    assert positions == sorted(positions)
    assert "Allergies not recorded" in text
    assert "No known" not in text

    dead = living | {"died": dt.date(2026, 3, 2), "age_at_death": "80y"}
    markup = render(source, patient=dead, allergies=None)
    assert "cp-banner--deceased" in markup
    assert "02-Mar-2026" in Markup(markup).text


def test_the_stepper_says_in_words_what_colour_says():
    source = '{% from "components/steps.jinja" import steps %}{{ steps(items) }}'
    items = [{"state": "done", "title": "Asked"}, {"state": "current", "title": "Decide"}, {"title": "Starts"}]
    seen = Markup(render(source, items=items))
    assert "Done: Asked" in seen.text
    assert "Now: Decide" in seen.text
    assert [attrs.get("aria-current") for attrs in seen.named("li")] == [None, "step", None]


# Dates


@pytest.mark.parametrize(
    ("value", "clinical", "plain"),
    [
        (dt.date(2026, 6, 1), "01-Jun-2026", "1 June 2026"),
        (dt.datetime(2026, 5, 31, 23, 30, tzinfo=dt.UTC), "01-Jun-2026", "1 June 2026"),  # already June in London
        ("2014", "2014", "2014"),
        ("2014-05", "May-2014", "May 2014"),
        ("2014-05-09", "09-May-2014", "9 May 2014"),
        ("2026-05-31T23:30:00+00:00", "01-Jun-2026", "1 June 2026"),
    ],
)
def test_a_date_is_shown_in_the_portals_zone_and_no_more_precise_than_it_is(value, clinical, plain):
    assert (clinical_date(value), plain_date(value)) == (clinical, plain)


def test_time_is_24_hours_in_the_portals_zone():
    assert clinical_time(dt.datetime(2026, 6, 1, 15, 5, tzinfo=dt.UTC)) == "16:05"


# Form fields


class Everything(forms.Form):
    email = forms.EmailField(label="Work email address", help_text="One person, one address.")
    age = forms.IntegerField(required=False)
    why = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), required=False)
    who = forms.ChoiceField(choices=[("a", "A"), ("b", "B")], required=False)
    see = forms.ChoiceField(
        widget=forms.RadioSelect,
        choices=[("usual", WithHint("Usual", hint="Problems, medicines")), ("mine", "Let me choose")],
    )
    sections = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple, choices=[("p", "Problems"), ("m", "Medicines")], required=False
    )
    sure = forms.BooleanField(label="I confirm", required=False)
    file = forms.FileField(required=False)
    token = forms.CharField(widget=forms.HiddenInput, required=False)
    moment = forms.SplitDateTimeField(required=False)


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("email", "nhsuk-input"),
        ("age", "nhsuk-input"),
        ("why", "nhsuk-textarea"),
        ("who", "nhsuk-select"),
        ("see", "nhsuk-radios"),
        ("sections", "nhsuk-checkboxes"),
        ("sure", "nhsuk-checkboxes"),
        ("file", "nhsuk-file-upload"),
    ],
)
def test_each_widget_is_drawn_by_its_component(name, component):
    text = Everything()[name].as_field_group()
    assert component in text
    assert "nhsuk-form-group" in text
    assert f'id="id_{name}"' in text
    assert " required" not in text, "we refuse with a sentence, not with the browser's bubble"


def test_a_widget_without_a_component_still_appears_with_label_and_input():
    seen = Markup(Everything()["moment"].as_field_group())
    assert [attrs["name"] for attrs in seen.named("input")] == ["moment_0", "moment_1"]


def test_a_hidden_field_has_no_label():
    assert Everything(initial={"token": "t"})["token"].as_field_group() == (
        '<input type="hidden" name="token" value="t" id="id_token">'
    )


def test_what_was_typed_is_kept_beside_the_error_and_is_escaped():
    form = Everything({"email": HOSTILE, "why": HOSTILE, "see": "mine", "sections": ["m"], "sure": "on", "who": "b"})
    drawn = {name: form[name].as_field_group() for name in form.fields}
    for text in drawn.values():
        assert_fit_for_strict_policy(text)
    assert Markup(drawn["email"]).named("input")[0]["value"] == HOSTILE
    assert Markup(drawn["why"]).text.count(HOSTILE) == 1
    assert [a["value"] for a in Markup(drawn["see"]).named("input") if "checked" in a] == ["mine"]
    assert [a["value"] for a in Markup(drawn["sections"]).named("input") if "checked" in a] == ["m"]
    assert [a["value"] for a in Markup(drawn["who"]).named("option") if "selected" in a] == ["b"]
    email = Markup(drawn["email"]).named("input")[0]
    assert email["aria-invalid"] == "true"
    assert (email["aria-describedby"] or "").split() == ["id_email-hint", "id_email-error"]
    assert 'id="id_email-error"' in drawn["email"]


def test_hints_suggestion_reasons_and_what_a_choice_reveals():
    form = Everything({"email": "x", "see": "mine"})
    describe(form.fields["email"], suggestion="a@b.example")
    describe(form.fields["why"], reasons=["New in the team", HOSTILE])
    describe(form.fields["see"], reveals={"mine": "sections"})
    see = form["see"].as_field_group()
    assert "Problems, medicines" in see
    assert 'name="sections"' in see
    email = Markup(form["email"].as_field_group())
    assert {"name": "use-email", "value": "a@b.example"}.items() <= email.named("button")[0].items()
    why = Markup(form["why"].as_field_group())
    assert next(attrs for attrs in why.named("div") if "data-fills" in attrs)["hidden"] is None
    assert HOSTILE in why.text


# The shell


class Session(dict):
    def get_expiry_age(self) -> int:
        return 900


@pytest.fixture
def ask():
    def ask(path: str = "/", **user: Any) -> HttpRequest:
        request: Any = RequestFactory().get(path)
        request.user = SimpleNamespace(is_authenticated=False)
        request.session = Session(capacities=user.pop("capacities", []))
        if user:
            request.user = SimpleNamespace(is_authenticated=True, pk=1, **{"staff_roles": [], **user})
        return request

    return ask


PAGE = """{% extends "layout.jinja" %}{% block title %}Add a colleague{% endblock %}
{% block content %}<h1>Add a colleague</h1>{% endblock %}"""


def page(request, **values) -> str:
    return engines["jinja2"].from_string(PAGE).render(values, request)


def test_a_refused_form_is_announced_in_the_title_and_summed_up_with_links(ask):
    form = Everything({"email": HOSTILE, "see": "mine", "age": "x"})
    text = page(ask(), form=form)
    assert_fit_for_strict_policy(text)
    assert "<title>Error: Add a colleague - clinicportal</title>" in text
    links = [attrs["href"] for attrs in Markup(text).named("a")]
    assert "#id_email" in links
    assert "#id_age" in links
    assert links.index("#id_email") < links.index("#id_age")


def test_a_form_that_was_not_sent_is_not_refused(ask):
    assert "<title>Add a colleague - clinicportal</title>" in page(ask(), form=Everything())


def test_the_shell_works_for_nobody_and_for_somebody(ask):
    nobody = page(ask())
    assert "Sign out" not in nobody
    assert "session-expires-in" not in nobody
    assert "session-dialog" not in nobody

    somebody = page(ask(display_name=HOSTILE))
    assert_fit_for_strict_policy(somebody)
    assert HOSTILE in Markup(somebody).text
    assert '<meta name="session-expires-in" content="900">' in somebody
    assert [attrs["method"] for attrs in Markup(somebody).named("form")] == ["post"], "signing out is a POST"


def test_the_shell_asks_only_our_own_origin(ask):
    for tag, attrs in Markup(page(ask(display_name="a nurse"))).tags:
        for name in ("src", "href", "action"):
            assert not re.match(r"[a-z]+:|//", attrs.get(name) or ""), (tag, attrs)


def test_the_navigation_follows_the_roles_and_leads_only_to_pages_that_exist(ask, monkeypatch, settings):
    exists = {"/approvals/", "/people/", "/account/", "/patients/"}

    assert context.is_there("/patients/")
    assert not context.is_there("/no-such-page/")
    monkeypatch.setattr(context, "is_there", exists.__contains__)

    def menu(path, **user):
        return [(item["href"], item["current"]) for item in context.page(ask(path, **user))["nav"]]

    assert menu("/approvals/7/", display_name="a", staff_roles=["approver"]) == [("/approvals/", True)]
    assert menu("/patients/", display_name="a", capacities=["guest"]) == [("/patients/", True), ("/account/", False)]
    assert menu("/people/add/", display_name="a", capacities=["sponsor"]) == [("/people/", True), ("/account/", False)]
    assert menu("/", display_name="a", staff_roles=["operator"]) == []


def test_a_page_appears_even_when_the_database_is_away(ask):
    request = ask()

    class Away:
        def __getattr__(self, name):
            raise DatabaseError("away")

    request.user = Away()
    text = engines["jinja2"].get_template("503.jinja").render({}, request)
    assert "not available right now" in text


@pytest.mark.parametrize("name", ["400", "403", "404", "500", "503", "csrf"])
def test_an_error_page_stands_alone(name, ask):
    bare = engines["jinja2"].get_template(f"{name}.jinja").render({})
    assert_fit_for_strict_policy(bare)
    headings = re.findall(r"<h1[^>]*>(.*?)</h1>", bare)
    assert len(headings) == 1
    assert headings[0]
    assert f"<title>{headings[0]} - clinicportal</title>" in bare


def test_a_refusal_is_shown_in_its_own_words_and_escaped(ask):
    text = engines["jinja2"].get_template("403.jinja").render({"reason": HOSTILE}, ask(display_name="a"))
    assert_fit_for_strict_policy(text)
    assert HOSTILE in Markup(text).text


# The drawing of a trend


def test_a_trend_leaves_out_what_lies_outside_the_period_and_marks_a_missing_value():
    points = (
        Point(dt.date(2025, 1, 1), 9.9, "9.9"),
        Point(dt.date(2026, 1, 12), 4.6, "4.6"),
        Point(dt.date(2026, 3, 3), None, note="Specimen rejected"),
        Point(dt.date(2026, 6, 1), 5.9, "5.9", "high"),
    )
    potassium = Series(points, unit="mmol/L", low=3.5, high=5.3)
    drawn = plot(potassium, since=dt.date(2025, 6, 1), until=dt.date(2026, 6, 1))
    assert [point["shape"] for point in drawn.wide.points] == ["dot", "cross", "up"]
    assert [point["text"] for point in drawn.wide.points] == ["4.6", "Specimen rejected", "High 5.9"]
    assert len(drawn.wide.line.split()) == 2, "no line through a value that is not there"
    for frame in (drawn.wide, drawn.narrow):
        for point in frame.points:
            assert frame.left <= point["x"] <= frame.right
            assert frame.top <= point["y"] <= frame.bottom
    assert [tick["text"] for tick in drawn.wide.x_ticks] == [
        "01-Jun-2025", "01-Sep-2025", "01-Dec-2025", "01-Mar-2026", "01-Jun-2026",
    ]  # fmt: skip
    assert "2 values" in drawn.summary
    assert "latest 5.9 mmol/L" in drawn.summary


@pytest.mark.parametrize("values", [[], [None], [0], [0, 0], [-3, 5], [1e6, 1.0000001e6], [0.001, 0.002]])
def test_a_trend_can_be_drawn_whatever_the_values(values):
    points = tuple(Point(dt.date(2026, 1, n + 1), value, str(value)) for n, value in enumerate(values))
    drawn = plot(Series(points), since=dt.date(2026, 1, 1), until=dt.date(2026, 1, 1 + max(1, len(values))))
    assert len(drawn.wide.points) == len(values)
    assert 2 <= len(drawn.wide.y_ticks) <= 9


def test_drawings_below_each_other_share_one_time_axis_and_a_line_reads_all_of_them():
    potassium = Series((Point(dt.date(2026, 1, 12), 4.6, "4.6"), Point(dt.date(2026, 6, 1), 5.9, "5.9", "high")), "K")
    cells = Series((Point(dt.date(2026, 1, 12), 250000.0, "250,000"), Point(dt.date(2026, 3, 3), 1.0, "1")), "Cells")
    drawn = stack([potassium, cells], since=dt.date(2025, 6, 1), until=dt.date(2026, 6, 1))
    for tall in (drawn.wide, drawn.narrow):
        upper, lower = (panel.frame for panel in tall.panels)
        assert upper.points[0]["x"] == lower.points[0]["x"], "one day stands at two places"
        assert [tick["x"] for tick in upper.x_ticks] == [tick["x"] for tick in lower.x_ticks]
        assert (upper.dated, lower.dated) == (False, True)
        assert tall.panels[1].top >= upper.bottom
    assert [(moment.day, moment.readings) for moment in drawn.wide.moments] == [
        ("12-Jan-2026", ("4.6", "250,000")),
        ("03-Mar-2026", ("", "1")),
        ("01-Jun-2026", ("5.9 High", "")),
    ]
    strips = [(moment.start, moment.start + moment.width) for moment in drawn.wide.moments]
    assert all(end <= start + 0.1 for (_, end), (start, _) in itertools.pairwise(strips)), "two days at one place"
    assert "K: 2 values" in drawn.summary
    assert "Cells: 2 values" in drawn.summary


def test_safe_markup_in_help_text_is_kept():
    class Helped(forms.Form):
        name = forms.CharField(help_text=mark_safe("See <b>the list</b>"))

    assert "<b>the list</b>" in Helped()["name"].as_field_group()


@pytest.mark.parametrize(
    ("handler", "heading"),
    [
        (lambda request: page_not_found(request, Http404("secret")), "This page is not available to you"),
        (lambda request: permission_denied(request, PermissionDenied("Only the sponsor can")), "You cannot do this"),
        (lambda request: bad_request(request, SuspiciousOperation("secret")), "We could not read this request"),
        (server_error, "Something went wrong on our side"),
    ],
)
def test_djangos_own_handlers_show_our_pages_and_no_inner_detail(ask, handler, heading):
    text = handler(ask(display_name="a nurse")).content.decode()
    assert f"<h1>{heading}</h1>" in text
    assert "secret" not in text
