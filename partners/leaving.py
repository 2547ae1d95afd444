"""On to another site: a page of ours that goes on by itself."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def leave_for(request: HttpRequest, url: str, template: str = "partners/leaving.jinja") -> HttpResponse:
    """`form-action 'self'` blocks a redirect after a POST, so the browser gets a page with a refresh and a link."""
    response = render(request, template, {"url": url})
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
