"""Sign in, come back, sign out."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlencode, urlsplit

from allauth.socialaccount.adapter import get_adapter
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe
from requests import RequestException

from clinicportal import audit, sessions
from clinicportal.requests import Request
from partners import assurance, idtoken, signin, stepup
from partners.leaving import leave_for
from partners.provider import CallbackView, EntraAdapter


def safe_next(request: HttpRequest, value: str) -> str:
    """`value` when it is a path of ours, else home."""
    return value if url_has_allowed_host_and_scheme(value, allowed_hosts=None) and value.startswith("/") else "/"


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """GET explains and starts nothing; POST begins the flow (a GET that did would be login CSRF)."""
    if request.method != "POST":
        if request.user.is_authenticated:
            return redirect("home")
        return render(
            request, "partners/signin/sign_in.jinja", {"next": safe_next(request, request.GET.get("next", ""))}
        )
    if not assurance.admits(settings.ENTRA_CONTEXT_SIGN_IN):
        audit.record_refusal(audit.Entry(audit.Type.SIGN_IN_REFUSED, reason=signin.NOT_BOUND))
        return signin.refused(request, "partners/signin/refused.jinja", signin.NOT_BOUND)
    provider = get_adapter(request).get_provider(request, "entra")
    try:
        with idtoken.turn():
            answer = provider.redirect(request, "login", next_url=safe_next(request, request.POST.get("next", "")))
    except (idtoken.Invalid, RequestException, ValueError) as trouble:
        return get_adapter(request).refuse(request, trouble)
    return leave_for(request, answer["Location"])


@login_not_required
@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """Back from the tenant: somebody signs in, or who is signed in confirms that it is them. The state says which."""
    if (attempt := stepup.attempt_of(request)) is not None:
        return stepup.come_back(cast(Request, request), attempt)
    return CallbackView.adapter_view(EntraAdapter(request, "entra"))(request)


@require_POST
def sign_out(request: Request) -> HttpResponse:
    """End our session, then the tenant's: on a shared computer the next person must not find it open."""
    with transaction.atomic():
        audit.record(audit.Type.SIGNED_OUT, by=request.user)
        logout(request)
    back = request.build_absolute_uri(reverse("signed-out"))
    try:
        with idtoken.turn():
            end = idtoken.discovery()["end_session_endpoint"]
    except (idtoken.Invalid, RequestException, ValueError, KeyError):
        return redirect("signed-out")
    return leave_for(request, f"{end}?{urlencode({'post_logout_redirect_uri': back})}")


def tenant_origin() -> str:
    parts = urlsplit(settings.ENTRA["authority"])
    return f"{parts.scheme}://{parts.netloc}"


@login_not_required
@require_GET
@xframe_options_exempt
def front_channel(request: HttpRequest) -> HttpResponse:
    """The tenant tells, in a hidden frame of its own page, that the person signed out there.

    OpenID Connect Front-Channel Logout 1.0, section 3: `sid` and `iss` come together. No cookie is needed, since
    browsers keep ours out of other sites' frames. The answer is the same whatever was ended, and a miss costs one
    look into an index and leaves nothing behind.
    """
    sid, iss = request.GET.get("sid", ""), request.GET.get("iss", "")
    if iss == idtoken.issuer() and signin.is_sid(sid):
        with transaction.atomic():
            for row in sessions.end_of_tenant(sid):
                audit.record(
                    audit.Type.SESSION_ENDED,
                    reason="signed-out-at-tenant",
                    object_type="clinicportal.user",
                    object_id=str(row.user_id or ""),
                )
    request.session.modified = False  # its row may be one of those: saving it would fail
    response = HttpResponse("", content_type="text/plain")
    # The only answer of the portal that a frame may hold, and it is empty: the tenant's page would show an error.
    response.headers["Content-Security-Policy"] = f"default-src 'none'; frame-ancestors {tenant_origin()}"
    return response


@login_not_required
@require_safe
def signed_out(request: HttpRequest) -> HttpResponse:
    return render(request, "partners/signin/signed_out.jinja")
