"""Letters, notes, reports and forms: DocumentReference, DiagnosticReport, Composition, QuestionnaireResponse.

Text is decoded within limits. HTML, of an attachment or a narrative, is reduced to the formatting that FHIR allows in
a narrative, without styles, links, pictures or anything that loads or runs; other kinds of file are named, not opened.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from enum import StrEnum

import nh3
from django.utils.translation import ngettext
from markupsafe import Markup

from clinicportal.texts import gettext as _
from records.display import answers, cda, codes, dates, fhir, files
from records.display.answers import Answer
from records.display.dates import When
from records.display.marks import Kind, Mark, entered_in_error
from records.display.words import clean, clean_lines

MOST_BYTES = 1024 * 1024
"""Size of one text that is decoded and shown; a letter has a few thousand."""

# FHIR R4, Narrative: the basic formatting elements of HTML 4.0, chapters 7-11 and 15. Links and images are allowed
# there and not here: one leads out of the record, the other tells its server who is reading.
_TAGS = {
    "b", "big", "blockquote", "br", "caption", "cite", "code", "col", "colgroup", "dd", "del", "dfn", "div", "dl",
    "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "ins", "kbd", "li", "ol", "p", "pre", "q", "s", "samp",
    "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "u", "ul",
    "var",
}  # fmt: skip
_ATTRIBUTES = {"td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan", "scope"}, "ol": {"start"}}
# The page has its own h1 and h2: headings inside a document stand below them.
_HEADINGS = re.compile(r"<(/?)h[1-6]>")


_NOTHING = Markup()


class Form(StrEnum):
    TEXT = "text"
    HTML = "html"
    FILE = "file"
    ABSENT = "absent"


@dataclass(frozen=True)
class Body:
    """One part of a document. `html` is safe to print; `text` is not escaped; `absent` says why there is neither.

    A file is fetched by its `place` among the attachments; a `picture` stands in the page.
    """

    form: Form
    title: str = ""
    text: str = ""
    html: Markup = _NOTHING
    absent: str = ""
    place: int = -1
    picture: bool = False
    size: str = ""


@dataclass(frozen=True)
class Document:
    """A letter, note or report. `superseded` ones stay readable; `row` is our id of the resource, for links."""

    title: str
    type: str
    author: str
    date: When
    category: str = ""
    by: str = ""
    marks: tuple[Mark, ...] = ()
    conclusion: str = ""
    bodies: tuple[Body, ...] = ()
    notes: tuple[str, ...] = ()
    stands: bool = True
    superseded: bool = False
    replaces: tuple[str, ...] = ()
    reference: str = ""
    period: str = ""
    results: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    row: str = ""


def of(resource: fhir.Json, zone: tzinfo = UTC, *, with_bodies: bool = True, row: str = "") -> Document:
    """Read any of the kinds of resource; without bodies for lists, which then decode nothing."""
    read = _READERS.get(str(resource.get("resourceType")), _document)
    return replace(read(resource, zone, with_bodies=with_bodies), row=row)


def sort(documents: Iterable[Document]) -> tuple[Document, ...]:
    """Newest first. Superseded ones keep their place: most of what some sources send is superseded."""
    return tuple(sorted(documents, key=lambda item: item.date.order, reverse=True))


def _document(resource: fhir.Json, zone: tzinfo, *, with_bodies: bool) -> Document:
    attachments = [fhir.mapping(content.get("attachment")) for content in fhir.mappings(resource.get("content"))]
    kind = codes.text_of(resource.get("type"))
    titles = [clean(attachment.get("title")) for attachment in attachments]
    status = fhir.plain_code(resource.get("status"))
    context = fhir.mapping(resource.get("context"))
    first = attachments[0] if attachments else {}
    return Document(
        title=clean(resource.get("description"))
        or next(filter(None, titles), "")
        or kind
        or _("Document without a title"),
        type=kind or _("Type not recorded"),
        category=codes.joined(list(codes.texts_of(resource.get("category")))),
        author=codes.names_of(resource.get("author")) or _("Author not recorded"),
        by=codes.referred(resource.get("custodian")),
        date=dates.read(resource.get("date") or first.get("creation"), zone),
        period=_period(context.get("period"), zone),
        marks=_document_marks(status, fhir.plain_code(resource.get("docStatus"))),
        bodies=_bodies(attachments, resource) if with_bodies else (),
        stands=status != "entered-in-error",
        superseded=status == "superseded",
        replaces=_replaced(resource),
        reference=f"DocumentReference/{clean(resource.get('id'))}",
    )


def _report(resource: fhir.Json, zone: tzinfo, *, with_bodies: bool) -> Document:
    attachments = fhir.mappings(resource.get("presentedForm"))
    kind = codes.text_of(resource.get("code"))
    status = fhir.plain_code(resource.get("status"))
    concluded = [clean_lines(resource.get("conclusion")).strip(), *codes.texts_of(resource.get("conclusionCode"))]
    effective = dates.occurrence(resource, "effective", zone)
    return Document(
        title=kind or _("Report without a title"),
        type=codes.joined(list(dict.fromkeys(codes.texts_of(resource.get("category"))))) or _("Report"),
        author=codes.names_of(resource.get("resultsInterpreter"))
        or codes.names_of(resource.get("performer"))
        or _("Author not recorded"),
        date=effective if effective.known else dates.read(resource.get("issued"), zone),
        marks=_report_marks(status),
        conclusion="\n".join(filter(None, concluded)),
        bodies=_bodies(attachments, resource) if with_bodies else (),
        stands=status != "entered-in-error",
        reference=f"DiagnosticReport/{clean(resource.get('id'))}",
        results=tuple(filter(None, map(fhir.reference_key, fhir.mappings(resource.get("result"))))),
    )


def _composition(resource: fhir.Json, zone: tzinfo, *, with_bodies: bool) -> Document:
    kind = codes.text_of(resource.get("type"))
    status = fhir.plain_code(resource.get("status"))
    return Document(
        title=clean(resource.get("title")) or kind or _("Document without a title"),
        type=kind or _("Type not recorded"),
        category=codes.joined(list(codes.texts_of(resource.get("category")))),
        author=codes.names_of(resource.get("author")) or _("Author not recorded"),
        by=codes.names_of(resource.get("custodian")),
        date=dates.read(resource.get("date"), zone),
        period=_period(fhir.first(resource.get("event")).get("period"), zone),
        marks=_report_marks(status),
        bodies=tuple(_sections(resource)) if with_bodies else (),
        stands=status != "entered-in-error",
        reference=f"Composition/{clean(resource.get('id'))}",
    )


MOST_SECTIONS = 100


def _sections(composition: fhir.Json) -> Iterator[Body]:
    """The sections of a document with their narrative, those within them after them; else its own narrative."""
    waiting, told = fhir.mappings(composition.get("section"))[::-1], 0
    while waiting and told < MOST_SECTIONS:
        section, told = waiting.pop(), told + 1
        title = clean(section.get("title")) or codes.text_of(section.get("code")) or _("Section without a title")
        narrative, inside = fhir.mapping(section.get("text")).get("div"), fhir.mappings(section.get("section"))
        if isinstance(narrative, str):
            yield _html(narrative, title)
        elif not inside:
            yield Body(Form.ABSENT, title, absent=_without_text(section))
        waiting += inside[::-1]
    whole = fhir.mapping(composition.get("text")).get("div")
    if not told and isinstance(whole, str):
        yield _html(whole, _("Summary by the source"))


def _without_text(section: fhir.Json) -> str:
    if reason := codes.text_of(section.get("emptyReason")):
        return _("The source left this section empty: %(reason)s.") % {"reason": reason}
    count = len(fhir.mappings(section.get("entry")))
    if not count:
        return _("The source sent no text.")
    said = ngettext(
        "The source sent no text, but %(count)s entry. Look for it on the other pages of this record.",
        "The source sent no text, but %(count)s entries. Look for them on the other pages of this record.",
        count,
    )
    return said % {"count": count}


def _response(resource: fhir.Json, zone: tzinfo, *, with_bodies: bool) -> Document:
    status = fhir.plain_code(resource.get("status"))
    return Document(
        title=_form(resource),
        type=_("Questions and answers"),
        author=_answered_by(resource),
        date=dates.read(resource.get("authored"), zone),
        marks=_response_marks(status),
        answers=answers.of(resource, zone) if with_bodies else (),
        stands=status != "entered-in-error",
        reference=f"QuestionnaireResponse/{clean(resource.get('id'))}",
    )


def _form(response: fhir.Json) -> str:
    """What the form is called: the Questionnaire itself belongs to no record, so often only its address says it."""
    address = clean(response.get("questionnaire"))
    named = fhir.extension(response.get("_questionnaire"), "http://hl7.org/fhir/StructureDefinition/display")
    inside = fhir.contained(response, {"reference": address}) if address.startswith("#") else {}
    title = clean(named.get("valueString")) or clean(inside.get("title")) or clean(inside.get("name"))
    last = address.split("|")[0].rstrip("/").rpartition("/")[2].lstrip("#")
    return title or (_("Form: %(name)s") % {"name": last} if last else _("Form without a title"))


def _answered_by(response: fhir.Json) -> str:
    """Whose answers they are, else who wrote them down. The patient's name is in the banner."""
    by = response.get("source") or response.get("author")
    kinds = {"Patient": _("The patient"), "RelatedPerson": _("A relative")}
    named = "" if fhir.referred_type(by) == "Patient" else codes.referred(by)
    return named or kinds.get(fhir.referred_type(by), "") or codes.names_of(by) or _("Author not recorded")


