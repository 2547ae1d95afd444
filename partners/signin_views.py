"""Sign in, come back, sign out."""

from __future__ import annotations

from urllib.parse import urlencode

from allauth.socialaccount.adapter import get_adapter
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from requests import RequestException

from clinicportal import audit
from clinicportal.requests import Request
from partners import idtoken
from partners.provider import CallbackView, EntraAdapter


def leave_for(request: HttpRequest, url: str) -> HttpResponse:
    """A page of ours that goes on to another site: `form-action 'self'` blocks a redirect after a POST."""
    response = render(request, "partners/leaving.jinja", {"url": url})
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


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
    provider = get_adapter(request).get_provider(request, "entra")
    try:
        answer = provider.redirect(request, "login", next_url=safe_next(request, request.POST.get("next", "")))
    except (idtoken.Invalid, RequestException, ValueError) as trouble:
        return get_adapter(request).refuse(request, trouble)
    return leave_for(request, answer["Location"])


@login_not_required
@require_safe
def callback(request: HttpRequest) -> HttpResponse:
    return CallbackView.adapter_view(EntraAdapter(request, "entra"))(request)


@require_POST
def sign_out(request: Request) -> HttpResponse:
    """End our session, then the tenant's: on a shared computer the next person must not find it open."""
    with transaction.atomic():
        audit.record(audit.Type.SIGNED_OUT, by=request.user)
        logout(request)
    back = request.build_absolute_uri(reverse("signed-out"))
    try:
        end = idtoken.discovery()["end_session_endpoint"]
    except (idtoken.Invalid, RequestException, ValueError, KeyError):
        return redirect("signed-out")
    return leave_for(request, f"{end}?{urlencode({'post_logout_redirect_uri': back})}")


@login_not_required
@require_safe
def signed_out(request: HttpRequest) -> HttpResponse:
    return render(request, "partners/signin/signed_out.jinja")
