"""What happened to our guests in the directory without us: accepted, removed, disabled, redemption set back.

Graph's delta query says whose account changed; what it says is only a hint, since it repeats itself and comes out of
order (entra.md, section 11): what counts is how the account reads now. Where delta is refused, the guests who have not
accepted yet are read instead, and everybody once a day in any case.

Noticing admits nobody: that stays with the sign-in. It only ever takes away, and gives nothing back by itself: an
account that comes back is let in again by one of our staff.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from clinicportal import audit, sessions
from clinicportal.models import User
from clinicportal.proofs import check_proved
from clinicportal.rules import Denied
from partners import entra, failures, incidents, notices, policies, redemption
from partners.models import AccessRequest, DirectoryWatch, Guest, Incident, Invitation, ProvisioningJob, Sponsor
from records.models import Grant, Suspension

log = structlog.get_logger(__name__)

LEASE = dt.timedelta(minutes=10)
COMPARE_EVERY = dt.timedelta(days=1)
FRESH = dt.timedelta(minutes=15)
"""For so long after we wrote something ourselves, the directory may still show what was before."""
MOST_PEOPLE, MOST_SHARE, NEVER_A_MASS = 10, 0.05, 3
"""The guard: more people than this at once, or a larger share of all guests (but not of a handful), stop it."""
CODES = {Guest.InDirectory.MISSING: "account_missing", Guest.InDirectory.DISABLED: "account_disabled"}
InDirectory = Guest.InDirectory


@dataclass
class Round:
    """What one round has learnt: how accounts read now (None: not there), and where the next round goes on."""

    link: str
    read: dict[uuid.UUID, entra.User | None] = field(default_factory=dict)
    look_again: set[uuid.UUID] = field(default_factory=set)
    compared: bool = False


def follow(graph: entra.Graph) -> None:
    """One round, unless it is not due or another worker has it. Safe to repeat, and to die in at any point: nothing
    is written before all of it is known."""
    watch = _lease()
    if watch is None:
        return
    pause = dt.timedelta(seconds=settings.DIRECTORY_SECONDS)
    try:
        learnt = _learn(watch, graph)
        with transaction.atomic(durable=True):
            _apply(watch, learnt)
    except entra.TryLater as busy:
        log.info("directory later", code=busy.code)
        pause = max(pause, (busy.retry_at - timezone.now()) if busy.retry_at else pause)
    except entra.Refused as refusal:
        incidents.report(refusal.code, detail="GET /users")
    DirectoryWatch.objects.filter(pk=watch.pk).update(leased_until=None, due_at=Now() + pause)


def _lease() -> DirectoryWatch | None:
    with transaction.atomic(durable=True):
        DirectoryWatch.objects.bulk_create([DirectoryWatch()], ignore_conflicts=True)
        free = Q(leased_until=None) | Q(leased_until__lt=Now())
        watch = DirectoryWatch.objects.filter(free, due_at__lte=Now()).select_for_update(skip_locked=True).first()
        if watch:
            DirectoryWatch.objects.filter(pk=watch.pk).update(leased_until=Now() + LEASE)
    return watch


# ---------------------------------------------------------------- asking


def ours() -> dict[uuid.UUID, Guest]:
    """Guests who may do something here now, by object id."""
    granted = Grant.objects.filter(guest=OuterRef("user"), ended_at=None, ends_at__gt=Now())
    sponsors = Sponsor.objects.active().filter(user=OuterRef("user"))
    found = Guest.objects.filter(Exists(granted) | Exists(sponsors), user__object_id__isnull=False)
    return {guest.user.object_id: guest for guest in found.select_related("user")}  # type: ignore[misc]


def _learn(watch: DirectoryWatch, graph: entra.Graph) -> Round:
    guests = ours()
    learnt = Round(link=watch.link)
    overdue = watch.compared_at is None or watch.compared_at < timezone.now() - COMPARE_EVERY
    hints, compare_all = _hints(learnt, graph, guests)
    if overdue or compare_all:
        learnt.read, learnt.compared = _read_all(graph, guests), True
    elif not learnt.link:
        pending = [object_id for object_id, guest in guests.items() if guest.redeemed_at is None]
        learnt.read = _read_all(graph, pending)
    for object_id in {*hints, *watch.look_again} & guests.keys() - learnt.read.keys():
        learnt.read[object_id] = _read(graph, object_id)
    # The hint may be newer than the copy of the directory that answered: then once more in the next round.
    learnt.look_again = {object_id for object_id, hint in hints.items() if not hint.agrees(learnt.read[object_id])}
    return learnt


Hints = dict[uuid.UUID, entra.Change]


def _hints(learnt: Round, graph: entra.Graph, guests: Iterable[uuid.UUID]) -> tuple[Hints, bool]:
    """Whose account changed since the last round, and whether that cannot be told, so that all have to be read."""
    hints: Hints = {}
    ids = set(guests)
    try:
        if not learnt.link:
            learnt.link = graph.changes_from_now()
            return hints, True
        while True:
            page = graph.changes(learnt.link)
            hints.update({change.id: change for change in page.changes if change.id in ids})
            learnt.link = page.link
            if page.is_last:
                return hints, False
    except entra.Refused as refusal:
        if refusal.code == "sync_state_gone":
            learnt.link = graph.changes_from_now()
            return hints, True
        return _without_delta(learnt, refusal.code)
    except entra.TryLater as problem:
        if problem.code != "not_permitted":
            raise
        return _without_delta(learnt, problem.code)


def _without_delta(learnt: Round, code: str) -> tuple[Hints, bool]:
    if not incidents.is_open("delta_refused"):
        incidents.report("delta_refused", detail=code)
    learnt.link = ""
    return {}, False


def _read_all(graph: entra.Graph, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, entra.User | None]:
    """Everybody of `ids`. Whom the list does not show is asked for by id: two answers must agree that one is gone."""
    found = {user.id: user for user in graph.users(ids)}
    return {object_id: found.get(object_id) or _read(graph, object_id) for object_id in ids}


def _read(graph: entra.Graph, object_id: uuid.UUID) -> entra.User | None:
    try:
        return graph.user(object_id)
    except entra.TryLater as problem:
        if problem.code == "not_there_yet":
            return None
        raise


# ---------------------------------------------------------------- writing down


def _apply(watch: DirectoryWatch, learnt: Round) -> None:
    """All that a round has learnt, with where the next one goes on, in one commit."""
    guests = ours()
    current = {object_id: user for object_id, user in learnt.read.items() if object_id in guests}
    losses = {object_id for object_id, user in current.items() if is_loss(guests[object_id], user)}
    held = 0
    if is_a_mass(len(losses), len(guests)) and not _let_through(watch, len(losses)):
        held = len(losses)
        if not incidents.is_open("mass_change"):
            incidents.report("mass_change", detail=f"{held} of {len(guests)}")
        learnt.look_again |= losses
        current = {object_id: user for object_id, user in current.items() if object_id not in losses}
    for object_id, user in current.items():
        _mirror(guests[object_id], user)
    DirectoryWatch.objects.filter(pk=watch.pk).update(
        link=learnt.link,
        look_again=sorted(learnt.look_again),
        compared_at=Now() if learnt.compared else watch.compared_at,
        held=held,
        held_at=Now() if held else None,
    )


def is_loss(guest: Guest, user: entra.User | None) -> bool:
    """Whether the account reads as gone or switched off, and we have not paused the person for it yet."""
    if user is None and _is_fresh(guest):
        return False
    return _state(user) is not InDirectory.PRESENT and not _drift(guest).exists()


def is_a_mass(losses: int, guests: int) -> bool:
    return losses > MOST_PEOPLE or (losses > NEVER_A_MASS and losses > MOST_SHARE * guests)


def _let_through(watch: DirectoryWatch, losses: int) -> bool:
    """Whether the operator has closed the incident of at least so many: that was their word."""
    if watch.held_at is None or losses > watch.held or incidents.is_open("mass_change"):
        return False
    return Incident.objects.filter(code="mass_change", closed_at__gt=watch.held_at - LEASE).exists()


def _is_fresh(guest: Guest) -> bool:
    """The directory may not show yet an account that we are making."""
    at_work = guest.jobs.filter(status=ProvisioningJob.Status.RUNNING).exists()
    return at_work or guest.user.created_at > timezone.now() - FRESH


def _state(user: entra.User | None) -> InDirectory:
    if user is None:
        return InDirectory.MISSING
    return InDirectory.PRESENT if user.enabled else InDirectory.DISABLED


def _drift(guest: Guest):
    return Suspension.objects.open().filter(user=guest.user, reason=Suspension.Reason.DRIFT)


def _mirror(guest: Guest, user: entra.User | None) -> None:
    """Bring what we know of one guest up to date with how the account reads now. Safe to repeat."""
    if user is None and _is_fresh(guest):
        return
    state = _state(user)
    Guest.objects.filter(pk=guest.pk).exclude(in_directory=state).update(in_directory=state)
    if state is not InDirectory.PRESENT:
        if not _drift(guest).exists():
            _pause(guest, CODES[state])
    elif user and user.is_pending:
        _set_back_by_others(guest)
    else:
        _accepted(guest)


def _pause(guest: Guest, code: str) -> None:
    """End what the person can do, now. The way back is `resume`."""
    Suspension.objects.create(user=guest.user, reason=Suspension.Reason.DRIFT, note=code)
    ended = sessions.end_all(guest.pk)
    audit.record(audit.Type.ACCESS_PAUSED, guest, reason=code, detail={"sessions": ended})
    _tell_sponsors(guest, code)


def _set_back_by_others(guest: Guest) -> None:
    """Pending, though somebody signed in here: another human may be behind the account by now."""
    if guest.redeemed_at is None or guest.redeemed_at > timezone.now() - FRESH:
        return
    redemption.hold(guest, note="redemption_reset")
    audit.record(audit.Type.ACCESS_PAUSED, guest, reason="redemption_reset")
    _tell_sponsors(guest, "redemption_reset")


def _accepted(guest: Guest) -> None:
    """Accepted at Entra, by whomever: told to sponsor and staff, admits nobody. Entra's link has done its work."""
    if guest.redeemed_at or guest.resets.filter(set_back_at__gt=Now() - FRESH).exists():
        return
    out = [Invitation.Status.SENT, Invitation.Status.OPENED]
    for invitation in Invitation.objects.filter(guest=guest, status__in=out, redeem_url__isnull=False):
        invitation.move_to(Invitation.Status.ACCEPTED, accepted_at=Now(), redeem_url=None)
        audit.record(audit.Type.INVITATION_ACCEPTED, invitation, organisation_id=invitation.request.organisation_id)


def _tell_sponsors(guest: Guest, code: str) -> None:
    for request in AccessRequest.objects.live().filter(job__guest=guest).select_related("sponsor__user"):
        about = f"{code}-{timezone.now():%Y%m%d}"
        notices.tell(notices.Kind.PAUSED, request, about=about, reason=str(failures.paused(code).sponsor))


# ---------------------------------------------------------------- the way back


@transaction.atomic
def resume(guest: Guest, *, by: User) -> None:
    """ "It was a mistake, let them go on": only once the directory shows the account again, and switched on."""
    check_can_resume(guest, by=by)
    check_proved(by, "let_in")
    _drift(guest).update(lifted_at=Now())
    audit.record(audit.Type.ACCESS_RESUMED, guest, by=by)


def check_can_resume(guest: Guest, *, by: User) -> None:
    policies.check_is_approver(by)
    for request in AccessRequest.objects.live().filter(job__guest=guest).select_related("organisation"):
        policies.check_not_tied(by, request)
    if guest.in_directory != InDirectory.PRESENT:
        raise Denied(
            _("The directory does not show the account, or shows it switched off. Have it restored or enabled there "
              "first; we notice within some minutes.")
        )  # fmt: skip