def _response_marks(status: str) -> tuple[Mark, ...]:
    if status == "entered-in-error":
        return (entered_in_error(),)
    mark = {
        "in-progress": Mark(Kind.PRELIMINARY, _("Not finished")),
        "completed": None,
        "amended": Mark(Kind.AMENDED, _("Amended")),
        "stopped": Mark(Kind.STOPPED, _("Broken off")),
    }.get(status, Mark(Kind.UNKNOWN, _("Status not known")))
    return (mark,) if mark else ()


_READERS = {"Composition": _composition, "DiagnosticReport": _report, "QuestionnaireResponse": _response}


def _period(held: object, zone: tzinfo) -> str:
    if not fhir.mapping(held):
        return ""
    start, end = dates.of_period(held, zone)
    if not end.known:
        return _("from %(start)s") % {"start": start.text} if start.known else ""
    return start.text if start.text == end.text else _("%(start)s to %(end)s") % {"start": start.text, "end": end.text}


def _replaced(resource: fhir.Json) -> tuple[str, ...]:
    related = (r for r in fhir.mappings(resource.get("relatesTo")) if fhir.plain_code(r.get("code")) == "replaces")
    return tuple(filter(None, (fhir.reference_key(r.get("target")) for r in related)))


def _document_marks(status: str, doc_status: str) -> tuple[Mark, ...]:
    if "entered-in-error" in (status, doc_status):
        return (entered_in_error(),)
    marks: list[Mark] = []
    if status == "superseded":
        marks.append(Mark(Kind.SUPERSEDED, _("Superseded")))
    elif status != "current":
        marks.append(Mark(Kind.UNKNOWN, _("Status not known")))
    if doc_status == "preliminary":
        marks.append(Mark(Kind.PRELIMINARY, _("Preliminary")))
    elif doc_status == "amended":
        marks.append(Mark(Kind.AMENDED, _("Amended")))
    return tuple(marks)


