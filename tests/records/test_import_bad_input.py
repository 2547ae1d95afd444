"""Whatever a feed sends: what cannot be taken is kept with its reason and its bytes, and the rest goes on."""

from __future__ import annotations

import gzip
import html
import json

import pytest
from django.utils import timezone

from records.importing import parsing, reading
from records.importing.parsing import Reason
from records.models import Patient, Rejection, Resource
from tests.factories import WORKER
from tests.records.feeds import ACT_CODE, about, bundle, counts, line, ndjson, observation, patient, ref

DEEP = b'{"resourceType":"Basic","id":"deep","extension":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
NESTED = b'{"resourceType":"Basic","id":"deep","a":' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}"
HIDDEN = b'{"resourceType":"Basic","id":"x","a":' + b'["{",' * 70 + b"1" + b"]" * 70 + b"}"
LABEL = b'{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"HIV"}]}'

BAD_LINES = {
    "broken": (b'{"resourceType":"Observation","id":"x"', Reason.BROKEN_JSON),
    "no JSON at all": (b"Traceback (most recent call last):", Reason.BROKEN_JSON),
    "two on one line": (b'{"resourceType":"Basic","id":"x"}{"resourceType":"Basic","id":"y"}', Reason.BROKEN_JSON),
    "NaN": (b'{"resourceType":"Basic","id":"x","value":NaN}', Reason.BROKEN_JSON),
    "infinity": (b'{"resourceType":"Basic","id":"x","value":1e999}', Reason.BROKEN_JSON),
    "control character": (b'{"resourceType":"Basic","id":"x","text":"\x01"}', Reason.BROKEN_JSON),
    "not UTF-8": (b'{"resourceType":"Basic","id":"x","text":"\xff"}', Reason.NOT_UTF8),
    "surrogate in UTF-8": (b'{"resourceType":"Basic","id":"x","text":"\xed\xa0\x80"}', Reason.NOT_UTF8),
    "lone surrogate": (b'{"resourceType":"Basic","id":"x","text":"\\ud800"}', Reason.BROKEN_JSON),
    "null character": (b'{"resourceType":"Basic","id":"x","text":"a\\u0000b"}', Reason.NULL_CHARACTER),
    "null after backslash": (b'{"resourceType":"Basic","id":"x","text":"\\\\\\u0000"}', Reason.NULL_CHARACTER),
    "duplicate key": (b'{"resourceType":"Basic","id":"x","meta":' + LABEL + b',"meta":{}}', Reason.DUPLICATE_KEY),
    "duplicate key by escape": (b'{"resourceType":"Basic","id":"x","meta":{},"m\\u0065ta":{}}', Reason.DUPLICATE_KEY),
    "duplicate key inside": (b'{"resourceType":"Basic","id":"x","a":[{"b":1,"b":2}]}', Reason.DUPLICATE_KEY),
    "huge depth": (DEEP, Reason.TOO_DEEP),
    "depth": (NESTED, Reason.TOO_DEEP),
    "depth behind brackets in strings": (HIDDEN, Reason.TOO_DEEP),
    "an array": (b'["resourceType"]', Reason.NOT_A_RESOURCE),
    "a number": (b"42", Reason.NOT_A_RESOURCE),
    "no resourceType": (b'{"id":"x"}', Reason.NOT_A_RESOURCE),
    "unknown type": (b'{"resourceType":"Spell","id":"x"}', Reason.UNKNOWN_TYPE),
    "type of R5": (b'{"resourceType":"ActorDefinition","id":"x"}', Reason.UNKNOWN_TYPE),
    "no id": (b'{"resourceType":"Basic"}', Reason.NO_ID),
    "id too long": (b'{"resourceType":"Basic","id":"%s"}' % (b"x" * 65), Reason.BAD_ID),
    "id with a path": (b'{"resourceType":"Basic","id":"../x"}', Reason.BAD_ID),
    "id a number": (b'{"resourceType":"Basic","id":7}', Reason.BAD_ID),
    "id with a line break": (b'{"resourceType":"Basic","id":"x\\n"}', Reason.BAD_ID),
    "subject a text": (b'{"resourceType":"Observation","id":"x","subject":"Patient/p1"}', Reason.WRONG_SHAPE),
    "meta a list": (b'{"resourceType":"Observation","id":"x","meta":[1]}', Reason.WRONG_SHAPE),
    "category a number": (b'{"resourceType":"Observation","id":"x","category":7}', Reason.WRONG_SHAPE),
    "name a text": (b'{"resourceType":"Patient","id":"x","name":"Alpha"}', Reason.WRONG_SHAPE),
    "contained a text": (b'{"resourceType":"Basic","id":"x","contained":["HIV"]}', Reason.WRONG_SHAPE),
    "identifier a number": (b'{"resourceType":"Organization","id":"x","identifier":[7]}', Reason.WRONG_SHAPE),
}


