"""Files that came with a document, and CDA: what is handed on, what is read, and what neither may do."""

from __future__ import annotations

import base64

import pytest

from records.display import cda, documents, files


def attachment(kind: str, content: bytes) -> dict:
    return {"contentType": kind, "data": base64.b64encode(content).decode()}


@pytest.mark.parametrize(
    ("said", "content", "type"),
    [
        ("application/pdf", b"%PDF-1.4 x", "application/pdf"),
        ("image/png", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("image/jpeg", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("application/octet-stream", b"%PDF-1.4 x", "application/pdf"),
        ("image/png", b"GIF89a", "image/gif"),
        ("image/svg+xml", b"<svg/>", None),
        ("application/pdf", b"<html><script>alert(1)</script>", None),
        ("image/png", b"\n\x89PNG\r\n\x1a\n", None),
        ("image/png", b"", None),
    ],
)
def test_a_file_is_what_its_first_bytes_say(said, content, type):
    file = files.of(attachment(said, content))
    assert (file and file.type) == type


@pytest.mark.parametrize("data", [None, 5, "%%%", ["x"], "AAAA" * 7_000_000])
def test_what_is_damaged_or_too_large_is_no_file(data):
    assert files.of({"contentType": "image/png", "data": data}) is None


def letter(inside: str, *, before: str = "") -> str:
    return (
        f'{before}<ClinicalDocument xmlns="urn:hl7-org:v3"><component><structuredBody><component><section>'
        f"<title>Plan &lt;b&gt;</title><text>{inside}</text></section></component></structuredBody></component>"
        "</ClinicalDocument>"
    )


def shown(markup: str) -> documents.Body:
    return documents.body_of(attachment("application/hl7-cda+xml", markup.encode()))


def test_sections_of_a_cda_become_headings_and_text():
    body = shown(
        letter("<paragraph>Stop <content styleCode='Bold'>aspirin</content>.</paragraph><list><item>One</item></list>")
    )
    assert body.form is documents.Form.HTML
    assert "<h4>Plan &lt;b&gt;</h4>" in body.html
    assert "<p>Stop <span>aspirin</span>.</p><ul><li>One</li></ul>" in body.html


def test_a_table_keeps_its_spans():
    body = shown(letter("<table><tbody><tr><td colspan='2'>x</td></tr></tbody></table>"))
    assert '<td colspan="2">x</td>' in body.html


@pytest.mark.parametrize(
    "hostile",
    [
        "<script xmlns='http://www.w3.org/1999/xhtml'>alert(1)</script>",
        "<linkHtml href='javascript:alert(1)'>x</linkHtml>",
        "<renderMultiMedia referencedObject='a'/>",
        "<paragraph onclick='alert(1)'>x</paragraph>",
        "<td colspan='2\" onload=\"alert(1)'>x</td>",
        "&lt;img src=x onerror=alert(1)&gt;",
    ],
)
def test_nothing_in_a_cda_runs_or_loads(hostile):
    html = str(shown(letter(f"<paragraph>kept</paragraph>{hostile}")).html).lower()
    assert "kept" in html
    for bad in ("<script", "<img", "javascript:", "onclick=", " onload", "href", "src="):
        assert bad not in html.replace("&lt;img src=x onerror=alert(1)&gt;", "")


@pytest.mark.parametrize(
    "markup",
    [
        letter("&a;", before='<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'),
        "<ClinicalDocument><unclosed>",
        "<other/>",
        "",
        "<" * 5000,
    ],
)
def test_what_is_no_plain_cda_is_named_and_not_shown(markup):
    assert cda.html_of(markup) == ""
    assert shown(markup or "x").form is documents.Form.ABSENT


def test_a_deeply_nested_text_is_read_to_its_end():
    deep = "<content>" * 3000 + "end" + "</content>" * 3000
    assert "end" in str(shown(letter(deep)).html)