def _report_marks(status: str) -> tuple[Mark, ...]:
    if status == "entered-in-error":
        return (entered_in_error(),)
    mark = {
        "registered": Mark(Kind.REGISTERED, _("Awaited")),
        "partial": Mark(Kind.PRELIMINARY, _("Partial")),
        "preliminary": Mark(Kind.PRELIMINARY, _("Preliminary")),
        "final": None,
        "amended": Mark(Kind.AMENDED, _("Amended")),
        "corrected": Mark(Kind.CORRECTED, _("Corrected")),
        "appended": Mark(Kind.AMENDED, _("Added to")),
        "cancelled": Mark(Kind.CANCELLED, _("Cancelled")),
    }.get(status, Mark(Kind.UNKNOWN, _("Status not known")))
    return (mark,) if mark else ()


# -------------------------------------------------------------------------------------------------- bodies


def _bodies(attachments: Iterable[fhir.Json], resource: fhir.Json) -> tuple[Body, ...]:
    bodies = [replace(body_of(attachment), place=place) for place, attachment in enumerate(attachments)]
    narrative = fhir.mapping(resource.get("text")).get("div")
    if isinstance(narrative, str) and not any(body.form is not Form.ABSENT for body in bodies):
        # The narrative stands in where no attachment can be read.
        bodies.insert(0, _html(narrative, _("Summary by the source")))
    return tuple(bodies)