def test_each_bad_line_is_kept_with_its_reason_and_the_rest_goes_on(feed):
    lines = [bad for bad, _ in BAD_LINES.values()]
    feed.write("feed.ndjson", ndjson(patient(), *lines, observation()))
    result = feed.run()
    assert counts(result) == (2, 0, 0, 0, len(lines))
    assert {f"{one.type}/{one.fhir_id}" for one in Resource.objects.using(WORKER).all()} == {
        "Patient/p1",
        "Observation/o1",
    }
    kept = list(Rejection.objects.using(WORKER).order_by("line"))
    found = {name: one.reason for name, one in zip(BAD_LINES, kept, strict=True)}
    assert found == {name: str(reason) for name, (_, reason) in BAD_LINES.items()}
    assert [bytes(one.raw) for one in kept] == lines
    assert [one.line for one in kept] == list(range(2, len(lines) + 2))


def test_what_is_wrong_is_said_without_values_of_the_record(feed):
    secret = "Geheimnis"
    bad = [
        b'{"resourceType":"Basic","id":"x","text":"%s' % secret.encode(),
        b'{"resourceType":"%s","id":"x"}' % secret.encode(),
        b'{"resourceType":"Basic","id":"%s!"}' % secret.encode(),
        b'{"resourceType":"Observation","id":"x","subject":"%s"}' % secret.encode(),
        b'{"resourceType":"Basic","id":"x","%s":1,"%s":2}' % (secret.encode(), secret.encode()),
    ]
    feed.send(patient(), *bad)
    assert not [one.detail for one in Rejection.objects.using(WORKER).all() if secret in one.detail]


def test_limits_are_those_of_one_resource(feed, monkeypatch):
    monkeypatch.setattr(parsing, "MAX_BYTES", 2000)
    monkeypatch.setattr(reading, "MAX_BYTES", 2000)
    monkeypatch.setattr(reading, "KEPT", 100)
    long = observation(note=[{"text": "x" * 3000}])
    result = feed.send(patient(), long, observation("o2"))
    assert counts(result) == (2, 0, 0, 0, 1)
    rejected = Rejection.objects.using(WORKER).get()
    assert (rejected.reason, rejected.line) == ("too-large", 2)
    assert bytes(rejected.raw) == line(long)[:100]
    result = feed.run(feed.write("b.json", bundle(patient(), long, observation("o3"))))
    assert counts(result) == (1, 0, 1, 0, 1)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "tail",
    [
        b'"' + b'\\"' * 2_000_000,
        b'"' * 2_000_001,
        b"\\" * 3_000_000 + b"u0000",
        b'{"reference":"' * 200_000,
        b"[{" * 900_000,
    ],
)
def test_no_text_makes_reading_slow(feed, tail):
    """Time grows with the length of a line, not with its square, whatever it is made of."""
    opened = b'{"resourceType":"Basic","id":"x","a":' + b'[{"b":' * 40
    feed.write("a.ndjson", opened + tail + b"\n" + ndjson(patient()))
    feed.write("b.json", b'{"resourceType":"Bundle","entry":[{"resource":' + opened + tail)
    result = feed.run()
    assert (result.run.created, result.run.rejected) == (1, 2)


@pytest.mark.parametrize("whole", [True, False], ids=["a file", "a line"])
def test_a_bundle_of_too_many_entries_gives_the_first_and_says_so(feed, monkeypatch, whole):
    monkeypatch.setattr("records.importing.bundles.MOST_ENTRIES", 3)
    held = bundle(*(patient(f"p{n}") for n in range(5)))
    feed.write("a.json", held) if whole else feed.write("a.ndjson", ndjson(patient("p9"), held))
    result = feed.run()
    assert (result.run.created, result.run.rejected) == (3 if whole else 4, 1)
    [rejection] = Rejection.objects.using(WORKER).all()
    assert (rejection.reason, rejection.whole) == (Reason.TOO_LARGE, False)
    assert "send those that follow in another one" in rejection.detail
    assert bytes(rejection.raw).count(b'"p3"') == 1


