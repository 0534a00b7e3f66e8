"""Every request has an id: in each line of log that it causes, in its span, its answer, and on the page of an error."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from opentelemetry import trace

from pipelines.engine.doing import doing

HEADER = "X-Request-Id"
# A proxy before us may have given one. Whatever else a stranger sends there would end up in our log.
SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")


class RequestMiddleware:
    """The first of all: what the others log belongs to the request too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.headers.get(HEADER, "")
        request_id = sent if SANE.fullmatch(sent) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        with doing(f"{request.method}", request=request_id):
            response = self.get_response(request)
            _name_span(request, response)
        response[HEADER] = request_id
        return response


def _name_span(request: HttpRequest, response: HttpResponse) -> None:
    """By the route and never by the address, which may hold a share link's or an invitation's secret."""
    span = trace.get_current_span()
    route = request.resolver_match.route if request.resolver_match else "unknown"
    span.update_name(f"{request.method} {route}")
    span.set_attributes({"http.request.method": request.method or "", "http.route": route})
    span.set_attribute("http.response.status_code", response.status_code)
