"""The operator's pages about feeds: each stands, is stopped, resumed, handed a file, and shows no record."""

from __future__ import annotations

import gzip
import os
import time
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from clinicportal import audit, uploads
from clinicportal.viewing import viewing
from records import access, feed_views, feeds
from records.chart.frame import PAGE_OF_SECTION
from records.importing import drops
from records.models import FeedStop, Import, Move, Rejection, Section, Source
from tests import factories as make
from tests.factories import WORKER, client_for, days
from tests.records.feeds import line, ndjson, observation, patient

SECRET = "Geheimnis"


def staff(name: str, *roles: str):
    user = make.make_user(name, staff_roles=list(roles), roles_checked_at=timezone.now(), accepts_terms=False)
    return make.signed_in(user, None)


@pytest.fixture
def operator(db):
    return staff("Portal Operator", "operator")


@pytest.fixture
def page(operator):
    return client_for(operator)


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.FEEDS_DIR = tmp_path / "feeds"
    return settings.FEEDS_DIR


def text(response) -> str:
    assert response.status_code == 200, response.status_code
    return " ".join(response.content.decode().split())


def test_feeds_are_listed_with_how_they_stand(feed, page):
    Source.objects.using(WORKER).update(expected_within=timedelta(hours=2))
    feed.send(patient(name=[{"family": SECRET}]), b"{broken")
    found = text(page.get(reverse("feeds:feeds")))
    assert "On time" in found
    assert "Main site" in found
    Source.objects.using(WORKER).update(imported_up_to=days(-1))
    found = text(page.get(reverse("feeds:feeds")))
    assert "Late" in found
    one = text(page.get(reverse("feeds:feed", args=["main"])))
    assert "1 broken JSON" in one
    assert SECRET not in found + one


@pytest.mark.parametrize("address", ["", "main/", "main/stop/", "moved/"])
def test_nobody_else_gets_there(feed, guest, grant, address):
    assert client_for(guest).get(f"/feeds/{address}").status_code == 403
    assert client_for(staff("Approver", "approver")).get(f"/feeds/{address}").status_code == 403


def test_a_privacy_officer_looks_and_does_not_stop_or_download(feed):
    privacy = client_for(staff("Privacy Officer", "privacy"))
    assert "Stop this feed" not in text(privacy.get("/feeds/main/"))
    assert privacy.get("/feeds/main/stop/").status_code == 403
    assert privacy.post("/feeds/main/rejected/").status_code == 403
    assert privacy.post("/feeds/main/upload/").status_code == 403


def test_stopping_and_resuming_on_the_page(feed, page):
    response = page.post("/feeds/main/stop/", {"since_day": "", "since_time": "00:00", "reason": ""})
    assert "Say what is wrong" in text(response)
    future = (timezone.localdate() + timedelta(days=2)).isoformat()
    wrong = {"since_day": future, "since_time": "00:00", "reason": "wrong patients"}
    assert "Enter a time that has passed" in text(page.post("/feeds/main/stop/", wrong))
    today = timezone.localdate().isoformat()
    right = {"since_day": today, "since_time": "00:00", "reason": "wrong patients"}
    assert page.post("/feeds/main/stop/", right).status_code == 302
    stopped = FeedStop.objects.get()
    assert timezone.localtime(stopped.hidden_since).isoformat()[:16] == f"{today}T00:00"
    assert "wrong patients" in text(page.get("/feeds/main/"))
    assert page.post("/feeds/main/resume/", {"note": "sent again"}).status_code == 302
    mine = text(page.get("/feeds/main/"))
    assert "Somebody else has to confirm it" in mine
    assert page.post("/feeds/main/resume/confirm/").status_code == 403
    second = client_for(staff("Second", "privacy"))
    assert "Resume the feed" in text(second.get("/feeds/main/"))
    assert second.post("/feeds/main/resume/confirm/").status_code == 302
    assert not FeedStop.objects.open().exists()
    assert page.get("/feeds/main/seen/").status_code == 404


def test_who_saw_it_is_listed_by_name_and_without_the_record(feed, page, guest, grant, operator):
    feed.send(patient(name=[{"family": SECRET}]))
    make.make_membership(grant.caseload, feed.patient())
    with viewing(guest):
        access.open_record(feed.patient().pk, "results", by=guest)
    feeds.stop(feed.source, hidden_since=days(-1), reason="wrong", by=operator)
    assert "still finding out" in text(page.get("/feeds/main/seen/"))
    feeds.settle(using=WORKER)
    found = text(page.get("/feeds/main/seen/"))
    assert "Practice Nurse" in found
    assert "Partner B" in found
    assert str(feed.patient().pk) in found
    assert SECRET not in found


