"""The grants that a request leads to, and everything that ends with them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.models.functions import Now

from clinicportal.models import User
from partners.models import AccessRequest, Guest, Invitation, ProvisioningJob, RequestGrant, Reset
from records.models import Grant


def give(
    request: AccessRequest, guest: Guest, *, by: User, until: dt.datetime, may_look_up: bool = False
) -> list[Grant]:
    """One grant for each caseload, from now on. They show nothing before the expected person signs in."""
    given = [
        Grant.objects.create(
            guest=guest.user,
            organisation=request.organisation.organisation,
            caseload=caseload,
            sections=request.sections,
            classes=request.classes,
            may_look_up=may_look_up,
            purpose=request.why,
            starts_at=Now(),
            ends_at=until,
            given_by=f"{by.tenant_id}:{by.object_id} {by.display_name}",
        )
        for caseload in request.caseloads.all()
    ]
    RequestGrant.objects.bulk_create(RequestGrant(request=request, grant=grant) for grant in given)
    return given


def guest_for(request: AccessRequest) -> Guest:
    """The guest with the request's address: one person has one account, whoever asks. Its user has no tenant and
    object id until the directory has the person."""
    known = Guest.objects.select_related("user").filter(address=request.address)
    if guest := known.first():
        return guest
    try:
        with transaction.atomic():
            user = User.objects.create(display_name=request.person_name, email=request.address)
            return Guest.objects.create(user=user, address=request.address)
    except IntegrityError:  # another approver pressed a moment ago, for another organisation
        return known.get()


def end(request: AccessRequest, *, because: str) -> None:
    """End the request's grants now, with its invitation and its work in the directory. For use inside a verb."""
    Grant.objects.filter(request__request=request, ended_at=None).update(ended_at=Now(), ended_because=because)
    _move(Invitation.objects.filter(request=request), Invitation.Status.REVOKED, redeem_url=None)
    _move(ProvisioningJob.objects.filter(request=request), ProvisioningJob.Status.CANCELLED)
    _move(Reset.objects.filter(request=request), Reset.Status.REFUSED)


def _move(rows: models.QuerySet, status: str, **fields: Any) -> None:
    """Move what is there to `status`, from whichever state its table allows: the guest may be moving it just now."""
    before = [state for state, after in rows.model.TRANSITIONS.items() if status in after]
    rows.filter(status__in=before).update(status=status, **fields)