def body_of(attachment: fhir.Json) -> Body:
    """What one Attachment holds, as far as it can be shown."""
    title = clean(attachment.get("title"))
    kind, charset = _content_type(attachment)
    data = attachment.get("data")
    if not isinstance(data, str) or not data:
        return Body(Form.ABSENT, title, absent=_elsewhere(attachment, kind))
    if file := files.of(attachment):
        size = _("%(size)s kB") % {"size": f"{max(1, len(file.content) // 1024):,}"}
        return Body(Form.FILE, title or _kind_of_file(file.type), picture=file.is_picture, size=size)
    if kind not in ("text/plain", "") and "html" not in kind and "xml" not in kind:
        return Body(Form.ABSENT, title, absent=_not_opened(kind, len(data) * 3 // 4))
    if len(data) * 3 // 4 > MOST_BYTES:
        return Body(Form.ABSENT, title, absent=_("This text is too long to show here. Ask the source for it."))
    try:
        raw = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return Body(Form.ABSENT, title, absent=_("Text can't be shown: the source sent it damaged."))
    text = _decoded(raw, charset)
    if "html" in kind:
        return _html(text, title)
    if "xml" in kind:
        narrative = cda.html_of(text)
        return _html(narrative, title) if narrative else Body(Form.ABSENT, title, absent=_not_opened(kind, len(raw)))
    text = clean_lines(text, longest=MOST_BYTES).strip("\n")
    if not text.strip():
        return Body(Form.ABSENT, title, absent=_("The text is empty."))
    return Body(Form.TEXT, title, text=text)


def _content_type(attachment: fhir.Json) -> tuple[str, str]:
    kind, *parameters = clean(attachment.get("contentType")).lower().split(";")
    charset = next((p.split("=", 1)[1] for p in parameters if p.strip().startswith("charset=")), "utf-8")
    return kind.strip(), charset.strip().strip("\"'")


def _decoded(raw: bytes, charset: str) -> str:
    # Only encodings of text: Python also knows "zlib" and "idna", which do something else with the bytes.
    known = {
        "utf-8",
        "utf8",
        "us-ascii",
        "ascii",
        "iso-8859-1",
        "latin1",
        "windows-1252",
        "utf-16",
        "utf-16le",
        "utf-16be",
    }
    return raw.decode(charset if charset in known else "utf-8", errors="replace")


def _html(markup: str, title: str) -> Body:
    if len(markup) > MOST_BYTES:
        return Body(Form.ABSENT, title, absent=_("This text is too long to show here. Ask the source for it."))
    # Cleaned first as text: a direction override works inside an element too.
    safe = sanitised(clean_lines(markup, longest=MOST_BYTES))
    if not re.sub(r"<[^>]*>|\s|&nbsp;", "", safe):
        return Body(Form.ABSENT, title, absent=_("The text is empty."))
    return Body(Form.HTML, title, html=safe)


def sanitised(markup: str) -> Markup:
    """`markup` reduced to what FHIR allows in a narrative, without links and images."""
    kept = nh3.clean(
        markup,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        clean_content_tags={"script", "style", "title", "template", "iframe", "object", "svg", "math", "noscript"},
        strip_comments=True,
        link_rel=None,
    )
    return Markup(_HEADINGS.sub(r"<\1h4>", kept))  # noqa: S704  (nh3 has escaped or dropped everything else)


def _elsewhere(attachment: fhir.Json, kind: str) -> str:
    if clean(attachment.get("url")):
        return _("The source keeps this file and sent only its address. Ask the source for it.")
    return (
        _("The source sent no text.") if not kind else _("The source sent no file of type %(type)s.") % {"type": kind}
    )


def _not_opened(kind: str, size: int) -> str:
    return _("%(type)s, %(size)s kB. Only text can be shown here. Ask the source for the file.") % {
        "type": _kind_of_file(kind),
        "size": f"{max(1, size // 1024):,}",
    }


def _kind_of_file(kind: str) -> str:
    if kind == "application/pdf":
        return _("PDF file")
    if kind.startswith("image/"):
        return _("Picture")
    if kind.startswith(("audio/", "video/")):
        return _("Recording")
    return _("File of type %(type)s") % {"type": kind}
