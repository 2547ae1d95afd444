"""The portal, and an empty page for people who are signed in: the bare thing that a chart is compared with."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from clinicportal.urls import urlpatterns as portal


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.display_name)  # type: ignore[union-attr]


urlpatterns = [path("bench/empty/", empty), *portal]