def test_an_attachment_of_megabytes_is_no_problem(feed):
    data = "QUJD" * 700_000
    result = feed.send(patient(), about("DocumentReference", "d1", content=[{"attachment": {"data": data}}]))
    assert counts(result)[0] == 2
    assert data in feed.resource("DocumentReference/d1").raw


def test_brackets_quotes_and_backslashes_in_texts_are_texts(feed):
    odd = ['{\\"[', "}}]]", 'say \\"no\\"', "C:\\\\", "\\u007b", "line\\nbreak", "tab\\t\\u00e9\\ud83d\\ude00", "a\\/b"]
    raw = b'{"resourceType":"Basic","id":"x","text":{"div":"%s"}}' % " ".join(odd).encode()
    feed.write("a.ndjson", ndjson(patient(), raw))
    feed.write("b.json", b'{"resourceType":"Bundle","entry":[{"resource":%s}\n]}' % raw.replace(b'"x"', b'"y"'))
    assert counts(feed.run()) == (3, 0, 0, 0, 0)
    wanted = json.loads(raw)["text"]
    assert json.loads(feed.resource("Basic/x").raw)["text"] == wanted
    assert json.loads(feed.resource("Basic/y").raw)["text"] == wanted


def test_a_bundle_that_breaks_off_gives_what_came_before(feed):
    whole = json.dumps(bundle(patient(), observation("o1"), observation("o2")), indent=1).encode()
    feed.write("cut.json", whole[: whole.index(b'"o2"')])
    result = feed.run()
    assert counts(result) == (2, 0, 0, 0, 1)
    rejected = Rejection.objects.using(WORKER).get()
    assert (rejected.file, rejected.line, rejected.reason) == ("cut.json", 3, "broken-json")
    assert b"Observation" in bytes(rejected.raw)


def test_one_bad_entry_does_not_take_its_bundle_with_it(feed):
    text = json.dumps(bundle(patient(), observation("o1"), observation("o2")), indent=1).encode()
    feed.write("odd.json", text.replace(b'"id": "o1"', b'"id": o1'))
    assert counts(feed.run()) == (2, 0, 0, 0, 1)


