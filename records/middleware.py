"""One record, one patient: requests and answers of a record's pages name whose they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

HEADER = "X-Patient"


class SamePatient:
    """A page says in each request for a part of it whose record it shows; a part of another's record is refused (409).

    The answer names its patient as well, for the page to check (portal.js).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        match = request.resolver_match
        if match and match.app_name == "records" and "pk" in match.kwargs:
            response.headers[HEADER] = str(match.kwargs["pk"])
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]) -> HttpResponse | None:
        match = request.resolver_match
        asked = request.headers.get(HEADER)
        if asked and match and match.app_name == "records" and str(kwargs.get("pk", asked)) != asked:
            return HttpResponse(status=409)
        return None
