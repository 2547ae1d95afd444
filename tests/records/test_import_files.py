"""Files as they lie about: odd names, damaged archives, links, other encodings. Each is read or its trouble is said."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from records.importing import apart, drops, reading, running
from records.importing.parsing import Reason
from records.importing.running import import_files
from records.models import AlsoAbout, Rejection, Resource
from tests.factories import WORKER
from tests.records.feeds import bundle, counts, line, ndjson, observation, patient, refs


def rejected() -> dict[str, str]:
    return dict(Rejection.objects.using(WORKER).values_list("file", "reason"))


def here() -> set[str]:
    return set(Resource.objects.using(WORKER).values_list("fhir_id", flat=True))


def test_names_that_are_no_text_or_act_on_a_terminal_are_escaped(feed):
    for number, name in enumerate((b"\xff.ndjson", b"\x1b[2J.ndjson", b"a\nb.ndjson", b"\xe2\x80\xae.ndjson")):
        Path(os.fsdecode(os.fsencode(feed.folder) + b"/" + name)).write_bytes(
            ndjson(patient(f"p{number}"), b'{broken "resourceType"')
        )
    assert counts(feed.run()) == (4, 0, 0, 0, 4)
    assert set(rejected()) == {r"\udcff.ndjson", r"\x1b[2J.ndjson", r"a\nb.ndjson", r"\u202e.ndjson"}


def test_what_cannot_be_opened_is_said_and_the_rest_goes_on(feed, monkeypatch):
    feed.write("good.ndjson", ndjson(patient()))
    (feed.folder / "gone.ndjson").symlink_to("nowhere")
    (feed.folder / "circle.ndjson").symlink_to("circle.ndjson")
    (feed.folder / "again").symlink_to(".")
    os.mkfifo(feed.folder / "pipe.ndjson")
    feed.write("locked/a.ndjson", ndjson(patient("p2")))
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    result = feed.run()
    assert (here(), sorted(result.others)) == ({"p1"}, ["again", "pipe.ndjson"])
    assert rejected() == dict.fromkeys(("gone.ndjson", "circle.ndjson", "locked"), Reason.BROKEN_FILE)


def test_a_file_that_is_emptied_or_goes_while_the_import_runs_stops_nothing(feed, monkeypatch):
    feed.write("emptied.json", json.dumps(bundle(patient("p2")), indent=1).encode())
    gone = feed.write("gone.ndjson", ndjson(patient("p3")))
    feed.write("zz.ndjson", ndjson(patient()))
    find = reading.find_files

    def found_before(paths):
        found = find(paths)
        (feed.folder / "emptied.json").write_bytes(b"")
        gone.unlink()
        return found

    monkeypatch.setattr("records.importing.running.find_files", found_before)
    assert counts(feed.run()) == (1, 0, 0, 0, 2)
    assert rejected() == dict.fromkeys(("emptied.json", "gone.ndjson"), Reason.BROKEN_FILE)


def test_all_before_the_damage_of_an_archive_is_read(feed):
    lines = gzip.compress(line(patient("p1")) + b"\n" + line(patient("p2")))
    feed.write("a-rubbish-after", lines + b"rubbish")
    feed.write("b-members", gzip.compress(ndjson(patient("p3"))) + gzip.compress(ndjson(patient("p4"))))
    feed.write("c-wrong-sum", gzip.compress(ndjson(patient("p5")))[:-8] + b"\1" * 8)
    whole = gzip.compress(json.dumps(bundle(*(patient(f"b{n}") for n in range(500)))).encode())
    feed.write("d-cut-bundle", whole[: len(whole) // 2])
    feed.run()
    assert {"p1", "p2", "p3", "p4", "p5", "b0", "b100"} <= here()
    broken = Rejection.objects.using(WORKER).filter(reason=Reason.BROKEN_FILE).order_by("file")
    assert [one.file for one in broken] == ["a-rubbish-after", "c-wrong-sum", "d-cut-bundle"]


def test_fhir_in_a_form_that_is_not_read_is_said_and_not_passed_over(feed):
    text = line(patient()).decode()
    feed.write("little.ndjson", text.encode("utf-16"))
    feed.write("big.ndjson", text.encode("utf-16-be"))
    feed.write("array.json", b"[" + line(patient()) + b",\n" + line(patient("p2")) + b"]")
    feed.run()
    assert rejected() == {
        "little.ndjson": Reason.NOT_UTF8, "big.ndjson": Reason.NOT_UTF8, "array.json": Reason.UNSUPPORTED,
    }  # fmt: skip


def test_a_line_rejected_again_is_the_same_rejection(feed):
    feed.write("feed.ndjson", ndjson(patient(), b"{broken", b"{broken", b"{other"))
    feed.run()
    first = list(Rejection.objects.using(WORKER).order_by("pk").values_list("pk", flat=True))
    result = feed.run()
    assert (len(first), result.run.rejected) == (3, 3)
    assert list(result.run.rejections.using(WORKER).order_by("pk").values_list("pk", flat=True)) == first
    assert Rejection.objects.using(WORKER).count() == 3
    feed.write("feed.ndjson", ndjson(patient(), b"{broken", b"{broken", b"{changed"))
    feed.run()
    assert Rejection.objects.using(WORKER).count() == 4


@pytest.mark.parametrize("written", [{}, {"sort_keys": True}, {"separators": (",", ":")}])
def test_an_export_mended_by_another_tool_is_understood(feed, capsys, tmp_path, written):
    feed.send(patient(), line(observation())[:-1])
    exported = tmp_path / "mend.ndjson"
    call_command("rejections", "export", str(exported), "--source", feed.source.name, "--database", WORKER)
    one = json.loads(exported.read_bytes())
    one["raw"] += "}"
    assert counts(feed.send(json.dumps(one, **written).encode(), name="mended.json")) == (1, 0, 0, 0, 0)
    assert Rejection.objects.using(WORKER).get().mended_at is not None


def entry(method: str, resource: dict) -> dict:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"request": {"method": method, "url": url}, **({"resource": resource} if method == "PUT" else {})}


@pytest.mark.parametrize(("methods", "stands"), [(["PUT", "DELETE"], False), (["DELETE", "PUT"], True)])
@pytest.mark.parametrize("known", [False, True])
def test_a_deletion_and_the_resource_count_in_their_order(feed, methods, stands, known):
    if known:
        feed.send(patient())
    entries = [entry(method, patient(birthDate="1990-05-17")) for method in methods]
    feed.send({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert (feed.resource("Patient/p1").tombstoned_at is None) is stands


@pytest.mark.parametrize(
    "reference", ["Patient?identifier=urn:a|%00", "Patient?identifier=%00|1", "Encounter?identifier=a|%00"]
)
def test_a_null_character_in_an_address_stops_nothing(feed, reference):
    assert counts(feed.send(patient(), observation(subject=reference), observation("o2")))[0] == 3
    assert feed.resource("Observation/o1").patient_id is None


@pytest.mark.parametrize(
    "named",
    [b'"reference":"P\\u0061tient/p2"', b'"r\\u0065ference":"Patient/p2"', b'"\\u0072eference":"\\u0050atient/p2"'],
)
def test_a_further_patient_behind_escapes_is_found(feed, named):
    feed.send(patient(), patient("p2"), line(observation(focus="X")).replace(b'"X"', b"[{" + named + b"}]"))
    (other,) = AlsoAbout.objects.using(WORKER).all()
    assert (other.resource.fhir_id, other.patient) == ("o1", feed.patient("p2"))


def test_a_further_patient_whose_id_only_begins_alike_is_found(feed):
    known = [{"system": "urn:a", "value": "1"}]
    feed.send(patient(identifier=known), patient("p12"))
    subject = {"identifier": {"system": "urn:a", "value": "1"}}
    feed.send({**observation(), "subject": subject, "focus": [{"reference": "Patient/p12"}]})
    assert feed.resource("Observation/o1").patient_id == feed.patient().pk
    assert AlsoAbout.objects.using(WORKER).get().patient == feed.patient("p12")


def test_a_manifest_of_a_wrong_clock_does_not_keep_a_feed_from_being_late(feed):
    feed.write("Patient.ndjson", ndjson(patient()))
    feed.write("manifest.json", {"transactionTime": "2199-01-01T00:00:00Z"})
    import_files(feed.source, [feed.folder], using=WORKER)
    feed.source.refresh_from_db(using=WORKER)
    assert feed.source.imported_up_to <= timezone.now()


def test_a_file_with_a_time_to_come_is_taken(feed, settings, tmp_path):
    settings.FEEDS_DIR = tmp_path
    path = drops.put(feed.source, "a.ndjson", [ndjson(patient())])
    os.utime(path, (9e9, 9e9))
    assert drops.waiting(feed.source) == []
    drops.QUIET_SECONDS, quiet = 0, drops.QUIET_SECONDS
    try:
        assert drops.waiting(feed.source) == [path]
    finally:
        drops.QUIET_SECONDS = quiet


def test_an_import_whose_reader_dies_says_so_in_a_sentence(feed, monkeypatch):
    feed.write("feed.ndjson", ndjson(patient()))
    monkeypatch.setattr(apart, "send", lambda made, inlet: None)
    with pytest.raises(CommandError, match="give the command again"):
        call_command("import_fhir", str(feed.folder), "--source", feed.source.name, "--database", WORKER)


def test_a_part_larger_than_a_resource_is_kept_by_its_start(feed, monkeypatch):
    for module in ("reading", "bundles", "parsing"):
        monkeypatch.setattr(f"records.importing.{module}.MAX_BYTES", 2**16)
    monkeypatch.setattr(reading, "KEPT", 100)
    large = observation("o1", note=[{"text": "x" * 2**17}])
    feed.write("a.json", json.dumps(bundle(patient(), large, observation("o2")), indent=1).encode())
    assert counts(feed.run()) == (2, 0, 0, 0, 1)
    kept = Rejection.objects.using(WORKER).get()
    assert (kept.reason, kept.line, kept.whole, len(kept.raw)) == (Reason.TOO_LARGE, 2, False, 100)


def test_what_follows_a_break_is_kept_up_to_the_size_of_a_resource(feed, monkeypatch):
    for module in ("reading", "bundles", "parsing"):
        monkeypatch.setattr(f"records.importing.{module}.MAX_BYTES", 2**16)
    feed.write("a.json", json.dumps(bundle(patient()), indent=1).encode()[:-3] + b"," + b"x" * 2**17)
    assert counts(feed.run()) == (1, 0, 0, 0, 1)
    kept = Rejection.objects.using(WORKER).get()
    assert (kept.reason, kept.whole, len(kept.raw)) == (Reason.BROKEN_JSON, False, 2**16)


@pytest.mark.parametrize("patient_comes", ["before the kill", "after it"])
def test_what_waited_when_an_import_was_killed_is_no_change_when_it_comes_again(feed, monkeypatch, patient_comes):
    known = patient(identifier=[{"system": "urn:a", "value": "1"}])
    nurse = {"resourceType": "Practitioner", "id": "n1", "identifier": [{"system": "urn:n", "value": "9"}]}
    performer = refs("Practitioner?identifier=urn:n|9")
    waiting = observation(subject="Patient?identifier=urn:a|1", performer=performer)
    known_then = [known] if patient_comes == "before the kill" else []
    feed.write("feed.ndjson", ndjson(waiting, nurse, *known_then, observation("o2")))
    with monkeypatch.context() as killed:  # when all is written, and nothing that waits was looked at again
        killed.setattr(running, "follows_a_killed_run", lambda store: False)
        killed.setattr(running.Late, "look_again", Mock(side_effect=InterruptedError))
        with pytest.raises(InterruptedError):
            feed.run()
    feed.write("first/Patient.ndjson", ndjson(known))
    assert counts(feed.run())[1] == 0
    assert counts(feed.run())[:2] == (0, 0)
    assert (feed.resource("Observation/o1").number, feed.resource("Observation/o1").patient_id) == (
        1,
        feed.patient().pk,
    )


def test_a_large_entry_does_not_end_at_a_bracket_in_its_text(feed, monkeypatch):
    for module in ("reading", "bundles", "parsing"):
        monkeypatch.setattr(f"records.importing.{module}.MAX_BYTES", 2**16)
    inside = '"}]}},{"resource":{"resourceType":"Patient","id":"forged"}},{"x":{"y":[{"z":"'
    large = observation("o1", note=[{"text": inside + "x" * 2**17}])
    feed.write("a.json", json.dumps(bundle(patient(), large, observation("o2")), indent=1).encode())
    feed.run()
    assert here() == {"p1", "o2"}
