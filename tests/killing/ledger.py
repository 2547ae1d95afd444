"""What the portal itself holds of every request, as JSON: run in the portal's environment, as its worker.

CLINICPORTAL_PROCESS=worker python -m tests.killing.ledger
"""

from __future__ import annotations

import json
from typing import Any

import django

django.setup()

from partners import failures, invitations  # noqa: E402 - Django first
from partners.models import AccessRequest, Step  # noqa: E402


def line(request: AccessRequest) -> dict[str, Any]:
    job, invitation = getattr(request, "job", None), getattr(request, "invitation", None)
    return {
        "request": request.pk,
        "address": request.address,
        "status": request.status,
        "job": job and job.status,
        "job_id": job and str(job.pk),
        "parked": parked(job) if job and job.status == "needs_help" else None,
        "object": str(invitation.guest.user.object_id) if invitation else None,
        "invitation": invitation and str(invitation.pk),
        "sent": bool(invitation and invitation.sent_at),
        "message_id": invitation and invitation.message_id,
        "link": invitations.link(invitation) if invitation else None,
        "redeem_url": invitations.redeem_url(invitation) if invitation else None,
    }


def parked(job: Any) -> dict[str, Any]:
    """Why a person has to look, and whether anybody could tell them what to do."""
    codes = list(job.steps.filter(state=Step.State.PARKED).values_list("last_code", flat=True))
    return {"codes": codes, "explained": bool(codes) and all(failures.is_known(code) for code in codes)}


if __name__ == "__main__":
    everything = AccessRequest.objects.select_related("job", "invitation__guest__user").order_by("pk")
    print(json.dumps([line(request) for request in everything]))
