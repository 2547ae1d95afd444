"""Documents: decoded within limits, markup never passed through."""

import base64

import pytest

from records.display import documents
from records.display.documents import Form


def encoded(content, charset="utf-8"):
    return base64.b64encode(content if isinstance(content, bytes) else content.encode(charset)).decode()


def body(content, kind="text/plain", **more):
    return documents.body_of({"contentType": kind, "data": encoded(content), **more})


def document(**more):
    return documents.of({"resourceType": "DocumentReference", "id": "d", "status": "current", **more})


def test_a_note_is_shown_as_text_with_its_lines():
    read = body("\n# Chief Complaint\r\nNo complaints.\n", "text/plain; charset=utf-8")
    assert (read.form, read.text) == (Form.TEXT, "# Chief Complaint\nNo complaints.")


@pytest.mark.parametrize(
    ("charset", "name"), [("utf-8", "utf-8"), ("latin-1", "iso-8859-1"), ("cp1252", "windows-1252")]
)
def test_the_stated_encoding_is_used(charset, name):
    data = encoded("Grüße", charset)
    assert documents.body_of({"contentType": f'text/plain; charset="{name}"', "data": data}).text == "Grüße"


@pytest.mark.parametrize("charset", ["idna", "zlib", "rot13", "no-such", "utf-7", ""])
def test_an_encoding_that_is_none_for_text_is_ignored(charset):
    assert body("plain", f"text/plain; charset={charset}").text == "plain"


def test_bytes_that_are_no_text_are_replaced_and_never_raise():
    assert body(b"a\xff\x00b").text == "a\ufffdb"


@pytest.mark.parametrize("data", ["not base64!", "abc", 7, None, {"x": 1}, "", "\ud800"])
def test_damaged_content_says_so(data):
    read = documents.body_of({"contentType": "text/plain", "data": data})
    assert read.form is Form.ABSENT
    assert read.absent


def test_an_empty_or_too_long_text_says_so():
    assert body(" \n ").absent == "The text is empty."
    assert "too long" in body("x" * (documents.MOST_BYTES + 10)).absent
    assert "too long" in body("x" * (documents.MOST_BYTES + 10), "text/html").absent


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("application/pdf", "PDF file, 1 kB"),
        ("image/png", "Picture"),
        ("application/xml", "File of type application/xml"),
        ("text/rtf", "File of type text/rtf"),
    ],
)
def test_other_files_are_named_and_not_opened(kind, words):
    read = body("<script>alert(1)</script>", kind)
    assert read.form is Form.ABSENT
    assert words in read.absent


def test_a_file_that_the_source_keeps_says_so_without_its_address():
    read = documents.body_of({"contentType": "application/pdf", "url": "https://elsewhere.example/1"})
    assert "keeps this file" in read.absent
    assert "elsewhere" not in read.absent


@pytest.mark.parametrize(
    "url", ["data:text/html,<script>alert(1)</script>", "javascript:alert(1)", "file:///etc/passwd"]
)
def test_an_address_that_would_run_or_reach_is_not_shown(url):
    held = documents.body_of({"contentType": "text/html", "title": "Letter", "url": url})
    assert held.form is documents.Form.ABSENT
    assert not [text for text in (held.title, held.text, held.html, held.absent) if url in text]


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<p onclick=alert(1)>x</p>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href='https://elsewhere.example'>x</a>",
        "<iframe src='//elsewhere.example'></iframe>",
        "<img src='data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+'>",
        "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
        "<svg><image href='data:image/png;base64,AAAA'/><style>*{background:url(data:,x)}</style></svg>",
        "<style>body{display:none}</style>",
        "<p style='position:fixed'>x</p>",
        "<svg><script>alert(1)</script></svg>",
        "<math><mtext></mtext><mglyph><style><img src=x onerror=alert(1)></style></mglyph></math>",
        "<form action=/><input name=x></form>",
        "<object data='x'></object><embed src=x>",
        "<meta http-equiv=refresh content='0;url=//elsewhere.example'>",
        "<link rel=stylesheet href=//elsewhere.example>",
        "<base href=//elsewhere.example>",
        "<div id=maincontent class=cp-banner>x</div>",
        "<!--[if IE]><script>alert(1)</script><![endif]-->",
        "<p>\u202eevil\u202c</p>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    ],
)
def test_markup_that_loads_runs_or_imitates_is_removed(hostile):
    safe = str(documents.sanitised(hostile)).lower()
    for trace in (
        "script",
        "onerror",
        "onclick",
        "href",
        "src",
        "style",
        "iframe",
        "form",
        "input",
        "class",
        "id=",
        "http",
        "alert",
    ):
        assert f"<{trace}" not in safe
        assert f" {trace}" not in safe.replace("alert(1)", "")
    read = body(hostile + "<p>rest</p>", "text/html")
    assert "\u202e" not in str(read.html)
    assert "rest" in str(read.html)


def test_formatting_of_a_narrative_stays_below_the_pages_own_headings():
    read = body("<h1>A</h1><table><tr><th scope='row'>B</th><td colspan=2>C<br/>D</td></tr></table>", "text/html")
    assert (
        str(read.html)
        == '<h4>A</h4><table><tbody><tr><th scope="row">B</th><td colspan="2">C<br>D</td></tr></tbody></table>'
    )


def test_a_narrative_stands_in_where_no_attachment_can_be_read():
    read = document(
        content=[{"attachment": {"contentType": "application/pdf", "data": "AAAA"}}], text={"div": "<div>told</div>"}
    )
    assert [b.form for b in read.bodies] == [Form.HTML, Form.ABSENT]
    readable = document(
        content=[{"attachment": {"contentType": "text/plain", "data": encoded("x")}}], text={"div": "<div>told</div>"}
    )
    assert [b.form for b in readable.bodies] == [Form.TEXT]


def test_a_superseded_document_is_marked_and_stays():
    read = document(
        status="superseded",
        type={"text": "Letter"},
        date="2021-01-24",
        author=[{"display": "Dr. Alva958 Gleichner915"}],
    )
    assert (read.title, read.author, read.superseded, read.stands) == ("Letter", "Dr. Alva Gleichner", True, True)
    assert [mark.word for mark in read.marks] == ["Superseded"]


def test_what_a_document_replaces_is_known():
    read = document(
        relatesTo=[{"code": "replaces", "target": {"reference": "https://x.example/DocumentReference/1/_history/2"}}]
    )
    assert read.replaces == ("DocumentReference/1",)


def test_what_is_missing_is_said():
    read = document()
    assert (read.title, read.type, read.author, read.date.text) == (
        "Document without a title", "Type not recorded", "Author not recorded", "Date not recorded",
    )  # fmt: skip


def test_a_report_is_a_document_with_a_conclusion_and_results():
    read = documents.of(
        {
            "resourceType": "DiagnosticReport",
            "id": "r",
            "status": "preliminary",
            "code": {"text": "CT of head"},
            "conclusion": "Line one\nLine two",
            "conclusionCode": [{"text": "Normal"}],
            "result": [{"reference": "Observation/1"}, {"display": "x"}],
            "presentedForm": [{"contentType": "text/plain", "data": encoded("Report")}],
        }
    )
    assert (read.title, read.conclusion) == ("CT of head", "Line one\nLine two\nNormal")
    assert read.results == ("Observation/1",)
    assert [mark.word for mark in read.marks] == ["Preliminary"]


def test_a_list_decodes_nothing():
    held = {"resourceType": "DocumentReference", "content": [{"attachment": {"data": encoded("x")}}]}
    assert documents.of(held, with_bodies=False).bodies == ()