def test_a_file_handed_in_lies_in_the_feeds_folder(feed, page, source):
    packed = gzip.compress(ndjson(patient()))
    response = page.post("/feeds/main/upload/", {"file": SimpleUploadedFile("../../etc/a b.ndjson.gz", packed)})
    assert response.status_code == 302
    (path,) = drops.folder(source).iterdir()
    assert path.name.startswith("upload-")
    assert path.name.endswith("-a-b.ndjson.gz")
    assert path.stat().st_mode & 0o007 == 0
    os.utime(path, (time.time() - 60, time.time() - 60))
    (run,) = drops.take_what_arrived(source, using=WORKER)
    assert run.created == 1
    assert audit.trail().filter(type="feed-uploaded").count() == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "This file is empty"), (b"%PDF-1.4", "There is no FHIR in this file"), (None, "Choose a file")],
)
def test_what_is_no_feed_is_refused_before_it_is_read(feed, page, source, content, said):
    sent = {} if content is None else {"file": SimpleUploadedFile("a.ndjson", content)}
    response = page.post("/feeds/main/upload/", sent)
    assert response.status_code == 422
    assert said in response.content.decode()
    assert not drops.folder(source).exists()


def test_a_file_that_is_too_large_is_read_no_further(feed, page, source, monkeypatch):
    monkeypatch.setattr(feed_views.upload, "most_bytes", 1000)
    response = page.post("/feeds/main/upload/", {"file": SimpleUploadedFile("a.ndjson", b"{" * 100_000)})
    assert response.status_code == 422
    assert "larger than 200 MB" in response.content.decode()
    assert not drops.folder(source).exists()


def test_no_other_page_takes_a_file(feed, page):
    response = page.post("/feeds/main/stop/", {"file": SimpleUploadedFile("a.ndjson", b"{}"), "since_time": "00:00"})
    assert response.status_code == 200
    assert not response.wsgi_request.FILES
    request = RequestFactory().post("/nowhere/", {"file": SimpleUploadedFile("a", b"{}")})
    request.upload_handlers = [uploads.WhereAsked(request)]
    assert not request.FILES


def test_rejected_lines_are_downloaded_mended_and_handed_in(feed, page, source):
    feed.send(patient(), line(observation())[:-1])
    response = page.post("/feeds/main/rejected/")
    assert response["Content-Disposition"] == 'attachment; filename="rejected-main.ndjson"'
    assert audit.trail()[0].type == "rejections-exported"
    mended = response.content.replace(b'\\"}}"', b'\\"}}"').replace(b'"}\n', b'}"}\n')
    page.post("/feeds/main/upload/", {"file": SimpleUploadedFile("mended.ndjson", mended)})
    for path in drops.folder(source).iterdir():
        os.utime(path, (time.time() - 60, time.time() - 60))
    (run,) = drops.take_what_arrived(source, using=WORKER)
    assert (run.created, run.rejected) == (1, 0)
    assert Rejection.objects.using(WORKER).get().mended_by == run
    assert "None waits to be mended" in text(page.get("/feeds/main/"))


def test_the_wall_shows_rejected_lines_to_operators_only(feed, guest, operator):
    feed.send(patient(), b"{broken")
    with viewing(guest):
        assert not Rejection.objects.exists()
    with viewing(operator):
        assert Rejection.objects.count() == 1


def test_a_record_that_moved_is_looked_at_and_closed(feed, page, guest, organisation, facility, agreement):
    feed.send(patient("p1"), patient("p2"), observation("o1", "Patient/p1", meta={"versionId": "1"}))
    make.make_grant(guest, make.make_caseload(organisation, facility, feed.patient("p1")))
    with viewing(guest):
        for opened in ("results", "problems", "summary", "timeline", "print"):
            access.open_record(feed.patient("p1").pk, opened, by=guest)
    feed.send(observation("o1", "Patient/p2", meta={"versionId": "2"}))
    assert "Records moved to another patient: 1" in text(page.get("/feeds/"))
    move = Move.objects.get()
    assert f"/feeds/moved/{move.pk}/" in text(page.get("/feeds/moved/"))
    found = text(page.get(f"/feeds/moved/{move.pk}/"))
    assert found.count("Practice Nurse") == 4  # on whichever page it stood; problems show no result
    assert page.post(f"/feeds/moved/{move.pk}/", {"note": ""}).status_code == 200
    assert page.post(f"/feeds/moved/{move.pk}/", {"note": "told the practice"}).status_code == 302
    assert "Nothing to look at" in text(page.get("/feeds/moved/"))
    assert audit.trail()[0].type == "move-closed"


