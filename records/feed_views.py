"""The operator's pages about feeds: how each stands, what it could not bring, stopping it, a file by hand.

No page here shows a record. A download of rejections does hold what a source sent, so it is written down.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clinicportal import audit, uploads
from clinicportal.models import StaffRole
from clinicportal.requests import Request
from clinicportal.viewing import viewing
from records import feed_words, feeds
from records.feed_forms import CloseMoveForm, ResumeForm, StopForm, UploadForm
from records.importing import drops, rejections
from records.models import FeedStop, Import, Move, Organisation, Rejection, Source

MOST_UPLOADED = 200 * 2**20
MOST_EXPORTED, BYTES_EXPORTED = 1_000, 32 * 2**20
"""Of rejections in one download: an operator mends by hand. The command has no such limit."""
IMPORTS = 20
get_or_post = require_http_methods(["GET", "HEAD", "POST"])


def only_if(check: Callable) -> Callable:
    """Ask a policy before anything else."""

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def checked(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
            check(request.user)
            return view(request, *args, **kwargs)

        return checked

    return decorate


operators_only = only_if(feeds.check_runs_feeds)
operators_and_privacy = only_if(feeds.check_can_see_who_saw)


def source_named(name: str) -> Source:
    source = Source.objects.select_related("facility").filter(name=name).first()
    if source is None:
        raise Http404
    return source


@require_safe
@operators_and_privacy
def feeds_page(request: Request) -> HttpResponse:
    """Every feed: how current, late or stopped, its last import, what waits to be mended."""
    stops = {stop.source_id: stop for stop in FeedStop.objects.open()}
    sources = Source.objects.select_related("facility").order_by("facility__name", "name")
    last = {run.source_id: run for run in Import.objects.order_by("source", "-started_at").distinct("source")}
    waiting = rejected_by_source(request)
    rows = [
        {
            "source": source, "stop": stops.get(source.pk), "late": feeds.is_late(source), "run": last.get(source.pk),
            "rejected": waiting.get(source.pk, 0), "state": state_of_last(last.get(source.pk)),
        }
        for source in sources
    ]  # fmt: skip
    moves = Move.objects.filter(closed_at=None).count()
    return render(request, "records/feeds.jinja", {"rows": rows, "moves": moves, **may(request)})


def state_of_last(run: Import | None) -> str:
    return feed_words.state(run, newest=True) if run else ""


def may(request: Request) -> dict[str, bool]:
    return {"runs_feeds": request.user.has_role(StaffRole.OPERATOR)}


def rejected_by_source(request: Request) -> dict[UUID, int]:
    with viewing(request.user):
        rows = Rejection.objects.filter(mended_at=None).values_list("imported__source").annotate(number=Count("pk"))
        return dict(rows)


@require_safe
@operators_and_privacy
def feed(request: Request, name: str) -> HttpResponse:
    return draw(request, source_named(name), UploadForm())


def draw(request: Request, source: Source, upload: UploadForm, status: int = 200) -> HttpResponse:
    with viewing(request.user):
        open_ones = Rejection.objects.filter(imported__source=source, mended_at=None)
        reasons = list(open_ones.values_list("reason").annotate(number=Count("pk")).order_by("-number"))
    runs = list(Import.objects.filter(source=source).order_by("-started_at")[:IMPORTS])
    context = {
        "source": source,
        "late": feeds.is_late(source),
        "stop": FeedStop.objects.open().filter(source=source).select_related("stopped_by", "resume_asked_by").first(),
        "runs": [(run, feed_words.state(run, newest=number == 0)) for number, run in enumerate(runs)],
        "reasons": [(feed_words.rejected(reason), number) for reason, number in reasons],
        "upload": upload,
        "waiting": len(drops.waiting(source)) + len(drops.left_over(source)),
        "form": upload,
        **may(request),
    }
    return render(request, "records/feed.jinja", context, status=status)


@get_or_post
@operators_only
def stop(request: Request, name: str) -> HttpResponse:
    source = source_named(name)
    form = StopForm(request.POST or None, initial={"since_time": "00:00"})
    if not form.is_valid():
        return render(request, "records/stop_feed.jinja", {"source": source, "form": form})
    feeds.stop(source, hidden_since=form.cleaned_data["since"], reason=form.cleaned_data["reason"], by=request.user)
    messages.success(request, _("Stopped. What it brought since then is hidden from everybody."))
    return redirect("feeds:feed", name)


def open_stop(name: str) -> FeedStop:
    stop = FeedStop.objects.open().filter(source__name=name).select_related("source", "stopped_by").first()
    if stop is None:
        raise Http404
    return stop


@get_or_post
@operators_only
def ask_to_resume(request: Request, name: str) -> HttpResponse:
    stop = open_stop(name)
    form = ResumeForm(request.POST or None)
    if not form.is_valid():
        return render(request, "records/resume_feed.jinja", {"source": stop.source, "stop": stop, "form": form})
    feeds.ask_to_resume(stop, note=form.cleaned_data["note"], by=request.user)
    messages.success(request, _("Asked. A second person has to confirm it on this page."))
    return redirect("feeds:feed", name)


@require_POST
@operators_and_privacy
def resume(request: Request, name: str) -> HttpResponse:
    feeds.resume(open_stop(name), by=request.user)
    messages.success(request, _("Resumed. What was hidden can be seen again, and the feed goes on."))
    return redirect("feeds:feed", name)


@require_safe
@operators_and_privacy
def seen(request: Request, name: str) -> HttpResponse:
    """Who opened, or was listed, a patient about whom the stopped feed had brought something."""
    stop = open_stop(name)
    patients = stop.patients or []
    found = feeds.who_saw(patients, since=stop.hidden_since, by=request.user, why=f"stop {stop.pk} of {name}")
    context = {
        "title": _("Who saw what %(name)s brought") % {"name": name}, "rows": named(found), "patients": len(patients),
        "counted": stop.patients is not None, "since": stop.hidden_since, "back": "feeds:feed", "source": stop.source,
    }  # fmt: skip
    return render(request, "records/seen.jinja", context)


def named(found: list[feeds.Seen]) -> list[dict[str, Any]]:
    organisations = dict(Organisation.objects.values_list("pk", "name"))
    return [
        {"seen": one, "organisation": organisations.get(one.organisation_id, "") if one.organisation_id else ""}
        for one in found
    ]


@require_POST
@operators_only
@uploads.takes_file(MOST_UPLOADED)
def upload(request: Request, name: str) -> HttpResponse:
    """Put a file into the feed's folder, as the feed itself would; the worker takes it from there."""
    source = source_named(name)
    if FeedStop.objects.open().filter(source=source).exists():
        messages.error(request, _("Not taken: this feed was stopped. Resume it, then hand the file in."))
        return redirect("feeds:feed", name)
    form = UploadForm(request.POST, request.FILES)
    if uploads.too_large(request):
        form.errors.pop("file", None)
        form.add_error("file", _("This file is larger than 200 MB: ask the source to send it to the feed's folder"))
    if not form.is_valid():
        return draw(request, source, form, status=422)
    file = form.cleaned_data["file"]
    with transaction.atomic():
        audit.record(
            audit.Type.FEED_UPLOADED, source, by=request.user, detail={"source": source.name, "bytes": file.size}
        )
        drops.put(source, file.name, file.chunks())
    messages.success(request, _("Taken. The worker imports it within a minute: its line appears below."))
    return redirect("feeds:feed", name)


