"""Rejected lines come back mended, and archives that unpack to mountains do not."""

from __future__ import annotations

import gzip
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from records.importing import reading
from records.importing.parsing import Reason
from records.models import Import, Rejection, Resource
from tests import factories as make
from tests.factories import WORKER
from tests.records.feeds import Feed, counts, line, ndjson, observation, patient


def export(feed: Feed, capsys) -> list[dict]:
    path = feed.folder.parent / f"mend-{Rejection.objects.using(WORKER).count()}.ndjson"
    call_command("rejections", "export", str(path), "--source", feed.source.name, "--database", WORKER)
    capsys.readouterr()
    assert path.stat().st_mode & 0o077 == 0
    return [json.loads(one) for one in path.read_bytes().splitlines()]


def test_a_rejected_line_is_exported_mended_and_fed_again(feed, capsys):
    broken, unknown = line(observation("o1"))[:-1], b'{"resourceType":"Spell","id":"s1","x":"\xff"}'
    feed.send(patient(), broken, unknown)
    first, second = export(feed, capsys)
    assert (first["reason"], first["line"], first["raw"]) == ("broken-json", 2, broken.decode())
    assert "raw_base64" in second
    first["raw"] += "}"
    result = feed.send(*(json.dumps(one, separators=(",", ":")).encode() for one in (first, second)))
    assert counts(result) == (1, 0, 0, 0, 1)
    assert feed.resource("Observation/o1").patient_id == feed.patient().pk
    mended = Rejection.objects.using(WORKER).get(pk=first["rejection"])
    assert (mended.mended_by, mended.mended_at is None) == (result.run, False)
    assert bytes(mended.raw) == broken
    assert Rejection.objects.using(WORKER).get(pk=second["rejection"]).mended_at is None


def test_what_is_mended_wrongly_stays_rejected(feed, capsys):
    feed.send(patient(), b"{broken")
    (one,) = export(feed, capsys)
    one["raw"] = json.dumps({"resourceType": "Observation", "id": "o1", "code": []})
    assert counts(feed.send(json.dumps(one, separators=(",", ":")).encode()))[4] == 1
    assert Rejection.objects.using(WORKER).filter(mended_at=None).count() == 2
    torn = b'{"rejection":"x","raw":7}'
    assert counts(feed.send(torn)) == (0, 0, 0, 0, 1)


def test_a_line_of_another_source_is_not_closed_by_this_one(feed, capsys, facility):
    other = Feed(feed.folder.parent / "north", make.make_source(facility, "north"))
    feed.send(patient(), b"{broken")
    (one,) = export(feed, capsys)
    one["raw"] = line(observation("o1")).decode()
    other.send(json.dumps(one, separators=(",", ":")).encode())
    assert Rejection.objects.using(WORKER).filter(mended_at=None).count() == 1


def test_exporting_is_in_the_trail_and_never_writes_over_a_file(feed, capsys, tmp_path):
    feed.send(patient(), b"{broken")
    export(feed, capsys)
    with connections["auditor"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM clinicportal_auditevent WHERE type = 'rejections-exported'")
        assert cursor.fetchone() == (1,)
    there = tmp_path / "there"
    there.write_text("mine")
    with pytest.raises(CommandError, match="is there already"):
        call_command("rejections", "export", str(there), "--source", feed.source.name, "--database", WORKER)
    with pytest.raises(CommandError, match="Say which source"):
        call_command("rejections", "export", "--database", WORKER)
    call_command("rejections", "list", "--database", WORKER)
    assert "broken-json" in capsys.readouterr().out


def test_a_gzip_bomb_is_given_up_and_the_rest_goes_on(feed, monkeypatch):
    monkeypatch.setattr(reading, "UNPACKED", 2**20)
    spaces = line(observation("o1")) + b"\n" + b" " * (40 * 2**20)
    feed.write("a.ndjson", gzip.compress(spaces, 9))
    feed.write("b.json", gzip.compress(b'{"resourceType":"Bundle","entry":[' + b" " * (40 * 2**20), 9))
    feed.write("c.ndjson", ndjson(patient()))
    result = feed.run()
    assert (result.run.created, result.run.rejected) == (2, 2)
    assert set(Rejection.objects.using(WORKER).values_list("reason", "whole")) == {(Reason.TOO_LARGE, False)}


# ---------------------------------------------------------------- snapshots


def snapshot(feed: Feed, *resources, force: bool = False) -> None:
    for old in feed.folder.rglob("*.ndjson"):
        old.unlink()
    feed.write("all.ndjson", ndjson(*resources))
    force_it = ["--force"] if force else []
    call_command(
        "import_fhir", "--source", feed.source.name, str(feed.folder), "--snapshot", *force_it, "--database", WORKER
    )


def gone() -> set[str]:
    return set(Resource.objects.using(WORKER).exclude(tombstoned_at=None).values_list("fhir_id", flat=True))


def test_what_a_whole_snapshot_no_longer_holds_becomes_a_tombstone(feed, capsys):
    everything = [patient(), *(observation(f"o{number}") for number in range(20))]
    snapshot(feed, *everything)
    snapshot(feed, *everything[:-1])
    assert gone() == {"o19"}
    assert "1 are no longer held" in capsys.readouterr().out
    snapshot(feed, *everything)
    assert gone() == set()


def test_half_a_snapshot_takes_nothing_away(feed):
    everything = [patient(), *(observation(f"o{number}") for number in range(20))]
    snapshot(feed, *everything)
    with pytest.raises(CommandError, match="lacks 10 of 21 resources"):
        snapshot(feed, *everything[:11])
    assert gone() == set()
    assert Import.objects.using(WORKER).latest("started_at").failed == "SnapshotTooSmall"
    snapshot(feed, *everything[:11], force=True)
    assert len(gone()) == 10


def test_a_rejected_line_may_be_what_a_snapshot_lacks(feed):
    everything = [patient(), *(observation(f"o{number}") for number in range(20))]
    snapshot(feed, *everything)
    with pytest.raises(CommandError, match="mend them first"):
        snapshot(feed, *everything[:-1], line(everything[-1])[:-1])
    assert gone() == set()


def test_a_snapshot_of_one_source_leaves_others_alone(feed, facility):
    other = Feed(feed.folder.parent / "north", make.make_source(facility, "north"))
    other.send(patient(), observation())
    snapshot(feed, patient())
    snapshot(feed, patient(), force=True)
    assert gone() == set()