@pytest.mark.parametrize("section", Section)
def test_the_pages_on_which_a_section_stands_are_those_of_the_menu(section):
    pages = feeds.pages_showing(section)
    assert not pages or {PAGE_OF_SECTION[section], "summary", "timeline", "print"} == pages


def test_a_running_import_says_how_far_it_is(feed, page):
    Import.objects.using(WORKER).create(source=feed.source, fraction=0.42, files=3)
    assert "42 % of its files" in text(page.get("/feeds/main/"))
    assert page.get("/feeds/nothing/").status_code == 404


def hand_in(page, content: bytes, name: str = "a.ndjson"):
    return page.post("/feeds/main/upload/", {"file": SimpleUploadedFile(name, content)}, follow=True)


def import_what_was_handed_in(source) -> list[Import]:
    for path in drops.folder(source).iterdir():
        if path.is_file():
            os.utime(path, (time.time() - 60, time.time() - 60))
    return drops.take_what_arrived(source, using=WORKER)


def test_the_same_file_handed_in_twice_is_rejected_once(feed, page, source):
    """Under whatever name a browser sends it: else each line would have to be mended twice."""
    content = ndjson(patient(), b'{"resourceType":"Observation"', b'{"a":1}')
    hand_in(page, content)
    hand_in(page, content)
    assert len(list(drops.folder(source).iterdir())) == 1
    assert [run.rejected for run in import_what_was_handed_in(source)] == [2]
    hand_in(page, content)
    import_what_was_handed_in(source)
    found = text(page.get("/feeds/main/"))
    assert "1 broken JSON" in found
    assert "1 not a FHIR resource" in found


def test_a_file_that_cannot_be_written_leaves_nothing(source):
    def broken():
        yield b"{"
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        drops.put(source, "a.ndjson", broken())
    assert list(drops.folder(source).iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 250 + ".ndjson", "\u202e<b>患者</b>.ndjson", ".hidden.part", "a\tb\n.gz"])
def test_a_file_of_any_name_is_taken(page, source, name):
    assert "Taken." in text(hand_in(page, ndjson(patient()), name))
    assert [run.created for run in import_what_was_handed_in(source)] == [1]


def test_a_stopped_feed_takes_no_file_and_says_so(feed, page, source):
    """An operator whose page is from before the stop."""
    feed.send(patient())
    today = timezone.localdate().isoformat()
    page.post("/feeds/main/stop/", {"since_day": today, "since_time": "00:00", "reason": "wrong patients"})
    assert "Not taken: this feed was stopped" in text(hand_in(page, ndjson(patient("p2"))))
    assert not drops.folder(source).exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"failed": "Stopped"}, "Ended, because the feed was stopped"),
        ({"failed": "SnapshotTooSmall"}, "the snapshot lacks much of what stands"),
        ({"failed": "ReaderDied"}, "perhaps for want of memory"),
        ({"failed": "OperationalError"}, "Failed (OperationalError)"),
    ],
)
def test_an_import_that_ended_early_says_why_and_what_follows(feed, page, source, fields, said):
    Import.objects.using(WORKER).create(source=source, **fields)
    assert said in text(page.get("/feeds/"))
    found = text(page.get("/feeds/main/"))
    assert said in found
    assert "is tried again by itself" in found


def test_an_import_that_was_killed_does_not_look_as_if_it_went_on(feed, page, source):
    Import.objects.using(WORKER).create(source=source, fraction=0.37)
    assert "37 % of its files" in text(page.get("/feeds/main/"))
    feed.send(patient())
    found = text(page.get("/feeds/main/"))
    assert "37 % of its files" not in found
    assert "Broke off at 37 %: the next one went on" in found


def test_a_file_without_fhir_is_told(page, source):
    hand_in(page, gzip.compress(b"name,born\nA,1990\n"), "list.csv.gz")
    import_what_was_handed_in(source)
    assert "Done, without a FHIR file" in text(page.get("/feeds/main/"))