@require_POST
@operators_only
def export(request: Request, name: str) -> HttpResponse:
    """The rejected lines of a feed as a file to mend. A POST, since it is a disclosure that is written down."""
    source = source_named(name)
    with viewing(request.user):
        rows = Rejection.objects.filter(imported__source=source, mended_at=None).order_by("pk")[:MOST_EXPORTED]
        lines = list(rejections.up_to(BYTES_EXPORTED, rejections.pack(rows.iterator(rejections.AT_ONCE))))
        detail = {"source": source.name, "number": len(lines)}
        audit.record(audit.Type.REJECTIONS_EXPORTED, source, by=request.user, detail=detail)
    response = HttpResponse(b"".join(lines), content_type="application/octet-stream")
    response.headers["Content-Disposition"] = f'attachment; filename="rejected-{source.name}.ndjson"'
    return response


# ---------------------------------------------------------------- records that moved


@require_safe
@operators_and_privacy
def moves(request: Request) -> HttpResponse:
    """Corrected records that went from one patient to another, until somebody has seen to each."""
    rows = Move.objects.filter(Q(closed_at=None)).select_related("source").order_by("-moved_at")[:200]
    return render(request, "records/moves.jinja", {"rows": rows})


@get_or_post
@operators_and_privacy
def move(request: Request, pk: int) -> HttpResponse:
    """Who had opened the section while the record stood under the wrong patient; closed with what was done."""
    found = Move.objects.filter(pk=pk, closed_at=None).select_related("source").first()
    if found is None:
        raise Http404
    form = CloseMoveForm(request.POST or None)
    if form.is_valid():
        with transaction.atomic():
            note = form.cleaned_data["note"]
            Move.objects.filter(pk=pk).update(closed_at=Now(), closed_by=request.user, note=note)
            audit.record(audit.Type.MOVE_CLOSED, found, by=request.user, reason=note)
        messages.success(request, _("Closed."))
        return redirect("feeds:moves")
    rows = feeds.who_saw(
        [found.from_patient], since=found.shown_from, until=found.moved_at, section=found.section, by=request.user,
        why=f"move {found.pk}",
    )  # fmt: skip
    context = {
        "title": _("A record moved to another patient"), "rows": named(rows), "patients": 1, "counted": True,
        "since": found.shown_from, "back": "feeds:moves", "move": found, "form": form,
    }  # fmt: skip
    return render(request, "records/seen.jinja", context)