def test_damaged_archives_give_what_can_be_read(feed):
    packed = gzip.compress(
        ndjson(patient(), *(observation(f"o{n}", note=[{"text": str(n) * 99}]) for n in range(9999)))
    )
    feed.write("a.ndjson", packed[: len(packed) // 2])
    feed.write("b.ndjson", ndjson(observation("last")))
    result = feed.run()
    assert result.run.rejected >= 1
    assert "broken-file" in Rejection.objects.using(WORKER).values_list("reason", flat=True)
    assert feed.resource("Observation/last").patient_id == feed.patient().pk
    assert result.run.created > 2


def test_files_without_fhir_are_left_alone_and_named(feed):
    feed.write("Patient.000.ndjson", ndjson(patient()))
    feed.write("log.ndjson", ndjson({"eventId": "kickoff", "eventDetail": {"body": {"resourceType": "Patient"}}}))
    feed.write("manifest.json", {"transactionTime": "2024-05-01T10:00:00Z", "output": []})
    feed.write("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100))
    feed.write("empty.ndjson", b"")
    feed.write("notes.txt", b"Nothing to see")
    feed.write("README.md", b'# A feed\n\n    {\n      "resourceType": "Patient"\n    }\n')
    feed.write(".hidden.ndjson", ndjson(patient("hidden")))
    result = feed.run()
    assert result.others == ["README.md", "empty.ndjson", "log.ndjson", "manifest.json", "notes.txt", "picture.png"]
    assert (result.files, result.run.read) == (1, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("whatever", ndjson(patient(), observation())),
        ("export.json", ndjson(patient(), observation())),
        ("export.ndjson.gz", ndjson(patient(), observation())),
        ("gzip-without-a-name", gzip.compress(ndjson(patient(), observation()))),
        ("with-a-mark.ndjson", b"\xef\xbb\xbf" + ndjson(patient(), observation())),
        ("windows.ndjson", ndjson(patient(), observation()).replace(b"\n", b"\r\n\r\n")),
        ("without-a-last-line-break.ndjson", ndjson(patient(), observation()).strip()),
        ("bundle.json", line(bundle(patient(), observation()))),
        ("bundle.json.gz", line(bundle(patient(), observation()))),
        ("bundles.ndjson", ndjson(bundle(patient()), bundle(observation()))),
        ("pretty.bundle", json.dumps(bundle(patient(), observation()), indent=4).encode()),
        ("collection.json", bundle(patient(), observation(), type="collection")),
        ("batch.json", bundle(patient(), observation(), type="batch")),
        ("in-a-bundle.json", bundle({**bundle(patient(), observation()), "id": "inner"}, type="collection")),
    ],
)
def test_a_file_is_told_by_its_content_not_by_its_name(feed, name, content):
    feed.write(name, content)
    result = feed.run()
    assert counts(result) == (2, 0, 0, 0, 0)
    assert feed.resource("Observation/o1").patient_id == feed.patient().pk


def test_a_resource_over_many_lines_is_one_resource(feed):
    feed.write("patient.json", patient())
    assert counts(feed.run()) == (1, 0, 0, 0, 0)
    assert "\n" not in feed.resource("Patient/p1").raw


def test_a_first_line_that_is_broken_does_not_make_a_file_foreign(feed):
    feed.write("Observation.ndjson", ndjson(line(observation("o1"))[:-3], observation("o2")))
    assert counts(feed.run()) == (1, 0, 0, 0, 1)


def test_what_a_server_says_beside_records_is_no_record(feed):
    outcome = {"resourceType": "OperationOutcome", "issue": []}
    searchset = bundle(patient(), type="searchset")
    searchset["entry"] += [{"resource": outcome, "search": {"mode": "outcome"}}, {"response": {"status": "200"}}]
    feed.write("search.json", searchset)
    assert counts(feed.run()) == (1, 0, 0, 0, 0)


def test_a_resource_of_nobody_we_know_waits_and_is_seen_by_no_one(feed):
    result = feed.send(observation(subject="Patient/unknown"))
    assert counts(result) == (1, 0, 0, 0, 0)
    assert result.awaiting == 1
    resource = feed.resource("Observation/o1")
    assert (resource.patient_id, resource.classes) == (None, ["unknown"])
    result = feed.send(patient("unknown"))
    assert result.awaiting == 0
    resource = feed.resource("Observation/o1")
    assert (resource.patient_id, resource.classes, resource.number) == (feed.patient("unknown").pk, [], 1)


def test_patients_may_lack_nearly_everything(feed):
    absent = [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    nobody = {"resourceType": "Patient", "id": "p9", "_birthDate": {"extension": absent}, "gender": "neuter"}
    long = patient("p8", name=[{"family": "x" * 999, "given": ["y" * 999], "prefix": ["z" * 99]}], birthDate="19-1")
    assert counts(feed.send(nobody, long)) == (2, 0, 0, 0, 0)
    found = feed.patient("p9")
    assert (found.family, found.birth_date, found.gender, found.active) == ("", "", Patient.Gender.UNKNOWN, True)
    assert len(feed.patient("p8").family) == 200


SHAPES = {
    "a list where one is meant": observation(code=[{"text": "x"}]),
    "one where a list is meant": observation(category={"text": "x"}),
    "a number where a text is meant": observation(status=7),
    "a text where a truth value is meant": patient(active="yes"),
    "texts where objects are meant": observation(note=["x"]),
    "a narrative without a text": patient(text={"status": "generated"}),
    "a question without its number": {"resourceType": "Questionnaire", "id": "q", "item": [{"text": "x"}]},
}


@pytest.mark.parametrize("resource", SHAPES.values(), ids=SHAPES.keys())
def test_what_is_built_otherwise_than_fhir_says_is_refused(feed, resource):
    result = feed.send(patient("p9"), resource)
    assert counts(result) == (1, 0, 0, 0, 1)
    assert Rejection.objects.using(WORKER).get().reason == Reason.WRONG_SHAPE


def test_what_fhir_does_not_name_is_let_through_and_kept(feed):
    odd = observation(_status={"extension": []}, vendorThing=[1, {"x": 2}], interpretation=None, subject={})
    assert counts(feed.send(odd)) == (1, 0, 0, 0, 0)
    assert "vendorThing" in feed.resource("Observation/o1").raw


def test_a_line_of_20_megabytes_is_kept_by_its_start_and_the_rest_goes_on(feed):
    long = line(observation("long", note=[{"text": "x" * 20 * 2**20}]))
    result = feed.send(patient(), long, observation("o2"))
    assert counts(result) == (2, 0, 0, 0, 1)
    rejected = Rejection.objects.using(WORKER).get()
    assert (rejected.reason, rejected.whole, len(rejected.raw)) == (Reason.TOO_LARGE, False, reading.KEPT)


@pytest.mark.parametrize(
    "value", ["2024-02-30", "2024-13-01", "24:61", "0000-00-00", "99999-01-01", "yesterday", "", "2024-05-01T25:00:00Z"]
)
def test_an_impossible_date_is_kept_and_counts_as_none(feed, value):
    feed.send(patient(birthDate=value), observation(effectiveDateTime=value))
    assert feed.resource("Observation/o1").time is None
    assert f'"{value}"' in feed.resource("Observation/o1").raw
    assert feed.patient().birth_date == ""


@pytest.mark.parametrize(("value", "day"), [("2024", "2024-01-01"), ("2024-05", "2024-05-01"), ("2024-05-17", None)])
def test_a_partial_date_counts_from_its_start(feed, value, day):
    feed.send(patient(birthDate=value), observation(effectiveDateTime=value))
    assert timezone.localtime(feed.resource("Observation/o1").time).date().isoformat() == (day or value)
    assert feed.patient().birth_date == value


def test_references_in_a_circle_end(feed):
    held = {"a": "DiagnosticReport/b", "b": "DiagnosticReport/a"}
    reports = [about("DiagnosticReport", id, result=[{"reference": other}]) for id, other in held.items()]
    plan = about("CarePlan", "self", activity=[{"reference": {"reference": "CarePlan/self"}}])
    organisations = [
        {"resourceType": "Organization", "id": id, "partOf": {"reference": f"Organization/{other}"}}
        for id, other in (("x", "y"), ("y", "x"))
    ]
    labelled_report = {**reports[0], "meta": {"security": [{"system": ACT_CODE, "code": "HIV"}]}}
    result = feed.send(patient(), labelled_report, reports[1], plan, *organisations)
    assert counts(result)[4] == 0
    assert feed.classes("DiagnosticReport/a") == feed.classes("DiagnosticReport/b") == {"hiv"}
    assert feed.classes("CarePlan/self") == set()


def test_contained_resources_and_linked_patients_in_a_circle_end(feed):
    contained = [
        {"resourceType": "List", "id": id, "entry": [{"item": ref(f"#{other}")}]}
        for id, other in (("a", "b"), ("b", "a"))
    ]
    contained[1]["meta"] = {"security": [{"system": ACT_CODE, "code": "HIV"}]}
    report = about("DiagnosticReport", "r", contained=contained, result=[ref("#a"), ref("#")])
    linked = [
        patient(id, link=[{"other": ref(f"Patient/{other}"), "type": type}])
        for id, other, type in (("p1", "p2", "replaced-by"), ("p2", "p3", "replaced-by"), ("p3", "p1", "replaced-by"))
    ]
    assert counts(feed.send(*linked, report)) == (4, 0, 0, 0, 0)
    assert feed.classes("DiagnosticReport/r") == {"hiv"}
    assert counts(feed.send(*linked, report)) == (0, 0, 4, 0, 0)


HOSTILE = [
    "<script>alert(1)</script>",
    "\u202egnp.exe",
    "'; DROP TABLE x; --",
    "{{ 7*7 }}",
    "%s %(x)s {0}",
    "\\x00\\u0000",
    "a\tb",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_texts(feed, text):
    """Whatever stands in a name, a display or a narrative reaches its column as it is, and nothing else happens."""
    code = {"coding": [{"system": "urn:x", "code": text, "display": text}]}
    div = f"<div onload='x()'>{html.escape(text)}<style>*{{}}</style><svg/></div>"
    feed.send(patient(name=[{"family": text}]), observation(code=code, text={"status": "generated", "div": div}))
    resource = feed.resource("Observation/o1")
    assert (resource.label, resource.code) == (text, f"urn:x|{text}")
    assert json.loads(resource.raw)["text"]["div"] == div
    assert feed.patient().family == text
